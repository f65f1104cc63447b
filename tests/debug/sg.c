/* SPDX-License-Identifier: MIT */
/* Mistakes with scatter-gather lists, each by itself. */
#include <twostep/scatterlist.h>

#include "checks.h"

#define ADDR 0xffff8000ULL

/* Four pages, scattered, in one range. */
static void map_list(const void *site, dma_addr_t addr, enum dma_data_direction dir)
{
	struct scatterlist sgl[4];

	for (size_t i = 0; i < 4; i++)
		sg_set_phys(&sgl[i], phys_of(2 * i), PAGE);
	hook(mapped_sg, site, DEV, addr, 4 * PAGE, sgl, 4, 4, dir, 0);
}

static void unmap_list(const void *site, dma_addr_t addr, uint64_t size, unsigned int nents,
		       enum dma_data_direction dir)
{
	hook(unmapping_sg, site, DEV, addr, size, nents, dir, 0);
}

static void right_is_silent(void **state)
{
	(void)state;
	for (size_t i = 0; i < 10; i++) {
		map_list(SITE(1), ADDR, DMA_TO_DEVICE);
		hook(syncing_sg, SITE(2), DEV, ADDR, PAGE, 4, DMA_TO_DEVICE, true);
		hook(syncing_sg, SITE(2), DEV, ADDR + 2 * PAGE, 2 * PAGE, 0, DMA_TO_DEVICE, true);
		/* One piece of it by itself, and asking whether it is good. */
		hook(checked, DEV, ADDR);
		hook(syncing, SITE(2), DEV, ADDR + PAGE, PAGE, DMA_TO_DEVICE, true);
		unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	}
	silent();
}

static void another_number_of_entries(void **state)
{
	(void)state;
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	hook(syncing_sg, SITE(2), DEV, ADDR, PAGE, 3, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SG_SYNC_ENTRIES, SITE(2), SITE(1));
	unmap_list(SITE(3), ADDR, PAGE, 1, DMA_TO_DEVICE);
	only(DMA_DEBUG_SG_ENTRIES, SITE(3), SITE(1));
	/* The first range of a list tells, the others do not. */
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	unmap_list(SITE(3), ADDR, 4 * PAGE, 0, DMA_TO_DEVICE);
	silent();
}

static void another_direction_size_or_attributes(void **state)
{
	(void)state;
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	hook(syncing_sg, SITE(2), DEV, ADDR, PAGE, 4, DMA_FROM_DEVICE, true);
	only(DMA_DEBUG_SYNC_DIRECTION, SITE(2), SITE(1));
	unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_FROM_DEVICE);
	only(DMA_DEBUG_DIRECTION, SITE(3), SITE(1));
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	unmap_list(SITE(3), ADDR, 3 * PAGE, 4, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_SIZE, SITE(3), SITE(1));
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	hook(unmapping_sg, SITE(3), DEV, ADDR, 4 * PAGE, 4, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	only(DMA_DEBUG_ATTRS, SITE(3), SITE(1));
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	hook(unmapping_sg, SITE(3), OTHER_DEV, ADDR, 4 * PAGE, 4, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(3), SITE(1));
}

static void by_the_wrong_call(void **state)
{
	struct dma_iova_state reserved;

	(void)state;
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	unmap(SITE(3), ADDR, 4 * PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_FUNCTION, SITE(3), SITE(1));
	map(SITE(1), ADDR, phys_of(0), 4 * PAGE, DMA_TO_DEVICE);
	unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_FUNCTION, SITE(3), SITE(1));
	reserved = reserve(SITE(1), ADDR, 4 * PAGE);
	unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_FUNCTION, SITE(3), SITE(1));
	free_state(SITE(4), &reserved);
	silent();
}

static void twice_and_never(void **state)
{
	(void)state;
	unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), NULL);
	hook(syncing_sg, SITE(2), DEV, ADDR, PAGE, 4, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(2), NULL);
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	unmap_list(SITE(2), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	silent();
	unmap_list(SITE(3), ADDR, 4 * PAGE, 4, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), SITE(2));
}

static void segments_that_exceed(void **state)
{
	const struct scatterlist segment = {.dma_address = ADDR, .dma_length = 5 * PAGE};

	(void)state;
	hook(sg_exceeds, SITE(1), DEV, &segment, 4 * PAGE, ~0UL);
	only(DMA_DEBUG_SG_TOO_LONG, SITE(1), NULL);
	hook(sg_exceeds, SITE(1), DEV, &segment, 5 * PAGE, 4 * PAGE - 1);
	only(DMA_DEBUG_SG_BOUNDARY, SITE(1), NULL);
}

/* Once for a list, however many of its entries are so. */
/* A buffer of a size that is not constant: with sanitizers, others may be elsewhere. */
static void memory_that_may_not_be_mapped(void **state)
{
	volatile size_t size = 3 * 64;
	char *stack = __builtin_alloca(size);
	struct scatterlist sgl[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		sg_set_phys(&sgl[i], (phys_addr_t)(uintptr_t)(stack + i * 64), 64);
	hook(mapped_sg, SITE(1), DEV, ADDR, 3 * PAGE, sgl, 3, 3, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_MAP_STACK, SITE(1), NULL);
	unmap_list(SITE(2), ADDR, 3 * PAGE, 3, DMA_TO_DEVICE);
}

static void leaks(void **state)
{
	(void)state;
	map_list(SITE(1), ADDR, DMA_TO_DEVICE);
	close_checks();
	only(DMA_DEBUG_LEAK, SITE(1), SITE(1));
}

int main(void)
{
#define EACH(test)                                                  \
	cmocka_unit_test_setup_teardown(test, setup, teardown),     \
	{                                                           \
#test " direct", test, setup_direct, teardown, NULL \
	}
	const struct CMUnitTest tests[] = {
		EACH(right_is_silent),
		EACH(another_number_of_entries),
		EACH(another_direction_size_or_attributes),
		cmocka_unit_test_setup_teardown(by_the_wrong_call, setup, teardown),
		EACH(twice_and_never),
		EACH(segments_that_exceed),
		EACH(memory_that_may_not_be_mapped),
		cmocka_unit_test_setup_teardown(leaks, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
