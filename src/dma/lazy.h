/* SPDX-License-Identifier: MIT */
/*
 * Lazy unmapping: a flush queue, in spaces that were opened with lazy=on.
 *
 * A streaming unmap there clears the entry and puts what else has to go, the IOVA and
 * tables that were unhooked, into its thread's ring. Devices may go on using what their
 * IOTLBs hold. One invalidation of everything makes all that is queued final:
 *
 *	queued	 in a ring: retired, no entry, perhaps in an IOTLB
 *	flushed	 an invalidation of everything that began after it was queued has ended
 *	free	 given back, and out of the ring
 *
 * A ring counts for ever upwards: [flushed, head) is queued, [tail, flushed) is flushed,
 * and what is below tail is free. Its thread alone adds, without a lock: it clears the
 * entry, writes the place, then stores `head` with release. Whoever flushes loads `head`
 * with acquire, so the entries of all that it sees are cleared for it, then invalidates
 * and drains, and only then advances `flushed`. What is queued meanwhile is not below the
 * head that it saw. So no fence is paid for each unmap, and nothing is free before an
 * invalidation that started after it was queued.
 *
 * Who flushes: the ring's thread when the ring is full; whoever needs addresses, or a
 * window of them, or table memory, and finds none; a thread that ends; whoever unregisters
 * memory, before it believes that no device can reach it; dma_space_flush(); the closing
 * space; and the timer.
 *
 * The timer is one thread in the process, while there are lazy spaces. It bounds how long
 * a device keeps its access: an idle program would otherwise leave it for ever, and no
 * later call would come to end it. While something is queued it flushes every
 * LAZY_PERIOD_NS, so nothing is queued for longer; when a period has passed without
 * anything, it sleeps until an unmap wakes it.
 *
 * An unmap must not miss that the timer is about to sleep. It stores `head`, then loads
 * `dma_lazy_awake`; the timer stores `dma_lazy_awake`, executes a barrier on every running
 * thread, then loads the heads. Whichever way they interleave, one of them sees the other.
 * Where the kernel has no such barrier, the timer does not sleep.
 *
 * Locking, in this order:
 *  - `life` (lazy.c): held while the timer's thread is started or stopped.
 *  - `lock` (lazy.c): the list of lazy spaces, and whether the timer is awake. The timer
 *    holds it while it flushes; it is let go while it waits. So who has taken a space off
 *    the list knows that the timer is not in it.
 *  - ring->lock: held by whoever advances `flushed` and `tail`, with the IOVA allocator's
 *    lock inside. The ring's thread holds it while it invalidates for a full ring.
 * No callback and no device model runs under them; a drain waits for sections only, which
 * take no lock. The registry's lock may be held around all of them.
 *
 * fork() happens with `life` and `lock` held, so the timer is not in the middle of
 * anything. The child has no timer and no lazy spaces: what it inherited refuses every
 * call that could queue or flush, and closing frees the rings as memory. Rings' locks are
 * not taken over fork(), because no child ever takes one. A lazy space that the child
 * opens itself starts a timer of its own.
 */
#ifndef DMA_LAZY_H
#define DMA_LAZY_H

#include "dma/dma.h"

#define LAZY_RING 256
/* At most so many are given back at a time by the ring's thread: half an IOVA magazine. */
#define LAZY_BATCH 32
#define LAZY_PERIOD_NS 10000000L

struct dma_lazy_entry {
	uint64_t pfn;
	uint64_t pages;
	uint64_t *free_tables;
};

struct dma_lazy_ring {
	uint64_t head; /* written by the ring's thread */
	uint64_t flushed;
	uint64_t tail;
	pthread_mutex_t lock;
	struct dma_lazy_entry entry[LAZY_RING] __cacheline_aligned;
};

/* Whether the timer will look at the rings without being woken. */
extern bool dma_lazy_awake;

void dma_lazy_wake(void) __cold;
/* Make at least one place free in a full ring; by its thread. */
void dma_lazy_make_room(struct dma_space *space, struct dma_slot *slot);

/* Queue retired granules whose entries are cleared, in the slot's ring, which there is. */
static __always_inline void dma_lazy_add(struct dma_space *space, struct dma_slot *slot,
					 uint64_t pfn, uint64_t pages, uint64_t *free_tables)
{
	struct dma_lazy_ring *ring = slot->ring;
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	struct dma_lazy_entry *entry = &ring->entry[head % LAZY_RING];

	if (unlikely(head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == LAZY_RING))
		dma_lazy_make_room(space, slot);
#ifdef SABOTAGE_LAZY_REUSE
	iova_give_back(&space->iova, &slot->iova, pfn, pages);
#endif
	entry->pfn = pfn;
	entry->pages = pages;
	entry->free_tables = free_tables;
	__atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (unlikely(!__atomic_load_n(&dma_lazy_awake, __ATOMIC_RELAXED)))
		dma_lazy_wake();
}

/*
 * The short way to unmap one granule of a lazy mapping, as dma_drop_granule(): false, and
 * nothing has changed, if it must go the long way.
 */
static __always_inline bool dma_lazy_drop_granule(struct dma_dev *dev, uint64_t gen,
						  dma_addr_t iova, const char *what)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];

	if (unlikely(!slot || !slot->ring || gen & PGT_GEN_WATCH ||
		     iova - slot->cursor.base >= PGT_TABLE_SPAN || slot->cursor.gen != gen ||
		     !iova_retire_short(&slot->iova, iova >> GRANULE_SHIFT, 1, IOVA_LAZY)))
		return false;
	counter_step(&slot->frees);
	if (unlikely(!pgt_cursor_unlink(&slot->cursor, gen, iova, space->present))) {
		dma_take_away_granule(space, iova, NULL, what);
		return true;
	}
	counter_step(&slot->page_unlinks);
	dma_lazy_add(space, slot, iova >> GRANULE_SHIFT, 1, NULL);
	return true;
}

/*
 * Give the slot a ring if its space is lazy and there is memory. A thread without one
 * unmaps strictly.
 */
void dma_lazy_equip(struct dma_space *space, struct dma_slot *slot);
void dma_lazy_free_ring(struct dma_slot *slot, bool forked);

/*
 * Make final all that has been queued so far, by any thread, and give it back. False in a
 * strict space; true: what there was not enough of may be there now, from whomever.
 */
bool dma_lazy_flush(struct dma_space *space);
/* The same, and invalidate also if nothing is queued, for unmaps that have not returned. */
void dma_lazy_flush_all(struct dma_space *space);
/* The slot's thread ends. */
void dma_lazy_leave(struct dma_space *space, struct dma_slot *slot);

/* From now on; before anything has been mapped. 0; -ENOMEM, -EAGAIN with the error text. */
int dma_lazy_begin(struct dma_space *space);
/* The space closes: the timer has left it, and everything is final. */
void dma_lazy_end(struct dma_space *space);

/* Around fork(). */
void dma_lazy_before_fork(void);
void dma_lazy_after_fork(bool child);

/* For tests: let the timer flush nothing, until it is told otherwise. */
void dma_lazy_hold_timer(bool hold);
/* For tests: whether this process has a timer. */
bool dma_lazy_timer_runs(void);

#endif
