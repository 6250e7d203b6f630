/*
 * settings_text.c -- settings between text and value.
 *
 * Pure functions: what a text means for a setting, how a value is shown.  A
 * quantity is a whole number with an optional unit; nothing is rounded: what
 * is not a whole number of the setting's own unit is refused.
 */
#include "utils/settings_internal.h"

#include <errno.h>
#include <strings.h>

/* Unit -- a unit's name and its size in the base unit (bytes, microseconds). */
typedef struct Unit
{
	const char *name;
	int64		factor;
} Unit;

/* largest first: settings__format takes the first that divides */
static const Unit size_units[] = {
	{"TB", INT64_C(1) << 40}, {"GB", INT64_C(1) << 30}, {"MB", INT64_C(1) << 20}, {"kB", INT64_C(1) << 10}, {"B", 1},
};
static const Unit time_units[] = {
	{"d", INT64_C(86400000000)}, {"h", INT64_C(3600000000)}, {"min", INT64_C(60000000)},
	{"s", INT64_C(1000000)},	 {"ms", INT64_C(1000)},		 {"us", INT64_C(1)},
};

/* UnitTable -- the units of a type; 'base' of them are one of the setting's own unit. */
typedef struct UnitTable
{
	const Unit *units;
	size_t		count;
	int64		base;
	const char *own;		/* name of the setting's own unit */
	const char *accepted;	/* for messages */
} UnitTable;

static const UnitTable *
unit_table(SettingType type)
{
	static const UnitTable none = {NULL, 0, 1, "", ""};
	static const UnitTable size = {size_units, lengthof(size_units), 1, "bytes", "B, kB, MB, GB, TB"};
	static const UnitTable time_ms = {time_units, lengthof(time_units), 1000, "milliseconds", "us, ms, s, min, h, d"};
	static const UnitTable time_us = {time_units, lengthof(time_units), 1, "microseconds", "us, ms, s, min, h, d"};

	switch (type)
	{
		case SETTING_TYPE_SIZE:
			return &size;
		case SETTING_TYPE_TIME_MS:
			return &time_ms;
		case SETTING_TYPE_TIME_US:
			return &time_us;
		default:
			return &none;
	}
}

static bool
parse_bool(const char *text, int64 *number)
{
	static const char *const words[][2] = {{"on", "off"}, {"true", "false"}, {"yes", "no"}, {"1", "0"}};

	for (size_t i = 0; i < lengthof(words); i++)
		for (int no = 0; no < 2; no++)
			if (strcasecmp(text, words[i][no]) == 0)
			{
				*number = !no;
				return true;
			}
	return false;
}

/* word_at -- the enum word at *p: its name, length and value; false at the end of the list. */
static bool
word_at(const char **p, const char **name, int *len, int64 *number)
{
	const char *equals = strchr(*p, '=');
	char	   *end;

	if (equals == NULL)
		return false;
	*name = *p;
	*len = (int) (equals - *p);
	*number = strtoll(equals + 1, &end, 10);
	*p = end + strspn(end, " ");
	return true;
}

static bool
parse_enum(const Setting *setting, const char *text, int64 *number, char *err, size_t err_size)
{
	const char *p = setting->words;
	const char *name;
	int			len;
	int64		value;
	size_t		used;

	while (word_at(&p, &name, &len, &value))
		if (strlen(text) == (size_t) len && strncasecmp(text, name, (size_t) len) == 0)
		{
			*number = value;
			return true;
		}
	used = (size_t) snprintf(err, err_size, "one of");
	p = setting->words;
	while (word_at(&p, &name, &len, &value) && used < err_size)
		used += (size_t) snprintf(err + used, err_size - used, " %.*s", len, name);
	return false;
}

/* parse_quantity -- number and unit into the setting's own unit; false: err says what is accepted. */
static bool
parse_quantity(const Setting *setting, const char *text, int64 *number, char *err, size_t err_size)
{
	const UnitTable *table = unit_table(setting->type);
	int64		factor = table->base;
	char	   *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	if (end == text || errno != 0)
	{
		(void) snprintf(err, err_size, errno == ERANGE ? "a smaller number" : "a number");
		return false;
	}
	end += strspn(end, " ");
	if (*end != '\0')
	{
		size_t		i = 0;

		while (i < table->count && strcasecmp(end, table->units[i].name) != 0)
			i++;
		if (i == table->count)
		{
			(void) snprintf(err, err_size, table->count > 0 ? "a number with one of the units %s" : "a number",
							table->accepted);
			return false;
		}
		factor = table->units[i].factor;
	}
	if (__builtin_mul_overflow(*number, factor, number))
	{
		(void) snprintf(err, err_size, "a smaller number");
		return false;
	}
	if (*number % table->base != 0)
	{
		(void) snprintf(err, err_size, "a whole number of %s", table->own);
		return false;
	}
	*number /= table->base;
	return true;
}

/* check_range -- false: err names both bounds, in units. */
static bool
check_range(const Setting *setting, int64 number, char *err, size_t err_size)
{
	SettingValue bound;
	char		min[64];
	char		max[64];

	if (number >= setting->min && number <= setting->max)
		return true;
	bound.number = setting->min;
	settings__format(setting, &bound, min, sizeof(min));
	bound.number = setting->max;
	settings__format(setting, &bound, max, sizeof(max));
	(void) snprintf(err, err_size, "%s to %s", min, max);
	return false;
}

bool
settings__parse(const Setting *setting, const char *text, SettingValue *value, char *err, size_t err_size)
{
	char		wants[256] = "";
	bool		good = false;

	value->text[0] = '\0';
	value->number = 0;
	switch (setting->type)
	{
		case SETTING_TYPE_BOOL:
			good = parse_bool(text, &value->number);
			(void) snprintf(wants, sizeof(wants), "on or off");
			break;
		case SETTING_TYPE_STRING:
			good = (size_t) snprintf(value->text, sizeof(value->text), "%s", text) < sizeof(value->text);
			(void) snprintf(wants, sizeof(wants), "at most %d bytes", SETTING_VALUE_MAX - 1);
			break;
		case SETTING_TYPE_ENUM:
			good = parse_enum(setting, text, &value->number, wants, sizeof(wants));
			break;
		default:
			good = parse_quantity(setting, text, &value->number, wants, sizeof(wants)) &&
				check_range(setting, value->number, wants, sizeof(wants));
			break;
	}
	if (!good)
		(void) snprintf(err, err_size, "invalid value \"%.100s\" for setting \"%s\": it wants %s", text, setting->name,
						wants);
	return good;
}

void
settings__format(const Setting *setting, const SettingValue *value, char *text, size_t size)
{
	const UnitTable *table = unit_table(setting->type);
	const char *p = setting->words;
	const char *name;
	int			len;
	int64		number;
	size_t		i = 0;

	switch (setting->type)
	{
		case SETTING_TYPE_BOOL:
			(void) snprintf(text, size, "%s", value->number ? "on" : "off");
			break;
		case SETTING_TYPE_STRING:
			(void) snprintf(text, size, "%s", value->text);
			break;
		case SETTING_TYPE_ENUM:
			while (word_at(&p, &name, &len, &number))
				if (number == value->number)
				{
					(void) snprintf(text, size, "%.*s", len, name);
					return;
				}
			NotReached();
		default:
			number = value->number * table->base;
			if (number == 0 || table->count == 0)
			{
				(void) snprintf(text, size, "%lld", (long long) value->number);
				break;
			}
			while (number % table->units[i].factor != 0)
				i++;
			(void) snprintf(text, size, "%lld%s", (long long) (number / table->units[i].factor), table->units[i].name);
			break;
	}
}

void
settings__default(const Setting *setting, SettingValue *value)
{
	value->number = setting->def;
	(void) snprintf(value->text, sizeof(value->text), "%s", setting->type == SETTING_TYPE_STRING ? setting->def_text : "");
}
