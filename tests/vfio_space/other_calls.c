/* SPDX-License-Identifier: MIT */
/* Everything else that maps: lists, coherent memory, pools, memory mapped ahead, bouncing. */
#include <twostep/coherent.h>
#include <twostep/dmapool.h>
#include <twostep/premap.h>
#include <twostep/scatterlist.h>

#include "setup.h"

/* A list is one range of addresses, and a map for each piece of memory. */
static void test_list(void **state)
{
	uint8_t *memory = pages_new(12);
	struct card card = card_open(state, NULL);
	struct scatterlist sgl[4];
	unsigned int nr;

	for (size_t i = 0; i < COUNT(sgl); i++)
		sg_set_phys(&sgl[i], virt_to_phys(memory + 3 * i * PAGE), 2 * PAGE);
	nr = dma_map_sg(card.dev, sgl, COUNT(sgl), DMA_BIDIRECTIONAL);
	assert_int_equal(nr, 1);
	assert_int_equal(sg_dma_len(&sgl[0]), COUNT(sgl) * 2 * PAGE);
	for (size_t i = 0; i < COUNT(sgl); i++)
		assert_reaches(&card, sg_dma_address(&sgl[0]) + 2 * i * PAGE, memory + 3 * i * PAGE,
			       2 * PAGE);
	assert_int_equal(fake_maps(), COUNT(sgl));
	dma_unmap_sg(card.dev, sgl, COUNT(sgl), DMA_BIDIRECTIONAL);
	assert_int_equal(fake_unmaps(), 1);
	assert_int_equal(fake_mapped(card.function), 0);

	fake_fail(map_request(&card), 3, -ENOMEM);
	assert_int_equal(dma_map_sg(card.dev, sgl, COUNT(sgl), DMA_BIDIRECTIONAL), 0);
	assert_int_equal(fake_mapped(card.function), 0);
	card_close(&card, 0);
	pages_free(memory, 12);
}

static void test_coherent(void **state)
{
	struct card card = card_open(state, NULL);
	dma_addr_t addr;
	uint8_t *memory = dma_alloc_coherent(card.dev, 3 * PAGE, &addr);

	assert_non_null(memory);
	assert_int_equal(fake_maps(), 1);
	assert_reaches(&card, addr, memory, 3 * PAGE);
	dma_free_coherent(card.dev, 3 * PAGE, memory, addr);
	assert_int_equal(fake_mapped(card.function), 0);
	fake_fail(map_request(&card), 1, -ENOMEM);
	assert_null(dma_alloc_coherent(card.dev, 3 * PAGE, &addr));
	assert_string_not_equal(dma_last_error(), "");
	card_close(&card, 0);
}

static void test_pool(void **state)
{
	struct card card = card_open(state, NULL);
	struct dma_pool *pool = dma_pool_create("test", card.dev, 256, 64, 0);
	dma_addr_t addr[40];
	void *object[40];

	assert_non_null(pool);
	for (size_t i = 0; i < COUNT(object); i++) {
		object[i] = dma_pool_alloc(pool, &addr[i]);
		assert_non_null(object[i]);
		assert_ptr_equal(fake_reach(card.function, addr[i], 256, true), object[i]);
	}
	assert_true(fake_maps() < COUNT(object) / 4);
	for (size_t i = 0; i < COUNT(object); i++)
		dma_pool_free(pool, object[i], addr[i]);
	dma_pool_destroy(pool);
	assert_int_equal(fake_mapped(card.function), 0);
	card_close(&card, 0);
}

/* Memory mapped ahead costs its ioctls once. */
static void test_ahead(void **state)
{
	uint8_t *memory = pages_new(16);
	struct card card = card_open_with(state, NULL, ",map=ahead");
	dma_addr_t base, addr;

	assert_int_equal(
		dma_premap(card.dev, virt_to_phys(memory), 16 * PAGE, DMA_BIDIRECTIONAL, 0, &base),
		0);
	assert_int_equal(fake_maps(), 1);
	for (size_t i = 0; i < 16; i++) {
		addr = dma_map_phys(card.dev, virt_to_phys(memory + i * PAGE), PAGE,
				    DMA_BIDIRECTIONAL, 0);
		assert_int_equal(addr, base + i * PAGE);
		assert_reaches(&card, addr, memory + i * PAGE, PAGE);
		dma_unmap_phys(card.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	}
	assert_int_equal(fake_count(0), 1);
	assert_int_equal(dma_unpremap(card.dev, virt_to_phys(memory), 16 * PAGE), 0);
	assert_refused(&card, base, 16 * PAGE);
	fake_fail(map_request(&card), 1, -ENOMEM);
	assert_int_equal(
		dma_premap(card.dev, virt_to_phys(memory), 16 * PAGE, DMA_BIDIRECTIONAL, 0, &base),
		-ENOMEM);
	card_close(&card, 0);
	pages_free(memory, 16);
}

/* What shares a page with others is not shared with a device that is not trusted. */
static void test_bounced(void **state)
{
	uint8_t *memory = pages_new(3);
	struct card card = card_open_with(state, NULL, ",untrusted");
	struct dma_iova_state iova;
	dma_addr_t addr;
	uint8_t byte = 0xcc, got = 0;

	assert_true(dma_iova_try_alloc(card.dev, &iova, virt_to_phys(memory + 100), 2 * PAGE));
	link_at(&card, &iova, 0, memory + 100, 2 * PAGE);
	sync_at(&card, &iova, 0, 2 * PAGE);
	assert_ptr_not_equal(fake_reach(card.function, iova.addr, 1, true), memory + 100);
	assert_ptr_equal(fake_reach(card.function, iova.addr + PAGE - 100, PAGE, true),
			 memory + PAGE);
	assert_int_equal(fake_read(card.function, iova.addr, &got, 1), 0);
	assert_int_equal(got, memory[100]);
	assert_int_equal(fake_write(card.function, iova.addr, &byte, 1), 0);
	destroy(&card, &iova, 2 * PAGE);
	assert_int_equal(memory[100], 0xcc);
	assert_refused(&card, iova.addr, 2 * PAGE);

	addr = dma_map_phys(card.dev, virt_to_phys(memory + 7), 100, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	byte = 0xdd;
	assert_int_equal(fake_write(card.function, addr, &byte, 1), 0);
	dma_unmap_phys(card.dev, addr, 100, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(memory[7], 0xdd);
	assert_int_equal(fake_mapped(card.function), 0);
	card_close(&card, 0);
	pages_free(memory, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_list),  EACH_WAY(test_coherent), EACH_WAY(test_pool),
		EACH_WAY(test_ahead), EACH_WAY(test_bounced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
