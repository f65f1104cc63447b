/* SPDX-License-Identifier: MIT */
/* Transfers of devices that come too early, too late, or the wrong way. */
#include "checks.h"

#define ADDR 0xfff00000ULL

static void fault(enum dma_fault_reason reason, dma_addr_t addr, bool write)
{
	const struct dma_fault f = {
		.device = 1,
		.reason = reason,
		.write = write,
		.addr = addr,
		.len = 8,
		.time_ns = 12345,
	};

	hook(faulted, &f);
}

static void before_sync(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 4 * PAGE);
	const struct kept *k;

	(void)state;
	link_pages(SITE(2), &s, 0, 2, DMA_TO_DEVICE);
	hook(accessed, 1, ADDR + PAGE + 16, false);
	k = only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NULL, SITE(2));
	assert_string_equal(k->device, "soft:second");
	assert_int_equal(k->report.addr, ADDR + PAGE + 16);
	assert_int_equal(k->report.phys, phys_of(1) + 16);
	/* Once a granule, until it is synced and linked again. */
	hook(accessed, 1, ADDR + PAGE + 32, false);
	silent();
	fault(DMA_FAULT_NOT_PRESENT, ADDR + 8, false);
	only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NULL, SITE(2));
	hook(synced, SITE(3), DEV, &s, 0, 2 * PAGE);
	hook(accessed, 1, ADDR, false);
	hook(accessed, 1, ADDR + PAGE, false);
	silent();
	hook(unlinking, SITE(4), DEV, &s, PAGE, PAGE, DMA_TO_DEVICE, 0);
	link_pages(SITE(5), &s, 1, 1, DMA_TO_DEVICE);
	hook(accessed, 1, ADDR + PAGE, false);
	only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NULL, SITE(5));
	destroy(SITE(6), &s, 2 * PAGE, DMA_TO_DEVICE);
	silent();
}

static void nothing_is_known(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 4 * PAGE);

	(void)state;
	hook(accessed, 0, 0x4000, true);
	fault(DMA_FAULT_NOT_PRESENT, 0x4000, true);
	fault(DMA_FAULT_NOT_PRESENT, ADDR + PAGE, true);
	fault(DMA_FAULT_PERMISSION, 0x4000, true);
	fault(DMA_FAULT_ADDRESS, UINT64_MAX - 8, true);
	fault(DMA_FAULT_MISALIGNED, ADDR + 1, true);
	silent();
	free_state(SITE(2), &s);
}

static void after_the_end(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 4 * PAGE);
	const struct kept *k;

	(void)state;
	link_pages(SITE(2), &s, 0, 4, DMA_FROM_DEVICE);
	hook(synced, SITE(3), DEV, &s, 0, 4 * PAGE);
	hook(unlinking, SITE(4), DEV, &s, PAGE, PAGE, DMA_FROM_DEVICE, 0);
	fault(DMA_FAULT_NOT_PRESENT, ADDR + PAGE + 4, true);
	k = only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(4));
	assert_int_equal(k->report.addr, ADDR + PAGE + 4);
	assert_int_equal(k->report.size, 8);
	assert_int_equal(k->report.time_ns, 12345);
	assert_int_equal(k->report.phys, phys_of(1) + 4);
	assert_int_equal(k->report.nr_history, 4);
	assert_int_equal(k->history[3].action, DMA_DEBUG_UNLINKED);
	assert_ptr_equal(k->history[3].caller, SITE(4));
	hook(unlinking, SITE(5), DEV, &s, 2 * PAGE, 2 * PAGE, DMA_FROM_DEVICE, 0);
	destroy(SITE(6), &s, PAGE, DMA_FROM_DEVICE);
	silent();
	fault(DMA_FAULT_NOT_PRESENT, ADDR, true);
	k = only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(6));
	/* It was stamped before the end, as far as clocks can tell. */
	assert_non_null(strstr(k->text, "freed, 0.000000 s before;"));
	fault(DMA_FAULT_NOT_PRESENT, ADDR + 3 * PAGE, true);
	only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(5));

	/* The last one that had the addresses counts. */
	map(SITE(7), ADDR + 2 * PAGE, phys_of(8), 2 * PAGE, DMA_FROM_DEVICE);
	fault(DMA_FAULT_NOT_PRESENT, ADDR + 3 * PAGE, true);
	silent();
	unmap(SITE(8), ADDR + 2 * PAGE, 2 * PAGE, DMA_FROM_DEVICE);
	fault(DMA_FAULT_NOT_PRESENT, ADDR + 3 * PAGE, true);
	k = only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(8));
	assert_int_equal(k->report.phys, phys_of(9));
	fault(DMA_FAULT_NOT_PRESENT, ADDR + PAGE, true);
	only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(4));
	/* What is live below does not reach there. */
	map(SITE(7), ADDR, phys_of(8), 3 * PAGE, DMA_FROM_DEVICE);
	fault(DMA_FAULT_NOT_PRESENT, ADDR + 3 * PAGE, true);
	only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(8));
	unmap(SITE(8), ADDR, 3 * PAGE, DMA_FROM_DEVICE);
}

static void against_the_direction(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 4 * PAGE);

	(void)state;
	link_pages(SITE(2), &s, 0, 1, DMA_TO_DEVICE);
	hook(synced, SITE(3), DEV, &s, 0, PAGE);
	fault(DMA_FAULT_PERMISSION, ADDR, true);
	only(DMA_DEBUG_ACCESS_DIRECTION, NULL, SITE(2));
	destroy(SITE(4), &s, PAGE, DMA_TO_DEVICE);
	map(SITE(5), ADDR, phys_of(0), PAGE, DMA_FROM_DEVICE);
	fault(DMA_FAULT_PERMISSION, ADDR + 8, false);
	only(DMA_DEBUG_ACCESS_DIRECTION, NULL, SITE(5));
	/* Allowed, so something else was the reason. */
	fault(DMA_FAULT_PERMISSION, ADDR + 8, true);
	silent();
	unmap(SITE(6), ADDR, PAGE, DMA_FROM_DEVICE);
}

static void memory_gone(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 4 * PAGE);

	(void)state;
	link_pages(SITE(2), &s, 0, 1, DMA_TO_DEVICE);
	hook(memory_gone, 0, ADDR + 8, phys_of(0) + 8, false);
	assert_int_equal(only(DMA_DEBUG_MEMORY_GONE, NULL, SITE(2))->report.phys, phys_of(0) + 8);
	destroy(SITE(3), &s, PAGE, DMA_TO_DEVICE);
	map(SITE(5), ADDR, phys_of(0), PAGE, DMA_FROM_DEVICE);
	hook(memory_gone, 0, ADDR + 8, phys_of(0) + 8, true);
	only(DMA_DEBUG_MEMORY_GONE, NULL, SITE(5));
	unmap(SITE(6), ADDR, PAGE, DMA_FROM_DEVICE);
}

static void no_bounce(void **state)
{
	(void)state;
	hook(bounce_failed, SITE(1), DEV, phys_of(0) + 1, 100);
	assert_int_equal(only(DMA_DEBUG_NO_BOUNCE, SITE(1), NULL)->report.phys, phys_of(0) + 1);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(before_sync),	     test(nothing_is_known), test(after_the_end),
		test(against_the_direction), test(memory_gone),	     test(no_bounce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
