/* SPDX-License-Identifier: MIT */
/*
 * More threads than a port has lanes use one port: each finds what is mapped, atomics add
 * up, the port's statistics too, and an unlink waits for all of them.
 */
#include "threads.h"

#define THREADS 12
#define TRANSFERS (6000 / SLOW)
#define PAGES ((size_t)16)
#define COUNTER (PAGES * PAGE) /* behind the signed pages */

struct engine {
	struct dma_port *port;
	dma_addr_t addr;
	uint64_t random;
};

static void *transfer(void *arg)
{
	struct engine *engine = arg;

	for (unsigned int i = 0; i < TRANSFERS; i++) {
		size_t page = next_random(&engine->random) % PAGES;

		require_signed(engine->port, engine->addr + page * PAGE, page, 1, 7);
		require(!dma_bus_fetch_add(engine->port, engine->addr + COUNTER, 8, 1, NULL));
	}
	return NULL;
}

static void engines_of_a_port(void **state_arg)
{
	struct dma_dev *dev = open_device("soft:iotlb=8");
	uint8_t *memory = memory_of(PAGES + 1);
	struct engine engines[THREADS];
	pthread_t threads[THREADS];
	uint64_t seed = random_seed(), total;
	struct dma_iova_state state;
	struct dma_port_stats stats;
	struct phys_vec vec[PAGES + 1];

	(void)state_arg;
	memset(memory, 0, (PAGES + 1) * PAGE);
	sign_pages(memory, PAGES, 7);
	for (size_t i = 0; i <= PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + i * PAGE), PAGE};
	assert_true(dma_iova_try_alloc(dev, &state, 0, (PAGES + 1) * PAGE));
	assert_int_equal(dma_iova_link_vec(dev, &state, vec, PAGES + 1, 0, DMA_BIDIRECTIONAL, 0),
			 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		engines[i] = (struct engine){dma_dev_port(dev), state.addr, seed + i};
		threads[i] = start(transfer, &engines[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	dma_port_stats(dma_dev_port(dev), &stats);
	dma_iova_destroy(dev, &state, (PAGES + 1) * PAGE, DMA_BIDIRECTIONAL, 0);
	memcpy(&total, memory + COUNTER, sizeof(total));
	assert_int_equal(total, THREADS * TRANSFERS);
	assert_int_equal(stats.reads, THREADS * TRANSFERS * 24ULL);
	assert_int_equal(stats.writes, THREADS * TRANSFERS * 8ULL);
	assert_int_equal(stats.faults, 0);
	assert_true(stats.iotlb_hits > stats.iotlb_misses);
	/* Whatever lane each was cached in. */
	require_refused(dma_dev_port(dev), state.addr, PAGES + 1);
	close_clean(dev);
	free(memory);
}

struct watcher {
	struct dma_port *port;
	dma_addr_t addr;
	bool *stop;
	uint64_t *seen;
};

static void *watch(void *arg)
{
	struct watcher *watcher = arg;
	unsigned int reads = 0;

	while (!flag_is_set(watcher->stop)) {
		uint64_t words[64] = {0};

		if (dma_bus_read(watcher->port, watcher->addr, words, sizeof(words)) ||
		    !(++reads % 16))
			sched_yield();
		for (size_t i = 0; i < 64; i++)
			require(words[i] <= 1);
		__atomic_fetch_add(watcher->seen, words[0] & 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The page is 1 while it is linked, and the driver's own in between. */
static void unlink_waits_for_all(void **state_arg)
{
	struct dma_dev *dev = open_device("soft:");
	uint64_t *memory = (uint64_t *)(uintptr_t)memory_of(1), seen = 0;
	pthread_t threads[THREADS];
	struct dma_iova_state state;
	struct watcher watcher;
	bool stop = false;

	(void)state_arg;
	assert_true(dma_iova_try_alloc(dev, &state, 0, PAGE));
	watcher = (struct watcher){dma_dev_port(dev), state.addr, &stop, &seen};
	for (unsigned int i = 0; i < THREADS; i++)
		threads[i] = start(watch, &watcher);
	for (unsigned int round = 0; round < 1000 / SLOW; round++) {
		uint64_t before = __atomic_load_n(&seen, __ATOMIC_RELAXED);

		for (size_t i = 0; i < 64; i++)
			memory[i] = 1;
		require(!dma_iova_link(dev, &state, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE,
				       0));
		while (__atomic_load_n(&seen, __ATOMIC_RELAXED) < before + round % 4)
			sched_yield();
		dma_iova_unlink(dev, &state, 0, PAGE, DMA_TO_DEVICE, 0);
		for (size_t i = 0; i < 64; i++)
			memory[i] = 2;
	}
	set_flag(&stop);
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	dma_iova_free(dev, &state);
	close_clean(dev);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_of_a_port),
		cmocka_unit_test(unlink_waits_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
