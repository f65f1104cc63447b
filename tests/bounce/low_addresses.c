/* SPDX-License-Identifier: MIT */
/* Pools for devices that reach only low addresses: every byte is at most the last. */
#include "fixture.h"

static void check(uint64_t last, uint64_t size, uint64_t max_size)
{
	struct dma_bounce_desc desc = {
		.size = size, .max_size = max_size, .last = last, .areas = 2};
	unsigned char *memory = memory_open(SEGMENT);
	struct dma_bounce *pool;
	uint64_t bytes = 0;
	phys_addr_t phys;

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	assert_true(bounce_last(pool) <= last);
	assert_true(stats_of(pool).size >= size);
	assert_true(stats_of(pool).max_size >= size && stats_of(pool).max_size <= max_size);
	while ((phys = lend(pool, memory, SEGMENT)) != BOUNCE_NONE) {
		assert_true(phys + SEGMENT - 1 <= bounce_last(pool));
		assert_true(phys + SEGMENT - 1 <= last);
		assert_memory_equal(bytes_at(phys), memory, SEGMENT);
		bytes += SEGMENT;
	}
	assert_int_equal(bytes, stats_of(pool).max_size);
	for (phys = bounce_last(pool) + 1 - bytes; phys < bounce_last(pool); phys += SEGMENT)
		end(phys, false);
	pool_close(pool);
	free(memory);
}

static void below_each_power(void **state)
{
	(void)state;
	for (unsigned int bits = 23; bits <= 46; bits++)
		check(DMA_BIT_MASK(bits), MIB, 2 * MIB);
	check(UINT64_MAX, MIB, 2 * MIB);
}

static void below_odd_addresses(void **state)
{
	(void)state;
	check(0xfffffffe, MIB, 2 * MIB);
	check(0x12345678, MIB, 2 * MIB);
	check(0xffffff00000, MIB, 2 * MIB);
}

/* The limit that is wished for does not fit below, so it becomes lower. */
static void the_limit_gives_way(void **state)
{
	(void)state;
	check(DMA_BIT_MASK(24), 2 * MIB, 64 * MIB);
	check(DMA_BIT_MASK(26), 4 * MIB, 8ULL << 30);
}

static void no_space(void **state)
{
	struct dma_bounce_desc desc = {
		.size = 5 * MIB, .max_size = 5 * MIB, .last = DMA_BIT_MASK(24)};
	struct dma_bounce *pool[4] = {NULL};
	size_t nr = 0;
	int err;

	(void)state;
	while (nr < 4 && !(err = dma_bounce_create(&desc, &pool[nr])))
		nr++;
	assert_in_range(nr, 1, 3);
	assert_int_equal(err, -ENOSPC);
	assert_null(pool[nr]);
	assert_says("0xffffff");
	while (nr)
		pool_close(pool[--nr]);
	assert_int_equal(dma_bounce_create(&desc, &pool[0]), 0);
	pool_close(pool[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(below_each_power),
		cmocka_unit_test(below_odd_addresses),
		cmocka_unit_test(the_limit_gives_way),
		cmocka_unit_test(no_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
