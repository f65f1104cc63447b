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

#include <twostep/bus.h>

#include "backend/vfio/find.h"
#include "backend/vfio/kernel.h"

#define VFIO_BARS 6
#define VFIO_REGIONS 9 /* BARs, ROM, configuration space, VGA: fixed numbers */
#define VFIO_PARTS 8 /* of a region that may be mapped; no device has so many holes */

/* A part of a region that the kernel maps. @regs is atomic. */
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
	struct vfio_registered *registered;
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

/* Set and clear bits of the command register (PCI 3.0, 6.2.2). */
int vfio_device_command(struct vfio_device *device, uint16_t set, uint16_t clear);

/*
 * Reset the function; where it cannot by itself, its bus, if nothing else is on it. 0;
 * -EOPNOTSUPP if there is no way that leaves others alone; -errno.
 */
int vfio_device_reset(struct vfio_device *device);
/* Whether the bus can be reset, and only this function would be. */
bool vfio_device_bus_resets(struct vfio_device *device);

/* regs.c: registers, the model of struct dma_dev; the model is the device. */
extern const struct dma_model_ops vfio_device_regs;

/*
 * One access of 1, 2, 4 or 8 bytes, naturally aligned, where the kernel maps the place, else
 * through the kernel. The value is the CPU's, the device's is little-endian.
 */
int vfio_reg_read(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t *value,
		  unsigned int width);
int vfio_reg_write(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int width);

/* interrupts.c: kinds are the kernel's numbers, VFIO_PCI_INTX_IRQ_INDEX and so on. */

struct vfio_irqs {
	unsigned int count; /* 0: there are none of this kind */
	bool maskable, automasked;
};

int vfio_device_irqs(struct vfio_device *device, unsigned int index, struct vfio_irqs *irqs);
/*
 * Switch interrupts of one kind on: vector i signals @eventfds[i], -1 for none. 0; -EBUSY if
 * some are on; -ENODEV, -ERANGE, -ENOSPC, -ENOMEM; -errno.
 */
int vfio_device_irqs_on(struct vfio_device *device, unsigned int index, const int *eventfds,
			unsigned int nr);
/* Interrupts of all kinds off; nothing if none is on. */
void vfio_device_irqs_off(struct vfio_device *device);
int vfio_device_irq_mask(struct vfio_device *device, unsigned int index, bool mask);
/* The two that are no interrupts of the device: an error, a request to give it back. -1: off. */
int vfio_device_event(struct vfio_device *device, unsigned int index, int eventfd);

/* feature.c */

/* 0: the kernel and the device have it (uapi_device.h); -ENOTTY: not; no error text. */
int vfio_device_has(struct vfio_device *device, unsigned int feature, bool get, bool set);
/* A dma-buf of part of a BAR: its descriptor, close-on-exec; -EOPNOTSUPP; -errno. */
int vfio_device_dmabuf(struct vfio_device *device, unsigned int bar, uint64_t offset,
		       uint64_t size);

/*
 * registered.c: parts of BARs that are registered memory. Close takes the memory away from
 * everybody: its mapping ends then.
 */
struct vfio_registered {
	struct vfio_registered *next;
	phys_addr_t base;
	struct vfio_device *device;
	unsigned int bar;
	uint64_t offset; /* in the BAR */
	void *cpu; /* where the CPU has it, or NULL */
	bool peer; /* the room of peers knows it, and takes it away itself */
};

void vfio_registered_add(struct vfio_device *device, struct vfio_registered *registered);
/* Found by its base and taken off the list, or NULL. */
struct vfio_registered *vfio_registered_take(struct vfio_device *device, phys_addr_t base);
/* @forked: in a child of fork(), where nothing is asked. */
void vfio_registered_drop(struct vfio_device *device, bool forked);

#endif
