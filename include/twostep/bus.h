/* SPDX-License-Identifier: MIT */
/**
 * DOC: the bus, seen from a device in software
 *
 * A device in software gets DMA addresses from its driver, through registers and
 * descriptors, and reaches memory only through these calls. They translate,
 * check permission, fill the IOTLB, set accessed and dirty bits and report
 * faults, as hardware does. Several threads may use one port at once; each works
 * through a lane of the port, with an IOTLB of its own, as the engines of one
 * device have.
 *
 * Aligned accesses of 1, 2, 4 and 8 bytes are single-copy atomic; reads are
 * acquire and writes are release operations, so that a device may write a
 * completion record and its driver poll it.
 */
#ifndef TWOSTEP_BUS_H
#define TWOSTEP_BUS_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_bus_read - read memory at a DMA address
 * @port: the device's port
 * @addr: DMA address
 * @buf: where the bytes go
 * @len: bytes, may cross pages; 0 does nothing
 *
 * Return: 0; -EFAULT if a page was refused: pages before it have been read, a
 * record is in the fault log, and the fault handler has been called; -EINVAL
 * without a port or a buffer; -EPERM in a forked child.
 */
int dma_bus_read(struct dma_port *port, dma_addr_t addr, void *buf, size_t len);

/** dma_bus_write - write memory at a DMA address; see dma_bus_read() */
int dma_bus_write(struct dma_port *port, dma_addr_t addr, const void *buf, size_t len);

/**
 * dma_bus_cmpxchg - compare and exchange, atomic against CPU and devices
 * @size: 4 or 8; @addr must be a multiple of it
 * @expected: compared with memory; receives what was there
 * @desired: stored if equal
 *
 * Return: 1 if it was stored, 0 if memory differed; -EFAULT if it was refused, also
 * because @addr is no multiple of @size; -EINVAL for another @size, and otherwise as
 * dma_bus_read().
 */
int dma_bus_cmpxchg(struct dma_port *port, dma_addr_t addr, size_t size, void *expected,
		    const void *desired);

/**
 * dma_bus_fetch_add - add, atomic against CPU and devices
 * @size: 4 or 8; @addr must be a multiple of it
 * @add: what to add; its low @size bytes
 * @old: receives what was there; may be NULL
 *
 * Return: 0; -EFAULT if it was refused, also because @addr is no multiple of @size;
 * -EINVAL for another @size, and otherwise as dma_bus_read().
 */
int dma_bus_fetch_add(struct dma_port *port, dma_addr_t addr, size_t size, uint64_t add,
		      uint64_t *old);

/**
 * struct dma_port_stats - what a port has done
 * @reads: bytes read; an atomic operation counts here and in @writes
 * @writes: bytes written
 * @iotlb_hits: pages translated by the IOTLB
 * @iotlb_misses: pages translated by a walk
 * @iotlb_invalidated: IOTLB entries dropped by invalidations
 * @faults: transfers refused
 */
struct dma_port_stats {
	uint64_t reads;
	uint64_t writes;
	uint64_t iotlb_hits;
	uint64_t iotlb_misses;
	uint64_t iotlb_invalidated;
	uint64_t faults;
};

/** dma_port_stats - read a port's statistics; exact when no transfer is running */
void dma_port_stats(struct dma_port *port, struct dma_port_stats *stats);

/**
 * struct dma_model_ops - what a device in software offers its driver
 * @reg_read: a register is read; 0 or -errno
 * @reg_write: a register is written; 0 or -errno
 * @step: do what is pending on the caller's thread; returns how much; NULL if the
 *	device has a thread of its own
 * @close: stop: no transfer may run when it returns; frees the model. In a forked child
 *	nothing runs, and only memory is freed
 *
 * @reg_read and @reg_write are called on the driver's threads, concurrently.
 */
struct dma_model_ops {
	int (*reg_read)(void *model, unsigned int bar, uint64_t offset, uint64_t *value,
			unsigned int width);
	int (*reg_write)(void *model, unsigned int bar, uint64_t offset, uint64_t value,
			 unsigned int width);
	int (*step)(void *model);
	void (*close)(void *model);
};

#ifdef __cplusplus
}
#endif
#endif
