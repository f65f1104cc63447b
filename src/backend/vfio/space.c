/* SPDX-License-Identifier: MIT */
/* Links, syncs and unlinks in a space of the kernel's. */
#include <unistd.h>

#include "backend/vfio/space.h"

/* Linking: in the shadow. */

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

static int vfio_link(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
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
		    (!end->joins_next && next->first != end->last + 1))
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

static void unmap_list(struct vfio_space *space, struct extent *list, dma_addr_t last,
		       uint64_t mapped)
{
	struct extent *next;
	bool gone;

	pthread_mutex_unlock(&space->lock);
	gone = unmap(space, list->first, last, mapped);
	if (!gone)
		unmap_singly(space, list);
	pthread_mutex_lock(&space->lock);
	for (struct extent *extent = list; extent; extent = next) {
		next = extent->next;
		space->taken--;
		if (!gone && extent->mapped)
			extent->state = EXTENT_STUCK;
		else
			extent_remove(&space->extents, extent);
	}
	pthread_cond_broadcast(&space->changed);
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

static void vfio_invalidate(struct backend *be, const struct backend_range *ranges, size_t nr)
{
	struct vfio_space *space = vfio_space_of(be);

	pthread_mutex_lock(&space->lock);
	for (size_t i = 0; i < nr; i++)
		unmap_dead(space, ranges[i].first, ranges[i].last);
	pthread_mutex_unlock(&space->lock);
}

/* Memory that was unlinked in a gather that is still open goes too. */
static void vfio_drain(struct backend *be)
{
	struct vfio_space *space = vfio_space_of(be);

	pthread_mutex_lock(&space->lock);
	unmap_dead(space, 0, UINT64_MAX);
	pthread_mutex_unlock(&space->lock);
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
		extent->joins_next = false;
		if (before && owned)
			before->joins_next = true;
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

static void vfio_unlink(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
			uint64_t size, uint64_t mark, struct pgt_removed *removed)
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

static int map_extent(struct vfio_space *space, const struct extent *extent)
{
	struct vfio_piece piece = {.iova = extent->first, .size = extent->last - extent->first + 1};
	dma_addr_t at = extent->first;
	struct pgt_leaf leaf;

	/* BUSY keeps whoever wants to unlink away. */
	if (!pgt_next_leaf(&space->shadow, &at, extent->first, &leaf))
		return base_error(-ENOENT, "what was linked at 0x%llx is gone",
				  (unsigned long long)extent->first);
	piece.phys = leaf.phys + (extent->first - at);
	piece.access = leaf.access;
	same_memory(piece.phys, piece.size, &piece.record);
	count_ioctl(space);
	return space->way->map(space, &piece);
}

/* The first @nr of the list are mapped, and shall be pending again. */
static void unmap_again(struct vfio_space *space, struct extent *list, uint64_t nr)
{
	for (; nr; nr--, list = list->next)
		list->mapped = !unmap(space, list->first, list->last, list->last - list->first + 1);
}

static void forget(struct vfio_space *space, struct extent *list)
{
	while (list) {
		struct extent *next = list->next;

		space->taken--;
		if (list->mapped)
			list->state = EXTENT_STUCK;
		else
			extent_remove(&space->extents, list);
		list = next;
	}
}

/* Map what was claimed: all of it, or nothing. Under the lock, which it drops meanwhile. */
static int map_claimed(struct vfio_space *space, struct syncing *syncing)
{
	uint64_t done = 0;
	int err = space->way->room(space, syncing->nr);

	if (!err && syncing->first) {
		pthread_mutex_unlock(&space->lock);
		for (struct extent *at = syncing->first; at && !err; at = at->next) {
			err = map_extent(space, at);
			done += !err;
		}
		if (err)
			unmap_again(space, syncing->first, done);
		pthread_mutex_lock(&space->lock);
	}
	if (err)
		forget(space, syncing->first);
	else
		for (struct extent *at = syncing->first; at; at = at->next) {
			at->state = EXTENT_LIVE;
			space->taken--;
		}
	pthread_cond_broadcast(&space->changed);
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

static int vfio_sync(struct backend *be, dma_addr_t iova, uint64_t size, bool whole)
{
	struct vfio_space *space = vfio_space_of(be);
	dma_addr_t last = iova + size - 1;
	struct syncing syncing;
	int err;

	pthread_mutex_lock(&space->lock);
	take_whole_units(space, &iova, &last);
	do {
		err = claim_pending(space, iova, last, whole, &syncing);
		if (err) {
			forget(space, syncing.first);
			pthread_cond_broadcast(&space->changed);
		} else {
			err = map_claimed(space, &syncing);
		}
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
static void vfio_copy(struct backend *be, dma_addr_t iova, uint64_t size, struct backend *from_be,
		      dma_addr_t from_iova)
{
	struct vfio_space *space = vfio_space_of(be), *from = vfio_space_of(from_be);
	struct syncing syncing;
	struct extent *next;

	if (!space->way->copy || from->way != space->way || from->fd != space->fd)
		return;
	pthread_mutex_lock(&space->lock);
	/* Without memory for all of it some is not copied. */
	claim_pending(space, iova, iova + size - 1, false, &syncing);
	pthread_mutex_unlock(&space->lock);
	for (struct extent *extent = syncing.first; extent; extent = extent->next) {
		dma_addr_t at = from_iova + (extent->first - iova), first = extent->first;
		struct vfio_piece piece = {.iova = first, .size = extent->last - extent->first + 1};
		struct pgt_leaf leaf;

		extent->mapped = false;
		if (!is_one_extent(from, at, piece.size) ||
		    !pgt_next_leaf(&space->shadow, &first, first, &leaf))
			continue;
		piece.access = leaf.access;
		extent->mapped = !space->way->copy(space, &piece, from, at);
		count_ioctl(space);
	}
	pthread_mutex_lock(&space->lock);
	for (struct extent *extent = syncing.first; extent; extent = next) {
		next = extent->next;
		space->taken--;
		if (extent->mapped)
			extent->state = EXTENT_LIVE;
		else
			extent_remove(&space->extents, extent);
	}
	pthread_cond_broadcast(&space->changed);
	pthread_mutex_unlock(&space->lock);
}

/* The shadow, for the rooms above. */

static void vfio_unmark(struct backend *be, dma_addr_t iova, uint64_t size, uint64_t mark)
{
	pgt_unmark(&vfio_space_of(be)->shadow, iova, size, mark);
}

static uint64_t *vfio_join_tables(struct backend *be, uint64_t *tables, uint64_t *more)
{
	return pgt_join_tables(&vfio_space_of(be)->shadow, tables, more);
}

static void vfio_free_tables(struct backend *be, uint64_t *tables)
{
	pgt_free_tables(&vfio_space_of(be)->shadow, tables);
}

static unsigned int vfio_linked(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
				uint64_t size)
{
	(void)cursor;
	return pgt_linked(&vfio_space_of(be)->shadow, NULL, iova, size);
}

static bool vfio_lookup(struct backend *be, dma_addr_t iova, phys_addr_t *phys)
{
	struct pgt_leaf leaf;

	if (!pgt_lookup(&vfio_space_of(be)->shadow, iova, &leaf))
		return false;
	*phys = leaf.phys + (iova & ((1ULL << leaf.shift) - 1));
	return true;
}

static bool vfio_maps_phys(struct backend *be, phys_addr_t base, phys_addr_t last)
{
	return pgt_maps_phys(&vfio_space_of(be)->shadow, base, last);
}

/* No hardware walks the shadow. */
static void nothing_walks(void *backend, uint64_t first, uint64_t last)
{
	(void)backend;
	(void)first;
	(void)last;
}

static size_t vfio_reclaim(struct backend *be,
			   bool (*take)(void *arg, dma_addr_t first, uint64_t size),
			   void (*give)(void *arg, dma_addr_t first, uint64_t size), void *arg)
{
	const struct pgt_reclaim_ops ops = {
		.take = take, .give = give, .invalidate = nothing_walks};
	struct vfio_space *space = vfio_space_of(be);
	size_t freed;

	/* Syncs walk tables of others' addresses under the lock. */
	pthread_mutex_lock(&space->lock);
	freed = pgt_reclaim(&space->shadow, &ops, arg, be);
	pthread_mutex_unlock(&space->lock);
	return freed;
}

static int vfio_pgtable_info(struct backend *be, struct dma_pgtable_info *info)
{
	*info = (struct dma_pgtable_info){.format = "none"};
	return base_error(-EOPNOTSUPP,
			  "the page table of a %s space is the kernel's, which does not show it",
			  be->ops->name);
}

static uint64_t vfio_metadata_bytes(struct backend *be)
{
	struct vfio_space *space = vfio_space_of(be);
	uint64_t bytes;

	pthread_mutex_lock(&space->lock);
	bytes = space->extents.nr * sizeof(struct extent);
	pthread_mutex_unlock(&space->lock);
	return bytes + counter_read(&space->shadow.tables) * PGT_PAGE_SIZE;
}

static uint64_t vfio_table_writes(struct backend *be)
{
	return counter_read(&vfio_space_of(be)->shadow.table_writes);
}

static uint64_t vfio_ioctls(struct backend *be)
{
	return counter_read(&vfio_space_of(be)->ioctls);
}

/* Faults: the kernel logs them, and tells nobody else. */

static uint64_t vfio_faults(struct backend *be)
{
	(void)be;
	return 0;
}

static int vfio_set_fault_handler(struct backend *be, dma_fault_handler_t handler, void *arg)
{
	(void)arg;
	if (!handler)
		return 0;
	return base_error(-EOPNOTSUPP,
			  "faults in a %s space: the kernel writes them to its log (dmesg) and "
			  "tells no program",
			  be->ops->name);
}

static int vfio_read_faults(struct backend *be, struct dma_fault *faults, size_t max,
			    uint64_t *lost)
{
	(void)be;
	(void)faults;
	(void)max;
	if (lost)
		*lost = 0;
	return 0;
}

/* Devices. */

/* Linux 7 gives out devices without an IOMMU by iommufd too: to ask for physical addresses. */
static int check_iommu(const struct vfio_place *place)
{
	if (!place->noiommu && place->group >= 0)
		return 0;
	return base_error(-ENODEV,
			  "device %s is behind no IOMMU; switch it on (firmware, and "
			  "intel_iommu=on or amd_iommu=on), or use vfio-noiommu:",
			  place->bdf);
}

/* Type 1 would give a device out twice: two that know nothing of each other's settings. */
static int check_unused(const struct vfio_space *space, const struct vfio_place *place)
{
	for (const struct vfio_port *port = space->ports; port; port = port->next)
		if (!strcmp(port->device.place.bdf, place->bdf))
			return base_error(-EBUSY, "device %s is in use in this space already",
					  place->bdf);
	return 0;
}

static int vfio_port_open(struct backend *be, const struct port_options *options, uint32_t number,
			  struct dma_port **opened)
{
	struct vfio_space *space = vfio_space_of(be);
	struct vfio_place place;
	struct vfio_port *port;
	int err = vfio_find(options->bdf, &place);

	if (!err)
		err = vfio_check_bound(&place);
	if (!err)
		err = check_iommu(&place);
	if (err)
		return err;
	port = base_zalloc_aligned(sizeof(*port), 64);
	if (!port)
		return base_error(-ENOMEM, "no memory for device %s; free some", place.bdf);
	port->port = (struct dma_port){.ops = &vfio_port_ops, .number = number};
	pthread_mutex_lock(&space->lock);
	err = check_unused(space, &place);
	if (!err)
		err = space->way->attach(space, port, &place);
	if (!err) {
		port->next = space->ports;
		space->ports = port;
		*opened = &port->port;
	}
	pthread_mutex_unlock(&space->lock);
	if (err)
		base_free(port);
	return err;
}

static void vfio_port_close(struct backend *be, struct dma_port *opened)
{
	struct vfio_port *port = container_of(opened, struct vfio_port, port);
	struct vfio_space *space = vfio_space_of(be);

	/* Before the lock: whoever unregisters memory waits for every space, this one too. */
	vfio_registered_drop(&port->device, false);
	pthread_mutex_lock(&space->lock);
	for (struct vfio_port **at = &space->ports; *at; at = &(*at)->next) {
		if (*at == port) {
			*at = port->next;
			break;
		}
	}
	space->way->detach(space, port);
	pthread_mutex_unlock(&space->lock);
	base_free(port);
}

/* What lies between the allowed ranges, and before and behind them. */
static size_t vfio_port_windows(struct backend *be, struct dma_port *port,
				struct backend_range *windows, size_t max)
{
	struct vfio_space *space = vfio_space_of(be);
	dma_addr_t from = 0;
	size_t nr = 0;

	(void)port;
	pthread_mutex_lock(&space->lock);
	for (size_t i = 0; i < space->nr_allowed && nr < max; i++) {
		const struct backend_range *range = &space->allowed[i];

		if (range->first > from)
			windows[nr++] = (struct backend_range){from, range->first - 1};
		from = range->last + 1;
		if (!from)
			break;
	}
	if ((from || !space->nr_allowed) && from <= be->last && nr < max)
		windows[nr++] = (struct backend_range){from, be->last};
	pthread_mutex_unlock(&space->lock);
	return nr;
}

int vfio_set_allowed(struct vfio_space *space, const struct backend_range *ranges, size_t nr,
		     const char *bdf)
{
	const uint64_t mask = PGT_PAGE_SIZE - 1;

	space->nr_allowed = 0;
	for (size_t i = 0; i < nr; i++) {
		dma_addr_t first = align_up(ranges[i].first, PGT_PAGE_SIZE);
		dma_addr_t last = ((ranges[i].last + 1) & ~mask) - 1;

		/* What wraps is no whole granule. */
		if (first < ranges[i].first || first > last || last > ranges[i].last ||
		    first > space->be.last)
			continue;
		/* With no room for more, the rest is not used. */
		if (space->nr_allowed == VFIO_MAX_RANGES - 1)
			break;
		space->allowed[space->nr_allowed++] = (struct backend_range){
			first, last < space->be.last ? last : space->be.last};
	}
	if (space->nr_allowed)
		return 0;
	return base_error(-ENOSPC, "the IOMMU leaves %s no address that could be mapped", bdf);
}

/* Routes to peers are the IOMMU's affair. */
static void vfio_port_set_routes(struct backend *be, struct dma_port *port,
				 const struct peer_routes *routes)
{
	(void)be;
	(void)port;
	(void)routes;
}

/* Life. */

static void vfio_close(struct backend *be, bool forked)
{
	struct vfio_space *space = vfio_space_of(be);

	if (forked) {
		while (space->ports) {
			struct vfio_port *port = space->ports;

			space->ports = port->next;
			vfio_device_forget(&port->device);
			base_free(port);
		}
	}
	space->way->close(space);
	while (space->extents.root)
		extent_remove(&space->extents, extent_find(&space->extents, 0, UINT64_MAX));
	tables_exit(&space->tables);
	if (!forked) {
		pthread_cond_destroy(&space->changed);
		pthread_mutex_destroy(&space->lock);
	}
	base_free(space);
}

/* A space has a copy, named after its way. */
static const struct backend_ops vfio_ops = {
	.link = vfio_link,
	.sync = vfio_sync,
	.copy = vfio_copy,
	.unlink = vfio_unlink,
	.unmark = vfio_unmark,
	.invalidate = vfio_invalidate,
	.join_tables = vfio_join_tables,
	.free_tables = vfio_free_tables,
	.linked = vfio_linked,
	.lookup = vfio_lookup,
	.maps_phys = vfio_maps_phys,
	.reclaim = vfio_reclaim,
	.pgtable_info = vfio_pgtable_info,
	.metadata_bytes = vfio_metadata_bytes,
	.table_writes = vfio_table_writes,
	.ioctls = vfio_ioctls,
	.port_open = vfio_port_open,
	.port_close = vfio_port_close,
	.port_windows = vfio_port_windows,
	.port_set_routes = vfio_port_set_routes,
	.drain = vfio_drain,
	.faults = vfio_faults,
	.set_fault_handler = vfio_set_fault_handler,
	.read_faults = vfio_read_faults,
	.close = vfio_close,
};

/* iommufd where the kernel has it and gives the device out by it, else type1. */
static int choose(const char *bdf, const struct vfio_way **way)
{
	struct vfio_place place;
	int err = vfio_find(bdf, &place);

	if (!err)
		err = vfio_check_bound(&place);
	if (err)
		return err;
	*way = place.cdev_file[0] && !vfio_access("/dev/iommu", F_OK) ? &vfio_iommufd : &vfio_type1;
	return 0;
}

static int init_space(struct vfio_space *space, const struct vfio_way *way)
{
	const struct pgt_format *format = &pgt_vtd_ss;
	int err = tables_init(&space->tables, 0);

	if (err)
		return err;
	err = pgt_init(&space->shadow, format, &space->tables.memory, &space->be.gen_watch);
	if (err) {
		tables_exit(&space->tables);
		return base_error(err, "no memory for the tables of an address space; free some");
	}
	space->way = way;
	space->fd = -1;
	space->ops = vfio_ops;
	space->ops.name = way->name;
	space->be.ops = &space->ops;
	space->be.first = PGT_PAGE_SIZE;
	space->be.last = pgt_format_last(format);
	space->be.phys_end = pgt_format_phys_end(format);
	space->be.translates = true;
	space->be.needs_sync = true;
	space->be.hardware = true;
	for (unsigned int dir = DMA_BIDIRECTIONAL; dir < DMA_NONE; dir++)
		space->be.leaf_bits[dir] =
			pgt_format_leaf_bits(format, (enum dma_data_direction)dir);
	err = space->way->open(space);
	if (err) {
		tables_exit(&space->tables);
		return err;
	}
	pthread_mutex_init(&space->lock, NULL);
	pthread_cond_init(&space->changed, NULL);
	return 0;
}

int vfio_backend_create(const struct vfio_options *options, struct backend **be)
{
	const struct vfio_way *way = &vfio_iommufd;
	struct vfio_space *space;
	int err = 0;

	if (!strcmp(options->way, vfio_type1.name))
		way = &vfio_type1;
	else if (strcmp(options->way, vfio_iommufd.name))
		err = choose(options->bdf, &way);
	if (err)
		return err;
	space = base_zalloc_aligned(sizeof(*space), 64);
	if (!space)
		return base_error(-ENOMEM, "no memory for an address space; free some");
	err = init_space(space, way);
	if (err) {
		base_free(space);
		return err;
	}
	*be = &space->be;
	return 0;
}
