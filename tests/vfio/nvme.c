/* SPDX-License-Identifier: MIT */
/* A drive as a bus master, in ranges and mappings made by each call. */
#include "setup.h"

static void two_step(struct nvme *nvme, size_t offset, const size_t *order)
{
	struct dma_dev *dev = nvme->dev;
	uint8_t *memory = pages_new(8, 0xee);
	struct dma_iova_state state;

	if (!dma_iova_try_alloc(dev, &state, 0, 2 * PAGE))
		fail_msg("%s", dma_last_error());
	for (size_t i = 0; i < 2; i++)
		if (dma_iova_link(dev, &state, virt_to_phys(memory + order[i] * PAGE), i * PAGE,
				  PAGE, DMA_FROM_DEVICE, 0))
			fail_msg("%s", dma_last_error());
	if (dma_iova_sync(dev, &state, 0, 2 * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(nvme_identify(nvme, state.addr + offset, state.addr + PAGE), 0);
	/* Page by page, as memory lies; nothing before, nothing behind. */
	assert_true(is_identity(memory + order[0] * PAGE + offset));
	for (size_t i = 0; i < offset; i++)
		assert_int_equal(memory[order[0] * PAGE + i], 0xee);
	for (size_t i = offset; offset && i < PAGE; i++)
		assert_int_equal(memory[order[1] * PAGE + i], 0xee);
	for (size_t page = 0; page < 8; page++)
		for (size_t i = 0; page != order[0] && page != order[1] && i < PAGE; i++)
			assert_int_equal(memory[page * PAGE + i], 0xee);
	dma_iova_destroy(dev, &state, 2 * PAGE, DMA_FROM_DEVICE, 0);
	pages_free(memory, 8);
}

static void test_two_step(void **state)
{
	static const size_t orders[][2] = {{0, 1}, {5, 2}};
	struct nvme nvme;

	(void)state;
	if (!has_iommu())
		skip();
	nvme_start(&nvme, device_open("NVME"));
	for (size_t i = 0; i < COUNT(orders); i++) {
		two_step(&nvme, 0, orders[i]);
		/* Across pages, which are not neighbours. */
		two_step(&nvme, 0x400, orders[i]);
	}
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
}

static void test_streaming(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	struct nvme nvme;
	dma_addr_t addr;

	(void)state;
	nvme_start(&nvme, device_open("NVME"));
	for (int i = 0; i < 40; i++) {
		memset(memory, 0, 4 * PAGE);
		addr = dma_map_phys(nvme.dev, virt_to_phys(memory + PAGE), PAGE, DMA_FROM_DEVICE,
				    0);
		if (dma_mapping_error(nvme.dev, addr))
			fail_msg("%s", dma_last_error());
		assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
		dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
		assert_true(is_identity(memory + PAGE));
		assert_int_equal(memory[0] | memory[2 * PAGE], 0);
	}
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	pages_free(memory, 4);
}

/* Everything through bounce buffers. */
static void test_bounced(void **state)
{
	uint8_t *memory = pages_new(2, 0x11);
	char uri[128];
	struct dma_dev *dev;
	struct nvme nvme;
	dma_addr_t addr;

	(void)state;
	snprintf(uri, sizeof(uri), "%s:%s,bounce=force", row_of("SCHEME"), row_of("NVME"));
	if (dma_dev_open(uri, &dev))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	nvme_start(&nvme, dev);
	addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_FROM_DEVICE, 0);
	if (dma_mapping_error(dev, addr))
		fail_msg("%s", dma_last_error());
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_int_equal(memory[NVME_SERIAL], 0x11);
	dma_unmap_phys(dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	assert_true(is_identity(memory));
	nvme_stop(&nvme);
	dma_dev_close(dev);
	pages_free(memory, 2);
}

/* Memory that the process has no pointer to: a file's. */
static void test_file(void **state)
{
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = 4 * PAGE, .bus_addr = 0, .fd = -1};
	uint8_t page[PAGE] = {0};
	struct nvme nvme;
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	if (!is_scheme("vfio-iommufd"))
		skip();
	desc.fd = memfd_create("memory", MFD_CLOEXEC);
	assert_true(desc.fd >= 0);
	assert_int_equal(ftruncate(desc.fd, 4 * PAGE), 0);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	nvme_start(&nvme, device_open("NVME"));
	addr = dma_map_phys(nvme.dev, base + 2 * PAGE, PAGE, DMA_FROM_DEVICE, 0);
	if (dma_mapping_error(nvme.dev, addr))
		fail_msg("%s", dma_last_error());
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(pread(desc.fd, page, PAGE, 2 * PAGE), PAGE);
	assert_true(is_identity(page));
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	assert_int_equal(dma_memory_unregister(base), 0);
	close(desc.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_step), cmocka_unit_test(test_streaming),
		cmocka_unit_test(test_bounced),	 cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
