/* SPDX-License-Identifier: MIT */
/* Memory that the CPU has no mapping of: linked, mapped, reached by the device, withdrawn. */
#include <unistd.h>

#include "setup.h"

#define PAGES 4

struct bar {
	uint8_t bytes[PAGES * 4096];
};

static int bar_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct bar *bar = arg;

	memcpy(buf, bar->bytes + offset, len);
	return 0;
}

static int bar_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	struct bar *bar = arg;

	memcpy(bar->bytes + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops bar_ops = {bar_read, bar_write};

static phys_addr_t bar_register(struct bar *bar)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO,
		.size = sizeof(bar->bytes),
		.fd = -1,
		.ops = &bar_ops,
		.ops_arg = bar,
	};
	phys_addr_t base;

	for (size_t i = 0; i < PAGES; i++)
		memset(bar->bytes + i * PAGE, (int)(0x30 + i), PAGE);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

/* Through links in two steps, in one vector with RAM, and through a mapping. */
static void a_bar_behind_calls(void **state)
{
	static struct bar bar;
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	phys_addr_t base = bar_register(&bar);
	struct dma_iova_state iova = reserve(&d, 0, (PAGES + 2) * PAGE);
	const struct phys_vec vec[] = {{virt_to_phys(memory), PAGE}, {base + 2 * PAGE, 2 * PAGE}};
	dma_addr_t addr;

	assert_int_equal(dma_iova_link(d.dev, &iova, base, 0, PAGES * PAGE, DMA_BIDIRECTIONAL,
				       DMA_ATTR_MMIO),
			 0);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, PAGES * PAGE), 0);
	assert_reads_pages(&d, iova.addr, PAGES, 0x30);
	assert_int_equal(dma_bus_write(d.port, iova.addr + PAGE + 5, "ring", 4), 0);
	assert_memory_equal(bar.bytes + PAGE + 5, "ring", 4);
	dma_iova_unlink(d.dev, &iova, 0, PAGES * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_refused_pages(&d, iova.addr, PAGES);

	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, 2, 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_reads(&d, iova.addr, 1);
	assert_reads_pages(&d, iova.addr + PAGE, 2, 0x32);
	destroy(&d, &iova, 3 * PAGE);

	addr = dma_map_resource(d.dev, base + 0x204, 8, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(addr % PAGE, 0x204);
	assert_int_equal(dma_bus_write(d.port, addr, "doorbell", 8), 0);
	assert_memory_equal(bar.bytes + 0x204, "doorbell", 8);
	dma_unmap_resource(d.dev, addr, 8, DMA_BIDIRECTIONAL, 0);
	assert_refused(&d, addr);
	assert_int_equal(dma_memory_unregister(base), 0);
	device_close(&d, 0);
	free(memory);
}

static void memory_of_a_descriptor(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_memory_desc desc = {.type = DMA_MEMORY_DMABUF, .size = 2 * PAGE};
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);
	uint8_t byte = 0x5e;
	phys_addr_t base;

	desc.fd = memfd_create("memory", MFD_CLOEXEC);
	desc.fd_offset = PAGE;
	assert_true(desc.fd >= 0);
	assert_int_equal(ftruncate(desc.fd, 3 * PAGE), 0);
	assert_int_equal(pwrite(desc.fd, &byte, 1, 2 * PAGE), 1);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(
		dma_iova_link(d.dev, &iova, base, 0, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO),
		0);
	assert_reads(&d, iova.addr, 0);
	assert_reads(&d, iova.addr + PAGE, 0x5e);
	assert_int_equal(dma_bus_write(d.port, iova.addr + 7, &byte, 1), 0);
	byte = 0;
	assert_int_equal(pread(desc.fd, &byte, 1, PAGE + 7), 1);
	assert_int_equal(byte, 0x5e);
	/* The library has a descriptor of its own. */
	close(desc.fd);
	assert_reads(&d, iova.addr + 7, 0x5e);
	destroy(&d, &iova, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(base), 0);
	device_close(&d, 0);
}

static void by_pointer(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 0x60);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_P2P, .size = 2 * PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;
	dma_addr_t addr;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(virt_to_phys(memory + PAGE + 3), base + PAGE + 3);
	addr = dma_map_single(d.dev, memory + PAGE + 3, 10, DMA_BIDIRECTIONAL);
	assert_reads(&d, addr, 0x61);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_reads(&d, addr, 0x61);
	dma_unmap_single(d.dev, addr, 10, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_memory_unregister(base), 0);
	device_close(&d, 0);
	free(memory);
}

/* Past the record, and in a hole of the arena. */
static void addresses_without_memory(void **state)
{
	static struct bar bar;
	struct device d = soft_open(state, "");
	phys_addr_t base = bar_register(&bar), end = base + PAGES * PAGE;
	struct dma_iova_state iova = reserve(&d, 0, 8 * PAGE);
	const struct phys_vec pieces[] = {
		{end, PAGE},
		{end - PAGE, 2 * PAGE},
		{base, PAGES * PAGE + 1},
		{end + 5 * PAGE, 1},
	};
	struct snapshot before;

	for (size_t i = 0; i < COUNT(pieces); i++) {
		before = snapshot_take(&d, iova.addr, 8);
		dma_clear_error();
		assert_int_equal(dma_iova_link(d.dev, &iova, pieces[i].paddr, 0, pieces[i].len,
					       DMA_TO_DEVICE, DMA_ATTR_MMIO),
				 -EINVAL);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(dma_iova_link_vec(d.dev, &iova, &pieces[i], 1, 0, DMA_TO_DEVICE,
						   DMA_ATTR_MMIO),
				 -EINVAL);
		dma_clear_error();
		assert_int_equal(dma_map_phys(d.dev, pieces[i].paddr, pieces[i].len, DMA_TO_DEVICE,
					      DMA_ATTR_MMIO),
				 DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged(&d, &before);
	}
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_memory_unregister(base), 0);
	/* It is a hole all of it now. */
	assert_int_equal(dma_map_phys(d.dev, base, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO),
			 DMA_MAPPING_ERROR);
	device_close(&d, 0);
}

static void withdrawing_what_is_in_use(void **state)
{
	static struct bar bar;
	struct device d = soft_open(state, ""), other = soft_open(state, "");
	phys_addr_t base = bar_register(&bar);
	struct dma_iova_state iova = reserve(&d, 0, PAGES * PAGE);
	dma_addr_t addr;

	assert_int_equal(
		dma_iova_link(d.dev, &iova, base + 3 * PAGE, 0, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO),
		0);
	addr = dma_map_resource(other.dev, base, PAGE, DMA_TO_DEVICE, 0);
	dma_clear_error();
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_string_not_equal(dma_last_error(), "");
	assert_reads(&d, iova.addr, 0x33);
	assert_reads(&other, addr, 0x30);
	dma_iova_unlink(d.dev, &iova, 0, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_reads(&other, addr, 0x30);
	dma_unmap_resource(other.dev, addr, PAGE, DMA_TO_DEVICE, 0);
	/* Reserved, but nothing is linked: that does not hold it. */
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(dma_memory_unregister(base), -ENOENT);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	device_close(&other, 0);
}

/* A copy would be needed, and there is no way to make one. */
static void untrusted_devices_get_whole_granules(void **state)
{
	static const unsigned long attrs[] = {0, DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT};
	static struct bar bar;
	struct device d = soft_open(state, ",untrusted,bounce=off");
	phys_addr_t base = bar_register(&bar);
	struct dma_iova_state iova = reserve(&d, 0, PAGES * PAGE);
	struct snapshot before = snapshot_take(&d, iova.addr, PAGES);

	for (size_t i = 0; i < COUNT(attrs); i++) {
		dma_clear_error();
		assert_int_equal(
			dma_iova_link(d.dev, &iova, base, 0, PAGE + 8, DMA_TO_DEVICE, attrs[i]),
			-EPERM);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged(&d, &before);
	}
	dma_clear_error();
	assert_int_equal(dma_map_phys(d.dev, base, PAGE + 8, DMA_TO_DEVICE, 0), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_unchanged(&d, &before);
	assert_int_equal(
		dma_iova_link(d.dev, &iova, base, 0, PAGES * PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO),
		0);
	assert_reads_pages(&d, iova.addr, PAGES, 0x30);
	destroy(&d, &iova, PAGES * PAGE);
	assert_int_equal(dma_memory_unregister(base), 0);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(a_bar_behind_calls),
		EACH_FORMAT(memory_of_a_descriptor),
		EACH_FORMAT(by_pointer),
		EACH_FORMAT(addresses_without_memory),
		EACH_FORMAT(withdrawing_what_is_in_use),
		EACH_FORMAT(untrusted_devices_get_whole_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
