/* SPDX-License-Identifier: MIT */
/*
 * An unrelated device keeps what its IOTLB holds while this one maps and unmaps: in the same
 * space, where it hears of every invalidation, and in another one, where it hears of none.
 */
#include "transaction.h"

#define PAGES ((size_t)32)
#define PASSES (20000 / SLOW)

struct reader {
	struct dma_port *port;
	dma_addr_t addr;
};

static void *read_on(void *arg)
{
	struct reader *reader = arg;

	for (unsigned int i = 0; i < PASSES; i++)
		require_signed(reader->port, reader->addr, 0, PAGES, 5);
	return NULL;
}

struct churner {
	struct dma_dev *dev;
	bool stop;
	uint64_t rounds;
};

static void *map_and_unmap(void *arg)
{
	struct churner *churner = arg;
	uint8_t *memory = memory_of(TRANSACTION_PAGES);
	struct dma_gather gather;
	uint64_t i = 0;

	sign_pages(memory, TRANSACTION_PAGES, 6);
	while (!flag_is_set(&churner->stop)) {
		dma_gather_begin(churner->dev, &gather);
		for (unsigned int j = 0; j < 4; j++, i++)
			transaction(churner->dev, memory, 6, (i % TRANSACTION_PAGES) << 8 | (i & 7),
				    j % 2 ? &gather : NULL);
		dma_gather_end(&gather);
		__atomic_fetch_add(&churner->rounds, 1, __ATOMIC_RELAXED);
	}
	free(memory);
	return NULL;
}

static void keeps_hitting(const char *uri, bool same_space)
{
	struct dma_dev *dev = open_device(uri), *other;
	struct churner churner = {0};
	uint8_t *memory = memory_of(PAGES);
	struct dma_port_stats before, after;
	struct phys_vec vec[PAGES];
	struct dma_iova_state state;
	pthread_t churning;
	struct reader reader;

	if (same_space)
		assert_int_equal(dma_dev_open_in("soft:", dma_dev_space(dev), &other), 0);
	else
		other = open_device("soft:");
	sign_pages(memory, PAGES, 5);
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + i * PAGE), PAGE};
	assert_true(dma_iova_try_alloc(dev, &state, 0, PAGES * PAGE));
	assert_int_equal(dma_iova_link_vec(dev, &state, vec, PAGES, 0, DMA_TO_DEVICE, 0), 0);
	reader = (struct reader){dma_dev_port(dev), state.addr};

	churner.dev = other;
	churning = start(map_and_unmap, &churner);
	require_signed(reader.port, reader.addr, 0, PAGES, 5);
	dma_port_stats(reader.port, &before);
	read_on(&reader);
	while (__atomic_load_n(&churner.rounds, __ATOMIC_RELAXED) < 10) {
		require_signed(reader.port, reader.addr, 0, PAGES, 5);
		sched_yield();
	}
	dma_port_stats(reader.port, &after);
	set_flag(&churner.stop);
	join(churning);
	print_message("%s: %llu hits, %llu misses, %llu entries lost, %llu invalidations\n", uri,
		      (unsigned long long)(after.iotlb_hits - before.iotlb_hits),
		      (unsigned long long)(after.iotlb_misses - before.iotlb_misses),
		      (unsigned long long)(after.iotlb_invalidated - before.iotlb_invalidated),
		      (unsigned long long)stats_of(other).iotlb_invalidations);
	assert_in_range(stats_of(other).iotlb_invalidations, 10, UINT64_MAX);
	if (!same_space)
		assert_int_equal(after.iotlb_misses, before.iotlb_misses);
	/*
	 * A reader that was held up while the driver posted more than the ring holds, or met
	 * a ticket before its entry, starts afresh; that is rare.
	 */
	assert_true(after.iotlb_misses - before.iotlb_misses <
		    (after.iotlb_hits - before.iotlb_hits) / 10);

	dma_iova_destroy(dev, &state, PAGES * PAGE, DMA_TO_DEVICE, 0);
	if (same_space) {
		dma_dev_close(other);
	} else {
		close_clean(other);
	}
	close_clean(dev);
	free(memory);
}

static void in_the_same_space(void **state)
{
	(void)state;
	keeps_hitting("soft:", true);
}

static void in_another_space(void **state)
{
	(void)state;
	keeps_hitting("soft:iotlb=64", false);
}

/* Without chance: one invalidation of other addresses at a time. */
static void step_by_step(void **state_arg)
{
	struct dma_dev *dev = open_device("soft:iotlb=64"), *other;
	uint8_t *memory = memory_of(2 * PAGES);
	struct dma_port_stats before, after;
	struct dma_iova_state state;

	(void)state_arg;
	sign_pages(memory, 2 * PAGES, 5);
	assert_int_equal(dma_dev_open_in("soft:", dma_dev_space(dev), &other), 0);
	assert_true(dma_iova_try_alloc(dev, &state, 0, PAGES * PAGE));
	assert_int_equal(
		dma_iova_link(dev, &state, virt_to_phys(memory), 0, PAGES * PAGE, DMA_TO_DEVICE, 0),
		0);
	require_signed(dma_dev_port(dev), state.addr, 0, PAGES, 5);
	dma_port_stats(dma_dev_port(dev), &before);
	for (uint64_t i = 0; i < 2000 / SLOW; i++) {
		transaction(other, memory, 5, (i % TRANSACTION_PAGES) << 8 | (i & 7), NULL);
		require_signed(dma_dev_port(dev), state.addr, 0, PAGES, 5);
	}
	dma_port_stats(dma_dev_port(dev), &after);
	assert_int_equal(after.iotlb_misses, before.iotlb_misses);
	assert_int_equal(after.iotlb_invalidated, before.iotlb_invalidated);
	dma_iova_destroy(dev, &state, PAGES * PAGE, DMA_TO_DEVICE, 0);
	dma_dev_close(other);
	close_clean(dev);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(step_by_step),
		cmocka_unit_test(in_the_same_space),
		cmocka_unit_test(in_another_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
