/* SPDX-License-Identifier: MIT */
/*
 * extents: what the kernel has mapped for a space: one extent for each ioctl that mapped
 * something, in the order of their addresses. The kernel unmaps extents whole or not at all,
 * so this is what every decision to unmap is made by.
 *
 * Whoever uses it has the space's lock. Nothing but extent_add() allocates.
 */
#ifndef BACKEND_VFIO_EXTENTS_H
#define BACKEND_VFIO_EXTENTS_H

#include <twostep/types.h>

#include "base/base.h"

enum extent_state {
	EXTENT_BUSY, /* a thread is mapping it */
	EXTENT_LIVE,
	EXTENT_DEAD, /* unlinked, and still mapped: an invalidation is due */
	EXTENT_DYING, /* a thread is unmapping it */
	EXTENT_STUCK, /* the kernel has refused to unmap it */
};

struct extent {
	dma_addr_t first, last;
	enum extent_state state;
	/*
	 * Dead: where the one begins that was unlinked with it, if its owner has all addresses
	 * between them; else 0. That one may have been unmapped before.
	 */
	dma_addr_t joined;
	bool mapped; /* by the kernel, as far as is known; of whoever has it BUSY or DYING */
	struct extent *next; /* in a list of whoever maps or unmaps it */
};

struct extents {
	void *root;
	/* Also read without the lock, to tell of them. */
	uint64_t nr;
	uint64_t bytes;
};

/* NULL: no memory. The range overlaps no other. */
struct extent *extent_add(struct extents *extents, dma_addr_t first, dma_addr_t last,
			  enum extent_state state);
/* Take it out and free it. */
void extent_remove(struct extents *extents, struct extent *extent);
/* The lowest that overlaps [first, last], or NULL. */
struct extent *extent_find(const struct extents *extents, dma_addr_t first, dma_addr_t last);
/* The one after @extent that overlaps [.., last], or NULL. */
static inline struct extent *extent_next(const struct extents *extents, const struct extent *extent,
					 dma_addr_t last)
{
	return extent->last >= last ? NULL : extent_find(extents, extent->last + 1, last);
}

#endif
