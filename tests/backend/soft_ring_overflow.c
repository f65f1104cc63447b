/* SPDX-License-Identifier: MIT */
/* A device that was idle while the ring went round misses no invalidation. */
#include <pthread.h>

#include "backend/soft/space.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define ELSEWHERE 0x20000000ULL

static void run(uint64_t others, bool first)
{
	struct pgt_removed removed;
	struct fixture fx;

	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, 2 * PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 0);
	assert_reads(fx.port, IOVA + PAGE, 0);
	unlink_untold(fx.be, IOVA, PAGE, &removed);
	if (first)
		invalidate(fx.be, IOVA, PAGE);
	for (uint64_t i = 0; i < others; i++)
		invalidate(fx.be, ELSEWHERE + i * PAGE, PAGE);
	if (!first)
		invalidate(fx.be, IOVA, PAGE);
	assert_refused(fx.port, IOVA);
	assert_reads(fx.port, IOVA + PAGE, 0);
	/* What fits into the ring is applied one by one and costs the neighbour nothing. */
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, others + 1 <= INVAL_RING ? 1 : 2);
	assert_int_equal(stats_of(fx.port).iotlb_misses, others + 1 <= INVAL_RING ? 2 : 3);
	fixture_close(&fx);
}

static void idle_device_misses_nothing(void **state)
{
	static const uint64_t others[] = {0,
					  1,
					  INVAL_RING - 2,
					  INVAL_RING - 1,
					  INVAL_RING,
					  INVAL_RING + 1,
					  5 * INVAL_RING + 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		run(others[i], true);
		run(others[i], false);
	}
}

/* An entry whose ticket is taken but that is not there yet, or never comes in time. */
static void missing_entry_costs_the_cache_never_the_truth(void **state)
{
	struct pgt_removed removed;
	struct soft_space *space;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	space = soft_space_of(fx.be);
	link_memory(fx.be, IOVA, fx.memory, 2 * PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 0);
	assert_reads(fx.port, IOVA + PAGE, 0);
	unlink_untold(fx.be, IOVA, PAGE, &removed);
	__atomic_fetch_add(&space->inval.head, 1, __ATOMIC_SEQ_CST);
	assert_refused(fx.port, IOVA);
	assert_reads(fx.port, IOVA + PAGE, 0);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 2);
	/* The next entries are found again. */
	unlink_untold(fx.be, IOVA + PAGE, PAGE, &removed);
	invalidate(fx.be, IOVA + PAGE, PAGE);
	assert_refused(fx.port, IOVA + PAGE);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 3);
	fixture_close(&fx);
}

struct driver {
	struct backend *be;
	pthread_t thread;
	uint64_t rounds;
	uint8_t *memory;
	dma_addr_t iova;
	struct dma_port *port;
	unsigned int stale;
};

/* Links, has the device read, unlinks, and checks that the device cannot any more. */
static void *map_and_unmap(void *arg)
{
	struct driver *driver = arg;
	struct backend_range ranges[40];

	for (uint64_t i = 0; i < driver->rounds; i++) {
		struct phys_vec vec = {phys_of(driver->memory), PAGE};
		struct pgt_linked linked = {0};
		struct pgt_removed removed = {.first = 1};
		uint8_t byte;

		if (driver->be->ops->link(driver->be, NULL, driver->iova, &vec, 1, DMA_TO_DEVICE, 0,
					  &linked) ||
		    dma_bus_read(driver->port, driver->iova, &byte, 1))
			driver->stale++;
		driver->be->ops->unlink(driver->be, NULL, driver->iova, PAGE, false, &removed);
		for (unsigned int j = 0; j < ARRAY_SIZE(ranges); j++)
			ranges[j] = (struct backend_range){driver->iova + j * PAGE,
							   driver->iova + (j + 1) * PAGE - 1};
		driver->be->ops->invalidate(driver->be, ranges, 1 + i % ARRAY_SIZE(ranges));
		if (!dma_bus_read(driver->port, driver->iova, &byte, 1))
			driver->stale++;
	}
	return NULL;
}

static void drivers_that_lap_the_ring_leave_nothing_behind(void **state)
{
	struct driver drivers[4] = {0};
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	for (unsigned int i = 0; i < ARRAY_SIZE(drivers); i++) {
		drivers[i] = (struct driver){
			.be = fx.be,
			.rounds = 4000 / SLOW,
			.memory = fx.memory + i * PAGE,
			.iova = IOVA + i * 2 * MIB,
			.port = fx.port,
		};
		assert_int_equal(
			pthread_create(&drivers[i].thread, NULL, map_and_unmap, &drivers[i]), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(drivers); i++) {
		pthread_join(drivers[i].thread, NULL);
		assert_int_equal(drivers[i].stale, 0);
	}
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_device_misses_nothing),
		cmocka_unit_test(missing_entry_costs_the_cache_never_the_truth),
		cmocka_unit_test(drivers_that_lap_the_ring_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
