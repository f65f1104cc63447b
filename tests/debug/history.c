/* SPDX-License-Identifier: MIT */
/* What is remembered of addresses. */
#include <pthread.h>

#include "../race.h"
#include "checks.h"

#define ADDR 0xfff00000ULL

/* Links that follow on each other are one event; each sync and unlink of its own another. */
static void joined(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 512 * PAGE), other;
	const struct phys_vec vec = {phys_of(0), PAGE};
	const struct kept *k;

	(void)state;
	for (size_t i = 0; i < 300; i++)
		hook(linked, SITE(2), DEV, &s, i * PAGE, &vec, 1, DMA_TO_DEVICE, 0);
	hook(linked, SITE(3), DEV, &s, 300 * PAGE, &vec, 1, DMA_TO_DEVICE, 0);
	other = reserve(SITE(1), ADDR + 512 * PAGE, PAGE);
	for (size_t i = 0; i < 301; i++)
		hook(unlinking, SITE(4), DEV, &s, i * PAGE, PAGE, DMA_TO_DEVICE, 0);
	free_state(SITE(5), &s);
	silent();
	free_state(SITE(6), &s);
	k = only(DMA_DEBUG_FREE_TWICE, SITE(6), SITE(5));
	assert_int_equal(k->report.nr_history, 5);
	assert_int_equal(k->history[0].action, DMA_DEBUG_RESERVED);
	assert_int_equal(k->history[1].action, DMA_DEBUG_LINKED);
	assert_int_equal(k->history[1].size, 300 * PAGE);
	assert_int_equal(k->history[1].phys, phys_of(0));
	assert_int_equal(k->history[2].size, PAGE);
	assert_ptr_equal(k->history[2].caller, SITE(3));
	assert_int_equal(k->history[3].action, DMA_DEBUG_UNLINKED);
	assert_int_equal(k->history[3].size, 301 * PAGE);
	assert_int_equal(k->history[4].action, DMA_DEBUG_FREED);
	free_state(SITE(6), &other);
	silent();
}

static void sync_between(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 8 * PAGE);
	const struct kept *k;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		link_pages(SITE(2), &s, i, 1, DMA_TO_DEVICE);
		hook(synced, SITE(3), DEV, &s, i * PAGE, PAGE);
	}
	destroy(SITE(4), &s, 4 * PAGE, DMA_TO_DEVICE);
	silent();
	hook(unlinking, SITE(5), DEV, &s, 0, 4 * PAGE, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_STATE_UNKNOWN, SITE(5), SITE(4));
	assert_int_equal(k->report.nr_history, 10);
	for (size_t i = 1; i < 9; i++) {
		assert_int_equal(k->history[i].action, i % 2 ? DMA_DEBUG_LINKED : DMA_DEBUG_SYNCED);
		assert_int_equal(k->history[i].size, PAGE);
	}
}

static void not_joined(void **state)
{
	static const size_t at[] = {0, 1, 2, 5, 4, 6};
	struct dma_iova_state s = reserve(SITE(1), ADDR, 8 * PAGE);
	const struct kept *k;

	(void)state;
	for (int again = 0; again < 10; again++) {
		for (size_t i = 0; i < ARRAY_SIZE(at); i++)
			link_pages(SITE(2), &s, at[i], 1, DMA_TO_DEVICE);
		hook(synced, SITE(3), DEV, &s, 0, 8 * PAGE);
		hook(unlinking, SITE(4), DEV, &s, 0, 3 * PAGE, DMA_TO_DEVICE, 0);
		hook(unlinking, SITE(4), DEV, &s, 4 * PAGE, 3 * PAGE, DMA_TO_DEVICE, 0);
		silent();
	}
	hook(unlinking, SITE(5), DEV, &s, 0, 8 * PAGE, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_UNLINK_HOLE, SITE(5), SITE(4));
	assert_int_equal(k->report.nr_history, 16);
	k = &kept[0];
	assert_int_equal(k->history[9].action, DMA_DEBUG_LINKED);
	assert_int_equal(k->history[9].size, 3 * PAGE);
	for (size_t i = 10; i < 13; i++) {
		assert_int_equal(k->history[i].action, DMA_DEBUG_LINKED);
		assert_int_equal(k->history[i].addr, ADDR + at[i - 7] * PAGE);
		assert_int_equal(k->history[i].phys, phys_of(at[i - 7]));
		assert_int_equal(k->history[i].size, PAGE);
	}
	free_state(SITE(6), &s);
}

/* A row goes on where the records of its granules are kept elsewhere. */
static void joined_across(void **state)
{
	const dma_addr_t addr = 0x10000000;
	const size_t first = 4096 - 40, last = 4096 + 40;
	struct dma_iova_state s = reserve(SITE(1), addr, 8192 * PAGE);
	const struct kept *k;

	(void)state;
	for (size_t i = first; i < last; i++)
		hook(linked_page, SITE(2), DEV, &s, i * PAGE, phys_of(i % MEMORY_PAGES),
		     DMA_TO_DEVICE);
	for (size_t i = first; i < last; i++) {
		hook(unlinking, SITE(3), DEV, &s, i * PAGE, PAGE, DMA_FROM_DEVICE, 0);
		k = only(DMA_DEBUG_DIRECTION, SITE(3), SITE(2));
		assert_int_equal(k->report.addr, addr + i * PAGE);
		assert_int_equal(k->report.phys, phys_of(i % MEMORY_PAGES));
		assert_int_equal(k->report.nr_history, 2);
		assert_int_equal(k->history[1].addr, addr + first * PAGE);
		assert_int_equal(k->history[1].size, (last - first) * PAGE);
	}
	free_state(SITE(4), &s);
	silent();
}

/* What else the thread does ends a row: all is told in its order. */
static void between_links(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 8 * PAGE);
	const struct kept *k;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		hook(linked_page, SITE(2), DEV, &s, i * PAGE, phys_of(i), DMA_TO_DEVICE);
		if (i % 2) {
			map(SITE(3), ADDR + 8 * PAGE, phys_of(0), 64, DMA_TO_DEVICE);
			unmap(SITE(4), ADDR + 8 * PAGE, 64, DMA_TO_DEVICE);
		}
	}
	silent();
	hook(unlinking, SITE(5), DEV, &s, 0, 7 * PAGE, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_UNLINK_HOLE, SITE(5), SITE(1));
	assert_int_equal(k->report.nr_history, 4);
	for (size_t i = 1; i < 4; i++) {
		assert_int_equal(k->history[i].action, DMA_DEBUG_LINKED);
		assert_int_equal(k->history[i].addr, ADDR + 2 * (i - 1) * PAGE);
		assert_int_equal(k->history[i].size, 2 * PAGE);
		assert_int_equal(k->history[i].phys, phys_of(2 * (i - 1)));
	}
	free_state(SITE(6), &s);
	silent();
}

/* The last ones, of many and of several threads; others' addresses are left out. */
static void last_ones(void **state)
{
	const struct kept *k;

	(void)state;
	for (size_t i = 0; i < 3000; i++) {
		map(SITE(i), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
		unmap(SITE(i), ADDR, 64, DMA_TO_DEVICE);
		if (i % 2)
			continue;
		map(SITE(7), ADDR + PAGE, phys_of(0), 64, DMA_TO_DEVICE);
		unmap(SITE(7), ADDR + PAGE, 64, DMA_TO_DEVICE);
	}
	unmap(SITE(1), ADDR, 64, DMA_TO_DEVICE);
	k = only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(1), SITE(2999));
	assert_int_equal(k->report.nr_history, 16);
	for (size_t i = 0; i < 16; i++) {
		assert_int_equal(k->history[i].addr, ADDR);
		assert_ptr_equal(k->history[i].caller, SITE(2992 + i / 2));
		assert_int_equal(k->history[i].action,
				 i % 2 ? DMA_DEBUG_UNMAPPED : DMA_DEBUG_MAPPED);
	}
}

static void *unmap_elsewhere(void *arg)
{
	(void)arg;
	unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
	return NULL;
}

static void of_two_threads(void **state)
{
	const struct kept *k;
	pthread_t thread;

	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	assert_int_equal(pthread_create(&thread, NULL, unmap_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	unmap(SITE(3), ADDR, 64, DMA_TO_DEVICE);
	k = only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(3), SITE(2));
	assert_int_equal(k->report.nr_history, 2);
	assert_int_not_equal(k->history[0].thread, k->history[1].thread);
	assert_true(k->history[0].time_ns <= k->history[1].time_ns);
}

static bool stop;

static void *go_on(void *arg)
{
	dma_addr_t addr = ADDR - (uintptr_t)arg * PAGE;

	while (!flag_is_set(&stop)) {
		map(SITE(8), addr, phys_of(0), 64, DMA_TO_DEVICE);
		unmap(SITE(9), addr, 64, DMA_TO_DEVICE);
	}
	return NULL;
}

/* Read while others write: each event is one that was. */
static void read_meanwhile(void **state)
{
	pthread_t threads[2];

	(void)state;
	stop = false;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, go_on, (void *)(i + 1)), 0);
	for (int i = 0; i < 200; i++) {
		const struct kept *k;

		hook(unmapping, SITE(1), DEV, ADDR - 3 * PAGE, 3 * PAGE, DMA_TO_DEVICE, 0);
		k = only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(1), NULL);
		for (size_t j = 0; j < k->report.nr_history; j++) {
			const struct dma_debug_event *e = &k->history[j];

			assert_int_equal(e->size, 64);
			assert_ptr_equal(e->caller,
					 e->action == DMA_DEBUG_MAPPED ? SITE(8) : SITE(9));
			assert_int_equal(e->phys, e->action == DMA_DEBUG_MAPPED ? phys_of(0) : 0);
		}
	}
	set_flag(&stop);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	silent();
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(joined),	     test(sync_between), test(not_joined),     test(joined_across),
		test(between_links), test(last_ones),	 test(of_two_threads), test(read_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
