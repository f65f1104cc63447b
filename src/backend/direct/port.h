/* SPDX-License-Identifier: MIT */
/*
 * The inside of direct/: a space without translation and the ports of its devices.
 *
 * A transfer is counted, while it runs, in the one of its port's two counters that
 * `phase` names. Draining changes the phase and waits for the counter left behind,
 * twice, because a transfer may have read the phase before the last change and
 * count itself only now. So a port that is never idle is drained all the same.
 * Counting out is a transfer's last access to its port, which may be gone then; a
 * fault is reported, and a handler called, after that: a handler may drain.
 *
 * Locking: `lock` protects the list of ports and serialises drains.
 */
#ifndef BACKEND_DIRECT_PORT_H
#define BACKEND_DIRECT_PORT_H

#include "backend/backend.h"
#include "backend/direct/direct.h"
#include "backend/fault.h"
#include "backend/peers.h"

struct direct_port;

struct direct {
	struct backend be;
	pthread_mutex_t lock;
	struct direct_port *ports;
	struct fault_log log;
};

static inline struct direct *direct_of(struct backend *be)
{
	return container_of(be, struct direct, be);
}

struct direct_port {
	struct dma_port port;
	struct direct *direct;
	struct direct_port *next;
	const struct peer_routes *routes; /* NULL: it knows of no peers */
	/* Written by every transfer. */
	uint32_t in_flight[2] __cacheline_aligned;
	uint32_t phase;
	uint64_t reads, writes, faults;
};

int direct_port_open(struct backend *be, const struct port_options *options, uint32_t number,
		     struct dma_port **port);
void direct_port_close(struct backend *be, struct dma_port *port);
void direct_port_set_routes(struct backend *be, struct dma_port *port,
			    const struct peer_routes *routes);
/* Frees what is still open, in a child that owns nothing; no transfer runs. */
void direct_ports_free(struct direct *direct);
void direct_drain(struct backend *be);

#endif
