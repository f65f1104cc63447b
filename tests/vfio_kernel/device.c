/* SPDX-License-Identifier: MIT */
/* Groups and devices (Linux: drivers/vfio/group.c, device_cdev.c, pci/). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#include "model.h"

#define INDEX_SHIFT 40
#define OFFSET_MASK ((1ULL << INDEX_SHIFT) - 1)

/* Who owns the transfers of a group */

/* A driver that leaves the group's transfers to the user, or none. */
static bool harmless(const struct fake_plugged *device)
{
	return !device->driver[0] || !strncmp(device->driver, "vfio", 4) ||
	       !strcmp(device->driver, "pci-stub") || !strcmp(device->driver, "pcieport");
}

static bool used_by_host(const struct fake_group *group)
{
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->group == group &&
		    (!harmless(fake->functions[i]) || fake->functions[i]->use == FAKE_USED_BY_HOST))
			return true;
	return false;
}

static bool used_as(const struct fake_group *group, enum fake_use use)
{
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->group == group && fake->functions[i]->use == use)
			return true;
	return false;
}

/* @whole: for the group, once; else for one more device of the same owner. */
int fake_claim(struct fake_group *group, const void *owner, bool whole)
{
	if (used_by_host(group) || used_as(group, FAKE_USED_BY_CDEV))
		return -EPERM;
	if (group->owned && (whole || group->owner != owner))
		return -EPERM;
	group->owner = owner;
	group->owned++;
	return 0;
}

void fake_disclaim(struct fake_group *group)
{
	if (!--group->owned)
		group->owner = NULL;
}

/* Groups */

int fake_group_open(struct fake_group *group)
{
	if (group->noiommu && fake->options.no_rawio)
		return -EPERM;
	if (group->opened || group->cdevs || used_as(group, FAKE_USED_BY_GROUP) ||
	    used_as(group, FAKE_USED_BY_CDEV))
		return -EBUSY;
	group->opened = true;
	return 0;
}

void fake_group_release(struct fake_file *file)
{
	if (file->group->container)
		fake_container_detach(file->group);
	file->group->opened = false;
}

static int set_container(struct fake_group *group, int fd)
{
	struct fake_file *file = fake_file_of(fd);

	if (!file)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EBADFD;
	if (group->container)
		return -EINVAL;
	/* An iommufd would serve as well; that way is not modelled. */
	if (file->kind != FAKE_FILE_CONTAINER)
		return -EBADFD;
	return fake_container_attach(file->container, group);
}

static int get_status(struct fake_group *group, void *arg)
{
	struct vfio_group_status *status = arg;

	if (status->argsz < sizeof(*status))
		return -EINVAL;
	status->flags = 0;
	if (group->container)
		status->flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
	else if (!group->owned && !used_by_host(group))
		status->flags = VFIO_GROUP_FLAGS_VIABLE;
	return 0;
}

static int get_device(struct fake_file *file, const char *name)
{
	struct fake_group *group = file->group;
	struct fake_plugged *device = NULL;
	struct fake_file *opened;
	int fd;

	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->group == group && fake->functions[i]->group_file[0] &&
		    !strcmp(fake->functions[i]->bdf, name))
			device = fake->functions[i];
	if (!device)
		return -ENODEV;
	if (!group->container || !group->container->driver)
		return -EINVAL;
	opened = fake_alloc(sizeof(*opened));
	opened->kind = FAKE_FILE_DEVICE;
	opened->device = device;
	opened->by_group = opened->access = true;
	fd = fake_new_file(opened);
	if (fd < 0) {
		free(opened);
		return fd;
	}
	opened->parent = file;
	file->refs++;
	group->users++;
	if (!device->opened++)
		device->config[4] &= (uint8_t)~4;
	return fd;
}

int fake_group_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	struct fake_group *group = file->group;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		return get_status(group, arg);
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(group, *(int *)arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		if (!group->container)
			return -EINVAL;
		if (group->users)
			return -EBUSY;
		fake_container_detach(group);
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(file, arg);
	default:
		return -ENOTTY;
	}
}

/* Devices */

static void events_off(struct fake_plugged *device)
{
	for (int i = 0; i < FAKE_VECTORS; i++) {
		if (device->events[i] >= 0)
			close(device->events[i]);
		device->events[i] = -1;
	}
}

void fake_device_release(struct fake_file *file)
{
	struct fake_plugged *device = file->device;

	if (!file->access)
		return;
	if (!--device->opened) {
		events_off(device);
		/* The kernel takes it back: no transfers any more. */
		device->config[4] &= (uint8_t)~4;
	}
	if (file->by_group) {
		device->group->users--;
	} else {
		fake_iommufd_unbind(device);
		device->group->cdevs--;
	}
	fake_put_file(file->parent);
}

static int bind_iommufd(struct fake_file *file, void *arg)
{
	struct uapi_bind_iommufd *bind = arg;
	struct fake_plugged *device = file->device;
	struct fake_file *iommufd;
	uint32_t id;
	int err;

	if (bind->size < offsetof(struct uapi_bind_iommufd, dev_id) + 4 || bind->flags ||
	    bind->iommufd < 0 || file->by_group)
		return -EINVAL;
	if (device->group->opened || used_as(device->group, FAKE_USED_BY_GROUP))
		return -EBUSY;
	if (file->access)
		return -EINVAL;
	iommufd = fake_file_of(bind->iommufd);
	if (!iommufd)
		return fcntl(bind->iommufd, F_GETFD) < 0 ? -EBADF : -EBADFD;
	if (iommufd->kind != FAKE_FILE_IOMMU)
		return -EBADFD;
	if (device->opened || device->use == FAKE_USED_BY_CDEV)
		return -EINVAL;
	err = fake_iommufd_bind(iommufd->ctx, device, &id);
	if (err)
		return err;
	device->ctx = iommufd->ctx;
	device->device = bind->dev_id = id;
	device->group->cdevs++;
	device->opened++;
	device->config[4] &= (uint8_t)~4;
	file->parent = iommufd;
	iommufd->refs++;
	file->access = true;
	return 0;
}

static int attach_pt(struct fake_file *file, void *arg)
{
	struct uapi_attach_pt *attach = arg;
	uint32_t pt = attach->pt_id;
	int err;

	if (attach->size < offsetof(struct uapi_attach_pt, pt_id) + 4 || (attach->flags & ~1U))
		return -EINVAL;
	if (attach->flags)
		return -EOPNOTSUPP; /* processes' address spaces */
	err = fake_iommufd_attach(file->device, &pt);
	if (!err)
		attach->pt_id = pt;
	return err;
}

static int detach_pt(struct fake_file *file, void *arg)
{
	const struct uapi_detach_pt *detach = arg;

	if (detach->size < sizeof(uint32_t) * 2 || (detach->flags & ~1U))
		return -EINVAL;
	if (detach->flags)
		return -EOPNOTSUPP;
	fake_iommufd_detach(file->device);
	return 0;
}

static int get_info(void *arg)
{
	struct vfio_device_info *info = arg;

	if (info->argsz < offsetof(struct vfio_device_info, num_irqs) + 4)
		return -EINVAL;
	info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	return 0;
}

static uint64_t region_size(uint64_t index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return FAKE_BAR_SIZE;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return FAKE_CONFIG_SIZE;
	default:
		return 0;
	}
}

static int get_region(void *arg)
{
	struct vfio_region_info *info = arg;

	if (info->argsz < offsetof(struct vfio_region_info, offset) + 8)
		return -EINVAL;
	/* There is no VGA, and nothing of the vendor's. */
	if (info->index > VFIO_PCI_CONFIG_REGION_INDEX)
		return -EINVAL;
	info->offset = (uint64_t)info->index << INDEX_SHIFT;
	info->size = region_size(info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	if (info->index == VFIO_PCI_BAR0_REGION_INDEX)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

static uint32_t irqs_of(uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return 1;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return FAKE_VECTORS;
	default:
		return 0;
	}
}

static int get_irq(void *arg)
{
	struct vfio_irq_info *info = arg;

	if (info->argsz < sizeof(*info) || info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info->count = irqs_of(info->index);
	info->flags = info->count ? VFIO_IRQ_INFO_EVENTFD : 0;
	return 0;
}

static int set_irqs(struct fake_plugged *device, void *arg)
{
	const struct vfio_irq_set *set = arg;
	const uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	const int *fds = (const int *)set->data;

	if (set->argsz < sizeof(*set) || set->index >= VFIO_PCI_NUM_IRQS ||
	    set->start + set->count > irqs_of(set->index) ||
	    (set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EINVAL;
	if (data == VFIO_IRQ_SET_DATA_NONE && !set->count) {
		events_off(device);
		return 0;
	}
	if (data != VFIO_IRQ_SET_DATA_EVENTFD ||
	    set->argsz < sizeof(*set) + set->count * sizeof(int))
		return -EINVAL;
	for (uint32_t i = 0; i < set->count; i++) {
		int *event = &device->events[set->start + i];

		if (*event >= 0)
			close(*event);
		*event = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
	}
	return 0;
}

int fake_device_ioctl(struct fake_file *file, unsigned long request, void *arg,
		      struct fake_call *call)
{
	(void)call;
	if (request == UAPI_DEVICE_BIND_IOMMUFD)
		return bind_iommufd(file, arg);
	if (!file->access)
		return -EINVAL;
	if (!file->by_group && request == UAPI_DEVICE_ATTACH_PT)
		return attach_pt(file, arg);
	if (!file->by_group && request == UAPI_DEVICE_DETACH_PT)
		return detach_pt(file, arg);
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq(arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(file->device, arg);
	case VFIO_DEVICE_RESET:
		file->device->config[4] &= (uint8_t)~4;
		return 0;
	default:
		return -ENOTTY;
	}
}

/* How many of @len bytes lie in the region; -EINVAL: there is no such region. */
static ssize_t clip(const struct fake_file *file, size_t len, uint64_t offset)
{
	uint64_t size = region_size(offset >> INDEX_SHIFT), at = offset & OFFSET_MASK;

	if (!file->access || offset >> INDEX_SHIFT >= VFIO_PCI_NUM_REGIONS || at >= size)
		return -EINVAL;
	return (ssize_t)(len < size - at ? len : size - at);
}

ssize_t fake_device_pread(struct fake_file *file, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = clip(file, len, offset);

	if (n < 0)
		return n;
	if (offset >> INDEX_SHIFT == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(buf, file->device->config + (offset & OFFSET_MASK), (size_t)n);
	else
		n = pread(file->device->bar, buf, (size_t)n, (off_t)(offset & OFFSET_MASK));
	return n < 0 ? -errno : n;
}

ssize_t fake_device_pwrite(struct fake_file *file, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = clip(file, len, offset);

	if (n < 0)
		return n;
	if (offset >> INDEX_SHIFT == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(file->device->config + (offset & OFFSET_MASK), buf, (size_t)n);
	else
		n = pwrite(file->device->bar, buf, (size_t)n, (off_t)(offset & OFFSET_MASK));
	return n < 0 ? -errno : n;
}

void *fake_device_map(struct fake_file *file, uint64_t offset, size_t size, bool writable, int *err)
{
	void *ptr;

	if (!file->access || offset >> INDEX_SHIFT != VFIO_PCI_BAR0_REGION_INDEX ||
	    (offset & OFFSET_MASK) + size > FAKE_BAR_SIZE) {
		*err = -EINVAL;
		return NULL;
	}
	ptr = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
		   file->device->bar, (off_t)(offset & OFFSET_MASK));
	if (ptr != MAP_FAILED)
		return ptr;
	*err = -errno;
	return NULL;
}
