/* SPDX-License-Identifier: MIT */
/* Sync: what a device that remembers absent entries sees, and what it refuses. */
#include "dma/dma.h"

#include "setup.h"

static void a_missing_sync_is_seen(void **state)
{
	struct device d = soft_open(state, ",absent=cache");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	uint64_t invalidations;

	/* The device has looked, and remembers. */
	assert_refused_pages(&d, iova.addr, 4);
	link_at(&d, &iova, 0, memory, 4 * PAGE);
	assert_refused_pages(&d, iova.addr, 4);
	invalidations = stats_of(&d).iotlb_invalidations;
	/* Part of it: the granules that the range touches. */
	assert_int_equal(dma_iova_sync(d.dev, &iova, PAGE + 5, PAGE), 0);
	assert_int_equal(stats_of(&d).iotlb_invalidations, invalidations + 1);
	assert_refused(&d, iova.addr);
	assert_reads_pages(&d, iova.addr + PAGE, 2, 2);
	assert_refused(&d, iova.addr + 3 * PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * PAGE), 0);
	assert_reads_pages(&d, iova.addr, 4, 1);
	/* Again, and again after a new link. */
	unlink_at(&d, &iova, 0, PAGE);
	assert_refused(&d, iova.addr);
	link_at(&d, &iova, 0, memory + PAGE, PAGE);
	assert_refused(&d, iova.addr);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 1), 0);
	assert_reads(&d, iova.addr, 2);
	destroy(&d, &iova, 4 * PAGE);
	device_close(&d, 0);
	free(memory);
}

/* A mapping call that gives an address is complete. */
static void streaming_needs_no_sync(void **state)
{
	struct device d = soft_open(state, ",absent=cache");
	uint8_t *memory = pages_new(3, 1);

	for (size_t pages = 1; pages <= 3; pages += 2) {
		dma_addr_t addr = dma_map_single(d.dev, memory, pages * PAGE, DMA_BIDIRECTIONAL);

		dma_unmap_single(d.dev, addr, pages * PAGE, DMA_BIDIRECTIONAL);
		assert_refused_pages(&d, addr, pages);
		/* The same addresses come again. */
		assert_int_equal(dma_map_single(d.dev, memory, pages * PAGE, DMA_BIDIRECTIONAL),
				 addr);
		assert_reads_pages(&d, addr, pages, 1);
		dma_unmap_single(d.dev, addr, pages * PAGE, DMA_BIDIRECTIONAL);
	}
	device_close(&d, 0);
	free(memory);
}

static void bounds(void **state)
{
	struct device d = soft_open(state, ",absent=cache");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE + 100), empty = {0};
	const struct {
		size_t offset, size;
		int answer;
	} cases[] = {
		{0, 0, -EINVAL},
		{4 * PAGE, 0, -EINVAL},
		{0, 3 * PAGE + 101, -ERANGE},
		{3 * PAGE, 101, -ERANGE},
		{3 * PAGE + 100, 1, -ERANGE},
		{SIZE_MAX, 1, -ERANGE},
		{SIZE_MAX, 2, -ERANGE},
		{PAGE, SIZE_MAX, -ERANGE},
	};

	assert_refused_pages(&d, iova.addr, 4);
	link_at(&d, &iova, 0, memory, 3 * PAGE + 100);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t invalidations = stats_of(&d).iotlb_invalidations;

		dma_clear_error();
		assert_int_equal(dma_iova_sync(d.dev, &iova, cases[i].offset, cases[i].size),
				 cases[i].answer);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(stats_of(&d).iotlb_invalidations, invalidations);
		assert_refused_pages(&d, iova.addr, 4);
	}
	assert_int_equal(dma_iova_sync(d.dev, &empty, 0, 1), -ERANGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 3 * PAGE + 99, 1), 0);
	assert_reads(&d, iova.addr + 3 * PAGE, 4);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 3 * PAGE + 100), 0);
	assert_reads_pages(&d, iova.addr, 4, 1);
	destroy(&d, &iova, 3 * PAGE + 100);
	device_close(&d, 0);
	free(memory);
}

/* Where absent entries are not remembered a sync costs nothing. */
static void no_request_without_need(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);

	assert_refused_pages(&d, iova.addr, 2);
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 1);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * PAGE), 0);
	assert_int_equal(stats_of(&d).iotlb_invalidations, 0);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 0), -EINVAL);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * PAGE + 1), -ERANGE);
	destroy(&d, &iova, 2 * PAGE);
	device_close(&d, 0);
	free(memory);
}

/* The kernel's calls that hand a mapped buffer over and back. */
static void handing_over(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr = dma_map_single(d.dev, memory, PAGE, DMA_FROM_DEVICE);
	struct misuse misuse = misuse_expect(&d);

	assert_false(dma_need_sync(d.dev, addr));
	dma_sync_single_for_device(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_int_equal(dma_bus_write(d.port, addr, "x", 1), 0);
	dma_sync_single_for_cpu(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_int_equal(memory[0], 'x');
	dma_sync_single_range_for_device(d.dev, addr, 10, 20, DMA_FROM_DEVICE);
	dma_sync_single_range_for_cpu(d.dev, addr, 10, 20, DMA_FROM_DEVICE);
	misuse_check(&d, misuse, 0);
	dma_sync_single_for_device(d.dev, addr, PAGE, DMA_NONE);
	misuse_check(&d, misuse, 1);
	dma_sync_single_for_cpu(d.dev, addr, 0, DMA_FROM_DEVICE);
	misuse_check(&d, misuse, 2);
	dma_sync_single_range_for_device(d.dev, addr, 10, 20, DMA_NONE);
	misuse_check(&d, misuse, 3);
	dma_sync_single_range_for_cpu(d.dev, addr, 10, 0, DMA_FROM_DEVICE);
	misuse_check(&d, misuse, 4);
	dma_unmap_single(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	device_close(&d, 4);
	free(memory);
}

static int sync_fails(struct backend *be, dma_addr_t iova, uint64_t size, bool whole)
{
	(void)be, (void)iova, (void)size, (void)whole;
	return -EIO;
}

/* A map whose sync fails leaves nothing that a device could reach, and no address taken. */
static void a_map_is_undone(void **state)
{
	struct device d = soft_open(state, ",absent=cache");
	struct backend *be = d.dev->be;
	const struct backend_ops *ops = be->ops;
	struct backend_ops failing = *ops;
	uint8_t *memory = pages_new(3, 1);
	struct dma_stats before, after;
	dma_addr_t addr;

	addr = dma_map_single(d.dev, memory + 5, 2 * PAGE, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	dma_unmap_single(d.dev, addr, 2 * PAGE, DMA_TO_DEVICE);
	before = stats_of(&d);
	failing.sync = sync_fails;
	be->ops = &failing;
	assert_int_equal(dma_map_single(d.dev, memory + 5, 2 * PAGE, DMA_TO_DEVICE),
			 DMA_MAPPING_ERROR);
	be->ops = ops;
	after = stats_of(&d);
	assert_int_equal(after.iova_live, before.iova_live);
	assert_int_equal(after.bytes_mapped, before.bytes_mapped);
	assert_int_equal(after.iotlb_invalidations, before.iotlb_invalidations + 1);
	assert_int_equal(after.misuse, before.misuse);
	assert_refused(&d, addr & ~(PAGE - 1));
	/* The same addresses serve the next map. */
	assert_int_equal(dma_map_single(d.dev, memory + 5, 2 * PAGE, DMA_TO_DEVICE), addr);
	dma_unmap_single(d.dev, addr, 2 * PAGE, DMA_TO_DEVICE);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(a_missing_sync_is_seen),  EACH_FORMAT(a_map_is_undone),
		EACH_FORMAT(streaming_needs_no_sync), EACH_FORMAT(bounds),
		EACH_FORMAT(no_request_without_need), EACH_FORMAT(handing_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
