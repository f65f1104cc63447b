/* SPDX-License-Identifier: MIT */
/*
 * Scatter-gather lists of scattered pages, and what they are measured against: the same
 * pages by the two-step calls.
 */
#include "bench.h"
#include "tool.h"

#define DIR DMA_BIDIRECTIONAL

/* Enough to make the clock not count, and few enough to stay in a first-level cache. */
#define LISTS 2u

static struct scatterlist lists[LISTS][BENCH_PAGES];

static void fill_lists(const struct bench_rig *rig, size_t pages)
{
	for (size_t i = 0; i < LISTS; i++)
		for (size_t page = 0; page < pages; page++)
			sg_set_phys(&lists[i][page], rig->vec[page].paddr,
				    (unsigned int)rig->vec[page].len);
}

static bool map_lists(struct bench_rig *rig, size_t pages)
{
	bool good = true;

	for (size_t i = 0; i < LISTS; i++)
		good &= dma_map_sg(rig->dev, lists[i], (int)pages, DIR) != 0;
	if (!good)
		tool_say_dma("cannot map a list of %zu pages", pages);
	return good;
}

static void unmap_lists(struct bench_rig *rig, size_t pages)
{
	for (size_t i = 0; i < LISTS; i++)
		dma_unmap_sg(rig->dev, lists[i], (int)pages, DIR);
}

bool bench_map_sg(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	uint64_t spent = 0, rounds = 0, start;
	bool warm = false;

	(void)gather;
	fill_lists(rig, pages);
	do {
		start = tool_clock_ns();
		if (!map_lists(rig, pages))
			return false;
		if (warm) {
			spent += tool_clock_ns() - start;
			rounds++;
		}
		warm = true;
		unmap_lists(rig, pages);
	} while (spent < rig->run_ns);
	*value = (double)spent / (double)(rounds * LISTS);
	return true;
}

static bool link_states(struct bench_rig *rig, size_t pages, struct dma_iova_state *states)
{
	size_t bytes = pages * POOL_PAGE;
	bool good = true;

	for (size_t i = 0; i < LISTS && good; i++) {
		good = dma_iova_try_alloc(rig->dev, &states[i], rig->vec[0].paddr, bytes) &&
		       !dma_iova_link_vec(rig->dev, &states[i], rig->vec, pages, 0, DIR, 0) &&
		       !dma_iova_sync(rig->dev, &states[i], 0, bytes);
	}
	if (!good)
		tool_say_dma("cannot link %zu pages", pages);
	return good;
}

bool raw_map_sg(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	struct dma_iova_state states[LISTS];
	uint64_t spent = 0, rounds = 0, start;
	bool warm = false;

	(void)gather;
	do {
		start = tool_clock_ns();
		if (!link_states(rig, pages, states))
			return false;
		if (warm) {
			spent += tool_clock_ns() - start;
			rounds++;
		}
		warm = true;
		for (size_t i = 0; i < LISTS; i++)
			dma_iova_destroy(rig->dev, &states[i], pages * POOL_PAGE, DIR, 0);
	} while (spent < rig->run_ns);
	*value = (double)spent / (double)(rounds * LISTS);
	return true;
}

bool bench_sg_transaction(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	uint64_t spent = 0, rounds = 0, start;
	struct dma_gather gathered;
	bool warm = false;

	fill_lists(rig, pages);
	do {
		start = tool_clock_ns();
		if (gather)
			dma_gather_begin(rig->dev, &gathered);
		for (size_t i = 0; i < BENCH_GATHER; i++) {
			struct scatterlist *sgl = lists[i % LISTS];

			if (!dma_map_sg(rig->dev, sgl, (int)pages, DIR)) {
				tool_say_dma("cannot map a list of %zu pages", pages);
				return false;
			}
			if (gather)
				dma_unmap_sg_gather(rig->dev, sgl, (int)pages, DIR, 0, &gathered);
			else
				dma_unmap_sg(rig->dev, sgl, (int)pages, DIR);
		}
		if (gather)
			dma_gather_end(&gathered);
		if (warm) {
			spent += tool_clock_ns() - start;
			rounds++;
		}
		warm = true;
	} while (spent < rig->run_ns);
	*value = (double)spent / (double)(rounds * BENCH_GATHER);
	return true;
}
