/* SPDX-License-Identifier: MIT */
/* Atomic operations of devices are atomic against each other and against the CPU. */
#include <pthread.h>

#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define ADDITIONS (20000 / SLOW)

static void results_by_size(void **state)
{
	uint64_t word, old, expected, desired;
	uint32_t expected4, desired4;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	word = 0xffffffff00000001ULL;
	memcpy(fx.memory + 8, &word, sizeof(word));

	/* Four bytes: the sum wraps in them and does not reach the next four. */
	assert_int_equal(dma_bus_fetch_add(fx.port, IOVA + 8, 4, 0xffffffff, &old), 0);
	assert_int_equal(old, 1);
	memcpy(&word, fx.memory + 8, sizeof(word));
	assert_int_equal(word, 0xffffffff00000000ULL);
	assert_int_equal(dma_bus_fetch_add(fx.port, IOVA + 8, 8, 0x100000001ULL, NULL), 0);
	memcpy(&word, fx.memory + 8, sizeof(word));
	assert_int_equal(word, 1);

	expected4 = 2;
	desired4 = 7;
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA + 8, 4, &expected4, &desired4), 0);
	assert_int_equal(expected4, 1);
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA + 8, 4, &expected4, &desired4), 1);
	assert_int_equal(expected4, 1);
	expected = 7;
	desired = 0x1122334455667788ULL;
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA + 8, 8, &expected, &desired), 1);
	memcpy(&word, fx.memory + 8, sizeof(word));
	assert_int_equal(word, desired);
	expected = 5;
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA + 8, 8, &expected, &desired), 0);
	assert_int_equal(expected, desired);
	fixture_close(&fx);
}

static void misaligned_is_a_fault(void **state)
{
	uint64_t expected = 0, desired = 1, old = 77;
	struct dma_fault fault;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_bus_fetch_add(fx.port, IOVA + 4, 8, 1, &old), -EFAULT);
	fault = only_fault(fx.be);
	assert_int_equal(fault.reason, DMA_FAULT_MISALIGNED);
	assert_true(fault.write);
	assert_int_equal(fault.addr, IOVA + 4);
	assert_int_equal(old, 77);
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA + 2, 4, &expected, &desired), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MISALIGNED);
	assert_int_equal(expected, 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(fx.memory[i], 0);
	assert_int_equal(stats_of(fx.port).faults, 2);
	fixture_close(&fx);
}

static void nothing_linked_is_a_fault(void **state)
{
	uint64_t expected = 3, desired = 1;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA, 8, &expected, &desired), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_NOT_PRESENT);
	assert_int_equal(expected, 3);
	fixture_close(&fx);
}

struct adder {
	struct dma_port *port;
	pthread_t thread;
	bool by_exchange;
};

static void *add(void *arg)
{
	struct adder *adder = arg;
	uint64_t expected = 0;

	for (unsigned int i = 0; i < ADDITIONS; i++) {
		if (!adder->by_exchange) {
			dma_bus_fetch_add(adder->port, IOVA, 8, 1, NULL);
			continue;
		}
		for (;;) {
			uint64_t desired = expected + 1;

			if (dma_bus_cmpxchg(adder->port, IOVA, 8, &expected, &desired))
				break;
		}
	}
	return NULL;
}

static void sums_come_out_right(void **state)
{
	struct adder adders[3] = {0};
	uint64_t *word;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	word = (uint64_t *)fx.memory;
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	for (unsigned int i = 0; i < 3; i++) {
		adders[i].port = i == 2 ? open_port(fx.be, 16, 4, 1) : fx.port;
		adders[i].by_exchange = i == 1;
		assert_int_equal(pthread_create(&adders[i].thread, NULL, add, &adders[i]), 0);
	}
	for (unsigned int i = 0; i < ADDITIONS; i++)
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(adders[i].thread, NULL);
	assert_int_equal(*word, 4 * ADDITIONS);
	fx.be->ops->port_close(fx.be, adders[2].port);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_by_size),
		cmocka_unit_test(misaligned_is_a_fault),
		cmocka_unit_test(nothing_linked_is_a_fault),
		cmocka_unit_test(sums_come_out_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
