/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu (Linux: drivers/iommu/iommufd/). Objects have numbers; an IOAS is a space, a
 * hardware page table is filled from one, a device is attached to one of those.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/stat.h>
#include <linux/magic.h>

#include "base/base.h"

#include "model.h"

#define ALL UINT64_MAX

static struct fake_object *object_of(struct fake_ctx *ctx, uint32_t id, enum fake_type type)
{
	struct fake_object *object = id && id < FAKE_MAX_OBJECTS ? ctx->objects[id] : NULL;

	return object && (type == FAKE_OBJECT_NONE || object->type == type) ? object : NULL;
}

static uint32_t new_object(struct fake_ctx *ctx, enum fake_type type)
{
	uint32_t id = 1;

	while (id < FAKE_MAX_OBJECTS && ctx->objects[id])
		id++;
	if (id == FAKE_MAX_OBJECTS)
		abort();
	ctx->objects[id] = fake_alloc(sizeof(struct fake_object));
	ctx->objects[id]->type = type;
	fake_space_init(&ctx->objects[id]->space);
	return id;
}

static uint64_t smallest_page(void)
{
	return fake->options.page_sizes & -fake->options.page_sizes;
}

/* The alignment that small_pages and the domains ask for. */
static void settle_alignment(struct fake_object *ioas)
{
	struct fake_space *space = &ioas->space;

	space->alignment = ioas->small_pages ? FAKE_PAGE : 1;
	if (space->domains && smallest_page() > space->alignment)
		space->alignment = smallest_page();
}

static void drop_domain(struct fake_ctx *ctx, uint32_t id)
{
	struct fake_object *hwpt = ctx->objects[id], *ioas = ctx->objects[hwpt->ioas];

	ioas->space.domains--;
	if (!ioas->space.domains)
		fake_unfill(&ioas->space);
	fake_unreserve(&ioas->space, hwpt);
	settle_alignment(ioas);
	ioas->users--;
}

static void free_object(struct fake_ctx *ctx, uint32_t id)
{
	struct fake_object *object = ctx->objects[id];

	if (object->type == FAKE_OBJECT_HWPT)
		drop_domain(ctx, id);
	fake_space_exit(&object->space);
	free(object);
	ctx->objects[id] = NULL;
}

void fake_iommufd_free(struct fake_ctx *ctx)
{
	for (int type = FAKE_OBJECT_DEVICE; type > FAKE_OBJECT_NONE; type--)
		for (uint32_t id = 1; id < FAKE_MAX_OBJECTS; id++)
			if (ctx->objects[id] && ctx->objects[id]->type == (enum fake_type)type)
				free_object(ctx, id);
	free(ctx);
}

/* A page table of the IOMMU of @device, filled from @ioas. */
static int add_domain(struct fake_ctx *ctx, uint32_t ioas_id, const struct fake_plugged *device,
		      uint32_t *id)
{
	struct fake_object *ioas = ctx->objects[ioas_id], *hwpt;
	struct fake_space *space = &ioas->space;
	uint64_t alignment = smallest_page();
	struct fake_window outside[2];
	size_t nr = fake_outside(device->aperture, outside);
	int err = 0;

	if (alignment > FAKE_PAGE)
		return -EINVAL;
	for (size_t i = 0; i < space->nr && alignment > space->alignment; i++)
		if ((space->areas[i].iova | (space->areas[i].last + 1) |
		     (uintptr_t)space->areas[i].memory) &
		    (alignment - 1))
			return -EADDRINUSE;
	*id = new_object(ctx, FAKE_OBJECT_HWPT);
	hwpt = ctx->objects[*id];
	hwpt->ioas = ioas_id;
	hwpt->noiommu = device->noiommu;
	/* Without an IOMMU it is a table in software, over all of the addresses. */
	for (size_t i = 0; i < nr && !err && !device->noiommu; i++)
		err = fake_reserve(space, outside[i], hwpt);
	if (!err && !space->domains)
		err = fake_fill(space);
	if (err) {
		fake_unreserve(space, hwpt);
		hwpt->type = FAKE_OBJECT_NONE;
		free_object(ctx, *id);
		return err;
	}
	space->domains++;
	ioas->users++;
	settle_alignment(ioas);
	return 0;
}

/* Devices */

int fake_iommufd_bind(struct fake_ctx *ctx, struct fake_plugged *device, uint32_t *id)
{
	int err;

	if (device->noiommu && fake->options.no_rawio)
		return -EPERM;
	if (device->no_isolated_msi)
		return -EPERM;
	err = device->noiommu ? 0 : fake_claim(device->group, ctx, false);
	if (err)
		return err;
	*id = new_object(ctx, FAKE_OBJECT_DEVICE);
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i] == device)
			ctx->objects[*id]->function = i;
	ctx->objects[*id]->users = 1;
	return 0;
}

void fake_iommufd_unbind(struct fake_plugged *device)
{
	fake_iommufd_detach(device);
	free_object(device->ctx, device->device);
	if (!device->noiommu)
		fake_disclaim(device->group);
	device->device = 0;
	device->ctx = NULL;
}

void fake_iommufd_detach(struct fake_plugged *device)
{
	struct fake_object *hwpt;

	if (!device->hwpt)
		return;
	hwpt = device->ctx->objects[device->hwpt];
	fake_unreserve(&device->ctx->objects[hwpt->ioas]->space, device);
	if (!--hwpt->users && hwpt->automatic)
		free_object(device->ctx, device->hwpt);
	device->hwpt = 0;
}

/* The devices of a group all use one page table. */
static bool others_elsewhere(const struct fake_plugged *device, uint32_t hwpt)
{
	for (int i = 0; i < fake->nr_functions; i++) {
		const struct fake_plugged *other = fake->functions[i];

		if (other != device && other->group == device->group && other->hwpt &&
		    other->hwpt != hwpt)
			return true;
	}
	return false;
}

static int attach_to(struct fake_plugged *device, uint32_t id)
{
	struct fake_object *hwpt = device->ctx->objects[id];
	struct fake_space *space = &device->ctx->objects[hwpt->ioas]->space;
	int err = 0;

	if (others_elsewhere(device, id))
		return -EINVAL;
	for (size_t i = 0; i < device->nr_reserved && !err; i++)
		err = fake_reserve(space, device->reserved[i], device);
	if (err) {
		fake_unreserve(space, device);
		return err;
	}
	hwpt->users++;
	device->hwpt = id;
	return 0;
}

/* Another page table than that which its IOMMU made could not translate for it. */
static bool fits(const struct fake_plugged *device, const struct fake_object *hwpt,
		 const struct fake_space *space)
{
	struct fake_window outside[2];
	size_t nr = fake_outside(device->aperture, outside), found = 0;

	if (hwpt->noiommu != device->noiommu)
		return false;
	for (size_t i = 0; i < nr; i++)
		for (size_t j = 0; j < space->nr_reserved; j++)
			found += space->reserved[j].owner == hwpt &&
				 space->reserved[j].window.start == outside[i].start &&
				 space->reserved[j].window.last == outside[i].last;
	return device->noiommu || found == nr;
}

static int attach_automatically(struct fake_plugged *device, uint32_t ioas)
{
	struct fake_ctx *ctx = device->ctx;
	uint32_t id;
	int err;

	for (id = 1; id < FAKE_MAX_OBJECTS; id++) {
		struct fake_object *hwpt = object_of(ctx, id, FAKE_OBJECT_HWPT);

		if (!hwpt || !hwpt->automatic || hwpt->ioas != ioas ||
		    !fits(device, hwpt, &ctx->objects[ioas]->space))
			continue;
		err = attach_to(device, id);
		if (err != -EINVAL)
			return err;
	}
	err = add_domain(ctx, ioas, device, &id);
	if (err)
		return err;
	err = attach_to(device, id);
	if (err)
		free_object(ctx, id);
	else
		ctx->objects[id]->automatic = true;
	return err;
}

int fake_iommufd_attach(struct fake_plugged *device, uint32_t *pt)
{
	struct fake_object *object = object_of(device->ctx, *pt, FAKE_OBJECT_NONE);
	uint32_t old = device->hwpt;
	int err;

	if (!object)
		return -ENOENT;
	/* To attach what is attached replaces: the old goes when the new is there. */
	if (old) {
		fake_unreserve(&device->ctx->objects[device->ctx->objects[old]->ioas]->space,
			       device);
		device->hwpt = 0;
	}
	switch (object->type) {
	case FAKE_OBJECT_HWPT:
		err = attach_to(device, *pt);
		break;
	case FAKE_OBJECT_IOAS:
		err = attach_automatically(device, *pt);
		break;
	default:
		err = -EINVAL;
	}
	if (err && old) {
		struct fake_object *hwpt = device->ctx->objects[old];

		for (size_t i = 0; i < device->nr_reserved; i++)
			fake_reserve_anyway(&device->ctx->objects[hwpt->ioas]->space,
					    device->reserved[i], device);
		device->hwpt = old;
	} else if (old) {
		struct fake_object *hwpt = device->ctx->objects[old];

		if (!--hwpt->users && hwpt->automatic)
			free_object(device->ctx, old);
	}
	if (!err)
		*pt = device->hwpt;
	return err;
}

/* Requests */

static int alloc_ioas(struct fake_ctx *ctx, void *arg)
{
	struct uapi_ioas_alloc *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->ioas_id = new_object(ctx, FAKE_OBJECT_IOAS);
	return 0;
}

static int destroy(struct fake_ctx *ctx, void *arg)
{
	struct uapi_destroy *cmd = arg;
	struct fake_object *object = object_of(ctx, cmd->id, FAKE_OBJECT_NONE);

	if (!object)
		return -ENOENT;
	if (object->users)
		return -EBUSY;
	free_object(ctx, cmd->id);
	return 0;
}

static int iova_ranges(struct fake_ctx *ctx, void *arg)
{
	struct uapi_iova_ranges *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	uint32_t max = cmd->nr;
	size_t nr;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if (!ioas)
		return -ENOENT;
	nr = fake_holes(&ioas->space, (struct fake_window *)(uintptr_t)cmd->ranges, max);
	cmd->nr = (uint32_t)nr;
	cmd->alignment = ioas->space.alignment;
	return nr > max ? -EMSGSIZE : 0;
}

static int allow_iovas(struct fake_ctx *ctx, void *arg)
{
	struct uapi_iova_ranges *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	const struct uapi_iova_range *ranges = (void *)(uintptr_t)cmd->ranges;
	struct fake_window *allowed;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if (!ioas)
		return -ENOENT;
	for (uint32_t i = 0; i < cmd->nr; i++) {
		if (ranges[i].start >= ranges[i].last)
			return -EINVAL;
		for (uint32_t j = 0; j < i; j++)
			if (ranges[j].start <= ranges[i].last && ranges[i].start <= ranges[j].last)
				return -EINVAL;
	}
	for (uint32_t i = 0; i < cmd->nr; i++)
		if (fake_find_reserved(&ioas->space, ranges[i].start, ranges[i].last))
			return -EADDRINUSE;
	allowed = fake_alloc(cmd->nr * sizeof(*allowed));
	for (uint32_t i = 0; i < cmd->nr; i++)
		allowed[i] = (struct fake_window){ranges[i].start, ranges[i].last};
	free(ioas->space.allowed);
	ioas->space.allowed = allowed;
	ioas->space.nr_allowed = cmd->nr;
	return 0;
}

/* Room for @length bytes that lie in memory as @memory does; never at 0. */
static int find_room(const struct fake_space *space, uint64_t memory, uint64_t length,
		     uint64_t *iova)
{
	uint64_t alignment = 1ULL << order_of(length), at;

	if (!length || length >= ALL / 2)
		return -EOVERFLOW;
	if (memory && (memory & -memory) < alignment)
		alignment = memory & -memory;
	if (alignment < space->alignment)
		return -EINVAL;
	if (alignment < FAKE_PAGE)
		alignment = FAKE_PAGE;
	for (at = alignment + memory % FAKE_PAGE; at < ALL - length; at += alignment) {
		bool allowed = !space->nr_allowed;

		for (size_t i = 0; i < space->nr_allowed; i++)
			allowed |= space->allowed[i].start <= at &&
				   at + length - 1 <= space->allowed[i].last;
		if (allowed && !fake_find(space, at, at + length - 1) &&
		    !fake_find_reserved(space, at, at + length - 1)) {
			*iova = at;
			return 0;
		}
	}
	return -ENOSPC;
}

static int check_place(const struct fake_space *space, uint64_t iova, uint64_t length)
{
	uint64_t last;

	if (iova & (space->alignment - 1))
		return -EINVAL;
	if (__builtin_add_overflow(iova, length - 1, &last))
		return -EOVERFLOW;
	if (fake_find_reserved(space, iova, last))
		return -EINVAL;
	return fake_find(space, iova, last) ? -EEXIST : 0;
}

/* What MAP, MAP_FILE and COPY have in common; @area has all but its place. */
static int add(struct fake_space *space, struct fake_area *area, uint32_t flags,
	       uint64_t where_from, uint64_t length, uint64_t *iova)
{
	int err = 0;

	if (length & (space->alignment - 1))
		err = -EINVAL;
	else if (flags & UAPI_MAP_FIXED)
		err = check_place(space, *iova, length);
	else
		err = find_room(space, where_from, length, iova);
	if (!err && ((uintptr_t)where_from & (FAKE_PAGE - 1) & (space->alignment - 1)))
		err = -EINVAL;
	area->read = flags & UAPI_MAP_READABLE;
	area->write = flags & UAPI_MAP_WRITEABLE;
	area->iova = *iova;
	area->last = *iova + length - 1;
	if (err && area->fd >= 0) {
		/* Through the common end, which closes it. */
		struct fake_space none;

		fake_space_init(&none);
		fake_add_area(&none, area);
		fake_space_exit(&none);
	}
	return err ? err : fake_add_area(space, area);
}

static int check_flags(uint32_t flags, uint64_t iova, uint64_t length)
{
	const uint32_t access = UAPI_MAP_WRITEABLE | UAPI_MAP_READABLE;

	if (flags & ~(access | UAPI_MAP_FIXED))
		return -EOPNOTSUPP;
	if (iova == ALL || length == ALL)
		return -EOVERFLOW;
	return flags & access ? 0 : -EINVAL;
}

static int map(struct fake_ctx *ctx, void *arg)
{
	struct uapi_ioas_map *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	struct fake_area area = {.fd = -1, .memory = (uint8_t *)(uintptr_t)cmd->user_va};
	uint64_t iova = cmd->iova, end;
	int err = cmd->reserved ? -EOPNOTSUPP : check_flags(cmd->flags, cmd->iova, cmd->length);

	if (err)
		return err;
	if (!ioas)
		return -ENOENT;
	if (__builtin_add_overflow(cmd->user_va, cmd->length, &end))
		return -EOVERFLOW;
	if (!cmd->length || cmd->length > ALL - FAKE_PAGE)
		return -EINVAL;
	area.writable = cmd->flags & UAPI_MAP_WRITEABLE;
	err = add(&ioas->space, &area, cmd->flags, cmd->user_va, cmd->length, &iova);
	if (!err)
		cmd->iova = iova;
	return err;
}

/* Memory that a descriptor stands for: shmem, huge pages, or a dma-buf. */
static int check_file(int fd, uint64_t start, uint64_t length)
{
	struct statfs fs;
	struct stat stat;

	if (fstat(fd, &stat) || fstatfs(fd, &fs))
		return -EBADF;
	for (size_t i = 0; i < fake->nr_dmabufs; i++) {
		if (fake->dmabufs[i].dev != stat.st_dev || fake->dmabufs[i].ino != stat.st_ino)
			continue;
		if (!fake->options.dmabufs)
			return -EINVAL;
		return start + length > fake->dmabufs[i].size ? -EINVAL : 0;
	}
	if (!S_ISREG(stat.st_mode) || ((unsigned long)fs.f_type != TMPFS_MAGIC &&
				       (unsigned long)fs.f_type != HUGETLBFS_MAGIC))
		return -EINVAL;
	return start + length > (uint64_t)stat.st_size ? -EINVAL : 0;
}

static int map_file(struct fake_ctx *ctx, void *arg)
{
	struct uapi_ioas_map_file *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	struct fake_area area = {.fd = -1};
	uint64_t iova = cmd->iova, last;
	int err = check_flags(cmd->flags, cmd->iova, cmd->length);

	if (err)
		return err;
	if (!ioas)
		return -ENOENT;
	if (cmd->length && __builtin_add_overflow(cmd->start, cmd->length - 1, &last))
		return -EOVERFLOW;
	if (!cmd->length || cmd->length > ALL - FAKE_PAGE)
		return -EINVAL;
	err = check_file(cmd->fd, cmd->start, cmd->length);
	if (!err && cmd->start % FAKE_PAGE)
		err = -EINVAL; /* the stand-in maps whole pages */
	if (!err)
		err = fake_map_file(&area, cmd->fd, cmd->start, cmd->length);
	if (err)
		return err;
	area.writable = cmd->flags & UAPI_MAP_WRITEABLE;
	err = add(&ioas->space, &area, cmd->flags, cmd->start, cmd->length, &iova);
	if (!err)
		cmd->iova = iova;
	return err;
}

static int copy(struct fake_ctx *ctx, void *arg)
{
	struct uapi_ioas_copy *cmd = arg;
	struct fake_object *from = object_of(ctx, cmd->src_ioas_id, FAKE_OBJECT_IOAS);
	struct fake_object *to = object_of(ctx, cmd->dst_ioas_id, FAKE_OBJECT_IOAS);
	struct fake_area *source, area;
	uint64_t iova = cmd->dst_iova, last;
	int err = check_flags(cmd->flags, cmd->dst_iova, cmd->length);

	if (!err && cmd->src_iova == ALL)
		err = -EOVERFLOW;
	if (err)
		return err;
	if (!from)
		return -ENOENT;
	if (!cmd->length)
		return -EINVAL;
	if (__builtin_add_overflow(cmd->src_iova, cmd->length - 1, &last))
		return -EOVERFLOW;
	source = fake_find(&from->space, cmd->src_iova, cmd->src_iova);
	if (!source)
		return -ENOENT;
	if (source->last < last) {
		fprintf(stderr, "vfio_kernel: a copy of more than one map is not modelled\n");
		abort();
	}
	if (!to)
		return -ENOENT;
	if ((cmd->flags & UAPI_MAP_WRITEABLE) && !source->writable)
		return -EPERM;
	area = (struct fake_area){
		.fd = -1,
		.memory = source->memory + (cmd->src_iova - source->iova),
		.writable = source->writable,
	};
	if (source->fd >= 0) {
		err = fake_map_file(&area, source->fd,
				    source->start + (cmd->src_iova - source->iova), cmd->length);
		if (err)
			return err;
	}
	err = add(&to->space, &area, cmd->flags, (uintptr_t)area.memory, cmd->length, &iova);
	if (!err)
		cmd->dst_iova = iova;
	return err;
}

/*
 * Each area that lies in the range goes, the lowest first; one that straddles an end stops it,
 * and what went before is gone without a word.
 */
static int unmap(struct fake_ctx *ctx, void *arg)
{
	struct uapi_ioas_unmap *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	uint64_t last = ALL, unmapped = 0;
	bool all = !cmd->iova && cmd->length == ALL;
	struct fake_area *area;

	if (!ioas)
		return -ENOENT;
	if (!all) {
		if (cmd->iova == ALL || cmd->length == ALL)
			return -EOVERFLOW;
		if (!cmd->length)
			return -EINVAL;
		if (__builtin_add_overflow(cmd->iova, cmd->length - 1, &last))
			return -EOVERFLOW;
	}
	while ((area = fake_find(&ioas->space, cmd->iova, last))) {
		if (area->iova < cmd->iova || area->last > last) {
			fake->cuts++;
			return -ENOENT;
		}
		unmapped += area->last - area->iova + 1;
		fake_remove_area(&ioas->space, area);
	}
	if (!unmapped && !all && fake->options.empty_is_error)
		return -ENOENT;
	cmd->length = unmapped;
	return 0;
}

static int option_rlimit(struct fake_ctx *ctx, struct uapi_option *cmd)
{
	if (cmd->object_id)
		return -EOPNOTSUPP;
	if (cmd->op == 1) {
		cmd->value = ctx->account_process;
		return 0;
	}
	if (cmd->op != 0)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < FAKE_MAX_OBJECTS; i++)
		if (ctx->objects[i])
			return -EBUSY;
	if (cmd->value > 1)
		return -EINVAL;
	ctx->account_process = cmd->value;
	return 0;
}

static int option_huge(struct fake_ctx *ctx, struct uapi_option *cmd)
{
	struct fake_object *ioas = object_of(ctx, cmd->object_id, FAKE_OBJECT_IOAS);

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if (!ioas)
		return -ENOENT;
	if (cmd->op == 1) {
		cmd->value = !ioas->small_pages;
		return 0;
	}
	if (cmd->op != 0)
		return -EOPNOTSUPP;
	if (cmd->value > 1)
		return -EINVAL;
	if (!cmd->value && !ioas->small_pages && ioas->space.domains && ioas->space.nr)
		return -EINVAL;
	ioas->small_pages = !cmd->value;
	settle_alignment(ioas);
	return 0;
}

static int option(struct fake_ctx *ctx, void *arg)
{
	struct uapi_option *cmd = arg;

	switch (cmd->option) {
	case UAPI_OPTION_RLIMIT_MODE:
		return option_rlimit(ctx, cmd);
	case UAPI_OPTION_HUGE_PAGES:
		return option_huge(ctx, cmd);
	default:
		return -EOPNOTSUPP;
	}
}

/* The registers of an IOMMU of Intel's (VT-d 4.1, 11.4.2 and 11.4.3). */
struct vtd_info {
	uint32_t flags;
	uint32_t reserved;
	uint64_t cap_reg;
	uint64_t ecap_reg;
};

static int hw_info(struct fake_ctx *ctx, void *arg)
{
	struct uapi_hw_info *cmd = arg;
	struct vtd_info vtd = {.cap_reg = 0xc9de008cee690462, .ecap_reg = 0x12ca9a00f0ef5e};
	struct fake_object *device = object_of(ctx, cmd->dev_id, FAKE_OBJECT_DEVICE);
	uint8_t *data = (uint8_t *)(uintptr_t)cmd->data;

	if (cmd->flags || cmd->reserved[0] || cmd->reserved[1] || cmd->reserved[2])
		return -EOPNOTSUPP;
	if (cmd->data_len && !data)
		return -EINVAL;
	if (!device)
		return -ENOENT;
	for (uint32_t i = 0; i < cmd->data_len; i++)
		data[i] = i < sizeof(vtd) ? ((uint8_t *)&vtd)[i] : 0;
	cmd->data_len = sizeof(vtd);
	cmd->type = UAPI_HW_INFO_INTEL;
	cmd->max_pasid_log2 = 0;
	cmd->capabilities = fake->options.dirty_tracking ? UAPI_HW_CAP_DIRTY_TRACKING : 0;
	return 0;
}

static int alloc_hwpt(struct fake_ctx *ctx, void *arg)
{
	struct uapi_hwpt_alloc *cmd = arg;
	struct fake_object *device = object_of(ctx, cmd->dev_id, FAKE_OBJECT_DEVICE);
	bool track = cmd->flags & UAPI_HWPT_DIRTY_TRACKING;
	int err;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if (!cmd->data_len != (cmd->data_type == 0))
		return -EINVAL;
	if (!device)
		return -ENOENT;
	/* Page tables of the user's, below one of the kernel's, are not modelled. */
	if (!object_of(ctx, cmd->pt_id, FAKE_OBJECT_IOAS))
		return -EINVAL;
	if (cmd->data_len || (cmd->flags & ~UAPI_HWPT_DIRTY_TRACKING) ||
	    (track && !fake->options.dirty_tracking) ||
	    (cmd->flags && fake->functions[device->function]->noiommu))
		return -EOPNOTSUPP;
	err = add_domain(ctx, cmd->pt_id, fake->functions[device->function], &cmd->hwpt_id);
	if (!err)
		ctx->objects[cmd->hwpt_id]->tracks = track;
	return err;
}

static int set_tracking(struct fake_ctx *ctx, void *arg)
{
	struct uapi_set_dirty_tracking *cmd = arg;
	struct fake_object *hwpt = object_of(ctx, cmd->hwpt_id, FAKE_OBJECT_HWPT);

	if (cmd->flags & ~1U)
		return -EOPNOTSUPP;
	if (!hwpt)
		return -ENOENT;
	if (!hwpt->tracks)
		return -EOPNOTSUPP;
	hwpt->tracking = cmd->flags & 1U;
	if (hwpt->tracking)
		fake_dirty(&ctx->objects[hwpt->ioas]->space, 0, ALL, FAKE_PAGE, NULL, true);
	return 0;
}

static int get_dirty(struct fake_ctx *ctx, void *arg)
{
	struct uapi_dirty_bitmap *cmd = arg;
	struct fake_object *hwpt = object_of(ctx, cmd->hwpt_id, FAKE_OBJECT_HWPT);
	struct fake_space *space;
	uint64_t last;

	if ((cmd->flags & ~UAPI_DIRTY_NO_CLEAR) || cmd->reserved)
		return -EOPNOTSUPP;
	if (!hwpt)
		return -ENOENT;
	space = &ctx->objects[hwpt->ioas]->space;
	if (__builtin_add_overflow(cmd->iova, cmd->length - 1, &last))
		return -EOVERFLOW;
	if ((cmd->iova | (last + 1)) & (space->alignment - 1))
		return -EINVAL;
	if (!cmd->page_size || ((cmd->iova | (last + 1)) & (cmd->page_size - 1)))
		return -EINVAL;
	if (!hwpt->tracks)
		return -EOPNOTSUPP;
	fake_dirty(space, cmd->iova, last, cmd->page_size, (uint64_t *)(uintptr_t)cmd->bitmap,
		   !(cmd->flags & UAPI_DIRTY_NO_CLEAR));
	return 0;
}

/* The address of @iova in memory, and how far memory goes on without a gap. */
static int get_pa(struct fake_ctx *ctx, void *arg)
{
	struct uapi_noiommu_get_pa *cmd = arg;
	struct fake_object *ioas = object_of(ctx, cmd->ioas_id, FAKE_OBJECT_IOAS);
	uint64_t max = cmd->length ? cmd->length : ALL, size = 0, phys;
	struct fake_area *area;
	bool noiommu = false;

	if (fake->options.no_rawio)
		return -EPERM;
	if (cmd->flags || cmd->reserved)
		return -EOPNOTSUPP;
	if (!ioas)
		return -ENOENT;
	for (uint32_t id = 1; id < FAKE_MAX_OBJECTS; id++) {
		struct fake_object *hwpt = object_of(ctx, id, FAKE_OBJECT_HWPT);

		noiommu |= hwpt && hwpt->noiommu && hwpt->ioas == cmd->ioas_id;
	}
	area = fake_find(&ioas->space, cmd->iova, cmd->iova);
	if (!noiommu || !area)
		return noiommu ? -ENOENT : -EOPNOTSUPP;
	phys = fake_phys(area->memory + (cmd->iova - area->iova));
	while (size < max && cmd->iova + size <= area->last &&
	       fake_phys(area->memory + (cmd->iova + size - area->iova)) == phys + size)
		size += FAKE_PAGE - (cmd->iova + size) % FAKE_PAGE;
	cmd->phys = phys;
	cmd->length = size < max ? size : max;
	return 0;
}

static const struct {
	unsigned long request;
	uint32_t size, least;
	int (*serve)(struct fake_ctx *ctx, void *arg);
} requests[] = {
#define REQUEST(request, type, last, serve)                                                    \
	{                                                                                      \
		request, sizeof(type), offsetof(type, last) + sizeof(((type *)0)->last), serve \
	}
	REQUEST(UAPI_DESTROY, struct uapi_destroy, id, destroy),
	REQUEST(UAPI_IOAS_ALLOC, struct uapi_ioas_alloc, ioas_id, alloc_ioas),
	/* As the next but one, without the alignment. */
	{UAPI_IOAS_ALLOW_IOVAS, offsetof(struct uapi_iova_ranges, alignment),
	 offsetof(struct uapi_iova_ranges, alignment), allow_iovas},
	REQUEST(UAPI_IOAS_COPY, struct uapi_ioas_copy, src_iova, copy),
	REQUEST(UAPI_IOAS_IOVA_RANGES, struct uapi_iova_ranges, alignment, iova_ranges),
	REQUEST(UAPI_IOAS_MAP, struct uapi_ioas_map, iova, map),
	REQUEST(UAPI_IOAS_MAP_FILE, struct uapi_ioas_map_file, iova, map_file),
	REQUEST(UAPI_IOAS_UNMAP, struct uapi_ioas_unmap, length, unmap),
	REQUEST(UAPI_OPTION, struct uapi_option, value, option),
	REQUEST(UAPI_HWPT_ALLOC, struct uapi_hwpt_alloc, reserved, alloc_hwpt),
	REQUEST(UAPI_GET_HW_INFO, struct uapi_hw_info, reserved, hw_info),
	REQUEST(UAPI_HWPT_SET_DIRTY_TRACKING, struct uapi_set_dirty_tracking, reserved,
		set_tracking),
	REQUEST(UAPI_HWPT_GET_DIRTY_BITMAP, struct uapi_dirty_bitmap, bitmap, get_dirty),
	REQUEST(UAPI_IOAS_NOIOMMU_GET_PA, struct uapi_noiommu_get_pa, phys, get_pa),
#undef REQUEST
};

/* Where the log's record is to point. */
static void describe(unsigned long request, const void *arg, struct fake_call *call)
{
	if (request == UAPI_IOAS_MAP) {
		call->iova = ((const struct uapi_ioas_map *)arg)->iova;
		call->size = ((const struct uapi_ioas_map *)arg)->length;
	} else if (request == UAPI_IOAS_MAP_FILE) {
		call->iova = ((const struct uapi_ioas_map_file *)arg)->iova;
		call->size = ((const struct uapi_ioas_map_file *)arg)->length;
	} else if (request == UAPI_IOAS_UNMAP) {
		call->iova = ((const struct uapi_ioas_unmap *)arg)->iova;
		call->size = ((const struct uapi_ioas_unmap *)arg)->length;
	}
}

int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg,
		       struct fake_call *call)
{
	uint8_t buffer[128] = {0};
	uint32_t size;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (requests[i].request != request)
			continue;
		if (request == UAPI_IOAS_MAP_FILE && fake->options.no_file_memory)
			break;
		memcpy(&size, arg, sizeof(size));
		if (size < requests[i].least)
			return -EINVAL;
		for (uint32_t at = requests[i].size; at < size; at++)
			if (((uint8_t *)arg)[at])
				return -E2BIG;
		if (size > requests[i].size)
			size = requests[i].size;
		memcpy(buffer, arg, size);
		describe(request, buffer, call);
		err = requests[i].serve(file->ctx, buffer);
		/* Who asks for ranges without room for them is told how many there are. */
		if (!err || err == -EMSGSIZE)
			memcpy(arg, buffer, size);
		return err;
	}
	return -ENOTTY;
}
