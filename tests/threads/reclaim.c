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
	dma_addr_t *told; /* where it has been last */
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
	__atomic_store_n(driver->told, state.addr + offset, __ATOMIC_RELEASE);
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

struct stray {
	struct dma_port *port;
	const dma_addr_t *told;
	bool *stop;
};

/* A device that does not know when it is over: it walks what is taken back. */
static void *go_astray(void *arg)
{
	struct stray *stray = arg;

	while (!flag_is_set(stray->stop)) {
		dma_addr_t addr = __atomic_load_n(stray->told, __ATOMIC_ACQUIRE);
		uint64_t who;

		if (addr && !dma_bus_read(stray->port, addr, &who, sizeof(who)))
			require(who >= 1 && who <= THREADS);
	}
	return NULL;
}

static void reclaim_with(const char *uri)
{
	struct dma_dev *dev = open_device_mask(uri, 40);
	struct driver drivers[THREADS];
	pthread_t threads[THREADS], device;
	dma_addr_t told = 0;
	bool stop = false;
	struct stray stray = {dma_dev_port(dev), &told, &stop};
	uint64_t seed = random_seed(), refused = 0;
	struct dma_iova_state state;

	for (unsigned int i = 0; i < THREADS; i++) {
		drivers[i] = (struct driver){dev, i + 1, seed + i * 7919, &refused, &told};
		threads[i] = start(drive, &drivers[i]);
	}
	device = start(go_astray, &stray);
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	set_flag(&stop);
	join(device);
	/* Two threads may want the last table at once, but that is the exception. */
	print_message("%llu links found no table\n", (unsigned long long)refused);
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

/*
 * Above a number of tables, those that an unlink leaves empty are given up at once. Devices
 * walk them all the time, also for addresses at which nothing is linked.
 */
#define KEPT ((size_t)1100)
#define SPAN (2 * MIB)

struct stroller {
	struct dma_port *port;
	const dma_addr_t *addr;
	bool *stop;
	uint64_t random;
};

static void *stroll(void *arg)
{
	struct stroller *stroller = arg;

	while (!flag_is_set(stroller->stop)) {
		dma_addr_t addr = __atomic_load_n(stroller->addr, __ATOMIC_ACQUIRE);
		size_t page = next_random(&stroller->random) % 512;
		uint64_t found[2];

		/* Only the upper half of what is told is ever linked, each page as itself. */
		if (!addr || dma_bus_read(stroller->port, addr + page * PAGE, found, sizeof(found)))
			sched_yield();
		else
			require(page >= 256 && found[0] == 4 && found[1] == page % 256);
	}
	return NULL;
}

struct rewriter {
	struct dma_dev *dev;
	dma_addr_t *addr;
};

static void *rewrite(void *arg)
{
	struct rewriter *rewriter = arg;
	struct dma_dev *dev = rewriter->dev;
	uint8_t *memory = memory_of(256);
	struct phys_vec vec[256];

	sign_pages(memory, 256, 4);
	for (size_t i = 0; i < 256; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + i * PAGE), PAGE};
	for (unsigned int i = 0; i < 1000 / SLOW; i++) {
		struct dma_iova_state state;

		require(dma_iova_try_alloc(dev, &state, 0, SPAN));
		require(!dma_iova_link_vec(dev, &state, vec, 256, SPAN / 2, DMA_TO_DEVICE, 0));
		__atomic_store_n(rewriter->addr, state.addr, __ATOMIC_RELEASE);
		sched_yield();
		/* Of the whole span, so that the table goes; half of it is misuse. */
		dma_iova_destroy(dev, &state, SPAN, DMA_TO_DEVICE, 0);
	}
	free(memory);
	return NULL;
}

static void given_up_at_once(void **state_arg)
{
	struct dma_dev *dev = open_device_mask("soft:tables=4096", 40);
	uint8_t *memory = memory_of(1);
	dma_addr_t told[2] = {0};
	struct rewriter rewriters[2];
	struct stroller strollers[2];
	pthread_t drivers[2], devices[2];
	struct dma_iova_state state;
	bool stop = false;

	(void)state_arg;
	sign_pages(memory, 1, 8);
	assert_true(dma_iova_try_alloc(dev, &state, 0, KEPT * SPAN));
	for (size_t i = 0; i < KEPT; i++)
		require(!dma_iova_link(dev, &state, virt_to_phys(memory), i * SPAN, PAGE,
				       DMA_TO_DEVICE, 0));
	for (unsigned int i = 0; i < 2; i++) {
		rewriters[i] = (struct rewriter){dev, &told[i]};
		strollers[i] = (struct stroller){dma_dev_port(dev), &told[i], &stop, i + 1};
		drivers[i] = start(rewrite, &rewriters[i]);
		devices[i] = start(stroll, &strollers[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		join(drivers[i]);
	set_flag(&stop);
	for (unsigned int i = 0; i < 2; i++)
		join(devices[i]);
	for (size_t i = 0; i < KEPT; i++)
		dma_iova_unlink(dev, &state, i * SPAN, PAGE, DMA_TO_DEVICE, 0);
	dma_iova_free(dev, &state);
	assert_int_equal(stats_of(dev).misuse, 2 * (1000 / SLOW));
	assert_int_equal(stats_of(dev).iova_live, 0);
	assert_int_equal(stats_of(dev).bytes_mapped, 0);
	dma_dev_close(dev);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vtd),
		cmocka_unit_test(x86_64),
		cmocka_unit_test(given_up_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
