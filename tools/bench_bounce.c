/* SPDX-License-Identifier: MIT */
/*
 * Bounce buffers on one thread and on two, beside what may be spent at most: twice
 * the copies that cannot be avoided, there and back, and 100 ns.
 */
#include <string.h>

#include "bench.h"
#include "tool.h"

#define BATCH 32u
#define ALLOWANCE_NS 100.0
#define ALLOWANCE_COPIES 2.0

/* One thread's work: as many operations as fill the time of a run. */
struct work {
	struct bench_rig *rig;
	size_t first; /* of the pieces that are this thread's */
	bool copy; /* copy only */
	int cpu;
	double value; /* ns an operation */
	bool good;
};

static bool map_and_unmap(struct bench_rig *rig, phys_addr_t phys)
{
	dma_addr_t addr = dma_map_phys(rig->dev, phys, POOL_PAGE, DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(rig->dev, addr)) {
		tool_say_dma("cannot map a page through a bounce buffer");
		return false;
	}
	dma_unmap_phys(rig->dev, addr, POOL_PAGE, DMA_BIDIRECTIONAL, 0);
	return true;
}

/* There and back, to memory that is as warm as a buffer that was used a moment ago. */
static bool copy_twice(unsigned char *page)
{
	unsigned char there[POOL_PAGE];
	size_t size = sizeof(there);

	/* A length that the compiler does not know makes it the library's copy, as for others. */
	__asm__ volatile("" : "+r"(size));
	memcpy(there, page, size);
	__asm__ volatile("" : : "r"(there) : "memory");
	memcpy(page, there, size);
	__asm__ volatile("" : : "r"(page) : "memory");
	return true;
}

static void *do_work(void *arg)
{
	struct work *work = arg;
	struct bench_rig *rig = work->rig;
	uint64_t spent = 0, batches = 0, start;
	bool warm = false;

	pin_thread(work->cpu);
	work->good = true;
	do {
		start = tool_clock_ns();
		for (size_t i = 0; i < BATCH && work->good; i++) {
			size_t at = work->first + i;

			work->good = work->copy ? copy_twice(pool_page(&rig->pool, at))
						: map_and_unmap(rig, rig->vec[at].paddr);
		}
		if (warm) {
			spent += tool_clock_ns() - start;
			batches++;
		}
		warm = true;
	} while (work->good && spent < rig->run_ns);
	work->value = batches ? (double)spent / (double)(batches * BATCH) : 0;
	return NULL;
}

/* On @threads threads, one or two: the mean of what an operation takes on each. */
static bool measure(struct bench_rig *rig, size_t threads, bool copy, double *value)
{
	struct work here = {.rig = rig, .copy = copy, .cpu = rig->main_cpu};
	struct work there = {.rig = rig, .copy = copy, .cpu = rig->device_cpu, .first = BATCH};
	pthread_t thread;

	if (threads > 1 && pthread_create(&thread, NULL, do_work, &there)) {
		tool_say("cannot start a second thread");
		return false;
	}
	do_work(&here);
	if (threads > 1)
		pthread_join(thread, NULL);
	*value = threads > 1 ? (here.value + there.value) / 2 : here.value;
	return here.good && (threads == 1 || there.good);
}

bool bench_bounce(struct bench_rig *rig, size_t threads, bool gather, double *value)
{
	(void)gather;
	return measure(rig, threads, false, value);
}

bool raw_bounce(struct bench_rig *rig, size_t threads, bool gather, double *value)
{
	(void)gather;
	if (!measure(rig, threads, true, value))
		return false;
	*value = ALLOWANCE_COPIES * *value + ALLOWANCE_NS;
	return true;
}
