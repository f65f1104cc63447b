/* SPDX-License-Identifier: MIT */
/* The life of a space, and what is told of it. */
#include <unistd.h>

#include "backend/vfio/space.h"

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

/* The kernel writes faults to its log, and tells nobody else. */
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
	space->way->close(space, forked);
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
	.port_set_routes = vfio_no_routes,
	.drain = vfio_drain,
	.faults = vfio_none,
	.set_fault_handler = vfio_set_fault_handler,
	.read_faults = vfio_no_faults,
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
