/* SPDX-License-Identifier: MIT */
/* A pool that is in use stays; one that is not gives its address space back. */
#include <sys/mman.h>

#include "fixture.h"

static void while_a_buffer_is_lent(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	unsigned char byte = 7;
	phys_addr_t phys = lend(pool, &byte, 1);

	(void)state;
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	assert_says("2048 bytes");
	assert_int_equal(*bytes_at(phys), 7);
	end(phys, true);
	assert_int_equal(dma_bounce_destroy(pool), 0);
}

static void while_a_device_has_it(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);

	(void)state;
	bounce_get(pool);
	bounce_get(pool);
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	assert_says("2 devices");
	bounce_put(pool);
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	bounce_put(pool);
	assert_int_equal(dma_bounce_destroy(pool), 0);
}

static void twice(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);

	(void)state;
	assert_int_equal(dma_bounce_destroy(NULL), 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
	assert_int_equal(dma_bounce_destroy(pool), -EINVAL);
	assert_says("before");
}

static void the_space_is_free_again(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, 4 * SEGMENT, 1);
	uint64_t start = bounce_last(pool) + 1 - 4 * SEGMENT;
	void *got;

	(void)state;
	pool_close(pool);
	got = mmap((void *)start, 4 * SEGMENT, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(got, (void *)start);
	/* It is ordinary memory now. */
	assert_null(bounce_find(start));
	munmap(got, 4 * SEGMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_a_buffer_is_lent),
		cmocka_unit_test(while_a_device_has_it),
		cmocka_unit_test(twice),
		cmocka_unit_test(the_space_is_free_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
