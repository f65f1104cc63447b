/* SPDX-License-Identifier: MIT */
/*
 * Threads with states, mappings and gathers of their own in one space do not disturb each
 * other, on ports of their own and on a common one.
 */
#include "transaction.h"

#define THREADS 6

struct driver {
	struct dma_dev *dev;
	uint64_t who;
	uint64_t random;
	bool gathers;
};

static void *drive(void *arg)
{
	struct driver *driver = arg;
	uint8_t *memory = memory_of(TRANSACTION_PAGES);
	struct dma_gather gather;

	sign_pages(memory, TRANSACTION_PAGES, driver->who);
	dma_gather_begin(driver->dev, &gather);
	for (unsigned int i = 0; i < 20000 / SLOW; i++) {
		uint64_t random = next_random(&driver->random);

		transaction(driver->dev, memory, driver->who, random,
			    driver->gathers ? &gather : NULL);
		/* Sometimes more than it holds. */
		if (!(random >> 32 & 63)) {
			dma_gather_end(&gather);
			dma_gather_begin(driver->dev, &gather);
		}
	}
	dma_gather_end(&gather);
	free(memory);
	return NULL;
}

static void drive_together(const char *uri, bool own_ports, bool gathers)
{
	struct dma_dev *devs[THREADS] = {open_device(uri)};
	struct driver drivers[THREADS];
	pthread_t threads[THREADS];
	uint64_t seed = random_seed();

	for (unsigned int i = 0; i < THREADS; i++) {
		if (i && own_ports)
			require(!dma_dev_open_in("soft:", dma_dev_space(devs[0]), &devs[i]));
		drivers[i] = (struct driver){
			.dev = own_ports ? devs[i] : devs[0],
			.who = i + 1,
			.random = seed + i * 7919,
			.gathers = gathers && i % 2,
		};
		threads[i] = start(drive, &drivers[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	assert_int_equal(stats_of(devs[0]).faults, 0);
	for (unsigned int i = 1; own_ports && i < THREADS; i++)
		dma_dev_close(devs[i]);
	close_clean(devs[0]);
}

static void strictly_on_own_ports(void **state)
{
	(void)state;
	drive_together("soft:", true, false);
}

static void gathering_on_own_ports(void **state)
{
	(void)state;
	drive_together("soft:", true, true);
}

static void gathering_on_one_port(void **state)
{
	(void)state;
	drive_together("soft:pgtable=x86-64,iotlb=16", false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strictly_on_own_ports),
		cmocka_unit_test(gathering_on_own_ports),
		cmocka_unit_test(gathering_on_one_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
