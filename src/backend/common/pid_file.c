/*
 * pid_file.c -- reader of artery.pid; the format is in pid_file.h.
 *
 * For tools and for a server that starts.  Holds no state.
 */
#include "common/pid_file.h"

#include <errno.h>

/* take_line -- the next line into 'text', without line end and blanks behind it; false: no more. */
static bool
take_line(FILE *file, char *text, size_t size)
{
	size_t		len;

	text[0] = '\0';
	if (fgets(text, (int) size, file) == NULL)
		return false;
	len = strlen(text);
	if (len > 0 && text[len - 1] != '\n')
		/* too long for the field: the rest of the line is not the next field */
		for (int c = getc(file); c != '\n' && c != EOF; c = getc(file))
			continue;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	return true;
}

int
pid_file_read(const char *data_dir, PidFile *out)
{
	char		path[sizeof(out->data_dir) + sizeof(PID_FILE_NAME) + 1];
	char		number[32];
	FILE	   *file;

	memset(out, 0, sizeof(*out));
	if ((size_t) snprintf(path, sizeof(path), "%s/%s", data_dir, PID_FILE_NAME) >= sizeof(path))
		return ENAMETOOLONG;
	file = fopen(path, "re");
	if (file == NULL)
		return errno;
	if (take_line(file, number, sizeof(number)))
	{
		long		pid = strtol(number, NULL, 10);

		/* never a process group (kill(-n)), whatever stands in the file */
		out->pid = pid > 0 && pid <= INT32_MAX ? (int) pid : 0;
	}
	if (take_line(file, out->data_dir, sizeof(out->data_dir)) && take_line(file, number, sizeof(number)))
		out->start_wall_s = strtoull(number, NULL, 10);
	if (take_line(file, out->socket_path, sizeof(out->socket_path)) &&
		take_line(file, out->segment_name, sizeof(out->segment_name)))
		(void) take_line(file, out->state, sizeof(out->state));
	(void) fclose(file);
	return 0;
}
