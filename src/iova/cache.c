/* SPDX-License-Identifier: MIT */
/*
 * The caches: free ranges kept near the thread that will want them next.
 *
 * A magazine is a stack: the newest range, whose tables and records are hot, goes
 * first. A full one gives its older half to the depot, an empty one takes half a
 * magazine from there; what the depot has no room for goes to the tree, which
 * always has. All ranges of a magazine have its order and class.
 *
 * Magazines are filled and emptied in three places only: by their owner inside
 * the asymmetric lock (the fast halves in iova.h), by their owner under the
 * space's lock, and by anyone under the space's lock who has revoked them. Counts
 * are atomics so that a revoker may first look whether there is anything to get.
 */
#include "iova/parts.h"

#define HALF (IOVA_MAGAZINE / 2)

static uint32_t magazine_count(const struct iova_cache *cache, enum iova_class class,
			       unsigned int order)
{
	return (uint32_t)__atomic_load_n(&cache->magazine[class][order].count, __ATOMIC_RELAXED);
}

static void magazine_set_count(struct iova_cache *cache, enum iova_class class, unsigned int order,
			       uint32_t count)
{
	__atomic_store_n(&cache->magazine[class][order].count, count, __ATOMIC_RELAXED);
}

void iova_cache_list(struct iova_space *space, struct iova_cache *cache)
{
	if (cache->link)
		return;
	cache->next = space->caches;
	if (cache->next)
		cache->next->link = &cache->next;
	space->caches = cache;
	cache->link = &space->caches;
	base_asym_restore(&cache->asym);
}

void iova_cache_init(struct iova_space *space, struct iova_cache *cache)
{
	unsigned int i;

	base_asym_init(&cache->asym);
	for (i = 0; i < IOVA_MEMOS; i++)
		cache->memo[i].index = UINT64_MAX;
	pthread_mutex_lock(&space->lock);
	iova_cache_list(space, cache);
	pthread_mutex_unlock(&space->lock);
}

/* Depot */

/* False: full. */
static bool depot_put(struct iova_depot *depot, enum iova_class class, unsigned int order,
		      uint64_t pfn)
{
	uint32_t count = depot->count[class][order];

	if (count == IOVA_DEPOT)
		return false;
	depot->range[class][order][count] = pfn;
	depot->count[class][order] = count + 1;
	return true;
}

/* Half a magazine at most, into an empty one. */
static void depot_refill(struct iova_depot *depot, struct iova_cache *cache, enum iova_class class,
			 unsigned int order)
{
	uint32_t *count = &depot->count[class][order];
	uint32_t n = *count < HALF ? *count : HALF;

	*count -= n;
	memcpy(cache->magazine[class][order].range, &depot->range[class][order][*count],
	       n * sizeof(uint64_t));
	magazine_set_count(cache, class, order, n);
}

/* Magazines */

static void overflow(struct iova_space *space, struct iova_cache *cache, enum iova_class class,
		     unsigned int order)
{
	uint64_t *range = cache->magazine[class][order].range;
	unsigned int i;

	for (i = 0; i < HALF; i++)
		if (!depot_put(space->depot, class, order, range[i]))
			iova_tree_release(space, range[i], range[i] + (1ULL << order) - 1);
	memmove(range, range + HALF, (IOVA_MAGAZINE - HALF) * sizeof(*range));
	magazine_set_count(cache, class, order, IOVA_MAGAZINE - HALF);
}

void iova_cache_put(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
		    unsigned int order)
{
	enum iova_class class = iova_class(space, pfn);
	uint32_t count = magazine_count(cache, class, order);

	if (count == IOVA_MAGAZINE) {
		overflow(space, cache, class, order);
		count = magazine_count(cache, class, order);
	}
	cache->magazine[class][order].range[count] = pfn;
	magazine_set_count(cache, class, order, count + 1);
}

uint64_t iova_cache_take(struct iova_space *space, struct iova_cache *cache, enum iova_class class,
			 unsigned int order, uint64_t limit_pfn)
{
	uint32_t count;
	uint64_t pfn;

	if (!magazine_count(cache, class, order))
		depot_refill(space->depot, cache, class, order);
	count = magazine_count(cache, class, order);
	if (!count)
		return 0;
	pfn = cache->magazine[class][order].range[count - 1];
	if (pfn + (1ULL << order) - 1 > limit_pfn)
		return 0;
	magazine_set_count(cache, class, order, count - 1);
	return pfn;
}

/* Calling back */

/* Release what overlaps [first_pfn, last_pfn], keep the others in order; how many stay. */
static uint32_t ranges_recall(struct iova_space *space, uint64_t *range, uint32_t count,
			      unsigned int order, uint64_t first_pfn, uint64_t last_pfn)
{
	uint32_t kept = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (range[i] > last_pfn || range[i] + (1ULL << order) - 1 < first_pfn)
			range[kept++] = range[i];
		else
			iova_tree_release(space, range[i], range[i] + (1ULL << order) - 1);
	}
	return kept;
}

static bool depot_recall(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	struct iova_depot *depot = space->depot;
	enum iova_class class;
	unsigned int order;
	uint32_t count;
	bool any = false;

	for (class = 0; class < IOVA_CLASSES; class ++) {
		for (order = 0; order < IOVA_CACHE_ORDERS; order++) {
			count = depot->count[class][order];
			depot->count[class][order] =
				ranges_recall(space, depot->range[class][order], count, order,
					      first_pfn, last_pfn);
			any |= depot->count[class][order] != count;
		}
	}
	return any;
}

/* The caller is the owner or has revoked it. */
static bool cache_recall(struct iova_space *space, struct iova_cache *cache, uint64_t first_pfn,
			 uint64_t last_pfn)
{
	enum iova_class class;
	unsigned int order;
	uint32_t count, kept;
	bool any = false;

	for (class = 0; class < IOVA_CLASSES; class ++) {
		for (order = 0; order < IOVA_CACHE_ORDERS; order++) {
			count = magazine_count(cache, class, order);
			kept = ranges_recall(space, cache->magazine[class][order].range, count,
					     order, first_pfn, last_pfn);
			magazine_set_count(cache, class, order, kept);
			any |= kept != count;
		}
	}
	return any;
}

/*
 * Without revoking: a range given back before the caller's request, in the order
 * that synchronisation between the threads gives, is always seen.
 */
static bool holds_class(const struct iova_cache *cache, enum iova_class class)
{
	unsigned int order;

	for (order = 0; order < IOVA_CACHE_ORDERS; order++)
		if (magazine_count(cache, class, order))
			return true;
	return false;
}

bool iova_caches_recall(struct iova_space *space, struct iova_cache *own, uint64_t first_pfn,
			uint64_t last_pfn)
{
	bool low = first_pfn <= space->low_last;
	bool high = last_pfn > space->low_last;
	bool any = depot_recall(space, first_pfn, last_pfn);
	struct iova_cache *cache;

	for (cache = space->caches; cache; cache = cache->next) {
		if (!(low && holds_class(cache, IOVA_LOW)) &&
		    !(high && holds_class(cache, IOVA_HIGH)))
			continue;
		if (cache == own) {
			any |= cache_recall(space, cache, first_pfn, last_pfn);
			continue;
		}
		if (!base_asym_revoke(&cache->asym))
			continue;
		any |= cache_recall(space, cache, first_pfn, last_pfn);
		base_asym_restore(&cache->asym);
	}
	return any;
}

void iova_cache_flush(struct iova_space *space, struct iova_cache *cache)
{
	pthread_mutex_lock(&space->lock);
	if (cache->link) {
		base_asym_revoke_own(&cache->asym);
		cache_recall(space, cache, 0, UINT64_MAX);
		*cache->link = cache->next;
		if (cache->next)
			cache->next->link = cache->link;
		cache->next = NULL;
		cache->link = NULL;
	}
	pthread_mutex_unlock(&space->lock);
}
