/* SPDX-License-Identifier: MIT */
/*
 * iotlb: a set-associative cache of translations, one a lane. It knows nothing of
 * page tables; whoever holds the lane is the only one to touch it.
 *
 * A tag is the first IOVA of what the entry translates, with the size in the low
 * bits: 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB; 0 is no entry. All sizes share the
 * sets, and a look-up probes only for the sizes that have been stored since the
 * cache was last emptied.
 *
 * Invariant: an entry stays until it is invalidated or replaced, however often it
 * has been used and whatever has become of the page table.
 */
#ifndef BACKEND_SOFT_IOTLB_H
#define BACKEND_SOFT_IOTLB_H

#include "base/base.h"
#include "pgtable/pgtable.h"

/*
 * What an entry says: physical address of the first byte, and in the low bits the
 * rights (enum pgt_access) and these.
 */
#define IOTLB_DIRTY 4ULL /* the page table knows of a write */
#define IOTLB_ABSENT 8ULL /* nothing is linked here */
#define IOTLB_FLAGS (PGT_PAGE_SIZE - 1)

#define IOTLB_SIZES 3

struct iotlb {
	unsigned int sets, ways, way_shift;
	unsigned int sizes; /* bit n: entries of size n have been stored */
	uint64_t *tags; /* ways of set 0, of set 1, ... */
	uint64_t *data;
	uint8_t *victim; /* a set's way to replace next */
	size_t bytes; /* of everything, this structure included */
};

static __always_inline unsigned int iotlb_shift(unsigned int size)
{
	return PGT_PAGE_SHIFT + 9 * (size - 1);
}

/* @entries and @ways are powers of two. NULL without memory; base_free(). */
struct iotlb *iotlb_create(unsigned int entries, unsigned int ways);

/* The entry that translates @iova and its shift, or NULL. */
static __always_inline const uint64_t *iotlb_find(const struct iotlb *iotlb, uint64_t iova,
						  unsigned int *shift)
{
	for (unsigned int size = 1; size <= IOTLB_SIZES; size++) {
		unsigned int bits = iotlb_shift(size);
		uint64_t page = iova >> bits;
		uint64_t tag = page << bits | size;
		size_t first = (page & (iotlb->sets - 1)) << iotlb->way_shift;

		if (!(iotlb->sizes >> size & 1))
			continue;
		for (size_t i = first; i < first + iotlb->ways; i++) {
			if (iotlb->tags[i] == tag) {
				*shift = bits;
				return &iotlb->data[i];
			}
		}
	}
	return NULL;
}

/* Store what translates @iova, in a page of 2^@shift bytes. */
void iotlb_fill(struct iotlb *iotlb, uint64_t iova, unsigned int shift, uint64_t data);

/* Drop every entry that translates an address of [first, last]; returns how many. */
uint64_t iotlb_invalidate(struct iotlb *iotlb, uint64_t first, uint64_t last);

/* Drop all; returns how many. */
uint64_t iotlb_empty(struct iotlb *iotlb);

#endif
