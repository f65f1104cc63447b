/* SPDX-License-Identifier: MIT */
/* Cache lines that two mappings share, where the device does not see the CPU's caches. */
#include "calls.h"

static void two_mappings(void **state)
{
	dma_addr_t one = mapped(phys_of(0), 64, DMA_FROM_DEVICE), two;

	(void)state;
	two = second_map_phys(d.dev, phys_of(0), PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, two), 0);
	concerns(only_at(DMA_DEBUG_CACHELINE, second_map_phys, first_map_phys), two, PAGE,
		 phys_of(0));
	third_unmap_phys(d.dev, two, PAGE, DMA_FROM_DEVICE, 0);
	unmapped(one, 64, DMA_FROM_DEVICE);
	/* Both have gone. */
	one = mapped(phys_of(0), 64, DMA_FROM_DEVICE);
	unmapped(one, 64, DMA_FROM_DEVICE);
}

static void neighbours(void **state)
{
	dma_addr_t one = mapped(phys_of(0), 128, DMA_BIDIRECTIONAL), two, three;

	(void)state;
	two = mapped(phys_of(0) + 128, 128, DMA_FROM_DEVICE);
	silent();
	three = second_map_phys(d.dev, phys_of(0) + 64, 64, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, three), 0);
	only_at(DMA_DEBUG_CACHELINE, second_map_phys, first_map_phys);
	third_unmap_phys(d.dev, three, 64, DMA_TO_DEVICE, 0);
	unmapped(one, 128, DMA_BIDIRECTIONAL);
	unmapped(two, 128, DMA_FROM_DEVICE);
}

/* What the device only reads is safe to share; and whoever says so knows. */
static void harmless(void **state)
{
	dma_addr_t one = mapped(phys_of(0), PAGE, DMA_TO_DEVICE), two;

	(void)state;
	two = mapped(phys_of(0), PAGE, DMA_TO_DEVICE);
	silent();
	unmapped(two, PAGE, DMA_TO_DEVICE);
	two = first_map_phys(d.dev, phys_of(0), PAGE, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	assert_int_equal(dma_mapping_error(d.dev, two), 0);
	silent();
	third_unmap_phys(d.dev, two, PAGE, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	unmapped(one, PAGE, DMA_TO_DEVICE);
}

static void links(void **state)
{
	struct dma_iova_state s = reserved(4 * PAGE);
	dma_addr_t addr;

	(void)state;
	linked(&s, 0, 4, DMA_FROM_DEVICE);
	synced(&s, 0, 4);
	addr = second_map_phys(d.dev, phys_of(2), 64, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	concerns(only_at(DMA_DEBUG_CACHELINE, second_map_phys, first_link), addr, 64, phys_of(2));
	third_unmap_phys(d.dev, addr, 64, DMA_FROM_DEVICE, 0);
	third_unlink(d.dev, &s, 2 * PAGE, PAGE, DMA_FROM_DEVICE, 0);
	addr = mapped(phys_of(2), 64, DMA_FROM_DEVICE);
	silent();
	assert_int_equal(second_link(d.dev, &s, phys_of(2), 2 * PAGE, PAGE, DMA_FROM_DEVICE, 0), 0);
	concerns(only_at(DMA_DEBUG_CACHELINE, second_link, first_map_phys), s.addr + 2 * PAGE, PAGE,
		 phys_of(2));
	unmapped(addr, 64, DMA_FROM_DEVICE);
	destroyed(&s, 4, DMA_FROM_DEVICE);
	addr = mapped(phys_of(3), 64, DMA_FROM_DEVICE);
	unmapped(addr, 64, DMA_FROM_DEVICE);
}

static void coherent_devices_do_not_care(void **state)
{
	dma_addr_t one = mapped(phys_of(0), 64, DMA_FROM_DEVICE);
	dma_addr_t two = mapped(phys_of(0), PAGE, DMA_BIDIRECTIONAL);

	(void)state;
	unmapped(two, PAGE, DMA_BIDIRECTIONAL);
	unmapped(one, 64, DMA_FROM_DEVICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(two_mappings, "soft:coherent=off"),
		ON(two_mappings, "soft:coherent=off,pgtable=x86-64"),
		ON(neighbours, "soft:coherent=off"),
		ON(harmless, "soft:coherent=off"),
		ON(links, "soft:coherent=off"),
		ON(links, "soft:coherent=off,pgtable=x86-64"),
		ON(coherent_devices_do_not_care, "soft:pgtable=vtd-ss"),
		ON(coherent_devices_do_not_care, "soft:untrusted"),
		ON(coherent_devices_do_not_care, "soft:bounce=force"),
		ON(coherent_devices_do_not_care, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
