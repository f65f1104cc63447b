/* SPDX-License-Identifier: MIT */
/* Table memory that runs out, and comes back from tables that are empty. */
#include "setup.h"

/* The root, and below it one table of each level: enough for 2 MiB below 4 GiB. */
static struct device small_open(void **state)
{
	struct device d = soft_open(state, ",tables=4");

	assert_int_equal(dma_set_mask_and_coherent(d.dev, DMA_BIT_MASK(28)), 0);
	return d;
}

static void exhausted_and_reclaimed(void **state)
{
	struct device d = small_open(state);
	uint8_t *memory = pages_new(2, 1);
	phys_addr_t phys = virt_to_phys(memory);
	struct dma_iova_state a = reserve(&d, 0, 2 * MIB), b = reserve(&d, 0, 2 * MIB);
	struct snapshot before;

	for (size_t round = 0; round < 5; round++) {
		link_at(&d, &a, 5 * PAGE, memory, PAGE);
		assert_reads(&d, a.addr + 5 * PAGE, 1);
		before = snapshot_take(&d, b.addr, 1);
		dma_clear_error();
		assert_int_equal(dma_iova_link(d.dev, &b, phys, 0, PAGE, DMA_BIDIRECTIONAL, 0),
				 -ENOMEM);
		assert_string_not_equal(dma_last_error(), "");
		dma_clear_error();
		assert_int_equal(dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE),
				 DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged(&d, &before);
		assert_reads(&d, a.addr + 5 * PAGE, 1);
		/* There is room where the table is. */
		link_at(&d, &a, 6 * PAGE, memory + PAGE, PAGE);
		assert_reads(&d, a.addr + 6 * PAGE, 2);

		/* Nobody owns what the table translates any more, so it can go there. */
		unlink_at(&d, &a, 5 * PAGE, 2 * PAGE);
		dma_iova_free(d.dev, &a);
		link_at(&d, &b, 0, memory + PAGE, PAGE);
		assert_reads(&d, b.addr, 2);
		assert_refused(&d, a.addr + 5 * PAGE);
		destroy(&d, &b, PAGE);
		assert_refused(&d, b.addr);
		a = reserve(&d, 0, 2 * MIB);
		b = reserve(&d, 0, 2 * MIB);
	}
	dma_iova_free(d.dev, &a);
	dma_iova_free(d.dev, &b);
	device_close(&d, 0);
	free(memory);
}

/* The same for mappings, whose addresses wait in the thread's cache to be handed out again. */
static void mappings_reclaim(void **state)
{
	struct device d = small_open(state);
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state fill;
	dma_addr_t addr[3], other;

	for (size_t round = 0; round < 5; round++) {
		for (size_t i = 0; i < COUNT(addr); i++) {
			addr[i] = dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE);
			assert_reads(&d, addr[i], 1);
		}
		for (size_t i = 0; i < COUNT(addr); i++)
			dma_unmap_single(d.dev, addr[i], PAGE, DMA_TO_DEVICE);
		/* Elsewhere. */
		fill = reserve(&d, 0, 64 * MIB);
		link_at(&d, &fill, 0, memory, PAGE);
		assert_reads(&d, fill.addr, 1);
		for (size_t i = 0; i < COUNT(addr); i++)
			assert_refused(&d, addr[i]);
		other = dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE);
		assert_int_equal(other, DMA_MAPPING_ERROR);
		destroy(&d, &fill, PAGE);
	}
	device_close(&d, 0);
	free(memory);
}

/* A link over more tables than there are leaves none of them full, and the next one works. */
static void a_link_that_needs_too_many(void **state)
{
	struct device d = soft_open(state, ",tables=6");
	struct expanse memory = expanse_new(16 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve(&d, 0, 16 * MIB);
	phys_addr_t phys = virt_to_phys(memory.at) + PAGE;
	struct snapshot before = snapshot_take(&d, iova.addr, 4);

	for (size_t round = 0; round < 3; round++) {
		assert_int_equal(
			dma_iova_link(d.dev, &iova, phys, 0, 8 * MIB, DMA_BIDIRECTIONAL, 0),
			-ENOMEM);
		assert_unchanged_but_tables(&d, &before);
		assert_int_equal(
			dma_iova_link(d.dev, &iova, phys, 0, 6 * MIB, DMA_BIDIRECTIONAL, 0), 0);
		assert_reads(&d, iova.addr, 0);
		assert_reads(&d, iova.addr + 6 * MIB - 1, 0);
		destroy(&d, &iova, 6 * MIB);
		iova = reserve(&d, 0, 16 * MIB);
		before = snapshot_take(&d, iova.addr, 4);
	}
	/* Large entries need no table. */
	dma_iova_free(d.dev, &iova);
	iova = reserve(&d, 0, 16 * MIB);
	link_at(&d, &iova, 0, memory.at, 14 * MIB);
	assert_reads(&d, iova.addr + 14 * MIB - 1, 0);
	destroy(&d, &iova, 14 * MIB);
	device_close(&d, 0);
	expanse_free(&memory);
}

/* What a gather still owns is not taken; what it has given back is. */
static void a_gather_holds_its_tables(void **state)
{
	struct device d = small_open(state);
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state a = reserve(&d, 0, 2 * MIB), b = reserve(&d, 0, 2 * MIB);
	struct dma_gather gather;

	link_at(&d, &a, 0, memory, PAGE);
	assert_reads(&d, a.addr, 1);
	dma_gather_begin(d.dev, &gather);
	dma_iova_destroy_gather(d.dev, &a, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	assert_int_equal(dma_iova_link(d.dev, &b, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE, 0),
			 -ENOMEM);
	dma_gather_end(&gather);
	link_at(&d, &b, 0, memory, PAGE);
	assert_reads(&d, b.addr, 1);
	assert_refused(&d, a.addr);
	destroy(&d, &b, PAGE);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(exhausted_and_reclaimed),
		EACH_FORMAT(mappings_reclaim),
		EACH_FORMAT(a_link_that_needs_too_many),
		EACH_FORMAT(a_gather_holds_its_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
