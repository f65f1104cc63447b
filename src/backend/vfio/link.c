/* SPDX-License-Identifier: MIT */
/* Links and unlinks: what changes the shadow. */
#include "backend/vfio/space.h"

static int check_memory(const struct vfio_space *space, const struct phys_vec *vec, size_t nr_vecs)
{
	for (size_t i = 0; i < nr_vecs; i++) {
		const struct memory_record *record;
		int err;

		if (likely(!memory_in_arena(vec[i].paddr)))
			continue;
		record = memory_lookup(vec[i].paddr);
		err = record ? space->way->check(space, record) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* So many runs of a vector are joined before they are linked. */
#define MOST_RUNS 64

/*
 * Join pieces that follow each other in memory: they are one unit. Returns how many pieces
 * there are then; 0: too many, and @runs means nothing.
 */
static size_t join_pieces(const struct phys_vec *vec, size_t nr_vecs, struct phys_vec *runs)
{
	size_t nr = 1;

	runs[0] = vec[0];
	for (size_t i = 1; i < nr_vecs; i++) {
		struct phys_vec *run = &runs[nr - 1];

		if (run->paddr + run->len == vec[i].paddr) {
			run->len += vec[i].len;
		} else {
			if (nr == MOST_RUNS)
				return 0;
			runs[nr++] = vec[i];
		}
	}
	return nr;
}

/* Say of each leaf of a unit, but the first, that it goes on with the one before. */
static void join_leaves(struct vfio_space *space, dma_addr_t iova, uint64_t size)
{
	uint64_t begins = PGT_PAGE_SIZE;
	dma_addr_t first = iova;
	struct pgt_leaf leaf;

	if (pgt_next_leaf(&space->shadow, &first, iova, &leaf))
		begins = (1ULL << leaf.shift) - (iova - first);
	if (size > begins)
		pgt_add_bits(&space->shadow, iova + begins, size - begins, LEAF_JOINS);
}

static void join_units(struct vfio_space *space, dma_addr_t iova, const struct phys_vec *vec,
		       size_t nr_vecs, bool apart)
{
	for (size_t i = 0; i < nr_vecs;) {
		uint64_t bytes = (vec[i].paddr & (PGT_PAGE_SIZE - 1)) + vec[i].len;
		size_t next = i + 1;

		for (; next < nr_vecs && !apart &&
		       vec[next - 1].paddr + vec[next - 1].len == vec[next].paddr;
		     next++)
			bytes += vec[next].len;
		bytes = align_up(bytes, PGT_PAGE_SIZE);
		if (bytes > PGT_PAGE_SIZE)
			join_leaves(space, iova, bytes);
		iova += bytes;
		i = next;
	}
}

int vfio_link(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
	      const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
	      unsigned long attrs, struct pgt_linked *linked)
{
	struct vfio_space *space = vfio_space_of(be);
	bool apart = attrs & PGT_ATTR_APART;
	struct phys_vec runs[MOST_RUNS];
	int err = check_memory(space, vec, nr_vecs);

	/* Without a cursor no call takes a short way, which would pass by the extents. */
	(void)cursor;
	if (err)
		return err;
	if (nr_vecs > 1 && !apart) {
		size_t nr = join_pieces(vec, nr_vecs, runs);

		if (nr && nr < nr_vecs) {
			vec = runs;
			nr_vecs = nr;
			attrs &= ~PGT_ATTR_PAGES;
		}
	}
	err = pgt_link(&space->shadow, NULL, iova, vec, nr_vecs, dir, attrs, linked);
	if (!err && linked->entries > 1)
		join_units(space, iova, vec, nr_vecs, apart);
	return err;
}

/* Unlinking. */

/* Nobody maps or unmaps in the range when it returns. Under the lock. */
static void wait_for_others(struct vfio_space *space, dma_addr_t first, dma_addr_t last)
{
	struct extent *extent = space->taken ? extent_find(&space->extents, first, last) : NULL;

	while (extent) {
		if (extent->state == EXTENT_BUSY || extent->state == EXTENT_DYING) {
			pthread_cond_wait(&space->changed, &space->lock);
			extent = extent_find(&space->extents, first, last);
		} else {
			extent = extent_next(&space->extents, extent, last);
		}
	}
}

/* Live extents that reach over the range make it longer. True if there are such. */
static bool widen(struct vfio_space *space, dma_addr_t *first, dma_addr_t *last)
{
	struct extent *low = extent_find(&space->extents, *first, *first);
	struct extent *high = extent_find(&space->extents, *last, *last);
	bool cut = false;

	if (low && low->state == EXTENT_LIVE && low->first < *first) {
		*first = low->first;
		cut = true;
	}
	if (high && high->state == EXTENT_LIVE && high->last > *last) {
		*last = high->last;
		cut = true;
	}
	return cut;
}

static void bury(struct vfio_space *space, dma_addr_t first, dma_addr_t last, bool owned)
{
	struct extent *before = NULL, *extent = extent_find(&space->extents, first, last);

	for (; extent; extent = extent_next(&space->extents, extent, last)) {
		if (extent->state != EXTENT_LIVE) {
			before = NULL;
			continue;
		}
		extent->state = EXTENT_DEAD;
		extent->joined = 0;
		if (before && owned)
			before->joined = extent->first;
		before = extent;
	}
}

/*
 * What is left of a unit whose beginning went, never synced, is a unit of its own: something
 * else may be linked before it. Only the lock's holder takes leaves and tables away.
 */
static void begin_unit(struct vfio_space *space, dma_addr_t iova)
{
	dma_addr_t at = iova;
	struct pgt_leaf leaf;

	if (iova && pgt_next_leaf(&space->shadow, &at, iova, &leaf) && at == iova &&
	    leaf.value & LEAF_JOINS)
		__atomic_fetch_and(leaf.entry, ~LEAF_JOINS, __ATOMIC_RELAXED);
}

void vfio_unlink(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova, uint64_t size,
		 uint64_t mark, struct pgt_removed *removed)
{
	struct vfio_space *space = vfio_space_of(be);
	dma_addr_t first = iova, last = iova + size - 1;
	bool cut;

	(void)cursor;
	pthread_mutex_lock(&space->lock);
	wait_for_others(space, first, last);
	cut = widen(space, &first, &last);
	pgt_unlink(&space->shadow, NULL, first, last - first + 1, mark, removed);
	if (removed->first <= removed->last) {
		/* An entry that was cut may have taken more. */
		if (removed->first < first)
			first = removed->first;
		if (removed->last > last)
			last = removed->last;
	}
	removed->cut |= cut;
	begin_unit(space, last + 1);
	bury(space, first, last, !mark);
	pthread_mutex_unlock(&space->lock);
}
