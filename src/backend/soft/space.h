/* SPDX-License-Identifier: MIT */
/*
 * soft: an IOMMU in software. It translates what devices in software read and
 * write, by real page tables, through an IOTLB that really caches.
 *
 * Nouns, and how they contain each other
 *
 *	soft_space          one I/O address space: the backend
 *	  table_arena       where its page tables live
 *	  pgtable           the tables, walked by the device side
 *	  inval             the ring of invalidation requests, and the list of ports
 *	  fault_log         transfers that were refused
 *	  shadow            what ports of devices that are not coherent see of memory
 *	  soft_port ...     the way onto the bus of one device
 *	    lane ...        one of up to PORT_LANES: an IOTLB, its place in the ring
 *	      section       the access to at most one granule that holds the lane
 *
 * A transfer is cut into sections. A section takes a lane by announcing itself and
 * its granule in the lane's word, catches up with the invalidation ring, translates,
 * copies, and takes the announcement back. Nothing in it blocks, allocates or calls
 * back; faults are reported after it has ended.
 *
 * Invariants
 *  - Whoever made a lane's word busy alone touches the lane. The next holder has
 *    synchronised with it through the word.
 *  - The driver clears entries, then takes a ticket of the ring (a locked
 *    read-modify-write of `head`), then waits for every word that it finds busy with
 *    a granule of the ranges that it invalidates. A section makes its word busy (a
 *    locked read-modify-write), then reads `head`.
 *    All four accesses are seq_cst, so in their total order either the section's
 *    read of `head` follows the ticket, and then it drops the entries and walks a
 *    table in which the driver's stores are visible; or the driver's read of the
 *    word follows the section's announcement, and then it waits. No third outcome
 *    exists, on any machine, without a fence.
 *  - A section touches nothing but its granule and the tables that translate it. So
 *    who frees a table must have invalidated all that the table spans.
 *  - For the same reason a port is in the list, and a lane is counted in
 *    `nr_lanes`, by seq_cst stores that precede the first section there, and both
 *    are read with seq_cst by the drain.
 *  - The list of ports only grows while the space lives. A closed port stays in it
 *    with no lanes, and the next one opened takes its place. Lanes are freed when
 *    their port closes: the drain looks at words, which are part of the port.
 *  - A ring entry is trusted only if its two words agree with its ticket. A
 *    missing one (the driver is between ticket and store) or one that was
 *    overwritten costs the lane its whole IOTLB, never a stale translation.
 *
 * Locking: `ports_lock` serialises opening and closing of ports. The table arena
 * has its own mutex, and so has the shadow. None is taken by a transfer, an
 * invalidation or a drain.
 */
#ifndef BACKEND_SOFT_SPACE_H
#define BACKEND_SOFT_SPACE_H

#include <pthread.h>
#include <sched.h>

#include "backend/backend.h"
#include "backend/fault.h"
#include "backend/peers.h"
#include "backend/soft/iotlb.h"
#include "backend/soft/shadow.h"
#include "backend/soft/soft.h"
#include "backend/tables.h"

#define PORT_LANES 8
#define INVAL_RING 1024

struct lane {
	struct iotlb *iotlb;
	uint64_t tail; /* tickets below it have been applied */
	/* Written by the holder of the lane, read by anybody. */
	uint64_t reads;
	uint64_t writes;
	uint64_t hits;
	uint64_t misses;
	uint64_t invalidated;
	uint64_t faults;
	bool walked; /* in the section that runs; for observers */
} __cacheline_aligned;

struct soft_space;

struct soft_port {
	struct dma_port base;
	struct soft_space *space;
	struct soft_port *next; /* fixed once the port is in the list */
	struct shadow *shadow; /* NULL: the device is coherent */
	const struct peer_routes *routes; /* NULL: it knows of no peers */
	unsigned int nr_lanes; /* lanes [0, nr_lanes) exist */
	bool open; /* under ports_lock */
	struct lane *lanes[PORT_LANES];
	struct port_options options;
	uint64_t words[PORT_LANES] __cacheline_aligned; /* see WORD_BUSY */
};

/*
 * A lane's word: bit 0 tells that a section is running, bits 18:1 count sections, so
 * that the word changes from one to the next, bits 63:19 hold the section's page.
 */
#define WORD_BUSY 1ULL
#define WORD_PAGE_SHIFT 19
#define WORD_COUNT ((1ULL << WORD_PAGE_SHIFT) - 1)
/* A page too high to be told: no table translates it. */
#define WORD_ANY_PAGE (UINT64_MAX >> WORD_PAGE_SHIFT)

static __always_inline uint64_t word_announce(uint64_t word, dma_addr_t addr)
{
	uint64_t page = addr >> PGT_PAGE_SHIFT;

	if (unlikely(page > WORD_ANY_PAGE))
		page = WORD_ANY_PAGE;
	return page << WORD_PAGE_SHIFT | ((word + 2) & WORD_COUNT) | WORD_BUSY;
}

/*
 * A posted range: the first page in bits 44:0 and the number of pages in bits
 * 63:45; all ones for everything. The check tells whose ticket wrote it.
 */
struct inval_entry {
	uint64_t range;
	uint64_t check;
};

struct inval {
	/* Tickets handed out. The rest of the line is what the driver reads next. */
	uint64_t head;
	struct soft_port *ports;
	uint32_t cost_ns;
	struct inval_entry ring[INVAL_RING] __cacheline_aligned;
} __cacheline_aligned;

struct soft_space {
	struct backend base;
	struct pgtable pt;
	struct table_arena tables;
	pthread_mutex_t ports_lock;
	struct fault_log faults;
	struct shadow *shadow; /* made with the first port that needs it, then fixed */
	struct inval inval;
};

static inline struct soft_space *soft_space_of(struct backend *be)
{
	return (struct soft_space *)be;
}

/* Wait a moment for another thread: pauses at first, then lets others run. */
static inline void wait_a_moment(unsigned int *waits)
{
	if ((*waits)++ < 64)
		cpu_relax();
	else
		sched_yield();
}

/* inval.c */

void soft_invalidate(struct backend *be, const struct backend_range *ranges, size_t nr);
/* Wait for the sections that have begun, on every port. */
void soft_drain(struct backend *be);
/* Wait for the sections of one port that have begun in @ranges; all of them if NULL. */
void soft_drain_port(struct soft_port *port, const struct backend_range *ranges, size_t nr);
/* Apply to @lane what was posted below @head. The caller holds the lane. */
void inval_catch_up(const struct inval *inval, struct lane *lane, uint64_t head);

/* ports.c */

int soft_port_open(struct backend *be, const struct port_options *options, uint32_t number,
		   struct dma_port **port);
void soft_port_close(struct backend *be, struct dma_port *port);
void soft_port_set_routes(struct backend *be, struct dma_port *port,
			  const struct peer_routes *routes);
void soft_port_stats(struct dma_port *port, struct dma_port_stats *stats);
/* The space is closing: free every port. */
void soft_ports_free(struct soft_space *space);
/* Take a lane when the first choice is busy or missing; returns its index. */
unsigned int port_wait_for_lane(struct soft_port *port, dma_addr_t addr);

/* transfer.c */

extern const struct port_ops soft_port_ops;
/* For devices that have a shadow or peers, and in spaces with an observer. */
extern const struct port_ops soft_odd_port_ops;

#endif
