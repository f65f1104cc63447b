/* SPDX-License-Identifier: MIT */
/* Address spaces: their life, the slots of threads, fork, statistics. */
#include <stdarg.h>
#include <stdio.h>

#include "dma/lazy.h"
#include "dma/p2p.h"

thread_local_ie const void *dma_caller;

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct dma_space *spaces;
static uint64_t leaked;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A thread ends: what its caches hold is for everybody again. */
static void thread_leaves(unsigned int thread)
{
	pthread_mutex_lock(&registry);
	for (struct dma_space *space = spaces; space; space = space->next) {
		struct dma_slot *slot = space->slots[thread];

		if (!slot)
			continue;
		dma_lazy_leave(space, slot);
		if (space->be->translates)
			iova_cache_flush(&space->iova, &slot->iova);
		slot->cursor = (struct pgt_cursor){0};
		slot->window = (struct dma_link_window){0};
	}
	for (struct dma_space *space = spaces; space; space = space->next)
		dma_pools_leave(space, thread);
	pthread_mutex_unlock(&registry);
}

/* The child frees what it inherits: no tree, and no record of regions, may be half changed. */
static void before_fork(void)
{
	dma_place_before_fork();
	pthread_mutex_lock(&registry);
	dma_lazy_before_fork();
	for (struct dma_space *space = spaces; space; space = space->next) {
		dma_blocks_lock(&space->blocks);
		pthread_mutex_lock(&space->premap.lock);
		if (space->be->translates)
			iova_before_fork(&space->iova);
	}
}

static void unlock_spaces(void)
{
	for (struct dma_space *space = spaces; space; space = space->next) {
		if (space->be->translates)
			iova_after_fork(&space->iova);
		dma_blocks_unlock(&space->blocks);
		pthread_mutex_unlock(&space->premap.lock);
	}
}

static void after_fork_parent(void)
{
	unlock_spaces();
	dma_lazy_after_fork(false);
	pthread_mutex_unlock(&registry);
	dma_place_after_fork(false);
}

/* The child owns nothing of what it inherited. */
static void after_fork_child(void)
{
	unlock_spaces();
	for (struct dma_space *space = spaces; space; space = space->next) {
		__atomic_fetch_or(&space->be->gen_watch, WATCH_FORKED, __ATOMIC_SEQ_CST);
		for (struct dma_dev *dev = space->devices; dev; dev = dev->next)
			dev->port->ops = &bus_forked_port_ops;
	}
	spaces = NULL;
	leaked = 0;
	dma_lazy_after_fork(true);
	pthread_mutex_unlock(&registry);
	dma_place_after_fork(true);
}

/* Where nothing is translated, what is mapped ahead is known all the same. */
static bool is_mapped_in(struct dma_space *space, phys_addr_t base, phys_addr_t last)
{
	bool mapped;

	if (space->be->translates)
		return space->be->ops->maps_phys(space->be, base, last);
	pthread_mutex_lock(&space->premap.lock);
	mapped = premap_overlaps(&space->premap, base, last - base + 1);
	pthread_mutex_unlock(&space->premap.lock);
	return mapped;
}

static bool memory_is_mapped(phys_addr_t base, phys_addr_t last)
{
	bool mapped = false;

	/* Memory of a provider goes with pci_p2pdma_remove_resource(). */
	if (p2p_provides(base, last))
		return true;
	pthread_mutex_lock(&registry);
	for (struct dma_space *space = spaces; space && !mapped; space = space->next) {
		struct backend *be = space->be;

		mapped = is_mapped_in(space, base, last) || bounce_stands_for(base, last);
		/* Where entries are gone, IOTLBs may still have them. */
		if (!mapped && space->lazy)
			dma_lazy_flush_all(space);
		else if (!mapped)
			be->ops->drain(be);
	}
	pthread_mutex_unlock(&registry);
	return mapped;
}

void dma_drain_spaces(void)
{
	pthread_mutex_lock(&registry);
	for (struct dma_space *space = spaces; space; space = space->next)
		space->be->ops->drain(space->be);
	pthread_mutex_unlock(&registry);
}

static void join_process(void)
{
	base_thread_on_exit(thread_leaves);
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	memory_set_busy_hook(memory_is_mapped);
}

int dma_space_create(struct backend *be, struct dma_space **created)
{
	struct dma_space *space;

	pthread_once(&once, join_process);
	space = base_zalloc_aligned(sizeof(*space), 64);
	if (!space)
		goto no_memory;
	if (be->translates &&
	    iova_space_init(&space->iova, be->first >> GRANULE_SHIFT, be->last >> GRANULE_SHIFT))
		goto no_memory;
	space->be = be;
	if (!be->translates)
		be->gen_watch |= WATCH_DIRECT;
	space->present = be->leaf_bits[DMA_BIDIRECTIONAL] | be->leaf_bits[DMA_TO_DEVICE] |
			 be->leaf_bits[DMA_FROM_DEVICE];
	space->shared.shared = true;
	dma_blocks_init(&space->blocks);
	premap_init(&space->premap);
	pthread_mutex_init(&space->lock, NULL);
	pthread_mutex_lock(&registry);
	space->next = spaces;
	spaces = space;
	pthread_mutex_unlock(&registry);
	*created = space;
	return 0;

no_memory:
	base_free(space);
	be->ops->close(be, false);
	return base_error(-ENOMEM, "no memory for an I/O address space; free some");
}

void dma_space_observe(struct dma_space *space, struct base_observer *observer)
{
	space->be->observer = observer;
	__atomic_fetch_or(&space->be->gen_watch, WATCH_OBSERVED, __ATOMIC_RELEASE);
}

struct leaks {
	struct dma_space *space;
	uint64_t count;
};

static void count_leak(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind)
{
	struct leaks *leaks = arg;
	struct backend *be = leaks->space->be;
	struct pgt_removed removed;

	(void)kind;
	be->ops->unlink(be, NULL, pfn << GRANULE_SHIFT, pages << GRANULE_SHIFT, 0, &removed);
	leaks->count++;
}

/*
 * Buffers that nobody will ask for any more. Some may be linked where nothing is live, by
 * a state that had been freed.
 */
static void take_buffers_back(struct dma_space *space)
{
	struct bounce_list list = {NULL};

	if (!space->bounced)
		return;
	bounce_list_add_owned(&list, space);
	bounce_list_finish(&list);
}

static void leave_registry(struct dma_space *space)
{
	pthread_mutex_lock(&registry);
	for (struct dma_space **at = &spaces; *at; at = &(*at)->next) {
		if (*at == space) {
			*at = space->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry);
}

void dma_count_leaks(struct dma_space *space, uint64_t count)
{
	pthread_mutex_lock(&registry);
	leaked += count;
	pthread_mutex_unlock(&registry);
	base_error(0,
		   "closed %s with %llu reservations or mappings still live; unmap or destroy them "
		   "before closing the device",
		   space->be->translates ? "an address space" : "a device",
		   (unsigned long long)count);
}

void dma_space_discard(struct dma_space *space)
{
	bool forked = dma_gen_watch(space->be) & WATCH_FORKED;
	struct backend *be = space->be;
	bool translates = be->translates;
	struct base_observer *observer;

	if (!forked) {
		struct leaks leaks = {.space = space};

		if (be->observer)
			be->observer->ops->closing(be->observer);
		leave_registry(space);
		dma_lazy_end(space);
		if (translates)
			iova_for_each_live(&space->iova, count_leak, &leaks);
		else
			leaks.count += dma_blocks_count(&space->blocks) + space->premap.nr_regions;
		take_buffers_back(space);
		if (leaks.count)
			dma_count_leaks(space, leaks.count);
	}
	observer = be->observer;
	be->ops->close(be, forked);
	if (observer)
		observer->ops->closed(observer, forked);
	if (translates)
		iova_space_exit(&space->iova);
	dma_pools_exit(space);
	dma_blocks_exit(&space->blocks);
	premap_exit(&space->premap);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++) {
		dma_lazy_free_ring(space->slots[i], forked);
		base_free(space->slots[i]);
	}
	if (!forked) {
		pthread_mutex_destroy(&space->premap.lock);
		pthread_mutex_destroy(&space->lock);
	}
	base_free(space);
}

uint64_t dma_leak_count(void)
{
	uint64_t count;

	pthread_mutex_lock(&registry);
	count = leaked;
	pthread_mutex_unlock(&registry);
	return count;
}

__cold struct dma_slot *dma_slot_find(struct dma_space *space)
{
	unsigned int thread = base_thread_claim();
	struct dma_slot *slot;

	if (!thread)
		return &space->shared;
	slot = space->slots[thread];
	if (slot)
		return slot;
	slot = base_zalloc_aligned(sizeof(*slot), 64);
	if (!slot)
		return &space->shared;
	slot->number = thread;
	if (space->be->translates)
		iova_cache_init(&space->iova, &slot->iova);
	dma_lazy_equip(space, slot);
	__atomic_store_n(&space->slots[thread], slot, __ATOMIC_RELEASE);
	return slot;
}

__cold int dma_space_refuse_forked(const struct dma_space *space)
{
	(void)space;
	return base_error(-EPERM, "the device was opened before fork() and belongs to the parent "
				  "process; open a device of your own in the child");
}

__cold void dma_misuse(struct dma_space *space, const char *format, ...)
{
	struct dma_slot *slot = dma_slot(space);
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	base_error(-EINVAL, "%s", text);
	slot_count(slot, &slot->misuse, 1);
}

/* What one slot has ended. Read before anything that began, so that no difference is negative. */
static void subtract_slot(struct dma_stats *stats, const struct dma_slot *slot)
{
	uint64_t unlinks = __atomic_load_n(&slot->page_unlinks, __ATOMIC_ACQUIRE);

	stats->iova_live -= __atomic_load_n(&slot->frees, __ATOMIC_ACQUIRE);
	stats->bytes_mapped -= unlinks << GRANULE_SHIFT;
	stats->bytes_mapped -= __atomic_load_n(&slot->bytes_unlinked, __ATOMIC_ACQUIRE);
	stats->pte_writes += unlinks;
}

static void add_slot(struct dma_stats *stats, const struct dma_slot *slot)
{
	uint64_t links = counter_read(&slot->page_links);
	uint64_t allocs = counter_read(&slot->allocs);

	stats->iova_allocs += allocs;
	stats->iova_live += allocs;
	stats->pte_writes += links + counter_read(&slot->entries);
	stats->bytes_mapped += (links << GRANULE_SHIFT) + counter_read(&slot->bytes_linked);
	stats->iotlb_invalidations += counter_read(&slot->invalidations);
	stats->misuse += counter_read(&slot->misuse);
}

static void for_each_slot(struct dma_space *space, struct dma_stats *stats,
			  void (*visit)(struct dma_stats *stats, const struct dma_slot *slot))
{
	visit(stats, &space->shared);
	for (size_t i = 1; i < BASE_MAX_THREADS; i++) {
		struct dma_slot *slot = __atomic_load_n(&space->slots[i], __ATOMIC_ACQUIRE);

		if (slot)
			visit(stats, slot);
	}
}

int dma_space_stats(struct dma_space *space, struct dma_stats *stats)
{
	struct backend *be = space->be;
	int err = dma_space_check(space);

	if (err)
		return err;
	*stats = (struct dma_stats){0};
	for_each_slot(space, stats, subtract_slot);
	for_each_slot(space, stats, add_slot);
	if (be->translates) {
		stats->pte_writes += be->ops->table_writes(be);
		stats->metadata_bytes =
			be->ops->metadata_bytes(be) + iova_metadata_bytes(&space->iova);
	}
	stats->metadata_bytes += counter_read(&space->blocks.metadata_bytes);
	stats->metadata_bytes += premap_bytes(&space->premap);
	stats->faults = be->ops->faults(be);
	stats->ioctls = be->ops->ioctls ? be->ops->ioctls(be) : 0;
	return 0;
}

int dma_space_pgtable(struct dma_space *space, struct dma_pgtable_info *info)
{
	struct backend *be = space->be;
	int err = dma_space_check(space);

	if (err)
		return err;
	*info = (struct dma_pgtable_info){.format = "none"};
	if (!be->translates) {
		return base_error(-EOPNOTSUPP, "the %s backend has no page table", be->ops->name);
	}
	return be->ops->pgtable_info(be, info);
}

int dma_space_reserve(struct dma_space *space, dma_addr_t start, dma_addr_t last)
{
	int err = dma_space_check(space);

	if (err)
		return err;
	if (last < start)
		return base_error(-EINVAL, "window 0x%llx-0x%llx ends before it starts",
				  (unsigned long long)start, (unsigned long long)last);
	if (!space->be->translates)
		return base_error(
			-EOPNOTSUPP,
			"the %s backend hands out no addresses that a window could exclude",
			space->be->ops->name);
	err = iova_reserve(&space->iova, start >> GRANULE_SHIFT, last >> GRANULE_SHIFT);
	if (err == -EADDRINUSE && dma_lazy_flush(space))
		err = iova_reserve(&space->iova, start >> GRANULE_SHIFT, last >> GRANULE_SHIFT);
	if (err == -EADDRINUSE)
		base_error(err,
			   "window 0x%llx-0x%llx holds addresses that are in use; reserve "
			   "windows before mapping, or unmap first",
			   (unsigned long long)start, (unsigned long long)last);
	else if (err)
		base_error(err, "no memory to reserve window 0x%llx-0x%llx; free some",
			   (unsigned long long)start, (unsigned long long)last);
	return err;
}

int dma_space_set_fault_handler(struct dma_space *space, dma_fault_handler_t handler, void *arg)
{
	int err = dma_space_check(space);

	return err ? err : space->be->ops->set_fault_handler(space->be, handler, arg);
}

int dma_space_read_faults(struct dma_space *space, struct dma_fault *faults, size_t max,
			  uint64_t *lost)
{
	int err = dma_space_check(space);

	return err ? err : space->be->ops->read_faults(space->be, faults, max, lost);
}
