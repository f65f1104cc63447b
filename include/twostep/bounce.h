/* SPDX-License-Identifier: MIT */
/**
 * DOC: bounce buffers
 *
 * Where a device cannot or must not reach the caller's own memory, the mapping calls
 * lend it a bounce buffer and copy (the kernel's swiotlb): a device whose mask does
 * not reach the memory (``direct:``), memory that is not whole granules for an
 * ``untrusted`` device, memory that shares cache lines with something else for a
 * device that is not coherent, memory that cannot be pinned, and everything with
 * ``bounce=force``.
 *
 * Nothing has to be set up: pools are made when they are first needed and grow up to
 * a limit. A program that wants other sizes describes the default pools before the
 * first use, or makes pools of its own and gives them to devices.
 *
 * A buffer is made of slots of 2 KiB and lies in one segment of 256 KiB, so a single
 * mapping is at most 256 KiB long (dma_max_mapping_size()). A pool is divided into
 * areas with a lock each; threads begin their search in different ones.
 */
#ifndef TWOSTEP_BOUNCE_H
#define TWOSTEP_BOUNCE_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dma_bounce; /* a pool of bounce buffers */

/** Bytes of a slot, and of a segment: the longest single bounce buffer. */
#define DMA_BOUNCE_SLOT 2048u
#define DMA_BOUNCE_SEGMENT 262144u

/**
 * struct dma_bounce_desc - what a pool is like
 * @size: bytes to begin with, rounded up to whole segments; 0 for 64 MiB, or @max_size
 *	if that is less
 * @max_size: bytes it may grow to, rounded up to whole segments, not less than @size; 0
 *	for 1 GiB, or @size if that is more
 * @last: highest address that a buffer may have, for devices that reach no farther; 0
 *	for any
 * @areas: parts with a lock of their own, a power of two up to 256; 0 for one a
 *	processor; fewer if @size has not that many segments
 * @hugepages: in huge pages of 2 MiB, as devices without an IOMMU need; sizes are rounded up
 *	to whole ones. The system must have them free (/proc/sys/vm/nr_hugepages)
 */
struct dma_bounce_desc {
	uint64_t size;
	uint64_t max_size;
	uint64_t last;
	unsigned int areas;
	bool hugepages;
};

/**
 * struct dma_bounce_stats - what a pool has done
 * @size: bytes it has now
 * @max_size: bytes it may grow to
 * @used: bytes in use now, in whole slots
 * @high_water: most bytes that were in use at a time in each area, added up: with several
 *	areas it can be more than ever were in use together, never less
 * @maps: buffers handed out, ever
 * @grown: times it grew
 * @failed: requests that were refused, ever
 * @failed_full: of those, how many because the pool was full and could not grow
 * @failed_size: of those, how many because the buffer would have been too long
 * @areas: parts with a lock of their own
 */
struct dma_bounce_stats {
	uint64_t size;
	uint64_t max_size;
	uint64_t used;
	uint64_t high_water;
	uint64_t maps;
	uint64_t grown;
	uint64_t failed;
	uint64_t failed_full;
	uint64_t failed_size;
	unsigned int areas;
};

/**
 * dma_bounce_create - make a pool
 * @desc: what it is like; NULL for the defaults
 * @bounce: where it is stored; untouched on failure
 *
 * Return: 0; -EINVAL for a description that contradicts itself; -ENOMEM without memory;
 * -ENOSPC if there is no address space below @desc->last.
 */
int dma_bounce_create(const struct dma_bounce_desc *desc, struct dma_bounce **bounce);

/**
 * dma_bounce_destroy - give a pool's memory back
 * @bounce: the pool, or NULL for nothing
 *
 * Return: 0; -EBUSY while a device has it or a buffer is in use.
 */
int dma_bounce_destroy(struct dma_bounce *bounce);

/**
 * dma_bounce_set_defaults - what the pools are like that devices have by themselves
 * @desc: what they are like; @desc->last must be 0: there is one pool for devices that
 *	reach everything and, as needed, others at lower addresses
 *
 * Return: 0; -EINVAL as dma_bounce_create(); -EBUSY if one of them is there already.
 */
int dma_bounce_set_defaults(const struct dma_bounce_desc *desc);

/**
 * dma_bounce_stats - read statistics
 * @bounce: a pool; NULL for the default pools together
 * @stats: where they are stored
 *
 * Exact when nothing is bounced meanwhile.
 */
void dma_bounce_stats(const struct dma_bounce *bounce, struct dma_bounce_stats *stats);

/**
 * dma_dev_set_bounce - let a device use a pool of the caller's
 * @dev: the device
 * @bounce: the pool, which must stay until the device is closed or given another;
 *	NULL for the default pools
 *
 * For mappings made afterwards. Several devices may share a pool.
 *
 * Return: 0; -EPERM in a forked child.
 */
int dma_dev_set_bounce(struct dma_dev *dev, struct dma_bounce *bounce);

#ifdef __cplusplus
}
#endif
#endif
