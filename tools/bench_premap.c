/* SPDX-License-Identifier: MIT */
/*
 * Translations in memory mapped ahead, at random, each one after the other: what is
 * asked for depends on the last answer. Beside them the least that a look-up can cost:
 * a load that depends on the last one, from as many words as the look-up has, laid out
 * alike, and an empty call into the library.
 *
 * Regions are single pages, and every other page of address space that is never touched,
 * so that no two are one.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "bench.h"
#include "tool.h"

#define STRIDE ((size_t)2 * POOL_PAGE)
#define WORDS (STRIDE / POOL_PAGE) /* of the look-up, from one region to the next */
#define BATCH 4096u

struct bench_ahead {
	struct bench_ahead *next;
	size_t nr;
	char *memory;
	phys_addr_t phys; /* of the first region */
	uint64_t *words;
};

static void *reserve(size_t size, int access)
{
	void *memory = mmap(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void close_regions(struct dma_dev *dev, struct bench_ahead *regions, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		dma_unpremap(dev, regions->phys + i * STRIDE, POOL_PAGE);
	if (regions->memory)
		munmap(regions->memory, regions->nr * STRIDE);
	if (regions->words)
		munmap(regions->words, regions->nr * WORDS * sizeof(uint64_t));
	free(regions);
}

static struct bench_ahead *open_regions(struct dma_dev *dev, size_t nr)
{
	struct bench_ahead *regions = calloc(1, sizeof(*regions));

	if (!regions) {
		tool_say("no memory for a benchmark of %zu regions", nr);
		return NULL;
	}
	regions->nr = nr;
	regions->memory = reserve(nr * STRIDE, PROT_NONE);
	regions->words = reserve(nr * WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE);
	if (!regions->memory || !regions->words) {
		tool_say("no address space for a benchmark of %zu regions", nr);
		close_regions(dev, regions, 0);
		return NULL;
	}
	regions->phys = virt_to_phys(regions->memory);
	for (size_t i = 0; i < nr; i++) {
		regions->words[i * WORDS] = i;
		if (dma_premap(dev, regions->phys + i * STRIDE, POOL_PAGE, DMA_BIDIRECTIONAL, 0,
			       NULL)) {
			tool_say_dma("cannot map %zu pages ahead", nr);
			close_regions(dev, regions, i);
			return NULL;
		}
	}
	return regions;
}

/* Made when first asked for. */
static struct bench_ahead *regions_of(struct bench_rig *rig, size_t nr)
{
	struct bench_ahead *regions = rig->regions;

	while (regions && regions->nr != nr)
		regions = regions->next;
	if (regions)
		return regions;
	regions = open_regions(rig->ahead, nr);
	if (regions) {
		regions->next = rig->regions;
		rig->regions = regions;
	}
	return regions;
}

void premap_close(struct bench_rig *rig)
{
	struct bench_ahead *next;

	for (struct bench_ahead *regions = rig->regions; regions; regions = next) {
		next = regions->next;
		close_regions(rig->ahead, regions, regions->nr);
	}
	rig->regions = NULL;
}

/* A number below @nr; does not wait for the answers. */
static inline size_t pick(uint64_t *state, size_t nr)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)((*state >> 32) * nr >> 32);
}

typedef uint64_t (*look_up_t)(struct bench_rig *rig, const struct bench_ahead *regions, size_t i,
			      uint64_t zero);

static uint64_t by_look_up(struct bench_rig *rig, const struct bench_ahead *regions, size_t i,
			   uint64_t zero)
{
	return dma_premap_translate(rig->ahead, regions->phys + i * STRIDE + zero, POOL_PAGE,
				    DMA_TO_DEVICE);
}

static uint64_t by_map(struct bench_rig *rig, const struct bench_ahead *regions, size_t i,
		       uint64_t zero)
{
	return dma_map_phys(rig->ahead, regions->phys + i * STRIDE + zero, POOL_PAGE, DMA_TO_DEVICE,
			    0);
}

static uint64_t by_load(struct bench_rig *rig, const struct bench_ahead *regions, size_t i,
			uint64_t zero)
{
	(void)rig;
	return __atomic_load_n(&regions->words[i * WORDS + zero], __ATOMIC_RELAXED);
}

static inline __attribute__((always_inline)) bool measure(struct bench_rig *rig, size_t nr,
							  look_up_t look_up, double *value)
{
	const struct bench_ahead *regions = regions_of(rig, nr);
	uint64_t spent = 0, batches = 0, start, answer = 0, none = 0, state = 1;
	bool good = regions;

	/* As far as the compiler knows, an answer may have any bits of it. */
	__asm__ volatile("" : "+r"(none));
	/* Other rows were here meanwhile. */
	for (size_t i = 0; good && i < nr; i++)
		good = look_up(rig, regions, i, 0) != DMA_MAPPING_ERROR;
	while (good && spent < rig->run_ns) {
		start = tool_clock_ns();
		for (unsigned int i = 0; i < BATCH; i++) {
			answer = look_up(rig, regions, pick(&state, nr), answer & none);
			good &= answer != DMA_MAPPING_ERROR;
		}
		spent += tool_clock_ns() - start;
		batches++;
	}
	if (good)
		*value = (double)spent / (double)(batches * BATCH);
	else if (regions)
		tool_say_dma("cannot translate in %zu regions", nr);
	return good;
}

bool bench_premap(struct bench_rig *rig, size_t regions, bool gather, double *value)
{
	(void)gather;
	return measure(rig, regions, by_look_up, value);
}

bool bench_premap_map(struct bench_rig *rig, size_t regions, bool gather, double *value)
{
	(void)gather;
	return measure(rig, regions, by_map, value);
}

/* Each for itself, and both together. */
bool raw_look_up(struct bench_rig *rig, size_t regions, bool gather, double *value)
{
	double load, call;

	(void)gather;
	if (!measure(rig, regions, by_load, &load) || !raw_call(rig, 0, false, &call))
		return false;
	*value = load + call;
	return true;
}
