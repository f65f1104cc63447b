/* SPDX-License-Identifier: MIT */
/* What is refused, and what a wrong free does: the safe part, and a misuse. */
#include "coherent.h"

static void refused(const struct device *d, size_t size, unsigned long attrs)
{
	struct dma_stats before = stats_of(d), after;
	dma_addr_t addr = 42;

	dma_clear_error();
	assert_null(dma_alloc_attrs(d->dev, size, &addr, attrs));
	assert_int_equal(addr, 42);
	assert_string_not_equal(dma_last_error(), "");
	after = stats_of(d);
	assert_memory_equal(&before, &after, sizeof(before));
}

/* A failure takes nothing else away: low memory stays what it is. */
static void low_memory_stays(void **state)
{
	struct device d = device_open("direct:,mask=32");
	dma_addr_t addr, more;
	uint8_t *cpu = dma_alloc_coherent(d.dev, PAGE, &addr);

	(void)state;
	assert_non_null(cpu);
	cpu[0] = 5;
	assert_null(dma_alloc_coherent(d.dev, 4 * GIB, &more));
	assert_non_null(strstr(dma_last_error(), "wider mask"));
	assert_int_equal(cpu[0], 5);
	assert_reads(&d, addr, 5);
	dma_free_coherent(d.dev, PAGE, cpu, addr);
	device_close(&d, 0);
}

static void allocations(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		struct device d = device_open(every_device[i]);

		refused(&d, 0, 0);
		refused(&d, SIZE_MAX, 0);
		refused(&d, SIZE_MAX - PAGE, 0);
		refused(&d, 1ULL << 56, 0);
		refused(&d, 1ULL << 55, 0);
		refused(&d, PAGE, DMA_ATTR_CC_SHARED);
		refused(&d, PAGE, DMA_ATTR_MMIO);
		refused(&d, PAGE, 1UL << 14); /* the kernel's own __DMA_ATTR_ALLOC_CC_SHARED */
		refused(&d, PAGE, 1UL << 0);
		refused(&d, PAGE, 1UL << 63);
		device_close(&d, 0);
	}
}

/* Of two allocations the first is freed wrongly, and goes all the same. */
struct wrong {
	size_t size;
	bool other_addr;
};

static void wrong_frees(void **state)
{
	static const struct wrong wrongs[] = {
		{2 * PAGE, false},     {1, false},	 {0, false}, {SIZE_MAX, false},
		{3 * PAGE + 1, false}, {3 * PAGE, true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(every_device) * COUNT(wrongs); i++) {
		const struct wrong *w = &wrongs[i % COUNT(wrongs)];
		struct device d = device_open(every_device[i / COUNT(wrongs)]);
		dma_addr_t addr, second;
		uint8_t *cpu = dma_alloc_coherent(d.dev, 3 * PAGE, &addr);
		uint8_t *other = dma_alloc_coherent(d.dev, PAGE, &second);
		struct misuse misuse = misuse_expect(&d);

		other[0] = 3;
		dma_free_coherent(d.dev, w->size, cpu, w->other_addr ? second : addr);
		misuse_check(&d, misuse, 1);
		assert_refused(&d, addr);
		assert_refused(&d, addr + 2 * PAGE);
		assert_reads(&d, second, 3);
		dma_free_coherent(d.dev, PAGE, other, second);
		device_close(&d, 1);
	}
}

/* An address where nothing is allocated changes nothing. */
static void unknown(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		struct device d = device_open(every_device[i]);
		struct device stranger = device_open("soft:");
		struct misuse misuse = misuse_expect(&d);
		dma_addr_t addr;
		uint8_t *cpu = dma_alloc_coherent(d.dev, 3 * PAGE, &addr);

		cpu[0] = 6;
		dma_free_coherent(d.dev, 3 * PAGE, cpu + PAGE, addr);
		dma_free_coherent(d.dev, 3 * PAGE, &cpu, addr);
		misuse_check(&d, misuse, 2);
		dma_free_coherent(stranger.dev, 3 * PAGE, cpu, addr);
		assert_int_equal(stats_of(&stranger).misuse, 1);
		dma_free_coherent(d.dev, 3 * PAGE, NULL, addr);
		assert_reads(&d, addr, 6);
		dma_free_coherent(d.dev, 3 * PAGE, cpu, addr);
		dma_free_coherent(d.dev, 3 * PAGE, cpu, addr);
		misuse_check(&d, misuse, 3);
		assert_non_null(strstr(dma_last_error(), "freed before"));
		device_close(&stranger, 1);
		device_close(&d, 3);
	}
}

/* Kinds of addresses are told apart, whoever ends them. */
static void other_kinds(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 8);
	struct misuse misuse = misuse_expect(&d);
	struct dma_iova_state iova;
	struct sg_table *sgt;
	dma_addr_t addr, streaming;
	uint8_t *cpu = dma_alloc_coherent(d.dev, PAGE, &addr);

	cpu[0] = 1;
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	misuse_check(&d, misuse, 1);
	assert_non_null(strstr(dma_last_error(), "dma_free_coherent()"));
	iova = (struct dma_iova_state){addr, PAGE};
	dma_iova_free(d.dev, &iova);
	dma_iova_destroy(d.dev, &iova, PAGE, DMA_BIDIRECTIONAL, 0);
	misuse_check(&d, misuse, 3);
	assert_reads(&d, addr, 1);
	/* A streaming address, and one that is only reserved. */
	streaming = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
	dma_free_coherent(d.dev, PAGE, memory, streaming);
	misuse_check(&d, misuse, 4);
	assert_reads(&d, streaming, 8);
	dma_unmap_single(d.dev, streaming, PAGE, DMA_BIDIRECTIONAL);
	/* By the call for another kind: it goes, all of it. */
	dma_free_pages(d.dev, PAGE, cpu, addr, DMA_BIDIRECTIONAL);
	misuse_check(&d, misuse, 5);
	assert_refused(&d, addr);
	sgt = dma_alloc_noncontiguous(d.dev, PAGE, DMA_BIDIRECTIONAL, 0);
	addr = sg_dma_address(sgt->sgl);
	dma_free_coherent(d.dev, PAGE, sgt, addr);
	misuse_check(&d, misuse, 6);
	assert_refused(&d, addr);
	free(memory);
	device_close(&d, 6);
}

static void leaks(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		struct device d = device_open(every_device[i]);
		dma_addr_t addr;

		assert_non_null(dma_alloc_coherent(d.dev, PAGE, &addr));
		assert_non_null(dma_alloc_coherent(d.dev, 3 * MIB, &addr));
		assert_non_null(dma_alloc_pages(d.dev, PAGE, &addr, DMA_TO_DEVICE));
		assert_non_null(dma_alloc_noncontiguous(d.dev, PAGE, DMA_TO_DEVICE, 0));
		dma_clear_error();
		dma_dev_close(d.dev);
		assert_int_equal(dma_leak_count() - d.leaks, 4);
		assert_string_not_equal(dma_last_error(), "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(low_memory_stays), cmocka_unit_test(allocations),
		cmocka_unit_test(wrong_frees),	    cmocka_unit_test(unknown),
		EACH_FORMAT(other_kinds),	    cmocka_unit_test(leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
