/*
 * control.c -- the control file's two slots, and the data file's header page.
 */
#include "verify.h"

#include <string.h>

static const char *const state_names[] = {"", "created", "running", "stopped"};

/*
 * is_other_format -- a slot that another version of artery wrote.  Where its seal
 * stands nobody knows; a damaged version field of one slot is told by the other one,
 * which is of this version.
 */
static bool
is_other_format(const ControlData *data)
{
	return data->magic == CONTROL_MAGIC && data->format_version != FORMAT_VERSION;
}

/* check_slot -- one block of the file; 'got' bytes of it are there. */
static void
check_slot(const uint8 *block, size_t got, int index, Slot *slot, uint64 *problems)
{
	const char *why;
	char		name[64];

	snprintf(name, sizeof(name), "control: slot %d (offset %d)", index, index * CONTROL_SLOT_SIZE);
	memcpy(&slot->data, block, sizeof(slot->data));
	slot->valid = false;
	if (got < sizeof(slot->data))
		verify_problem(problems, name, "the file ends after %zu bytes of it", got);
	else if (is_other_format(&slot->data))
		verify_problem(problems, name, "format version %u, this program knows %u", slot->data.format_version,
					   FORMAT_VERSION);
	else if (!control_valid(&slot->data, &why))
		verify_problem(problems, name, "%s", why);
	else if (slot->data.sequence % 2 != (uint64) index)
		verify_problem(problems, name, "it stands in the place of the other slot");
	else
	{
		slot->valid = true;
		if (got < CONTROL_SLOT_SIZE)
			verify_problem(problems, name, "the file ends after %zu bytes of it", got);
		else if (!verify_rest_zero(block + sizeof(slot->data), CONTROL_SLOT_SIZE - sizeof(slot->data)))
			verify_problem(problems, name, "what stands behind it is not zero");
	}
}

/* check_pair -- two valid slots: of one system, one written after the other. */
static void
check_pair(const ControlData *newer, const ControlData *older, uint64 *problems)
{
	if (newer->system_id != older->system_id)
		verify_problem(problems, "control", "its slots are of systems %016llx and %016llx",
					   (unsigned long long) newer->system_id, (unsigned long long) older->system_id);
	if (newer->wal_segment_size != older->wal_segment_size)
		verify_problem(problems, "control", "its slots say log segments of %llu and of %llu bytes",
					   (unsigned long long) newer->wal_segment_size, (unsigned long long) older->wal_segment_size);
	if (newer->created_wall_us != older->created_wall_us)
		verify_problem(problems, "control", "its slots say that the directory was made at different times");
	if (newer->timeline < older->timeline)
		verify_problem(problems, "control", "the newer slot is of timeline %u, the older one of %u", newer->timeline,
					   older->timeline);
	if (newer->sequence != older->sequence + 1)
		verify_problem(problems, "control", "sequence numbers %llu and %llu do not follow each other",
					   (unsigned long long) newer->sequence, (unsigned long long) older->sequence);
	if (newer->cut < older->cut)
		verify_problem(problems, "control", "the newer slot's cut %" LSN_FORMAT " lies before the older one's %" LSN_FORMAT,
					   LSN_ARGS(newer->cut), LSN_ARGS(older->cut));
	if (newer->older_cut != older->cut)
		verify_problem(problems, "control", "the newer slot says that the older one's cut is %" LSN_FORMAT ", it is %" LSN_FORMAT,
					   LSN_ARGS(newer->older_cut), LSN_ARGS(older->cut));
	if (newer->checkpoints < older->checkpoints)
		verify_problem(problems, "control", "the newer slot counts %llu checkpoints, the older one %llu",
					   (unsigned long long) newer->checkpoints, (unsigned long long) older->checkpoints);
}

int
verify_control(int fd, Slot slot[2], uint64 *problems)
{
	uint8	   *blocks = verify_alloc(2 * CONTROL_SLOT_SIZE + 1);
	size_t		got;
	int			error = verify_read(fd, blocks, 2 * CONTROL_SLOT_SIZE + 1, 0, &got);
	int			best = -1;

	if (error != 0)
		verify_fail("could not read the control file: %s", strerror(error));
	if (got > 2 * CONTROL_SLOT_SIZE)
		verify_problem(problems, "control", "the file goes on behind its two slots");
	for (int i = 0; i < 2; i++)
	{
		size_t		begin = (size_t) i * CONTROL_SLOT_SIZE;

		check_slot(blocks + begin, Min(Max(got, begin) - begin, CONTROL_SLOT_SIZE), i, &slot[i], problems);
		if (slot[i].valid && (best < 0 || slot[i].data.sequence > slot[best].data.sequence))
			best = i;
	}
	if (best < 0)
		for (int i = 0; i < 2; i++)
			if (is_other_format(&slot[i].data))
				verify_fail("the directory has format version %u, this program knows %u", slot[i].data.format_version,
							FORMAT_VERSION);
	if (slot[0].valid && slot[1].valid)
		check_pair(&slot[best].data, &slot[1 - best].data, problems);
	if (best >= 0)
	{
		const ControlData *d = &slot[best].data;

		fprintf(verify_out, "control: slot %d (offset %d) is in force: sequence %llu, %s, cut %" LSN_FORMAT "\n", best,
				best * CONTROL_SLOT_SIZE, (unsigned long long) d->sequence, state_names[d->state], LSN_ARGS(d->cut));
	}
	free(blocks);
	return best;
}

void
verify_header(int fd, const ControlData *slot, uint64 *problems)
{
	uint8	   *page = verify_alloc(BASE_PAGE_SIZE);
	BaseHeader	h;
	const char *why;
	char		name[64];
	size_t		got;
	int			error = verify_read(fd, page, BASE_PAGE_SIZE, 0, &got);

	snprintf(name, sizeof(name), "data/base: %s", verify_page(0, 1));
	memcpy(&h, page, sizeof(h));
	if (error != 0)
		verify_problem(problems, name, "could not read: %s", strerror(error));
	else if (got < BASE_PAGE_SIZE)
		verify_problem(problems, name, "the file ends at offset %zu, inside its header page", got);
	else if (!base_header_valid(&h, &why))
		verify_problem(problems, name, "%s", why);
	else
	{
		if (h.format_version != FORMAT_VERSION)
			verify_problem(problems, name, "format version %u, this program knows %u", h.format_version, FORMAT_VERSION);
		if (h.page_size != BASE_PAGE_SIZE)
			verify_problem(problems, name, "pages of %u bytes, this program knows those of %u", h.page_size,
						   BASE_PAGE_SIZE);
		if (h.system_id != slot->system_id)
			verify_problem(problems, name, "it is of system %016llx, the control file of %016llx",
						   (unsigned long long) h.system_id, (unsigned long long) slot->system_id);
		if (!verify_rest_zero(page + sizeof(h), BASE_PAGE_SIZE - sizeof(h)))
			verify_problem(problems, name, "what stands behind the header is not zero");
	}
	free(page);
}
