/* SPDX-License-Identifier: MIT */
/* Regions of a device: configuration space and BARs (Documentation/driver-api/vfio.rst). */
#include <stdlib.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "backend/vfio/device.h"
#include "base/base.h"

#define INFO_SIZE 1024 /* what the kernel says of a region, with a list of parts */

struct vfio_mapping {
	struct vfio_mapping *next;
	void *cpu;
	size_t size;
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int vfio_device_open(struct vfio_device *device, int fd, const struct vfio_place *place)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int err = vfio_kernel->ioctl(fd, VFIO_DEVICE_GET_INFO, &info);

	if (err < 0)
		base_error(err, "VFIO does not say what %s is: %s; is it still there?", place->bdf,
			   strerror(-err));
	else if (!(info.flags & VFIO_DEVICE_FLAGS_PCI) ||
		 info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		err = base_error(-ENODEV,
				 "%s is no PCI device to VFIO; its driver %s is of another kind",
				 place->bdf, place->driver);
	if (err < 0) {
		vfio_kernel->close(fd);
		return err;
	}
	*device = (struct vfio_device){
		.fd = fd,
		.group_fd = -1,
		.place = *place,
		.can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET,
		.nr_regions = info.num_regions,
		.nr_irqs = info.num_irqs,
		.irq_index = -1,
	};
	pthread_mutex_init(&device->lock, NULL);
	return 0;
}

static void drop_mappings(struct vfio_device *device)
{
	while (device->mappings) {
		struct vfio_mapping *mapping = device->mappings;

		device->mappings = mapping->next;
		vfio_kernel->unmap(mapping->cpu, mapping->size);
		base_free(mapping);
	}
}

static void let_go(struct vfio_device *device, bool forked)
{
	vfio_registered_drop(device, forked);
	drop_mappings(device);
	vfio_kernel->close(device->fd);
	pthread_mutex_destroy(&device->lock);
}

void vfio_device_close(struct vfio_device *device)
{
	vfio_device_irqs_off(device);
	/* A device that is gone cannot be told, and needs not. */
	vfio_device_command(device, 0, PCI_COMMAND_MASTER);
	let_go(device, false);
}

void vfio_device_forget(struct vfio_device *device)
{
	let_go(device, true);
}

/* Asking. */

static void add_part(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	uint64_t page = page_size(), end = align_up(region->size, page), last;

	/* Where a BAR is smaller than a page, the kernel maps the page. */
	if (!size || offset % page || offset >= end || region->nr_parts == VFIO_PARTS)
		return;
	last = offset + (size < end - offset ? size : end - offset);
	region->parts[region->nr_parts++] = (struct vfio_part){
		.offset = offset,
		.size = (last == region->size ? end : align_down(last, page)) - offset,
	};
	if (!region->parts[region->nr_parts - 1].size)
		region->nr_parts--;
}

/* The list of parts among the capabilities, or NULL. */
static const struct vfio_region_info_cap_sparse_mmap *
find_parts(const struct vfio_region_info *info, size_t size)
{
	const uint8_t *base = (const uint8_t *)info;
	size_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	/* Each is behind the one before, so that no list runs in a circle. */
	while (at >= sizeof(*info) && at + sizeof(struct vfio_info_cap_header) <= size) {
		const struct vfio_info_cap_header *header = (const void *)(base + at);
		const struct vfio_region_info_cap_sparse_mmap *sparse = (const void *)header;

		if (header->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			return at + sizeof(*sparse) <= size &&
					       sparse->nr_areas <= (size - at - sizeof(*sparse)) /
									   sizeof(*sparse->areas)
				       ? sparse
				       : NULL;
		if (header->next <= at)
			break;
		at = header->next;
	}
	return NULL;
}

static void take_region(struct vfio_region *region, const struct vfio_region_info *info,
			size_t size)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse = find_parts(info, size);

	region->readable = info->flags & VFIO_REGION_INFO_FLAG_READ;
	region->writable = info->flags & VFIO_REGION_INFO_FLAG_WRITE;
	region->size = info->size;
	region->offset = info->offset;
	region->nr_parts = 0;
	/* Of a list that does not fit nothing is told, and nothing is mapped. */
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || info->argsz > size)
		return;
	if (!sparse)
		add_part(region, 0, region->size);
	for (unsigned int i = 0; sparse && i < sparse->nr_areas; i++)
		add_part(region, sparse->areas[i].offset, sparse->areas[i].size);
}

static int ask_region(struct vfio_device *device, unsigned int index, struct vfio_region *region)
{
	union {
		struct vfio_region_info info;
		uint8_t room[INFO_SIZE];
	} answer = {.info = {.argsz = sizeof(answer), .index = index}};
	int err = 0;

	/* A device with fewer regions has none of this number. */
	if (index < device->nr_regions)
		err = vfio_kernel->ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &answer);
	/* The kernel's way to say that there is no such region, for VGA. */
	if (err == -EINVAL)
		err = 0;
	else if (err < 0)
		return base_error(err, "VFIO does not say what region %u of %s is: %s", index,
				  device->place.bdf, strerror(-err));
	else
		take_region(region, &answer.info, sizeof(answer));
	__atomic_store_n(&region->known, true, __ATOMIC_RELEASE);
	return 0;
}

int vfio_device_region(struct vfio_device *device, unsigned int index,
		       const struct vfio_region **found)
{
	struct vfio_region *region;
	int err = 0;

	if (index >= VFIO_REGIONS)
		return base_error(-ENODEV, "%s has no region %u; PCI devices have %d",
				  device->place.bdf, index, VFIO_REGIONS);
	region = &device->regions[index];
	if (!__atomic_load_n(&region->known, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&device->lock);
		if (!region->known)
			err = ask_region(device, index, region);
		pthread_mutex_unlock(&device->lock);
	}
	*found = region;
	return err;
}

/* Reading and writing. */

static const char *region_name(unsigned int index)
{
	static const char *const names[VFIO_REGIONS] = {
		"BAR 0",     "BAR 1", "BAR 2", "BAR 3",
		"BAR 4",     "BAR 5", "ROM",   "configuration space",
		"VGA range",
	};

	return names[index];
}

/* The region, if all of [offset, offset + len) is in it. */
static int find_range(struct vfio_device *device, unsigned int index, uint64_t offset, size_t len,
		      const struct vfio_region **region)
{
	int err = vfio_device_region(device, index, region);

	if (err)
		return err;
	if (!(*region)->size)
		return base_error(-ENODEV, "%s has no %s", device->place.bdf, region_name(index));
	if (offset > (*region)->size || len > (*region)->size - offset)
		return base_error(-ERANGE,
				  "%zu bytes at 0x%llx do not lie in %s of %s, which has 0x%llx",
				  len, (unsigned long long)offset, region_name(index),
				  device->place.bdf, (unsigned long long)(*region)->size);
	return 0;
}

/* Before the first access to a BAR: a device that does not decode answers with ones. */
static int decode(struct vfio_device *device, unsigned int index)
{
	int err;

	if (index >= VFIO_BARS || __atomic_load_n(&device->decodes, __ATOMIC_ACQUIRE))
		return 0;
	err = vfio_device_command(device, PCI_COMMAND_MEMORY, 0);
	if (!err)
		__atomic_store_n(&device->decodes, true, __ATOMIC_RELEASE);
	return err;
}

static __cold int access_error(struct vfio_device *device, unsigned int index, uint64_t offset,
			       const char *what, ssize_t result)
{
	int err = result < 0 ? (int)result : -EIO;

	return base_error(err, "%s of %s at 0x%llx cannot be %s: %s", region_name(index),
			  device->place.bdf, (unsigned long long)offset, what, strerror(-err));
}

int vfio_device_read(struct vfio_device *device, unsigned int index, uint64_t offset, void *buf,
		     size_t len)
{
	const struct vfio_region *region;
	int err = find_range(device, index, offset, len, &region);

	if (!err && !region->readable)
		return access_error(device, index, offset, "read", -EACCES);
	if (!err)
		err = decode(device, index);
	for (size_t done = 0; !err && done < len;) {
		ssize_t got = vfio_kernel->pread(device->fd, (char *)buf + done, len - done,
						 region->offset + offset + done);

		if (got <= 0)
			err = access_error(device, index, offset + done, "read", got);
		else
			done += (size_t)got;
	}
	return err;
}

int vfio_device_write(struct vfio_device *device, unsigned int index, uint64_t offset,
		      const void *buf, size_t len)
{
	const struct vfio_region *region;
	int err = find_range(device, index, offset, len, &region);

	if (!err && !region->writable)
		return access_error(device, index, offset, "written", -EACCES);
	if (!err)
		err = decode(device, index);
	for (size_t done = 0; !err && done < len;) {
		ssize_t put = vfio_kernel->pwrite(device->fd, (const char *)buf + done, len - done,
						  region->offset + offset + done);

		if (put <= 0)
			err = access_error(device, index, offset + done, "written", put);
		else
			done += (size_t)put;
	}
	return err;
}

int vfio_device_command(struct vfio_device *device, uint16_t set, uint16_t clear)
{
	const unsigned int config = VFIO_PCI_CONFIG_REGION_INDEX;
	const struct vfio_region *region;
	uint8_t bytes[2];
	uint16_t was, is;
	int err = vfio_device_region(device, config, &region);

	if (err)
		return err;
	pthread_mutex_lock(&device->lock);
	err = vfio_device_read(device, config, PCI_COMMAND, bytes, sizeof(bytes));
	was = (uint16_t)(bytes[0] | bytes[1] << 8);
	is = (uint16_t)((was | set) & ~clear);
	if (!err && is != was) {
		bytes[0] = (uint8_t)is;
		bytes[1] = (uint8_t)(is >> 8);
		err = vfio_device_write(device, config, PCI_COMMAND, bytes, sizeof(bytes));
	}
	pthread_mutex_unlock(&device->lock);
	return err;
}

/* Mapping. */

static const struct vfio_part *find_part(const struct vfio_region *region, uint64_t offset,
					 size_t size)
{
	for (unsigned int i = 0; i < region->nr_parts; i++) {
		const struct vfio_part *part = &region->parts[i];

		if (offset >= part->offset && offset - part->offset <= part->size &&
		    size <= part->size - (offset - part->offset))
			return part;
	}
	return NULL;
}

static void *map_part(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		      size_t size, int *err)
{
	struct vfio_mapping *mapping = base_alloc(sizeof(*mapping));

	if (!mapping) {
		*err = base_error(-ENOMEM, "no memory to map a BAR of %s; free some",
				  device->place.bdf);
		return NULL;
	}
	mapping->size = size;
	mapping->cpu =
		vfio_kernel->map(device->fd, region->offset + offset, size, region->writable, err);
	if (!mapping->cpu) {
		base_free(mapping);
		*err = base_error(*err, "0x%zx bytes of a BAR of %s cannot be mapped: %s", size,
				  device->place.bdf, strerror(-*err));
		return NULL;
	}
	mapping->next = device->mappings;
	device->mappings = mapping;
	return mapping->cpu;
}

int vfio_device_map(struct vfio_device *device, unsigned int bar, uint64_t offset, size_t size,
		    void **cpu)
{
	const struct vfio_region *region;
	size_t page = page_size();
	void *mapped;
	int err;

	if (bar >= VFIO_BARS)
		return base_error(-ENODEV, "BAR %u cannot be mapped; %s has BAR 0 to 5", bar,
				  device->place.bdf);
	err = find_range(device, bar, offset, 0, &region);
	if (err)
		return err;
	if (!size || offset % page || size % page)
		return base_error(-EINVAL,
				  "0x%zx bytes at 0x%llx of BAR %u of %s cannot be mapped: whole "
				  "pages of %zu bytes can",
				  size, (unsigned long long)offset, bar, device->place.bdf, page);
	if (offset >= align_up(region->size, page) || size > align_up(region->size, page) - offset)
		return base_error(
			-ERANGE,
			"0x%zx bytes at 0x%llx do not lie in BAR %u of %s, which has 0x%llx", size,
			(unsigned long long)offset, bar, device->place.bdf,
			(unsigned long long)region->size);
	if (!find_part(region, offset, size))
		return base_error(-EOPNOTSUPP,
				  "the kernel does not map 0x%zx bytes at 0x%llx of BAR %u of %s "
				  "(ts_pci_bar_info() tells what it maps); read and write instead",
				  size, (unsigned long long)offset, bar, device->place.bdf);
	err = decode(device, bar);
	if (err)
		return err;
	pthread_mutex_lock(&device->lock);
	mapped = map_part(device, region, offset, size, &err);
	pthread_mutex_unlock(&device->lock);
	if (mapped)
		*cpu = mapped;
	return err;
}

int vfio_device_unmap(struct vfio_device *device, void *cpu)
{
	struct vfio_mapping **at, *mapping;

	pthread_mutex_lock(&device->lock);
	for (at = &device->mappings; *at && (*at)->cpu != cpu; at = &(*at)->next)
		;
	mapping = *at;
	if (mapping)
		*at = mapping->next;
	pthread_mutex_unlock(&device->lock);
	if (!mapping)
		return base_error(-ENOENT,
				  "%p is where no BAR of %s is mapped; nothing is unmapped", cpu,
				  device->place.bdf);
	vfio_kernel->unmap(mapping->cpu, mapping->size);
	base_free(mapping);
	return 0;
}
