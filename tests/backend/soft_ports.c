/* SPDX-License-Identifier: MIT */
/* Ports come and go while the space is in use. */
#include <pthread.h>

#include "backend/soft/space.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

static void reopened_port_knows_nothing_of_the_last(void **state)
{
	struct pgt_removed removed;
	struct dma_port *first, *second;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	first = open_port(fx.be, 16, 4, 1);
	assert_reads(first, IOVA, 0);
	fx.be->ops->port_close(fx.be, first);
	unlink_untold(fx.be, IOVA, PAGE, &removed);
	second = open_port(fx.be, 256, 16, 2);
	/* The structure is used again; number, geometry, cache and figures are new. */
	assert_ptr_equal(first, second);
	assert_int_equal(second->number, 2);
	assert_int_equal(stats_of(second).iotlb_misses, 0);
	assert_refused(second, IOVA);
	assert_int_equal(only_fault(fx.be).device, 2);
	fx.be->ops->port_close(fx.be, second);
	fixture_close(&fx);
}

static void space_closes_with_ports_never_opened_again(void **state)
{
	struct dma_port *ports[5];
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	for (uint32_t i = 0; i < 5; i++)
		ports[i] = open_port(fx.be, 1U << i, 1, i + 1);
	for (uint32_t i = 0; i < 5; i++)
		fx.be->ops->port_close(fx.be, ports[i]);
	invalidate(fx.be, IOVA, PAGE);
	fx.be->ops->drain(fx.be);
	fixture_close(&fx);
}

struct churn {
	struct backend *be;
	bool stop;
	unsigned int wrong;
};

static void *open_use_close(void *arg)
{
	struct churn *churn = arg;
	struct port_options options = {.iotlb_entries = 16, .iotlb_ways = 4};

	while (!__atomic_load_n(&churn->stop, __ATOMIC_RELAXED)) {
		struct dma_port *port;
		uint8_t byte;

		if (churn->be->ops->port_open(churn->be, &options, 9, &port)) {
			churn->wrong++;
			continue;
		}
		for (unsigned int i = 0; i < 20; i++)
			dma_bus_read(port, IOVA, &byte, 1);
		churn->be->ops->port_close(churn->be, port);
	}
	return NULL;
}

static void invalidations_run_while_ports_come_and_go(void **state)
{
	struct churn churns[2] = {0};
	pthread_t threads[2];
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	for (unsigned int i = 0; i < 2; i++) {
		churns[i].be = fx.be;
		assert_int_equal(pthread_create(&threads[i], NULL, open_use_close, &churns[i]), 0);
	}
	for (unsigned int round = 0; round < 3000 / SLOW; round++) {
		link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
		assert_reads(fx.port, IOVA, 0);
		unlink_strict(fx.be, IOVA, PAGE);
		/* No port may be reading this any more. */
		fx.memory[0] = (uint8_t)round;
		assert_refused(fx.port, IOVA);
		fx.memory[0] = 0;
	}
	for (unsigned int i = 0; i < 2; i++) {
		__atomic_store_n(&churns[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		assert_int_equal(churns[i].wrong, 0);
	}
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reopened_port_knows_nothing_of_the_last),
		cmocka_unit_test(space_closes_with_ports_never_opened_again),
		cmocka_unit_test(invalidations_run_while_ports_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
