/* SPDX-License-Identifier: MIT */
/*
 * Random calls against a reference that is obviously right: an array with the
 * owner of each granule of a small space. What the room does must be possible
 * (nothing overlaps, every rule kept), and what it refuses must be impossible.
 * The seed is printed; TWOSTEP_SEED repeats a run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "space.h"

#define FIRST 5ULL
#define LAST 5000ULL
#define OPERATIONS 100000
#define RANGES 300
#define CACHES 3

#define FREE 0
#define RESERVED UINT32_MAX

struct range {
	uint64_t pfn; /* 0: the entry is unused */
	uint64_t pages;
	enum iova_kind kind;
	bool retired;
	bool exact; /* from iova_take_at() */
};

struct model {
	struct iova_space *space;
	struct iova_cache *cache[CACHES + 1]; /* the last is NULL */
	uint32_t owner[LAST + 1]; /* 1 + index of the range */
	struct range range[RANGES];
	uint64_t random;
	unsigned int windows;
};

static uint64_t below(struct model *model, uint64_t n)
{
	return next_random(&model->random) % n;
}

static struct iova_cache *any_cache(struct model *model)
{
	return model->cache[below(model, CACHES + 1)];
}

static uint64_t occupies(uint64_t pages)
{
	return pages <= 512 ? 1ULL << order_of(pages) : pages;
}

static bool all_free(const struct model *model, uint64_t first, uint64_t pages)
{
	uint64_t pfn;

	if (first < FIRST || first + pages - 1 > LAST)
		return false;
	for (pfn = first; pfn < first + pages; pfn++)
		if (model->owner[pfn] != FREE)
			return false;
	return true;
}

static void own(struct model *model, uint64_t first, uint64_t pages, uint32_t owner)
{
	uint64_t pfn;

	for (pfn = first; pfn < first + pages; pfn++)
		model->owner[pfn] = owner;
}

static bool could_fit(const struct model *model, uint64_t pages, uint64_t alignment, uint64_t limit)
{
	uint64_t pfn;

	for (pfn = alignment; pfn + pages - 1 <= limit && pfn <= LAST; pfn += alignment)
		if (all_free(model, pfn, occupies(pages)))
			return true;
	return false;
}

static uint64_t any_pages(struct model *model)
{
	switch (below(model, 8)) {
	case 0:
		return 1 + below(model, 1500);
	case 1:
		return 1 + below(model, 200);
	case 2:
		return 1;
	default:
		return 1 + below(model, 20);
	}
}

static void try_alloc(struct model *model, uint32_t index)
{
	struct range *range = &model->range[index];
	uint64_t pages = any_pages(model);
	unsigned int align_order = below(model, 6) ? 0 : (unsigned int)below(model, 12);
	uint64_t limit = below(model, 3) ? NO_LIMIT : below(model, LAST + 100);
	enum iova_kind kind = below(model, 2) ? IOVA_STREAMING : IOVA_TWO_STEP;
	uint64_t alignment = 1ULL << order_of(pages);
	uint64_t pfn;

	if (alignment < 1ULL << align_order)
		alignment = 1ULL << align_order;
	pfn = iova_alloc(model->space, any_cache(model), pages, align_order, limit, kind);
	if (!pfn) {
		assert_false(could_fit(model, pages, alignment, limit));
		return;
	}
	assert_int_equal(pfn % alignment, 0);
	assert_true(pfn + pages - 1 <= limit);
	assert_true(all_free(model, pfn, occupies(pages)));
	own(model, pfn, occupies(pages), index + 1);
	*range = (struct range){.pfn = pfn, .pages = pages, .kind = kind};
}

static void try_exact(struct model *model, uint32_t index)
{
	uint64_t pages = 1ULL << below(model, 11);
	uint64_t pfn = below(model, LAST + 600) & ~(pages - 1);
	bool expected = all_free(model, pfn, pages);

	assert_int_equal(iova_take_at(model->space, pfn, pages), expected);
	if (!expected)
		return;
	own(model, pfn, pages, index + 1);
	model->range[index] = (struct range){.pfn = pfn, .pages = pages, .exact = true};
}

static void refused(struct model *model, const struct range *range)
{
	struct iova_cache *cache = any_cache(model);
	enum iova_kind other = range->kind == IOVA_STREAMING ? IOVA_TWO_STEP : IOVA_STREAMING;

	assert_int_equal(iova_retire(model->space, cache, range->pfn, range->pages, other),
			 -EINVAL);
	assert_int_equal(
		iova_retire(model->space, cache, range->pfn, range->pages + 1, range->kind),
		-EINVAL);
	assert_int_equal(
		iova_retire(model->space, cache, range->pfn, range->pages - 1, range->kind),
		-EINVAL);
	if (range->retired)
		assert_int_equal(
			iova_retire(model->space, cache, range->pfn, range->pages, range->kind),
			-EINVAL);
}

static void let_go(struct model *model, struct range *range)
{
	if (range->exact) {
		iova_give_back_at(model->space, range->pfn, range->pages);
		own(model, range->pfn, range->pages, FREE);
		range->pfn = 0;
		return;
	}
	if (!below(model, 4))
		refused(model, range);
	if (!range->retired) {
		assert_int_equal(iova_retire(model->space, any_cache(model), range->pfn,
					     range->pages, range->kind),
				 0);
		range->retired = true;
		if (!below(model, 4))
			return;
	}
	iova_give_back(model->space, any_cache(model), range->pfn, range->pages);
	own(model, range->pfn, occupies(range->pages), FREE);
	range->pfn = 0;
}

static void try_reserve(struct model *model)
{
	uint64_t first = below(model, LAST + 50);
	uint64_t last = first + below(model, 20);
	int expected = 0;
	uint64_t pfn;

	for (pfn = first; pfn <= last && pfn <= LAST; pfn++)
		if (pfn >= FIRST && model->owner[pfn] != FREE && model->owner[pfn] != RESERVED)
			expected = -EADDRINUSE;
	if (model->windows == 40)
		return;
	assert_int_equal(iova_reserve(model->space, first, last), expected);
	if (expected)
		return;
	model->windows++;
	for (pfn = first; pfn <= last && pfn <= LAST; pfn++)
		if (pfn >= FIRST)
			model->owner[pfn] = RESERVED;
}

static void one_call(struct model *model)
{
	uint32_t index = (uint32_t)below(model, RANGES);
	uint64_t choice = below(model, 1000);
	struct range *range = &model->range[index];

	if (choice < 2)
		try_reserve(model);
	else if (choice < 4)
		iova_cache_flush(model->space, model->cache[below(model, CACHES)]);
	else if (range->pfn)
		let_go(model, range);
	else if (choice < 100)
		try_exact(model, index);
	else
		try_alloc(model, index);
}

static void check_live(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind)
{
	struct model *model = arg;
	struct range *range;

	assert_in_range(pfn, FIRST, LAST);
	assert_in_range(model->owner[pfn], 1, RANGES);
	range = &model->range[model->owner[pfn] - 1];
	assert_int_equal(range->pfn, pfn);
	assert_int_equal(range->pages, pages);
	assert_int_equal(range->kind, kind);
	assert_false(range->retired);
}

static void check_tree_and_records(struct model *model)
{
	uint32_t i;

	iova_for_each_live(model->space, check_live, model);
	for (i = 0; i < RANGES; i++)
		if (model->range[i].pfn && !model->range[i].exact && !model->range[i].retired)
			assert_int_equal(iova_live(model->space, model->range[i].pfn, NULL),
					 model->range[i].pages);
}

static void agrees_with_the_model(void **state)
{
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	struct model *model = base_zalloc(sizeof(*model));
	uint64_t pfn;
	uint32_t i;

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	model->random = seed;
	model->space = space_open(FIRST, LAST);
	for (i = 0; i < CACHES; i++)
		model->cache[i] = cache_open(model->space);
	for (i = 0; i < OPERATIONS; i++) {
		one_call(model);
		if (i % 1000 == 0)
			check_tree_and_records(model);
	}
	for (i = 0; i < RANGES; i++)
		while (model->range[i].pfn)
			let_go(model, &model->range[i]);
	for (i = 0; i < CACHES; i++)
		iova_cache_flush(model->space, model->cache[i]);
	/* The depot's turn comes when the tree has no more. */
	assert_int_equal(take(model->space, NULL, LAST - FIRST + 1), 0);
	for (pfn = LAST; pfn >= FIRST; pfn--)
		if (model->owner[pfn] == FREE)
			assert_int_equal(iova_alloc(model->space, NULL, 1, 0, pfn, IOVA_STREAMING),
					 pfn);
	assert_int_equal(take(model->space, NULL, 1), 0);
	for (i = 0; i < CACHES; i++)
		cache_close(model->space, model->cache[i]);
	space_close(model->space);
	base_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
