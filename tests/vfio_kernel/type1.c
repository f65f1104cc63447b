/* SPDX-License-Identifier: MIT */
/*
 * Containers: /dev/vfio/vfio (Linux: drivers/vfio/container.c, vfio_iommu_type1.c). What maps
 * is chosen by SET_IOMMU: type1, its second version, or no-IOMMU, which maps nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#include "model.h"

static bool has_extension(const struct fake_container *container, unsigned long extension)
{
	bool type1 = !fake->options.no_type1, noiommu = fake->options.noiommu;

	/* One driver, if it has been chosen or if groups allow only one, answers for itself. */
	if (container->groups && container->noiommu)
		type1 = false;
	else if (container->groups)
		noiommu = false;
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return type1;
	case VFIO_DMA_CC_IOMMU:
		return type1 && container->driver;
	case VFIO_NOIOMMU_IOMMU:
		return noiommu;
	default:
		return false;
	}
}

/* Groups */

/* A window of @device that no map may be in, by number; false: there are no more. */
static bool window_of(const struct fake_plugged *device, size_t i, struct fake_window *window)
{
	struct fake_window outside[2];
	size_t nr = fake_outside(device->aperture, outside);

	if (i < nr)
		*window = outside[i];
	else if (i - nr < device->nr_reserved)
		*window = device->reserved[i - nr];
	else
		return false;
	return true;
}

static int attach_windows(struct fake_space *space, const struct fake_group *group)
{
	struct fake_window window;

	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < fake->nr_functions; i++) {
			const struct fake_plugged *device = fake->functions[i];

			if (device->group != group)
				continue;
			for (size_t w = 0; window_of(device, w, &window); w++) {
				if (pass)
					fake_reserve_anyway(space, window, group);
				else if (fake_find(space, window.start, window.last))
					return -EINVAL;
			}
		}
	}
	return 0;
}

static int attach_group(struct fake_container *container, const struct fake_group *group)
{
	int err;

	if (container->driver == VFIO_NOIOMMU_IOMMU)
		return 0;
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->group == group && fake->functions[i]->no_isolated_msi)
			return -EPERM;
	err = attach_windows(&container->space, group);
	if (!err && !container->space.domains) {
		container->space.domains = 1;
		container->space.alignment = fake->options.page_sizes & -fake->options.page_sizes;
	}
	return err;
}

/* What SET_IOMMU has made goes with the last group. */
static void drop_driver(struct fake_container *container)
{
	container->driver = 0;
	container->tracking = false;
	fake_space_exit(&container->space);
}

int fake_container_attach(struct fake_container *container, struct fake_group *group)
{
	int err = 0;

	if (group->noiommu && fake->options.no_rawio)
		return -EPERM;
	if (container->groups && container->noiommu != group->noiommu)
		return -EPERM;
	if (!group->noiommu)
		err = fake_claim(group, group, true);
	if (err)
		return err;
	if (container->driver)
		err = attach_group(container, group);
	if (err) {
		if (!group->noiommu)
			fake_disclaim(group);
		return err;
	}
	group->container = container;
	container->noiommu = group->noiommu;
	container->groups++;
	container->refs++;
	return 0;
}

void fake_container_detach(struct fake_group *group)
{
	struct fake_container *container = group->container;

	fake_unreserve(&container->space, group);
	if (!group->noiommu)
		fake_disclaim(group);
	group->container = NULL;
	if (!--container->groups && container->driver)
		drop_driver(container);
	fake_container_put(container);
}

void fake_container_put(struct fake_container *container)
{
	if (--container->refs)
		return;
	fake_space_exit(&container->space);
	free(container);
}

static int set_iommu(struct fake_container *container, unsigned long driver)
{
	int err = 0;

	if (!container->groups || container->driver)
		return -EINVAL;
	if (!has_extension(container, driver) ||
	    (driver != VFIO_TYPE1_IOMMU && driver != VFIO_TYPE1v2_IOMMU &&
	     driver != VFIO_NOIOMMU_IOMMU))
		return -ENODEV;
	container->driver = driver;
	container->left = fake->options.entries;
	for (int i = 0; i < fake->nr_groups && !err; i++)
		if (fake->groups[i]->container == container)
			err = attach_group(container, fake->groups[i]);
	if (err)
		drop_driver(container);
	return err;
}

/* Type1 */

/* Capabilities, one behind the other. */
struct chain {
	uint8_t bytes[4096];
	size_t size;
	uint32_t *next; /* of the last one */
};

static void *add_capability(struct chain *chain, uint16_t id, uint16_t version, size_t size)
{
	struct vfio_info_cap_header *header = (void *)(chain->bytes + chain->size);

	if (chain->size + size > sizeof(chain->bytes))
		abort();
	header->id = id;
	header->version = version;
	if (chain->next)
		*chain->next = (uint32_t)(sizeof(struct vfio_iommu_type1_info) + chain->size);
	chain->next = &header->next;
	chain->size += align_up(size, 8);
	return header;
}

static void build_chain(struct fake_container *container, struct chain *chain)
{
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	struct vfio_iommu_type1_info_cap_migration *migration;
	struct vfio_iommu_type1_info_dma_avail *avail;
	struct fake_window holes[64];
	size_t nr = fake_holes(&container->space, holes, ARRAY_SIZE(holes));

	migration =
		add_capability(chain, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, sizeof(*migration));
	migration->flags = 0;
	migration->pgsize_bitmap = FAKE_PAGE;
	migration->max_dirty_bitmap_size = 256ULL << 20;
	if (!fake->options.no_dma_avail) {
		avail = add_capability(chain, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, sizeof(*avail));
		avail->avail = container->left;
	}
	ranges = add_capability(chain, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
				sizeof(*ranges) + nr * sizeof(ranges->iova_ranges[0]));
	ranges->nr_iovas = (uint32_t)nr;
	ranges->reserved = 0;
	for (size_t i = 0; i < nr; i++) {
		ranges->iova_ranges[i].start = holes[i].start;
		ranges->iova_ranges[i].end = holes[i].last;
	}
}

static int get_info(struct fake_container *container, void *arg)
{
	struct vfio_iommu_type1_info *info = arg;
	const size_t least =
		offsetof(struct vfio_iommu_type1_info, iova_pgsizes) + sizeof(info->iova_pgsizes);
	struct chain chain = {.size = 0};
	struct vfio_iommu_type1_info to = {0};
	uint32_t argsz = info->argsz;
	size_t size;

	if (argsz < least)
		return -EINVAL;
	build_chain(container, &chain);
	to.argsz = argsz;
	to.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	to.iova_pgsizes = fake->options.page_sizes;
	if (argsz < sizeof(to) + chain.size) {
		to.argsz = (uint32_t)(sizeof(to) + chain.size);
	} else {
		memcpy((uint8_t *)arg + sizeof(to), chain.bytes, chain.size);
		to.cap_offset = sizeof(to);
	}
	size = argsz < sizeof(to) ? argsz : sizeof(to);
	memcpy(arg, &to, size);
	return 0;
}

static int map_dma(struct fake_container *container, void *arg, struct fake_call *call)
{
	const struct vfio_iommu_type1_dma_map *map = arg;
	struct fake_space *space = &container->space;
	const uint32_t access = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct fake_area area = {.fd = -1};
	uint64_t last, end;
	int err;

	if (map->argsz < sizeof(*map) || (map->flags & ~(access | VFIO_DMA_MAP_FLAG_VADDR)))
		return -EINVAL;
	call->iova = map->iova;
	call->size = map->size;
	if (__builtin_add_overflow(map->iova, map->size - 1, &last) ||
	    __builtin_add_overflow(map->vaddr, map->size - 1, &end))
		return -EINVAL;
	/* New addresses for old memory, between two processes, are not modelled. */
	if (!(map->flags & access) || (map->flags & VFIO_DMA_MAP_FLAG_VADDR))
		return -EINVAL;
	if (!map->size || ((map->size | map->iova | map->vaddr) & (space->alignment - 1)))
		return -EINVAL;
	if (fake_find(space, map->iova, last))
		return -EEXIST;
	if (!container->left)
		return -ENOSPC;
	if (fake_find_reserved(space, map->iova, last))
		return -EINVAL;
	area.iova = map->iova;
	area.last = last;
	area.memory = (uint8_t *)(uintptr_t)map->vaddr;
	area.read = map->flags & VFIO_DMA_MAP_FLAG_READ;
	area.write = area.writable = map->flags & VFIO_DMA_MAP_FLAG_WRITE;
	err = fake_add_area(space, &area);
	if (!err)
		container->left--;
	return err;
}

static bool straddles(const struct fake_space *space, uint64_t iova, uint64_t last)
{
	const struct fake_area *low = fake_find(space, iova, iova);
	const struct fake_area *high = fake_find(space, last, last);

	return (low && low->iova < iova) || (high && high->last > last);
}

static int unmap_dma(struct fake_container *container, void *arg, struct fake_call *call)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;
	const size_t least =
		offsetof(struct vfio_iommu_type1_dma_unmap, size) + sizeof(unmap->size);
	struct fake_space *space = &container->space;
	bool all = unmap->argsz >= least && (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL);
	struct vfio_bitmap *bitmap = (void *)unmap->data;
	uint64_t unmapped = 0, last = UINT64_MAX;
	struct fake_area *area;
	const uint32_t known = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	int err = -EINVAL;

	if (unmap->argsz < least || (unmap->flags & ~known))
		return -EINVAL;
	if (!(unmap->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
		bitmap = NULL;
	else if (all || unmap->argsz < least + sizeof(*bitmap) || !bitmap->data ||
		 bitmap->pgsize != space->alignment || !container->tracking ||
		 bitmap->size < (unmap->size / bitmap->pgsize + 63) / 64 * 8)
		return -EINVAL;
	call->iova = unmap->iova;
	call->size = unmap->size;
	if (unmap->iova & (space->alignment - 1))
		goto out;
	if (all) {
		if (unmap->iova || unmap->size)
			goto out;
	} else if (!unmap->size || (unmap->size & (space->alignment - 1)) ||
		   __builtin_add_overflow(unmap->iova, unmap->size - 1, &last)) {
		goto out;
	}
	if (!all && straddles(space, unmap->iova, last)) {
		fake->cuts++;
		/* The first version takes whole what begins in the range, and is content. */
		if (container->driver == VFIO_TYPE1v2_IOMMU)
			goto out;
	}
	err = 0;
	while ((area = fake_find(space, unmap->iova, last))) {
		if (area->iova < unmap->iova)
			break;
		if (bitmap)
			fake_dirty(space, area->iova, area->last, bitmap->pgsize,
				   (uint64_t *)bitmap->data, true);
		unmapped += area->last - area->iova + 1;
		fake_remove_area(space, area);
		container->left++;
	}
out:
	unmap->size = unmapped;
	return err;
}

/* Without dirty bits all that is pinned counts as written. */
static void mark_all(struct fake_space *space)
{
	for (size_t i = 0; i < space->nr; i++) {
		struct fake_area *area = &space->areas[i];

		for (uint64_t page = 0; page <= (area->last - area->iova) / FAKE_PAGE; page++)
			area->dirty[page / 64] |= 1ULL << page % 64;
	}
}

static int dirty_pages(struct fake_container *container, void *arg)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty = arg;
	struct vfio_iommu_type1_dirty_bitmap_get *get = (void *)dirty->data;
	struct fake_space *space = &container->space;
	uint64_t last;

	if (dirty->argsz < sizeof(*dirty))
		return -EINVAL;
	switch (dirty->flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		container->tracking = true;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		container->tracking = false;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		break;
	default:
		return -EINVAL;
	}
	if (!container->tracking || dirty->argsz < sizeof(*dirty) + sizeof(*get) || !get->size ||
	    ((get->iova | get->size) & (space->alignment - 1)) ||
	    __builtin_add_overflow(get->iova, get->size - 1, &last) ||
	    get->bitmap.pgsize != space->alignment ||
	    get->bitmap.size < (get->size / get->bitmap.pgsize + 63) / 64 * 8 ||
	    straddles(space, get->iova, last))
		return -EINVAL;
	mark_all(space);
	fake_dirty(space, get->iova, last, get->bitmap.pgsize, (uint64_t *)get->bitmap.data, true);
	return 0;
}

int fake_container_ioctl(struct fake_file *file, unsigned long request, void *arg,
			 struct fake_call *call)
{
	struct fake_container *container = file->container;
	bool type1 = container->driver == VFIO_TYPE1_IOMMU ||
		     container->driver == VFIO_TYPE1v2_IOMMU;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return has_extension(container, (uintptr_t)arg);
	case VFIO_SET_IOMMU:
		return set_iommu(container, (uintptr_t)arg);
	}
	if (!container->driver)
		return -EINVAL;
	if (!type1)
		return -ENOTTY;
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		return get_info(container, arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(container, arg, call);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(container, arg, call);
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(container, arg);
	default:
		return -ENOTTY;
	}
}
