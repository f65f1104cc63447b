/* SPDX-License-Identifier: MIT */
/* The cache of translations. */
#include "backend/soft/iotlb.h"

struct iotlb *iotlb_create(unsigned int entries, unsigned int ways)
{
	unsigned int sets = entries / ways;
	size_t tags = align_up(sizeof(struct iotlb), 64);
	size_t data = tags + align_up(entries * sizeof(uint64_t), 64);
	size_t victim = data + align_up(entries * sizeof(uint64_t), 64);
	size_t bytes = victim + align_up(sets, 64);
	char *memory = base_zalloc_aligned(bytes, 64);
	struct iotlb *iotlb = (struct iotlb *)memory;

	if (!memory)
		return NULL;
	iotlb->sets = sets;
	iotlb->ways = ways;
	iotlb->way_shift = order_of(ways);
	iotlb->tags = (uint64_t *)(memory + tags);
	iotlb->data = (uint64_t *)(memory + data);
	iotlb->victim = (uint8_t *)(memory + victim);
	iotlb->bytes = bytes;
	return iotlb;
}

/* Where @tag is or should go: its own place, else an empty one, else the next in turn. */
static size_t place_for(struct iotlb *iotlb, size_t set, uint64_t tag)
{
	size_t first = set << iotlb->way_shift;
	size_t empty = SIZE_MAX;

	for (size_t i = first; i < first + iotlb->ways; i++) {
		if (iotlb->tags[i] == tag)
			return i;
		if (!iotlb->tags[i])
			empty = i;
	}
	if (empty != SIZE_MAX)
		return empty;
	return first + (iotlb->victim[set]++ & (iotlb->ways - 1));
}

void iotlb_fill(struct iotlb *iotlb, uint64_t iova, unsigned int shift, uint64_t data)
{
	unsigned int size = (shift - PGT_PAGE_SHIFT) / 9 + 1;
	uint64_t page = iova >> shift;
	uint64_t tag = page << shift | size;
	size_t place = place_for(iotlb, page & (iotlb->sets - 1), tag);

	iotlb->tags[place] = tag;
	iotlb->data[place] = data;
	iotlb->sizes |= 1U << size;
}

/*
 * Drop what begins in [start, start + span] and has this size. The loop has no
 * branch, so that the compiler can make vectors of it.
 */
static uint64_t drop_tags(uint64_t *tags, size_t nr, uint64_t start, uint64_t span,
			  unsigned int size)
{
	uint64_t dropped = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t tag = tags[i];
		uint64_t hit = (uint64_t)(tag - start <= span) & (uint64_t)((tag & 3) == size);

		tags[i] = tag & (hit - 1);
		dropped += hit;
	}
	return dropped;
}

uint64_t iotlb_invalidate(struct iotlb *iotlb, uint64_t first, uint64_t last)
{
	uint64_t dropped = 0;

	for (unsigned int size = 1; size <= IOTLB_SIZES; size++) {
		unsigned int shift = iotlb_shift(size);
		uint64_t page = first >> shift;
		uint64_t start = page << shift;
		uint64_t more = (last >> shift) - page;

		if (!(iotlb->sizes >> size & 1))
			continue;
		if (more >= iotlb->sets - 1) {
			dropped += drop_tags(iotlb->tags, (size_t)iotlb->sets << iotlb->way_shift,
					     start, last - start, size);
			continue;
		}
		for (uint64_t i = 0; i <= more; i++) {
			size_t set = (page + i) & (iotlb->sets - 1);

			dropped += drop_tags(&iotlb->tags[set << iotlb->way_shift], iotlb->ways,
					     start, last - start, size);
		}
	}
	return dropped;
}

uint64_t iotlb_empty(struct iotlb *iotlb)
{
	size_t nr = (size_t)iotlb->sets << iotlb->way_shift;
	uint64_t dropped = 0;

	if (!iotlb->sizes)
		return 0;
	for (size_t i = 0; i < nr; i++) {
		dropped += (uint64_t)(iotlb->tags[i] != 0);
		iotlb->tags[i] = 0;
	}
	iotlb->sizes = 0;
	return dropped;
}
