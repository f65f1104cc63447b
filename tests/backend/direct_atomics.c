/* SPDX-License-Identifier: MIT */
/* A device's atomics are atomic against the CPU, and aligned. */
#include <pthread.h>

#include "direct_fixture.h"

static void compare_and_exchange(void **state)
{
	uint64_t memory[2] = {0x1111111122222222, 5};
	uint32_t expected = 1;
	uint32_t desired = 0x33333333;
	uint64_t wide_expected = 4;
	uint64_t wide_desired = 9;

	(void)state;
	assert_int_equal(dma_bus_cmpxchg(port, at(memory), 4, &expected, &desired), 0);
	assert_int_equal(expected, 0x22222222);
	assert_int_equal(dma_bus_cmpxchg(port, at(memory), 4, &expected, &desired), 1);
	assert_int_equal(memory[0], 0x1111111133333333);
	assert_int_equal(dma_bus_cmpxchg(port, at(&memory[1]), 8, &wide_expected, &wide_desired),
			 0);
	assert_int_equal(wide_expected, 5);
	assert_int_equal(memory[1], 5);
	assert_int_equal(dma_bus_cmpxchg(port, at(&memory[1]), 8, &wide_expected, &wide_desired),
			 1);
	assert_int_equal(memory[1], 9);
	no_fault();
}

static void addition(void **state)
{
	uint64_t memory[2] = {0x11111111ffffffff, 5};
	uint64_t old = 0;

	(void)state;
	assert_int_equal(dma_bus_fetch_add(port, at(memory), 4, 2, &old), 0);
	assert_int_equal(old, 0xffffffff);
	assert_int_equal(memory[0], 0x1111111100000001);
	assert_int_equal(dma_bus_fetch_add(port, at(&memory[1]), 8, UINT64_MAX, NULL), 0);
	assert_int_equal(memory[1], 4);
	no_fault();
}

static void in_registered_memory(void **state)
{
	static uint64_t memory[512] __attribute__((__aligned__(4096)));
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = memory};
	uint64_t old = 0;
	phys_addr_t base;

	(void)state;
	memory[3] = 40;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(dma_bus_fetch_add(port, base + 24, 8, 2, &old), 0);
	assert_int_equal(old, 40);
	assert_int_equal(memory[3], 42);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void misaligned(void **state)
{
	uint64_t memory[2] = {1, 2};
	uint64_t value = 7;

	(void)state;
	assert_int_equal(dma_bus_fetch_add(port, at(memory) + 4, 8, 1, &value), -EFAULT);
	one_fault(DMA_FAULT_MISALIGNED, true, at(memory) + 4, 8);
	assert_int_equal(dma_bus_fetch_add(port, at(memory) + 2, 4, 1, &value), -EFAULT);
	one_fault(DMA_FAULT_MISALIGNED, true, at(memory) + 2, 4);
	assert_int_equal(dma_bus_cmpxchg(port, at(memory) + 1, 8, &value, &value), -EFAULT);
	one_fault(DMA_FAULT_MISALIGNED, true, at(memory) + 1, 8);
	assert_int_equal(value, 7);
	assert_int_equal(memory[0], 1);
	assert_int_equal(memory[1], 2);
	assert_int_equal(dma_bus_fetch_add(port, at(memory) + 4, 4, 1, &value), 0);
}

static void no_memory_there(void **state)
{
	uint64_t value = 7;

	(void)state;
	assert_int_equal(dma_bus_fetch_add(port, 4096, 8, 1, &value), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, 4096, 8);
	assert_int_equal(dma_bus_cmpxchg(port, 1ULL << 63, 4, &value, &value), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, 1ULL << 63, 4);
	assert_int_equal(value, 7);
}

#define ADDS 5000

static uint64_t shared;

static void *device_adds(void *arg)
{
	(void)arg;
	for (int i = 0; i < ADDS; i++)
		dma_bus_fetch_add(port, at(&shared), 8, 1, NULL);
	return NULL;
}

static void device_and_cpu_lose_nothing(void **state)
{
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, device_adds, NULL), 0);
	for (int i = 0; i < ADDS; i++)
		__atomic_fetch_add(&shared, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared, 3 * ADDS);
}

static struct {
	uint64_t payload[4];
	uint32_t done;
} completion;

static void *device_completes(void *arg)
{
	uint64_t payload[4] = {1, 2, 3, 4};
	uint32_t done = 1;

	(void)arg;
	dma_bus_write(port, at(completion.payload), payload, sizeof(payload));
	dma_bus_write(port, at(&completion.done), &done, sizeof(done));
	return NULL;
}

static void a_polled_word_brings_the_payload(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, device_completes, NULL), 0);
	while (!__atomic_load_n(&completion.done, __ATOMIC_ACQUIRE))
		cpu_relax();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(completion.payload[i], i + 1);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(compare_and_exchange, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(addition, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(in_registered_memory, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(misaligned, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(no_memory_there, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(device_and_cpu_lose_nothing, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(a_polled_word_brings_the_payload, open_direct,
						close_direct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
