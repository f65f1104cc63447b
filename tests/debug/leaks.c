/* SPDX-License-Identifier: MIT */
/* What is left when somebody asks, and when the space closes. */
#include "checks.h"

#define ADDR 0xfff00000ULL

static void nothing_is_left(void **state)
{
	(void)state;
	assert_int_equal(debug_check(observer), 0);
	hook(closing);
	silent();
}

static void leaks(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 1ULL << 30);
	const struct kept *k;

	(void)state;
	link_pages(SITE(2), &s, 3, 2, DMA_TO_DEVICE);
	assert_int_equal(debug_check(observer), 1);
	k = only(DMA_DEBUG_LEAK, SITE(1), SITE(1));
	assert_int_equal(k->report.addr, ADDR);
	assert_int_equal(k->report.size, 1ULL << 30);
	assert_int_equal(k->report.phys, phys_of(3));
	assert_string_equal(k->device, "soft:first");
	assert_non_null(strstr(k->text, " 8192 bytes linked"));
	assert_int_equal(k->report.nr_history, 2);
	hook(detached, 0);
	hook(detached, 1);
	hook(closing);
	only(DMA_DEBUG_LEAK, SITE(1), SITE(1));
	hook(unlinking, SITE(3), DEV, &s, 3 * PAGE, 2 * PAGE, DMA_TO_DEVICE, 0);
	free_state(SITE(3), &s);
	map(SITE(4), ADDR, phys_of(0) + 7, 9, DMA_FROM_DEVICE);
	hook(closing);
	k = only(DMA_DEBUG_LEAK, SITE(4), SITE(4));
	assert_int_equal(k->report.phys, phys_of(0) + 7);
	assert_int_equal(k->report.size, 9);
	assert_string_equal(k->device, "soft:first");
}

static void very_many(void **state)
{
	(void)state;
	for (dma_addr_t i = 0; i < 5000; i++)
		map(SITE(4), ADDR - i * PAGE, phys_of(0), 9, DMA_FROM_DEVICE);
	assert_int_equal(debug_check(observer), 5000);
	assert_int_equal(nr_kept, 5000);
}

static void gathers(void **state)
{
	static struct dma_gather one, two;

	(void)state;
	hook(gather_begun, SITE(1), &one);
	hook(gather_begun, SITE(2), &two);
	hook(gather_ended, &two);
	hook(gather_ended, &two);
	silent();
	assert_int_equal(debug_check(observer), 1);
	only(DMA_DEBUG_GATHER_OPEN, SITE(1), SITE(1));
	hook(gather_begun, SITE(3), &one);
	only(DMA_DEBUG_GATHER_OPEN, SITE(3), SITE(1));
	hook(closing);
	only(DMA_DEBUG_GATHER_OPEN, SITE(3), SITE(3));
	hook(gather_ended, &one);
	hook(closing);
	silent();
}

/* Names of devices that have gone are kept for what they leave, but not without end. */
static void devices_come_and_go(void **state)
{
	struct dma_dev *dev;

	(void)state;
	hook(detached, 0);
	for (uint32_t i = 2; i < 200; i++) {
		dev = (struct dma_dev *)(uintptr_t)(0x570000000000 + i * 64);
		hook(attached, dev, i, "soft:third", true);
		hook(mapped, SITE(1), dev, ADDR + i * PAGE, phys_of(0), 8, DMA_TO_DEVICE, 0);
		hook(detached, i);
		hook(checked, dev, ADDR + i * PAGE);
	}
	hook(unmapping, SITE(2), dev, ADDR + 199 * PAGE, 9, DMA_TO_DEVICE, 0);
	assert_string_equal(only(DMA_DEBUG_UNMAP_SIZE, SITE(2), SITE(1))->device, "soft:third");
	/* For a device that nobody knows, the first one stands. */
	hook(bounce_failed, SITE(1), (struct dma_dev *)(uintptr_t)0x1230, phys_of(0), 100);
	assert_string_equal(only(DMA_DEBUG_NO_BOUNCE, SITE(1), NULL)->device, "soft:first");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(nothing_is_left),	   test(leaks), test(very_many), test(gathers),
		test(devices_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
