/* SPDX-License-Identifier: MIT */
/*
 * Memory of one device, mapped for another: a drive writes into a BAR. And several devices in
 * one address space, beside others in theirs.
 */
#include "setup.h"

#define BAR 2 /* of ivshmem: 1 MiB of memory */

struct pair {
	struct nvme nvme;
	struct dma_dev *provider;
	phys_addr_t base; /* 16 pages of the BAR, from the second on */
	uint8_t *cpu; /* the same */
};

static void pair_open(struct pair *pair, bool one_space)
{
	void *cpu;

	nvme_start(&pair->nvme, device_open("NVME"));
	pair->provider =
		device_open_in("IVSHMEM", one_space ? dma_dev_space(pair->nvme.dev) : NULL);
	if (ts_pci_register_bar(pair->provider, BAR, PAGE, 16 * PAGE, DMA_MEMORY_MMIO, &pair->base))
		fail_msg("%s", dma_last_error());
	assert_int_equal(ts_pci_map_bar(pair->provider, BAR, PAGE, 16 * PAGE, &cpu), 0);
	pair->cpu = cpu;
	memset(pair->cpu, 0, 16 * PAGE);
}

static void pair_close(struct pair *pair)
{
	assert_int_equal(ts_pci_unmap_bar(pair->provider, pair->cpu), 0);
	assert_int_equal(ts_pci_unregister_bar(pair->provider, pair->base), 0);
	dma_dev_close(pair->provider);
	nvme_stop(&pair->nvme);
	dma_dev_close(pair->nvme.dev);
}

static dma_addr_t map_page(struct pair *pair, unsigned int page)
{
	dma_addr_t addr = dma_map_phys(pair->nvme.dev, pair->base + page * PAGE, PAGE,
				       DMA_FROM_DEVICE, DMA_ATTR_MMIO);

	if (dma_mapping_error(pair->nvme.dev, addr))
		fail_msg("page %u of the BAR: %s", page, dma_last_error());
	return addr;
}

/* Identify to @addr, and where in the BAR it has arrived; -1: nowhere. */
static int arrives(struct pair *pair, dma_addr_t addr)
{
	int found = -1;

	memset(pair->cpu, 0, 16 * PAGE);
	nvme_identify(&pair->nvme, addr, 0);
	for (int i = 0; i < 16; i++) {
		if (is_identity(pair->cpu + (unsigned int)i * PAGE)) {
			assert_int_equal(found, -1);
			found = i;
		}
	}
	return found;
}

static int arrives_nowhere(struct pair *pair, dma_addr_t addr)
{
	int found;

	tell_host("expect-dma-faults");
	found = arrives(pair, addr);
	sleep_ms(20);
	tell_host("no-more-dma-faults");
	return found;
}

static void test_streaming(void **state)
{
	dma_addr_t first, second;
	struct pair pair;

	(void)state;
	for (int one_space = 0; one_space < 2; one_space++) {
		pair_open(&pair, one_space);
		first = map_page(&pair, 3);
		second = map_page(&pair, 9);
		assert_int_equal(arrives(&pair, first), 3);
		assert_int_equal(arrives(&pair, second), 9);
		/* Memory that is in a page table stays. */
		assert_int_equal(ts_pci_unregister_bar(pair.provider, pair.base), -EBUSY);
		dma_unmap_phys(pair.nvme.dev, first, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
		assert_int_equal(arrives_nowhere(&pair, first), -1);
		assert_int_equal(arrives(&pair, second), 9);
		dma_unmap_phys(pair.nvme.dev, second, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
		assert_int_equal(arrives_nowhere(&pair, second), -1);
		pair_close(&pair);
	}
}

/* Pages of a BAR and of RAM, in one contiguous range. */
static void test_two_step(void **state)
{
	uint8_t *memory = pages_new(1, 0);
	struct dma_iova_state range;
	struct dma_stats stats;
	struct pair pair;

	(void)state;
	pair_open(&pair, true);
	assert_true(dma_iova_try_alloc(pair.nvme.dev, &range, 0, 3 * PAGE));
	if (dma_iova_link(pair.nvme.dev, &range, pair.base + 7 * PAGE, 0, PAGE, DMA_FROM_DEVICE,
			  DMA_ATTR_MMIO) ||
	    dma_iova_link(pair.nvme.dev, &range, virt_to_phys(memory), PAGE, PAGE, DMA_FROM_DEVICE,
			  0) ||
	    dma_iova_link(pair.nvme.dev, &range, pair.base + 2 * PAGE, 2 * PAGE, PAGE,
			  DMA_FROM_DEVICE, DMA_ATTR_MMIO) ||
	    dma_iova_sync(pair.nvme.dev, &range, 0, 3 * PAGE))
		fail_msg("%s", dma_last_error());
	assert_int_equal(arrives(&pair, range.addr), 7);
	assert_int_equal(arrives(&pair, range.addr + 2 * PAGE), 2);
	assert_int_equal(memory[NVME_SERIAL], 0);
	assert_int_equal(nvme_identify(&pair.nvme, range.addr + PAGE, 0), 0);
	assert_true(is_identity(memory));
	/* From the middle of the last page of RAM into the BAR. */
	memset(pair.cpu, 0, 16 * PAGE);
	memset(memory, 0, PAGE);
	assert_int_equal(
		nvme_identify(&pair.nvme, range.addr + PAGE + 0x800, range.addr + 2 * PAGE), 0);
	assert_true(is_identity(memory + 0x800));
	assert_int_equal(memory[NVME_SERIAL], 0);
	dma_iova_unlink(pair.nvme.dev, &range, 0, 3 * PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(arrives_nowhere(&pair, range.addr), -1);
	dma_iova_free(pair.nvme.dev, &range);
	assert_int_equal(dma_space_stats(dma_dev_space(pair.nvme.dev), &stats), 0);
	assert_int_equal(stats.misuse, 0);
	pair_close(&pair);
	pages_free(memory, 1);
}

/* A dma-buf of a BAR has no mapping for the CPU; no device in software takes part. */
static int refuse_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	(void)arg, (void)offset, (void)buf, (void)len;
	return -EIO;
}

/* By the kernel's own export, where no CPU mapping takes part: iommufd maps by the file. */
static void test_dmabuf(void **state)
{
	static const struct dma_memory_ops ops = {.read = refuse_read};
	struct dma_memory_desc desc = {.type = DMA_MEMORY_DMABUF, .size = 16 * PAGE, .ops = &ops};
	struct pair pair;
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	pair_open(&pair, false);
	desc.fd = ts_pci_export_bar(pair.provider, BAR, PAGE, 16 * PAGE);
	if (desc.fd < 0) {
		assert_int_equal(desc.fd, -EOPNOTSUPP);
		pair_close(&pair);
		skip();
	}
	assert_true(fcntl(desc.fd, F_GETFD) & FD_CLOEXEC);
	if (dma_memory_register(&desc, &base))
		fail_msg("%s", dma_last_error());
	close(desc.fd);
	addr = dma_map_phys(pair.nvme.dev, base + 5 * PAGE, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
	if (is_scheme("vfio-type1")) {
		/* Which maps what the CPU has, and nothing else. */
		assert_int_equal(dma_mapping_error(pair.nvme.dev, addr) != 0, true);
		assert_non_null(strstr(dma_last_error(), "type1"));
	} else {
		if (dma_mapping_error(pair.nvme.dev, addr))
			fail_msg("%s", dma_last_error());
		assert_int_equal(arrives(&pair, addr), 5);
		dma_unmap_phys(pair.nvme.dev, addr, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
		assert_int_equal(arrives_nowhere(&pair, addr), -1);
	}
	assert_int_equal(dma_memory_unregister(base), 0);
	pair_close(&pair);
}

/* Registered memory that nobody has mapped goes with its device. */
static void test_left_registered(void **state)
{
	struct dma_dev *dev = device_open("IVSHMEM");
	phys_addr_t base;

	(void)state;
	assert_int_equal(ts_pci_register_bar(dev, BAR, 0, PAGE, DMA_MEMORY_MMIO, &base), 0);
	assert_int_equal(dma_memory_query(base, NULL, NULL), 0);
	dma_dev_close(dev);
	assert_int_equal(dma_memory_query(base, NULL, NULL), -EFAULT);
}

/* A provider that goes takes its memory along, from whoever has it mapped. */
static void test_provider_closes(void **state)
{
	struct ts_pci_features features;
	struct pair pair;
	dma_addr_t addr;
	uint8_t word[8];

	(void)state;
	pair_open(&pair, false);
	assert_int_equal(ts_pci_get_features(pair.provider, &features), 0);
	if (!is_scheme("vfio-iommufd") || !features.dmabuf) {
		pair_close(&pair);
		skip();
	}
	addr = map_page(&pair, 3);
	assert_int_equal(arrives(&pair, addr), 3);
	memset(pair.cpu, 0, 16 * PAGE);
	dma_dev_close(pair.provider);
	tell_host("expect-dma-faults");
	nvme_identify(&pair.nvme, addr, 0);
	sleep_ms(20);
	tell_host("no-more-dma-faults");
	dma_unmap_phys(pair.nvme.dev, addr, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO);
	pair.provider = device_open("IVSHMEM");
	assert_int_equal(
		ts_pci_read_bar(pair.provider, BAR, PAGE + 3 * PAGE + NVME_SERIAL, word, 8), 0);
	assert_memory_equal(word, "\0\0\0\0\0\0\0", 8);
	dma_dev_close(pair.provider);
	/* And the drive works on. */
	nvme_stop(&pair.nvme);
	nvme_start(&pair.nvme, pair.nvme.dev);
	nvme_stop(&pair.nvme);
	dma_dev_close(pair.nvme.dev);
}

/* The edu device copies within its first 4096 bytes from and to the bus (QEMU, edu.txt). */
static void edu_copy(struct dma_dev *dev, uint64_t from, uint64_t to, bool to_bus)
{
	uint64_t command = 1;

	assert_int_equal(dma_dev_reg_write(dev, 0, 0x80, from, 8), 0);
	assert_int_equal(dma_dev_reg_write(dev, 0, 0x88, to, 8), 0);
	assert_int_equal(dma_dev_reg_write(dev, 0, 0x90, 256, 8), 0);
	assert_int_equal(dma_dev_reg_write(dev, 0, 0x98, to_bus ? 3 : 1, 8), 0);
	for (int i = 0; command & 1; i++) {
		assert_true(i < 500);
		sleep_ms(10);
		assert_int_equal(dma_dev_reg_read(dev, 0, 0x98, &command, 8), 0);
	}
}

/* Three devices in one space: what is mapped once, each reaches at one address. */
static void test_one_space(void **state)
{
	uint8_t *memory = pages_new(1, 0);
	struct nvme one, other;
	struct dma_dev *edu;
	dma_addr_t addr;

	(void)state;
	nvme_start(&one, device_open("NVME"));
	nvme_start(&other, device_open_in("NVME3", dma_dev_space(one.dev)));
	edu = device_open_in("EDU", dma_dev_space(one.dev));
	assert_ptr_equal(dma_dev_space(other.dev), dma_dev_space(one.dev));
	/* The one that reaches least decides where. */
	assert_int_equal(dma_set_mask_and_coherent(edu, DMA_BIT_MASK(28)), 0);
	assert_int_equal(ts_pci_set_master(edu), 0);
	addr = dma_map_phys(edu, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(edu, addr))
		fail_msg("%s", dma_last_error());
	assert_true(addr + PAGE <= 1UL << 28);
	assert_int_equal(nvme_identify(&one, addr, 0), 0);
	assert_memory_equal(memory + NVME_SERIAL, "twostep0", 8);
	assert_int_equal(nvme_identify(&other, addr, 0), 0);
	assert_memory_equal(memory + NVME_SERIAL, "twostep2", 8);
	edu_copy(edu, addr, 0x40000, false);
	memset(memory, 0, PAGE);
	edu_copy(edu, 0x40000, addr + 1024, true);
	assert_memory_equal(memory + 1024 + NVME_SERIAL, "twostep2", 8);
	assert_int_equal(memory[NVME_SERIAL], 0);
	dma_unmap_phys(edu, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	memset(memory, 0x55, PAGE);
	tell_host("expect-dma-faults");
	nvme_identify(&one, addr, 0);
	nvme_identify(&other, addr, 0);
	edu_copy(edu, 0x40000, addr, true);
	sleep_ms(20);
	tell_host("no-more-dma-faults");
	for (size_t i = 0; i < PAGE; i++)
		assert_int_equal(memory[i], 0x55);
	/* One that leaves takes nothing along. */
	dma_dev_close(edu);
	nvme_stop(&one);
	dma_dev_close(one.dev);
	addr = dma_map_phys(other.dev, virt_to_phys(memory), PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(nvme_identify(&other, addr, 0), 0);
	assert_memory_equal(memory + NVME_SERIAL, "twostep2", 8);
	dma_unmap_phys(other.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	nvme_stop(&other);
	dma_dev_close(other.dev);
	pages_free(memory, 1);
}

/* What one space maps, a device of another does not reach. */
static void test_two_spaces(void **state)
{
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state range, same;
	struct nvme one, other;

	(void)state;
	nvme_start(&one, device_open("NVME"));
	nvme_start(&other, device_open("NVME3"));
	assert_ptr_not_equal(dma_dev_space(other.dev), dma_dev_space(one.dev));
	assert_true(dma_iova_try_alloc(one.dev, &range, 0, PAGE));
	assert_int_equal(
		dma_iova_link(one.dev, &range, virt_to_phys(memory), 0, PAGE, DMA_FROM_DEVICE, 0),
		0);
	assert_int_equal(dma_iova_sync(one.dev, &range, 0, PAGE), 0);
	tell_host("expect-dma-faults");
	nvme_identify(&other, range.addr, 0);
	sleep_ms(20);
	tell_host("no-more-dma-faults");
	assert_int_equal(memory[NVME_SERIAL], 0);
	assert_int_equal(nvme_identify(&one, range.addr, 0), 0);
	assert_memory_equal(memory + NVME_SERIAL, "twostep0", 8);
	/* The same address in the other space is other memory. */
	assert_true(dma_iova_try_alloc(other.dev, &same, 0, PAGE));
	assert_int_equal(dma_iova_link(other.dev, &same, virt_to_phys(memory + PAGE), 0, PAGE,
				       DMA_FROM_DEVICE, 0),
			 0);
	assert_int_equal(dma_iova_sync(other.dev, &same, 0, PAGE), 0);
	assert_int_equal(same.addr, range.addr);
	memset(memory, 0, 2 * PAGE);
	assert_int_equal(nvme_identify(&other, same.addr, 0), 0);
	assert_int_equal(memory[NVME_SERIAL], 0);
	assert_memory_equal(memory + PAGE + NVME_SERIAL, "twostep2", 8);
	dma_iova_destroy(other.dev, &same, PAGE, DMA_FROM_DEVICE, 0);
	dma_iova_destroy(one.dev, &range, PAGE, DMA_FROM_DEVICE, 0);
	nvme_stop(&other);
	dma_dev_close(other.dev);
	nvme_stop(&one);
	dma_dev_close(one.dev);
	pages_free(memory, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streaming),	cmocka_unit_test(test_two_step),
		cmocka_unit_test(test_dmabuf),		cmocka_unit_test(test_left_registered),
		cmocka_unit_test(test_provider_closes), cmocka_unit_test(test_one_space),
		cmocka_unit_test(test_two_spaces),
	};

	if (!has_iommu()) {
		printf("1..1\nok 1 - peers and spaces are an IOMMU's # SKIP\n");
		return 0;
	}
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
