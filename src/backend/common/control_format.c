/*
 * control_format.c -- seal and check of one slot of the control file.
 *
 * A slot whose checksum fits was written by a server; what it says is looked at
 * all the same, field by field, before anybody acts on it: it decides where redo
 * begins, which log goes away and which pages may be written.
 *
 * Pure functions on memory that the caller owns: server and tools, any process.
 * control_format.h and doc/formats.md have the byte map.
 */
#include "common/control_format.h"
#include "common/crc32c.h"

static_assert(offsetof(ControlData, wal_segment_size) == 40 && offsetof(ControlData, cut) == 48 &&
			  offsetof(ControlData, older_cut) == 56 && offsetof(ControlData, base) == 64 &&
			  offsetof(ControlData, key_count) == 136 && offsetof(ControlData, checkpoints) == 264 &&
			  offsetof(ControlData, flushed) == 272 && offsetof(ControlData, clock_us) == 280 &&
			  offsetof(ControlData, map) == 304 && offsetof(ControlData, gap) == 376 &&
			  offsetof(ControlData, deadline_count) == 1400 && offsetof(ControlData, deadline_sum) == 1528 &&
			  offsetof(ControlData, reserved) == 1656 && offsetof(ControlData, crc) == 1660, "control slot: places");
static_assert(sizeof(ControlData) == 1664, "control slot: length");

static uint32
control_crc(const ControlData *data)
{
	return crc32c_extend(0, data, offsetof(ControlData, crc));
}

void
control_seal(ControlData *data)
{
	data->magic = CONTROL_MAGIC;
	data->format_version = FORMAT_VERSION;
	data->reserved = 0;
	data->crc = control_crc(data);
}

bool
control_sealed(const ControlData *data)
{
	return data->crc == control_crc(data);
}

/* check_base -- what it says of the data file; NULL: it can be so. */
static const char *
check_base(const ControlData *data)
{
	const BaseState *b = &data->base;
	uint64		keys = 0;

	for (int i = 0; i < DATABASE_COUNT; i++)
	{
		keys |= data->key_count[i];
		if (data->deadline_count[i] > data->key_count[i])
			return "it counts more deadlines than keys";
	}
	/* each summand first: sums must not run over */
	if (b->page_count == 0 || b->live_pages == 0 || b->live_pages > b->page_count || b->free_pages > b->page_count
		|| b->aside_pages > b->page_count || b->page_count > UINT64_MAX / BASE_PAGE_SIZE
		|| b->live_pages + b->free_pages + b->aside_pages != b->page_count)
		return "its counts of pages do not add up";
	if (b->root.number >= b->page_count || b->root.birth > data->cut
		|| (b->root.number == 0) != (b->root.birth == 0) || (b->root.number == 0) != (b->levels == 0)
		|| b->levels > BASE_LEVEL_MAX)
		return "its root is impossible";
	if (b->map.number >= b->page_count || b->map.birth > data->cut
		|| (b->map.number == 0) != (b->map.birth == 0) || (b->map.number == 0) != (b->map_pages == 0)
		|| b->map_pages >= b->live_pages)
		return "its free-space map is impossible";
	if (b->map.number == 0 && b->free_pages + b->aside_pages != 0)
		return "it has free pages but no free-space map";
	if (b->root.number == 0 && keys != 0)
		return "it counts keys, but its base is empty";
	return NULL;
}

/* check_map -- databases to trees: each tree once, none that was not given out yet. */
static const char *
check_map(const WalMapBody *map)
{
	for (int i = 0; i < DATABASE_COUNT; i++)
	{
		if (map->tree_id[i] == 0)
			continue;
		if (map->tree_id[i] >= map->next_tree_id)
			return "its map of databases names a tree that was never made";
		for (int j = 0; j < i; j++)
			if (map->tree_id[j] == map->tree_id[i])
				return "its map of databases names a tree twice";
	}
	return NULL;
}

static const char *
check_gaps(const ControlData *data)
{
	if (data->gap_count > CONTROL_GAPS)
		return "its list of gaps is too long";
	for (uint32 i = 0; i < data->gap_count; i++)
		if (data->gap[i].from >= data->gap[i].to)
			return "its list of gaps has an empty one";
	return NULL;
}

/* check_positions -- of the log. */
static const char *
check_positions(const ControlData *data)
{
	if (!IsPowerOf2(data->wal_segment_size) || data->wal_segment_size < MIB || data->wal_segment_size > GIB)
		return "its segment size is impossible";
	if (data->cut == LSN_NONE || data->cut % 8 != 0)
		return "its cut is no position of the log";
	if (data->older_cut > data->cut || data->older_cut % 8 != 0)
		return "its older cut is impossible";
	if (data->flushed < data->cut)
		return "it was written before the log was flushed up to its cut";
	return NULL;
}

/*
 * control_valid -- may this slot be used?  false: *why, a constant text.
 *
 * A slot of another format version is not valid; the caller looks at
 * format_version itself, because what it advises differs.
 */
bool
control_valid(const ControlData *data, const char **why)
{
	*why = NULL;
	if (data->magic != CONTROL_MAGIC)
		*why = "it does not begin with the mark of a control slot";
	else if (data->format_version != FORMAT_VERSION)
		*why = "it has another format version";
	else if (!control_sealed(data))
		*why = "its checksum is wrong";
	else if (data->state < CONTROL_CREATED || data->state > CONTROL_STOPPED)
		*why = "its state is unknown";
	else if (data->sequence == 0 || data->timeline == 0 || data->system_id == 0)
		*why = "its sequence number, timeline or system identifier is 0";
	else if (data->reserved != 0)
		*why = "its reserved bytes are not zero";
	else
		*why = check_positions(data);
	if (*why == NULL)
		*why = check_gaps(data);
	if (*why == NULL)
		*why = check_base(data);
	if (*why == NULL)
		*why = check_map(&data->map);
	return *why == NULL;
}
