/* SPDX-License-Identifier: MIT */
/* A pool grows up to its limit, then refuses, and lends again what is freed. */
#include "fixture.h"

#define MAX_SEGMENTS 16

static unsigned char *memory;
static phys_addr_t lent[MAX_SEGMENTS * 128];

static size_t fill(struct dma_bounce *pool, size_t size)
{
	size_t nr = 0;

	while (nr < ARRAY_SIZE(lent)) {
		lent[nr] = lend(pool, memory, size);
		if (lent[nr] == BOUNCE_NONE)
			break;
		nr++;
	}
	return nr;
}

static void free_all(size_t nr)
{
	while (nr)
		end(lent[--nr], false);
}

static void full_and_free_again(void **state)
{
	static const unsigned int areas[] = {1, 2, 4};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		struct dma_bounce *pool = pool_open(4 * SEGMENT, 4 * SEGMENT, areas[i]);

		assert_int_equal(stats_of(pool).areas, areas[i]);
		assert_int_equal(fill(pool, SLOT), 4 * 128);
		assert_int_equal(stats_of(pool).used, 4 * SEGMENT);
		assert_int_equal(stats_of(pool).high_water, 4 * SEGMENT);
		assert_int_equal(stats_of(pool).maps, 4 * 128);
		assert_int_equal(stats_of(pool).failed, 1);
		assert_int_equal(stats_of(pool).failed_full, 1);
		assert_int_equal(stats_of(pool).failed_size, 0);
		assert_int_equal(base_error_code(), -ENOMEM);
		assert_says("cannot grow");
		for (size_t at = 0; at < 4 * 128; at += 37) {
			phys_addr_t freed = lent[at];

			end(freed, false);
			lent[at] = lend(pool, memory, SLOT);
			assert_int_equal(lent[at], freed);
			assert_int_equal(lend(pool, memory, 1), BOUNCE_NONE);
		}
		free_all(4 * 128);
		assert_int_equal(stats_of(pool).used, 0);
		assert_int_equal(stats_of(pool).high_water, 4 * SEGMENT);
		/* Whole again: no two runs are left apart. */
		assert_int_equal(fill(pool, SEGMENT), 4);
		free_all(4);
		pool_close(pool);
	}
}

/* Every second slot is free: half of the pool, and no room for two slots. */
static void fragments(void **state)
{
	struct dma_bounce *pool = pool_open(2 * SEGMENT, 2 * SEGMENT, 2);

	(void)state;
	assert_int_equal(fill(pool, SLOT), 2 * 128);
	for (size_t i = 0; i < 2 * 128; i++)
		if (lent[i] / SLOT % 2)
			end(lent[i], false);
	assert_int_equal(lend(pool, memory, 2 * SLOT - 1), BOUNCE_NONE);
	assert_int_equal(stats_of(pool).used, SEGMENT);
	for (size_t i = 0; i < 2 * 128; i++)
		if (lent[i] / SLOT % 2)
			assert_int_not_equal(lent[i] = lend(pool, memory, 1), BOUNCE_NONE);
	assert_int_equal(lend(pool, memory, 1), BOUNCE_NONE);
	free_all(2 * 128);
	pool_close(pool);
}

static void grows_to_its_limit(void **state)
{
	struct dma_bounce *pool = pool_open(3 * SEGMENT, 10 * SEGMENT, 2);
	size_t nr;

	(void)state;
	assert_int_equal(stats_of(pool).size, 3 * SEGMENT);
	assert_int_equal(stats_of(pool).max_size, 10 * SEGMENT);
	for (nr = 0; nr < 10; nr++) {
		lent[nr] = lend(pool, memory, SEGMENT);
		assert_int_not_equal(lent[nr], BOUNCE_NONE);
		/* By what it began with, and no farther than it may. */
		assert_int_equal(stats_of(pool).size, (nr < 9 ? nr / 3 * 3 + 3 : 10) * SEGMENT);
		assert_int_equal(stats_of(pool).grown, nr / 3);
		memset(bytes_at(lent[nr]), (int)nr, SEGMENT);
	}
	assert_int_equal(lend(pool, memory, 1), BOUNCE_NONE);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(*bytes_at(lent[i] + SEGMENT - 1), i);
	free_all(nr);
	/* What it has grown to it keeps. */
	assert_int_equal(stats_of(pool).size, 10 * SEGMENT);
	assert_int_equal(fill(pool, SEGMENT), 10);
	free_all(10);
	pool_close(pool);
}

/* The system has less than the pool wants: it grows by less. */
static void grows_by_what_there_is(void **state)
{
	struct dma_bounce *pool = pool_open(16 * SEGMENT, 64 * SEGMENT, 1);
	phys_addr_t phys;

	(void)state;
	assert_int_equal(fill(pool, SEGMENT), 64);
	free_all(64);
	pool_close(pool);

	pool = pool_open(16 * SEGMENT, 64 * SEGMENT, 1);
	for (size_t i = 0; i < 16; i++)
		lent[i] = lend(pool, memory, SEGMENT);
	base_alloc_fail(1);
	phys = lend(pool, memory, SEGMENT);
	base_alloc_fail(0);
	assert_int_not_equal(phys, BOUNCE_NONE);
	assert_int_equal(stats_of(pool).size, 24 * SEGMENT);
	end(phys, false);
	free_all(16);
	pool_close(pool);
}

static void cannot_grow_without_memory(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, 2 * SEGMENT, 1);
	phys_addr_t phys = lend(pool, memory, SEGMENT);
	phys_addr_t more;

	(void)state;
	base_alloc_fail_from(1);
	assert_int_equal(lend(pool, memory, 1), BOUNCE_NONE);
	base_alloc_fail(0);
	assert_int_equal(stats_of(pool).failed_full, 1);
	assert_int_equal(stats_of(pool).size, SEGMENT);
	more = lend(pool, memory, 1);
	assert_int_not_equal(more, BOUNCE_NONE);
	end(more, false);
	end(phys, false);
	pool_close(pool);
}

/* The device that no slot suits does not make others think that the segment is full. */
static void what_suits_nobody_else(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	struct bounce_request request = request_of(memory + SLOT, 1);
	size_t nr;

	(void)state;
	request.min_align_mask = 4095;
	for (nr = 0; (lent[nr] = bounce_map(pool, &request)) != BOUNCE_NONE; nr++)
		assert_int_equal(lent[nr] & 4095, SLOT);
	assert_int_equal(nr, 64);
	for (; (lent[nr] = lend(pool, memory, 1)) != BOUNCE_NONE; nr++)
		;
	assert_int_equal(nr, 128);
	free_all(nr);
	pool_close(pool);
}

static int setup(void **state)
{
	(void)state;
	memory = memory_open(2 * SEGMENT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_and_free_again),
		cmocka_unit_test(fragments),
		cmocka_unit_test(grows_to_its_limit),
		cmocka_unit_test(grows_by_what_there_is),
		cmocka_unit_test(cannot_grow_without_memory),
		cmocka_unit_test(what_suits_nobody_else),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
