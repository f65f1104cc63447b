/* SPDX-License-Identifier: MIT */
/* How many ioctls it takes: one a unit to map, one a state to take back; and stats say so. */
#include "setup.h"

#define RUNS 4
#define RUN 64

/* A buffer of 256 pages that lies in memory in four runs is four maps and one unmap. */
static void test_runs(void **state)
{
	uint8_t *memory = pages_new(RUNS * (RUN + 1));
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, RUNS * RUN * PAGE);
	struct phys_vec vec[RUNS * RUN];

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){
			virt_to_phys(memory + (i / RUN * (RUN + 1) + i % RUN) * PAGE), PAGE};
	assert_int_equal(
		dma_iova_link_vec(card.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(fake_count(0), 0);
	sync_at(&card, &iova, 0, sizeof(vec) / sizeof(*vec) * PAGE);
	assert_int_equal(fake_maps(), RUNS);
	assert_int_equal(fake_count(0), RUNS);
	for (size_t run = 0; run < RUNS; run++)
		assert_reaches(&card, iova.addr + run * RUN * PAGE, memory + run * (RUN + 1) * PAGE,
			       RUN * PAGE);
	destroy(&card, &iova, RUNS * RUN * PAGE);
	assert_int_equal(fake_maps(), RUNS);
	assert_int_equal(fake_unmaps(), 1);
	assert_int_equal(fake_count(0), RUNS + 1);
	card_close(&card, 0);
	pages_free(memory, RUNS * (RUN + 1));
}

/* Each link is a unit, also where it goes on in memory. */
static void test_links(void **state)
{
	uint8_t *memory = pages_new(16);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 16 * PAGE);

	for (size_t i = 0; i < 16; i++)
		link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	sync_at(&card, &iova, 0, 16 * PAGE);
	assert_int_equal(fake_maps(), 16);
	unlink_at(&card, &iova, 4 * PAGE, 3 * PAGE);
	assert_refused(&card, iova.addr + 4 * PAGE, 3 * PAGE);
	assert_reaches(&card, iova.addr, memory, 4 * PAGE);
	assert_reaches(&card, iova.addr + 7 * PAGE, memory + 7 * PAGE, 9 * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	link_at(&card, &iova, 4 * PAGE, memory, 3 * PAGE);
	sync_at(&card, &iova, 4 * PAGE, 3 * PAGE);
	assert_int_equal(fake_maps(), 17);
	destroy(&card, &iova, 16 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 16);
}

/* A reservation that goes whole is as few maps as memory has runs, whoever linked it how. */
static void test_whole(void **state)
{
	uint8_t *memory = pages_new(17);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc_flags(card.dev, &iova, 0, 16 * PAGE, 0, DMA_IOVA_WHOLE));
	for (size_t i = 16; i-- > 0;)
		link_at(&card, &iova, i * PAGE, memory + (i + i / 8) * PAGE, PAGE);
	sync_at(&card, &iova, 0, 16 * PAGE);
	assert_int_equal(fake_maps(), 2);
	assert_reaches(&card, iova.addr, memory, 8 * PAGE);
	assert_reaches(&card, iova.addr + 8 * PAGE, memory + 9 * PAGE, 8 * PAGE);
	destroy(&card, &iova, 16 * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	card_close(&card, 0);
	pages_free(memory, 17);
}

static void test_streaming(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	dma_addr_t addr =
		dma_map_phys(card.dev, virt_to_phys(memory + 100), 2 * PAGE, DMA_BIDIRECTIONAL, 0);

	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	assert_int_equal(fake_maps(), 1);
	assert_reaches(&card, addr, memory + 100, PAGE - 100);
	assert_reaches(&card, addr - 100, memory, 3 * PAGE);
	dma_unmap_phys(card.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(fake_count(0), 2);
	assert_refused(&card, addr - 100, 3 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 4);
}

static void test_stats(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	uint64_t before = stats_of(&card).ioctls;

	for (int round = 0; round < 5; round++) {
		struct dma_iova_state iova = reserve(&card, 8 * PAGE);

		for (size_t i = 0; i < 8; i += 2)
			link_at(&card, &iova, i * PAGE, memory + i * PAGE, 2 * PAGE);
		if (round == 1)
			fake_fail(map_request(&card), 3, -ENOMEM);
		assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 8 * PAGE),
				 round == 1 ? -ENOMEM : 0);
		destroy(&card, &iova, 8 * PAGE);
		assert_int_equal(stats_of(&card).ioctls - before, fake_maps() + fake_unmaps());
	}
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* Many that end together take no more than one request each. */
static void test_gather(void **state)
{
	uint8_t *memory = pages_new(32);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova[8];
	struct dma_gather gather;

	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&card, 4 * PAGE);
		for (size_t page = 0; page < 4; page++)
			link_at(&card, &iova[i], page * PAGE, memory + (4 * i + page) * PAGE, PAGE);
		sync_at(&card, &iova[i], 0, 4 * PAGE);
	}
	fake_forget();
	dma_gather_begin(card.dev, &gather);
	for (size_t i = 0; i < COUNT(iova); i++)
		dma_iova_destroy_gather(card.dev, &iova[i], 4 * PAGE, DMA_BIDIRECTIONAL, 0,
					&gather);
	assert_int_equal(fake_maps(), 0);
	dma_gather_end(&gather);
	assert_true(fake_unmaps() <= COUNT(iova));
	for (size_t i = 0; i < COUNT(iova); i++)
		assert_refused(&card, iova[i].addr, 4 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_runs),	  EACH_WAY(test_links), EACH_WAY(test_whole),
		EACH_WAY(test_streaming), EACH_WAY(test_stats), EACH_WAY(test_gather),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
