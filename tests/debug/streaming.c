/* SPDX-License-Identifier: MIT */
/* Mistakes with streaming mappings, each by itself. */
#include "checks.h"

#define ADDR 0xfffff000ULL

static void right_is_silent(void **state)
{
	(void)state;
	for (size_t i = 0; i < 100; i++) {
		map(SITE(1), ADDR + i % 7, phys_of(0) + i % 7, 100, DMA_TO_DEVICE);
		hook(syncing, SITE(2), DEV, ADDR + i % 7 + 50, 50, DMA_TO_DEVICE, true);
		hook(syncing, SITE(2), DEV, ADDR + i % 7, 100, DMA_TO_DEVICE, false);
		unmap(SITE(3), ADDR + i % 7, 100, DMA_TO_DEVICE);
	}
	map(SITE(1), ADDR - 7 * PAGE, phys_of(0), 8 * PAGE, DMA_BIDIRECTIONAL);
	/* What goes both ways may be synced in any direction. */
	hook(syncing, SITE(2), DEV, ADDR, 1, DMA_TO_DEVICE, true);
	hook(syncing, SITE(2), DEV, ADDR + PAGE - 1, 1, DMA_FROM_DEVICE, false);
	hook(unmapping, SITE(3), DEV, ADDR - 7 * PAGE, 8 * PAGE, DMA_BIDIRECTIONAL,
	     DMA_ATTR_SKIP_CPU_SYNC);
	silent();
}

static void unmap_twice(void **state)
{
	const struct kept *k;

	(void)state;
	map(SITE(1), ADDR + 8, phys_of(0) + 8, 64, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR + 8, 64, DMA_TO_DEVICE);
	silent();
	unmap(SITE(3), ADDR + 8, 64, DMA_TO_DEVICE);
	k = only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), SITE(2));
	assert_int_equal(k->report.addr, ADDR + 8);
	assert_int_equal(k->report.size, 64);
	assert_string_equal(k->device, "soft:first");
	assert_int_equal(k->report.nr_history, 2);
	assert_int_equal(k->history[0].action, DMA_DEBUG_MAPPED);
	assert_int_equal(k->history[0].phys, phys_of(0) + 8);
	assert_ptr_equal(k->history[0].caller, SITE(1));
	assert_int_equal(k->history[1].action, DMA_DEBUG_UNMAPPED);
	assert_ptr_equal(k->history[1].caller, SITE(2));
	assert_true(k->history[0].thread);
	assert_true(k->history[1].time_ns <= k->report.time_ns);
}

static void unmap_of_what_never_was(void **state)
{
	(void)state;
	unmap(SITE(3), ADDR, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), NULL);
	unmap(SITE(3), 0x123456789000, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), NULL);
}

static void unmap_inside_a_mapping(void **state)
{
	(void)state;
	map(SITE(1), ADDR & ~0x3fffULL, phys_of(0), 4 * PAGE, DMA_TO_DEVICE);
	unmap(SITE(2), (ADDR & ~0x3fffULL) + 2 * PAGE, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(2), SITE(1));
	unmap(SITE(2), ADDR & ~0x3fffULL, 4 * PAGE, DMA_TO_DEVICE);
	silent();
}

static void unmap_of_an_error(void **state)
{
	(void)state;
	hook(checked, DEV, DMA_MAPPING_ERROR);
	silent();
	unmap(SITE(2), DMA_MAPPING_ERROR, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_ERROR, SITE(2), NULL);
}

static void unmap_size(void **state)
{
	const struct kept *k;

	(void)state;
	map(SITE(1), ADDR, phys_of(3), 64, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, 65, DMA_TO_DEVICE);
	k = only(DMA_DEBUG_UNMAP_SIZE, SITE(2), SITE(1));
	assert_int_equal(k->report.phys, phys_of(3));
	unmap(SITE(3), ADDR, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), SITE(2));
}

static void unmap_direction(void **state)
{
	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, 64, DMA_FROM_DEVICE);
	only(DMA_DEBUG_DIRECTION, SITE(2), SITE(1));
}

static void unmap_attrs(void **state)
{
	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	hook(unmapping, SITE(2), DEV, ADDR, 64, DMA_TO_DEVICE, DMA_ATTR_PRIVILEGED);
	assert_non_null(
		strstr(only(DMA_DEBUG_ATTRS, SITE(2), SITE(1))->text, "DMA_ATTR_PRIVILEGED"));
}

/* Behind an IOMMU an unmap with this attribute does nothing. */
static void unmap_of_shared_memory(void **state)
{
	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	hook(unmapping, SITE(2), DEV, ADDR, 64, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED);
	only(DMA_DEBUG_ATTRS, SITE(2), SITE(1));
	unmap(SITE(3), ADDR, 64, DMA_TO_DEVICE);
	silent();
}

static void unmap_unchecked(void **state)
{
	(void)state;
	hook(mapped, SITE(1), DEV, ADDR, phys_of(0), 64, DMA_TO_DEVICE, 0);
	unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNCHECKED, SITE(2), SITE(1));
}

static void unmap_of_a_reservation(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR & ~0x1fffULL, 2 * PAGE);

	(void)state;
	unmap(SITE(2), s.addr, 2 * PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_FUNCTION, SITE(2), SITE(1));
	unmap(SITE(2), s.addr + PAGE, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_FUNCTION, SITE(2), SITE(1));
	free_state(SITE(3), &s);
	silent();
}

static void unmap_for_another_device(void **state)
{
	const struct kept *k;

	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	hook(unmapping, SITE(2), OTHER_DEV, ADDR, 64, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_WRONG_DEVICE, SITE(2), SITE(1));
	assert_string_equal(k->device, "soft:second");
}

static void everything_wrong_at_once(void **state)
{
	(void)state;
	hook(mapped, SITE(1), DEV, ADDR, phys_of(0), 64, DMA_TO_DEVICE, 0);
	hook(unmapping, SITE(2), DEV, ADDR, 128, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(nr_kept, 4);
	among(DMA_DEBUG_UNMAP_SIZE);
	among(DMA_DEBUG_DIRECTION);
	among(DMA_DEBUG_ATTRS);
	among(DMA_DEBUG_UNCHECKED);
}

/* The same in a row, too quick for anything but the short ways. */
static void mistakes_in_a_row(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
		unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
	}
	silent();
	for (unsigned int i = 0; i < 1000; i++) {
		enum dma_data_direction dir = i % 5 == 1 ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
		struct dma_dev *dev = i % 5 == 4 ? OTHER_DEV : DEV;

		hook(mapped, SITE(1), DEV, ADDR, phys_of(0), 64, DMA_TO_DEVICE, 0);
		if (i % 5)
			hook(checked, DEV, ADDR);
		hook(unmapping, SITE(2), dev, ADDR, i % 5 == 2 ? 65 : 64, dir,
		     i % 5 == 3 ? DMA_ATTR_MMIO : 0);
		assert_int_equal(nr_kept, i + 1);
	}
	nr_kept = 0;
}

static void sync_unknown(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), 0x10000, PAGE);

	(void)state;
	hook(syncing, SITE(4), DEV, ADDR, 64, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(4), NULL);
	hook(syncing, SITE(4), DEV, s.addr, 64, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(4), SITE(1));
	free_state(SITE(2), &s);
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	hook(syncing, SITE(4), DEV, ADDR + 64, 1, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(4), SITE(1));
	unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
	hook(syncing, SITE(4), DEV, ADDR, 64, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(4), SITE(2));
}

static void sync_range(void **state)
{
	(void)state;
	map(SITE(1), ADDR - PAGE, phys_of(0), 2 * PAGE, DMA_TO_DEVICE);
	hook(syncing, SITE(4), DEV, ADDR + 1, PAGE, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_RANGE, SITE(4), SITE(1));
	unmap(SITE(2), ADDR - PAGE, 2 * PAGE, DMA_TO_DEVICE);
}

static void sync_direction(void **state)
{
	(void)state;
	map(SITE(1), ADDR, phys_of(0), PAGE, DMA_TO_DEVICE);
	hook(syncing, SITE(4), DEV, ADDR, PAGE, DMA_BIDIRECTIONAL, true);
	only(DMA_DEBUG_SYNC_DIRECTION, SITE(4), SITE(1));
	hook(syncing, SITE(4), DEV, ADDR, PAGE, DMA_FROM_DEVICE, false);
	assert_int_equal(nr_kept, 2);
	among(DMA_DEBUG_SYNC_DIRECTION);
	among(DMA_DEBUG_SYNC_READ_ONLY);
	nr_kept = 0;
	unmap(SITE(2), ADDR, PAGE, DMA_TO_DEVICE);

	map(SITE(1), ADDR, phys_of(0), PAGE, DMA_FROM_DEVICE);
	hook(syncing, SITE(4), DEV, ADDR, PAGE, DMA_TO_DEVICE, true);
	assert_int_equal(nr_kept, 2);
	among(DMA_DEBUG_SYNC_DIRECTION);
	among(DMA_DEBUG_SYNC_WRITE_ONLY);
	nr_kept = 0;
	unmap(SITE(2), ADDR, PAGE, DMA_FROM_DEVICE);
	silent();
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(right_is_silent),
		test(unmap_twice),
		test(unmap_of_what_never_was),
		test(unmap_inside_a_mapping),
		test(unmap_of_an_error),
		test(unmap_size),
		test(unmap_direction),
		test(unmap_attrs),
		test(unmap_of_shared_memory),
		test(unmap_unchecked),
		test(unmap_of_a_reservation),
		test(unmap_for_another_device),
		test(everything_wrong_at_once),
		test(mistakes_in_a_row),
		test(sync_unknown),
		test(sync_range),
		test(sync_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
