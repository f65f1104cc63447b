/* SPDX-License-Identifier: MIT */
/* Random correct programs, on several threads with a device each: not one report. */
#include <pthread.h>
#include <time.h>

#include "../race.h"
#include "../slow.h"
#include "checks.h"

#define THREADS 4
#define SLOTS 8
#define STEPS (40000 / SLOW)
/* Addresses that a thread gives out itself: slot s has the 64 granules from here. */
#define SLOT_ADDR(thread, slot) ((1ULL << 32) + (((thread)*SLOTS + (slot)) << 18))

enum life { NOTHING, MAPPED, RESERVED };

struct slot {
	enum life life;
	enum dma_data_direction dir;
	dma_addr_t addr;
	size_t size;
	struct dma_iova_state state;
	uint64_t linked, synced; /* bit for each granule */
};

struct worker {
	pthread_t thread;
	uint64_t seed;
	uint64_t number;
	struct slot slots[SLOTS];
};

static unsigned int below(struct worker *w, unsigned int end)
{
	return (unsigned int)(next_random(&w->seed) >> 20) % end;
}

static void begin(struct worker *w, struct slot *slot, uint64_t base)
{
	static const size_t pages[] = {1, 2, 4, 8, 16, 64};
	size_t n = pages[below(w, ARRAY_SIZE(pages))], offset = below(w, 2) ? below(w, 4096) : 0;

	slot->dir = (enum dma_data_direction)below(w, 3);
	if (below(w, 2)) {
		slot->addr = base + offset;
		slot->size = n * PAGE - offset - below(w, 100) % (unsigned int)(PAGE - offset);
		map(SITE(below(w, 50)), slot->addr, phys_of(0) + offset, slot->size, slot->dir);
		slot->life = MAPPED;
		return;
	}
	slot->state = reserve(SITE(below(w, 50)), base, n * PAGE);
	slot->linked = slot->synced = 0;
	slot->life = RESERVED;
}

/* Link, sync or unlink a run of granules that fits. */
static void change(struct worker *w, struct slot *slot)
{
	unsigned int n = (unsigned int)(slot->state.__size / PAGE), first = below(w, n);
	unsigned int count = 1 + below(w, n - first), what = below(w, 3);
	uint64_t bits = (count == 64 ? ~0ULL : (1ULL << count) - 1) << first;

	if (what == 0 && !(slot->linked & bits)) {
		link_pages(SITE(below(w, 50)), &slot->state, first, count, slot->dir);
		slot->linked |= bits;
		slot->synced &= ~bits;
	} else if (what == 1) {
		hook(synced, SITE(1), DEV, &slot->state, first * PAGE, count * PAGE);
		slot->synced |= bits & slot->linked;
	} else if (what == 2 && (slot->linked & bits) == bits) {
		hook(unlinking, SITE(2), DEV, &slot->state, first * PAGE, count * PAGE, slot->dir,
		     0);
		slot->linked &= ~bits;
		slot->synced &= ~bits;
	}
	if (slot->synced >> first & 1)
		hook(accessed, (uint32_t)w->number, slot->state.addr + first * PAGE + 9, false);
}

static void end(struct worker *w, struct slot *slot)
{
	uint64_t prefix = (uint64_t)__builtin_ctzll(~slot->linked | 1ULL << 63);

	if (slot->life == MAPPED) {
		hook(syncing, SITE(3), DEV, slot->addr + slot->size / 2, 1, slot->dir, true);
		unmap(SITE(below(w, 50)), slot->addr, slot->size, slot->dir);
	} else {
		if (slot->linked == ~0ULL)
			prefix = 64;
		for (unsigned int i = (unsigned int)prefix; i < 64; i++) {
			if (slot->linked >> i & 1)
				hook(unlinking, SITE(4), DEV, &slot->state, i * PAGE, PAGE,
				     slot->dir, 0);
		}
		if (prefix || below(w, 2))
			destroy(SITE(5), &slot->state, prefix * PAGE, slot->dir);
		else
			free_state(SITE(6), &slot->state);
	}
	slot->life = NOTHING;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int step = 0; step < STEPS; step++) {
		unsigned int i = below(w, SLOTS);
		struct slot *slot = &w->slots[i];

		if (slot->life == NOTHING)
			begin(w, slot, SLOT_ADDR(w->number, i));
		else if (slot->life == RESERVED && below(w, 6))
			change(w, slot);
		else
			end(w, slot);
	}
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (w->slots[i].life != NOTHING)
			end(w, &w->slots[i]);
	}
	return NULL;
}

static void random_programs(void **state)
{
	static struct worker workers[THREADS];
	uint64_t seed = (uint64_t)time(NULL) * 2654435761 + (uint64_t)getpid();

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i].number = i;
		workers[i].seed = seed + i * 977;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	silent();
	assert_int_equal(debug_check(observer), 0);
}

/* Asking meanwhile disturbs nobody; what is told is live, and no memory has gone. */
static void ask_meanwhile(void **state)
{
	static struct worker w;

	(void)state;
	w.seed = 4711;
	assert_int_equal(pthread_create(&w.thread, NULL, work, &w), 0);
	for (int i = 0; i < 50; i++) {
		debug_check(observer);
		for (size_t j = 0; j < nr_kept && j < MAX_KEPT; j++)
			assert_int_equal(kept[j].report.kind, DMA_DEBUG_LEAK);
		nr_kept = 0;
	}
	pthread_join(w.thread, NULL);
	assert_int_equal(debug_check(observer), 0);
}

static bool let_go;

static void *take_number(void *arg)
{
	(void)arg;
	base_thread_claim();
	while (!flag_is_set(&let_go))
		usleep(10000);
	return NULL;
}

/* Threads without a number share a slot. */
static void without_numbers(void **state)
{
	static pthread_t threads[BASE_MAX_THREADS];
	size_t nr = 0;

	let_go = false;
	while (nr < BASE_MAX_THREADS && !pthread_create(&threads[nr], NULL, take_number, NULL))
		nr++;
	usleep(100000);
	random_programs(state);
	unmap(SITE(1), 0x5000, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(1), NULL);
	set_flag(&let_go);
	while (nr)
		pthread_join(threads[--nr], NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(random_programs),
		test(ask_meanwhile),
		test(without_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
