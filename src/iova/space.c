/* SPDX-License-Identifier: MIT */
/* The space: the slow halves of allocation, reserved windows, exact ranges. */
#include "iova/parts.h"

/* The last pfn below 4 GiB in granules of 4 KiB: where the mask of an old device ends. */
#define LOW_LAST_PFN 0xfffffULL

int iova_space_init(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	if (!first_pfn || first_pfn > last_pfn || last_pfn >> IOVA_PFN_BITS)
		return base_error(-EINVAL,
				  "asked for IOVA from granule %#llx to %#llx; a space begins at "
				  "granule 1 or later and ends below 2^%d",
				  (unsigned long long)first_pfn, (unsigned long long)last_pfn,
				  IOVA_PFN_BITS);
	memset(space, 0, sizeof(*space));
	space->first_pfn = first_pfn;
	space->last_pfn = last_pfn;
	space->low_last = last_pfn > LOW_LAST_PFN ? LOW_LAST_PFN : 0;
	pthread_mutex_init(&space->lock, NULL);
	iova_records_init(space);
	space->depot = base_zalloc(sizeof(*space->depot));
	if (!space->depot || iova_tree_init(space, last_pfn) || iova_tree_prepare(space)) {
		iova_space_exit(space);
		return base_error(-ENOMEM, "no memory for an IOVA space; free some");
	}
	counter_add(&space->metadata_bytes, sizeof(*space->depot));
	iova_tree_release(space, first_pfn, last_pfn);
	return 0;
}

void iova_space_exit(struct iova_space *space)
{
	iova_tree_exit(space);
	iova_records_exit(space);
	base_free(space->depot);
	base_free(space->windows);
	space->depot = NULL;
	space->windows = NULL;
	space->caches = NULL;
	pthread_mutex_destroy(&space->lock);
}

uint64_t iova_metadata_bytes(const struct iova_space *space)
{
	return counter_read(&space->metadata_bytes);
}

/* Allocation */

/* Granules that a request of @pages takes from the tree. */
static uint64_t occupied(uint64_t pages)
{
	return pages <= IOVA_CACHED_PAGES ? 1ULL << order_of(pages) : pages;
}

/* A request that gets past the fast half; `limit_pfn` lies in the space. */
struct request {
	uint64_t pages;
	uint64_t limit_pfn;
	unsigned int order; /* of the pages, rounded up */
	unsigned int align_order; /* at least `order` */
};

/*
 * False if not even an empty space could meet it, so that callers that ask for
 * nonsense take nothing from the caches.
 */
static bool request_possible(const struct iova_space *space, const struct request *request)
{
	return request->pages && request->align_order < IOVA_PFN_BITS &&
	       request->limit_pfn >= space->first_pfn &&
	       request->pages - 1 <= request->limit_pfn - space->first_pfn;
}

static uint64_t take_cached(struct iova_space *space, struct iova_cache *cache,
			    const struct request *request)
{
	if (!cache || request->pages > IOVA_CACHED_PAGES || request->align_order > request->order)
		return 0;
	return iova_cache_take(space, cache, iova_class(space, request->limit_pfn), request->order,
			       request->limit_pfn);
}

/* Low ranges are for whoever can use no other, or when no other is left. */
static uint64_t take_cached_low(struct iova_space *space, struct iova_cache *cache,
				const struct request *request)
{
	if (!cache || request->pages > IOVA_CACHED_PAGES || request->align_order > request->order ||
	    request->limit_pfn <= space->low_last)
		return 0;
	return iova_cache_take(space, cache, IOVA_LOW, request->order, request->limit_pfn);
}

/* What is occupied beyond the request may lie beyond the device's limit. */
static uint64_t occupied_limit(const struct iova_space *space, const struct request *request)
{
	uint64_t limit = request->limit_pfn + (occupied(request->pages) - request->pages);

	return limit < space->last_pfn ? limit : space->last_pfn;
}

static uint64_t find_free(struct iova_space *space, const struct request *request)
{
	uint64_t pages = occupied(request->pages);
	uint64_t limit = occupied_limit(space, request);
	uint64_t pfn;

	pfn = iova_tree_find_block(&space->tree, pages, request->align_order, limit);
	if (!pfn && pages < 1ULL << request->align_order)
		pfn = iova_tree_find_start(&space->tree, pages, request->align_order, limit);
	return pfn;
}

/* 0: none, or (*err) no memory. */
static uint64_t take_free(struct iova_space *space, struct iova_cache *cache,
			  const struct request *request, int *err)
{
	uint64_t pfn = find_free(space, request);
	uint64_t cached;

	if (pfn <= space->low_last) {
		cached = take_cached_low(space, cache, request);
		if (cached)
			return cached;
	}
	if (!pfn)
		return 0;
	*err = iova_records_prepare(space, pfn);
	if (!*err)
		*err = iova_tree_prepare(space);
	if (*err)
		return 0;
	iova_tree_take(space, pfn, pfn + occupied(request->pages) - 1);
	return pfn;
}

uint64_t iova_alloc_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pages,
			 unsigned int align_order, uint64_t limit_pfn, enum iova_kind kind)
{
	struct request request = {
		.pages = pages,
		.limit_pfn = limit_pfn < space->last_pfn ? limit_pfn : space->last_pfn,
		.order = order_of(pages),
	};
	uint64_t pfn = 0;
	int err = 0;

	request.align_order = align_order > request.order ? align_order : request.order;
	if (request_possible(space, &request)) {
		pthread_mutex_lock(&space->lock);
		if (cache)
			iova_cache_list(space, cache);
		pfn = take_cached(space, cache, &request);
		if (!pfn)
			pfn = take_free(space, cache, &request, &err);
		if (!pfn && !err &&
		    iova_caches_recall(space, cache, 0, occupied_limit(space, &request)))
			pfn = take_free(space, NULL, &request, &err);
		if (pfn)
			iova_records_set(space, pfn, pages, kind);
		pthread_mutex_unlock(&space->lock);
		if (pfn && cache)
			iova_chunk(space, cache, pfn);
	}
	if (!pfn && !err)
		base_error(
			-ENOSPC,
			"asked for %llu granules of IOVA aligned to 2^%u, none of it above granule "
			"%#llx; no such range is free: free some, or raise the device's mask",
			(unsigned long long)pages, request.align_order,
			(unsigned long long)limit_pfn);
	return pfn;
}

void iova_give_back_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
			 uint64_t pages)
{
	pthread_mutex_lock(&space->lock);
	if (cache)
		iova_cache_list(space, cache);
	if (cache && pages <= IOVA_CACHED_PAGES)
		iova_cache_put(space, cache, pfn, order_of(pages));
	else
		iova_tree_release(space, pfn, pfn + occupied(pages) - 1);
	pthread_mutex_unlock(&space->lock);
}

/* Exact ranges: free by the tree's word, or once the caches have returned what is theirs. */

static bool range_free(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	return iova_tree_is_free(&space->tree, first_pfn, last_pfn) ||
	       (iova_caches_recall(space, NULL, first_pfn, last_pfn) &&
		iova_tree_is_free(&space->tree, first_pfn, last_pfn));
}

bool iova_take_at(struct iova_space *space, uint64_t pfn, uint64_t pages)
{
	bool taken;

	if (!is_power_of_two(pages) || pfn & (pages - 1) || pfn < space->first_pfn ||
	    pfn > space->last_pfn || pages - 1 > space->last_pfn - pfn)
		return false;
	pthread_mutex_lock(&space->lock);
	taken = range_free(space, pfn, pfn + pages - 1) && !iova_tree_prepare(space);
	if (taken)
		iova_tree_take(space, pfn, pfn + pages - 1);
	pthread_mutex_unlock(&space->lock);
	return taken;
}

void iova_give_back_at(struct iova_space *space, uint64_t pfn, uint64_t pages)
{
	pthread_mutex_lock(&space->lock);
	iova_tree_release(space, pfn, pfn + pages - 1);
	pthread_mutex_unlock(&space->lock);
}

/* Windows */

/* The next part of [*at, last_pfn] outside all windows, as [*at, *part_last]; false: none. */
static bool unreserved_part(const struct iova_space *space, uint64_t *at, uint64_t last_pfn,
			    uint64_t *part_last)
{
	size_t i;

	for (i = 0; i < space->nr_windows && space->windows[i].first_pfn <= *at; i++)
		if (space->windows[i].last_pfn >= *at)
			*at = space->windows[i].last_pfn + 1;
	if (*at > last_pfn)
		return false;
	*part_last = last_pfn;
	if (i < space->nr_windows && space->windows[i].first_pfn <= last_pfn)
		*part_last = space->windows[i].first_pfn - 1;
	return true;
}

/* False: the window has no part in the space. */
static bool clip(const struct iova_space *space, uint64_t *first_pfn, uint64_t *last_pfn)
{
	if (*first_pfn < space->first_pfn)
		*first_pfn = space->first_pfn;
	if (*last_pfn > space->last_pfn)
		*last_pfn = space->last_pfn;
	return *first_pfn <= *last_pfn;
}

static int check_unused(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	uint64_t at, part_last;

	for (at = first_pfn; unreserved_part(space, &at, last_pfn, &part_last); at = part_last + 1)
		if (!range_free(space, at, part_last))
			return base_error(-EADDRINUSE,
					  "asked to reserve the IOVA from granule %#llx to %#llx, "
					  "part of which is in use; reserve before mapping there",
					  (unsigned long long)first_pfn,
					  (unsigned long long)last_pfn);
	return 0;
}

/* @merged has room for one more window than there are. The former list stays as it is. */
static void windows_merge(struct iova_space *space, struct iova_window *merged, uint64_t first_pfn,
			  uint64_t last_pfn)
{
	struct iova_window *out = merged;
	size_t i = 0;

	for (; i < space->nr_windows && space->windows[i].last_pfn + 1 < first_pfn; i++)
		*out++ = space->windows[i];
	for (; i < space->nr_windows && space->windows[i].first_pfn <= last_pfn + 1; i++) {
		if (space->windows[i].first_pfn < first_pfn)
			first_pfn = space->windows[i].first_pfn;
		if (space->windows[i].last_pfn > last_pfn)
			last_pfn = space->windows[i].last_pfn;
	}
	*out++ = (struct iova_window){.first_pfn = first_pfn, .last_pfn = last_pfn};
	for (; i < space->nr_windows; i++)
		*out++ = space->windows[i];
	space->windows = merged;
	space->nr_windows = (size_t)(out - merged);
}

static int reserve_one(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	struct iova_window *merged;
	uint64_t at, part_last;
	int err = check_unused(space, first_pfn, last_pfn);

	/* Where it meets older windows the tree is cut already: nodes for two ends suffice. */
	if (!err)
		err = iova_tree_prepare(space);
	if (err)
		return err;
	merged = base_alloc((space->nr_windows + 1) * sizeof(*merged));
	if (!merged)
		return base_error(-ENOMEM,
				  "no memory to reserve IOVA from granule %#llx to %#llx; "
				  "free some",
				  (unsigned long long)first_pfn, (unsigned long long)last_pfn);
	for (at = first_pfn; unreserved_part(space, &at, last_pfn, &part_last); at = part_last + 1)
		iova_tree_take(space, at, part_last);
	windows_merge(space, merged, first_pfn, last_pfn);
	return 0;
}

/* The list is the former one again: what it does not hold of the window becomes free. */
static void unreserve_one(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	uint64_t at, part_last;

	for (at = first_pfn; unreserved_part(space, &at, last_pfn, &part_last); at = part_last + 1)
		iova_tree_release(space, at, part_last);
}

/* One window a level: each keeps the list it found until those behind it are done. */
static int reserve_rest(struct iova_space *space, const struct iova_window *windows, size_t nr)
{
	struct iova_window *former = space->windows;
	size_t former_nr = space->nr_windows;
	uint64_t first_pfn, last_pfn;
	int err;

	if (!nr)
		return 0;
	first_pfn = windows->first_pfn;
	last_pfn = windows->last_pfn;
	if (!clip(space, &first_pfn, &last_pfn))
		return reserve_rest(space, windows + 1, nr - 1);
	err = reserve_one(space, first_pfn, last_pfn);
	if (err)
		return err;
	err = reserve_rest(space, windows + 1, nr - 1);
	if (!err) {
		base_free(former);
		return 0;
	}
	base_free(space->windows);
	space->windows = former;
	space->nr_windows = former_nr;
	unreserve_one(space, first_pfn, last_pfn);
	return err;
}

int iova_reserve_all(struct iova_space *space, const struct iova_window *windows, size_t nr)
{
	size_t before;
	int err;

	pthread_mutex_lock(&space->lock);
	before = space->nr_windows * sizeof(*windows);
	err = reserve_rest(space, windows, nr);
	counter_add(&space->metadata_bytes, space->nr_windows * sizeof(*windows) - before);
	pthread_mutex_unlock(&space->lock);
	return err;
}

int iova_reserve(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	const struct iova_window window = {.first_pfn = first_pfn, .last_pfn = last_pfn};

	return iova_reserve_all(space, &window, 1);
}
