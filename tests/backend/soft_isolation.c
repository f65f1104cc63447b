/* SPDX-License-Identifier: MIT */
/* Invalidations cost only the space and the addresses that they name. */
#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define PAGES 32

static void touch(struct dma_port *port)
{
	for (uint64_t i = 0; i < PAGES; i++)
		assert_reads(port, IOVA + i * PAGE, 0);
}

static void other_space_keeps_its_hits(void **state)
{
	struct fixture busy, calm;

	(void)state;
	fixture_open(&busy);
	fixture_open(&calm);
	link_memory(busy.be, IOVA, busy.memory, PAGES * PAGE, DMA_TO_DEVICE);
	link_memory(calm.be, IOVA, calm.memory, PAGES * PAGE, DMA_TO_DEVICE);
	touch(calm.port);
	for (unsigned int i = 0; i < 10000; i++) {
		invalidate(busy.be, IOVA + i % PAGES * PAGE, PAGE);
		if (i % 100 == 0) {
			touch(busy.port);
			touch(calm.port);
		}
	}
	assert_int_equal(stats_of(calm.port).iotlb_misses, PAGES);
	assert_int_equal(stats_of(calm.port).iotlb_hits, 100 * PAGES);
	assert_int_equal(stats_of(calm.port).iotlb_invalidated, 0);
	assert_in_range(stats_of(busy.port).iotlb_misses, 100 * PAGES - PAGES, 101 * PAGES);
	fixture_close(&busy);
	fixture_close(&calm);
}

static void other_addresses_keep_their_hits(void **state)
{
	struct dma_port *second;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	second = open_port(fx.be, 64, 4, 1);
	link_memory(fx.be, IOVA, fx.memory, PAGES * PAGE, DMA_TO_DEVICE);
	touch(fx.port);
	touch(second);
	for (unsigned int i = 0; i < 10000; i++) {
		invalidate(fx.be, IOVA + (PAGES + i % 500) * PAGE, PAGE);
		if (i % 100 == 0) {
			touch(fx.port);
			touch(second);
		}
	}
	assert_int_equal(stats_of(fx.port).iotlb_misses, PAGES);
	assert_int_equal(stats_of(second).iotlb_misses, PAGES);
	fx.be->ops->port_close(fx.be, second);
	fixture_close(&fx);
}

static void same_address_in_another_space_is_another_page(void **state)
{
	struct fixture one, two;

	(void)state;
	fixture_open(&one);
	fixture_open(&two);
	one.memory[0] = 1;
	two.memory[0] = 2;
	link_memory(one.be, IOVA, one.memory, PAGE, DMA_TO_DEVICE);
	assert_refused(two.port, IOVA);
	link_memory(two.be, IOVA, two.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(one.port, IOVA, 1);
	assert_reads(two.port, IOVA, 2);
	assert_int_equal(one.be->ops->faults(one.be), 0);
	assert_int_equal(two.be->ops->faults(two.be), 1);
	fixture_close(&one);
	fixture_close(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_space_keeps_its_hits),
		cmocka_unit_test(other_addresses_keep_their_hits),
		cmocka_unit_test(same_address_in_another_space_is_another_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
