/* SPDX-License-Identifier: MIT */
/* BARs as memory: dma-bufs of the kernel, and memory that the library knows. */
#include <stdlib.h>
#include <unistd.h>

#include <twostep/p2pdma.h>

#include "pci/pci.h"

static int check_part(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t size,
		      uint64_t page, const struct vfio_region **region)
{
	int err;

	if (bar >= VFIO_BARS)
		return base_error(-ENODEV, "%s has no BAR %u; there are 0 to 5", device->place.bdf,
				  bar);
	err = vfio_device_region(device, bar, region);
	if (err)
		return err;
	if (!(*region)->size)
		return base_error(-ENODEV, "%s has no BAR %u", device->place.bdf, bar);
	if (!size || size % page || offset % page)
		return base_error(-EINVAL,
				  "0x%llx bytes at 0x%llx of BAR %u of %s: memory is had by whole "
				  "pages of %llu bytes",
				  (unsigned long long)size, (unsigned long long)offset, bar,
				  device->place.bdf, (unsigned long long)page);
	if (offset > (*region)->size || size > (*region)->size - offset)
		return base_error(
			-ERANGE,
			"0x%llx bytes at 0x%llx do not lie in BAR %u of %s, which has 0x%llx",
			(unsigned long long)size, (unsigned long long)offset, bar,
			device->place.bdf, (unsigned long long)(*region)->size);
	return 0;
}

int ts_pci_export_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t size)
{
	const struct vfio_region *region;
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	if (!err)
		err = check_part(device, bar, offset, size, (uint64_t)sysconf(_SC_PAGESIZE),
				 &region);
	return err ? err : vfio_device_dmabuf(device, bar, offset, size);
}

/* How devices in software reach memory that the CPU has no mapping of. */

static int read_bar(void *arg, uint64_t offset, void *buf, size_t len)
{
	const struct vfio_registered *memory = arg;

	return vfio_device_read(memory->device, memory->bar, memory->offset + offset, buf, len);
}

static int write_bar(void *arg, uint64_t offset, const void *buf, size_t len)
{
	const struct vfio_registered *memory = arg;

	return vfio_device_write(memory->device, memory->bar, memory->offset + offset, buf, len);
}

static const struct dma_memory_ops through_kernel = {read_bar, write_bar};

/* Where peers find it, as sysfs says; 0: it does not. */
static uint64_t bar_address(const struct vfio_device *device, unsigned int bar, uint64_t offset)
{
	char path[128], *lines, *rest, *line = NULL;
	uint64_t first = 0;

	pci_path(&device->place, "resource", path, sizeof(path));
	if (vfio_read_all(path, &lines))
		return 0;
	rest = lines;
	for (unsigned int i = 0; i <= bar && (line = strsep(&rest, "\n")); i++)
		;
	if (line)
		first = strtoull(line, NULL, 16);
	base_free(lines);
	return first ? first + offset : 0;
}

static int register_memory(struct dma_dev *dev, struct vfio_registered *memory, uint64_t size,
			   enum dma_memory_type type)
{
	struct vfio_device *device = memory->device;
	struct dma_memory_desc desc = {
		.type = type,
		.size = size,
		.cpu = memory->cpu,
		.ops = memory->cpu ? NULL : &through_kernel,
		.ops_arg = memory,
	};
	int err;

	/* Where the kernel does not export it, type 1 takes the CPU's mapping. */
	desc.fd = vfio_device_dmabuf(device, memory->bar, memory->offset, size);
	if (desc.fd < 0)
		desc.fd = -1;
	if (memory->peer) {
		err = pci_p2pdma_add_resource(dev, memory->bar, &desc, memory->offset,
					      &memory->base);
	} else {
		desc.provider = device;
		desc.bus_addr = bar_address(device, memory->bar, memory->offset);
		err = dma_memory_register(&desc, &memory->base);
	}
	if (desc.fd >= 0)
		vfio_kernel->close(desc.fd);
	return err;
}

int ts_pci_register_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t size,
			enum dma_memory_type type, phys_addr_t *base)
{
	const struct vfio_region *region;
	struct vfio_registered *memory;
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	if (!err)
		err = check_part(device, bar, offset, size, 4096, &region);
	if (!err && type != DMA_MEMORY_MMIO && type != DMA_MEMORY_P2P)
		err = base_error(-EINVAL,
				 "BAR %u of %s as memory of type %u: it is MMIO (1) or P2P (2)",
				 bar, device->place.bdf, (unsigned int)type);
	if (err)
		return err;
	memory = base_zalloc(sizeof(*memory));
	if (!memory)
		return base_error(-ENOMEM, "no memory to register BAR %u of %s; free some", bar,
				  device->place.bdf);
	memory->device = device;
	memory->bar = bar;
	memory->offset = offset;
	memory->peer = type == DMA_MEMORY_P2P;
	if (vfio_device_map(device, bar, offset, size, &memory->cpu))
		memory->cpu = NULL;
	err = register_memory(dev, memory, size, type);
	if (err) {
		if (memory->cpu)
			vfio_device_unmap(device, memory->cpu);
		base_free(memory);
		return err;
	}
	*base = memory->base;
	vfio_registered_add(device, memory);
	return 0;
}

int ts_pci_unregister_bar(struct dma_dev *dev, phys_addr_t base)
{
	struct vfio_registered *memory;
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	if (err)
		return err;
	memory = vfio_registered_take(device, base);
	if (!memory)
		return base_error(-ENOENT, "no memory of %s is registered at 0x%llx",
				  device->place.bdf, (unsigned long long)base);
	err = memory->peer ? pci_p2pdma_remove_resource(dev, memory->bar)
			   : dma_memory_unregister(base);
	if (err) {
		vfio_registered_add(device, memory);
		return err;
	}
	if (memory->cpu)
		vfio_device_unmap(device, memory->cpu);
	base_free(memory);
	return 0;
}
