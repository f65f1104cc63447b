/* SPDX-License-Identifier: MIT */
/*
 * The operations of the API that are measured. Where only a part of what must be
 * done counts, many states are worked on between two looks at the clock.
 */
#include "bench.h"
#include "tool.h"

#define DIR DMA_BIDIRECTIONAL

/* As many as keep their entries, 2 KiB a state of 256 pages, in a first-level cache. */
#define STATES 16u
#define MOST_STATES BENCH_GATHER

/* Enough of the shortest operations to make the clock not count. */
#define SHORT_BATCH (32u * BENCH_GATHER)
#define LONG_BATCH (2u * BENCH_GATHER)

struct states {
	struct dma_iova_state state[MOST_STATES];
	size_t nr;
	size_t pages;
	bool gather;
};

static void gather_begin(struct bench_rig *rig, struct dma_gather *gather, bool wanted)
{
	if (wanted)
		dma_gather_begin(rig->dev, gather);
}

static void gather_end(struct dma_gather *gather, bool wanted)
{
	if (wanted)
		dma_gather_end(gather);
}

static bool reserve(struct bench_rig *rig, struct dma_iova_state *state, size_t pages)
{
	if (dma_iova_try_alloc(rig->dev, state, rig->vec[0].paddr, pages * POOL_PAGE))
		return true;
	tool_say_dma("cannot reserve %zu pages", pages);
	return false;
}

static bool reserve_all(struct bench_rig *rig, struct states *states)
{
	for (size_t i = 0; i < states->nr; i++)
		if (!reserve(rig, &states->state[i], states->pages))
			return false;
	return true;
}

static int link_all_vec(struct bench_rig *rig, struct states *states)
{
	int err = 0;

	for (size_t i = 0; i < states->nr; i++)
		err |= dma_iova_link_vec(rig->dev, &states->state[i], rig->vec, states->pages, 0,
					 DIR, 0);
	return err;
}

static int link_all_page(struct bench_rig *rig, struct states *states)
{
	int err = 0;

	for (size_t i = 0; i < states->nr; i++)
		for (size_t page = 0; page < states->pages; page++)
			err |= dma_iova_link(rig->dev, &states->state[i], rig->vec[page].paddr,
					     page * POOL_PAGE, POOL_PAGE, DIR, 0);
	return err;
}

static int sync_all(struct bench_rig *rig, struct states *states)
{
	int err = 0;

	for (size_t i = 0; i < states->nr; i++)
		err |= dma_iova_sync(rig->dev, &states->state[i], 0, states->pages * POOL_PAGE);
	return err;
}

static void unlink_all(struct bench_rig *rig, struct states *states)
{
	struct dma_gather gather;

	gather_begin(rig, &gather, states->gather);
	for (size_t i = 0; i < states->nr; i++)
		dma_iova_unlink_gather(rig->dev, &states->state[i], 0, states->pages * POOL_PAGE,
				       DIR, 0, states->gather ? &gather : NULL);
	gather_end(&gather, states->gather);
}

static void destroy_all(struct bench_rig *rig, struct states *states)
{
	struct dma_gather gather;

	if (!states->gather) {
		for (size_t i = 0; i < states->nr; i++)
			dma_iova_destroy(rig->dev, &states->state[i], states->pages * POOL_PAGE,
					 DIR, 0);
		return;
	}
	dma_gather_begin(rig->dev, &gather);
	for (size_t i = 0; i < states->nr; i++)
		dma_iova_destroy_gather(rig->dev, &states->state[i], states->pages * POOL_PAGE, DIR,
					0, &gather);
	dma_gather_end(&gather);
}

/* The first round warms tables and caches and does not count. */
static bool measure_link(struct bench_rig *rig, size_t pages, bool gather,
			 int (*link)(struct bench_rig *, struct states *), double *value)
{
	struct states states = {
		.nr = gather ? BENCH_GATHER : STATES, .pages = pages, .gather = gather};
	uint64_t spent = 0, rounds = 0, start;
	bool warm = false;
	int err;

	if (!reserve_all(rig, &states))
		return false;
	do {
		start = tool_clock_ns();
		err = link(rig, &states);
		if (warm) {
			spent += tool_clock_ns() - start;
			rounds++;
		}
		warm = true;
		if (err || sync_all(rig, &states)) {
			tool_say_dma("cannot link %zu pages", pages);
			return false;
		}
		unlink_all(rig, &states);
	} while (spent < rig->run_ns);
	for (size_t i = 0; i < states.nr; i++)
		dma_iova_free(rig->dev, &states.state[i]);
	*value = (double)spent / (double)(rounds * states.nr);
	return true;
}

bool bench_link_vec(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	return measure_link(rig, pages, gather, link_all_vec, value);
}

bool bench_link_page(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	return measure_link(rig, pages, gather, link_all_page, value);
}

bool bench_destroy(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	struct states states = {
		.nr = gather ? BENCH_GATHER : STATES, .pages = pages, .gather = gather};
	uint64_t spent = 0, rounds = 0, start;
	bool warm = false;

	do {
		if (!reserve_all(rig, &states))
			return false;
		if (link_all_vec(rig, &states) || sync_all(rig, &states)) {
			tool_say_dma("cannot link %zu pages", pages);
			return false;
		}
		start = tool_clock_ns();
		destroy_all(rig, &states);
		if (warm) {
			spent += tool_clock_ns() - start;
			rounds++;
		}
		warm = true;
	} while (spent < rig->run_ns);
	*value = (double)spent / (double)(rounds * states.nr);
	return true;
}

/* One operation, its end gathered or strict; false if the library refused. */
typedef bool (*step_t)(struct bench_rig *rig, size_t pages, size_t i, struct dma_gather *gather);

static inline __attribute__((always_inline)) bool measure_steps(struct bench_rig *rig, size_t pages,
								bool gathered, size_t batch,
								step_t step, double *value)
{
	uint64_t spent = 0, batches = 0, start;
	struct dma_gather gather;
	bool good = true, warm = false;

	do {
		start = tool_clock_ns();
		for (size_t i = 0; i < batch && good; i += BENCH_GATHER) {
			gather_begin(rig, &gather, gathered);
			for (size_t j = 0; j < BENCH_GATHER; j++)
				good &= step(rig, pages, i + j, gathered ? &gather : NULL);
			gather_end(&gather, gathered);
		}
		if (warm) {
			spent += tool_clock_ns() - start;
			batches++;
		}
		warm = true;
	} while (good && spent < rig->run_ns);
	if (good)
		*value = (double)spent / (double)(batches * batch);
	return good;
}

static bool step_transaction(struct bench_rig *rig, size_t pages, size_t i,
			     struct dma_gather *gather)
{
	size_t bytes = pages * POOL_PAGE;
	struct dma_iova_state state;
	int err;

	(void)i;
	if (!reserve(rig, &state, pages))
		return false;
	err = dma_iova_link_vec(rig->dev, &state, rig->vec, pages, 0, DIR, 0);
	if (!err)
		err = dma_iova_sync(rig->dev, &state, 0, bytes);
	if (err) {
		tool_say_dma("cannot link %zu pages", pages);
		return false;
	}
	if (gather)
		dma_iova_destroy_gather(rig->dev, &state, bytes, DIR, 0, gather);
	else
		dma_iova_destroy(rig->dev, &state, bytes, DIR, 0);
	return true;
}

bool bench_transaction(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	return measure_steps(rig, pages, gather, LONG_BATCH, step_transaction, value);
}

static bool step_map_unmap(struct bench_rig *rig, size_t pages, size_t i, struct dma_gather *gather)
{
	phys_addr_t phys = rig->vec[i % BENCH_PAGES].paddr;
	size_t bytes = pages * POOL_PAGE;
	dma_addr_t addr = dma_map_phys(rig->dev, phys, bytes, DIR, 0);

	if (dma_mapping_error(rig->dev, addr)) {
		tool_say_dma("cannot map a page");
		return false;
	}
	if (gather)
		dma_unmap_phys_gather(rig->dev, addr, bytes, DIR, 0, gather);
	else
		dma_unmap_phys(rig->dev, addr, bytes, DIR, 0);
	return true;
}

bool bench_map_unmap(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	return measure_steps(rig, pages, gather, SHORT_BATCH, step_map_unmap, value);
}

static bool step_iova(struct bench_rig *rig, size_t pages, size_t i, struct dma_gather *gather)
{
	struct dma_iova_state state;

	(void)i;
	if (!reserve(rig, &state, pages))
		return false;
	if (gather)
		dma_iova_destroy_gather(rig->dev, &state, 0, DIR, 0, gather);
	else
		dma_iova_free(rig->dev, &state);
	return true;
}

bool bench_iova_alloc_free(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	return measure_steps(rig, pages, gather, SHORT_BATCH, step_iova, value);
}
