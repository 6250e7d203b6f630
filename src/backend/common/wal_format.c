/*
 * wal_format.c -- names, seals and checks of the log's pages and records.
 *
 * Pure functions on memory that the caller owns: server and tools, any process.
 * wal_format.h has the byte maps.
 */
#include "common/wal_format.h"
#include "common/crc32c.h"

#define SEGMENT_SIZE_MIN MIB
#define SEGMENT_SIZE_MAX GIB
#define NAME_DIGITS 16

void
wal_segment_file_name(Lsn first_lsn, char *name, size_t size)
{
	snprintf(name, size, "%016llX", (unsigned long long) first_lsn);
}

/* wal_segment_parse_name -- exactly 16 upper case hex digits; anything else in wal/ is not a segment. */
bool
wal_segment_parse_name(const char *name, Lsn *first_lsn)
{
	Lsn			lsn = 0;

	for (int i = 0; i < NAME_DIGITS; i++)
	{
		char		c = name[i];

		if (c >= '0' && c <= '9')
			lsn = lsn << 4 | (Lsn) (c - '0');
		else if (c >= 'A' && c <= 'F')
			lsn = lsn << 4 | (Lsn) (c - 'A' + 10);
		else
			return false;
	}
	if (name[NAME_DIGITS] != '\0')
		return false;
	*first_lsn = lsn;
	return true;
}

uint32
wal_record_crc(uint32 body_crc, const WalRecordHeader *h, uint64 seed)
{
	struct
	{
		WalRecordHeader header;
		uint64		seed;
	}			tail = {*h, seed};

	static_assert(sizeof(tail) == WAL_RECORD_HEADER + 8, "no hole between header and seed");
	tail.header.crc = 0;
	return crc32c_extend(body_crc, &tail, sizeof(tail));
}

static uint32
segment_header_crc(const WalSegmentHeader *h)
{
	return crc32c_extend(0, h, offsetof(WalSegmentHeader, crc));
}

void
wal_segment_header_seal(WalSegmentHeader *h)
{
	h->magic = WAL_MAGIC;
	h->version = WAL_VERSION;
	h->reserved = 0;
	h->crc = segment_header_crc(h);
}

/*
 * wal_segment_header_valid -- is this the header page of a log segment that this
 * version can read?  false: *why says why not, as a constant text.
 *
 * The checksum comes before the version: a flipped bit in the version is damage,
 * not another version, unless the page is sealed with it.
 */
bool
wal_segment_header_valid(const WalSegmentHeader *h, const char **why)
{
	bool		sealed = h->crc == segment_header_crc(h);

	*why = NULL;
	if (h->magic != WAL_MAGIC)
		*why = "it does not begin with the mark of a log segment";
	else if (h->version != WAL_VERSION)
		*why = sealed ? "it was written by another format version of the log"
			: "its checksum is wrong, or another format version of the log wrote it";
	else if (!sealed)
		*why = "the checksum of its header is wrong";
	else if (!IsPowerOf2(h->segment_size) || h->segment_size < SEGMENT_SIZE_MIN || h->segment_size > SEGMENT_SIZE_MAX)
		*why = "its header states an impossible segment size";
	else if (h->first_lsn == 0 || h->first_lsn % h->segment_size != 0)
		*why = "its header states an impossible first position";
	else if (h->continues_lsn > h->first_lsn || h->continues_lsn % 8 != 0)
		*why = "its header states an impossible end that it continues from";
	else if (!IsPowerOf2(h->ring_size) || h->ring_size > GIB)
		*why = "its header states an impossible wal_buffers";
	return *why == NULL;
}

const char *
wal_type_name(uint8 type)
{
	switch (type)
	{
#define X(number, name, text) \
		case number: \
			return #name;
			WAL_RECORD_TYPES(X)
#undef X
		default:
			return NULL;
	}
}

/* change_of -- one change: a head's fields, then its bytes at body[*at]. */
static bool
change_of(uint8 type, uint8 flags, uint16 key_len, uint64 value_len, const uint8 *body, size_t body_len, size_t *at, WalChange *out)
{
	size_t		head = key_len + (type == WAL_PUT && (flags & WAL_FLAG_EXPIRY) ? sizeof(uint64) : 0);

	if (head > body_len - *at || value_len > body_len - *at - head)
		return false;
	if (type == WAL_PUT || type == WAL_DELETE ? key_len < 4
		: key_len != 0 || value_len != (type == WAL_MAP ? sizeof(WalMapRecord) : sizeof(uint64)))
		return false;
	out->type = type;
	out->flags = flags;
	out->key_len = key_len;
	out->key = body + *at;
	out->expiry = 0;
	if (head > key_len)
		memcpy(&out->expiry, body + *at + key_len, sizeof(uint64));
	out->value = body + *at + head;
	out->value_len = value_len;
	*at += head + value_len;
	return true;
}

bool
wal_next_change(const WalRecordHeader *h, const uint8 *body, size_t body_len, size_t *at, WalChange *out, bool *bad)
{
	WalTxnChange head;

	*bad = false;
	if (*at == body_len || h->type == WAL_VOID)
		return false;
	if (h->type != WAL_TXN)
	{
		size_t		fixed = h->key_len + (h->type == WAL_PUT && (h->flags & WAL_FLAG_EXPIRY) ? sizeof(uint64) : 0);

		*bad = (h->type != WAL_PUT && h->type != WAL_DELETE && h->type != WAL_MAP && h->type != WAL_CLOCK) || fixed > body_len ||
			!change_of(h->type, h->flags, h->key_len, body_len - fixed, body, body_len, at, out);
		return !*bad;
	}
	*bad = true;
	if (body_len - *at < sizeof(head))
		return false;
	memcpy(&head, body + *at, sizeof(head));
	*at += sizeof(head);
	if (head.type != WAL_PUT && head.type != WAL_DELETE && head.type != WAL_MAP)
		return false;
	*bad = !change_of(head.type, head.flags, head.key_len, head.value_len, body, body_len, at, out);
	return !*bad;
}

uint32
wal_change_tree(const WalChange *change)
{
	uint32		big_endian;

	memcpy(&big_endian, change->key, sizeof(big_endian));
	return __builtin_bswap32(big_endian);
}

bool
wal_map_changed(const WalMapRecord *map, uint32 db, uint32 *swapped_with)
{
	uint32		before = map->before[db];
	uint32		after = map->map.tree_id[db];

	*swapped_with = DATABASE_COUNT;
	if (before == after)
		return false;
	for (uint32 d = 0; d < DATABASE_COUNT; d++)
		if (d != db && map->before[d] == after && map->map.tree_id[d] == before)
			*swapped_with = d;
	return true;
}
