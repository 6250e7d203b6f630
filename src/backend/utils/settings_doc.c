/*
 * settings_doc.c -- the sample artery.conf and doc/settings.md, from the list.
 *
 * Run by the server binary (artery --describe-config, artery --write-settings-doc)
 * for artery_ctl init and `make doc`.  Writes to a stream, reads nothing.
 */
#include "common/conf.h"
#include "utils/settings_internal.h"

#define SAMPLE_COLUMNS 78

/* Section -- a title, and the index of the setting that it stands before. */
typedef struct Section
{
	int			index;
	const char *title;
} Section;

static const Section sections[] = {
#define SETTING_SECTION(id, title) {SETTING_AT_##id, title},
#define SETTING_BOOL(...)
#define SETTING_INT(...)
#define SETTING_SIZE(...)
#define SETTING_TIME_MS(...)
#define SETTING_TIME_US(...)
#define SETTING_STRING(...)
#define SETTING_ENUM(...)
#include "utils/settings_list.h"
};

static const char *
section_before(int index)
{
	for (size_t i = 0; i < lengthof(sections); i++)
		if (sections[i].index == index)
			return sections[i].title;
	return NULL;
}

/* write_wrapped -- text in lines of at most SAMPLE_COLUMNS, each with 'lead'. */
static void
write_wrapped(FILE *out, const char *lead, const char *text)
{
	size_t		width = SAMPLE_COLUMNS - strlen(lead);

	while (*text != '\0')
	{
		size_t		len = strlen(text);

		if (len > width)
		{
			len = width;
			while (len > 0 && text[len] != ' ')
				len--;
			if (len == 0)
				len = strcspn(text, " ");
		}
		fprintf(out, "%s%.*s\n", lead, (int) len, text);
		text += len;
		text += strspn(text, " ");
	}
}

/* describe_values -- what may stand there: words, range, or nothing for a text. */
static void
describe_values(const Setting *setting, char *text, size_t size)
{
	SettingValue bound;
	char		min[64];
	char		max[64];
	size_t		used = 0;

	text[0] = '\0';
	switch (setting->type)
	{
		case SETTING_TYPE_BOOL:
			(void) snprintf(text, size, "on, off");
			break;
		case SETTING_TYPE_STRING:
			(void) snprintf(text, size, "text");
			break;
		case SETTING_TYPE_ENUM:
			for (const char *p = setting->words; *p != '\0' && used < size;)
			{
				size_t		len = strcspn(p, "=");

				used += (size_t) snprintf(text + used, size - used, "%s%.*s", used > 0 ? ", " : "", (int) len, p);
				p += strcspn(p, " ");
				p += strspn(p, " ");
			}
			break;
		default:
			bound.number = setting->min;
			settings__format(setting, &bound, min, sizeof(min));
			bound.number = setting->max;
			settings__format(setting, &bound, max, sizeof(max));
			(void) snprintf(text, size, "%s to %s", min, max);
			break;
	}
}

static const char *
describe_context(SettingContext context)
{
	switch (context)
	{
		case SETTING_START:
			return "restart";
		case SETTING_RELOAD:
			return "reload";
		case SETTING_LIVE:
			return "reload, CONFIG SET";
	}
	NotReached();
}

/* default_text -- as it stands in a file: strings in quotes. */
static void
default_text(const Setting *setting, char *text, size_t size)
{
	SettingValue value;

	settings__default(setting, &value);
	if (setting->type == SETTING_TYPE_STRING)
		Verify(conf_quote(value.text, text, size));
	else
		settings__format(setting, &value, text, size);
}

/* settings_write_sample -- every setting with its meaning, its default as a comment. */
void
settings_write_sample(FILE *out)
{
	fputs("# artery.conf: settings of this artery server\n"
		  "#\n"
		  "# A line is \"name = value\"; \"#\" starts a comment; the last line of a name wins.\n"
		  "# A text with blanks stands in single quotes ('it''s'). Sizes take B, kB, MB, GB,\n"
		  "# TB (powers of 1024); times take us, ms, s, min, h, d. What is commented out here\n"
		  "# is the default. \"artery_ctl reload\" makes the server read this file again.\n",
		  out);
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		const Setting *setting = &settings__table[i];
		const char *title = section_before(i);
		char		text[SETTING_VALUE_MAX * 2];

		if (title != NULL)
			fprintf(out, "\n\n# ---- %s ----\n", title);
		fputc('\n', out);
		write_wrapped(out, "# ", setting->text);
		describe_values(setting, text, sizeof(text));
		fprintf(out, "# (%s; takes effect by: %s)\n", text, describe_context(setting->context));
		default_text(setting, text, sizeof(text));
		fprintf(out, "#%s = %s\n", setting->name, text);
	}
}

/* write_cell -- a table cell: "|" would end it. */
static void
write_cell(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '|')
			fputc('\\', out);
		fputc(*text, out);
	}
}

/* settings_write_doc -- doc/settings.md. */
void
settings_write_doc(FILE *out)
{
	fputs("# Settings\n\n"
		  "This page is generated from `src/include/utils/settings_list.h` by `make doc`.\n\n"
		  "A setting comes, the first that has it wins, from `CONFIG SET` (all processes at once, until the server\n"
		  "stops), from `-c name=value` on the command line of `artery` or `artery_ctl`, from `artery.conf` in the\n"
		  "data directory, from the default. An unknown name or a wrong value ends the start with file and line; at\n"
		  "`artery_ctl reload` it is logged, and the setting stays as it was.\n\n"
		  "`artery.conf`: a line is `name = value`, `#` starts a comment, the last line of a name wins, a text with\n"
		  "blanks stands in single quotes (a quote inside is doubled). Sizes take the units B, kB, MB, GB, TB (powers\n"
		  "of 1024; without unit: bytes). Times take us, ms, s, min, h, d (without unit: milliseconds, for\n"
		  "`commit_delay` microseconds). Nothing is rounded: what does not come out even is refused.\n",
		  out);
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		const Setting *setting = &settings__table[i];
		const char *title = section_before(i);
		char		text[SETTING_VALUE_MAX * 2];

		if (title != NULL)
			fprintf(out, "\n## %s\n\n| name | default | values | takes effect by | meaning |\n|---|---|---|---|---|\n",
					title);
		default_text(setting, text, sizeof(text));
		fprintf(out, "| `%s` | `%s` | ", setting->name, text);
		describe_values(setting, text, sizeof(text));
		write_cell(out, text);
		fprintf(out, " | %s | ", describe_context(setting->context));
		write_cell(out, setting->text);
		fputs(" |\n", out);
	}
}
