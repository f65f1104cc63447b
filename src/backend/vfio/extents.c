/* SPDX-License-Identifier: MIT */
/* A balanced tree of ranges that do not overlap: the C library's. */
#include <search.h>

#include "backend/vfio/extents.h"

static int compare(const void *a, const void *b)
{
	const struct extent *key = a, *other = b;

	if (key->last < other->first)
		return -1;
	return key->first > other->last;
}

/* What a search for the lowest is compared by; never in the tree. */
struct wanted {
	struct extent range;
	const struct extent *lowest;
};

/* One that fits is noted, and then there may still be a lower one. */
static int compare_lowest(const void *a, const void *b)
{
	struct wanted *wanted = container_of((struct extent *)(uintptr_t)a, struct wanted, range);
	int order = compare(a, b);

	if (order)
		return order;
	wanted->lowest = b;
	return -1;
}

struct extent *extent_find(const struct extents *extents, dma_addr_t first, dma_addr_t last)
{
	struct wanted wanted = {.range = {.first = first, .last = last}};

	tfind(&wanted.range, (void *const *)&extents->root, compare_lowest);
	return (struct extent *)(uintptr_t)wanted.lowest;
}

struct extent *extent_add(struct extents *extents, dma_addr_t first, dma_addr_t last,
			  enum extent_state state)
{
	struct extent *extent = base_alloc(sizeof(*extent));

	if (!extent)
		return NULL;
	*extent = (struct extent){.first = first, .last = last, .state = state};
	/* The tree's own memory is from libc. */
	if (base_alloc_denied() || !tsearch(extent, &extents->root, compare)) {
		base_free(extent);
		return NULL;
	}
	counter_add(&extents->nr, 1);
	counter_add(&extents->bytes, last - first + 1);
	return extent;
}

void extent_remove(struct extents *extents, struct extent *extent)
{
	tdelete(extent, &extents->root, compare);
	counter_add(&extents->nr, -1ULL);
	counter_add(&extents->bytes, -(extent->last - extent->first + 1));
	base_free(extent);
}
