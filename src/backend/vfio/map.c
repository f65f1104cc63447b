/* SPDX-License-Identifier: MIT */
/* Syncs, copies and invalidations: what changes what the kernel has mapped. */
#include "backend/vfio/space.h"

/* Unmapping. */

static void count_ioctl(struct vfio_space *space)
{
	counter_add_shared(&space->ioctls, 1);
}

/* One ioctl for what is side by side. False: not all of it is gone. */
static bool unmap(struct vfio_space *space, dma_addr_t first, dma_addr_t last, uint64_t mapped)
{
	uint64_t unmapped = 0;
	int err = space->way->unmap(space, first, last - first + 1, &unmapped);

	count_ioctl(space);
	if (!err && unmapped == mapped)
		return true;
	base_error(err ? err : -EIO,
		   "the kernel was to unmap %llu bytes in 0x%llx-0x%llx and unmapped %llu (%s); "
		   "these addresses stay out of use until the device is closed",
		   (unsigned long long)mapped, (unsigned long long)first, (unsigned long long)last,
		   (unsigned long long)unmapped, err ? strerror(-err) : "no error");
	return false;
}

/*
 * What is unmapped by one ioctl: dead extents from @from on, side by side, or with nothing
 * but addresses of the same owner between them. They are DYING from here on.
 */
static struct extent *collect_dying(struct vfio_space *space, struct extent *from, dma_addr_t *last,
				    uint64_t *mapped)
{
	struct extent *end = from;

	*mapped = 0;
	for (;;) {
		struct extent *next;

		end->state = EXTENT_DYING;
		space->taken++;
		end->next = NULL;
		*mapped += end->last - end->first + 1;
		*last = end->last;
		next = extent_next(&space->extents, end, UINT64_MAX);
		if (!next || next->state != EXTENT_DEAD ||
		    next->first != (end->joined ? end->joined : end->last + 1))
			return from;
		end->next = next;
		end = next;
	}
}

/* Each by itself, where one ioctl for all did not do. */
static void unmap_singly(struct vfio_space *space, struct extent *list)
{
	for (struct extent *extent = list; extent; extent = extent->next) {
		uint64_t unmapped = 0;

		space->way->unmap(space, extent->first, extent->last - extent->first + 1,
				  &unmapped);
		count_ioctl(space);
		/* What is gone already, by the first attempt, cannot be told from what is stuck. */
		extent->mapped = unmapped != extent->last - extent->first + 1;
	}
}

/*
 * A thread is done with the extents that it took: those that the kernel has mapped are in
 * @state from now on, the others are none any more. Under the lock.
 */
static void let_go(struct vfio_space *space, struct extent *list, enum extent_state state)
{
	while (list) {
		struct extent *next = list->next;

		space->taken--;
		if (list->mapped)
			list->state = state;
		else
			extent_remove(&space->extents, list);
		list = next;
	}
	pthread_cond_broadcast(&space->changed);
}

static void unmap_list(struct vfio_space *space, struct extent *list, dma_addr_t last,
		       uint64_t mapped)
{
	pthread_mutex_unlock(&space->lock);
	if (unmap(space, list->first, last, mapped))
		for (struct extent *extent = list; extent; extent = extent->next)
			extent->mapped = false;
	else
		unmap_singly(space, list);
	pthread_mutex_lock(&space->lock);
	let_go(space, list, EXTENT_STUCK);
}

/* All that is dead in the range is unmapped when it returns. Under the lock. */
static void unmap_dead(struct vfio_space *space, dma_addr_t first, dma_addr_t last)
{
	struct extent *extent = extent_find(&space->extents, first, last);

	while (extent) {
		dma_addr_t end = extent->last;

		if (extent->state == EXTENT_DEAD) {
			uint64_t mapped;

			extent = collect_dying(space, extent, &end, &mapped);
			unmap_list(space, extent, end, mapped);
		} else if (extent->state == EXTENT_DYING) {
			pthread_cond_wait(&space->changed, &space->lock);
			end = first - 1; /* anything may have happened */
		}
		if (end != first - 1) {
			if (end >= last)
				return;
			first = end + 1;
		}
		extent = extent_find(&space->extents, first, last);
	}
}

void vfio_invalidate(struct backend *be, const struct backend_range *ranges, size_t nr)
{
	struct vfio_space *space = vfio_space_of(be);

	pthread_mutex_lock(&space->lock);
	for (size_t i = 0; i < nr; i++)
		unmap_dead(space, ranges[i].first, ranges[i].last);
	pthread_mutex_unlock(&space->lock);
}

/* Memory that was unlinked in a gather that is still open goes too. */
void vfio_drain(struct backend *be)
{
	struct vfio_space *space = vfio_space_of(be);

	pthread_mutex_lock(&space->lock);
	unmap_dead(space, 0, UINT64_MAX);
	pthread_mutex_unlock(&space->lock);
}

/* Syncing. */

static bool is_covered(const struct vfio_space *space, dma_addr_t iova, uint64_t size)
{
	return extent_find(&space->extents, iova, iova + size - 1);
}

/* How much of @size bytes at @phys is one piece of memory. */
static uint64_t same_memory(phys_addr_t phys, uint64_t size, const struct memory_record **record)
{
	const struct memory_record *found = memory_in_arena(phys) ? memory_lookup(phys) : NULL;
	uint64_t left;

	*record = found;
	if (!found)
		return size;
	left = found->size - (phys - found->base);
	return size < left ? size : left;
}

/* The longest piece that one ioctl may map from the pending leaf at @iova on. */
static void find_piece(const struct vfio_space *space, dma_addr_t iova, dma_addr_t last, bool whole,
		       const struct pgt_leaf *first, struct vfio_piece *piece)
{
	const struct extent *next = extent_find(&space->extents, iova, last);
	uint64_t size;

	if (next)
		last = next->first - 1;
	size = pgt_run(&space->shadow, iova, last, whole ? 0 : LEAF_JOINS);
	*piece = (struct vfio_piece){.iova = iova, .phys = first->phys, .access = first->access};
	piece->size = same_memory(first->phys, size, &piece->record);
}

/* What one sync maps. */
struct syncing {
	struct extent *first, **end; /* made by it, BUSY */
	uint64_t nr;
	bool others; /* somebody else is mapping in the range */
};

/* Make extents of what is pending in the range. Under the lock. 0, -ENOMEM or -EBUSY. */
static int claim_pending(struct vfio_space *space, dma_addr_t first, dma_addr_t last, bool whole,
			 struct syncing *syncing)
{
	struct pgt_leaf leaf;

	*syncing = (struct syncing){.end = &syncing->first};
	for (dma_addr_t at = first;
	     at <= last && pgt_next_leaf(&space->shadow, &at, last, &leaf);) {
		struct extent *extent = extent_find(&space->extents, at, at);
		struct vfio_piece piece;

		if (extent && extent->state == EXTENT_STUCK)
			return base_error(-EBUSY,
					  "the kernel has refused to unmap what was at 0x%llx; the "
					  "address is of no use until the device is closed",
					  (unsigned long long)at);
		if (extent) {
			syncing->others |= extent->state == EXTENT_BUSY;
			at = extent->last + 1;
			continue;
		}
		find_piece(space, at, last, whole, &leaf, &piece);
		extent = extent_add(&space->extents, at, at + piece.size - 1, EXTENT_BUSY);
		if (!extent)
			return base_error(-ENOMEM,
					  "no memory to note what is mapped at 0x%llx; free some",
					  (unsigned long long)at);
		space->taken++;
		extent->next = NULL;
		*syncing->end = extent;
		syncing->end = &extent->next;
		syncing->nr++;
		at += piece.size;
	}
	return 0;
}

/* What an extent that was claimed is to map. BUSY keeps whoever wants to unlink it away. */
static void describe(const struct vfio_space *space, const struct extent *extent,
		     struct vfio_piece *piece)
{
	dma_addr_t at = extent->first;
	struct pgt_leaf leaf = {0};

	pgt_next_leaf(&space->shadow, &at, extent->first, &leaf);
	*piece = (struct vfio_piece){
		.iova = extent->first,
		.size = extent->last - extent->first + 1,
		.phys = leaf.phys + (extent->first - at),
		.access = leaf.access,
	};
	same_memory(piece->phys, piece->size, &piece->record);
}

static int map_extent(struct vfio_space *space, struct extent *extent)
{
	struct vfio_piece piece;
	int err;

	describe(space, extent, &piece);
	count_ioctl(space);
	err = space->way->map(space, &piece);
	extent->mapped = !err;
	return err;
}

/* Those of the list that are mapped shall be pending again. */
static void unmap_again(struct vfio_space *space, struct extent *list)
{
	for (; list && list->mapped; list = list->next)
		list->mapped = !unmap(space, list->first, list->last, list->last - list->first + 1);
}

/* Map what was claimed: all of it, or nothing. Under the lock, which it drops meanwhile. */
static int map_claimed(struct vfio_space *space, struct syncing *syncing)
{
	int err = space->way->room(space, syncing->nr);

	if (!err && syncing->first) {
		pthread_mutex_unlock(&space->lock);
		for (struct extent *at = syncing->first; at && !err; at = at->next)
			err = map_extent(space, at);
		if (err)
			unmap_again(space, syncing->first);
		pthread_mutex_lock(&space->lock);
	}
	let_go(space, syncing->first, err ? EXTENT_STUCK : EXTENT_LIVE);
	return err;
}

/* Whether somebody maps in the range; then it waits until something has changed. */
static bool wait_for_mapping(struct vfio_space *space, dma_addr_t first, dma_addr_t last)
{
	struct extent *extent = extent_find(&space->extents, first, last);

	for (; extent; extent = extent_next(&space->extents, extent, last)) {
		if (extent->state == EXTENT_BUSY) {
			pthread_cond_wait(&space->changed, &space->lock);
			return true;
		}
	}
	return false;
}

/* A unit is mapped whole: the pending ones at both ends of the range make it longer. */
static void take_whole_units(struct vfio_space *space, dma_addr_t *first, dma_addr_t *last)
{
	struct pgt_leaf leaf;
	dma_addr_t at = *first;

	while (!is_covered(space, at, 1) && pgt_next_leaf(&space->shadow, &at, at, &leaf)) {
		*first = at;
		if (!(leaf.value & LEAF_JOINS))
			break;
		at--;
	}
	at = *last;
	while (!is_covered(space, at, 1) && at < space->be.last) {
		if (!pgt_next_leaf(&space->shadow, &at, at, &leaf))
			break;
		*last = at + (1ULL << leaf.shift) - 1;
		at = *last + 1;
		if (!pgt_next_leaf(&space->shadow, &at, at, &leaf) || !(leaf.value & LEAF_JOINS))
			break;
	}
}

int vfio_sync(struct backend *be, dma_addr_t iova, uint64_t size, bool whole)
{
	struct vfio_space *space = vfio_space_of(be);
	dma_addr_t last = iova + size - 1;
	struct syncing syncing;
	int err;

	pthread_mutex_lock(&space->lock);
	take_whole_units(space, &iova, &last);
	do {
		err = claim_pending(space, iova, last, whole, &syncing);
		if (err)
			let_go(space, syncing.first, EXTENT_STUCK);
		else
			err = map_claimed(space, &syncing);
		/* What others map may fail, and be pending again. */
	} while (!err && syncing.others && (wait_for_mapping(space, iova, last), true));
	pthread_mutex_unlock(&space->lock);
	return err;
}

/* Whether one ioctl has mapped all of [iova, iova + size) in another space. */
static bool is_one_extent(struct vfio_space *space, dma_addr_t iova, uint64_t size)
{
	const struct extent *extent;
	bool is;

	pthread_mutex_lock(&space->lock);
	extent = extent_find(&space->extents, iova, iova);
	is = extent && extent->state == EXTENT_LIVE && extent->last >= iova + size - 1;
	pthread_mutex_unlock(&space->lock);
	return is;
}

/* One by one; what cannot be copied is pending again, for a sync to map. */
void vfio_copy(struct backend *be, dma_addr_t iova, uint64_t size, struct backend *from_be,
	       dma_addr_t from_iova)
{
	struct vfio_space *space = vfio_space_of(be), *from = vfio_space_of(from_be);
	struct syncing syncing;

	if (!space->way->copy || from->way != space->way || from->fd != space->fd)
		return;
	pthread_mutex_lock(&space->lock);
	/* Without memory for all of it some is not copied. */
	claim_pending(space, iova, iova + size - 1, false, &syncing);
	pthread_mutex_unlock(&space->lock);
	for (struct extent *extent = syncing.first; extent; extent = extent->next) {
		dma_addr_t at = from_iova + (extent->first - iova);
		struct vfio_piece piece;

		describe(space, extent, &piece);
		if (!is_one_extent(from, at, piece.size))
			continue;
		extent->mapped = !space->way->copy(space, &piece, from, at);
		count_ioctl(space);
	}
	pthread_mutex_lock(&space->lock);
	let_go(space, syncing.first, EXTENT_LIVE);
	pthread_mutex_unlock(&space->lock);
}
