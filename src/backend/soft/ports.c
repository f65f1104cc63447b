/* SPDX-License-Identifier: MIT */
/* Ports and their lanes: opened, waited for, closed. */
#include "backend/soft/section.h"
#include "backend/soft/space.h"

thread_local_ie unsigned int lane_hint;

static void lane_free(struct lane *lane)
{
	if (lane)
		base_free(lane->iotlb);
	base_free(lane);
}

/* Make lane @index unless another thread does. False without memory. */
static bool lane_make(struct soft_port *port, unsigned int index)
{
	struct lane *lane = base_zalloc_aligned(sizeof(*lane), 64);
	struct lane *none = NULL;
	unsigned int nr = index;

	if (!lane)
		return false;
	lane->iotlb = iotlb_create(port->options.iotlb_entries, port->options.iotlb_ways);
	if (!lane->iotlb) {
		base_free(lane);
		return false;
	}
	/* It caches nothing, so nothing posted so far concerns it. */
	lane->tail = __atomic_load_n(&port->space->inval.head, __ATOMIC_SEQ_CST);
	if (!__atomic_compare_exchange_n(&port->lanes[index], &none, lane, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		lane_free(lane);
	/* Whoever comes first counts it, so that nobody waits for whoever made it. */
	__atomic_compare_exchange_n(&port->nr_lanes, &nr, index + 1, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return true;
}

unsigned int port_wait_for_lane(struct soft_port *port, dma_addr_t addr)
{
	bool may_make = true;
	unsigned int waits = 0;

	for (;;) {
		unsigned int nr = __atomic_load_n(&port->nr_lanes, __ATOMIC_SEQ_CST);

		for (unsigned int i = 0; i < nr; i++) {
			if (lane_try(port, i, addr)) {
				lane_hint = i;
				return i;
			}
		}
		if (may_make && nr < PORT_LANES)
			may_make = lane_make(port, nr);
		else
			wait_a_moment(&waits);
	}
}

static void lanes_free(struct soft_port *port)
{
	for (unsigned int i = 0; i < PORT_LANES; i++) {
		lane_free(port->lanes[i]);
		port->lanes[i] = NULL;
	}
}

/* A closed port of the list, or a new one that is not in it yet. */
static struct soft_port *port_get(struct soft_space *space, bool *listed)
{
	struct soft_port *port;

	for (port = space->inval.ports; port; port = port->next) {
		if (!port->open) {
			*listed = true;
			return port;
		}
	}
	*listed = false;
	return base_zalloc_aligned(sizeof(*port), 64);
}

/* The space's shadow, if a port with @options needs one; made if there is none. NULL without. */
static struct shadow *shadow_get(struct soft_space *space, const struct port_options *options)
{
	if (!options->noncoherent)
		return NULL;
	return space->shadow ? space->shadow : shadow_create();
}

/* Give back what shadow_get() made for a port that could not be opened. */
static void shadow_put(struct soft_space *space, struct shadow *shadow)
{
	if (shadow != space->shadow)
		shadow_destroy(shadow);
}

static int port_out_of_memory(uint32_t number, unsigned int entries)
{
	return base_error(-ENOMEM,
			  "a port with an IOTLB of %u entries was wanted for device %u and there "
			  "is no memory for it; ask for fewer entries (iotlb) or free memory",
			  entries, number);
}

static int no_shadow(uint32_t number)
{
	return base_error(
		-ENOMEM,
		"device %u is not coherent and there is no memory for the shadow of memory "
		"that it sees; open it coherent (coherent=on) or free memory",
		number);
}

int soft_port_open(struct backend *be, const struct port_options *options, uint32_t number,
		   struct dma_port **result)
{
	struct soft_space *space = soft_space_of(be);
	struct soft_port *port;
	struct shadow *shadow;
	bool listed;
	int err = 0;

	pthread_mutex_lock(&space->ports_lock);
	shadow = shadow_get(space, options);
	if (options->noncoherent && !shadow) {
		err = no_shadow(number);
		goto out;
	}
	port = port_get(space, &listed);
	if (!port) {
		err = port_out_of_memory(number, options->iotlb_entries);
		shadow_put(space, shadow);
		goto out;
	}
	port->base.ops = shadow || be->observer || options->peers ? &soft_odd_port_ops
								  : &soft_port_ops;
	port->base.number = number;
	port->space = space;
	port->options = *options;
	port->routes = NULL;
	if (!lane_make(port, 0)) {
		err = port_out_of_memory(number, options->iotlb_entries);
		if (!listed)
			base_free(port);
		shadow_put(space, shadow);
		goto out;
	}
	port->open = true;
	port->shadow = shadow;
	if (shadow)
		__atomic_store_n(&space->shadow, shadow, __ATOMIC_RELEASE);
	if (!listed) {
		port->next = space->inval.ports;
		__atomic_store_n(&space->inval.ports, port, __ATOMIC_SEQ_CST);
	}
	*result = &port->base;
out:
	pthread_mutex_unlock(&space->ports_lock);
	return err;
}

void soft_port_close(struct backend *be, struct dma_port *base)
{
	struct soft_space *space = soft_space_of(be);
	struct soft_port *port = (struct soft_port *)base;

	pthread_mutex_lock(&space->ports_lock);
	soft_drain_port(port, NULL, 0);
	__atomic_store_n(&port->nr_lanes, 0, __ATOMIC_SEQ_CST);
	lanes_free(port);
	port->open = false;
	pthread_mutex_unlock(&space->ports_lock);
}

void soft_port_set_routes(struct backend *be, struct dma_port *base,
			  const struct peer_routes *routes)
{
	struct soft_port *port = (struct soft_port *)base;

	(void)be;
	__atomic_store_n(&port->routes, routes, __ATOMIC_SEQ_CST);
	soft_drain_port(port, NULL, 0);
}

void soft_ports_free(struct soft_space *space)
{
	struct soft_port *port = space->inval.ports;

	while (port) {
		struct soft_port *next = port->next;

		lanes_free(port);
		base_free(port);
		port = next;
	}
}

void soft_port_stats(struct dma_port *base, struct dma_port_stats *stats)
{
	struct soft_port *port = (struct soft_port *)base;
	unsigned int nr = __atomic_load_n(&port->nr_lanes, __ATOMIC_SEQ_CST);

	*stats = (struct dma_port_stats){0};
	for (unsigned int i = 0; i < nr; i++) {
		const struct lane *lane = __atomic_load_n(&port->lanes[i], __ATOMIC_ACQUIRE);

		stats->reads += counter_read(&lane->reads);
		stats->writes += counter_read(&lane->writes);
		stats->iotlb_hits += counter_read(&lane->hits);
		stats->iotlb_misses += counter_read(&lane->misses);
		stats->iotlb_invalidated += counter_read(&lane->invalidated);
		stats->faults += counter_read(&lane->faults);
	}
}
