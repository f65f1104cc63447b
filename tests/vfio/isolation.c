/* SPDX-License-Identifier: MIT */
/*
 * After unlink, unmap, destroy and the end of a gather the device reaches nothing: it tries, and
 * the memory stays as it is. A drive says success to an Identify whose transfer has faulted, so
 * memory is what is looked at.
 */
#include "setup.h"

static struct nvme nvme;

static int start(void **state)
{
	(void)state;
	nvme_start(&nvme, device_open("NVME"));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	return 0;
}

static void reserve(struct dma_iova_state *state, size_t pages)
{
	if (!dma_iova_try_alloc(nvme.dev, state, 0, pages * PAGE))
		fail_msg("%s", dma_last_error());
}

static void link_sync(struct dma_iova_state *state, size_t at, uint8_t *memory, size_t pages)
{
	if (dma_iova_link(nvme.dev, state, virt_to_phys(memory), at * PAGE, pages * PAGE,
			  DMA_BIDIRECTIONAL, 0) ||
	    dma_iova_sync(nvme.dev, state, at * PAGE, pages * PAGE))
		fail_msg("%s", dma_last_error());
}

static void assert_reaches(dma_addr_t addr, uint8_t *page)
{
	memset(page, 0, PAGE);
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_true(is_identity(page));
}

static void assert_refused(dma_addr_t addr, uint8_t *memory, size_t pages)
{
	memset(memory, 0x55, pages * PAGE);
	tell_host("expect-dma-faults");
	nvme_identify(&nvme, addr, 0);
	sleep_ms(20);
	tell_host("no-more-dma-faults");
	for (size_t i = 0; i < pages * PAGE; i++)
		if (memory[i] != 0x55)
			fail_msg("byte %zu was written through 0x%llx", i,
				 (unsigned long long)addr);
}

static void test_nothing_linked(void **state)
{
	uint8_t *memory = pages_new(1, 0);
	struct dma_iova_state range;

	(void)state;
	reserve(&range, 1);
	assert_refused(range.addr, memory, 1);
	/* Pending is not mapped. */
	assert_int_equal(dma_iova_link(nvme.dev, &range, virt_to_phys(memory), 0, PAGE,
				       DMA_BIDIRECTIONAL, 0),
			 0);
	assert_refused(range.addr, memory, 1);
	assert_int_equal(dma_iova_sync(nvme.dev, &range, 0, PAGE), 0);
	assert_reaches(range.addr, memory);
	dma_iova_destroy(nvme.dev, &range, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_refused(range.addr, memory, 1);
	pages_free(memory, 1);
}

static void test_unlink(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	struct dma_iova_state range;

	(void)state;
	reserve(&range, 4);
	for (size_t i = 0; i < 4; i++)
		link_sync(&range, i, memory + i * PAGE, 1);
	for (size_t i = 0; i < 4; i++)
		assert_reaches(range.addr + i * PAGE, memory + i * PAGE);
	dma_iova_unlink(nvme.dev, &range, PAGE, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_refused(range.addr + PAGE, memory, 4);
	assert_refused(range.addr + 2 * PAGE, memory, 4);
	assert_reaches(range.addr, memory);
	assert_reaches(range.addr + 3 * PAGE, memory + 3 * PAGE);
	/* Other memory there: the old is not reached. */
	link_sync(&range, 1, memory + 2 * PAGE, 1);
	memset(memory + PAGE, 0x55, PAGE);
	assert_reaches(range.addr + PAGE, memory + 2 * PAGE);
	assert_int_equal(memory[PAGE + NVME_SERIAL], 0x55);
	dma_iova_unlink(nvme.dev, &range, 0, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
	dma_iova_unlink(nvme.dev, &range, 3 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	dma_iova_free(nvme.dev, &range);
	for (size_t i = 0; i < 4; i++)
		assert_refused(range.addr + i * PAGE, memory, 4);
	pages_free(memory, 4);
}

/* Part of a unit goes whole, and is misuse. */
static void test_cut(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	struct dma_space *space = dma_dev_space(nvme.dev);
	struct dma_iova_state range;
	struct dma_stats before, after;

	(void)state;
	reserve(&range, 4);
	link_sync(&range, 0, memory, 4);
	assert_reaches(range.addr + 3 * PAGE, memory + 3 * PAGE);
	assert_int_equal(dma_space_stats(space, &before), 0);
	dma_iova_unlink(nvme.dev, &range, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_space_stats(space, &after), 0);
	assert_int_equal(after.misuse, before.misuse + 1);
	assert_int_equal(after.ioctls, before.ioctls + 1);
	for (size_t i = 0; i < 4; i++)
		assert_refused(range.addr + i * PAGE, memory, 4);
	dma_iova_free(nvme.dev, &range);
	pages_free(memory, 4);
}

static void test_unmap(void **state)
{
	uint8_t *memory = pages_new(2, 0);
	dma_addr_t addr;

	(void)state;
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), 2 * PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(nvme.dev, addr), 0);
	assert_reaches(addr + PAGE, memory + PAGE);
	dma_unmap_phys(nvme.dev, addr, 2 * PAGE, DMA_FROM_DEVICE, 0);
	assert_refused(addr, memory, 2);
	assert_refused(addr + PAGE, memory, 2);
	pages_free(memory, 2);
}

/* What the device may only read it does not write. */
static void test_direction(void **state)
{
	uint8_t *memory = pages_new(1, 0);
	dma_addr_t addr;

	(void)state;
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(nvme.dev, addr), 0);
	assert_refused(addr, memory, 1);
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_TO_DEVICE, 0);
	pages_free(memory, 1);
}

static void test_gather(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	struct dma_gather gather;
	struct dma_iova_state range;

	(void)state;
	reserve(&range, 4);
	for (size_t i = 0; i < 4; i++)
		link_sync(&range, i, memory + i * PAGE, 1);
	dma_gather_begin(nvme.dev, &gather);
	for (size_t i = 0; i < 4; i++)
		dma_iova_unlink_gather(nvme.dev, &range, i * PAGE, PAGE, DMA_BIDIRECTIONAL, 0,
				       &gather);
	dma_gather_end(&gather);
	for (size_t i = 0; i < 4; i++)
		assert_refused(range.addr + i * PAGE, memory, 4);
	dma_iova_free(nvme.dev, &range);
	pages_free(memory, 4);
}

/* What was left mapped goes with the device. */
static void test_close(void **state)
{
	uint8_t *memory = pages_new(1, 0);
	struct dma_iova_state range;
	uint64_t leaks = dma_leak_count();

	reserve(&range, 1);
	link_sync(&range, 0, memory, 1);
	assert_reaches(range.addr, memory);
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	assert_int_equal(dma_leak_count(), leaks + 1);
	start(state);
	assert_refused(range.addr, memory, 1);
	pages_free(memory, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_linked), cmocka_unit_test(test_unlink),
		cmocka_unit_test(test_cut),	       cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_direction),      cmocka_unit_test(test_gather),
		cmocka_unit_test(test_close),
	};

	if (!has_iommu()) {
		printf("1..1\nok 1 - nothing isolates without an IOMMU # SKIP\n");
		return 0;
	}
	return cmocka_run_group_tests_name("isolation", tests, start, stop);
}
