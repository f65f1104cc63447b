/* SPDX-License-Identifier: MIT */
/*
 * What a transaction costs in ioctls: a vec of 256 pages that are contiguous in memory in 4 runs
 * is 4 map ioctls and 1 unmap ioctl.
 */
#include "setup.h"

#define PAGES 256
#define RUNS 4

static uint8_t *memory;
static struct dma_dev *dev;

static int start(void **state)
{
	(void)state;
	memory = pages_new(2 * PAGES, 0);
	dev = device_open("EDU");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	dma_dev_close(dev);
	pages_free(memory, 2 * PAGES);
	return 0;
}

static uint64_t ioctls(void)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(dma_dev_space(dev), &stats), 0);
	return stats.ioctls;
}

/* Four runs, with memory of nobody's between them. */
static void fill(struct phys_vec *vec)
{
	for (size_t i = 0; i < PAGES; i++) {
		size_t run = i / (PAGES / RUNS);

		vec[i] = (struct phys_vec){
			.paddr = virt_to_phys(memory + (i + run * (PAGES / RUNS)) * PAGE),
			.len = PAGE};
	}
}

static void test_vec(void **state)
{
	struct dma_iova_state range;
	struct phys_vec vec[PAGES];
	uint64_t before = ioctls();

	(void)state;
	fill(vec);
	if (!dma_iova_try_alloc(dev, &range, 0, PAGES * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_iova_link_vec(dev, &range, vec, PAGES, 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(ioctls() - before, 0);
	if (dma_iova_sync(dev, &range, 0, PAGES * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(ioctls() - before, RUNS);
	dma_iova_destroy(dev, &range, PAGES * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(ioctls() - before, RUNS + 1);
}

static void test_pages(void **state)
{
	struct dma_iova_state range;
	uint64_t before = ioctls();

	(void)state;
	if (!dma_iova_try_alloc(dev, &range, 0, 16 * PAGE))
		fail_msg("%s", dma_last_error());
	for (size_t i = 16; i--;)
		assert_int_equal(dma_iova_link(dev, &range, virt_to_phys(memory + i * PAGE),
					       i * PAGE, PAGE, DMA_TO_DEVICE, 0),
				 0);
	if (dma_iova_sync(dev, &range, 0, 16 * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(ioctls() - before, 16);
	dma_iova_destroy(dev, &range, 16 * PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(ioctls() - before, 17);
}

static void test_whole(void **state)
{
	struct dma_iova_state range;
	uint64_t before = ioctls();

	(void)state;
	if (!dma_iova_try_alloc_flags(dev, &range, 0, 16 * PAGE, 0, DMA_IOVA_WHOLE))
		fail_msg("%s", dma_last_error());
	for (size_t i = 16; i--;)
		assert_int_equal(dma_iova_link(dev, &range, virt_to_phys(memory + i * PAGE),
					       i * PAGE, PAGE, DMA_TO_DEVICE, 0),
				 0);
	if (dma_iova_sync(dev, &range, 0, 16 * PAGE))
		fail_msg("%s", dma_last_error());
	dma_iova_destroy(dev, &range, 16 * PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(ioctls() - before, 2);
}

/* Large pages, and more than one level of tables of the shadow. */
static void test_large(void **state)
{
	size_t size = 8UL << 20;
	uint8_t *large = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	struct dma_iova_state range;
	uint64_t before = ioctls();

	(void)state;
	if (large == MAP_FAILED)
		fail_msg("no huge pages: %s", strerror(errno));
	if (!dma_iova_try_alloc(dev, &range, 0, size))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_iova_link(dev, &range, virt_to_phys(large), 0, size, DMA_BIDIRECTIONAL,
				       0),
			 0);
	if (dma_iova_sync(dev, &range, 0, size))
		fail_msg("%s", dma_last_error());
	dma_iova_destroy(dev, &range, size, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(ioctls() - before, 2);
	munmap(large, size);
}

/* A second space takes over what the first has mapped; each is on its own afterwards. */
static void test_shared(void **state)
{
	struct dma_dev *other = device_open("NVME");
	struct dma_iova_state from, to;
	struct nvme nvme;
	struct dma_stats stats;

	(void)state;
	nvme_start(&nvme, other);
	if (!dma_iova_try_alloc(dev, &from, 0, 4 * PAGE) ||
	    !dma_iova_try_alloc(other, &to, 0, 4 * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_iova_link(dev, &from, virt_to_phys(memory), 0, 4 * PAGE,
				       DMA_BIDIRECTIONAL, 0),
			 0);
	assert_int_equal(dma_iova_sync(dev, &from, 0, 4 * PAGE), 0);
	if (dma_iova_link_mapped(other, &to, 0, dev, from.addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0) ||
	    dma_iova_sync(other, &to, 0, 4 * PAGE))
		fail_msg("%s", dma_last_error());
	dma_iova_destroy(dev, &from, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(nvme_identify(&nvme, to.addr + PAGE, 0), 0);
	assert_true(is_identity(memory + PAGE));
	dma_iova_destroy(other, &to, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_space_stats(dma_dev_space(other), &stats), 0);
	assert_int_equal(stats.misuse, 0);
	nvme_stop(&nvme);
	dma_dev_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vec),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_shared),
	};

	if (!has_iommu()) {
		printf("1..1\nok 1 - there are no ioctls without an IOMMU # SKIP\n");
		return 0;
	}
	return cmocka_run_group_tests_name("twostep", tests, start, stop);
}
