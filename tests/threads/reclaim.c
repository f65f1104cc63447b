/* SPDX-License-Identifier: MIT */
/*
 * With few page-table pages, empty tables are taken back while other threads link and
 * devices walk: nobody's links get lost, and no device reaches what it must not.
 */
#include "threads.h"

#define THREADS 3
#define ROUNDS (20000 / SLOW)
#define PAGES ((size_t)8)
#define MIB ((size_t)1 << 20)

struct driver {
	struct dma_dev *dev;
	uint64_t who;
	uint64_t random;
	uint64_t *refused; /* links for which there were no tables at that moment */
};

static void one_round(struct driver *driver, uint8_t *memory)
{
	uint64_t random = next_random(&driver->random);
	/* Far apart, and across the border of two tables half of the time. */
	size_t size = random & 1 ? 4 * MIB : PAGES * PAGE, align = 2 * MIB << (random >> 8) % 6;
	size_t offset = random & 1 ? 2 * MIB - PAGES / 2 * PAGE : 0;
	struct dma_port *port = dma_dev_port(driver->dev);
	struct dma_iova_state state;
	struct phys_vec vec[PAGES];
	int err;

	require(dma_iova_try_alloc_flags(driver->dev, &state, 0, size, align, 0));
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + i * PAGE), PAGE};
	err = dma_iova_link_vec(driver->dev, &state, vec, PAGES, offset, DMA_TO_DEVICE, 0);
	require(!err || err == -ENOMEM);
	if (err) {
		__atomic_fetch_add(driver->refused, 1, __ATOMIC_RELAXED);
		require_refused(port, state.addr + offset, PAGES);
		dma_iova_free(driver->dev, &state);
		return;
	}
	require(!dma_iova_sync(driver->dev, &state, offset, PAGES * PAGE));
	require_signed(port, state.addr + offset, 0, PAGES, driver->who);
	dma_iova_unlink(driver->dev, &state, offset, PAGES * PAGE, DMA_TO_DEVICE, 0);
	require_refused(port, state.addr + offset, 1);
	dma_iova_free(driver->dev, &state);
}

static void *drive(void *arg)
{
	struct driver *driver = arg;
	uint8_t *memory = memory_of(PAGES);

	sign_pages(memory, PAGES, driver->who);
	for (unsigned int i = 0; i < ROUNDS; i++)
		one_round(driver, memory);
	free(memory);
	return NULL;
}

static void reclaim_with(const char *uri)
{
	struct dma_dev *dev = open_device_mask(uri, 40);
	struct driver drivers[THREADS];
	pthread_t threads[THREADS];
	uint64_t seed = random_seed(), refused = 0;
	struct dma_iova_state state;

	for (unsigned int i = 0; i < THREADS; i++) {
		drivers[i] = (struct driver){dev, i + 1, seed + i * 7919, &refused};
		threads[i] = start(drive, &drivers[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	/* Two threads may want the last table at once, but that is the exception. */
	print_message("%llu refused\n", (unsigned long long)refused);
	assert_in_range(refused, 0, THREADS * ROUNDS / 2);
	/* With one thread left it never is. */
	refused = 0;
	drive(&drivers[0]);
	assert_int_equal(refused, 0);
	assert_true(dma_iova_try_alloc(dev, &state, 0, PAGE));
	dma_iova_free(dev, &state);
	close_clean(dev);
}

static void vtd(void **state)
{
	(void)state;
	reclaim_with("soft:tables=16");
}

static void x86_64(void **state)
{
	(void)state;
	reclaim_with("soft:tables=16,pgtable=x86-64,absent=cache");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vtd),
		cmocka_unit_test(x86_64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
