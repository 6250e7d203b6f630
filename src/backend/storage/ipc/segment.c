/*
 * segment.c -- the one shared-memory segment: made, laid out, reserved, removed.
 *
 * The postmaster creates it, before it forks, as a POSIX object (mode 0600) or as
 * a nameless memory file; children inherit descriptor and mapping.  Its size is
 * fixed at start and costs nothing: memory stands only behind what has been
 * reserved by fallocate, so that a full /dev/shm is an answer and never a SIGBUS.
 * Start reserves the small regions and the ring; the node heap grows by
 * segment_reserve().
 *
 * A POSIX object has a name made of the data directory's identity, and its
 * creator holds an flock on it that every child inherits.  So what is left of a
 * dead server is found and removed even without its pid file, and the segment of
 * a living server, whoever's it is, is never touched.
 *
 * Nothing here locks.  segment_create and segment_destroy are the postmaster's;
 * segment_reserve is any process', and what it reserved stays when it dies.
 */
#include "storage/ipc/segment_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"
#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25		/* Linux 6.1 */
#endif
#define NAME_ATTEMPTS 16		/* names tried when living servers have the first ones */

char	   *seg_base;
SharedControl *seg_control;

static SegmentHeader *header;
static int	seg_fd = -1;
static uint64 mapped_size;
static uint64 reserve_unit = 4 * KIB;	/* page size of what backs the segment */
static char name_in_use[NAME_MAX];
static char huge_state[256] = "off";
static bool collapsing;			/* huge pages are made as memory is reserved: collapse() */

/* ---- layout ---- */

static uint64
fnv1a(uint64 hash, const void *data, size_t len)
{
	const uint8 *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* fingerprint_of -- names, offsets and sizes of all regions, sizes of the structs that this room lays out. */
static uint64
fingerprint_of(const SegmentHeader *h)
{
	const uint64 structs[] = {
		sizeof(SegmentHeader), sizeof(SharedControl), sizeof(ProcSlot), sizeof(EpochShared),
		offsetof(ProcSlot, epoch_word), offsetof(ProcSlot, wal_word), offsetof(ProcSlot, latch),
		offsetof(SharedControl, redo_lsn), offsetof(SharedControl, socket_path),
		h->total_size, h->region_count, h->version
	};
	uint64		hash = UINT64_C(0xcbf29ce484222325);

	hash = fnv1a(hash, structs, sizeof(structs));
	return fnv1a(hash, h->region, sizeof(h->region));
}

static void
place(SegmentHeader *h, uint64 *end, RegionId id, const char *name, uint64 size, uint64 align)
{
	SegmentRegionEntry *entry = &h->region[id];

	Verify((unsigned) id < REGION_COUNT && entry->size == 0);
	Verify(strlen(name) < sizeof(entry->name));
	if (size == 0)
		return;
	*end = AlignUp(*end, align);
	(void) strlcpy(entry->name, name, sizeof(entry->name));
	entry->offset = *end;
	entry->size = size;
	*end += size;
}

/* lay_out -- the directory for these regions; the order on disk, so to speak, is the list's, the large ones behind. */
static void
lay_out(SegmentHeader *h, const SegmentRegion *regions, int region_count, uint64 ring_size, uint64 buffers_size,
		uint64 nodes_size)
{
	uint64		end = AlignUp(sizeof(SegmentHeader), SEGMENT_REGION_ALIGN);

	memset(h, 0, sizeof(*h));
	for (int i = 0; i < region_count; i++)
	{
		Verify(regions[i].id < REGION_WAL_RING);
		place(h, &end, regions[i].id, regions[i].name, regions[i].size(), SEGMENT_REGION_ALIGN);
	}
	place(h, &end, REGION_WAL_RING, "wal_ring", ring_size, SEGMENT_LARGE_ALIGN);
	place(h, &end, REGION_BUFFERS, "buffers", buffers_size, SEGMENT_LARGE_ALIGN);
	place(h, &end, REGION_NODES, "nodes", nodes_size, SEGMENT_LARGE_ALIGN);
	h->total_size = AlignUp(end, SEGMENT_LARGE_ALIGN);
	h->version = SEGMENT_VERSION;
	h->region_count = REGION_COUNT;
	h->fingerprint = fingerprint_of(h);
}

/* reserved_at_start -- bytes from offset 0 that need memory before anything runs. */
static uint64
reserved_at_start(const SegmentHeader *h)
{
	uint64		end = SEGMENT_REGION_ALIGN;

	for (int id = 0; id <= REGION_WAL_RING; id++)
		if (h->region[id].size != 0)
			end = Max(end, h->region[id].offset + h->region[id].size);
	return AlignUp(end, SEGMENT_REGION_ALIGN);
}

/* fill -- header and regions of a fresh, zeroed, reserved mapping at seg_base. */
static void
fill(const SegmentHeader *layout, const SegmentRegion *regions, int region_count)
{
	header = (SegmentHeader *) seg_base;
	*header = *layout;
	for (int i = 0; i < region_count; i++)
		if (regions[i].init != NULL)
			regions[i].init(seg_base + header->region[regions[i].id].offset);
	header->magic = SEGMENT_MAGIC;
}

const char *
segment_check(const void *base)
{
	const SegmentHeader *h = base;

	if (h->magic != SEGMENT_MAGIC)
		return "it is not a segment of artery";
	if (h->version != SEGMENT_VERSION || h->region_count != REGION_COUNT)
		return "it is of another version";
	if (h->fingerprint != fingerprint_of(h))
		return "its layout is another program's";
	return NULL;
}

/* ---- address space ---- */

/*
 * map_aligned -- map 'size' bytes of 'fd' (-1: anonymous) at a multiple of 2 MiB.
 * MAP_FAILED with errno.
 */
static void *
map_aligned(int fd, uint64 size)
{
	int			flags = MAP_SHARED | MAP_NORESERVE;
	uint64		room = size + SEGMENT_LARGE_ALIGN;
	char	   *area;
	char	   *base;
	void	   *result;

	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return MAP_FAILED;
	base = (char *) AlignUp((uintptr_t) area, SEGMENT_LARGE_ALIGN);
	result = mmap(base, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (result == MAP_FAILED)
	{
		int			saved_errno = errno;

		(void) munmap(area, room);
		errno = saved_errno;
		return MAP_FAILED;
	}
	/* give back what hangs over at both ends */
	if (base > area)
		(void) munmap(area, (size_t) (base - area));
	if (base + size < area + room)
		(void) munmap(base + size, (size_t) (area + room - (base + size)));
	return result;
}

/*
 * reserve_range -- memory behind [off, off + len) of 'fd'.  0 or an errno.
 *
 * With signals held back: a signal makes fallocate give up what it has done so
 * far, and under a stream of signals it would never end.
 */
static int
reserve_range(int fd, uint64 off, uint64 len)
{
	sigset_t	all;
	sigset_t	before;
	int			error = 0;

	(void) sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	while (fallocate(fd, 0, (off_t) off, (off_t) len) != 0)
	{
		error = errno;
		if (error != EINTR)
			break;
		error = 0;
	}
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	return error;
}

/*
 * collapse -- every huge page that this range touches in one piece, as far as memory can be had so: what could
 * not stays as it is.  What is reserved by that beside the range belongs to the segment as well.
 */
static int
collapse(Off off, uint64 end)
{
	off = AlignDown(off, SEGMENT_LARGE_ALIGN);
	end = Min(AlignUp(end, SEGMENT_LARGE_ALIGN), AlignDown(mapped_size, SEGMENT_LARGE_ALIGN));
	return off < end ? madvise(seg_base + off, end - off, MADV_COLLAPSE) : 0;
}

int
segment_reserve(Off off, uint64 len)
{
	int			error;

	uint64		end;

	Assert(my_slot == NULL || !epoch_inside());
	Verify(off <= mapped_size && len <= mapped_size - off);
	if (seg_fd < 0 || len == 0)
		return 0;
	end = Min(AlignUp(off + len, reserve_unit), mapped_size);
	off = AlignDown(off, reserve_unit);
	error = reserve_range(seg_fd, off, end - off);
	if (error == 0 && collapsing)
		(void) collapse(off, end);
	return error;
}

/* ---- names ---- */

/* base_name -- "/artery-" and a hash of the directory's device, inode and path. */
static void
base_name(const char *data_dir, char *name, size_t size)
{
	struct stat st;
	uint64		hash = UINT64_C(0xcbf29ce484222325);
	uint64		identity[2] = {0, 0};

	if (stat(data_dir, &st) == 0)
	{
		identity[0] = (uint64) st.st_dev;
		identity[1] = (uint64) st.st_ino;
	}
	hash = fnv1a(hash, identity, sizeof(identity));
	hash = fnv1a(hash, data_dir, strlen(data_dir));
	(void) snprintf(name, size, "/artery-%016llx", (unsigned long long) hash);
}

const char *
segment_plan_name(const char *data_dir)
{
	static char name[NAME_MAX];

	if (set_shared_memory_type == SHARED_MEMORY_MEMFD)
		return "";
	base_name(data_dir, name, sizeof(name));
	return name;
}

bool
segment_unlink_leftover(const char *name)
{
	struct stat st;
	bool		removed = false;
	int			fd;

	/* the name comes from a file: nothing but a segment of ours may be meant */
	if (strncmp(name, "/artery-", 8) != 0 || strchr(name + 1, '/') != NULL)
		return false;
	fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		removed = shm_unlink(name) == 0;
	(void) close(fd);
	return removed;
}

/* open_posix -- a new, locked POSIX object under the directory's name, or the next free one. */
static int
open_posix(const char *data_dir)
{
	char		first[64];

	base_name(data_dir, first, sizeof(first));
	for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++)
	{
		char		name[80];
		int			fd;
		int			error;

		if (attempt == 0)
			(void) strlcpy(name, first, sizeof(name));
		else
			(void) snprintf(name, sizeof(name), "%s.%d", first, attempt);
		fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		error = errno;
		if (fd < 0 && error == EEXIST && segment_unlink_leftover(name))
		{
			ereport(LOG, "removed the shared memory \"%s\" of a server that is dead", name);
			fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			error = errno;
		}
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		{
			(void) strlcpy(name_in_use, name, sizeof(name_in_use));
			return fd;
		}
		if (fd >= 0)
			(void) close(fd);	/* somebody takes it for a leftover this very moment: the next name */
		else if (error != EEXIST)
		{
			errno = error;
			break;
		}
		else
			errno = error;
	}
	ereport_hint(FATAL, "Is " SHM_DIRECTORY " mounted and writable? shared_memory_type = memfd does without it.",
				 "could not make shared memory \"%s\": %m", first);
	return -1;
}

/* ---- huge pages ---- */

/* mount_option_huge -- the value of huge= of the file system at /dev/shm; "never" when it has none. */
static void
mount_option_huge(char *value, size_t size)
{
	FILE	   *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;

	(void) strlcpy(value, "never", size);
	if (mounts == NULL)
		return;
	while ((entry = getmntent(mounts)) != NULL)
	{
		const char *option;

		if (strcmp(entry->mnt_dir, SHM_DIRECTORY) != 0)
			continue;
		/* the last one mounted over the place counts */
		(void) strlcpy(value, "never", size);
		option = hasmntopt(entry, "huge");
		if (option != NULL && option[4] == '=')
		{
			size_t		len = strcspn(option + 5, ",");

			(void) strlcpy(value, option + 5, Min(len + 1, size));
		}
	}
	(void) endmntent(mounts);
}

/* read_shmem_enabled -- the word in brackets; "absent" when this kernel has no such switch. */
static void
read_shmem_enabled(char *value, size_t size)
{
	FILE	   *file = fopen(SHMEM_ENABLED, "re");
	char		line[128];
	char	   *open;

	(void) strlcpy(value, "absent", size);
	if (file == NULL)
		return;
	if (fgets(line, sizeof(line), file) != NULL && (open = strchr(line, '[')) != NULL)
	{
		size_t		len = strcspn(open + 1, "]");

		(void) strlcpy(value, open + 1, Min(len + 1, size));
	}
	(void) fclose(file);
}

/* posix_huge_refused -- may a POSIX object get huge pages here?  true: no, and 'why' says so. */
static bool
posix_huge_refused(char *why, size_t size)
{
	char		enabled[32];
	char		mount[32];

	read_shmem_enabled(enabled, sizeof(enabled));
	mount_option_huge(mount, sizeof(mount));
	if (strcmp(enabled, "force") == 0)
		return false;
	if (strcmp(enabled, "absent") == 0)
	{
		(void) snprintf(why, size, "this kernel has no " SHMEM_ENABLED);
		return true;
	}
	if (strcmp(enabled, "deny") == 0)
	{
		(void) snprintf(why, size, SHMEM_ENABLED " says deny");
		return true;
	}
	if (strcmp(mount, "never") == 0)
	{
		(void) snprintf(why, size, SHM_DIRECTORY " is mounted without huge=, and " SHMEM_ENABLED " says %s", enabled);
		return true;
	}
	return false;
}

/* huge_refused -- one log line, or the end if huge_pages is on. */
static void
huge_refused(const char *why)
{
	(void) snprintf(huge_state, sizeof(huge_state), "refused: %s", why);
	if (set_huge_pages != HUGE_PAGES_ON)
	{
		ereport(LOG, "going on without huge pages: %s", why);
		return;
	}
	segment_destroy();
	ereport_hint(FATAL, "Set huge_pages = try to go on without, or make huge pages available to this server.",
				 "huge pages are not available: %s", why);
}

/* ---- creating ---- */

/* set_size -- FATAL when the system refuses. */
static void
set_size(int fd, uint64 size)
{
	while (ftruncate(fd, (off_t) size) != 0)
		if (errno != EINTR)
		{
			int			error = errno;

			segment_destroy();
			errno = error;
			ereport_hint(FATAL, "Lower memory_limit, or raise the limit on file sizes (ulimit -f).",
						 "could not size shared memory to %llu MB: %m", (unsigned long long) (size / MIB));
		}
}

/* create_memfd -- never to be executed where the kernel knows of that (since 6.3; some are told to insist on it). */
static int
create_memfd(unsigned int flags)
{
	const unsigned int noexec_seal = 0x0008U;	/* MFD_NOEXEC_SEAL */
	int			fd = memfd_create("artery", flags | noexec_seal);

	return fd < 0 && errno == EINVAL ? memfd_create("artery", flags) : fd;
}

/* open_memfd -- a sized memory file; huge: of huge pages, -1 with 'why' when refused. */
static int
open_memfd(uint64 size, bool huge, char *why, size_t why_size)
{
	int			fd = create_memfd(MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));

	if (fd < 0)
	{
		if (huge)
			(void) snprintf(why, why_size, "memfd_create(MFD_HUGETLB): %s", strerror(errno));
		else
			ereport(FATAL, "could not make a memory file: %m");
		return -1;
	}
	(void) fchmod(fd, 0600);
	if (huge && ftruncate(fd, (off_t) size) != 0)
	{
		(void) snprintf(why, why_size, "a memory file of %llu MB of huge pages: %s", (unsigned long long) (size / MIB),
						strerror(errno));
		(void) close(fd);
		return -1;
	}
	return fd;
}

/*
 * map_huge -- try a memory file of the system's huge page pool, all of it set
 * aside now, so that later reservations cannot fail.  false: 'why' says why not.
 */
static bool
map_huge(uint64 size, char *why, size_t why_size)
{
	int			fd = open_memfd(size, true, why, why_size);
	void	   *base;

	if (fd < 0)
		return false;
	/* not MAP_NORESERVE: the pool must hold all of it, or the answer is no */
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
	{
		(void) snprintf(why, why_size, "the pool of huge pages has no %llu MB free (vm.nr_hugepages): %s",
						(unsigned long long) (size / MIB), strerror(errno));
		(void) close(fd);
		return false;
	}
	seg_fd = fd;
	seg_base = base;
	mapped_size = size;
	reserve_unit = SEGMENT_LARGE_ALIGN;
	return true;
}

/* map_plain -- seg_fd is open: size it, map it. */
static void
map_plain(uint64 size)
{
	void	   *base;

	set_size(seg_fd, size);
	base = map_aligned(seg_fd, size);
	if (base == MAP_FAILED)
	{
		int			error = errno;

		segment_destroy();
		errno = error;
		ereport_hint(FATAL, "Lower memory_limit, or raise the limit on address space (ulimit -v).",
					 "could not map %llu MB of shared memory: %m", (unsigned long long) (size / MIB));
	}
	seg_base = base;
	mapped_size = size;
	reserve_unit = 4 * KIB;
}

/* map_segment -- by the settings shared_memory_type and huge_pages. */
static void
map_segment(const char *data_dir, uint64 size)
{
	char		why[200] = "";
	bool		huge = set_huge_pages != HUGE_PAGES_OFF;

	(void) strlcpy(huge_state, huge ? "on" : "off", sizeof(huge_state));
	if (set_shared_memory_type == SHARED_MEMORY_MEMFD)
	{
		if (huge)
		{
			if (map_huge(size, why, sizeof(why)))
				return;
			huge_refused(why);
		}
		seg_fd = open_memfd(size, false, why, sizeof(why));
		map_plain(size);
		/* nobody, whatever he holds open, can take memory away from under a mapping */
		(void) fcntl(seg_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		return;
	}
	seg_fd = open_posix(data_dir);
	map_plain(size);
}

/* ask_for_huge -- POSIX objects, once memory is behind their beginning (there is nothing to be made one piece before). */
static void
ask_for_huge(void)
{
	char		why[256];
	size_t		len;

	if (!posix_huge_refused(why, sizeof(why)))
	{
		if (madvise(seg_base, mapped_size, MADV_HUGEPAGE) == 0)
			return;
		(void) snprintf(why, sizeof(why), "madvise(MADV_HUGEPAGE): %s", strerror(errno));
	}
	/* who asks for a piece by name may have it whatever the switches of the system say */
	collapsing = collapse(0, SEGMENT_LARGE_ALIGN) == 0;
	if (collapsing)
		return;
	len = strlen(why);
	(void) snprintf(why + len, sizeof(why) - len, "; madvise(MADV_COLLAPSE): %s", strerror(errno));
	huge_refused(why);
}

/* free_bytes -- what the file system behind the segment has left; false: it sets no bound. */
static bool
free_bytes(uint64 *bytes)
{
	struct statvfs vfs;

	if (fstatvfs(seg_fd, &vfs) != 0 || vfs.f_blocks == 0)
		return false;
	*bytes = (uint64) vfs.f_bavail * vfs.f_frsize;
	return true;
}

/* reserve_first -- memory for everything but buffers and nodes; FATAL with size, what is free, and a hint. */
static void
reserve_first(const SegmentHeader *layout)
{
	uint64		need = Min(AlignUp(reserved_at_start(layout), reserve_unit), mapped_size);
	uint64		available = 0;
	bool		bounded = free_bytes(&available);
	char		free_text[80] = "";
	int			error;

	error = reserve_range(seg_fd, 0, need);
	if (error != 0)
	{
		if (bounded)
			(void) snprintf(free_text, sizeof(free_text), " (%.1f MB are free in " SHM_DIRECTORY ")",
							(double) available / (double) MIB);
		segment_destroy();
		errno = error;
		ereport_hint(FATAL,
					 "Lower wal_buffers or memory_limit, give " SHM_DIRECTORY " more room, "
					 "or set shared_memory_type = memfd.",
					 "could not reserve %.1f MB of shared memory for the start: %m%s", (double) need / (double) MIB,
					 free_text);
	}
	else if (bounded && layout->region[REGION_NODES].size > available - Min(need, available))
		ereport_hint(WARNING,
					 "Writers will get -OOM before memory_limit is reached. Give " SHM_DIRECTORY " more room, "
					 "or set shared_memory_type = memfd.",
					 "memory_limit is %llu MB, but only %llu MB are free in " SHM_DIRECTORY,
					 (unsigned long long) (layout->region[REGION_NODES].size / MIB),
					 (unsigned long long) ((available - Min(need, available)) / MIB));
}

void
segment_create(const char *data_dir, const SegmentRegion *regions, int region_count)
{
	SegmentHeader layout;

	Verify(seg_base == NULL && seg_fd < 0);
	lay_out(&layout, regions, region_count, (uint64) set_wal_buffers, (uint64) set_buffer_pool_size,
			(uint64) set_memory_limit);
	map_segment(data_dir, layout.total_size);
	reserve_first(&layout);
	if (set_huge_pages != HUGE_PAGES_OFF && set_shared_memory_type != SHARED_MEMORY_MEMFD)
		ask_for_huge();
	fill(&layout, regions, region_count);
}

void
segment_create_private(const SegmentRegion *regions, int region_count, uint64 nodes_size, uint64 ring_size,
					   uint32 proc_slots)
{
	SegmentHeader layout;
	void	   *base;

	segment_destroy();
	proc_slot_count = proc_slots;
	lay_out(&layout, regions, region_count, ring_size, 0, nodes_size);
	base = map_aligned(-1, layout.total_size);
	if (base == MAP_FAILED)
		ereport(FATAL, "could not map %llu MB: %m", (unsigned long long) (layout.total_size / MIB));
	seg_base = base;
	mapped_size = layout.total_size;
	fill(&layout, regions, region_count);
}

void
segment_destroy(void)
{
	if (seg_base != NULL)
		(void) munmap(seg_base, mapped_size);
	if (name_in_use[0] != '\0')
		(void) shm_unlink(name_in_use);
	if (seg_fd >= 0)
		(void) close(seg_fd);
	name_in_use[0] = '\0';
	seg_fd = -1;
	seg_base = NULL;
	seg_control = NULL;
	header = NULL;
	mapped_size = 0;
	collapsing = false;
}

/* ---- asking ---- */

const char *
segment_name(void)
{
	return name_in_use;
}

const char *
segment_huge_page_state(void)
{
	return huge_state;
}

int
segment_descriptor(void)
{
	return seg_fd;
}

uint64
segment_total_size(void)
{
	return mapped_size;
}

static const SegmentRegionEntry *
region_entry(RegionId id)
{
	Verify((unsigned) id < REGION_COUNT && header != NULL);
	return &header->region[id];
}

/* segment_region -- this process' address of a region; NULL: the segment was made without it. */
void *
segment_region(RegionId id)
{
	const SegmentRegionEntry *entry = region_entry(id);

	return entry->size == 0 ? NULL : seg_base + entry->offset;
}

uint64
segment_region_size(RegionId id)
{
	return region_entry(id)->size;
}

Off
segment_region_offset(RegionId id)
{
	return region_entry(id)->offset;
}

const char *
segment_region_name(RegionId id)
{
	return region_entry(id)->name;
}

size_t
segment_control_size(void)
{
	return sizeof(SharedControl);
}

void
segment_control_init(void *region)
{
	seg_control = region;
	/* relaxed: before anybody else can look */
	atomic_store_explicit(&seg_control->server_state, SERVER_STARTING, memory_order_relaxed);
}
