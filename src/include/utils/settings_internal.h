/*
 * settings_internal.h -- the table of settings, for the files settings*.c alone.
 *
 * A value travels through layers: default, artery.conf, -c, CONFIG SET.  A set
 * of candidates (one SettingCandidate per setting) is filled from the layers,
 * checked as a whole, and only then installed into the variables set_<name>.
 */
#ifndef ARTERY_UTILS_SETTINGS_INTERNAL_H
#define ARTERY_UTILS_SETTINGS_INTERNAL_H

#include "utils/settings.h"

typedef enum SettingType
{
	SETTING_TYPE_BOOL,
	SETTING_TYPE_INT,
	SETTING_TYPE_SIZE,		/* bytes */
	SETTING_TYPE_TIME_MS,
	SETTING_TYPE_TIME_US,
	SETTING_TYPE_STRING,
	SETTING_TYPE_ENUM
} SettingType;

/* Setting -- one entry of settings_list.h; constant. */
typedef struct Setting
{
	const char *name;
	SettingType type;
	SettingContext context;
	int64		def;			/* all but STRING */
	int64		min;			/* INT, SIZE, TIME */
	int64		max;
	const char *def_text;		/* STRING */
	const char *words;			/* ENUM: "name=value name=value" */
	const char *text;			/* the sentence for the manual */
	void	   *variable;		/* set_<name>; STRING: the buffer that it points to */
} Setting;

/* SettingValue -- a parsed value: a number (bool and enum too), or a text. */
typedef struct SettingValue
{
	int64		number;
	char		text[SETTING_VALUE_MAX];	/* STRING only */
} SettingValue;

/*
 * Places in the table: SETTING_INDEX_<name> for each setting; SETTING_AT_<id>
 * is the index of the first setting of a section.
 */
enum
{
#define SETTING_SECTION(id, title) SETTING_AT_##id, SETTING_BEFORE_##id = SETTING_AT_##id - 1,
#define SETTING_BOOL(name, ...) SETTING_INDEX_##name,
#define SETTING_INT(name, ...) SETTING_INDEX_##name,
#define SETTING_SIZE(name, ...) SETTING_INDEX_##name,
#define SETTING_TIME_MS(name, ...) SETTING_INDEX_##name,
#define SETTING_TIME_US(name, ...) SETTING_INDEX_##name,
#define SETTING_STRING(name, ...) SETTING_INDEX_##name,
#define SETTING_ENUM(name, ...) SETTING_INDEX_##name,
#include "utils/settings_list.h"
#undef SETTING_SECTION
#undef SETTING_BOOL
#undef SETTING_INT
#undef SETTING_SIZE
#undef SETTING_TIME_MS
#undef SETTING_TIME_US
#undef SETTING_STRING
#undef SETTING_ENUM
	SETTING_COUNT
};

extern const Setting settings__table[SETTING_COUNT];

/* settings__find -- index of a name, or -1. */
extern int settings__find(const char *name);

/* ---- settings_text.c: between text and value ---- */
/* settings__parse -- text to value, within the setting's bounds; false: err says what it wants. */
extern bool settings__parse(const Setting *setting, const char *text, SettingValue *value, char *err, size_t err_size)
	attribute_must_check;
/* settings__format -- value to text, in the largest unit that divides it; parses back to the same value. */
extern void settings__format(const Setting *setting, const SettingValue *value, char *text, size_t size);
/* settings__default -- the value in settings_list.h. */
extern void settings__default(const Setting *setting, SettingValue *value);

/* ---- settings.c, for settings_shared.c ---- */
/* settings__check_live -- may these be set by CONFIG SET, all at once, from what is in force?  Changes nothing. */
extern bool settings__check_live(const char *const *names, const char *const *values, int count, char *err,
								 size_t err_size) attribute_must_check;
/* settings__set_live_layer -- note the CONFIG SET text of one setting; takes effect by settings__install_live. */
extern void settings__set_live_layer(int index, const char *text);
/* settings__install_live -- bring the CONFIG SET layer into force; a text that no longer fits is left out with one line. */
extern void settings__install_live(void);

#endif
