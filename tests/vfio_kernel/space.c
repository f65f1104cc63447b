/* SPDX-License-Identifier: MIT */
/* One I/O address space, and what devices reach in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#include "model.h"

void fake_space_init(struct fake_space *space)
{
	*space = (struct fake_space){.alignment = 1};
}

/* The first area that ends at @iova or behind it, as an index. */
static size_t first_from(const struct fake_space *space, uint64_t iova)
{
	size_t low = 0, high = space->nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (space->areas[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct fake_area *fake_find(const struct fake_space *space, uint64_t iova, uint64_t last)
{
	size_t i = first_from(space, iova);

	return i < space->nr && space->areas[i].iova <= last ? &space->areas[i] : NULL;
}

/* Windows */

static bool overlap(struct fake_window window, uint64_t start, uint64_t last)
{
	return window.start <= last && start <= window.last;
}

bool fake_find_reserved(const struct fake_space *space, uint64_t iova, uint64_t last)
{
	for (size_t i = 0; i < space->nr_reserved; i++)
		if (overlap(space->reserved[i].window, iova, last))
			return true;
	return false;
}

void fake_reserve_anyway(struct fake_space *space, struct fake_window window, const void *owner)
{
	space->reserved =
		realloc(space->reserved, (space->nr_reserved + 1) * sizeof(*space->reserved));
	if (!space->reserved)
		abort();
	space->reserved[space->nr_reserved++] = (struct fake_reserved){window, owner};
}

int fake_reserve(struct fake_space *space, struct fake_window window, const void *owner)
{
	if (fake_find(space, window.start, window.last))
		return -EADDRINUSE;
	for (size_t i = 0; i < space->nr_allowed; i++)
		if (overlap(space->allowed[i], window.start, window.last))
			return -EADDRINUSE;
	fake_reserve_anyway(space, window, owner);
	return 0;
}

void fake_unreserve(struct fake_space *space, const void *owner)
{
	size_t kept = 0;

	for (size_t i = 0; i < space->nr_reserved; i++)
		if (space->reserved[i].owner != owner)
			space->reserved[kept++] = space->reserved[i];
	space->nr_reserved = kept;
}

size_t fake_outside(struct fake_window aperture, struct fake_window windows[2])
{
	size_t nr = 0;

	if (aperture.start)
		windows[nr++] = (struct fake_window){0, aperture.start - 1};
	if (aperture.last != UINT64_MAX)
		windows[nr++] = (struct fake_window){aperture.last + 1, UINT64_MAX};
	return nr;
}

size_t fake_holes(const struct fake_space *space, struct fake_window *windows, size_t max)
{
	uint64_t start = 0;
	size_t nr = 0;

	for (;;) {
		uint64_t next = UINT64_MAX, end = 0; /* the next window, and how far it goes */
		bool found = false;

		for (size_t i = 0; i < space->nr_reserved; i++) {
			struct fake_window window = space->reserved[i].window;

			if (window.last < start || (found && window.start >= next))
				continue;
			next = window.start;
			end = window.last;
			found = true;
		}
		if (!found || next > start) {
			if (nr < max)
				windows[nr] =
					(struct fake_window){start, found ? next - 1 : UINT64_MAX};
			nr++;
		}
		if (!found || end == UINT64_MAX)
			return nr;
		start = end + 1;
	}
}

/* Pages */

static uint64_t pages_of(const struct fake_area *area)
{
	uint64_t first = (uintptr_t)area->memory / FAKE_PAGE;
	uint64_t last = ((uintptr_t)area->memory + (area->last - area->iova)) / FAKE_PAGE;

	return last - first + 1;
}

/* As pin_user_pages(): present and accessible, a copy of its own where it is written. */
static int pin(struct fake_area *area)
{
	uintptr_t first = align_down((uintptr_t)area->memory, FAKE_PAGE);
	uint64_t pages = pages_of(area);
	int how = area->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ, err;

	if (area->fd < 0) {
		do
			err = madvise((void *)first, pages * FAKE_PAGE, how) ? errno : 0;
		while (err == EINTR || err == EAGAIN);
		if (err)
			return -EFAULT;
	}
	if (pages > fake->options.locked_pages || fake->locked > fake->options.locked_pages - pages)
		return -ENOMEM;
	fake->locked += pages;
	area->locked = pages;
	return 0;
}

static void unpin(struct fake_area *area)
{
	fake->locked -= area->locked;
	area->locked = 0;
}

static void free_area(struct fake_area *area)
{
	unpin(area);
	free(area->dirty);
	if (area->fd < 0)
		return;
	munmap(area->memory, area->last - area->iova + 1);
	close(area->fd);
}

int fake_map_file(struct fake_area *area, int fd, uint64_t start, uint64_t size)
{
	void *memory;

	area->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (area->fd < 0)
		return -errno;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (memory == MAP_FAILED) {
		int err = -errno;

		close(area->fd);
		return err;
	}
	area->memory = memory;
	area->start = start;
	return 0;
}

int fake_add_area(struct fake_space *space, struct fake_area *area)
{
	size_t at = first_from(space, area->iova);
	int err = space->domains ? pin(area) : 0;

	if (err) {
		free_area(area);
		return err;
	}
	if (space->nr == space->room) {
		space->room = space->room ? 2 * space->room : 64;
		space->areas = realloc(space->areas, space->room * sizeof(*space->areas));
		if (!space->areas)
			abort();
	}
	area->dirty = fake_alloc((pages_of(area) + 63) / 64 * sizeof(*area->dirty));
	memmove(space->areas + at + 1, space->areas + at, (space->nr - at) * sizeof(*space->areas));
	space->areas[at] = *area;
	space->nr++;
	return 0;
}

void fake_remove_area(struct fake_space *space, struct fake_area *area)
{
	size_t at = (size_t)(area - space->areas);

	free_area(area);
	space->nr--;
	memmove(area, area + 1, (space->nr - at) * sizeof(*space->areas));
}

int fake_fill(struct fake_space *space)
{
	int err = 0;

	for (size_t i = 0; i < space->nr && !err; i++)
		err = pin(&space->areas[i]);
	if (err)
		fake_unfill(space);
	return err;
}

void fake_unfill(struct fake_space *space)
{
	for (size_t i = 0; i < space->nr; i++)
		unpin(&space->areas[i]);
}

void fake_space_exit(struct fake_space *space)
{
	for (size_t i = 0; i < space->nr; i++)
		free_area(&space->areas[i]);
	free(space->areas);
	free(space->reserved);
	free(space->allowed);
	fake_space_init(space);
}

void fake_dirty(struct fake_space *space, uint64_t iova, uint64_t last, uint64_t page_size,
		uint64_t *data, bool clear)
{
	for (size_t i = first_from(space, iova); i < space->nr; i++) {
		struct fake_area *area = &space->areas[i];

		if (area->iova > last)
			break;
		for (uint64_t page = 0; page <= (area->last - area->iova) / FAKE_PAGE; page++) {
			uint64_t at = area->iova + page * FAKE_PAGE, bit;

			if (at < iova || at > last || !(area->dirty[page / 64] & 1ULL << page % 64))
				continue;
			if (clear)
				area->dirty[page / 64] &= ~(1ULL << page % 64);
			if (!data)
				continue;
			bit = (at - iova) / page_size;
			data[bit / 64] |= 1ULL << bit % 64;
		}
	}
}

/* The devices' side */

static struct fake_space *space_of(const struct fake_plugged *device, bool *track)
{
	*track = false;
	if (device->ctx && device->hwpt) {
		struct fake_object *hwpt = device->ctx->objects[device->hwpt];

		*track = hwpt->tracking;
		return &device->ctx->objects[hwpt->ioas]->space;
	}
	if (device->group && device->group->container && device->group->container->driver) {
		*track = true;
		return &device->group->container->space;
	}
	return NULL;
}

/* Where a transfer to @iova goes, and how many bytes there are from there on. */
static uint8_t *translate(int function, uint64_t iova, bool write, uint64_t *size)
{
	struct fake_plugged *device = fake->functions[function];
	bool track;
	struct fake_space *space;
	struct fake_area *area;
	uint64_t page;

	if (device->noiommu) {
		*size = FAKE_PAGE - iova % FAKE_PAGE;
		return fake_phys_reach(iova);
	}
	space = space_of(device, &track);
	area = space ? fake_find(space, iova, iova) : NULL;
	if (!area || !(write ? area->write : area->read))
		return NULL;
	page = (iova - area->iova) / FAKE_PAGE;
	*size = area->last - iova + 1;
	if (write && track) {
		area->dirty[page / 64] |= 1ULL << page % 64;
		/* One page at a time, so that each is marked. */
		if (*size > FAKE_PAGE - (iova - area->iova) % FAKE_PAGE)
			*size = FAKE_PAGE - (iova - area->iova) % FAKE_PAGE;
	}
	return area->memory + (iova - area->iova);
}

void *fake_reach(int function, uint64_t iova, size_t size, bool write)
{
	uint8_t *first = NULL, *next = NULL, *memory;
	uint64_t part;

	fake_enter();
	while (size) {
		memory = translate(function, iova, write, &part);
		if (!memory || (next && memory != next)) {
			first = NULL;
			break;
		}
		if (!first)
			first = memory;
		if (part > size)
			part = size;
		next = memory + part;
		iova += part;
		size -= part;
	}
	fake_leave();
	return first;
}

static int transfer(int function, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	int err = 0;

	fake_enter();
	while (len) {
		uint64_t part;
		uint8_t *memory = translate(function, iova, write, &part);

		if (!memory) {
			err = -EFAULT;
			break;
		}
		if (part > len)
			part = len;
		if (write)
			memcpy(memory, buf, part);
		else
			memcpy(buf, memory, part);
		buf += part;
		iova += part;
		len -= part;
	}
	fake_leave();
	return err;
}

int fake_read(int function, uint64_t iova, void *buf, size_t len)
{
	return transfer(function, iova, buf, len, false);
}

int fake_write(int function, uint64_t iova, const void *buf, size_t len)
{
	return transfer(function, iova, (uint8_t *)buf, len, true);
}

uint64_t fake_mapped(int function)
{
	struct fake_space *space;
	uint64_t bytes = 0;
	bool track;

	fake_enter();
	space = space_of(fake->functions[function], &track);
	for (size_t i = 0; space && i < space->nr; i++)
		bytes += space->areas[i].last - space->areas[i].iova + 1;
	fake_leave();
	return bytes;
}

size_t fake_areas(int function)
{
	struct fake_space *space;
	bool track;
	size_t nr;

	fake_enter();
	space = space_of(fake->functions[function], &track);
	nr = space ? space->nr : 0;
	fake_leave();
	return nr;
}

/* Blocks of 2 MiB, of which neighbours have changed places, above where memory is. */
#define PHYS_BLOCK (1ULL << 21)
#define PHYS_BASE (1ULL << 50)

uint64_t fake_phys(const void *memory)
{
	return PHYS_BASE + ((uintptr_t)memory ^ PHYS_BLOCK);
}

void *fake_phys_reach(uint64_t phys)
{
	return phys < PHYS_BASE ? NULL : (void *)(uintptr_t)((phys - PHYS_BASE) ^ PHYS_BLOCK);
}
