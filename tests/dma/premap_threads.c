/* SPDX-License-Identifier: MIT */
/*
 * Threads translate, and devices read, in regions that stay, while other threads register
 * and end regions beside them: in the same spans, and large ones.
 */
#include <pthread.h>

#include <twostep/premap.h>

#include "../race.h"
#include "../slow.h"
#include "setup.h"

#define READERS 2
#define WRITERS 2
#define ROUNDS (20000 / SLOW)
#define SPANS 4
#define PAGES (SPANS * 512)

/* cmocka's assertions belong to the main thread; this one to any. */
#define require(condition)                                                                 \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, \
				#condition, dma_last_error());                             \
			_Exit(3);                                                          \
		}                                                                          \
	} while (0)

/*
 * Of each 8 pages the first stays registered, with its number in its first bytes. Writer
 * w has the pages 2 + 3w and 3 + 3w of each 8, and large memory of its own.
 */
struct arena {
	struct dma_dev *dev;
	uint8_t *memory;
	dma_addr_t stays[PAGES / 8];
	struct expanse large[WRITERS];
	unsigned int next;
	bool done;
};

static void *reader(void *arg)
{
	struct arena *arena = arg;
	uint64_t seed = 88172645463325252ULL, rounds = 0;

	while (!flag_is_set(&arena->done) || rounds < 100) {
		size_t i = next_random(&seed) % (PAGES / 8), at = next_random(&seed) % 4000;
		phys_addr_t phys = virt_to_phys(arena->memory + i * 8 * PAGE);
		dma_addr_t addr = dma_map_phys(arena->dev, phys + at, 8, DMA_BIDIRECTIONAL, 0);
		uint64_t number;

		require(addr == arena->stays[i] + at);
		require(!dma_bus_read(dma_dev_port(arena->dev), addr - at, &number, 8));
		require(number == i);
		/* What nobody registers is not there. */
		require(dma_map_phys(arena->dev, phys + PAGE, 1, DMA_TO_DEVICE, 0) ==
			DMA_MAPPING_ERROR);
		rounds++;
	}
	return NULL;
}

static void come_and_go(struct arena *arena, phys_addr_t phys, size_t size)
{
	struct dma_port *port = dma_dev_port(arena->dev);
	dma_addr_t addr;
	uint64_t value = phys, seen = 0;

	require(!dma_premap(arena->dev, phys, size, DMA_BIDIRECTIONAL, 0, &addr));
	require(dma_map_phys(arena->dev, phys, size, DMA_BIDIRECTIONAL, 0) == addr);
	require(!dma_bus_write(port, addr + size - 8, &value, 8));
	require(!dma_bus_read(port, addr + size - 8, &seen, 8) && seen == phys);
	require(dma_premap(arena->dev, phys + size - 1, 1, DMA_BIDIRECTIONAL, 0, NULL) == -EEXIST);
	require(!dma_unpremap(arena->dev, phys, size));
	require(dma_map_phys(arena->dev, phys, 1, DMA_TO_DEVICE, 0) == DMA_MAPPING_ERROR);
}

static void *writer(void *arg)
{
	struct arena *arena = arg;
	unsigned int number = __atomic_fetch_add(&arena->next, 1, __ATOMIC_RELAXED);
	uint64_t seed = 1234567 + number;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		size_t page = next_random(&seed) % (PAGES / 8) * 8 + 2 + 3 * number;

		come_and_go(arena, virt_to_phys(arena->memory + page * PAGE), (1 + i % 2) * PAGE);
		if (i % 16 == 0)
			come_and_go(arena, virt_to_phys(arena->large[number].at) + i % 3 * PAGE,
				    2 * MIB + i % 5 * PAGE);
	}
	return NULL;
}

static void readers_and_writers(void **state)
{
	static struct arena arena;
	struct device d = soft_open(state, ",map=ahead");
	struct expanse memory = expanse_new(PAGES * PAGE, 2 * MIB);
	pthread_t readers[READERS], writers[WRITERS];

	arena = (struct arena){.dev = d.dev, .memory = memory.at};
	for (size_t i = 0; i < PAGES / 8; i++) {
		uint8_t *page = memory.at + i * 8 * PAGE;

		memcpy(page, &(uint64_t){i}, 8);
		assert_int_equal(dma_premap(d.dev, virt_to_phys(page), PAGE, DMA_BIDIRECTIONAL, 0,
					    &arena.stays[i]),
				 0);
	}
	for (size_t i = 0; i < WRITERS; i++)
		arena.large[i] = expanse_new(6 * MIB, 2 * MIB);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, &arena), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, writer, &arena), 0);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	set_flag(&arena.done);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(stats_of(&d).iova_live, PAGES / 8);
	for (size_t i = 0; i < PAGES / 8; i++)
		assert_int_equal(dma_unpremap(d.dev, virt_to_phys(memory.at + i * 8 * PAGE), PAGE),
				 0);
	device_close(&d, 0);
	for (size_t i = 0; i < WRITERS; i++)
		expanse_free(&arena.large[i]);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(readers_and_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
