/* SPDX-License-Identifier: MIT */
/* Lists with memory of a peer: each way to reach it, and lists that mix them. */
#include <twostep/premap.h>

#include "noncoherent.h"
#include "peers.h"
#include "sg.h"

/* Page, peer, page, page. */
static void mixed(struct scatterlist *sgl, const uint8_t *memory, phys_addr_t peer)
{
	entry_set(&sgl[0], memory, PAGE);
	sg_set_phys(&sgl[1], peer + PAGE, PAGE + 10);
	entry_set(&sgl[2], memory + 2 * PAGE, PAGE);
	entry_set(&sgl[3], memory + PAGE, PAGE);
}

static const char *const options[] = {
	"", ",absent=cache", ",untrusted", ",coherent=off", ",bounce=force",
};

static struct bar bar;

/* In the test's format, at a place in the plan. */
static struct device client_open(void **state, const char *place, const char *more)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s", place, more);
	return soft_open(state, text);
}

static void by_bus_address(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	phys_addr_t peer = bar_add(&provider, 0, &bar);
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[4];

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = client_open(state, ",pci=near", options[i]);
		bool separate = i >= 3;
		uint64_t live;

		mixed(sgl, memory, peer);
		assert_int_equal(dma_map_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL), separate ? 4 : 3);
		assert_false(sg_dma_is_bus_address(&sgl[0]));
		assert_true(sg_dma_is_bus_address(&sgl[1]));
		assert_int_equal(sg_dma_address(&sgl[1]), BAR_BUS + PAGE);
		assert_int_equal(sg_dma_len(&sgl[1]), PAGE + 10);
		assert_false(sg_dma_is_bus_address(&sgl[2]));
		assert_reads(&d, sg_dma_address(&sgl[0]), 1);
		assert_reads(&d, sg_dma_address(&sgl[1]), 0x41);
		assert_reads(&d, sg_dma_address(&sgl[1]) + PAGE, 0x42);
		assert_reads(&d, sg_dma_address(&sgl[2]), 3);
		assert_int_equal(stats_of(&d).bytes_mapped, 3 * PAGE);
		dma_sync_sg_for_cpu(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		dma_sync_sg_for_device(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		dma_unmap_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		assert_false(sg_dma_is_bus_address(&sgl[1]));
		/* Bus addresses alone take nothing. */
		live = stats_of(&d).iova_live;
		for (size_t j = 0; j < 4; j++)
			sg_set_phys(&sgl[j], peer + j * PAGE, PAGE);
		assert_int_equal(dma_map_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL), 4);
		assert_int_equal(stats_of(&d).iova_live, live);
		for (size_t j = 0; j < 4; j++)
			assert_int_equal(sg_dma_address(&sgl[j]), BAR_BUS + j * PAGE);
		dma_unmap_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		device_close(&d, 0);
	}
	device_close(&provider, 0);
	free(memory);
}

/* A bus address between two entries with padding between them. */
static void padding_around(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	struct device d = soft_open(state, ",pci=near");
	phys_addr_t peer = bar_add(&provider, 0, &bar);
	uint8_t *memory = pages_new(12, 1);
	struct scatterlist sgl[4];
	dma_addr_t addr;

	assert_int_equal(dma_set_seg_boundary(d.dev, 4 * PAGE - 1), 0);
	sg_set_phys(&sgl[0], peer, PAGE);
	entry_set(&sgl[1], memory, PAGE);
	sg_set_phys(&sgl[2], peer, PAGE);
	entry_set(&sgl[3], memory + 4 * PAGE, 4 * PAGE);
	assert_int_equal(dma_map_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL), 4);
	addr = sg_dma_address(&sgl[1]);
	assert_int_equal(sg_dma_address(&sgl[3]), addr + 4 * PAGE);
	assert_reads(&d, addr, 1);
	assert_refused_pages(&d, addr + PAGE, 3);
	assert_reads_pages(&d, addr + 4 * PAGE, 4, 5);
	dma_unmap_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
	assert_refused_pages(&d, addr, 8);
	device_close(&d, 0);
	device_close(&provider, 0);
	free(memory);
}

/* Mapped like other memory; caches have nothing to do with it, and it is not bounced. */
static void through_the_host_bridge(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	phys_addr_t peer = bar_add(&provider, 0, &bar);
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[4];

	for (size_t i = 0; i < COUNT(options) - 1; i++) {
		struct device d = client_open(state, ",pci=far", options[i]);
		bool separate = i == 3;

		mixed(sgl, memory, peer);
		assert_int_equal(dma_map_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL), separate ? 4 : 2);
		assert_reads(&d, sg_dma_address(&sgl[0]), 1);
		assert_reads(&d, sg_dma_address(&sgl[0]) + (separate ? 0 : PAGE),
			     separate ? 1 : 0x41);
		if (separate)
			assert_reads(&d, sg_dma_address(&sgl[1]) + PAGE, 0x42);
		dma_sync_sg_for_cpu(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		dma_sync_sg_for_device(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		/* Mapped memory is not for its provider to withdraw. */
		assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), -EBUSY);
		dma_unmap_sg(d.dev, sgl, 4, DMA_BIDIRECTIONAL);
		device_close(&d, 0);
	}
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), 0);
	device_close(&provider, 0);
	free(memory);
}

/* Memory of a peer is registered like other memory, unless it has a bus address. */
static void mapped_ahead(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	struct device near = client_open(state, ",pci=near", ",map=ahead");
	struct device far = client_open(state, ",pci=far", ",map=ahead");
	phys_addr_t peer = bar_add(&provider, 0, &bar), phys;
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[4];
	dma_addr_t addr;

	phys = virt_to_phys(memory);
	assert_int_equal(dma_premap(near.dev, phys, 3 * PAGE, DMA_BIDIRECTIONAL, 0, &addr), 0);
	mixed(sgl, memory, peer);
	assert_int_equal(dma_map_sg(near.dev, sgl, 4, DMA_BIDIRECTIONAL), 4);
	assert_int_equal(sg_dma_address(&sgl[0]), addr);
	assert_true(sg_dma_is_bus_address(&sgl[1]));
	assert_reads(&near, sg_dma_address(&sgl[1]), 0x41);
	assert_int_equal(sg_dma_address(&sgl[2]), addr + 2 * PAGE);
	dma_unmap_sg(near.dev, sgl, 4, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_unpremap(near.dev, phys, 3 * PAGE), 0);

	assert_int_equal(dma_premap(far.dev, phys, 3 * PAGE, DMA_BIDIRECTIONAL, 0, NULL), 0);
	mixed(sgl, memory, peer);
	assert_int_equal(dma_map_sg(far.dev, sgl, 4, DMA_BIDIRECTIONAL), 0);
	assert_poisoned(sgl, 4);
	dma_unpremap(far.dev, phys, 3 * PAGE);
	device_close(&far, 0);
	device_close(&near, 0);
	device_close(&provider, 0);
	free(memory);
}

/* Beyond a bridge that passes nothing on, and at no place that is known. */
static void not_at_all(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	phys_addr_t peer = bar_add(&provider, 0, &bar);
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[4];
	struct sg_table table = {sgl, 0, 4};

	for (size_t i = 0; i < COUNT(options) + 3; i++) {
		struct device d = i < COUNT(options) ? client_open(state, ",pci=lost", options[i])
				  : i == COUNT(options)	    ? soft_open(state, "")
				  : i == COUNT(options) + 1 ? device_open("direct:,pci=lost")
							    : device_open("direct:");

		mixed(sgl, memory, peer);
		dma_clear_error();
		assert_int_equal(dma_map_sgtable(d.dev, &table, DMA_BIDIRECTIONAL, 0), -EREMOTEIO);
		assert_string_not_equal(dma_last_error(), "");
		assert_poisoned(sgl, 4);
		assert_int_equal(stats_of(&d).iova_live, 0);
		device_close(&d, 0);
	}
	device_close(&provider, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(by_bus_address),
		EACH_FORMAT(padding_around),
		EACH_FORMAT(through_the_host_bridge),
		EACH_FORMAT(mapped_ahead),
		EACH_FORMAT(not_at_all),
	};

	return cmocka_run_group_tests(tests, plan_setup, plan_teardown);
}
