/* SPDX-License-Identifier: MIT */
/*
 * peers: how a port reaches the memory of other devices on its bus.
 *
 * On a real bus a switch routes an address that falls into the BAR of a device below it
 * before the request gets to the IOMMU, unless access control redirects it; and a host
 * bridge that does not pass on what peers want of each other drops it. Which of these
 * holds for a pair is decided by the room above. Here it is a table a port, one route
 * for each piece of memory that a peer provides.
 *
 * Ports of devices without a place on a bus have no table, and pay nothing for it.
 *
 * A table is replaced whole (`port_set_routes` of the backend), or one of its routes is
 * closed in place, which needs no memory. Sections load the pointer after they have
 * announced themselves, and whoever changed it drains the port: so who has a table or a
 * route taken away also knows that nobody uses it.
 */
#ifndef BACKEND_PEERS_H
#define BACKEND_PEERS_H

#include <twostep/types.h>

#include "base/base.h"

enum route_kind {
	ROUTE_CLOSED, /* the memory has gone */
	ROUTE_BUS, /* by bus address: the address is not translated */
	ROUTE_HOST, /* through the host bridge: what the IOMMU lets through arrives */
	ROUTE_NONE, /* through the host bridge, which drops it */
};

/* Memory of a peer, whole granules. */
struct peer_route {
	dma_addr_t first; /* bus addresses, closed */
	dma_addr_t last;
	phys_addr_t phys; /* of @first */
	uint32_t kind; /* enum route_kind, atomic */
};

struct peer_routes {
	size_t nr;
	struct peer_route route[];
};

static inline enum route_kind route_kind(const struct peer_route *route)
{
	return (enum route_kind)__atomic_load_n(&route->kind, __ATOMIC_SEQ_CST);
}

/* The memory that a bus address leads to by itself; false: it goes to the IOMMU. */
static inline bool routes_by_bus(const struct peer_routes *routes, dma_addr_t addr,
				 phys_addr_t *phys)
{
	for (size_t i = 0; i < routes->nr; i++) {
		const struct peer_route *route = &routes->route[i];

		if (addr - route->first > route->last - route->first ||
		    route_kind(route) != ROUTE_BUS)
			continue;
		*phys = route->phys + (addr - route->first);
		return true;
	}
	return false;
}

/* Whether a request for memory that was translated is dropped on its way. */
static inline bool routes_drop(const struct peer_routes *routes, phys_addr_t phys)
{
	for (size_t i = 0; i < routes->nr; i++) {
		const struct peer_route *route = &routes->route[i];

		if (phys - route->phys <= route->last - route->first &&
		    route_kind(route) == ROUTE_NONE)
			return true;
	}
	return false;
}

#endif
