/* SPDX-License-Identifier: MIT */
/*
 * Invalidation: the driver posts ranges and drains, lanes catch up. The order of
 * the accesses here and in section_begin() is argued in space.h.
 */
#include "backend/soft/cost.h"
#include "backend/soft/space.h"

#define RANGE_PFN_BITS 45
#define RANGE_MAX_PAGES ((1ULL << (64 - RANGE_PFN_BITS)) - 2)
#define RANGE_EVERYTHING UINT64_MAX

/* How long a lane waits for a driver that is between taking a ticket and storing. */
#define ENTRY_WAITS 32

static uint64_t pack_range(uint64_t first, uint64_t last)
{
	uint64_t pfn = first >> PGT_PAGE_SHIFT;
	uint64_t pages = (last >> PGT_PAGE_SHIFT) - pfn + 1;

	if (unlikely(pfn >> RANGE_PFN_BITS || pages > RANGE_MAX_PAGES))
		return RANGE_EVERYTHING;
	return pages << RANGE_PFN_BITS | pfn;
}

/*
 * Multiplied by an odd constant, so that words of two tickets that share a place
 * in the ring never fit together by the regularity of tickets and addresses.
 */
static uint64_t ticket_mark(uint64_t ticket)
{
	return (ticket + 1) * 0x9e3779b97f4a7c15ULL;
}

static void store_entry(struct inval *inval, uint64_t ticket, uint64_t range)
{
	struct inval_entry *entry = &inval->ring[ticket % INVAL_RING];

	__atomic_store_n(&entry->range, range, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->check, range ^ ticket_mark(ticket), __ATOMIC_RELEASE);
}

static void post(struct inval *inval, const struct backend_range *ranges, size_t nr)
{
	uint64_t ticket;

#ifdef SABOTAGE_NO_INVALIDATE
	return;
#endif
	/* More than the ring holds is everything, in one entry. */
	if (unlikely(nr > INVAL_RING)) {
		ticket = __atomic_fetch_add(&inval->head, 1, __ATOMIC_SEQ_CST);
		store_entry(inval, ticket, RANGE_EVERYTHING);
		return;
	}
	ticket = __atomic_fetch_add(&inval->head, nr, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < nr; i++)
		store_entry(inval, ticket + i, pack_range(ranges[i].first, ranges[i].last));
}

static __attribute__((__noinline__)) void wait_for_section(const uint64_t *word, uint64_t busy)
{
	unsigned int waits = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == busy)
		wait_a_moment(&waits);
}

/* Whether a section that a word announces may be inside one of the ranges. */
static bool word_touches(uint64_t word, const struct backend_range *ranges, size_t nr)
{
	uint64_t page = word >> WORD_PAGE_SHIFT;

	if (!ranges || page == WORD_ANY_PAGE)
		return true;
	for (size_t i = 0; i < nr; i++)
		if (page >= ranges[i].first >> PGT_PAGE_SHIFT &&
		    page <= ranges[i].last >> PGT_PAGE_SHIFT)
			return true;
	return false;
}

void soft_drain_port(struct soft_port *port, const struct backend_range *ranges, size_t nr)
{
	unsigned int nr_lanes = __atomic_load_n(&port->nr_lanes, __ATOMIC_SEQ_CST);

#ifdef SABOTAGE_NO_DRAIN
	return;
#endif
	for (unsigned int i = 0; i < nr_lanes; i++) {
		uint64_t word = __atomic_load_n(&port->words[i], __ATOMIC_SEQ_CST);

		if (unlikely(word & WORD_BUSY) && word_touches(word, ranges, nr))
			wait_for_section(&port->words[i], word);
	}
}

static void drain_ports(struct inval *inval, const struct backend_range *ranges, size_t nr)
{
	struct soft_port *port = __atomic_load_n(&inval->ports, __ATOMIC_SEQ_CST);

	for (; port; port = port->next)
		soft_drain_port(port, ranges, nr);
}

void soft_invalidate(struct backend *be, const struct backend_range *ranges, size_t nr)
{
	struct inval *inval = &soft_space_of(be)->inval;
	const struct soft_port *port = __atomic_load_n(&inval->ports, __ATOMIC_RELAXED);

	/* Two lines come from the device's core: let them travel at the same time. */
	if (likely(port))
		__builtin_prefetch(port->words);
	post(inval, ranges, nr);
	if (unlikely(inval->cost_ns))
		cost_spend(inval->cost_ns);
	drain_ports(inval, ranges, nr);
}

void soft_drain(struct backend *be)
{
	struct inval *inval = &soft_space_of(be)->inval;

	/* A ticket for nothing: orders what the caller stored before the look at the words. */
	__atomic_fetch_add(&inval->head, 0, __ATOMIC_SEQ_CST);
	drain_ports(inval, NULL, 0);
}

/* The range that @ticket posted; false: it is not there (any more). */
static bool load_entry(const struct inval *inval, uint64_t ticket, uint64_t *range)
{
	const struct inval_entry *entry = &inval->ring[ticket % INVAL_RING];

	for (unsigned int i = 0; i < ENTRY_WAITS; i++) {
		uint64_t value = __atomic_load_n(&entry->range, __ATOMIC_ACQUIRE);
		uint64_t check = __atomic_load_n(&entry->check, __ATOMIC_ACQUIRE);

		if (likely((value ^ check) == ticket_mark(ticket))) {
			*range = value;
			return true;
		}
		cpu_relax();
	}
	return false;
}

static uint64_t apply(const struct inval *inval, struct lane *lane, uint64_t head)
{
	uint64_t dropped = 0;

	if (head - lane->tail > INVAL_RING)
		return iotlb_empty(lane->iotlb);
	for (uint64_t ticket = lane->tail; ticket != head; ticket++) {
		uint64_t range, first;

		if (!load_entry(inval, ticket, &range) || range == RANGE_EVERYTHING)
			return dropped + iotlb_empty(lane->iotlb);
		first = (range & ((1ULL << RANGE_PFN_BITS) - 1)) << PGT_PAGE_SHIFT;
		dropped +=
			iotlb_invalidate(lane->iotlb, first,
					 first + ((range >> RANGE_PFN_BITS) << PGT_PAGE_SHIFT) - 1);
	}
	return dropped;
}

void inval_catch_up(const struct inval *inval, struct lane *lane, uint64_t head)
{
	counter_add(&lane->invalidated, apply(inval, lane, head));
	lane->tail = head;
}
