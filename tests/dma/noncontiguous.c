/* SPDX-License-Identifier: MIT */
/* Pages and noncontiguous memory: mapped for one direction, and handed back and forth. */
#include <twostep/scatterlist.h>

#include "coherent.h"

static bool is_noncoherent(const char *uri)
{
	return strstr(uri, "coherent=off") != NULL;
}

/* Memory of @bytes at @cpu and @addr, in both hands. */
static void back_and_forth(const struct device *d, const char *uri, uint8_t *cpu, dma_addr_t addr,
			   size_t bytes)
{
	assert_holds(cpu, bytes, 0);
	assert_device_sees(d, addr, bytes, 0);
	memset(cpu, 0x21, bytes);
	if (is_noncoherent(uri))
		assert_device_sees(d, addr, bytes, 0);
	dma_sync_single_for_device(d->dev, addr, bytes, DMA_BIDIRECTIONAL);
	assert_device_sees(d, addr, bytes, 0x21);
	device_fills(d, addr, bytes, 0x43);
	if (is_noncoherent(uri))
		assert_holds(cpu, bytes, 0x21);
	dma_sync_single_for_cpu(d->dev, addr, bytes, DMA_BIDIRECTIONAL);
	assert_holds(cpu, bytes, 0x43);
}

static void pages(void **state)
{
	static const size_t sizes[] = {1, PAGE, 5 * PAGE, 2 * MIB};

	(void)state;
	for (size_t i = 0; i < COUNT(every_device) * COUNT(sizes); i++) {
		const char *uri = every_device[i / COUNT(sizes)];
		size_t size = sizes[i % COUNT(sizes)];
		struct device d = device_open(uri);
		dma_addr_t addr;
		uint8_t *cpu = dma_alloc_pages(d.dev, size, &addr, DMA_BIDIRECTIONAL);

		assert_non_null(cpu);
		assert_int_equal(addr % alignment_of(size), 0);
		back_and_forth(&d, uri, cpu, addr, (size + PAGE - 1) & ~(PAGE - 1));
		dma_free_pages(d.dev, size, cpu, addr, DMA_BIDIRECTIONAL);
		assert_refused(&d, addr);
		device_close(&d, 0);
	}
}

static void directions(void **state)
{
	struct device d = soft_open(state, "");
	bool readable = !strcmp(*state, "x86-64"); /* which has no write-only entries */
	uint8_t byte = 1;
	dma_addr_t addr;
	uint8_t *cpu = dma_alloc_noncoherent(d.dev, PAGE, &addr, DMA_TO_DEVICE);

	assert_int_equal(dma_bus_read(d.port, addr, &byte, 1), 0);
	assert_int_equal(dma_bus_write(d.port, addr, &byte, 1), -EFAULT);
	dma_free_noncoherent(d.dev, PAGE, cpu, addr, DMA_TO_DEVICE);
	cpu = dma_alloc_pages(d.dev, PAGE, &addr, DMA_FROM_DEVICE);
	assert_int_equal(dma_bus_write(d.port, addr, &byte, 1), 0);
	assert_int_equal(dma_bus_read(d.port, addr, &byte, 1), readable ? 0 : -EFAULT);
	dma_free_pages(d.dev, PAGE, cpu, addr, DMA_FROM_DEVICE);
	dma_free_pages(d.dev, PAGE, NULL, addr, DMA_FROM_DEVICE);
	dma_clear_error();
	assert_null(dma_alloc_pages(d.dev, PAGE, &addr, DMA_NONE));
	assert_string_not_equal(dma_last_error(), "");
	assert_null(dma_alloc_pages(d.dev, 0, &addr, DMA_TO_DEVICE));
	device_close(&d, 0);
}

static void tables(void **state)
{
	static const size_t sizes[] = {1, PAGE, 7 * PAGE + 3, 4 * MIB};
	static const unsigned long attrs[] = {0, DMA_ATTR_ALLOC_SINGLE_PAGES};

	(void)state;
	for (size_t i = 0; i < COUNT(every_device) * COUNT(sizes) * 2; i++) {
		const char *uri = every_device[i / 2 / COUNT(sizes)];
		size_t size = sizes[i / 2 % COUNT(sizes)], bytes = (size + PAGE - 1) & ~(PAGE - 1);
		struct device d = device_open(uri);
		struct sg_table *sgt =
			dma_alloc_noncontiguous(d.dev, size, DMA_BIDIRECTIONAL, attrs[i % 2]);
		struct scatterlist *sg;
		unsigned int nr = 0, at;
		uint8_t *cpu;

		assert_non_null(sgt);
		assert_int_equal(sgt->nents, 1);
		for_each_sgtable_sg(sgt, sg, at) nr += sg->length;
		assert_int_equal(nr, bytes);
		assert_int_equal(sg_dma_len(sgt->sgl), bytes);
		cpu = dma_vmap_noncontiguous(d.dev, size, sgt);
		assert_non_null(cpu);
		assert_int_equal(virt_to_phys(cpu), sgt->sgl->paddr);
		back_and_forth(&d, uri, cpu, sg_dma_address(sgt->sgl), bytes);
		dma_vunmap_noncontiguous(d.dev, cpu);
		dma_free_noncontiguous(d.dev, size, sgt, DMA_BIDIRECTIONAL);
		device_close(&d, 0);
	}
}

static void wrong_tables(void **state)
{
	struct device d = soft_open(state, ""), other = soft_open(state, "");
	struct misuse misuse = misuse_expect(&d);
	struct sg_table *sgt;
	dma_addr_t addr;

	assert_null(dma_alloc_noncontiguous(d.dev, 0, DMA_TO_DEVICE, 0));
	assert_null(dma_alloc_noncontiguous(d.dev, 4 * GIB - PAGE + 1, DMA_TO_DEVICE, 0));
	assert_null(dma_alloc_noncontiguous(d.dev, PAGE, DMA_NONE, 0));
	assert_null(dma_alloc_noncontiguous(d.dev, PAGE, DMA_TO_DEVICE, DMA_ATTR_NO_WARN));
	assert_string_not_equal(dma_last_error(), "");
	sgt = dma_alloc_noncontiguous(d.dev, 4 * GIB - PAGE, DMA_TO_DEVICE, 0);
	assert_non_null(sgt);
	assert_int_equal(sg_dma_len(sgt->sgl), 4 * GIB - PAGE);
	assert_reads(&d, sg_dma_address(sgt->sgl) + 3 * GIB, 0);
	assert_null(dma_vmap_noncontiguous(d.dev, 4 * GIB, sgt));
	assert_null(dma_vmap_noncontiguous(other.dev, PAGE, sgt));
	assert_null(dma_vmap_noncontiguous(d.dev, PAGE, NULL));
	addr = sg_dma_address(sgt->sgl);
	misuse_check(&d, misuse, 0);
	dma_free_noncontiguous(other.dev, PAGE, sgt, DMA_TO_DEVICE);
	assert_reads(&d, addr, 0);
	dma_free_noncontiguous(d.dev, PAGE, sgt, DMA_TO_DEVICE);
	misuse_check(&d, misuse, 1);
	assert_refused(&d, addr);
	dma_free_noncontiguous(d.dev, PAGE, sgt, DMA_TO_DEVICE);
	misuse_check(&d, misuse, 2);
	dma_free_noncontiguous(d.dev, PAGE, NULL, DMA_TO_DEVICE);
	misuse_check(&d, misuse, 2);
	device_close(&other, 1);
	device_close(&d, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages),
		EACH_FORMAT(directions),
		cmocka_unit_test(tables),
		EACH_FORMAT(wrong_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
