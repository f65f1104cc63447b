/* SPDX-License-Identifier: MIT */
/*
 * Which regions are registered, byte by byte as they were asked for: a hash table with
 * open addressing, two words a place. A search goes from a region's own place to the
 * next free one; who leaves closes the gap.
 */
#include "dma/premap.h"

#define FEWEST_PLACES 64

#define SIZE_BITS 48
#define DIR_SHIFT SIZE_BITS
#define ATTRS_SHIFT (DIR_SHIFT + 2)
#define ATTRS_MASK ((1ULL << (64 - ATTRS_SHIFT)) - 1)

static size_t place_of(const struct premap *premap, phys_addr_t phys)
{
	uint64_t mixed = (phys >> PREMAP_GRANULE_SHIFT) * 0x9e3779b97f4a7c15ULL;

	return mixed >> 32 & (premap->places - 1);
}

static size_t next_place(const struct premap *premap, size_t place)
{
	return (place + 1) & (premap->places - 1);
}

static void put(struct premap *premap, const struct premap_region *region)
{
	size_t place = place_of(premap, region->phys);

	while (premap->regions[place].info)
		place = next_place(premap, place);
	premap->regions[place] = *region;
}

int premap_regions_room(struct premap *premap)
{
	struct premap_region *former = premap->regions;
	size_t places = premap->places;

	/* At most three quarters are taken. */
	if (premap->nr_regions < places - places / 4)
		return 0;
	premap->places = places ? 2 * places : FEWEST_PLACES;
	premap->regions = base_zalloc(premap->places * sizeof(*former));
	if (!premap->regions) {
		premap->regions = former;
		premap->places = places;
		return base_error(-ENOMEM,
				  "premap: no memory for the record of %zu regions; free some",
				  premap->nr_regions + 1);
	}
	for (size_t i = 0; i < places; i++)
		if (former[i].info)
			put(premap, &former[i]);
	base_free(former);
	counter_add(&premap->bytes, (premap->places - places) * sizeof(*former));
	return 0;
}

void premap_regions_add(struct premap *premap, phys_addr_t phys, uint64_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	const struct premap_region region = {
		.phys = phys,
		.info = size | (uint64_t)dir << DIR_SHIFT | (attrs & ATTRS_MASK) << ATTRS_SHIFT,
	};

	put(premap, &region);
	premap->nr_regions++;
}

/* Whoever stands behind a free place, and would be found from before it, moves there. */
static void close_gap(struct premap *premap, size_t gap)
{
	size_t place = gap;

	for (;;) {
		size_t from_home, from_gap;

		place = next_place(premap, place);
		if (!premap->regions[place].info)
			break;
		from_home = (place - place_of(premap, premap->regions[place].phys)) &
			    (premap->places - 1);
		from_gap = (place - gap) & (premap->places - 1);
		if (from_home < from_gap)
			continue;
		premap->regions[gap] = premap->regions[place];
		gap = place;
	}
	premap->regions[gap] = (struct premap_region){0};
}

bool premap_regions_remove(struct premap *premap, phys_addr_t phys, uint64_t size,
			   enum dma_data_direction *dir, unsigned long *attrs)
{
	size_t place;

	if (!premap->places)
		return false;
	for (place = place_of(premap, phys); premap->regions[place].info;
	     place = next_place(premap, place)) {
		uint64_t info = premap->regions[place].info;

		if (premap->regions[place].phys != phys ||
		    (info & ((1ULL << SIZE_BITS) - 1)) != size)
			continue;
		*dir = (enum dma_data_direction)(info >> DIR_SHIFT & 3);
		*attrs = info >> ATTRS_SHIFT;
		close_gap(premap, place);
		premap->nr_regions--;
		return true;
	}
	return false;
}
