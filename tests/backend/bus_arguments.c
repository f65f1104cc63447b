/* SPDX-License-Identifier: MIT */
/* Wrong arguments are refused before the bus is used; reasons have names. */
#include <twostep/error.h>

#include "direct_fixture.h"

static void nothing_happened(int answer)
{
	struct dma_port_stats stats;

	assert_int_equal(answer, -EINVAL);
	assert_string_not_equal(dma_last_error(), "");
	dma_clear_error();
	dma_port_stats(port, &stats);
	assert_int_equal(stats.reads + stats.writes + stats.faults, 0);
	no_fault();
}

static void refused(void **state)
{
	uint64_t memory = 5;
	uint64_t value = 7;

	(void)state;
	dma_clear_error();
	nothing_happened(dma_bus_read(NULL, at(&memory), &value, 8));
	nothing_happened(dma_bus_read(port, at(&memory), NULL, 8));
	nothing_happened(dma_bus_write(NULL, at(&memory), &value, 8));
	nothing_happened(dma_bus_write(port, at(&memory), NULL, 8));
	nothing_happened(dma_bus_cmpxchg(NULL, at(&memory), 8, &value, &value));
	nothing_happened(dma_bus_cmpxchg(port, at(&memory), 8, NULL, &value));
	nothing_happened(dma_bus_cmpxchg(port, at(&memory), 8, &value, NULL));
	nothing_happened(dma_bus_fetch_add(NULL, at(&memory), 8, 1, &value));
	for (size_t size = 0; size < 20; size++) {
		if (size == 4 || size == 8)
			continue;
		nothing_happened(dma_bus_cmpxchg(port, at(&memory), size, &value, &value));
		nothing_happened(dma_bus_fetch_add(port, at(&memory), size, 1, &value));
	}
	assert_int_equal(memory, 5);
	assert_int_equal(value, 7);
}

static void no_bytes_are_no_transfer(void **state)
{
	(void)state;
	assert_int_equal(dma_bus_read(port, 0, NULL, 0), 0);
	assert_int_equal(dma_bus_write(port, UINT64_MAX, NULL, 0), 0);
	no_fault();
}

static void statistics_without_a_port(void **state)
{
	struct dma_port_stats stats = {.reads = 7, .faults = 7};

	(void)state;
	dma_port_stats(NULL, &stats);
	assert_int_equal(stats.reads + stats.faults, 0);
}

static void reasons_have_names_of_their_own(void **state)
{
	const char *name;

	(void)state;
	for (int reason = DMA_FAULT_NOT_PRESENT; reason <= DMA_FAULT_PEER; reason++) {
		name = dma_fault_reason_name((enum dma_fault_reason)reason);
		assert_non_null(name);
		assert_string_not_equal(name, dma_fault_reason_name((enum dma_fault_reason)0));
		for (int other = DMA_FAULT_NOT_PRESENT; other < reason; other++)
			assert_string_not_equal(
				name, dma_fault_reason_name((enum dma_fault_reason)other));
	}
	assert_non_null(dma_fault_reason_name((enum dma_fault_reason)99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refused, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(no_bytes_are_no_transfer, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(statistics_without_a_port, open_direct,
						close_direct),
		cmocka_unit_test(reasons_have_names_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
