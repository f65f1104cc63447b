/* SPDX-License-Identifier: MIT */
/**
 * DOC: devices and their address spaces
 *
 * A device is opened by URI, ``scheme:[model][,key=value]...``, and belongs to
 * one &struct dma_space, which may serve several devices. Open and close may be
 * called from any thread; a device must not be closed while another thread is
 * inside a call on it.
 *
 * After fork() the child owns none of its parent's devices: calls on them fail
 * with -EPERM, and closing one only frees memory.
 */
#ifndef TWOSTEP_DEVICE_H
#define TWOSTEP_DEVICE_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_dev_open - open a device in an address space of its own
 * @uri: what to open, for example ``soft:``, ``soft:copy,iotlb=64``,
 *	``direct:,mask=32``; docs/uri.md lists every scheme, model and option
 * @dev: where the device is stored; untouched on failure
 *
 * The device's DMA masks start at 32 bits, as in the kernel: call
 * dma_set_mask_and_coherent() before mapping.
 *
 * Return: 0; -EINVAL for a URI that cannot be understood (dma_last_error() lists
 * what exists); -ENODEV if there is no such device; -ENOMEM; -EAGAIN if the
 * device's thread cannot be had. Of real devices also: -ENODEV if it is not bound to
 * VFIO, is behind no IOMMU or has gone; -EACCES or -EPERM without permission for a file
 * of VFIO's; -EPERM if iommufd refuses the device, because a driver of the kernel's has
 * another of its IOMMU group, or its interrupts are not isolated; -EBUSY if it is in use, or
 * another of its group is in a way that excludes it; -EOPNOTSUPP if the kernel lacks what the
 * scheme takes (docs/real-hardware.md).
 */
int dma_dev_open(const char *uri, struct dma_dev **dev);

/**
 * dma_dev_open_in - open a device in an address space that exists
 * @uri: what to open; options of the space must be absent or agree with it
 * @space: the space of a device that is open
 * @dev: where the device is stored; untouched on failure
 *
 * Return: as dma_dev_open(); also -EPERM in a forked child; -EADDRINUSE if the new device's reserved
 * windows exclude addresses that are in use; -EINVAL if scheme or options do not
 * fit the space.
 */
int dma_dev_open_in(const char *uri, struct dma_space *space, struct dma_dev **dev);

/**
 * dma_dev_close - close a device
 * @dev: the device, or NULL for nothing
 *
 * Stops a software device, waits for its transfers in flight, and detaches. The
 * last device of a space closes the space: what is still reserved or mapped
 * there is unmapped and counted by dma_leak_count(). Never fails.
 */
void dma_dev_close(struct dma_dev *dev);

/** dma_leak_count - reservations and mappings found live when spaces of this process closed */
uint64_t dma_leak_count(void);

/** dma_dev_space - the address space that @dev is attached to; owned by the library */
struct dma_space *dma_dev_space(struct dma_dev *dev);

/**
 * dma_dev_port - the way onto the bus of a device in software
 * @dev: the device
 *
 * Return: the port, valid until @dev is closed; NULL on hardware.
 */
struct dma_port *dma_dev_port(struct dma_dev *dev);

/** dma_dev_uri - the URI that @dev was opened with; owned by @dev */
const char *dma_dev_uri(struct dma_dev *dev);

/**
 * dma_dev_reg_read - read a register of a device
 * @dev: the device
 * @bar: number of the register window
 * @offset: byte offset in the window, a multiple of @width
 * @value: where the value is stored
 * @width: 4 or 8 bytes
 *
 * Return: 0; -ENODEV if the device has no such window; -EINVAL for an offset or
 * width that the window does not have; -EPERM in a forked child.
 */
int dma_dev_reg_read(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t *value,
		     unsigned int width);

/** dma_dev_reg_write - write a register of a device; see dma_dev_reg_read() */
int dma_dev_reg_write(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int width);

/**
 * dma_dev_step - let a software device without a thread of its own work
 * @dev: a device opened with ``thread=off``
 *
 * Runs what is pending in the device on the calling thread.
 *
 * Return: number of pieces of work done, 0 if there was none; -EOPNOTSUPP if the
 * device runs by itself or has no model; -EPERM in a forked child.
 */
int dma_dev_step(struct dma_dev *dev);

/* Masks and limits (kernel: include/linux/dma-mapping.h). */

/**
 * dma_set_mask - the highest address that the device can put on the bus
 * @dev: the device
 * @mask: all ones up to that address
 *
 * Applies to streaming and two-step mappings made afterwards.
 *
 * Return: 0; -EIO if no memory or address space can be reached with it (smaller
 * than 32 bits on a direct device, or than 13 bits, two granules, elsewhere);
 * -EPERM in a forked child.
 */
int dma_set_mask(struct dma_dev *dev, uint64_t mask);
/** dma_set_coherent_mask - the same for coherent allocations */
int dma_set_coherent_mask(struct dma_dev *dev, uint64_t mask);
/** dma_set_mask_and_coherent - both; nothing is changed unless both can be set */
int dma_set_mask_and_coherent(struct dma_dev *dev, uint64_t mask);
/** dma_get_mask - the streaming mask; 32 bits until it is set */
uint64_t dma_get_mask(struct dma_dev *dev);
/** dma_get_required_mask - the mask that lets the device use everything without bouncing */
uint64_t dma_get_required_mask(struct dma_dev *dev);
/** dma_addressing_limited - whether the mask is smaller than the required one */
bool dma_addressing_limited(struct dma_dev *dev);

/** dma_get_max_seg_size - longest DMA segment in bytes; 64 KiB until set */
unsigned int dma_get_max_seg_size(struct dma_dev *dev);
/** dma_set_max_seg_size - set it; 0 is refused with -EINVAL */
int dma_set_max_seg_size(struct dma_dev *dev, unsigned int size);
/** dma_get_seg_boundary - mask that a segment must not cross; 4 GiB - 1 until set */
unsigned long dma_get_seg_boundary(struct dma_dev *dev);
/** dma_set_seg_boundary - set it; a power of two minus one, at least 0xfff, else -EINVAL */
int dma_set_seg_boundary(struct dma_dev *dev, unsigned long mask);
/** dma_get_min_align_mask - low address bits that a bounce must keep; 0 until set */
unsigned int dma_get_min_align_mask(struct dma_dev *dev);
/** dma_set_min_align_mask - set it; must be a power of two minus one, else -EINVAL */
int dma_set_min_align_mask(struct dma_dev *dev, unsigned int mask);

/** dma_get_merge_boundary - granule - 1 behind an IOMMU; 0 without, and with ``map=ahead`` */
unsigned long dma_get_merge_boundary(struct dma_dev *dev);
/**
 * dma_need_unmap - whether unmapping does anything; ask after mapping
 *
 * False with ``map=ahead`` (premap.h), unless the device is not coherent: then unmapping
 * shows the CPU what the device wrote.
 */
bool dma_need_unmap(struct dma_dev *dev);
/** dma_max_mapping_size - longest single mapping in bytes; SIZE_MAX if unlimited */
size_t dma_max_mapping_size(struct dma_dev *dev);
/** dma_opt_mapping_size - longest mapping that stays on the fast path, in bytes */
size_t dma_opt_mapping_size(struct dma_dev *dev);

/**
 * struct dma_stats - what an address space has done
 * @iova_allocs: IOVA ranges handed out, ever
 * @iova_live: IOVA ranges reserved or mapped now; not those whose unmap is waiting for a
 *	flush, though nobody can have their addresses before it
 * @pte_writes: page-table entries written, ever: one for each leaf stored and each
 *	removed (a large leaf is one), one for each table hooked in or unhooked
 * @iotlb_invalidations: invalidation requests, ever; one a request, whatever it covers
 * @ioctls: calls into the kernel for mapping, ever
 * @bytes_mapped: bytes that devices can reach now, in whole granules: those that the page
 *	table translates. What a device of a lazy space may still have cached is not in it.
 *	Of real devices, links that are pending, because nobody has synced them, are in it
 * @metadata_bytes: memory that the library keeps now to manage the space's mappings:
 *	page tables, the records of IOVA, the look-up of memory mapped ahead, and the
 *	shadow of memory that devices which are not coherent see
 * @faults: transfers refused, ever
 * @misuse: calls that were wrong and had no result to say so, ever
 */
struct dma_stats {
	uint64_t iova_allocs;
	uint64_t iova_live;
	uint64_t pte_writes;
	uint64_t iotlb_invalidations;
	uint64_t ioctls;
	uint64_t bytes_mapped;
	uint64_t metadata_bytes;
	uint64_t faults;
	uint64_t misuse;
};

/**
 * dma_space_stats - read a space's statistics
 * @space: the space
 * @stats: where they are stored
 *
 * Exact when no call is running in the space; otherwise @iova_live and
 * @bytes_mapped of @stats may be too high by what came and went meanwhile, and
 * the other figures are ones that were true during the call.
 *
 * Return: 0; -EPERM in a forked child.
 */
int dma_space_stats(struct dma_space *space, struct dma_stats *stats);

/**
 * struct dma_pgtable_info - the page table of a space
 * @format: name of the format, a static string; "none" without a page table
 * @root: address of the root table, as the IOMMU sees it
 * @levels: levels of the table, root included
 */
struct dma_pgtable_info {
	const char *format;
	uint64_t root;
	unsigned int levels;
};

/** dma_space_pgtable - describe a space's page table; -EOPNOTSUPP if it has none of its own */
int dma_space_pgtable(struct dma_space *space, struct dma_pgtable_info *info);

/**
 * dma_space_reserve - keep a window of addresses out of use
 * @space: the space
 * @start: first byte
 * @last: last byte, not less than @start
 *
 * The window is widened to whole granules and is never handed out again. It may
 * overlap other reserved windows.
 *
 * Return: 0; -EINVAL if @last < @start; -EADDRINUSE if part of it is in use;
 * -ENOMEM; -EOPNOTSUPP for a space without IOVA allocation; -EPERM in a forked child.
 */
int dma_space_reserve(struct dma_space *space, dma_addr_t start, dma_addr_t last);

/**
 * dma_space_flush - make every unmap that has returned final
 * @space: the space
 *
 * In a space opened with ``lazy=on`` a streaming unmap may return while devices still
 * reach the memory through translations that they have cached. When this returns, they
 * cannot any more, for all unmaps that returned before it was called, in whatever thread:
 * one invalidation for all of them, or none if nothing is waiting. Their addresses are
 * free again. Call it before the memory goes to somebody whom the device must not reach.
 *
 * A strict space has nothing to make final. Any thread may call it at any time.
 *
 * Return: 0; -EPERM in a forked child.
 */
int dma_space_flush(struct dma_space *space);

/** Why a transfer was refused. */
enum dma_fault_reason {
	DMA_FAULT_NOT_PRESENT = 1, /* nothing is linked there */
	DMA_FAULT_PERMISSION = 2,  /* linked, but not for this access */
	DMA_FAULT_ADDRESS = 3,     /* outside what the page table can express */
	DMA_FAULT_TABLE = 4,       /* a table entry pointed outside the table memory */
	DMA_FAULT_MEMORY = 5,      /* translated, but the memory cannot be accessed */
	DMA_FAULT_MISALIGNED = 6,  /* an atomic that is not naturally aligned */
	DMA_FAULT_PEER = 7,        /* memory of a device that no bridge leads to */
};

/** dma_fault_reason_name - a reason in words; a static string */
const char *dma_fault_reason_name(enum dma_fault_reason reason);

/**
 * struct dma_fault - a transfer that was refused
 * @device: number of the device in its space, in order of opening, from 0
 * @reason: why
 * @write: whether the device wanted to write (atomics write)
 * @addr: the first address that was refused
 * @len: bytes asked for, from @addr
 * @time_ns: CLOCK_MONOTONIC, in nanoseconds
 */
struct dma_fault {
	uint32_t device;
	enum dma_fault_reason reason;
	bool write;
	dma_addr_t addr;
	uint64_t len;
	uint64_t time_ns;
};

typedef void (*dma_fault_handler_t)(const struct dma_fault *fault, void *arg);

/**
 * dma_space_set_fault_handler - be called for each fault
 * @space: the space
 * @handler: called on the thread that made the transfer, after it ended, with
 *	no lock held; may call anything, including unlink, but not close the
 *	device whose own thread or step it runs in; NULL for none
 * @arg: passed to @handler
 *
 * When it returns, the former handler is not running and will not be called
 * again, unless the call was made from inside that handler.
 *
 * Return: 0; -EOPNOTSUPP where faults cannot be seen; -EPERM in a forked child.
 */
int dma_space_set_fault_handler(struct dma_space *space, dma_fault_handler_t handler, void *arg);

/**
 * dma_space_read_faults - take records out of the fault log
 * @space: the space
 * @faults: where records are stored, oldest first
 * @max: how many fit
 * @lost: where the number of records dropped since the last call is stored,
 *	because the log was full; may be NULL
 *
 * The log keeps the first 256 records that have not been read.
 *
 * Return: number of records stored; -EOPNOTSUPP where faults cannot be seen;
 * -EPERM in a forked child.
 */
int dma_space_read_faults(struct dma_space *space, struct dma_fault *faults, size_t max,
			  uint64_t *lost);

#ifdef __cplusplus
}
#endif
#endif
