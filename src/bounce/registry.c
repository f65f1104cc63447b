/* SPDX-License-Identifier: MIT */
/* The table of all pools of the process: whose is an address, and what a fork leaves. */
#include "bounce/pool.h"

/*
 * Where each pool is: first segment << BOUNCE_LENGTH_BITS | length in segments. 0: none.
 * No look-up goes beyond the first `nr_ranges`.
 */
static uint64_t ranges[BOUNCE_POOLS];
static unsigned int nr_ranges;
static struct dma_bounce pools[BOUNCE_POOLS]; /* never freed: see bounce.h */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void set_state(struct dma_bounce *bounce, enum bounce_state state)
{
	__atomic_store_n(&bounce->state, state, __ATOMIC_RELAXED);
}

struct dma_bounce *bounce_claim(void)
{
	struct dma_bounce *bounce = NULL;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < BOUNCE_POOLS && !bounce; i++)
		if (pools[i].state == BOUNCE_FREE)
			bounce = &pools[i];
	if (bounce) {
		memset(bounce, 0, sizeof(*bounce));
		set_state(bounce, BOUNCE_CHANGING);
	}
	pthread_mutex_unlock(&lock);
	if (!bounce)
		base_error(-ENOSPC,
			   "creating a pool of bounce buffers: there are %d pools already, and a "
			   "process can have no more; destroy one or share them between devices",
			   BOUNCE_POOLS);
	return bounce;
}

/* With the lock held. Release: who finds the pool sees what it consists of. */
static void set_range(const struct dma_bounce *bounce, uint64_t range)
{
	unsigned int end = BOUNCE_POOLS;

	__atomic_store_n(&ranges[bounce - pools], range, __ATOMIC_RELEASE);
	while (end && !__atomic_load_n(&ranges[end - 1], __ATOMIC_RELAXED))
		end--;
	__atomic_store_n(&nr_ranges, end, __ATOMIC_RELEASE);
}

void bounce_show(struct dma_bounce *bounce)
{
	pthread_mutex_lock(&lock);
	set_state(bounce, BOUNCE_READY);
	set_range(bounce, bounce->start >> BOUNCE_SEGMENT_SHIFT << BOUNCE_LENGTH_BITS |
				  bounce->max_segments);
	pthread_mutex_unlock(&lock);
}

static int why_it_stays(const struct dma_bounce *bounce)
{
	uint64_t users = __atomic_load_n(&bounce->users, __ATOMIC_ACQUIRE);
	uint64_t used;

	if (bounce->state == BOUNCE_INHERITED)
		return 0;
	if (bounce->state != BOUNCE_READY)
		return base_error(-EINVAL, "destroying a pool of bounce buffers: there is no such "
					   "pool; it has been destroyed before");
	if (bounce->is_default)
		return base_error(-EBUSY, "destroying a default pool of bounce buffers: it stays "
					  "as long as the process; destroy pools of your own only");
	if (users)
		return base_error(
			-EBUSY,
			"destroying a pool of bounce buffers: %llu devices have it; close "
			"them or give them another pool first",
			(unsigned long long)users);
	used = bounce_used(bounce);
	if (used)
		return base_error(-EBUSY,
				  "destroying a pool of bounce buffers: %llu bytes of it are in "
				  "use; unmap what is bounced first",
				  (unsigned long long)used << BOUNCE_SLOT_SHIFT);
	return 0;
}

int bounce_hide(struct dma_bounce *bounce)
{
	int err;

	pthread_mutex_lock(&lock);
	err = why_it_stays(bounce);
	if (!err) {
		set_range(bounce, 0);
		set_state(bounce, BOUNCE_CHANGING);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void bounce_release(struct dma_bounce *bounce)
{
	pthread_mutex_lock(&lock);
	set_state(bounce, BOUNCE_FREE);
	pthread_mutex_unlock(&lock);
}

struct bounce_mapping *bounce_find(phys_addr_t phys)
{
	uint64_t segment = phys >> BOUNCE_SEGMENT_SHIFT;
	unsigned int nr = __atomic_load_n(&nr_ranges, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t range = __atomic_load_n(&ranges[i], __ATOMIC_ACQUIRE);

		if (segment - (range >> BOUNCE_LENGTH_BITS) < (range & BOUNCE_MAX_SEGMENTS))
			return bounce_lent(&pools[i], phys);
	}
	return NULL;
}

size_t bounce_list_add_owned(struct bounce_list *list, const void *owner)
{
	size_t found = 0;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < BOUNCE_POOLS; i++)
		if (pools[i].state == BOUNCE_READY)
			found += bounce_pool_add_owned(&pools[i], list, owner);
	pthread_mutex_unlock(&lock);
	return found;
}

bool bounce_stands_for(phys_addr_t base, phys_addr_t last)
{
	bool found = false;

	/* With the lock no pool goes. */
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < BOUNCE_POOLS && !found; i++)
		found = pools[i].state == BOUNCE_READY &&
			bounce_pool_stands_for(&pools[i], base, last);
	pthread_mutex_unlock(&lock);
	return found;
}

/*
 * Only the calling thread lives on. What another was making or taking apart is lost
 * to the child, and costs it address space.
 */
static void after_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	bounce_forget_defaults();
	__atomic_store_n(&nr_ranges, 0, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < BOUNCE_POOLS; i++) {
		struct dma_bounce *bounce = &pools[i];

		__atomic_store_n(&ranges[i], 0, __ATOMIC_RELAXED);
		if (bounce->state == BOUNCE_READY)
			set_state(bounce, BOUNCE_INHERITED);
		else if (bounce->state == BOUNCE_CHANGING)
			set_state(bounce, BOUNCE_FREE);
		/* A list of the parent's may still lead to the records of buffers in use. */
		if (bounce->state == BOUNCE_INHERITED && bounce->is_default &&
		    !bounce_used(bounce) && !bounce->users) {
			bounce_unmake(bounce);
			set_state(bounce, BOUNCE_FREE);
		}
	}
}

__attribute__((constructor)) static void expect_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork_child);
}
