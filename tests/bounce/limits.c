/* SPDX-License-Identifier: MIT */
/* The longest buffer works exactly; one byte more is refused with a sentence of its own. */
#include "fixture.h"

static void longest_and_one_more(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	unsigned char *memory = memory_open(3 * SEGMENT);
	uint64_t refused = 0;

	(void)state;
	for (uint64_t min = 0; min < SEGMENT / 2; min = min * 2 + 1) {
		size_t max = SEGMENT - align_up(min, SLOT);

		assert_int_equal(bounce_max_size(min), max);
		for (uint64_t alloc = 0; alloc < SEGMENT; alloc = alloc * 2 + 1) {
			/* The worst place: all bits that are kept are set. */
			struct bounce_request request = request_of(memory + min, max);
			phys_addr_t phys;

			request.min_align_mask = min;
			request.alloc_align_mask = alloc;
			phys = bounce_map(pool, &request);
			assert_int_not_equal(phys, BOUNCE_NONE);
			assert_int_equal(phys & min, min);
			assert_memory_equal(bytes_at(phys), memory + min, max);
			end(phys, true);
			request.size++;
			assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
			assert_int_equal(base_error_code(), -ENOMEM);
			assert_says("in pieces");
			assert_int_equal(stats_of(pool).failed_size, ++refused);
			assert_int_equal(stats_of(pool).failed, refused);
			assert_int_equal(stats_of(pool).failed_full, 0);
			assert_int_equal(stats_of(pool).used, 0);
		}
	}
	free(memory);
	pool_close(pool);
}

static void the_kernels_figures(void **state)
{
	(void)state;
	assert_int_equal(bounce_max_size(0), 262144);
	assert_int_equal(bounce_max_size(4095), 258048);
	assert_int_equal(bounce_max_size(SEGMENT - 1), 0);
	assert_int_equal(bounce_max_size(SEGMENT), 0);
	assert_int_equal(bounce_max_size(UINT64_MAX), 0);
}

static void nothing_is_as_wide(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	unsigned char *memory = memory_open(SEGMENT);
	struct bounce_request request = request_of(memory, 0);

	(void)state;
	assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
	assert_says("bouncing 0 bytes");
	request.size = SIZE_MAX;
	assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
	request.size = 1;
	request.min_align_mask = SEGMENT - 1;
	assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
	assert_says("alignment mask");
	request.min_align_mask = 0;
	request.alloc_align_mask = 2 * SEGMENT - 1;
	assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
	assert_says("granule");
	request.alloc_align_mask = UINT64_MAX;
	assert_int_equal(bounce_map(pool, &request), BOUNCE_NONE);
	assert_int_equal(stats_of(pool).failed_size, 5);
	free(memory);
	pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_and_one_more),
		cmocka_unit_test(the_kernels_figures),
		cmocka_unit_test(nothing_is_as_wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
