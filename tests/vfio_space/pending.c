/* SPDX-License-Identifier: MIT */
/* What is linked and not yet synced: out of reach, checked all the same, dropped for nothing. */
#include <pthread.h>

#include "setup.h"

static void test_not_before_sync(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	link_at(&card, &iova, 0, memory, 8 * PAGE);
	assert_refused(&card, iova.addr, 8 * PAGE);
	assert_int_equal(fake_count(0), 0);
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_reaches(&card, iova.addr, memory, 8 * PAGE);
	/* Again: there is nothing to do. */
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_int_equal(fake_count(0), 1);
	destroy(&card, &iova, 8 * PAGE);
	assert_refused(&card, iova.addr, 8 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

static void test_errors_at_link(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	link_at(&card, &iova, 2 * PAGE, memory, 4 * PAGE);
	assert_int_equal(try_link(&card, &iova, 5 * PAGE, memory, 2 * PAGE), -EADDRINUSE);
	assert_int_equal(try_link(&card, &iova, 0, memory, 3 * PAGE), -EADDRINUSE);
	assert_int_equal(try_link(&card, &iova, 2 * PAGE, memory, 4 * PAGE), -EADDRINUSE);
	assert_int_equal(try_link(&card, &iova, 6 * PAGE, memory, 3 * PAGE), -ERANGE);
	assert_int_equal(try_link(&card, &iova, 8 * PAGE, memory, PAGE), -ERANGE);
	assert_int_equal(try_link(&card, &iova, 6 * PAGE, memory, 0), -EINVAL);
	assert_int_equal(fake_count(0), 0);
	/* None of these has left anything behind. */
	link_at(&card, &iova, 0, memory, 2 * PAGE);
	link_at(&card, &iova, 6 * PAGE, memory, 2 * PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_int_equal(fake_maps(), 3);
	assert_int_equal(try_link(&card, &iova, 3 * PAGE, memory, PAGE), -EADDRINUSE);
	destroy(&card, &iova, 8 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

static void test_dropped(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	link_at(&card, &iova, 4 * PAGE, memory + 4 * PAGE, 4 * PAGE);
	unlink_at(&card, &iova, 0, 4 * PAGE);
	assert_int_equal(fake_count(0), 0);
	sync_at(&card, &iova, 4 * PAGE, 4 * PAGE);
	assert_int_equal(fake_maps(), 1);
	assert_refused(&card, iova.addr, 4 * PAGE);
	/* The place is free again. */
	link_at(&card, &iova, 0, memory + PAGE, PAGE);
	sync_at(&card, &iova, 0, PAGE);
	assert_reaches(&card, iova.addr, memory + PAGE, PAGE);
	unlink_at(&card, &iova, 0, PAGE);
	unlink_at(&card, &iova, 4 * PAGE, 4 * PAGE);

	/* All of a reservation that was never synced. */
	fake_forget();
	link_at(&card, &iova, 0, memory, 8 * PAGE);
	destroy(&card, &iova, 8 * PAGE);
	assert_int_equal(fake_count(0), 0);
	card_close(&card, 0);
	pages_free(memory, 8);
}

static void test_part(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	for (size_t i = 0; i < 8; i++)
		link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	sync_at(&card, &iova, 2 * PAGE, 3 * PAGE);
	assert_int_equal(fake_maps(), 3);
	assert_refused(&card, iova.addr, 2 * PAGE);
	assert_reaches(&card, iova.addr + 2 * PAGE, memory + 2 * PAGE, 3 * PAGE);
	assert_refused(&card, iova.addr + 5 * PAGE, 3 * PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_int_equal(fake_maps(), 8);
	assert_reaches(&card, iova.addr, memory, 8 * PAGE);
	destroy(&card, &iova, 8 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* A unit is mapped whole, also where only part of it is synced. */
static void test_part_of_a_unit(void **state)
{
	uint8_t *memory = pages_new(12);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 12 * PAGE);

	for (size_t i = 0; i < 3; i++)
		link_at(&card, &iova, 4 * i * PAGE, memory + 4 * i * PAGE, 4 * PAGE);
	sync_at(&card, &iova, 6 * PAGE, PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);
	assert_reaches(&card, iova.addr + 4 * PAGE, memory + 4 * PAGE, 4 * PAGE);
	assert_refused(&card, iova.addr + 8 * PAGE, 4 * PAGE);
	assert_int_equal(fake_maps(), 1);
	sync_at(&card, &iova, 3 * PAGE, 6 * PAGE);
	assert_reaches(&card, iova.addr, memory, 12 * PAGE);
	assert_int_equal(fake_maps(), 3);
	destroy(&card, &iova, 12 * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	card_close(&card, 0);
	pages_free(memory, 12);
}

/* What the shadow holds in one large entry is mapped and goes as one. */
static void test_large_entry(void **state)
{
	enum { LARGE = 2 << 20 };
	uint8_t *mapping = pages_new(3 * LARGE / PAGE), *memory;
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 2 * LARGE);

	memory = (uint8_t *)(((uintptr_t)mapping + LARGE - 1) & -(uintptr_t)LARGE);
	link_at(&card, &iova, 0, memory, LARGE + PAGE);
	sync_at(&card, &iova, 5 * PAGE, PAGE);
	assert_reaches(&card, iova.addr + 5 * PAGE, memory + 5 * PAGE, PAGE);
	sync_at(&card, &iova, 0, LARGE + PAGE);
	assert_reaches(&card, iova.addr, memory, LARGE + PAGE);
	assert_true(fake_maps() <= 2);
	destroy(&card, &iova, LARGE + PAGE);
	assert_refused(&card, iova.addr, LARGE + PAGE);
	assert_int_equal(fake_unmaps(), 1);

	fake_forget();
	iova = reserve(&card, 2 * LARGE);
	link_at(&card, &iova, 0, memory, LARGE + PAGE);
	sync_at(&card, &iova, 0, LARGE + PAGE);
	assert_int_equal(fake_maps(), 1);
	assert_int_equal(stats_of(&card).misuse, 0);
	unlink_at(&card, &iova, 7 * PAGE, PAGE);
	assert_refused(&card, iova.addr, LARGE + PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 1);
	pages_free(mapping, 3 * LARGE / PAGE);
}

/* Part of a pending link may go, and be linked anew: that is a unit, and no more than that. */
static void test_part_dropped(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	link_at(&card, &iova, 0, memory, 8 * PAGE);
	unlink_at(&card, &iova, 2 * PAGE, 2 * PAGE);
	assert_int_equal(fake_count(0), 0);
	link_at(&card, &iova, 2 * PAGE, memory + 2 * PAGE, 2 * PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_reaches(&card, iova.addr, memory, 8 * PAGE);
	unlink_at(&card, &iova, 2 * PAGE, 2 * PAGE);
	assert_reaches(&card, iova.addr, memory, 2 * PAGE);
	assert_refused(&card, iova.addr + 2 * PAGE, 2 * PAGE);
	assert_reaches(&card, iova.addr + 4 * PAGE, memory + 4 * PAGE, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 0);
	unlink_at(&card, &iova, 0, 2 * PAGE);
	unlink_at(&card, &iova, 4 * PAGE, 4 * PAGE);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* What is not whole pages of memory is widened to them. */
static void test_inside_granules(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc(card.dev, &iova, virt_to_phys(memory + 0x123), 2 * PAGE));
	assert_int_equal(iova.addr % PAGE, 0x123);
	link_at(&card, &iova, 0, memory + 0x123, PAGE - 0x123);
	link_at(&card, &iova, PAGE - 0x123, memory + 2 * PAGE, 77);
	sync_at(&card, &iova, 0, PAGE - 0x123 + 77);
	assert_ptr_equal(fake_reach(card.function, iova.addr, 1, true), memory + 0x123);
	assert_ptr_equal(fake_reach(card.function, iova.addr + PAGE - 0x123, 77, true),
			 memory + 2 * PAGE);
	destroy(&card, &iova, PAGE - 0x123 + 77);
	card_close(&card, 0);
	pages_free(memory, 4);
}

static void test_directions(void **state)
{
	uint8_t *memory = pages_new(3);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 3 * PAGE);

	assert_int_equal(
		dma_iova_link(card.dev, &iova, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(dma_iova_link(card.dev, &iova, virt_to_phys(memory + PAGE), PAGE, PAGE,
				       DMA_FROM_DEVICE, 0),
			 0);
	sync_at(&card, &iova, 0, 2 * PAGE);
	assert_non_null(fake_reach(card.function, iova.addr, PAGE, false));
	assert_null(fake_reach(card.function, iova.addr, PAGE, true));
	assert_non_null(fake_reach(card.function, iova.addr + PAGE, PAGE, true));
	dma_iova_unlink(card.dev, &iova, 0, PAGE, DMA_TO_DEVICE, 0);
	dma_iova_unlink(card.dev, &iova, PAGE, PAGE, DMA_FROM_DEVICE, 0);
	dma_iova_free(card.dev, &iova);

	/* Memory that must not be written can be read. */
	mprotect(memory, PAGE, PROT_READ);
	iova = reserve(&card, PAGE);
	assert_int_equal(
		dma_iova_link(card.dev, &iova, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE, 0), 0);
	sync_at(&card, &iova, 0, PAGE);
	assert_ptr_equal(fake_reach(card.function, iova.addr, PAGE, false), memory);
	dma_iova_destroy(card.dev, &iova, PAGE, DMA_TO_DEVICE, 0);
	card_close(&card, 0);
	pages_free(memory, 3);
}

/* Several threads link into one state, out of order, and one syncs. */
#define THREADS 4
#define EACH 32

struct linker {
	struct card *card;
	struct dma_iova_state *iova;
	uint8_t *memory;
	size_t first;
	int err;
};

static void *link_some(void *arg)
{
	struct linker *linker = arg;

	for (size_t n = 0; n < EACH; n++) {
		size_t page = (n * 7 % EACH) * THREADS + linker->first;
		int err = try_link(linker->card, linker->iova, page * PAGE,
				   linker->memory + page * PAGE, PAGE);

		if (err)
			linker->err = err;
	}
	return NULL;
}

static void test_threads(void **state)
{
	uint8_t *memory = pages_new(THREADS * EACH);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, THREADS * EACH * PAGE);
	struct linker linkers[THREADS];
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		linkers[i] = (struct linker){&card, &iova, memory, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, link_some, &linkers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(linkers[i].err, 0);
	}
	assert_int_equal(fake_count(0), 0);
	sync_at(&card, &iova, 0, THREADS * EACH * PAGE);
	assert_reaches(&card, iova.addr, memory, THREADS * EACH * PAGE);
	assert_int_equal(fake_maps(), THREADS * EACH);
	destroy(&card, &iova, THREADS * EACH * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	card_close(&card, 0);
	pages_free(memory, THREADS * EACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_not_before_sync), EACH_WAY(test_errors_at_link),
		EACH_WAY(test_dropped),		EACH_WAY(test_part),
		EACH_WAY(test_part_of_a_unit),	EACH_WAY(test_large_entry),
		EACH_WAY(test_part_dropped),	EACH_WAY(test_inside_granules),
		EACH_WAY(test_directions),	EACH_WAY(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
