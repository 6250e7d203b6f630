/*
 * config_rewrite.c -- CONFIG REWRITE: what CONFIG SET has changed goes into
 * artery.conf.
 *
 * The new file is written beside the old one under another name, synced, renamed,
 * and the directory synced: whoever looks at any moment, also after a crash, finds
 * the old file or the new one.  Two workers that do this at once each write a file
 * of their own; the later rename wins, and both hold the same settings or one more.
 *
 * The one command that waits for the disk in a worker: for the time of syncing a
 * few kilobytes.
 */
#include "common/c.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf.h"
#include "storage/file/file.h"
#include "storage/ipc/segment.h"
#include "tcop/tcop_internal.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define CONF_FILE_MAX (4 * MIB)

typedef struct Rewrite
{
	char		path[PATH_MAX];
	char		new_path[PATH_MAX + 32];
	mode_t		mode;
	char	   *old_text;
	char	   *new_text;
	ConfChange *change;
	int			change_count;
} Rewrite;

/* read_old -- NULL, or the operation that failed, with errno. */
static const char *
read_old(Rewrite *r)
{
	struct stat st;
	File	   *f;
	size_t		got;
	int			error;

	if (stat(r->path, &st) != 0)
		return "stat";
	if (st.st_size > (off_t) CONF_FILE_MAX)
	{
		errno = EFBIG;
		return "read";
	}
	r->mode = st.st_mode & 07777;
	error = file_open(r->path, FILE_READ, 0, &f);
	if (error == 0)
	{
		r->old_text = calloc(1, (size_t) st.st_size + 1);
		Verify(r->old_text != NULL);
		error = file_read(f, r->old_text, (size_t) st.st_size, 0, &got);
		file_close(f);
	}
	errno = error;
	return error == 0 ? NULL : "read";
}

/* write_new -- the same; afterwards artery.conf is the new one for good. */
static const char *
write_new(Rewrite *r)
{
	const char *what = "create";
	File	   *f;
	int			error = file_open(r->new_path, FILE_WRITE | FILE_CREATE, r->mode, &f);

	if (error == 0)
	{
		what = "write";
		error = file_truncate(f, 0);
		if (error == 0)
			error = file_write(f, r->new_text, strlen(r->new_text), 0);
		if (error == 0)
			error = file_datasync(f);
		file_close(f);
		if (error == 0)
		{
			what = "rename";
			error = file_rename(r->new_path, r->path);
		}
		if (error != 0)
			(void) unlink(r->new_path);	/* it is in nobody's way */
		else
		{
			what = "sync the directory of";
			error = file_sync_directory(seg_control->data_dir);
		}
	}
	errno = error;
	return error == 0 ? NULL : what;
}

/* collect -- what CONFIG SET has changed; NULL, or the name of a setting that no line can hold. */
static const char *
collect(Rewrite *r)
{
	char		quoted[2 * SETTING_VALUE_MAX + 3];

	r->change = calloc((size_t) settings_count(), sizeof(*r->change));
	Verify(r->change != NULL);
	for (int i = 0; i < settings_count(); i++)
	{
		const char *value = settings_live(i);

		if (value == NULL)
			continue;
		if (!conf_quote(value, quoted, sizeof(quoted)))
			return settings_name(i);
		r->change[r->change_count++] = (ConfChange) {settings_name(i), value};
	}
	return NULL;
}

TcopResult
tcop__config_rewrite(Session *s)
{
	Rewrite		r = {.change_count = 0};
	const char *failed;

	settings_apply_shared();
	snprintf(r.path, sizeof(r.path), "%s/artery.conf", seg_control->data_dir);
	snprintf(r.new_path, sizeof(r.new_path), "%s.%d.new", r.path, (int) getpid());
	failed = collect(&r);
	if (failed != NULL)
		reply_error(&s->out, "ERR Rewriting config file: the value of %s has bytes that no line can hold", failed);
	else
	{
		failed = read_old(&r);
		if (failed == NULL)
		{
			r.new_text = conf_rewrite(r.old_text, r.change, r.change_count);
			failed = strcmp(r.new_text, r.old_text) == 0 ? NULL : write_new(&r);
		}
		if (failed == NULL)
			reply_ok(&s->out);
		else
		{
			ereport(WARNING, "CONFIG REWRITE: could not %s \"%s\": %m", failed, r.path);
			reply_error(&s->out, "ERR Rewriting config file: could not %s %s: %s", failed, r.path, strerror(errno));
		}
	}
	free(r.change);
	free(r.old_text);
	free(r.new_text);
	return TCOP_DONE;
}
