/* SPDX-License-Identifier: MIT */
/* The devices of a space, and which addresses they may be given. */
#include "backend/vfio/space.h"

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

int vfio_port_open(struct backend *be, const struct port_options *options, uint32_t number,
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

void vfio_port_close(struct backend *be, struct dma_port *opened)
{
	struct vfio_port *port = container_of(opened, struct vfio_port, port);
	struct vfio_space *space = vfio_space_of(be);

	/* Before the lock: whoever unregisters memory waits for every space, this one too. */
	vfio_registered_drop(&port->device, false);
	pthread_mutex_lock(&space->lock);
	vfio_ports_remove(&space->ports, port);
	space->way->detach(space, port);
	pthread_mutex_unlock(&space->lock);
	base_free(port);
}

/* What lies between the allowed ranges, and before and behind them. */
size_t vfio_port_windows(struct backend *be, struct dma_port *port, struct backend_range *windows,
			 size_t max)
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
