/* SPDX-License-Identifier: MIT */
/*
 * What a space knows of memory that is mapped ahead: where its regions are, and a table
 * from memory to DMA addresses that is read without a lock.
 *
 * Nouns
 *	region	what one dma_premap() has registered; regions share no granule
 *	span	2 MiB of memory addresses: what one entry of the top level stands for
 *	top	an entry for each span there can be: address space, which costs memory only
 *		where spans are in use, by the page
 *	table	an entry for each granule of one span
 *	entry	8 bytes that translate a granule, or a whole span inside one region
 *
 * An entry holds, from the top: the difference between DMA address and memory address,
 * in granules; how many granules of the region follow, PREMAP_MORE_MAX standing for as
 * many or more; and a bit for each direction that the region was registered for. No bit
 * is set where nothing is registered; in the top level such an entry is 0 or points to a
 * table. So a look-up is one load beside that of the top level, which is small, and a
 * large region costs 8 bytes for 2 MiB.
 *
 * Why readers need no lock and nobody waits for them: a table stays where it is, for the
 * span that it was made for, until the space closes. A reader may find an entry from
 * before or after a change of that entry, never anything else's. It is the caller's
 * promise that a region outlasts the mappings made in it; who translates what is just
 * being unregistered gets an address that is gone, or none.
 *
 * Order: entries are stored, with release, after the memory has been linked, and are
 * cleared before it is unlinked. So whoever has a translation can reach what it says.
 *
 * Locking: `lock` is held while regions come and go, also while memory is linked for one,
 * so that nothing that fails was ever visible. It is taken under the registry of spaces
 * (fork, unregistration of memory) and before the lock of the IOVA allocator.
 */
#ifndef DMA_PREMAP_H
#define DMA_PREMAP_H

#include <pthread.h>

#include <twostep/types.h>

#include "base/base.h"

/* User addresses. Memory above them, if any, cannot be registered. */
#ifdef __x86_64__
#define PREMAP_PHYS_BITS 47
#else
#define PREMAP_PHYS_BITS 48
#endif

#define PREMAP_GRANULE_SHIFT 12
#define PREMAP_GRANULE (1ULL << PREMAP_GRANULE_SHIFT)
#define PREMAP_SPAN_SHIFT 21
#define PREMAP_SPAN (1ULL << PREMAP_SPAN_SHIFT)
#define PREMAP_ENTRIES 512ULL /* granules of a span */

#define PREMAP_DELTA (~(PREMAP_GRANULE - 1))
#define PREMAP_MORE_SHIFT 3
#define PREMAP_MORE_MAX 511ULL
#define PREMAP_RIGHTS 7ULL

struct premap_slab;

/* Of one region: its size in bits 47:0, its direction, and the attributes above. */
struct premap_region {
	phys_addr_t phys;
	uint64_t info; /* 0: the place is free */
};

struct premap {
	uint64_t *top; /* NULL until the first region; then constant */
	pthread_mutex_t lock;
	struct premap_slab *slab; /* where tables come from: the newest */
	uint64_t *top_pages; /* bits: pages of the top level that have been written */
	struct premap_region *regions; /* a hash table with open addressing, by phys */
	size_t places; /* a power of two, or 0 */
	size_t nr_regions;
	uint64_t bytes; /* memory kept; written under the lock, read by anyone */
};

/* The entry for the granule of @phys, or 0, and how many of its region follow, at least. */
static __always_inline uint64_t premap_entry(const uint64_t *top, phys_addr_t phys, uint64_t *more)
{
	uint64_t entry = __atomic_load_n(&top[phys >> PREMAP_SPAN_SHIFT], __ATOMIC_ACQUIRE);
	uint64_t at = phys >> PREMAP_GRANULE_SHIFT & (PREMAP_ENTRIES - 1);
	const uint64_t *table;

	if (unlikely(entry & PREMAP_RIGHTS)) {
		*more = (entry >> PREMAP_MORE_SHIFT & PREMAP_MORE_MAX) + PREMAP_ENTRIES - 1 - at;
		return entry;
	}
	if (unlikely(!entry)) {
		*more = 0;
		return 0;
	}
	/* The address depends on the entry above: nothing older than the table can be there. */
	table = (const uint64_t *)(uintptr_t)entry;
	entry = __atomic_load_n(table + at, __ATOMIC_RELAXED);
	*more = entry >> PREMAP_MORE_SHIFT & PREMAP_MORE_MAX;
	return entry;
}

void premap_init(struct premap *premap);
/* Frees memory and nothing else; nobody uses the space any more. */
void premap_exit(struct premap *premap);

/* All of the rest under the lock, but premap_bytes(). */

/* Whether anything is registered in [phys, phys + size). */
bool premap_overlaps(const struct premap *premap, phys_addr_t phys, uint64_t size);

/*
 * Get what registering whole granules [phys, phys + size) takes, so that it cannot fail.
 * 0; -ENOMEM with the error text. What was got stays.
 */
int premap_prepare(struct premap *premap, phys_addr_t phys, uint64_t size);

/* Store the entries of a region, whole granules; prepared and not overlapping. */
void premap_set(struct premap *premap, phys_addr_t phys, uint64_t size, dma_addr_t addr,
		enum dma_data_direction dir);
void premap_clear(struct premap *premap, phys_addr_t phys, uint64_t size);

/* The record of regions, by the bytes that were asked for. Room: 0; -ENOMEM with the error text. */
int premap_regions_room(struct premap *premap);
void premap_regions_add(struct premap *premap, phys_addr_t phys, uint64_t size,
			enum dma_data_direction dir, unsigned long attrs);
/* False: there is none. */
bool premap_regions_remove(struct premap *premap, phys_addr_t phys, uint64_t size,
			   enum dma_data_direction *dir, unsigned long *attrs);

static inline uint64_t premap_bytes(const struct premap *premap)
{
	return counter_read(&premap->bytes);
}

#endif
