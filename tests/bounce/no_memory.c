/* SPDX-License-Identifier: MIT */
/* Each allocation fails in turn: the call says so, and leaves nothing behind. */
#include "fixture.h"

static uint64_t mapped_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages * 4096ULL;
}

static void creating(void **state)
{
	static const uint64_t lasts[] = {0, DMA_BIT_MASK(32)};
	struct dma_bounce *untouched = (struct dma_bounce *)&lasts;
	uint64_t before;

	(void)state;
	pool_close(pool_open(MIB, MIB, 1));
	before = mapped_bytes();
	for (size_t i = 0; i < ARRAY_SIZE(lasts); i++) {
		/* Long enough to be seen, whatever the sanitizers map for themselves. */
		struct dma_bounce_desc desc = {
			.size = MIB, .max_size = 2048 * MIB, .last = lasts[i]};
		struct dma_bounce *pool = untouched;
		unsigned int nth = 0;
		int err;

		do {
			base_alloc_fail(++nth);
			err = dma_bounce_create(&desc, &pool);
			base_alloc_fail(0);
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(base_error_code(), -ENOMEM);
			assert_says("creating a pool");
			assert_ptr_equal(pool, untouched);
			assert_true(mapped_bytes() < before + 512 * MIB);
		} while (nth < 100);
		assert_in_range(nth, 4, 4);
		pool_close(pool);
		assert_true(mapped_bytes() < before + 512 * MIB);
	}
}

static void making_defaults(void **state)
{
	(void)state;
	for (unsigned int bits = 24; bits <= 64; bits += 8) {
		base_alloc_fail_from(1);
		assert_null(bounce_default(DMA_BIT_MASK(bits)));
		base_alloc_fail(0);
		assert_int_equal(base_error_code(), -ENOMEM);
		assert_non_null(bounce_default(DMA_BIT_MASK(bits)));
		base_alloc_fail_from(1);
		assert_non_null(bounce_default(DMA_BIT_MASK(bits)));
		base_alloc_fail(0);
		if (bits == 32)
			bits = 56;
	}
}

/* Lending, finding, copying and freeing need no memory at all. */
static void everything_else(void **state)
{
	struct dma_bounce *pool = pool_open(MIB, MIB, 4);
	unsigned char bytes[5000] = {0};
	phys_addr_t phys;

	(void)state;
	base_alloc_fail(0);
	for (size_t size = 1; size <= sizeof(bytes); size += 100) {
		phys = lend(pool, bytes, size);
		assert_int_equal(bounce_to_device(bounce_find(phys), phys, size), size);
		assert_int_equal(bounce_to_cpu(bounce_find(phys), phys, size), size);
		end(phys, true);
	}
	assert_int_equal(base_alloc_fail(0), 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
	assert_int_equal(base_alloc_fail(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creating),
		cmocka_unit_test(making_defaults),
		cmocka_unit_test(everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
