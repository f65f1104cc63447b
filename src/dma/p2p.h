/* SPDX-License-Identifier: MIT */
/*
 * The inside of peer-to-peer memory: places of devices in the process's topology
 * (place.c), providers and decisions (p2p.c), and the pages of providers (p2pmem.c).
 *
 *	process's topology     which may reach which (topology/)
 *	  dma_place ...        where one device sits
 *	    peer_routes        how its port reaches each provider's memory (backend/peers.h)
 *	    p2pdma_provider    one of its BARs; with memory once that was added
 *	      p2p_pool         which of its pages are taken
 *
 * Invariants
 *  - A place is found in the topology by its name: `number` is -1 if that has none, and
 *    follows whenever another topology is loaded.
 *  - Each place's table of routes agrees with the topology and the providers whenever
 *    `lock` is free. What changes either makes the new tables of all places first, then
 *    cannot fail any more.
 *  - The generation moves with every change after which something may be decided
 *    otherwise, before `lock` is released. Providers that are freed move it too, so a
 *    state that holds the address of one is not mistaken for another's.
 *  - A provider's memory is unregistered only by this room: its routes are closed between
 *    the moment when nobody can find the memory and the moment when its addresses may be
 *    given to another.
 *
 * Locking: one mutex, `lock`, around all of it; taken before the registry of spaces and the
 * lock of registrations, held over fork(). Decisions that are cached in a caller's state
 * take nothing.
 */
#ifndef DMA_P2P_H
#define DMA_P2P_H

#include <twostep/p2pdma.h>

#include "backend/peers.h"
#include "dma/dma.h"
#include "topology/topology.h"

/* Pages of a provider; bits by page. All zero: none. */
struct p2p_pool {
	uint64_t *taken;
	uint64_t *ends; /* the last page of each piece that was taken */
	size_t pages;
	size_t nr_taken;
};

int p2p_pool_init(struct p2p_pool *pool, size_t pages);
void p2p_pool_exit(struct p2p_pool *pool);
/* The first page of @pages, or the number of pages there are: no room. */
size_t p2p_pool_take(struct p2p_pool *pool, size_t pages);
/* False: that is no piece that was taken, and nothing has changed. */
bool p2p_pool_give(struct p2p_pool *pool, size_t page, size_t pages);

struct p2pdma_provider {
	struct p2pdma_provider *next; /* of the process */
	struct dma_place *place;
	unsigned int bar;
	struct topology_window window; /* the BAR */
	uint64_t bus_offset; /* bus address - physical address */
	phys_addr_t base;
	uint64_t size; /* 0: no memory has been added */
	struct p2p_pool pool;
	/* Decisions of one generation by the client's number; an enum, 0 for none. */
	uint64_t decided_at;
	size_t nr_decided;
	uint8_t *decided;
};

struct dma_place {
	struct dma_dev *dev;
	struct dma_place *next;
	char name[DMA_PCI_NAME];
	int number;
	bool inited;
	bool published;
	struct p2pdma_provider *providers[DMA_PCI_BARS];
	struct peer_routes *routes;
	struct peer_routes *prepared; /* between making and installing tables */
};

/* place.c; all but the first two are called with the lock held. */

void place_lock(void);
void place_unlock(void);
/* The process's topology, or NULL. */
struct dma_topology *place_topology(void);
struct dma_place *place_list(void);
uint64_t place_generation(void);
/* Make a table for each place. 0; -ENOMEM with the error text, and nothing has changed. */
int place_prepare_routes(void);
/* Install what was prepared, and move the generation. */
void place_install_routes(void);
/* Without memory: nobody reaches the provider's memory by a route any more. */
void place_close_routes(const struct p2pdma_provider *provider);

/* p2p.c; with the lock held. */

struct p2pdma_provider *p2p_providers(void);
/* How the client may reach the provider's memory. */
enum pci_p2pdma_map_type p2p_decide(struct p2pdma_provider *provider, int client);
/* The place's device closes: its memory is gone. Returns how much of it was in use. */
uint64_t p2p_leave(struct dma_place *place);
/* Only memory: in a child of fork(). */
void p2p_free(struct dma_place *place);
void p2p_forget_all(void);
/* Memory of the provider [base, last] is in use by this room. */
bool p2p_provides(phys_addr_t base, phys_addr_t last);

#endif
