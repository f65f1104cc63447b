/* SPDX-License-Identifier: MIT */
/* Many threads on one port: each gets a lane, or waits for one; nothing is lost. */
#include <pthread.h>

#include "backend/soft/section.h"
#include <twostep/memory.h>

#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define THREADS 12
#define TRANSFERS (4000 / SLOW)

struct worker {
	struct dma_port *port;
	pthread_t thread;
	unsigned int number;
	unsigned int wrong;
};

/* Each thread has a page of its own, half of which it writes and reads back. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	dma_addr_t iova = IOVA + worker->number * PAGE + PAGE / 2;
	uint8_t sent[PAGE], got[PAGE];

	for (unsigned int i = 0; i < TRANSFERS; i++) {
		/* Crosses into the next thread's page, into the half that it leaves alone. */
		size_t len = 1 + (i * 97 + worker->number) % PAGE;

		memset(sent, (int)(worker->number * 16 + i), len);
		if (dma_bus_write(worker->port, iova, sent, len) ||
		    dma_bus_read(worker->port, iova, got, len) || memcmp(sent, got, len))
			worker->wrong++;
	}
	return NULL;
}

static uint64_t run(struct dma_port *port, unsigned int threads)
{
	struct worker workers[THREADS] = {0};
	uint64_t bytes = 0;

	for (unsigned int t = 0; t < threads; t++) {
		workers[t].port = port;
		workers[t].number = t;
		assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
		for (unsigned int i = 0; i < TRANSFERS; i++)
			bytes += 1 + (i * 97 + t) % PAGE;
	}
	for (unsigned int t = 0; t < threads; t++) {
		pthread_join(workers[t].thread, NULL);
		assert_int_equal(workers[t].wrong, 0);
	}
	return bytes;
}

static void more_threads_than_lanes(void **state)
{
	struct fixture fx;
	uint64_t bytes;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, (THREADS + 1) * PAGE, DMA_BIDIRECTIONAL);
	bytes = run(fx.port, THREADS);
	assert_int_equal(stats_of(fx.port).reads, bytes);
	assert_int_equal(stats_of(fx.port).writes, bytes);
	assert_int_equal(stats_of(fx.port).faults, 0);
	assert_in_range(((struct soft_port *)fx.port)->nr_lanes, 1, PORT_LANES);
	fixture_close(&fx);
}

/* A read that holds its lane until `target` of them are inside at once. */
struct crowd {
	unsigned int inside;
	unsigned int target;
};

static int meet(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct crowd *crowd = arg;

	(void)offset;
	memset(buf, 1, len);
	__atomic_fetch_add(&crowd->inside, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&crowd->inside, __ATOMIC_ACQUIRE) < crowd->target)
		sched_yield();
	return 0;
}

static void *read_one(void *arg)
{
	uint8_t byte = 0;

	assert_int_equal(dma_bus_read(arg, IOVA, &byte, 1), 0);
	return NULL;
}

static void crowd_of(struct fixture *fx, struct crowd *crowd, unsigned int threads)
{
	pthread_t thread[PORT_LANES];

	__atomic_store_n(&crowd->inside, 0, __ATOMIC_RELEASE);
	crowd->target = threads;
	for (unsigned int i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_one, fx->port), 0);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static void every_lane_can_be_in_use_at_once(void **state)
{
	struct crowd crowd = {0};
	struct dma_memory_ops ops = {.read = meet};
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .fd = -1, .ops = &ops, .ops_arg = &crowd};
	struct soft_port *port;
	phys_addr_t phys;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	port = (struct soft_port *)fx.port;
	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, PAGE, DMA_TO_DEVICE), 0);
	assert_int_equal(port->nr_lanes, 1);
	crowd_of(&fx, &crowd, PORT_LANES);
	assert_int_equal(port->nr_lanes, PORT_LANES);
	/* Each has cached the page by a walk of its own; one invalidation reaches all. */
	assert_int_equal(stats_of(fx.port).iotlb_misses, PORT_LANES);
	crowd_of(&fx, &crowd, PORT_LANES);
	assert_int_equal(stats_of(fx.port).iotlb_misses, PORT_LANES);
	assert_int_equal(stats_of(fx.port).iotlb_hits, PORT_LANES);
	unlink_strict(fx.be, IOVA, PAGE);
	for (lane_hint = 0; lane_hint < PORT_LANES; lane_hint++)
		assert_refused(fx.port, IOVA);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, PORT_LANES);
	lane_hint = 0;
	assert_int_equal(dma_memory_unregister(phys), 0);
	fixture_close(&fx);
}

static void without_memory_for_a_lane_threads_share(void **state)
{
	struct fixture fx;
	uint64_t bytes;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, (THREADS + 1) * PAGE, DMA_BIDIRECTIONAL);
	/* The second lane's memory fails, and later, if it is asked for again, does not. */
	base_alloc_fail(1);
	bytes = run(fx.port, 4);
	base_alloc_fail(2);
	bytes += run(fx.port, 4);
	base_alloc_fail(0);
	assert_int_equal(stats_of(fx.port).reads, bytes);
	assert_int_equal(stats_of(fx.port).faults, 0);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_threads_than_lanes),
		cmocka_unit_test(every_lane_can_be_in_use_at_once),
		cmocka_unit_test(without_memory_for_a_lane_threads_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
