/* SPDX-License-Identifier: MIT */
/* What a description leaves open has a default; one that contradicts itself is refused. */
#include <unistd.h>

#include "fixture.h"

static void refused(struct dma_bounce_desc desc, const char *why)
{
	struct dma_bounce *untouched = (struct dma_bounce *)&desc;
	struct dma_bounce *pool = untouched;

	assert_int_equal(dma_bounce_create(&desc, &pool), -EINVAL);
	assert_ptr_equal(pool, untouched);
	assert_int_equal(base_error_code(), -EINVAL);
	assert_says(why);
	assert_int_equal(dma_bounce_set_defaults(&desc), -EINVAL);
}

static void contradictions(void **state)
{
	(void)state;
	refused((struct dma_bounce_desc){.size = 2 * MIB, .max_size = MIB}, "max_size");
	refused((struct dma_bounce_desc){.size = 101, .max_size = 100}, "max_size");
	refused((struct dma_bounce_desc){.size = MIB, .areas = 3}, "power of two");
	refused((struct dma_bounce_desc){.size = MIB, .areas = 512}, "power of two");
	refused((struct dma_bounce_desc){.size = MIB, .areas = UINT32_MAX}, "power of two");
	refused((struct dma_bounce_desc){.size = MIB, .last = MIB - 1}, "higher last");
	refused((struct dma_bounce_desc){.size = MIB, .last = MIB + SEGMENT - 2}, "higher last");
	refused((struct dma_bounce_desc){.last = DMA_BIT_MASK(24)}, "smaller size");
	refused((struct dma_bounce_desc){.size = 1, .last = 1}, "higher last");
	refused((struct dma_bounce_desc){.size = UINT64_MAX}, "smaller max_size");
	refused((struct dma_bounce_desc){.size = 1, .max_size = UINT64_MAX}, "smaller max_size");
	refused((struct dma_bounce_desc){.max_size = 1ULL << 42}, "smaller max_size");
}

static void check(struct dma_bounce_desc desc, uint64_t size, uint64_t max_size, unsigned int areas)
{
	struct dma_bounce *pool;

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	assert_int_equal(stats_of(pool).size, size);
	assert_int_equal(stats_of(pool).max_size, max_size);
	if (areas)
		assert_int_equal(stats_of(pool).areas, areas);
	assert_true(is_power_of_two(stats_of(pool).areas));
	pool_close(pool);
}

static void what_is_left_open(void **state)
{
	struct dma_bounce *pool;

	(void)state;
	check((struct dma_bounce_desc){0}, 64 * MIB, 1024 * MIB, 0);
	check((struct dma_bounce_desc){.size = MIB}, MIB, 1024 * MIB, 0);
	check((struct dma_bounce_desc){.size = 2048 * MIB}, 2048 * MIB, 2048 * MIB, 0);
	check((struct dma_bounce_desc){.max_size = MIB}, MIB, MIB, 0);
	check((struct dma_bounce_desc){.max_size = 100 * MIB}, 64 * MIB, 100 * MIB, 0);
	/* Whole segments. */
	check((struct dma_bounce_desc){.size = 1, .max_size = SEGMENT + 1}, SEGMENT, 2 * SEGMENT,
	      1);
	/* No area without a segment. */
	check((struct dma_bounce_desc){.size = 3 * SEGMENT, .areas = 16}, 3 * SEGMENT, 1024 * MIB,
	      2);
	check((struct dma_bounce_desc){.areas = 256}, 64 * MIB, 1024 * MIB, 256);
	check((struct dma_bounce_desc){.areas = 64}, 64 * MIB, 1024 * MIB, 64);
	assert_int_equal(dma_bounce_create(NULL, &pool), 0);
	assert_int_equal(stats_of(pool).size, 64 * MIB);
	assert_true(stats_of(pool).areas >= 1 &&
		    stats_of(pool).areas < 2U * (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
	pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contradictions),
		cmocka_unit_test(what_is_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
