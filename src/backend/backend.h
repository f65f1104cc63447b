/* SPDX-License-Identifier: MIT */
/*
 * backend: one way to reach an IOMMU. A folder each: soft/ (an IOMMU in software
 * with hardware page tables), direct/ (none: DMA addresses are memory
 * addresses).
 *
 * A backend owns page tables, invalidation and the ports of its software
 * devices. It knows nothing of drivers, of who owns an IOVA, or of bouncing: the
 * room above calls it with ranges that the caller owns and memory that may be
 * mapped. All calls but close may come from several threads at once, on disjoint
 * ranges.
 *
 * `unlink` makes nothing safe by itself: entries are gone from the table, and
 * only when `invalidate` has returned has the device lost its access. unlink,
 * invalidate, free_tables and close never allocate and never fail.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/iova.h>

#include "base/base.h"
#include "base/observe.h"
#include "pgtable/pgtable.h"

/* Devices that are not coherent see memory by whole lines of so many bytes, a power of two. */
#define BACKEND_CACHE_LINE 64ULL

struct backend;
struct peer_routes; /* backend/peers.h */
/* A closed range of DMA addresses, whole granules. */
struct backend_range {
	dma_addr_t first;
	dma_addr_t last;
};

/* What a port is opened with: the options of one device. */
struct port_options {
	const char *bdf; /* of real hardware */
	unsigned int iotlb_entries; /* power of two, 1..65536 */
	unsigned int iotlb_ways; /* power of two, 1..16, at most the entries */
	bool noncoherent; /* it does not see the CPU's caches */
	bool peers; /* it has a place on a bus, and port_set_routes() may be called */
};

struct backend_ops {
	const char *name;

	/*
	 * Link the pieces of @vec from @iova on, without a gap, all or nothing: every
	 * check is made and every table got before the first entry is stored. The
	 * errors are those of pgt_link(), and -ENXIO with the error text for memory that this
	 * backend cannot map. @iova is aligned; only the first piece may
	 * begin and only the last may end inside a granule: whole granules are linked.
	 * @attrs may hold PGT_ATTR_PRIVATE bits. NULL without translation.
	 */
	int (*link)(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
		    const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
		    unsigned long attrs, struct pgt_linked *linked);

	/*
	 * Make links visible; @whole: also merge entries, the range is one unit. Returns
	 * how many invalidation requests that took, or -errno.
	 */
	int (*sync)(struct backend *be, dma_addr_t iova, uint64_t size, bool whole);

	/*
	 * What was just linked in [iova, iova + size) is mapped in @from, a space with the same
	 * op, at @from_iova: take it from there, as far as that can be done. NULL: it cannot.
	 */
	void (*copy)(struct backend *be, dma_addr_t iova, uint64_t size, struct backend *from,
		     dma_addr_t from_iova);

	/*
	 * Remove what is linked in [iova, iova + size). @mark, if not 0: leave marks of
	 * this owner, which unmark() removes after the invalidation. unmark() with 0
	 * removes everybody's; the range need not be the caller's any more.
	 */
	void (*unlink)(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
		       uint64_t size, uint64_t mark, struct pgt_removed *removed);
	void (*unmark)(struct backend *be, dma_addr_t iova, uint64_t size, uint64_t mark);

	/*
	 * One request: no device of the space uses an old translation of the ranges
	 * any more, and transfers that began before have ended.
	 */
	void (*invalidate)(struct backend *be, const struct backend_range *ranges, size_t nr);

	/* Join two lists of unhooked tables. */
	uint64_t *(*join_tables)(struct backend *be, uint64_t *tables, uint64_t *more);
	/* Free unhooked tables; after the invalidation. */
	void (*free_tables)(struct backend *be, uint64_t *tables);

	/* What is in the range: PGT_LINKED_* bits. */
	unsigned int (*linked)(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
			       uint64_t size);
	/* The physical address behind @iova; false if nothing is linked there. */
	bool (*lookup)(struct backend *be, dma_addr_t iova, phys_addr_t *phys);
	/*
	 * Only without translation, and NULL where DMA addresses are memory addresses.
	 *
	 * Take: where devices find [phys, phys + size), one piece that stays there until it is
	 * released. 0; -ENXIO without the error text: they cannot have this memory itself;
	 * -errno with it. In between, lookup() finds ordinary memory, as an address of the
	 * process. Release takes that address, or the one that was taken; it allocates nothing,
	 * and leaves out what was not taken.
	 */
	int (*take)(struct backend *be, phys_addr_t phys, uint64_t size, dma_addr_t *addr);
	void (*release)(struct backend *be, phys_addr_t phys, uint64_t size);
	/* Whether any leaf points into [base, last] of physical addresses. */
	bool (*maps_phys)(struct backend *be, phys_addr_t base, phys_addr_t last);
	/*
	 * Table memory: unhook empty level 0 tables. @take asks whether the caller
	 * could take all IOVA of [first, first + size) for itself; @give returns it.
	 * Returns how many were freed, with one invalidation each.
	 */
	size_t (*reclaim)(struct backend *be,
			  bool (*take)(void *arg, dma_addr_t first, uint64_t size),
			  void (*give)(void *arg, dma_addr_t first, uint64_t size), void *arg);

	/*
	 * Cache maintenance, for the devices that are not coherent, in memory that may be
	 * mapped. NULL where there are no such devices; no effect before a port of one has
	 * been opened. Memory that the CPU has no mapping of is skipped.
	 *
	 * Prepare makes what the next three need, for whole granules: 0, or -ENOMEM with
	 * the error text and no device sees anything else than before. What devices see
	 * there for the first time is poison.
	 *
	 * Clean shows to the devices what the CPU has, write_back only lines that it has
	 * written since the last maintenance; invalidate shows to the CPU what devices
	 * have written; all by whole lines, whatever else is in them. They allocate
	 * nothing, cannot fail, and skip what has not been prepared.
	 *
	 * Bypass undoes a prepare, for whole granules: devices see memory itself, as the
	 * CPU does. For what is mapped as registers or coherent where other memory may
	 * have been prepared before, at the same addresses.
	 */
	int (*cache_prepare)(struct backend *be, phys_addr_t phys, uint64_t size);
	void (*cache_clean)(struct backend *be, phys_addr_t phys, uint64_t size);
	void (*cache_write_back)(struct backend *be, phys_addr_t phys, uint64_t size);
	void (*cache_invalidate)(struct backend *be, phys_addr_t phys, uint64_t size);
	void (*cache_bypass)(struct backend *be, phys_addr_t phys, uint64_t size);

	int (*pgtable_info)(struct backend *be, struct dma_pgtable_info *info);
	uint64_t (*metadata_bytes)(struct backend *be);
	uint64_t (*table_writes)(struct backend *be);
	/* System calls that map or unmap; NULL where there are none. */
	uint64_t (*ioctls)(struct backend *be);

	/* Ports. Open: 0, -errno with the error text. Close waits for transfers in flight. */
	int (*port_open)(struct backend *be, const struct port_options *options, uint32_t number,
			 struct dma_port **port);
	void (*port_close)(struct backend *be, struct dma_port *port);
	/*
	 * Addresses that the port's devices must not be given: at most @max windows, of
	 * whole granules. Returns how many; NULL: there are none.
	 */
	size_t (*port_windows)(struct backend *be, struct dma_port *port,
			       struct backend_range *windows, size_t max);
	/*
	 * From now on the port reaches peers by @routes (NULL: it knows of none). When it
	 * returns, nothing uses the former table, nor a route closed before the call. Only
	 * for ports opened with @peers; allocates nothing.
	 */
	void (*port_set_routes)(struct backend *be, struct dma_port *port,
				const struct peer_routes *routes);
	/* Wait for the transfers in flight on every port. */
	void (*drain)(struct backend *be);

	uint64_t (*faults)(struct backend *be);
	int (*set_fault_handler)(struct backend *be, dma_fault_handler_t handler, void *arg);
	int (*read_faults)(struct backend *be, struct dma_fault *faults, size_t max,
			   uint64_t *lost);

	/* No port is open. Frees @be. @forked: only memory, in a child that owns nothing. */
	void (*close)(struct backend *be, bool forked);
};

/* What every backend has; the first member of its own structure. */
struct backend {
	/* Read by every link; written when a table is freed or a watcher comes or goes. */
	uint64_t gen_watch;
	/* Bits of a leaf for each direction; 0 for none: the format cannot express it here. */
	uint64_t leaf_bits[4];
	const struct backend_ops *ops;
	/* Addresses it can translate, closed, whole granules; first is at least 4096. */
	dma_addr_t first, last;
	/* With take(): all ones up to the highest address that memory has on the bus. */
	uint64_t required_mask;
	uint64_t phys_end; /* physical addresses must be below */
	struct base_observer *observer; /* told by the device side, if PGT_GEN_OBSERVED is set */
	bool needs_sync; /* links are seen only after sync() */
	bool translates; /* false: DMA addresses are memory addresses */
	bool hardware; /* ports are real devices; no software device uses them */
} __cacheline_aligned;

struct port_ops {
	int (*read)(struct dma_port *port, dma_addr_t addr, void *buf, size_t len);
	int (*write)(struct dma_port *port, dma_addr_t addr, const void *buf, size_t len);
	int (*cmpxchg)(struct dma_port *port, dma_addr_t addr, size_t size, void *expected,
		       const void *desired);
	int (*fetch_add)(struct dma_port *port, dma_addr_t addr, size_t size, uint64_t add,
			 uint64_t *old);
	void (*stats)(struct dma_port *port, struct dma_port_stats *stats);
};

/* What a port has in a forked child, which owns nothing: everything is -EPERM (bus.c). */
extern const struct port_ops bus_forked_port_ops;

/* The first member of a backend's own port structure. bus.c dispatches on it. */
struct dma_port {
	const struct port_ops *ops;
	uint32_t number; /* of the device in its space */
};

#endif
