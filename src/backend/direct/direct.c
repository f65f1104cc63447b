/* SPDX-License-Identifier: MIT */
/* The backend without an IOMMU: what there is of it besides its ports. */
#include "backend/direct/port.h"

static bool direct_lookup(struct backend *be, dma_addr_t iova, phys_addr_t *phys)
{
	(void)be;
	*phys = iova;
	return true;
}

static int direct_pgtable_info(struct backend *be, struct dma_pgtable_info *info)
{
	(void)be;
	*info = (struct dma_pgtable_info){.format = "none"};
	return base_error(
		-EOPNOTSUPP,
		"the page table of a direct space: it has none, because DMA "
		"addresses are memory addresses; open a device behind an IOMMU, such as soft:");
}

static uint64_t direct_none(struct backend *be)
{
	(void)be;
	return 0;
}

static uint64_t direct_faults(struct backend *be)
{
	return fault_log_count(&direct_of(be)->log);
}

static int direct_set_fault_handler(struct backend *be, dma_fault_handler_t handler, void *arg)
{
	return fault_log_set_handler(&direct_of(be)->log, handler, arg);
}

static int direct_read_faults(struct backend *be, struct dma_fault *faults, size_t max,
			      uint64_t *lost)
{
	return (int)fault_log_read(&direct_of(be)->log, faults, max, lost);
}

/* Takes no lock: in a forked child its holder may not exist. There ports are left as well. */
static void direct_close(struct backend *be, bool forked)
{
	struct direct *direct = direct_of(be);

	if (!forked)
		fault_log_close(&direct->log);
	direct_ports_free(direct);
	base_free(direct);
}

/* What concerns translation stays NULL: the room above asks `translates` first. */
static const struct backend_ops direct_ops = {
	.name = "direct",
	.lookup = direct_lookup,
	.pgtable_info = direct_pgtable_info,
	.metadata_bytes = direct_none,
	.table_writes = direct_none,
	.port_open = direct_port_open,
	.port_close = direct_port_close,
	.port_set_routes = direct_port_set_routes,
	.drain = direct_drain,
	.faults = direct_faults,
	.set_fault_handler = direct_set_fault_handler,
	.read_faults = direct_read_faults,
	.close = direct_close,
};

int direct_backend_create(struct backend **be)
{
	struct direct *direct = base_zalloc_aligned(sizeof(*direct), 64);

	if (!direct)
		return base_error(-ENOMEM,
				  "opening a direct space: no memory for %zu bytes; free some",
				  sizeof(*direct));
	direct->be.ops = &direct_ops;
	direct->be.first = 4096;
	direct->be.last = UINT64_MAX;
	direct->be.phys_end = UINT64_MAX;
	pthread_mutex_init(&direct->lock, NULL);
	fault_log_init(&direct->log);
	*be = &direct->be;
	return 0;
}
