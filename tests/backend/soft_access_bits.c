/* SPDX-License-Identifier: MIT */
/* Accessed and dirty bits: set by the first access, never on an entry that was removed. */
#include <pthread.h>

#include "backend/soft/space.h"
#include "pgtable/format.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

static uint64_t entry_at(struct fixture *fx, dma_addr_t iova)
{
	struct pgt_leaf leaf;

	assert_true(pgt_lookup(&soft_space_of(fx->be)->pt, iova, &leaf));
	return __atomic_load_n(leaf.entry, __ATOMIC_ACQUIRE);
}

static void first_accesses_set_them(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		uint64_t accessed = pgt_formats[f]->descriptor->accessed;
		uint64_t dirty = pgt_formats[f]->descriptor->dirty;
		struct fixture fx;
		uint64_t fresh;

		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
				2 * MIB);
		link_memory(fx.be, IOVA, fx.memory, 2 * PAGE, DMA_BIDIRECTIONAL);
		fresh = entry_at(&fx, IOVA);
		assert_reads(fx.port, IOVA, 0);
		assert_int_equal(entry_at(&fx, IOVA), fresh | accessed);
		/* The entry is cached now, and still the first write must show. */
		assert_int_equal(dma_bus_write(fx.port, IOVA, "x", 1), 0);
		assert_int_equal(entry_at(&fx, IOVA), fresh | accessed | dirty);
		assert_int_equal(entry_at(&fx, IOVA + PAGE), fresh + PAGE);
		assert_int_equal(dma_bus_write(fx.port, IOVA + PAGE, "x", 1), 0);
		assert_int_equal(entry_at(&fx, IOVA + PAGE), (fresh + PAGE) | accessed | dirty);
		fixture_close(&fx);
	}
}

static void refused_access_sets_nothing(void **state)
{
	struct fixture fx;
	uint64_t fresh;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	fresh = entry_at(&fx, IOVA);
	assert_int_equal(dma_bus_write(fx.port, IOVA, "x", 1), -EFAULT);
	assert_int_equal(entry_at(&fx, IOVA), fresh);
	fixture_close(&fx);
}

static void known_dirty_costs_no_walk(void **state)
{
	struct fixture fx;
	uint64_t misses;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_bus_write(fx.port, IOVA, "x", 1), 0);
	misses = stats_of(fx.port).iotlb_misses;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(dma_bus_write(fx.port, IOVA + i, "x", 1), 0);
	assert_int_equal(stats_of(fx.port).iotlb_misses, misses);
	fixture_close(&fx);
}

struct writer {
	struct dma_port *port;
	bool stop;
	uint64_t written;
};

static void *write_without_pause(void *arg)
{
	struct writer *writer = arg;

	while (!__atomic_load_n(&writer->stop, __ATOMIC_RELAXED)) {
		if (!dma_bus_write(writer->port, IOVA, "w", 1))
			__atomic_fetch_add(&writer->written, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static uint64_t written(struct writer *writer)
{
	return __atomic_load_n(&writer->written, __ATOMIC_RELAXED);
}

static void removed_entry_stays_removed(void **state)
{
	unsigned int rounds = 20000 / SLOW;
	struct writer writer = {0};
	struct pgtable *pt;
	struct fixture fx;
	pthread_t thread;
	uint64_t *entry;
	struct pgt_leaf leaf;

	(void)state;
	fixture_open(&fx);
	pt = &soft_space_of(fx.be)->pt;
	writer.port = fx.port;
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	assert_true(pgt_lookup(pt, IOVA, &leaf));
	entry = leaf.entry;
	assert_int_equal(pthread_create(&thread, NULL, write_without_pause, &writer), 0);
	for (unsigned int round = 0; round < rounds; round++) {
		unlink_strict(fx.be, IOVA, PAGE);
		assert_int_equal(__atomic_load_n(entry, __ATOMIC_ACQUIRE), 0);
		link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
		/* At times, unlink only after the device has met the entry. */
		for (uint64_t before = written(&writer);
		     round % 16 == 0 && written(&writer) == before;)
			sched_yield();
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_accesses_set_them),
		cmocka_unit_test(refused_access_sets_nothing),
		cmocka_unit_test(known_dirty_costs_no_walk),
		cmocka_unit_test(removed_entry_stays_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
