/* SPDX-License-Identifier: MIT */
/*
 * device: one device that VFIO has given out: its regions, interrupts and resets. How it
 * was got, and what it may reach, is the affair of others.
 *
 * Owned by the port that has it. Calls may come from several threads, but for open, close
 * and forget. The lock is over what the kernel has been asked, over mappings, interrupts and
 * the command register; a region does not change once `known` is set, nor a part's mapping
 * once it is there. All set the error text when they fail.
 */
#ifndef BACKEND_VFIO_DEVICE_H
#define BACKEND_VFIO_DEVICE_H

#include <pthread.h>

#include "backend/vfio/find.h"
#include "backend/vfio/kernel.h"

#define VFIO_BARS 6
#define VFIO_REGIONS 9 /* BARs, ROM, configuration space, VGA: fixed numbers */
#define VFIO_PARTS 8 /* of a region that may be mapped; no device has so many holes */

/* A part of a region that the kernel maps. */
struct vfio_part {
	uint64_t offset, size;
	void *regs; /* where registers are accessed; mapped when first wanted */
};

struct vfio_region {
	bool known; /* the kernel has been asked */
	bool readable, writable;
	uint64_t size; /* 0: there is none */
	uint64_t offset; /* in the descriptor */
	struct vfio_part parts[VFIO_PARTS];
	unsigned int nr_parts;
};

struct vfio_mapping; /* what vfio_device_map() gave */

struct vfio_device {
	int fd;
	int group_fd; /* of its group, not owned, for a hot reset; -1: none */
	struct vfio_place place;
	pthread_mutex_t lock;
	bool can_reset; /* by itself */
	bool decodes; /* memory decoding has been switched on */
	unsigned int nr_regions, nr_irqs;
	struct vfio_region regions[VFIO_REGIONS];
	struct vfio_mapping *mappings;
	int irq_index; /* which kind of interrupts is on; -1: none */
	unsigned int irq_count; /* how many vectors of it */
};

/*
 * Take over @fd, a device of VFIO's, also on failure. 0 or -errno with the error text. Asks
 * the kernel only what the device is.
 */
int vfio_device_open(struct vfio_device *device, int fd, const struct vfio_place *place);
/* Interrupts off, bus mastering off, closed. */
void vfio_device_close(struct vfio_device *device);
/* In a child of fork(): the descriptor and memory go, the device sees nothing of it. */
void vfio_device_forget(struct vfio_device *device);

/* Region @index, which may have the size 0. 0 or -errno. */
int vfio_device_region(struct vfio_device *device, unsigned int index,
		       const struct vfio_region **region);

/* All @len bytes at @offset of region @index. 0; -ENODEV: there is none; -ERANGE; -errno. */
int vfio_device_read(struct vfio_device *device, unsigned int index, uint64_t offset, void *buf,
		     size_t len);
int vfio_device_write(struct vfio_device *device, unsigned int index, uint64_t offset,
		      const void *buf, size_t len);

/*
 * Map a part of a BAR, whole pages, for the CPU. 0; -EOPNOTSUPP if the kernel does not map
 * it, -EINVAL, -ERANGE, -ENOMEM. Unmap: -ENOENT for what is no mapping. Close unmaps.
 */
int vfio_device_map(struct vfio_device *device, unsigned int bar, uint64_t offset, size_t size,
		    void **cpu);
int vfio_device_unmap(struct vfio_device *device, void *cpu);

/* Interrupts of all kinds off; nothing if none is on. */
void vfio_device_irqs_off(struct vfio_device *device);

/* Set and clear bits of the command register (PCI 3.0, 6.2.2). */
int vfio_device_command(struct vfio_device *device, uint16_t set, uint16_t clear);

#endif
