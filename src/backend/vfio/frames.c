/* SPDX-License-Identifier: MIT */
/*
 * Blocks of memory and their frames. The files of /proc are those of
 * Documentation/admin-guide/mm/pagemap.rst.
 */
#include <fcntl.h>

#include "backend/vfio/frames.h"
#include "backend/vfio/kernel.h"
#include "backend/vfio/uapi.h"

#define PAGE_SHIFT 12
#define BLOCK BASE_HUGE
#define BLOCK_PAGES (BLOCK >> PAGE_SHIFT)

/* An entry of the page map. */
#define ENTRY_PRESENT (1ULL << 63)
#define ENTRY_FRAME ((1ULL << 55) - 1)
/* Flags of a frame: in a page of hugetlbfs. */
#define FRAME_HUGE (1ULL << 17)

struct frame {
	struct frame *next_memory, *next_bus;
	uint64_t memory;
	dma_addr_t bus;
	uint64_t users;
	uint64_t iova; /* where iommufd has it */
};

static struct frame **bucket(struct frame **table, uint64_t address)
{
	return &table[(address / BLOCK * 0x9e3779b97f4a7c15) >> 54];
}

_Static_assert(FRAMES_BUCKETS == 1U << (64 - 54), "bucket() keeps as many bits");

static int proc_error(int err, const char *file)
{
	if (err == -EACCES || err == -EPERM)
		return base_error(err,
				  "devices without an IOMMU need physical addresses, and %s shows "
				  "them to root only (CAP_SYS_ADMIN); run as root",
				  file);
	return base_error(err == -ENOENT ? -EOPNOTSUPP : err,
			  "devices without an IOMMU need physical addresses, and %s cannot be "
			  "read: %s; a kernel with CONFIG_PROC_PAGE_MONITOR is needed",
			  file, strerror(-err));
}

static int open_proc(const char *file, int *fd)
{
	*fd = vfio_open(file, O_RDONLY);
	return *fd < 0 ? proc_error(*fd, file) : 0;
}

/* The numbers of @nr pages from @page on; 0, or -errno. */
static int read_numbers(int fd, uint64_t page, uint64_t *numbers, uint64_t nr)
{
	ssize_t got =
		vfio_kernel->pread(fd, numbers, nr * sizeof(*numbers), page * sizeof(*numbers));

	if (got < 0)
		return (int)got;
	return (size_t)got == nr * sizeof(*numbers) ? 0 : -ENXIO;
}

/* Without the right to see them, all frames are shown as 0. */
static int check_page_map(struct frames *frames)
{
	uint64_t entry = 0;
	int err = read_numbers(frames->pagemap, (uintptr_t)&entry >> PAGE_SHIFT, &entry, 1);

	if (!err && entry & ENTRY_PRESENT && !(entry & ENTRY_FRAME))
		err = -EPERM;
	return err ? proc_error(err, "/proc/self/pagemap") : 0;
}

int frames_init(struct frames *frames, int iommufd, uint32_t ioas)
{
	int err;

	*frames =
		(struct frames){.pagemap = -1, .kpageflags = -1, .iommufd = iommufd, .ioas = ioas};
	err = open_proc("/proc/self/pagemap", &frames->pagemap);
	if (!err && iommufd < 0)
		err = check_page_map(frames);
	if (!err && iommufd < 0)
		err = open_proc("/proc/kpageflags", &frames->kpageflags);
	if (err) {
		if (frames->pagemap >= 0)
			vfio_kernel->close(frames->pagemap);
		return err;
	}
	pthread_mutex_init(&frames->lock, NULL);
	return 0;
}

/* Ways to know. */

/* By the page map: -ENXIO if the block is not all in pages of hugetlbfs, and in one piece. */
static int ask_page_map(struct frames *frames, struct frame *frame)
{
	uint64_t entries[BLOCK_PAGES], flags, first;
	int err;

	for (int again = 0; again < 2; again++) {
		err = read_numbers(frames->pagemap, frame->memory >> PAGE_SHIFT, entries,
				   BLOCK_PAGES);
		if (err)
			return err;
		first = entries[0] & ENTRY_FRAME;
		for (uint64_t i = 0; i < BLOCK_PAGES; i++)
			if (!(entries[i] & ENTRY_PRESENT) ||
			    (entries[i] & ENTRY_FRAME) != first + i)
				return -ENXIO;
		err = read_numbers(frames->kpageflags, first, &flags, 1);
		if (err)
			return err;
		if (!(flags & FRAME_HUGE))
			return -ENXIO;
		/* A private page that was only read is replaced when it is first written. */
		if (!again)
			base_populate(frame->memory, BLOCK);
	}
	frame->bus = first << PAGE_SHIFT;
	return 0;
}

/* Whether all of the block is in huge pages, of whatever kind: what is not costs much to pin. */
static int is_huge(struct frames *frames, const struct frame *frame)
{
	struct uapi_page_region region = {0};
	struct uapi_page_scan scan = {
		.size = sizeof(scan),
		.start = frame->memory,
		.end = frame->memory + BLOCK,
		.vec = (uint64_t)(uintptr_t)&region,
		.vec_len = 1,
		.category_mask = UAPI_PAGE_IS_HUGE | UAPI_PAGE_IS_PRESENT,
		.return_mask = UAPI_PAGE_IS_HUGE,
	};
	int found = vfio_kernel->ioctl(frames->pagemap, UAPI_PAGEMAP_SCAN, &scan);

	if (found < 0)
		return found;
	return found == 1 && region.start == scan.start && region.end == scan.end ? 0 : -ENXIO;
}

static void unpin(struct frames *frames, const struct frame *frame)
{
	struct uapi_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = frames->ioas,
		.iova = frame->iova,
		.length = BLOCK,
	};

	vfio_kernel->ioctl(frames->iommufd, UAPI_IOAS_UNMAP, &unmap);
	counter_add(&frames->ioctls, 1);
}

static int ask_iommufd(struct frames *frames, struct frame *frame)
{
	struct uapi_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE,
		.ioas_id = frames->ioas,
		.user_va = frame->memory,
		.length = BLOCK,
	};
	struct uapi_noiommu_get_pa get = {
		.size = sizeof(get),
		.ioas_id = frames->ioas,
		.length = BLOCK,
	};
	int err = is_huge(frames, frame);

	if (err)
		return err;
	counter_add(&frames->ioctls, 1);
	err = vfio_kernel->ioctl(frames->iommufd, UAPI_IOAS_MAP, &map);
	/* Memory that may only be read, or is not there. */
	if (err)
		return err == -EFAULT ? -ENXIO : err;
	frame->iova = get.iova = map.iova;
	err = vfio_kernel->ioctl(frames->iommufd, UAPI_IOAS_NOIOMMU_GET_PA, &get);
	if (!err && get.length == BLOCK) {
		frame->bus = get.phys;
		return 0;
	}
	unpin(frames, frame);
	return err ? err : -ENXIO;
}

static int ask(struct frames *frames, struct frame *frame)
{
	int err = frames->iommufd >= 0 ? ask_iommufd(frames, frame) : ask_page_map(frames, frame);

	if (!err || err == -ENXIO)
		return err;
	return base_error(err,
			  "the kernel does not tell where memory at 0x%llx lies, for a device "
			  "without an IOMMU: %s%s",
			  (unsigned long long)frame->memory, strerror(-err),
			  err == -ENOMEM ? "; raise the limit of locked memory (ulimit -l), or "
					   "unmap something"
					 : "");
}

/* Blocks, with the lock held. */

static struct frame *by_memory(struct frames *frames, uint64_t memory)
{
	struct frame *frame = *bucket(frames->by_memory, memory);

	while (frame && frame->memory != memory)
		frame = frame->next_memory;
	return frame;
}

static struct frame *by_bus(struct frames *frames, dma_addr_t bus)
{
	struct frame *frame = *bucket(frames->by_bus, bus);

	while (frame && frame->bus != bus)
		frame = frame->next_bus;
	return frame;
}

static int get(struct frames *frames, uint64_t memory, struct frame **got)
{
	struct frame *frame = by_memory(frames, memory), **at;
	int err;

	*got = frame;
	if (frame) {
		frame->users++;
		return 0;
	}
	frame = base_zalloc(sizeof(*frame));
	if (!frame)
		return base_error(-ENOMEM, "no memory for the record of a huge page; free some");
	frame->memory = memory;
	frame->users = 1;
	err = ask(frames, frame);
	/* A page of 1 GiB has many blocks; smaller ones than a block have none. */
	if (!err && frame->bus % BLOCK) {
		if (frames->iommufd >= 0)
			unpin(frames, frame);
		err = -ENXIO;
	}
	if (err) {
		base_free(frame);
		return err;
	}
	at = bucket(frames->by_memory, memory);
	frame->next_memory = *at;
	*at = frame;
	at = bucket(frames->by_bus, frame->bus);
	frame->next_bus = *at;
	*at = frame;
	frames->nr++;
	*got = frame;
	return 0;
}

static void put(struct frames *frames, struct frame *frame)
{
	struct frame **at;

	if (--frame->users)
		return;
	for (at = bucket(frames->by_memory, frame->memory); *at != frame; at = &(*at)->next_memory)
		;
	*at = frame->next_memory;
	for (at = bucket(frames->by_bus, frame->bus); *at != frame; at = &(*at)->next_bus)
		;
	*at = frame->next_bus;
	frames->nr--;
	if (frames->iommufd >= 0)
		unpin(frames, frame);
	base_free(frame);
}

static void release_locked(struct frames *frames, uint64_t memory, uint64_t size)
{
	uint64_t last = memory + size - 1;
	struct frame *frame;

	if (!size || last < memory)
		return;
	for (uint64_t at = align_down(memory, BLOCK); at <= last; at += BLOCK) {
		frame = by_memory(frames, at);
		/* What was not taken: a size that is wrong ends where nothing is. */
		if (!frame)
			break;
		put(frames, frame);
	}
}

static int take_locked(struct frames *frames, uint64_t memory, uint64_t size, dma_addr_t *addr)
{
	uint64_t first = align_down(memory, BLOCK), last = memory + size - 1, at;
	struct frame *frame = NULL;
	dma_addr_t bus = 0;
	int err = 0;

	for (at = first; at <= last && !err; at += BLOCK) {
		err = get(frames, at, &frame);
		if (err)
			break;
		if (at == first) {
			bus = frame->bus;
		} else if (frame->bus != bus + (at - first)) {
			put(frames, frame);
			err = -ENXIO;
			break;
		}
	}
	if (err && at > first)
		release_locked(frames, first, at - first);
	if (!err)
		*addr = bus + (memory - first);
	return err;
}

int frames_take(struct frames *frames, uint64_t memory, uint64_t size, dma_addr_t *addr)
{
	int err;

	pthread_mutex_lock(&frames->lock);
	err = take_locked(frames, memory, size, addr);
	pthread_mutex_unlock(&frames->lock);
	return err;
}

void frames_release(struct frames *frames, uint64_t memory, uint64_t size)
{
	pthread_mutex_lock(&frames->lock);
	release_locked(frames, memory, size);
	pthread_mutex_unlock(&frames->lock);
}

bool frames_find(struct frames *frames, dma_addr_t addr, uint64_t *memory)
{
	struct frame *frame;

	pthread_mutex_lock(&frames->lock);
	frame = by_bus(frames, align_down(addr, BLOCK));
	if (frame)
		*memory = frame->memory + (addr & (BLOCK - 1));
	pthread_mutex_unlock(&frames->lock);
	return frame;
}

void frames_exit(struct frames *frames, bool forked)
{
	for (size_t i = 0; i < FRAMES_BUCKETS; i++) {
		while (frames->by_memory[i]) {
			struct frame *frame = frames->by_memory[i];

			frames->by_memory[i] = frame->next_memory;
			base_free(frame);
		}
	}
	vfio_kernel->close(frames->pagemap);
	if (frames->kpageflags >= 0)
		vfio_kernel->close(frames->kpageflags);
	if (!forked)
		pthread_mutex_destroy(&frames->lock);
}
