/* SPDX-License-Identifier: MIT */
/* The space: made, described to the rooms above, closed. */
#include "backend/soft/cost.h"
#include "backend/soft/space.h"

static int soft_link(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
		     const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
		     unsigned long attrs, struct pgt_linked *linked)
{
	return pgt_link(&soft_space_of(be)->pt, cursor, iova, vec, nr_vecs, dir, attrs, linked);
}

static int soft_sync(struct backend *be, dma_addr_t iova, uint64_t size, bool whole)
{
	struct soft_space *space = soft_space_of(be);
	struct backend_range range = {iova, iova + size - 1};
	struct pgt_linked merged = {0};

	if (whole)
		pgt_merge(&space->pt, iova, size, &merged);
	if (!space->base.needs_sync && !merged.free_tables)
		return 0;
	soft_invalidate(be, &range, 1);
	pgt_settle_merge(&space->pt, iova, size, merged.free_tables);
	pgt_free_tables(&space->pt, merged.free_tables);
	return 1;
}

static void soft_unlink(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
			uint64_t size, uint64_t mark, struct pgt_removed *removed)
{
	pgt_unlink(&soft_space_of(be)->pt, cursor, iova, size, mark, removed);
}

static void soft_unmark(struct backend *be, dma_addr_t iova, uint64_t size, uint64_t mark)
{
	pgt_unmark(&soft_space_of(be)->pt, iova, size, mark);
}

static uint64_t *soft_join_tables(struct backend *be, uint64_t *tables, uint64_t *more)
{
	return pgt_join_tables(&soft_space_of(be)->pt, tables, more);
}

static void soft_free_tables(struct backend *be, uint64_t *tables)
{
	pgt_free_tables(&soft_space_of(be)->pt, tables);
}

static unsigned int soft_linked(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
				uint64_t size)
{
	return pgt_linked(&soft_space_of(be)->pt, cursor, iova, size);
}

static bool soft_lookup(struct backend *be, dma_addr_t iova, phys_addr_t *phys)
{
	struct pgt_leaf leaf;

	if (!pgt_lookup(&soft_space_of(be)->pt, iova, &leaf))
		return false;
	*phys = leaf.phys + (iova & ((1ULL << leaf.shift) - 1));
	return true;
}

static bool soft_maps_phys(struct backend *be, phys_addr_t base, phys_addr_t last)
{
	return pgt_maps_phys(&soft_space_of(be)->pt, base, last);
}

static void invalidate_span(void *backend, uint64_t first, uint64_t last)
{
	struct backend_range range = {first, last};

	soft_invalidate(backend, &range, 1);
}

static size_t soft_reclaim(struct backend *be,
			   bool (*take)(void *arg, dma_addr_t first, uint64_t size),
			   void (*give)(void *arg, dma_addr_t first, uint64_t size), void *arg)
{
	const struct pgt_reclaim_ops ops = {
		.take = take,
		.give = give,
		.invalidate = invalidate_span,
	};

	return pgt_reclaim(&soft_space_of(be)->pt, &ops, arg, be);
}

static int soft_pgtable_info(struct backend *be, struct dma_pgtable_info *info)
{
	const struct pgtable *pt = &soft_space_of(be)->pt;

	*info = (struct dma_pgtable_info){
		.format = pgt_format_name(pt->format),
		.root = (uint64_t)(uintptr_t)pt->root,
		.levels = pgt_format_levels(pt->format),
	};
	return 0;
}

static struct shadow *shadow_of(struct backend *be)
{
	return __atomic_load_n(&soft_space_of(be)->shadow, __ATOMIC_ACQUIRE);
}

static int soft_cache_prepare(struct backend *be, phys_addr_t phys, uint64_t size)
{
	struct shadow *shadow = shadow_of(be);

	return shadow ? shadow_prepare(shadow, phys, size) : 0;
}

static void soft_cache_clean(struct backend *be, phys_addr_t phys, uint64_t size)
{
	struct shadow *shadow = shadow_of(be);

	if (shadow)
		shadow_clean(shadow, phys, size);
}

static void soft_cache_write_back(struct backend *be, phys_addr_t phys, uint64_t size)
{
	struct shadow *shadow = shadow_of(be);

	if (shadow)
		shadow_write_back(shadow, phys, size);
}

static void soft_cache_invalidate(struct backend *be, phys_addr_t phys, uint64_t size)
{
	struct shadow *shadow = shadow_of(be);

	if (shadow)
		shadow_invalidate(shadow, phys, size);
}

static void soft_cache_bypass(struct backend *be, phys_addr_t phys, uint64_t size)
{
	struct shadow *shadow = shadow_of(be);

	if (shadow)
		shadow_bypass(shadow, phys, size);
}

static uint64_t soft_metadata_bytes(struct backend *be)
{
	const struct soft_space *space = soft_space_of(be);
	const struct shadow *shadow = shadow_of(be);

	return counter_read(&space->pt.tables) * PGT_PAGE_SIZE +
	       (shadow ? shadow_bytes(shadow) : 0);
}

static uint64_t soft_table_writes(struct backend *be)
{
	return counter_read(&soft_space_of(be)->pt.table_writes);
}

static uint64_t soft_faults(struct backend *be)
{
	return fault_log_count(&soft_space_of(be)->faults);
}

static int soft_set_fault_handler(struct backend *be, dma_fault_handler_t handler, void *arg)
{
	return fault_log_set_handler(&soft_space_of(be)->faults, handler, arg);
}

static int soft_read_faults(struct backend *be, struct dma_fault *faults, size_t max,
			    uint64_t *lost)
{
	return (int)fault_log_read(&soft_space_of(be)->faults, faults, max, lost);
}

/* Takes no lock: in a forked child its holder may not exist. */
static void soft_close(struct backend *be, bool forked)
{
	struct soft_space *space = soft_space_of(be);

	if (!forked)
		fault_log_close(&space->faults);
	soft_ports_free(space);
	shadow_destroy(space->shadow);
	tables_exit(&space->tables);
	base_free(space);
}

static const struct backend_ops soft_ops = {
	.name = "soft",
	.link = soft_link,
	.sync = soft_sync,
	.unlink = soft_unlink,
	.unmark = soft_unmark,
	.invalidate = soft_invalidate,
	.join_tables = soft_join_tables,
	.free_tables = soft_free_tables,
	.linked = soft_linked,
	.lookup = soft_lookup,
	.maps_phys = soft_maps_phys,
	.reclaim = soft_reclaim,
	.cache_prepare = soft_cache_prepare,
	.cache_clean = soft_cache_clean,
	.cache_write_back = soft_cache_write_back,
	.cache_invalidate = soft_cache_invalidate,
	.cache_bypass = soft_cache_bypass,
	.pgtable_info = soft_pgtable_info,
	.metadata_bytes = soft_metadata_bytes,
	.table_writes = soft_table_writes,
	.port_open = soft_port_open,
	.port_close = soft_port_close,
	.port_set_routes = soft_port_set_routes,
	.drain = soft_drain,
	.faults = soft_faults,
	.set_fault_handler = soft_set_fault_handler,
	.read_faults = soft_read_faults,
	.close = soft_close,
};

static void describe(struct backend *be, const struct pgt_format *format)
{
	be->ops = &soft_ops;
	be->first = PGT_PAGE_SIZE;
	be->last = pgt_format_last(format);
	be->phys_end = pgt_format_phys_end(format);
	be->translates = true;
	for (unsigned int dir = DMA_BIDIRECTIONAL; dir < DMA_NONE; dir++)
		be->leaf_bits[dir] = pgt_format_leaf_bits(format, (enum dma_data_direction)dir);
}

void soft_backend_options(struct backend *be, struct soft_options *options)
{
	const struct soft_space *space = soft_space_of(be);

	*options = (struct soft_options){
		.format = space->pt.format,
		.absent_cache = be->needs_sync,
		.inval_ns = space->inval.cost_ns,
		.max_tables = space->tables.max,
	};
}

int soft_backend_create(const struct soft_options *options, struct backend **be)
{
	struct soft_space *space = base_zalloc_aligned(sizeof(*space), 64);
	int err;

	if (!space)
		return base_error(-ENOMEM,
				  "an I/O address space of %zu bytes was wanted and there "
				  "is no memory for it; free memory",
				  sizeof(*space));
	err = tables_init(&space->tables, options->max_tables);
	if (err)
		goto free_space;
	err = pgt_init(&space->pt, options->format, &space->tables.memory, &space->base.gen_watch);
	if (err) {
		base_error(err, "a root table was wanted for a new I/O address space and there is "
				"no memory for it; free memory");
		goto free_tables;
	}
	pthread_mutex_init(&space->ports_lock, NULL);
	fault_log_init(&space->faults);
	space->base.needs_sync = options->absent_cache;
	space->inval.cost_ns = options->inval_ns;
	if (options->inval_ns)
		cost_prepare();
	describe(&space->base, options->format);
	*be = &space->base;
	return 0;

free_tables:
	tables_exit(&space->tables);
free_space:
	base_free(space);
	return err;
}
