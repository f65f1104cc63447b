/* SPDX-License-Identifier: MIT */
/*
 * Mappings of spaces that do not translate: DMA addresses are memory addresses, and
 * any number of mappings may have the same one. They are in a hash by granule under
 * `direct_lock`. Those that have ended stay, oldest first in a list, until there are
 * DIRECT_DEAD of them; then the oldest serves again.
 */
#include "debug/parts.h"

#define DIRECT_DEAD 4096
/* Mappings that are copied at a time, to be looked at without the lock. */
#define PORTION 32

struct debug_direct {
	struct debug_direct *next; /* in its bucket */
	struct debug_direct *newer; /* among the dead */
	struct debug_range range;
};

static unsigned int bucket_of(uint64_t pfn)
{
	return (unsigned int)(pfn * 0x9e3779b97f4a7c15 >> 52);
}

_Static_assert(DIRECT_BUCKETS == 1U << (64 - 52), "bucket_of() keeps as many bits");

static void take_out(struct debug *debug, struct debug_direct *record)
{
	struct debug_direct **link = &debug->direct[bucket_of(record->range.addr >> GRANULE_SHIFT)];

	while (*link != record)
		link = &(*link)->next;
	*link = record->next;
}

/* The oldest of enough dead ones, to be used again. */
static struct debug_direct *take_dead(struct debug *debug)
{
	struct debug_direct *record = debug->dead_oldest;

	if (debug->nr_dead < DIRECT_DEAD)
		return NULL;
	debug->dead_oldest = record->newer;
	debug->nr_dead--;
	take_out(debug, record);
	return record;
}

bool direct_add(struct debug *debug, const struct debug_range *range)
{
	unsigned int bucket = bucket_of(range->addr >> GRANULE_SHIFT);
	struct debug_direct *record;

	pthread_mutex_lock(&debug->direct_lock);
	record = take_dead(debug);
	pthread_mutex_unlock(&debug->direct_lock);
	if (!record)
		record = base_zalloc_aligned(sizeof(*record), _Alignof(struct debug_direct));
	if (!record)
		return false;
	record->range = *range;
	pthread_mutex_lock(&debug->direct_lock);
	record->next = debug->direct[bucket];
	debug->direct[bucket] = record;
	if (range_pages(range) > debug->longest)
		debug->longest = range_pages(range);
	pthread_mutex_unlock(&debug->direct_lock);
	return true;
}

/* How well a live record of the device fits what is asked for; 0: not at all. */
static unsigned int fit(const struct debug_range *range, const struct debug_range *like)
{
	unsigned int points = 1;

	if (range->addr != like->addr || !(range->head & RANGE_LIVE) ||
	    (range->head ^ like->head) & (POINTER_MASK | RANGE_STREAMING))
		return 0;
	if (range->size == like->size)
		points += 4;
	if (!site_differs(range->made, like->made))
		points += 2;
	return points + (range->ended == RANGE_CHECKED);
}

static struct debug_direct *best(struct debug *debug, const struct debug_range *like)
{
	struct debug_direct *record = debug->direct[bucket_of(like->addr >> GRANULE_SHIFT)];
	struct debug_direct *found = NULL;
	unsigned int points, most = 0;

	for (; record; record = record->next) {
		points = fit(&record->range, like);
		if (points <= most)
			continue;
		most = points;
		found = record;
	}
	return found;
}

bool direct_take(struct debug *debug, const struct debug_range *range, struct debug_range *taken)
{
	struct debug_direct *record;

	pthread_mutex_lock(&debug->direct_lock);
	record = best(debug, range);
	if (record) {
		*taken = record->range;
		record->range.head &= ~RANGE_LIVE;
		record->range.ended = range->ended;
		record->range.ended_time = range->ended_time;
		record->newer = NULL;
		if (debug->nr_dead++)
			debug->dead_newest->newer = record;
		else
			debug->dead_oldest = record;
		debug->dead_newest = record;
	}
	pthread_mutex_unlock(&debug->direct_lock);
	return record;
}

/* One check is good for one mapping, so one that has none comes first. */
void direct_checked(struct debug *debug, const struct dma_dev *dev, dma_addr_t addr)
{
	struct debug_direct *record;

	pthread_mutex_lock(&debug->direct_lock);
	record = debug->direct[bucket_of(addr >> GRANULE_SHIFT)];
	for (; record; record = record->next) {
		struct debug_range *range = &record->range;

		if (range->addr != addr || !(range->head & RANGE_LIVE) || range->ended ||
		    (range->head ^ (uintptr_t)dev) & POINTER_MASK)
			continue;
		range->ended = RANGE_CHECKED;
		break;
	}
	pthread_mutex_unlock(&debug->direct_lock);
}

/* A search for what contains an address: the one that fits @like best, or that ended last. */
struct search {
	dma_addr_t addr;
	bool dead;
	const struct debug_range *like; /* may be NULL */
	struct debug_range *copy;
	unsigned int most;
};

static void look_at(struct search *search, const struct debug_range *range)
{
	unsigned int points = 1;

	if (search->addr - range->addr >= range->size ||
	    !(range->head & RANGE_LIVE) != search->dead)
		return;
	if (search->like) {
		uint64_t end = range->addr + range->size;

		points += (range->head ^ search->like->head) & POINTER_MASK ? 0 : 4;
		points += search->addr + search->like->size <= end ? 2 : 0;
		points += site_dir(range->made) == site_dir(search->like->made);
	}
	if (search->most > points || (search->most && search->dead &&
				      (int64_t)(range->ended_time - search->copy->ended_time) < 0))
		return;
	search->most = points;
	*search->copy = *range;
}

/* Back from the address as far as the longest mapping, or through all there are. */
static bool search_all(struct debug *debug, struct search *search)
{
	uint64_t pfn = search->addr >> GRANULE_SHIFT, steps;
	struct debug_direct *record;

	pthread_mutex_lock(&debug->direct_lock);
	steps = debug->longest + 1;
	if (steps > DIRECT_BUCKETS)
		steps = DIRECT_BUCKETS;
	for (uint64_t i = 0; i < steps; i++) {
		/* Consecutive granules, or with as many steps as there are buckets, these. */
		record = debug->direct[steps < DIRECT_BUCKETS ? bucket_of(pfn - i) : i];
		for (; record; record = record->next)
			look_at(search, &record->range);
	}
	pthread_mutex_unlock(&debug->direct_lock);
	return search->most;
}

bool direct_live_at(struct debug *debug, dma_addr_t addr, const struct debug_range *like,
		    struct debug_range *copy)
{
	struct search search = {.addr = addr, .like = like, .copy = copy};

	return search_all(debug, &search);
}

bool direct_dead_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy)
{
	struct search search = {.addr = addr, .dead = true, .copy = copy};

	return search_all(debug, &search);
}

static bool same(const struct debug_range *range, const struct debug_range *copy)
{
	return range->head == copy->head && range->addr == copy->addr &&
	       range->size == copy->size && range->made == copy->made &&
	       range->made_time == copy->made_time;
}

bool direct_still_live(struct debug *debug, const struct debug_range *copy)
{
	struct debug_direct *record;

	pthread_mutex_lock(&debug->direct_lock);
	record = debug->direct[bucket_of(copy->addr >> GRANULE_SHIFT)];
	while (record && !same(&record->range, copy))
		record = record->next;
	pthread_mutex_unlock(&debug->direct_lock);
	return record;
}

/* Up to PORTION live ranges of a bucket, after the first @skip of them. */
static size_t portion(struct debug *debug, unsigned int bucket, size_t skip,
		      struct debug_range *copies)
{
	const struct debug_direct *record;
	size_t nr = 0;

	pthread_mutex_lock(&debug->direct_lock);
	for (record = debug->direct[bucket]; record && nr < PORTION; record = record->next) {
		if (!(record->range.head & RANGE_LIVE))
			continue;
		if (skip)
			skip--;
		else
			copies[nr++] = record->range;
	}
	pthread_mutex_unlock(&debug->direct_lock);
	return nr;
}

void direct_for_each(struct debug *debug,
		     void (*visit)(struct debug *debug, const struct debug_range *range, void *arg),
		     void *arg)
{
	struct debug_range copies[PORTION];
	size_t nr, done;

	for (unsigned int bucket = 0; bucket < DIRECT_BUCKETS; bucket++) {
		for (done = 0;; done += nr) {
			nr = portion(debug, bucket, done, copies);
			for (size_t i = 0; i < nr; i++)
				visit(debug, &copies[i], arg);
			if (nr < PORTION)
				break;
		}
	}
}

void direct_exit(struct debug *debug)
{
	struct debug_direct *record, *next;

	for (unsigned int i = 0; i < DIRECT_BUCKETS; i++) {
		for (record = debug->direct[i]; record; record = next) {
			next = record->next;
			base_free(record);
		}
	}
}
