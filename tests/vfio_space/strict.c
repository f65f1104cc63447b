/* SPDX-License-Identifier: MIT */
/* When a call that takes memory back has returned, the device does not reach it; not sooner. */
#include <pthread.h>

#include "setup.h"

#include "../race.h"

static void test_each_end(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);
	struct dma_gather gather;
	dma_addr_t addr;

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	unlink_at(&card, &iova, 0, 4 * PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);
	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	destroy(&card, &iova, 4 * PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);

	addr = dma_map_phys(card.dev, virt_to_phys(memory), 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_reaches(&card, addr, memory, 4 * PAGE);
	dma_unmap_phys(card.dev, addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_refused(&card, addr, 4 * PAGE);

	addr = dma_map_phys(card.dev, virt_to_phys(memory), 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	iova = reserve(&card, 4 * PAGE);
	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	dma_gather_begin(card.dev, &gather);
	dma_unmap_phys_gather(card.dev, addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_iova_destroy_gather(card.dev, &iova, 4 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	assert_refused(&card, addr, 4 * PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);
	assert_int_equal(fake_locked(), 0);
	card_close(&card, 0);
	pages_free(memory, 4);
}

/* While a gather is open its addresses are nobody's, and memory is not given back. */
static void test_inside_a_gather(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE), others[16];
	struct dma_gather gather;

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	dma_gather_begin(card.dev, &gather);
	dma_iova_destroy_gather(card.dev, &iova, 4 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	for (size_t i = 0; i < COUNT(others); i++) {
		others[i] = reserve(&card, 4 * PAGE);
		assert_true(others[i].addr != iova.addr);
		link_at(&card, &others[i], 0, memory, 4 * PAGE);
		sync_at(&card, &others[i], 0, 4 * PAGE);
	}
	dma_gather_end(&gather);
	assert_refused(&card, iova.addr, 4 * PAGE);
	for (size_t i = 0; i < COUNT(others); i++) {
		assert_reaches(&card, others[i].addr, memory, 4 * PAGE);
		destroy(&card, &others[i], 4 * PAGE);
	}
	card_close(&card, 0);
	pages_free(memory, 4);
}

/* To link where a gather has unlinked makes that final first. */
static void test_link_into_a_gather(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);
	struct dma_gather gather;

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	dma_gather_begin(card.dev, &gather);
	dma_iova_unlink_gather(card.dev, &iova, 0, 4 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	link_at(&card, &iova, PAGE, memory + 5 * PAGE, 2 * PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);
	sync_at(&card, &iova, PAGE, 2 * PAGE);
	assert_reaches(&card, iova.addr + PAGE, memory + 5 * PAGE, 2 * PAGE);
	dma_gather_end(&gather);
	assert_reaches(&card, iova.addr + PAGE, memory + 5 * PAGE, 2 * PAGE);
	assert_refused(&card, iova.addr, PAGE);
	assert_refused(&card, iova.addr + 3 * PAGE, PAGE);
	unlink_at(&card, &iova, PAGE, 2 * PAGE);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* More than a gather holds. */
static void test_full_gather(void **state)
{
	enum { MANY = 2 * DMA_GATHER_RANGES + 5 };
	uint8_t *memory = pages_new(1);
	struct card card = card_open(state, NULL);
	struct dma_gather gather;
	dma_addr_t addr[MANY];

	for (size_t i = 0; i < MANY; i++) {
		addr[i] = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
		assert_int_equal(dma_mapping_error(card.dev, addr[i]), 0);
	}
	dma_gather_begin(card.dev, &gather);
	for (size_t i = 0; i < MANY; i++)
		dma_unmap_phys_gather(card.dev, addr[i], PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	for (size_t i = 0; i < MANY; i++)
		assert_refused(&card, addr[i], PAGE);
	card_close(&card, 0);
	pages_free(memory, 1);
}

struct taker {
	struct card *card;
	struct dma_iova_state *iova;
	dma_addr_t addr;
	bool done;
};

static void *take_back(void *arg)
{
	struct taker *taker = arg;

	if (taker->iova)
		unlink_at(taker->card, taker->iova, 0, 4 * PAGE);
	else
		dma_unmap_phys(taker->card->dev, taker->addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	set_flag(&taker->done);
	return NULL;
}

/* As long as the kernel is at it, the call has not returned, and nobody gets the address. */
static void test_waits_for_the_kernel(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);

	for (int streaming = 0; streaming < 2; streaming++) {
		struct dma_iova_state iova, other;
		struct taker taker = {.card = &card};
		pthread_t thread;

		if (streaming) {
			taker.addr = dma_map_phys(card.dev, virt_to_phys(memory), 4 * PAGE,
						  DMA_BIDIRECTIONAL, 0);
		} else {
			iova = reserve(&card, 4 * PAGE);
			link_at(&card, &iova, 0, memory, 4 * PAGE);
			sync_at(&card, &iova, 0, 4 * PAGE);
			taker.iova = &iova;
			taker.addr = iova.addr;
		}
		fake_pause(unmap_request(&card), 1, FAKE_BEFORE);
		assert_int_equal(pthread_create(&thread, NULL, take_back, &taker), 0);
		fake_wait_paused();
		assert_false(flag_is_set(&taker.done));
		assert_reaches(&card, taker.addr, memory, 4 * PAGE);
		other = reserve(&card, 4 * PAGE);
		assert_true(other.addr != taker.addr);
		dma_iova_free(card.dev, &other);
		fake_resume();
		pthread_join(thread, NULL);
		assert_refused(&card, taker.addr, 4 * PAGE);
		if (!streaming)
			dma_iova_free(card.dev, &iova);
	}
	card_close(&card, 0);
	pages_free(memory, 4);
}

struct syncer {
	struct card *card;
	struct dma_iova_state *iova;
	int err;
};

static void *sync_all(void *arg)
{
	struct syncer *syncer = arg;

	syncer->err = dma_iova_sync(syncer->card->dev, syncer->iova, 0, 4 * PAGE);
	return NULL;
}

/* While a sync is in the kernel, what is beside it comes and goes. */
static void test_beside_a_sync(void **state)
{
	uint8_t *memory = pages_new(12);

	for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova = reserve(&card, 8 * PAGE);
		struct syncer syncer = {&card, &iova, 1};
		pthread_t thread;

		for (size_t i = 0; i < 4; i++)
			link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
		fake_pause(map_request(&card), 2, (enum fake_when)when);
		assert_int_equal(pthread_create(&thread, NULL, sync_all, &syncer), 0);
		fake_wait_paused();
		link_at(&card, &iova, 4 * PAGE, memory + 4 * PAGE, 2 * PAGE);
		link_at(&card, &iova, 6 * PAGE, memory + 6 * PAGE, PAGE);
		unlink_at(&card, &iova, 4 * PAGE, 2 * PAGE);
		fake_resume();
		pthread_join(thread, NULL);
		assert_int_equal(syncer.err, 0);
		assert_reaches(&card, iova.addr, memory, 4 * PAGE);
		assert_refused(&card, iova.addr + 4 * PAGE, 4 * PAGE);
		sync_at(&card, &iova, 6 * PAGE, PAGE);
		assert_reaches(&card, iova.addr + 6 * PAGE, memory + 6 * PAGE, PAGE);
		unlink_at(&card, &iova, 0, 4 * PAGE);
		unlink_at(&card, &iova, 6 * PAGE, PAGE);
		dma_iova_free(card.dev, &iova);
		card_close(&card, 0);
	}
	pages_free(memory, 12);
}

struct gatherer {
	struct card *card;
	struct dma_iova_state *iova;
	bool over_hole;
};

static void *gather_around(void *arg)
{
	struct gatherer *g = arg;
	struct dma_gather gather;

	dma_gather_begin(g->card->dev, &gather);
	if (g->over_hole) {
		dma_iova_unlink_gather(g->card->dev, g->iova, 0, 3 * PAGE, DMA_BIDIRECTIONAL, 0,
				       &gather);
	} else {
		dma_iova_unlink_gather(g->card->dev, g->iova, 0, PAGE, DMA_BIDIRECTIONAL, 0,
				       &gather);
		dma_iova_unlink_gather(g->card->dev, g->iova, 2 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0,
				       &gather);
	}
	dma_gather_end(&gather);
	return NULL;
}

/* What comes between two that a gather ends, while the kernel is at it, stays. */
static void test_between(void **state)
{
	uint8_t *memory = pages_new(4);

	for (int over_hole = 0; over_hole < 2; over_hole++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova = reserve(&card, 3 * PAGE);
		struct gatherer g = {.card = &card, .iova = &iova, .over_hole = over_hole};
		pthread_t thread;

		link_at(&card, &iova, 0, memory, PAGE);
		link_at(&card, &iova, 2 * PAGE, memory + 2 * PAGE, PAGE);
		sync_at(&card, &iova, 0, 3 * PAGE);
		fake_pause(unmap_request(&card), 1, FAKE_BEFORE);
		assert_int_equal(pthread_create(&thread, NULL, gather_around, &g), 0);
		fake_wait_paused();
		link_at(&card, &iova, PAGE, memory + 3 * PAGE, PAGE);
		sync_at(&card, &iova, PAGE, PAGE);
		fake_resume();
		pthread_join(thread, NULL);
		assert_refused(&card, iova.addr, PAGE);
		assert_reaches(&card, iova.addr + PAGE, memory + 3 * PAGE, PAGE);
		assert_refused(&card, iova.addr + 2 * PAGE, PAGE);
		unlink_at(&card, &iova, PAGE, PAGE);
		dma_iova_free(card.dev, &iova);
		/* To unlink over a hole is misuse. */
		card_close(&card, (uint64_t)over_hole);
	}
	pages_free(memory, 4);
}

static void *unlink_one(void *arg)
{
	struct taker *taker = arg;

	unlink_at(taker->card, taker->iova, 2 * PAGE, PAGE);
	set_flag(&taker->done);
	return NULL;
}

/*
 * What overlaps a sync must not run beside it. Should it all the same, it waits: the device
 * does not get what was unlinked meanwhile.
 */
static void test_unlink_during_sync(void **state)
{
	uint8_t *memory = pages_new(4);

	for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova = reserve(&card, 4 * PAGE);
		struct syncer syncer = {&card, &iova, 1};
		struct taker taker = {.card = &card, .iova = &iova};
		pthread_t sync, unlink;

		for (size_t i = 0; i < 4; i++)
			link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
		fake_pause(map_request(&card), 3, (enum fake_when)when);
		assert_int_equal(pthread_create(&sync, NULL, sync_all, &syncer), 0);
		fake_wait_paused();
		assert_int_equal(pthread_create(&unlink, NULL, unlink_one, &taker), 0);
		usleep(10000);
		assert_false(flag_is_set(&taker.done));
		fake_resume();
		pthread_join(sync, NULL);
		pthread_join(unlink, NULL);
		assert_int_equal(syncer.err, 0);
		assert_refused(&card, iova.addr + 2 * PAGE, PAGE);
		assert_reaches(&card, iova.addr, memory, 2 * PAGE);
		unlink_at(&card, &iova, 0, 2 * PAGE);
		unlink_at(&card, &iova, 3 * PAGE, PAGE);
		dma_iova_free(card.dev, &iova);
		card_close(&card, 0);
	}
	pages_free(memory, 4);
}

/* A second sync of the same is over when the first is; if that fails, it does the work. */
static void test_two_syncs(void **state)
{
	uint8_t *memory = pages_new(4);

	for (int fails = 0; fails < 2; fails++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova = reserve(&card, 4 * PAGE);
		struct syncer syncers[2] = {{&card, &iova, 1}, {&card, &iova, 1}};
		pthread_t threads[2];

		link_at(&card, &iova, 0, memory, 2 * PAGE);
		link_at(&card, &iova, 2 * PAGE, memory + 2 * PAGE, 2 * PAGE);
		fake_pause(map_request(&card), 2, FAKE_BEFORE);
		if (fails)
			fake_fail(map_request(&card), 2, -ENOMEM);
		assert_int_equal(pthread_create(&threads[0], NULL, sync_all, &syncers[0]), 0);
		fake_wait_paused();
		assert_int_equal(pthread_create(&threads[1], NULL, sync_all, &syncers[1]), 0);
		usleep(10000);
		assert_refused(&card, iova.addr + 2 * PAGE, 2 * PAGE);
		fake_resume();
		pthread_join(threads[1], NULL);
		assert_int_equal(syncers[1].err, 0);
		assert_reaches(&card, iova.addr, memory, 4 * PAGE);
		pthread_join(threads[0], NULL);
		assert_int_equal(syncers[0].err, fails ? -ENOMEM : 0);
		assert_reaches(&card, iova.addr, memory, 4 * PAGE);
		destroy(&card, &iova, 4 * PAGE);
		card_close(&card, 0);
	}
	pages_free(memory, 4);
}

/* A kernel that says of an unmap that there was nothing is told of, and not believed twice. */
static void test_unmap_refused(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);

	link_at(&card, &iova, 0, memory, 2 * PAGE);
	link_at(&card, &iova, 2 * PAGE, memory + 2 * PAGE, 2 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	fake_fail(unmap_request(&card), 1, -EBUSY);
	dma_clear_error();
	unlink_at(&card, &iova, 0, 4 * PAGE);
	/* Tried again, or told; but never silent with the device still there. */
	if (fake_mapped(card.function))
		assert_string_not_equal(dma_last_error(), "");
	dma_iova_free(card.dev, &iova);
	dma_dev_close(card.dev);
	assert_int_equal(fake_cuts(), 0);
	assert_int_equal(fake_open_files(), 0);
	assert_int_equal(fake_locked(), 0);
	fake_stop();
	pages_free(memory, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_each_end),
		EACH_WAY(test_inside_a_gather),
		EACH_WAY(test_link_into_a_gather),
		EACH_WAY(test_full_gather),
		EACH_WAY(test_waits_for_the_kernel),
		EACH_WAY(test_beside_a_sync),
		EACH_WAY(test_between),
		EACH_WAY(test_unlink_during_sync),
		EACH_WAY(test_two_syncs),
		EACH_WAY(test_unmap_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
