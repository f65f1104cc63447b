/* SPDX-License-Identifier: MIT */
/* Whose is an address: inside a buffer, in its padding, outside, after it is freed. */
#include "fixture.h"

static void nothing_without_pools(void **state)
{
	(void)state;
	assert_null(bounce_find(0));
	assert_null(bounce_find((uintptr_t)&state));
	assert_null(bounce_find(UINT64_MAX));
}

static void inside_and_outside(void **state)
{
	struct dma_bounce *pool = pool_open(2 * SEGMENT, 4 * SEGMENT, 2);
	unsigned char *memory = memory_open(SEGMENT);
	phys_addr_t first = lend(pool, memory, 1);
	phys_addr_t start = bounce_last(pool) + 1 - 4 * SEGMENT;
	phys_addr_t phys[] = {first, lend(pool, memory + 100, 3 * SLOT),
			      lend(pool, memory + 200, SLOT)};
	size_t sizes[] = {1, 3 * SLOT, SLOT};
	unsigned int slots = 0;

	(void)state;
	assert_true(phys[0] < start + 2 * SEGMENT);
	for (size_t i = 0; i < 3; i++) {
		struct bounce_mapping *mapping = bounce_find(phys[i]);

		assert_int_equal(bounce_start(mapping), phys[i]);
		assert_int_equal(bounce_origin(mapping), (uintptr_t)memory + 100 * i);
		for (size_t at = 0; at < align_up(sizes[i], SLOT); at += 16)
			assert_ptr_equal(bounce_find(phys[i] + at), mapping);
	}
	/* Every slot of the reserved space, grown or not, and its surroundings. */
	for (uint64_t at = start - 2 * SEGMENT; at < start + 6 * SEGMENT; at += SLOT)
		slots += !!bounce_find(at);
	assert_int_equal(slots, stats_of(pool).used / SLOT);
	assert_null(bounce_find((uintptr_t)memory));
	assert_null(bounce_find(start - 1));
	assert_null(bounce_find(bounce_last(pool) + 1));
	end(phys[1] + 2 * SLOT + 5, true);
	assert_null(bounce_find(phys[1]));
	assert_null(bounce_find(phys[1] + 2 * SLOT));
	assert_int_equal(bounce_start(bounce_find(phys[2])), phys[2]);
	end(phys[0], true);
	end(phys[2], true);
	pool_close(pool);
	assert_null(bounce_find(phys[0]));
	free(memory);
}

static void padding_belongs_to_it(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	unsigned char *memory = memory_open(SEGMENT);
	struct bounce_request request = request_of(memory + 0x1900, 100);
	struct bounce_mapping *mapping;
	phys_addr_t phys;

	(void)state;
	request.min_align_mask = 8191;
	request.alloc_align_mask = 8191;
	phys = bounce_map(pool, &request);
	mapping = bounce_find(phys);
	assert_int_equal(phys & 8191, 0x1900);
	for (uint64_t at = 0; at < 8192; at += 64)
		assert_ptr_equal(bounce_find(align_down(phys, 8192) + at), mapping);
	/* Through its padding it is freed as well. */
	end(align_down(phys, 8192), true);
	for (uint64_t at = 0; at < 8192; at += 64)
		assert_null(bounce_find(align_down(phys, 8192) + at));
	assert_int_equal(stats_of(pool).used, 0);
	free(memory);
	pool_close(pool);
}

static void one_pool_of_many(void **state)
{
	static struct dma_bounce *pool[64];
	static phys_addr_t phys[64];
	struct dma_bounce_desc desc = {.size = SEGMENT, .max_size = SEGMENT};
	struct dma_bounce *more = NULL;
	unsigned char *memory = memory_open(SEGMENT);

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		pool[i] = pool_open(SEGMENT, SEGMENT, 1);
		phys[i] = lend(pool[i], memory + i, 10);
	}
	assert_int_equal(dma_bounce_create(&desc, &more), -ENOSPC);
	assert_null(more);
	assert_says("64 pools");
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(bounce_origin(bounce_find(phys[i])), (uintptr_t)memory + i);
	/* Entries are used again, and those of others stay. */
	for (size_t i = 0; i < 64; i += 3) {
		end(phys[i], false);
		pool_close(pool[i]);
		assert_null(bounce_find(phys[i]));
	}
	for (size_t i = 0; i < 64; i += 3) {
		pool[i] = pool_open(SEGMENT, 2 * SEGMENT, 1);
		phys[i] = lend(pool[i], memory + i, 10);
	}
	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(bounce_origin(bounce_find(phys[i])), (uintptr_t)memory + i);
		end(phys[i], false);
		pool_close(pool[i]);
	}
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_without_pools),
		cmocka_unit_test(inside_and_outside),
		cmocka_unit_test(padding_belongs_to_it),
		cmocka_unit_test(one_pool_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
