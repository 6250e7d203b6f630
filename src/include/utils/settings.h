/*
 * settings.h -- the settings of this process, from artery.conf, -c and CONFIG SET.
 *
 * settings_list.h is the one list; each entry becomes a variable set_<name>.
 * Order of precedence: CONFIG SET (live, shared by all processes through the
 * segment), -c on the command line, artery.conf (the last line wins), default.
 *
 * The postmaster loads before it forks; on SIGHUP every process loads again and
 * keeps its old value, with one log line, where the new one is wrong or needs a
 * restart.
 */
#ifndef ARTERY_UTILS_SETTINGS_H
#define ARTERY_UTILS_SETTINGS_H

#include "common/c.h"

enum { SHARED_MEMORY_POSIX, SHARED_MEMORY_MEMFD };
enum { HUGE_PAGES_OFF, HUGE_PAGES_TRY, HUGE_PAGES_ON };
enum { IO_METHOD_IO_URING, IO_METHOD_SYNC };
enum { EVENT_METHOD_IO_URING, EVENT_METHOD_EPOLL };
enum { PREWARM_SETTING_OFF, PREWARM_SETTING_BACKGROUND };
enum { DEBUG_COMMAND_NO, DEBUG_COMMAND_LOCAL, DEBUG_COMMAND_YES };
enum { DURABILITY_IMMEDIATE, DURABILITY_GROUP, DURABILITY_PERIODIC, DURABILITY_NONE };

typedef enum SettingContext
{
	SETTING_START,		/* read at start only */
	SETTING_RELOAD,		/* file and SIGHUP */
	SETTING_LIVE		/* file, SIGHUP and CONFIG SET */
} SettingContext;

#define SETTING_SECTION(id, title)
#define SETTING_BOOL(name, def, ctx, text) extern bool set_##name;
#define SETTING_INT(name, def, min, max, ctx, text) extern int64 set_##name;
#define SETTING_SIZE(name, def, min, max, ctx, text) extern int64 set_##name;
#define SETTING_TIME_MS(name, def, min, max, ctx, text) extern int64 set_##name;
#define SETTING_TIME_US(name, def, min, max, ctx, text) extern int64 set_##name;
#define SETTING_STRING(name, def, ctx, text) extern const char *set_##name;
#define SETTING_ENUM(name, def, words, ctx, text) extern int set_##name;
#include "utils/settings_list.h"
#undef SETTING_SECTION
#undef SETTING_BOOL
#undef SETTING_INT
#undef SETTING_SIZE
#undef SETTING_TIME_MS
#undef SETTING_TIME_US
#undef SETTING_STRING
#undef SETTING_ENUM

#define SETTING_VALUE_MAX 512	/* bytes of a value as text, with its NUL */
#define SETTING_ERROR_MAX 512

/* settings_load -- defaults, then FILE, then the -c options; false: err names file and line. */
extern bool settings_load(const char *conf_path, const char *const *overrides, int override_count,
						  char *err, size_t err_size) attribute_must_check;
/* settings_reload -- SIGHUP: as load, but START settings keep their value (one LOG line each). */
extern void settings_reload(void);
/* settings_set -- CONFIG SET of one LIVE setting in this process only; false: err says why. */
extern bool settings_set(const char *name, const char *value, bool dry_run, char *err, size_t err_size)
	attribute_must_check;
/* settings_get -- current value as text in its natural unit; false: no such setting. */
extern bool settings_get(const char *name, char *value, size_t size) attribute_must_check;
extern int settings_count(void);
extern const char *settings_name(int index);
/* settings_live -- the text that CONFIG SET gave this setting, as far as this process knows; NULL: none. */
extern const char *settings_live(int index);
/* settings_write_sample -- the commented artery.conf; settings_write_doc -- doc/settings.md. */
extern void settings_write_sample(FILE *out);
extern void settings_write_doc(FILE *out);

/*
 * CONFIG SET reaches every process: the setter stores name and value in the
 * shared override table (a region of the segment) and raises its generation;
 * each process calls settings_apply_shared() once per turn of its loop (one
 * relaxed load when nothing changed).
 */
extern size_t settings_region_size(void);
extern void settings_region_init(void *region);
extern bool settings_set_shared(const char *const *names, const char *const *values, int count,
								char *err, size_t err_size) attribute_must_check; /* all or nothing */
extern void settings_apply_shared(void);

#endif
