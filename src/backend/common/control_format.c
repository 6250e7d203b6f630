/*
 * control_format.c -- seal and check of one slot of the control file.
 *
 * Pure functions on memory that the caller owns: server and tools, any process.
 */
#include "common/control_format.h"
#include "common/crc32c.h"

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
	else if (!IsPowerOf2(data->wal_segment_size) || data->wal_segment_size < MIB || data->wal_segment_size > GIB)
		*why = "its segment size is impossible";
	else if (data->gap_count > CONTROL_GAPS)
		*why = "its list of gaps is too long";
	return *why == NULL;
}
