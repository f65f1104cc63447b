/* SPDX-License-Identifier: MIT */
/* Mistakes with memory that was allocated for a device, each by itself. */
#include <string.h>

#include <twostep/coherent.h>
#include <twostep/dmapool.h>
#include <twostep/mapping.h>

#include "checks.h"

#define ADDR 0xfff00000ULL
#define NOTHING DMA_MAPPING_ERROR

static void allocate(const void *site, dma_addr_t addr, size_t page, size_t size)
{
	hook(allocated, site, DEV, addr, phys_of(page), size, BASE_BLOCK_COHERENT,
	     DMA_BIDIRECTIONAL, 0);
}

static void give_back(const void *site, dma_addr_t addr, dma_addr_t freed, size_t size)
{
	hook(deallocating, site, DEV, addr, freed, size, BASE_BLOCK_COHERENT, DMA_BIDIRECTIONAL, 0);
}

/* The same in a space that translates and in one that does not: there addresses are memory's. */
static dma_addr_t address(bool translates, size_t page)
{
	return translates ? ADDR + page * PAGE : phys_of(page);
}

static void right_is_silent(void **state)
{
	bool translates = *state;

	for (size_t i = 0; i < 100; i++) {
		dma_addr_t addr = address(translates, i % 8);

		allocate(SITE(1), addr, i % 8, 3 * PAGE);
		hook(syncing, SITE(2), DEV, addr + 50, 50, DMA_TO_DEVICE, true);
		hook(syncing, SITE(2), DEV, addr, 3 * PAGE, DMA_FROM_DEVICE, false);
		give_back(SITE(3), addr, addr, 3 * PAGE);
		if (translates)
			continue;
		/* Where nothing is translated, mappings of it have the same address. */
		allocate(SITE(1), addr, i % 8, PAGE);
		map(SITE(4), addr, addr, PAGE, DMA_TO_DEVICE);
		give_back(SITE(3), addr, addr, PAGE);
		unmap(SITE(5), addr, PAGE, DMA_TO_DEVICE);
	}
	hook(closing);
	silent();
}

static void freed_twice(void **state)
{
	dma_addr_t addr = address(*state, 0);
	const struct kept *k;

	allocate(SITE(1), addr, 0, PAGE);
	give_back(SITE(2), addr, addr, PAGE);
	silent();
	give_back(SITE(3), addr, NOTHING, PAGE);
	k = only(DMA_DEBUG_FREE_UNKNOWN, SITE(3), SITE(2));
	assert_int_equal(k->report.addr, addr);
	assert_int_equal(k->report.nr_history, 2);
	assert_int_equal(k->history[0].action, DMA_DEBUG_ALLOCATED);
	assert_int_equal(k->history[0].phys, phys_of(0));
	assert_int_equal(k->history[1].action, DMA_DEBUG_DEALLOCATED);
}

static void unknown(void **state)
{
	give_back(SITE(1), address(*state, 0), NOTHING, PAGE);
	only(DMA_DEBUG_FREE_UNKNOWN, SITE(1), NULL);
	/* A table that is not known tells no address. */
	hook(deallocating, SITE(2), DEV, NOTHING, NOTHING, PAGE, BASE_BLOCK_NONCONTIGUOUS,
	     DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_FREE_UNKNOWN, SITE(2), NULL);
}

static void another_size(void **state)
{
	dma_addr_t addr = address(*state, 0);
	const struct kept *k;

	allocate(SITE(1), addr, 0, 2 * PAGE);
	give_back(SITE(2), addr, addr, PAGE);
	k = only(DMA_DEBUG_FREE_SIZE, SITE(2), SITE(1));
	assert_int_equal(k->report.phys, phys_of(0));
	hook(closing);
	silent();
}

static void another_cpu_address(void **state)
{
	dma_addr_t first = address(*state, 0), second = address(*state, 2);

	allocate(SITE(1), first, 0, PAGE);
	allocate(SITE(2), second, 2, PAGE);
	/* Of nothing: nothing will be freed. */
	give_back(SITE(3), first, NOTHING, PAGE);
	only(DMA_DEBUG_FREE_CPU_ADDR, SITE(3), SITE(1));
	/* Of the second, which goes. */
	give_back(SITE(3), first, second, PAGE);
	only(DMA_DEBUG_FREE_CPU_ADDR, SITE(3), SITE(2));
	give_back(SITE(4), first, first, PAGE);
	hook(closing);
	silent();
}

static void another_function(void **state)
{
	dma_addr_t addr = address(*state, 0);

	allocate(SITE(1), addr, 0, PAGE);
	hook(deallocating, SITE(2), DEV, addr, addr, PAGE, BASE_BLOCK_PAGES, DMA_BIDIRECTIONAL, 0);
	only(DMA_DEBUG_FREE_FUNCTION, SITE(2), SITE(1));
	map(SITE(3), addr, phys_of(0), PAGE, DMA_TO_DEVICE);
	give_back(SITE(4), addr, NOTHING, PAGE);
	only(DMA_DEBUG_FREE_FUNCTION, SITE(4), SITE(3));
	unmap(SITE(5), addr, PAGE, DMA_TO_DEVICE);
	allocate(SITE(1), addr, 0, PAGE);
	unmap(SITE(6), addr, PAGE, DMA_TO_DEVICE);
	assert_non_null(strstr(only(DMA_DEBUG_UNMAP_FUNCTION, SITE(6), SITE(1))->text,
			       "dma_free_coherent()"));
	give_back(SITE(7), addr, addr, PAGE);
	silent();
}

static void device_direction_attrs(void **state)
{
	dma_addr_t addr = address(*state, 0);

	allocate(SITE(1), addr, 0, PAGE);
	hook(deallocating, SITE(2), DEV, addr, addr, PAGE, BASE_BLOCK_COHERENT, DMA_BIDIRECTIONAL,
	     DMA_ATTR_FORCE_CONTIGUOUS);
	only(DMA_DEBUG_ATTRS, SITE(2), SITE(1));
	hook(allocated, SITE(1), DEV, addr, phys_of(0), PAGE, BASE_BLOCK_PAGES, DMA_TO_DEVICE, 0);
	hook(deallocating, SITE(2), DEV, addr, addr, PAGE, BASE_BLOCK_PAGES, DMA_FROM_DEVICE, 0);
	only(DMA_DEBUG_DIRECTION, SITE(2), SITE(1));
	if (!*state)
		return;
	allocate(SITE(1), addr, 0, PAGE);
	hook(deallocating, SITE(2), OTHER_DEV, addr, addr, PAGE, BASE_BLOCK_COHERENT,
	     DMA_BIDIRECTIONAL, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(2), SITE(1));
}

static void leaked(void **state)
{
	dma_addr_t addr = address(*state, 0);
	const struct kept *k;

	allocate(SITE(1), addr, 0, 2 * PAGE);
	assert_int_equal(debug_check(observer), 1);
	k = only(DMA_DEBUG_LEAK, SITE(1), SITE(1));
	assert_int_equal(k->report.addr, addr);
	assert_int_equal(k->report.size, 2 * PAGE);
	assert_int_equal(k->report.phys, phys_of(0));
	hook(closing);
	assert_non_null(
		strstr(only(DMA_DEBUG_LEAK, SITE(1), SITE(1))->text, "dma_free_coherent()"));
}

/* The device uses what was freed. */
static void accessed_after(void **state)
{
	const struct dma_fault fault = {
		.addr = ADDR + 8, .len = 4, .reason = DMA_FAULT_NOT_PRESENT};

	(void)state;
	allocate(SITE(1), ADDR, 0, PAGE);
	hook(accessed, 0, ADDR + 8, true);
	give_back(SITE(2), ADDR, ADDR, PAGE);
	hook(faulted, &fault);
	only(DMA_DEBUG_ACCESS_AFTER, NULL, SITE(2));
}

/* The calls themselves, right and wrong. */
static void with_a_device(void **state)
{
	const char *uri = *state ? "soft:debug=on" : "direct:debug=on";
	struct dma_pool *pool;
	struct sg_table *sgt;
	struct dma_dev *dev;
	dma_addr_t addr, another;
	char *cpu, *more;

	assert_int_equal(dma_dev_open(uri, &dev), 0);
	cpu = dma_alloc_attrs(dev, 100, &addr, DMA_ATTR_NO_KERNEL_MAPPING);
	dma_free_attrs(dev, 100, cpu, addr, DMA_ATTR_NO_KERNEL_MAPPING);
	cpu = dma_alloc_pages(dev, 9000, &addr, DMA_TO_DEVICE);
	dma_sync_single_for_device(dev, addr, 9000, DMA_TO_DEVICE);
	dma_free_pages(dev, 9000, cpu, addr, DMA_TO_DEVICE);
	sgt = dma_alloc_noncontiguous(dev, 9000, DMA_FROM_DEVICE, DMA_ATTR_ALLOC_SINGLE_PAGES);
	dma_free_noncontiguous(dev, 9000, sgt, DMA_FROM_DEVICE);
	pool = dma_pool_create("checked", dev, 64, 0, 0);
	cpu = dma_pool_alloc(pool, &addr);
	dma_pool_free(pool, cpu, addr);
	dma_pool_destroy(pool);
	silent();
	cpu = dma_alloc_coherent(dev, PAGE, &addr);
	more = dma_alloc_coherent(dev, PAGE, &another);
	dma_free_coherent(dev, PAGE + 1, cpu, addr);
	assert_int_equal(among(DMA_DEBUG_FREE_SIZE)->report.addr, addr);
	nr_kept = 0;
	dma_free_coherent(dev, PAGE, cpu, addr);
	assert_int_equal(among(DMA_DEBUG_FREE_UNKNOWN)->report.addr, addr);
	nr_kept = 0;
	dma_free_coherent(dev, PAGE, cpu, another);
	assert_int_equal(among(DMA_DEBUG_FREE_CPU_ADDR)->report.addr, another);
	nr_kept = 0;
	dma_unmap_single(dev, another, PAGE, DMA_BIDIRECTIONAL);
	among(DMA_DEBUG_UNMAP_FUNCTION);
	nr_kept = 0;
	more[0] = 1;
	dma_dev_close(dev);
	assert_int_equal(among(DMA_DEBUG_LEAK)->report.addr, another);
	assert_int_equal(nr_kept, 1);
}

#define test(name)                                                  \
	{#name " translated", name, setup, teardown, (void *)1},    \
	{                                                           \
#name " direct", name, setup_direct, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(right_is_silent),
		test(freed_twice),
		test(unknown),
		test(another_size),
		test(another_cpu_address),
		test(another_function),
		test(device_direction_attrs),
		test(leaked),
		{"accessed_after", accessed_after, setup, teardown, NULL},
		test(with_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
