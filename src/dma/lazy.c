/* SPDX-License-Identifier: MIT */
/* Lazy unmapping: flushing the rings, and the timer. lazy.h says how it fits together. */
#include <signal.h>
#include <time.h>

#include "dma/lazy.h"

static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER;
static size_t users; /* lazy spaces, under `life`: the timer runs if there are any */
static pthread_t timer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change; /* made with each timer: a child cannot use its parent's */
static struct dma_space *lazy_spaces;
static bool quit;
static bool held;

bool dma_lazy_awake;

static struct dma_lazy_ring *ring_of(const struct dma_slot *slot)
{
	return __atomic_load_n(&slot->ring, __ATOMIC_ACQUIRE);
}

static struct dma_lazy_ring *ring_at(const struct dma_space *space, size_t thread)
{
	const struct dma_slot *slot = __atomic_load_n(&space->slots[thread], __ATOMIC_ACQUIRE);

	return slot ? ring_of(slot) : NULL;
}

void dma_lazy_equip(struct dma_space *space, struct dma_slot *slot)
{
	struct dma_lazy_ring *ring;

	if (!space->lazy || slot->shared || slot->ring)
		return;
	ring = base_zalloc_aligned(sizeof(*ring), 64);
	if (!ring)
		return;
	pthread_mutex_init(&ring->lock, NULL);
	__atomic_store_n(&slot->ring, ring, __ATOMIC_RELEASE);
}

void dma_lazy_free_ring(struct dma_slot *slot, bool forked)
{
	if (!slot || !slot->ring)
		return;
	if (!forked)
		pthread_mutex_destroy(&slot->ring->lock);
	base_free(slot->ring);
}

/* Flushing. */

static void invalidate_everything(struct dma_space *space, struct dma_slot *slot)
{
	dma_invalidate(space, slot, 0, UINT64_MAX);
}

/* Free up to @most flushed entries, into @cache (may be NULL). The caller holds ring->lock. */
static void give_back(struct dma_space *space, struct dma_lazy_ring *ring, struct iova_cache *cache,
		      uint64_t most)
{
	uint64_t tail = ring->tail;

	for (; tail != ring->flushed && most; tail++, most--) {
		struct dma_lazy_entry *entry = &ring->entry[tail % LAZY_RING];

		if (unlikely(entry->free_tables))
			space->be->ops->free_tables(space->be, entry->free_tables);
#ifndef SABOTAGE_LAZY_REUSE
		iova_give_back(&space->iova, cache, entry->pfn, entry->pages);
#endif
	}
	(void)cache;
	__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
}

void dma_lazy_make_room(struct dma_space *space, struct dma_slot *slot)
{
	struct dma_lazy_ring *ring = slot->ring;

	pthread_mutex_lock(&ring->lock);
	/* Somebody may have made room meanwhile: then there is nothing to invalidate for. */
	if (ring->tail == ring->flushed && ring->head - ring->tail == LAZY_RING) {
		invalidate_everything(space, slot);
		__atomic_store_n(&ring->flushed, ring->head, __ATOMIC_RELEASE);
	}
	give_back(space, ring, &slot->iova, LAZY_BATCH);
	pthread_mutex_unlock(&ring->lock);
}

/* What was below @seen of a ring before an invalidation of everything is flushed. */
static void ring_flushed(struct dma_space *space, struct dma_lazy_ring *ring, uint64_t seen)
{
	pthread_mutex_lock(&ring->lock);
	if ((int64_t)(seen - ring->flushed) > 0)
		__atomic_store_n(&ring->flushed, seen, __ATOMIC_RELEASE);
	give_back(space, ring, NULL, LAZY_RING);
	pthread_mutex_unlock(&ring->lock);
}

static bool ring_has_queued(const struct dma_lazy_ring *ring, uint64_t head)
{
	return head != __atomic_load_n(&ring->flushed, __ATOMIC_ACQUIRE);
}

static void flush(struct dma_space *space, bool always)
{
	uint64_t seen[BASE_MAX_THREADS];
	bool queued = always;
	struct dma_lazy_ring *ring;

	for (size_t i = 1; i < BASE_MAX_THREADS; i++) {
		ring = ring_at(space, i);
		seen[i] = ring ? __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) : 0;
		queued |= ring && ring_has_queued(ring, seen[i]);
	}
	/* Any thread may be here, the timer too, which has no slot. */
	if (queued)
		invalidate_everything(space, &space->shared);
	for (size_t i = 1; i < BASE_MAX_THREADS; i++) {
		ring = ring_at(space, i);
		if (ring)
			ring_flushed(space, ring, seen[i]);
	}
}

bool dma_lazy_flush(struct dma_space *space)
{
	if (space->lazy)
		flush(space, false);
	return space->lazy;
}

void dma_lazy_flush_all(struct dma_space *space)
{
	if (space->lazy)
		flush(space, true);
}

void dma_lazy_leave(struct dma_space *space, struct dma_slot *slot)
{
	const struct dma_lazy_ring *ring = slot->ring;

	if (ring && ring->head != __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
		flush(space, false);
}

int dma_space_flush(struct dma_space *space)
{
	int err = dma_space_check(space);

	if (!err)
		dma_lazy_flush(space);
	return err;
}

/* The timer. */

static bool anything_queued(void)
{
	for (struct dma_space *space = lazy_spaces; space; space = space->next_lazy) {
		for (size_t i = 1; i < BASE_MAX_THREADS; i++) {
			const struct dma_lazy_ring *ring = ring_at(space, i);

			if (ring &&
			    ring_has_queued(ring, __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE)))
				return true;
		}
	}
	return false;
}

static void flush_spaces(void)
{
	for (struct dma_space *space = lazy_spaces; space; space = space->next_lazy)
		flush(space, false);
}

/* Nothing was queued: sleep, unless something comes now, or may come unseen. */
static void fall_asleep(void)
{
	__atomic_store_n(&dma_lazy_awake, false, __ATOMIC_SEQ_CST);
	if (!base_barrier_everywhere() || anything_queued())
		__atomic_store_n(&dma_lazy_awake, true, __ATOMIC_SEQ_CST);
}

static struct timespec next_tick(void)
{
	struct timespec tick;

	clock_gettime(CLOCK_MONOTONIC, &tick);
	tick.tv_nsec += LAZY_PERIOD_NS;
	if (tick.tv_nsec >= 1000000000L) {
		tick.tv_nsec -= 1000000000L;
		tick.tv_sec++;
	}
	return tick;
}

static void wait_for_tick(void)
{
	const struct timespec tick = next_tick();

	while (!quit && pthread_cond_timedwait(&change, &lock, &tick) != ETIMEDOUT)
		;
}

static void *run_timer(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&lock);
	while (!quit) {
		if (!dma_lazy_awake) {
			pthread_cond_wait(&change, &lock);
			continue;
		}
		wait_for_tick();
		if (quit || held)
			continue;
		if (anything_queued())
			flush_spaces();
		else
			fall_asleep();
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

void dma_lazy_wake(void)
{
	pthread_mutex_lock(&lock);
	if (!dma_lazy_awake) {
		__atomic_store_n(&dma_lazy_awake, true, __ATOMIC_SEQ_CST);
		pthread_cond_signal(&change);
	}
	pthread_mutex_unlock(&lock);
}

/* The program's signals are for its own threads. */
static int start_timer(void)
{
	pthread_condattr_t monotonic;
	sigset_t all, before;
	int err;

	/* A thread gets its memory from libc: this stands for it in tests. */
	if (base_alloc_denied())
		return ENOMEM;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&change, &monotonic);
	pthread_condattr_destroy(&monotonic);
	quit = false;
	__atomic_store_n(&dma_lazy_awake, false, __ATOMIC_SEQ_CST);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&timer, NULL, run_timer, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		pthread_cond_destroy(&change);
	return err;
}

static void stop_timer(void)
{
	pthread_mutex_lock(&lock);
	quit = true;
	pthread_cond_signal(&change);
	pthread_mutex_unlock(&lock);
	pthread_join(timer, NULL);
	pthread_cond_destroy(&change);
}

int dma_lazy_begin(struct dma_space *space)
{
	int err = 0;

	pthread_mutex_lock(&life);
	if (!users)
		err = start_timer();
	if (!err) {
		users++;
		space->lazy = true;
		pthread_mutex_lock(&lock);
		space->next_lazy = lazy_spaces;
		lazy_spaces = space;
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_unlock(&life);
	if (err)
		return base_error(-err,
				  "a lazy space needs a thread that flushes, and it cannot "
				  "be started: %s; free something, or open it strict",
				  strerror(err));
	return 0;
}

void dma_lazy_end(struct dma_space *space)
{
	struct dma_space **at = &lazy_spaces;

	if (!space->lazy)
		return;
	pthread_mutex_lock(&life);
	pthread_mutex_lock(&lock);
	while (*at != space)
		at = &(*at)->next_lazy;
	*at = space->next_lazy;
	pthread_mutex_unlock(&lock);
	if (!--users)
		stop_timer();
	pthread_mutex_unlock(&life);
	dma_lazy_flush(space);
}

void dma_lazy_before_fork(void)
{
	pthread_mutex_lock(&life);
	pthread_mutex_lock(&lock);
}

void dma_lazy_after_fork(bool child)
{
	if (child) {
		users = 0;
		lazy_spaces = NULL;
		held = false;
	}
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&life);
}

void dma_lazy_hold_timer(bool hold)
{
	pthread_mutex_lock(&lock);
	held = hold;
	pthread_mutex_unlock(&lock);
}

bool dma_lazy_timer_runs(void)
{
	bool runs;

	pthread_mutex_lock(&life);
	runs = users != 0;
	pthread_mutex_unlock(&life);
	return runs;
}
