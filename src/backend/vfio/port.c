/* SPDX-License-Identifier: MIT */
/*
 * The port of a real device: its transfers go over the bus, and none of them through here. And
 * what no backend of real devices has.
 */
#include "backend/vfio/vfio.h"

static int refuse(void)
{
	return base_error(-EOPNOTSUPP, "a real device makes its transfers itself");
}

static int no_read(struct dma_port *port, dma_addr_t addr, void *buf, size_t len)
{
	(void)port, (void)addr, (void)buf, (void)len;
	return refuse();
}

static int no_write(struct dma_port *port, dma_addr_t addr, const void *buf, size_t len)
{
	(void)port, (void)addr, (void)buf, (void)len;
	return refuse();
}

static int no_cmpxchg(struct dma_port *port, dma_addr_t addr, size_t size, void *expected,
		      const void *desired)
{
	(void)port, (void)addr, (void)size, (void)expected, (void)desired;
	return refuse();
}

static int no_fetch_add(struct dma_port *port, dma_addr_t addr, size_t size, uint64_t add,
			uint64_t *old)
{
	(void)port, (void)addr, (void)size, (void)add, (void)old;
	return refuse();
}

static void no_stats(struct dma_port *port, struct dma_port_stats *stats)
{
	(void)port;
	*stats = (struct dma_port_stats){0};
}

const struct port_ops vfio_port_ops = {
	.read = no_read,
	.write = no_write,
	.cmpxchg = no_cmpxchg,
	.fetch_add = no_fetch_add,
	.stats = no_stats,
};

struct vfio_port *vfio_port_of(struct dma_port *port)
{
	return port && port->ops == &vfio_port_ops ? container_of(port, struct vfio_port, port)
						   : NULL;
}

void vfio_ports_remove(struct vfio_port **ports, const struct vfio_port *port)
{
	while (*ports != port)
		ports = &(*ports)->next;
	*ports = port->next;
}

uint64_t vfio_none(struct backend *be)
{
	(void)be;
	return 0;
}

int vfio_no_faults(struct backend *be, struct dma_fault *faults, size_t max, uint64_t *lost)
{
	(void)be, (void)faults, (void)max;
	if (lost)
		*lost = 0;
	return 0;
}

void vfio_no_routes(struct backend *be, struct dma_port *port, const struct peer_routes *routes)
{
	(void)be, (void)port, (void)routes;
}
