/* SPDX-License-Identifier: MIT */
/* What the tests of the iova room share: spaces to try things in. */
#ifndef TESTS_IOVA_SPACE_H
#define TESTS_IOVA_SPACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "iova/iova.h"

/* A 48-bit address space in granules of 4 KiB, without the first. */
#define LAST_48 ((1ULL << 36) - 1)
#define NO_LIMIT UINT64_MAX

static inline struct iova_space *space_open(uint64_t first_pfn, uint64_t last_pfn)
{
	struct iova_space *space = base_zalloc(sizeof(*space));

	assert_non_null(space);
	assert_int_equal(iova_space_init(space, first_pfn, last_pfn), 0);
	return space;
}

static inline void space_close(struct iova_space *space)
{
	iova_space_exit(space);
	base_free(space);
}

static inline struct iova_cache *cache_open(struct iova_space *space)
{
	struct iova_cache *cache = base_zalloc(sizeof(*cache));

	assert_non_null(cache);
	iova_cache_init(space, cache);
	return cache;
}

static inline void cache_close(struct iova_space *space, struct iova_cache *cache)
{
	iova_cache_flush(space, cache);
	base_free(cache);
}

static inline uint64_t take(struct iova_space *space, struct iova_cache *cache, uint64_t pages)
{
	return iova_alloc(space, cache, pages, 0, NO_LIMIT, IOVA_TWO_STEP);
}

static inline void give(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
			uint64_t pages)
{
	assert_int_equal(iova_retire(space, cache, pfn, pages, IOVA_TWO_STEP), 0);
	iova_give_back(space, cache, pfn, pages);
}

/* Numbers that depend on the seed alone. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

#endif
