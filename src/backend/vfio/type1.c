/* SPDX-License-Identifier: MIT */
/*
 * type1: a container a space, and the IOMMU groups of its devices in it. What a container
 * has mapped goes with its last group.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <unistd.h>

#include "backend/vfio/space.h"

/* A group is opened once, however many devices of it are in use. Under the space's lock. */
struct vfio_group {
	struct vfio_group *next;
	int number;
	int fd;
	unsigned int devices;
};

static int container_error(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
		return base_error(-EOPNOTSUPP,
				  "this kernel gives out no VFIO containers (/dev/vfio/vfio); load "
				  "the module vfio_iommu_type1, or use vfio-iommufd:");
	case -EACCES:
	case -EPERM:
		return base_error(err,
				  "no permission to open /dev/vfio/vfio; run as root, or give the "
				  "file to a group that you are in");
	default:
		return base_error(err, "cannot open /dev/vfio/vfio: %s", strerror(-err));
	}
}

static int type1_open(struct vfio_space *space)
{
	int fd = vfio_open("/dev/vfio/vfio", O_RDWR);

	if (fd < 0)
		return container_error(fd);
	if (vfio_kernel->ioctl(fd, VFIO_GET_API_VERSION, NULL) != VFIO_API_VERSION ||
	    vfio_kernel->ioctl(fd, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU) <=
		    0) {
		vfio_kernel->close(fd);
		return base_error(-EOPNOTSUPP,
				  "VFIO of this kernel has no type1 IOMMU; load the module "
				  "vfio_iommu_type1, or use vfio-iommufd:");
	}
	space->fd = fd;
	return 0;
}

static void type1_close(struct vfio_space *space, bool forked)
{
	(void)forked;
	/* Of a forked child; else devices have taken them along. */
	while (space->groups) {
		struct vfio_group *group = space->groups;

		space->groups = group->next;
		vfio_kernel->close(group->fd);
		base_free(group);
	}
	vfio_kernel->close(space->fd);
}

/* Groups. */

static int group_open_error(int err, const struct vfio_place *place)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		return base_error(err,
				  "no permission to open %s, the IOMMU group of device %s; run as "
				  "root, or give the file to a group that you are in",
				  place->group_file, place->bdf);
	case -EBUSY:
		return base_error(err,
				  "IOMMU group %d of device %s is in use by another program, or by "
				  "another space of this one",
				  place->group, place->bdf);
	default:
		return base_error(err, "cannot open %s, the IOMMU group of device %s: %s",
				  place->group_file, place->bdf, strerror(-err));
	}
}

static int set_iommu_error(int err, const struct vfio_place *place)
{
	if (err == -EPERM)
		return base_error(err,
				  "device %s is refused because its interrupts are not isolated; "
				  "vfio_iommu_type1.allow_unsafe_interrupts=1 allows it, if the "
				  "device is trusted",
				  place->bdf);
	return base_error(err, "the IOMMU of device %s cannot be used: %s", place->bdf,
			  strerror(-err));
}

/* Which addresses there are, and how many mappings. */
static int read_info(struct vfio_space *space, const struct vfio_place *place)
{
	struct vfio_iommu_type1_info *info, head = {.argsz = sizeof(head)};
	struct backend_range ranges[64];
	size_t nr = 0;
	uint32_t at;
	int err = vfio_kernel->ioctl(space->fd, VFIO_IOMMU_GET_INFO, &head);

	if (err)
		return base_error(err, "VFIO does not tell what the IOMMU of %s can do: %s",
				  place->bdf, strerror(-err));
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES && !(head.iova_pgsizes & PGT_PAGE_SIZE))
		return base_error(-EOPNOTSUPP, "the IOMMU of device %s has no pages of 4096 bytes",
				  place->bdf);
	if (head.argsz < sizeof(head))
		head.argsz = sizeof(head);
	info = base_zalloc(head.argsz);
	if (!info)
		return base_error(-ENOMEM, "no memory for what the IOMMU of %s can do; free some",
				  place->bdf);
	info->argsz = head.argsz;
	err = vfio_kernel->ioctl(space->fd, VFIO_IOMMU_GET_INFO, info);
	at = !err && info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;
	while (at >= sizeof(*info) && at + sizeof(struct vfio_info_cap_header) <= head.argsz) {
		const struct vfio_info_cap_header *cap = (void *)((char *)info + at);

		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			const struct vfio_iommu_type1_info_cap_iova_range *list = (void *)cap;

			for (uint32_t i = 0;
			     i < list->nr_iovas && nr < ARRAY_SIZE(ranges) &&
			     (char *)&list->iova_ranges[i + 1] <= (char *)info + head.argsz;
			     i++)
				ranges[nr++] = (struct backend_range){list->iova_ranges[i].start,
								      list->iova_ranges[i].end};
		} else if (cap->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
			   at + sizeof(struct vfio_iommu_type1_info_dma_avail) <= head.argsz) {
			const struct vfio_iommu_type1_info_dma_avail *avail = (void *)cap;

			space->max_extents = avail->avail + space->extents.nr;
		}
		if (cap->next <= at)
			break;
		at = cap->next;
	}
	base_free(info);
	if (err)
		return base_error(err, "VFIO does not tell what the IOMMU of %s can do: %s",
				  place->bdf, strerror(-err));
	/* Before Linux 5.4 it does not say: all but where x86 has its interrupts. */
	if (!nr) {
		ranges[nr++] = (struct backend_range){0, 0xfedfffff};
		ranges[nr++] = (struct backend_range){0xfef00000, DMA_BIT_MASK(39)};
	}
	return vfio_set_allowed(space, ranges, nr, place->bdf);
}

static int join_container(struct vfio_space *space, int fd, const struct vfio_place *place)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int err = vfio_kernel->ioctl(fd, VFIO_GROUP_GET_STATUS, &status);

	if (err)
		return base_error(err, "VFIO does not tell the state of IOMMU group %d: %s",
				  place->group, strerror(-err));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return base_error(-EBUSY,
				  "IOMMU group %d of device %s has devices that other drivers use: "
				  "all of them must be free or bound to vfio-pci; see twostep "
				  "devices %s",
				  place->group, place->bdf, place->bdf);
	err = vfio_kernel->ioctl(fd, VFIO_GROUP_SET_CONTAINER, &space->fd);
	if (err == -EINVAL && space->extents.nr)
		return base_error(-EADDRINUSE,
				  "device %s cannot use addresses that are mapped in the space "
				  "already, or its IOMMU is of another kind; attach it before "
				  "mapping",
				  place->bdf);
	if (err == -EBUSY || err == -EINVAL)
		return base_error(-EBUSY,
				  "IOMMU group %d of device %s cannot share this space, or is in "
				  "another",
				  place->group, place->bdf);
	if (err)
		return base_error(err, "IOMMU group %d cannot be given a container: %s",
				  place->group, strerror(-err));
	if (space->ready)
		return 0;
	err = vfio_kernel->ioctl(space->fd, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU);
	if (err) {
		vfio_kernel->ioctl(fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
		return set_iommu_error(err, place);
	}
	space->ready = true;
	return 0;
}

static int get_group(struct vfio_space *space, const struct vfio_place *place,
		     struct vfio_group **got)
{
	struct vfio_group *group;
	int err;

	for (group = space->groups; group; group = group->next) {
		if (group->number == place->group) {
			group->devices++;
			*got = group;
			return 0;
		}
	}
	if (!place->group_file[0])
		return base_error(-EOPNOTSUPP,
				  "the kernel has no VFIO file for IOMMU group %d of device %s "
				  "(CONFIG_VFIO_GROUP); use vfio-iommufd:",
				  place->group, place->bdf);
	group = base_alloc(sizeof(*group));
	if (!group)
		return base_error(-ENOMEM, "no memory for IOMMU group %d; free some", place->group);
	*group = (struct vfio_group){.number = place->group, .devices = 1};
	group->fd = vfio_open(place->group_file, O_RDWR);
	err = group->fd < 0 ? group_open_error(group->fd, place)
			    : join_container(space, group->fd, place);
	if (err) {
		if (group->fd >= 0)
			vfio_kernel->close(group->fd);
		base_free(group);
		return err;
	}
	group->next = space->groups;
	space->groups = group;
	*got = group;
	return 0;
}

static void put_group(struct vfio_space *space, struct vfio_group *group)
{
	if (--group->devices)
		return;
	for (struct vfio_group **at = &space->groups; *at; at = &(*at)->next) {
		if (*at == group) {
			*at = group->next;
			break;
		}
	}
	vfio_kernel->ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
	vfio_kernel->close(group->fd);
	base_free(group);
	/* Without groups a container loses its IOMMU. */
	if (!space->groups)
		space->ready = false;
}

static int type1_attach(struct vfio_space *space, struct vfio_port *port,
			const struct vfio_place *place)
{
	struct vfio_group *group = NULL;
	int fd, err = get_group(space, place, &group);

	if (err)
		return err;
	fd = vfio_kernel->ioctl(group->fd, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)place->bdf);
	if (fd < 0) {
		err = base_error(fd, "VFIO does not give out device %s: %s", place->bdf,
				 fd == -EBUSY ? "it is in use" : strerror(-fd));
	} else {
		err = vfio_device_open(&port->device, fd, place);
		if (!err) {
			err = read_info(space, place);
			if (err)
				vfio_device_close(&port->device);
		}
	}
	if (err) {
		put_group(space, group);
		return err;
	}
	port->device.group_fd = group->fd;
	port->group = group;
	return 0;
}

static void type1_detach(struct vfio_space *space, struct vfio_port *port)
{
	vfio_device_close(&port->device);
	put_group(space, port->group);
}

/* Memory. */

static int type1_check(const struct vfio_space *space, const struct memory_record *record)
{
	(void)space;
	if (record->cpu)
		return 0;
	return base_error(-ENXIO,
			  "memory at 0x%llx has no CPU mapping, and type1 maps by nothing else; "
			  "register it with one, or use vfio-iommufd:",
			  (unsigned long long)record->base);
}

static int type1_room(const struct vfio_space *space, uint64_t nr)
{
	if (!space->max_extents || space->extents.nr <= space->max_extents)
		return 0;
	return base_error(-ENOSPC,
			  "%llu more mappings were wanted, %llu are there, and the kernel allows "
			  "%llu; link larger pieces (DMA_IOVA_WHOLE merges), or raise "
			  "dma_entry_limit of vfio_iommu_type1",
			  (unsigned long long)nr, (unsigned long long)(space->extents.nr - nr),
			  (unsigned long long)space->max_extents);
}

static int type1_map(struct vfio_space *space, const struct vfio_piece *piece)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = (piece->access & PGT_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (piece->access & PGT_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uint64_t)(uintptr_t)vfio_piece_cpu(piece),
		.iova = piece->iova,
		.size = piece->size,
	};
	int err = vfio_kernel->ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &map);

	return err ? vfio_map_error(space, piece, err) : 0;
}

static int type1_unmap(struct vfio_space *space, dma_addr_t iova, uint64_t size, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	int err = vfio_kernel->ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	*unmapped = err ? 0 : unmap.size;
	return err;
}

const struct vfio_way vfio_type1 = {
	.name = "vfio-type1",
	.open = type1_open,
	.close = type1_close,
	.attach = type1_attach,
	.detach = type1_detach,
	.check = type1_check,
	.room = type1_room,
	.map = type1_map,
	.unmap = type1_unmap,
};
