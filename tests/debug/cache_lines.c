/* SPDX-License-Identifier: MIT */
/* Mappings that share cache lines, for a device that is not coherent. */
#include "checks.h"

#define OLD_DEV ((struct dma_dev *)(uintptr_t)0x560000003000)
#define ADDR(n) (0xfff00000ULL - (n)*PAGE)

static int setup_old(void **state)
{
	int err = setup(state);

	hook(attached, OLD_DEV, 2, "soft:,coherent=off", false);
	return err;
}

static void old_map(const void *site, dma_addr_t addr, phys_addr_t phys, size_t size,
		    enum dma_data_direction dir, unsigned long attrs)
{
	hook(mapped, site, OLD_DEV, addr + phys % PAGE, phys, size, dir, attrs);
	hook(checked, OLD_DEV, addr + phys % PAGE);
}

static void old_unmap(dma_addr_t addr, phys_addr_t phys, size_t size, enum dma_data_direction dir,
		      unsigned long attrs)
{
	hook(unmapping, SITE(9), OLD_DEV, addr + phys % PAGE, size, dir, attrs);
}

static void shared_line(void **state)
{
	const struct kept *k;

	(void)state;
	old_map(SITE(1), ADDR(0), phys_of(0), 100, DMA_FROM_DEVICE, 0);
	old_map(SITE(2), ADDR(1), phys_of(0) + 100, 20, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_CACHELINE, SITE(2), SITE(1));
	assert_string_equal(k->device, "soft:,coherent=off");
	old_unmap(ADDR(1), phys_of(0) + 100, 20, DMA_TO_DEVICE, 0);
	old_map(SITE(2), ADDR(1), phys_of(0) + 128, 20, DMA_TO_DEVICE, 0);
	/* A device that is coherent has no part in it. */
	map(SITE(3), ADDR(2), phys_of(0), 100, DMA_FROM_DEVICE);
	unmap(SITE(4), ADDR(2), 100, DMA_FROM_DEVICE);
	old_unmap(ADDR(0), phys_of(0), 100, DMA_FROM_DEVICE, 0);
	old_map(SITE(5), ADDR(0), phys_of(0), 128, DMA_FROM_DEVICE, 0);
	silent();
	old_unmap(ADDR(0), phys_of(0), 128, DMA_FROM_DEVICE, 0);
	old_unmap(ADDR(1), phys_of(0) + 128, 20, DMA_TO_DEVICE, 0);
	silent();
}

/* A device that is not coherent comes while links follow on each other. */
static void comes_in_a_row(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR(8), 8 * PAGE);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		hook(linked_page, SITE(2), DEV, &s, i * PAGE, phys_of(i), DMA_FROM_DEVICE);
	hook(attached, DEV, 2, "soft:,coherent=off", false);
	hook(linked_page, SITE(2), DEV, &s, 4 * PAGE, phys_of(4), DMA_FROM_DEVICE);
	silent();
	hook(linked_page, SITE(2), DEV, &s, 5 * PAGE, phys_of(4), DMA_FROM_DEVICE);
	only(DMA_DEBUG_CACHELINE, SITE(2), SITE(2));
	destroy(SITE(3), &s, 6 * PAGE, DMA_FROM_DEVICE);
	silent();
}

static void not_the_first_line(void **state)
{
	(void)state;
	old_map(SITE(1), ADDR(9), phys_of(0), 10 * PAGE, DMA_FROM_DEVICE, 0);
	old_map(SITE(2), ADDR(10), phys_of(5) + 500, 8, DMA_FROM_DEVICE, 0);
	only(DMA_DEBUG_CACHELINE, SITE(2), SITE(1));
	old_unmap(ADDR(10), phys_of(5) + 500, 8, DMA_FROM_DEVICE, 0);
	old_unmap(ADDR(9), phys_of(0), 10 * PAGE, DMA_FROM_DEVICE, 0);
	old_map(SITE(2), ADDR(10), phys_of(5) + 500, 8, DMA_FROM_DEVICE, 0);
	old_unmap(ADDR(10), phys_of(5) + 500, 8, DMA_FROM_DEVICE, 0);
	silent();
}

static void what_is_allowed(void **state)
{
	unsigned long ignore = DMA_ATTR_DEBUGGING_IGNORE_CACHELINES;

	(void)state;
	old_map(SITE(1), ADDR(0), phys_of(0), 64, DMA_TO_DEVICE, 0);
	old_map(SITE(1), ADDR(1), phys_of(0), 64, DMA_TO_DEVICE, 0);
	old_map(SITE(1), ADDR(2), phys_of(0), 64, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	old_map(SITE(1), ADDR(3), phys_of(1), 64, DMA_FROM_DEVICE, ignore);
	old_map(SITE(1), ADDR(4), phys_of(1), 64, DMA_FROM_DEVICE, ignore);
	silent();
	old_map(SITE(2), ADDR(5), phys_of(1), 64, DMA_FROM_DEVICE, 0);
	assert_int_equal(nr_kept, 1);
	among(DMA_DEBUG_CACHELINE);
	nr_kept = 0;
	for (dma_addr_t i = 0; i < 2; i++)
		old_unmap(ADDR(i), phys_of(0), 64, DMA_TO_DEVICE, 0);
	old_unmap(ADDR(2), phys_of(0), 64, DMA_FROM_DEVICE, 0);
	for (dma_addr_t i = 3; i < 6; i++)
		old_unmap(ADDR(i), phys_of(1), 64, DMA_FROM_DEVICE, 0);
	silent();
}

static void too_many(void **state)
{
	unsigned long ignore = DMA_ATTR_DEBUGGING_IGNORE_CACHELINES;

	(void)state;
	for (dma_addr_t i = 0; i < 8; i++)
		old_map(SITE(1), ADDR(i), phys_of(0), 64, DMA_FROM_DEVICE, ignore);
	silent();
	old_map(SITE(2), ADDR(8), phys_of(0) + 63, 1, DMA_FROM_DEVICE, ignore);
	assert_non_null(strstr(only(DMA_DEBUG_CACHELINE, SITE(2), SITE(1))->text, "more than 7"));
	for (dma_addr_t i = 0; i < 8; i++)
		old_unmap(ADDR(i), phys_of(0), 64, DMA_FROM_DEVICE, 0);
	old_unmap(ADDR(8), phys_of(0) + 63, 1, DMA_FROM_DEVICE, 0);
	silent();
}

static void links(void **state)
{
	struct dma_iova_state s = {ADDR(16), 8 * PAGE};
	struct phys_vec vec[] = {{phys_of(0), PAGE}, {phys_of(1), 100}};

	(void)state;
	for (int i = 0; i < 2; i++) {
		hook(reserved, SITE(1), OLD_DEV, &s);
		hook(linked, SITE(2), OLD_DEV, &s, 0, vec, 2, DMA_FROM_DEVICE, 0);
		silent();
		old_map(SITE(3), ADDR(0), phys_of(1) + 100, 20, DMA_FROM_DEVICE, 0);
		only(DMA_DEBUG_CACHELINE, SITE(3), SITE(2));
		old_unmap(ADDR(0), phys_of(1) + 100, 20, DMA_FROM_DEVICE, 0);
		hook(unlinking, SITE(4), OLD_DEV, &s, PAGE, 100, DMA_FROM_DEVICE, 0);
		old_map(SITE(3), ADDR(0), phys_of(1) + 100, 20, DMA_FROM_DEVICE, 0);
		old_unmap(ADDR(0), phys_of(1) + 100, 20, DMA_FROM_DEVICE, 0);
		hook(freeing, SITE(5), OLD_DEV, &s, PAGE, true, DMA_FROM_DEVICE, 0);
		silent();
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup_old, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shared_line),
		test(not_the_first_line),
		test(what_is_allowed),
		test(too_many),
		test(links),
		cmocka_unit_test_setup_teardown(comes_in_a_row, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
