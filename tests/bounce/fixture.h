/* SPDX-License-Identifier: MIT */
/* What the tests of the bounce room share: pools, memory to bounce, and its end. */
#ifndef TESTS_BOUNCE_FIXTURE_H
#define TESTS_BOUNCE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <twostep/error.h>

#include "bounce/bounce.h"

#include "../race.h"
#include "../slow.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define SLOT ((uint64_t)DMA_BOUNCE_SLOT)
#define SEGMENT ((uint64_t)DMA_BOUNCE_SEGMENT)
#define NO_BOUNDARY UINT64_MAX

static inline struct dma_bounce *pool_open(uint64_t size, uint64_t max_size, unsigned int areas)
{
	struct dma_bounce_desc desc = {.size = size, .max_size = max_size, .areas = areas};
	struct dma_bounce *pool = NULL;

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	assert_non_null(pool);
	return pool;
}

static inline void pool_close(struct dma_bounce *pool)
{
	assert_int_equal(dma_bounce_destroy(pool), 0);
}

static inline struct dma_bounce_stats stats_of(const struct dma_bounce *pool)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(pool, &stats);
	return stats;
}

/* Memory of @size bytes at a multiple of a segment. */
static inline unsigned char *memory_open(size_t size)
{
	unsigned char *memory = aligned_alloc(SEGMENT, align_up(size, SEGMENT));

	assert_non_null(memory);
	for (size_t i = 0; i < size; i++)
		memory[i] = (unsigned char)(i * 7 + i / 251 + 1);
	return memory;
}

static inline struct bounce_request request_of(const void *memory, size_t size)
{
	return (struct bounce_request){
		.phys = (uintptr_t)memory,
		.cpu = (void *)(uintptr_t)memory,
		.size = size,
		.boundary = NO_BOUNDARY,
		.dir = DMA_BIDIRECTIONAL,
	};
}

static inline phys_addr_t lend(struct dma_bounce *pool, const void *memory, size_t size)
{
	struct bounce_request request = request_of(memory, size);

	return bounce_map(pool, &request);
}

static inline unsigned char *bytes_at(phys_addr_t phys)
{
	return (unsigned char *)(uintptr_t)phys;
}

static inline void end(phys_addr_t phys, bool copy_back)
{
	struct bounce_list list = {NULL};
	struct bounce_mapping *mapping = bounce_find(phys);

	assert_non_null(mapping);
	bounce_list_add(&list, mapping, copy_back);
	bounce_list_finish(&list);
	assert_null(list.first);
}

static inline void assert_says(const char *part)
{
	if (!strstr(dma_last_error(), part))
		fail_msg("\"%s\" does not say \"%s\"", dma_last_error(), part);
}

static inline bool all_zero(const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static inline uint64_t seed_of_run(void)
{
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 0;
	int here;

	if (!seed)
		seed = ((uint64_t)(uintptr_t)&here ^ 0x9e3779b97f4a7c15ULL) *
			       0xbf58476d1ce4e5b9ULL |
		       1;
	printf("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	return seed;
}

#endif
