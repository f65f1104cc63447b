/* SPDX-License-Identifier: MIT */
/* Without an IOMMU: addresses are memory addresses, and nothing can be reserved. */
#include "setup.h"

static void nothing_can_be_reserved(void **state)
{
	struct device d = device_open("direct:");
	struct dma_iova_state iova;

	(void)state;
	memset(&iova, 0xff, sizeof(iova));
	dma_clear_error();
	assert_false(dma_iova_try_alloc(d.dev, &iova, 0, PAGE));
	assert_int_equal(iova.addr, 0);
	assert_int_equal(iova.__size, 0);
	assert_string_not_equal(dma_last_error(), "");
	memset(&iova, 0xff, sizeof(iova));
	assert_false(dma_iova_try_alloc_flags(d.dev, &iova, 0, PAGE, 0, DMA_IOVA_WHOLE));
	assert_false(dma_use_iova(&iova));
	assert_int_equal(stats_of(&d).iova_allocs, 0);
	dma_clear_error();
	assert_int_equal(dma_space_reserve(d.space, 0x1000, 0x1fff), -EOPNOTSUPP);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_space_reserve(d.space, 0x2000, 0x1fff), -EINVAL);
	device_close(&d, 0);
}

/* The state that try_alloc has zeroed is refused by everything else. */
static void the_other_calls_refuse(void **state)
{
	struct device d = device_open("direct:");
	uint8_t *memory = pages_new(1, 1);
	struct phys_vec vec = {virt_to_phys(memory), PAGE};
	struct dma_iova_state iova;
	struct dma_gather gather;
	struct misuse misuse;

	(void)state;
	assert_false(dma_iova_try_alloc(d.dev, &iova, 0, PAGE));
	assert_int_equal(dma_iova_link(d.dev, &iova, vec.paddr, 0, PAGE, DMA_TO_DEVICE, 0),
			 -EINVAL);
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, &vec, 1, 0, DMA_TO_DEVICE, 0), -EINVAL);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, PAGE), -EINVAL);
	misuse = misuse_expect(&d);
	unlink_at(&d, &iova, 0, PAGE);
	misuse_check(&d, misuse, 1);
	dma_iova_free(d.dev, &iova);
	misuse_check(&d, misuse, 2);
	destroy(&d, &iova, PAGE);
	misuse_check(&d, misuse, 3);
	dma_gather_begin(d.dev, &gather);
	dma_iova_destroy_gather(d.dev, &iova, 0, DMA_TO_DEVICE, 0, &gather);
	dma_gather_end(&gather);
	misuse_check(&d, misuse, 4);
	device_close(&d, 4);
	free(memory);
}

/* What a device behind an IOMMU has reserved means nothing here, and is left alone. */
static void a_state_of_another_device(void **state)
{
	struct device d = device_open("direct:"), soft = device_open("soft:");
	uint8_t *memory = pages_new(2, 1);
	struct phys_vec vec = {virt_to_phys(memory), PAGE};
	struct dma_iova_state iova = reserve(&soft, 0, 2 * PAGE), whole;
	struct misuse misuse;

	(void)state;
	assert_true(dma_iova_try_alloc_flags(soft.dev, &whole, 0, PAGE, 0, DMA_IOVA_WHOLE));
	link_at(&soft, &iova, 0, memory, PAGE);
	dma_clear_error();
	assert_int_equal(dma_iova_link(d.dev, &iova, vec.paddr, PAGE, PAGE, DMA_TO_DEVICE, 0),
			 -EINVAL);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_iova_link(d.dev, &iova, vec.paddr, PAGE, 5, DMA_TO_DEVICE, 0),
			 -EINVAL);
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, &vec, 1, PAGE, DMA_TO_DEVICE, 0), -EINVAL);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, PAGE), -EINVAL);
	assert_int_equal(dma_iova_sync(d.dev, &whole, 0, PAGE), -EINVAL);
	misuse = misuse_expect(&d);
	unlink_at(&d, &iova, 0, PAGE);
	misuse_check(&d, misuse, 1);
	destroy(&d, &iova, PAGE);
	misuse_check(&d, misuse, 2);
	dma_iova_free(d.dev, &whole);
	misuse_check(&d, misuse, 3);
	assert_reads(&soft, iova.addr, 1);
	destroy(&soft, &iova, PAGE);
	dma_iova_free(soft.dev, &whole);
	device_close(&soft, 0);
	device_close(&d, 3);
	free(memory);
}

static void addresses_are_memory_addresses(void **state)
{
	struct device d = device_open("direct:");
	uint8_t *memory = pages_new(2, 1);
	struct dma_gather gather;
	struct dma_stats stats;
	dma_addr_t addr;

	(void)state;
	addr = dma_map_single(d.dev, memory + 5, PAGE, DMA_BIDIRECTIONAL);
	assert_int_equal(addr, virt_to_phys(memory + 5));
	assert_reads(&d, addr, 1);
	assert_int_equal(dma_bus_write(d.port, addr, "x", 1), 0);
	assert_int_equal(memory[5], 'x');
	assert_false(dma_need_sync(d.dev, addr));
	dma_sync_single_for_cpu(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	/* No isolation. */
	assert_reads(&d, addr + PAGE, 2);
	/* A gather has nothing to do. */
	dma_gather_begin(d.dev, &gather);
	addr = dma_map_single(d.dev, memory, 1, DMA_BIDIRECTIONAL);
	dma_unmap_phys_gather(d.dev, addr, 1, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	/* Shared memory has the same address here. */
	addr = dma_map_phys(d.dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED);
	assert_int_equal(addr, virt_to_phys(memory));
	stats = stats_of(&d);
	assert_int_equal(stats.iova_allocs, 0);
	assert_int_equal(stats.pte_writes, 0);
	assert_int_equal(stats.iotlb_invalidations, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.faults, 0);
	device_close(&d, 0);
	free(memory);
}

static void memory_that_is_out_of_reach(void **state)
{
	struct device d = device_open("direct:,mask=32,bounce=off"),
		      wide = device_open("direct:,bounce=off");
	uint8_t *memory = pages_new(1, 1);
	uint8_t *low = mmap((void *)0x10000000, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	(void)state;
	assert_ptr_not_equal(low, MAP_FAILED);
	assert_true(virt_to_phys(memory) > DMA_BIT_MASK(32));
	dma_clear_error();
	assert_int_equal(dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_map_single_attrs(d.dev, memory, PAGE, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			 DMA_MAPPING_ERROR);
	assert_int_equal(dma_map_phys(d.dev, DMA_BIT_MASK(32) - PAGE + 2, PAGE, DMA_TO_DEVICE, 0),
			 DMA_MAPPING_ERROR);
	assert_int_equal(dma_map_phys(d.dev, DMA_BIT_MASK(32) - PAGE + 1, PAGE, DMA_TO_DEVICE, 0),
			 DMA_BIT_MASK(32) - PAGE + 1);
	assert_int_equal(dma_map_single(d.dev, low, PAGE, DMA_TO_DEVICE), virt_to_phys(low));

	/* The device's own mask is as good a reason. */
	assert_int_equal(dma_map_single(wide.dev, memory, PAGE, DMA_TO_DEVICE),
			 virt_to_phys(memory));
	assert_int_equal(dma_set_mask(wide.dev, DMA_BIT_MASK(32)), 0);
	assert_int_equal(dma_map_single(wide.dev, memory, PAGE, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	assert_int_equal(dma_map_single(wide.dev, low, PAGE, DMA_TO_DEVICE), virt_to_phys(low));
	device_close(&d, 0);
	device_close(&wide, 0);
	munmap(low, PAGE);
	free(memory);
}

static void refusals(void **state)
{
	struct device d = device_open("direct:");
	uint8_t *memory = pages_new(1, 1);
	phys_addr_t phys = virt_to_phys(memory);
	const struct {
		phys_addr_t phys;
		size_t size;
		enum dma_data_direction dir;
	} cases[] = {
		{phys, 0, DMA_TO_DEVICE},
		{phys, PAGE, DMA_NONE},
		{phys, SIZE_MAX, DMA_TO_DEVICE},
		{UINT64_MAX, 1, DMA_TO_DEVICE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		dma_clear_error();
		assert_int_equal(dma_map_phys(d.dev, cases[i].phys, cases[i].size, cases[i].dir, 0),
				 DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
	}
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_can_be_reserved),
		cmocka_unit_test(the_other_calls_refuse),
		cmocka_unit_test(a_state_of_another_device),
		cmocka_unit_test(addresses_are_memory_addresses),
		cmocka_unit_test(memory_that_is_out_of_reach),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
