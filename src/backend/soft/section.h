/* SPDX-License-Identifier: MIT */
/*
 * section: the announced access to at most one granule. The device side's half of
 * the order argued in space.h.
 */
#ifndef BACKEND_SOFT_SECTION_H
#define BACKEND_SOFT_SECTION_H

#include "backend/soft/space.h"

/* The lane that this thread used last, on whatever port: its first choice. */
extern thread_local_ie unsigned int lane_hint;

/* Announce a section at @addr on lane @index; false: the lane is busy or does not exist. */
static __always_inline bool lane_try(struct soft_port *port, unsigned int index, dma_addr_t addr)
{
	uint64_t word;

	if (unlikely(index >= __atomic_load_n(&port->nr_lanes, __ATOMIC_SEQ_CST)))
		return false;
	word = __atomic_load_n(&port->words[index], __ATOMIC_RELAXED);
	return !(word & WORD_BUSY) &&
	       __atomic_compare_exchange_n(&port->words[index], &word, word_announce(word, addr),
					   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/*
 * Begin a section at @addr and catch up with the invalidations; stores the lane's
 * index. Nothing but the granule of @addr may be accessed in it.
 */
static __always_inline struct lane *section_begin(struct soft_port *port, dma_addr_t addr,
						  unsigned int *index)
{
	struct inval *inval = &port->space->inval;
	struct lane *lane;
	uint64_t head;

	*index = lane_hint;
	if (unlikely(!lane_try(port, *index, addr)))
		*index = port_wait_for_lane(port, addr);
	lane = __atomic_load_n(&port->lanes[*index], __ATOMIC_ACQUIRE);
	head = __atomic_load_n(&inval->head, __ATOMIC_SEQ_CST);
	if (unlikely(head != lane->tail))
		inval_catch_up(inval, lane, head);
	return lane;
}

static __always_inline void section_end(struct soft_port *port, unsigned int index)
{
	uint64_t word = __atomic_load_n(&port->words[index], __ATOMIC_RELAXED);

	__atomic_store_n(&port->words[index], word & ~WORD_BUSY, __ATOMIC_RELEASE);
}

#endif
