/* SPDX-License-Identifier: MIT */
/* The price of an invalidation request. */
#include <pthread.h>
#include <time.h>

#include "backend/soft/cost.h"
#include "backend/soft/soft.h"

const struct soft_inval_preset soft_inval_presets[] = {
	{
		.name = "vtd",
		.ns = 770,
		.source =
			"Amit and others: vIOMMU, USENIX ATC 2011, slides of the talk: "
			"2316 of the 6909 cycles to map and unmap one page in strict mode are the "
			"interaction with the hardware; taken as one invalidation, at 3 GHz",
	},
	{
		.name = "smmu",
		.ns = 240,
		.source =
			"Barry Song: support per-numa CMA for ARM server, iommu list: "
			"CMD_SYNC in an empty SMMUv3 command queue completes after 240 ns with the "
			"queue in local memory (more than 550 ns with it in remote memory)",
	},
	{
		.name = "amd",
		.ns = 770,
		.source = "estimate: no published figure found for INVALIDATE_IOMMU_PAGES with "
			  "COMPLETION_WAIT alone; taken equal to vtd, which has such a queue too",
	},
};
const size_t soft_nr_inval_presets = ARRAY_SIZE(soft_inval_presets);

static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

#define CALIBRATION_NS 2000000

/* Ticks of the time-stamp counter in 1024 ns; 0: it cannot be used. */
static uint64_t ticks_per_1024ns;

static void calibrate(void)
{
	uint64_t start_ns = clock_ns();
	uint64_t start = __builtin_ia32_rdtsc();
	uint64_t ns, ticks;

	do {
		ns = clock_ns() - start_ns;
	} while (ns < CALIBRATION_NS);
	ticks = __builtin_ia32_rdtsc() - start;
	/* A counter slower than 100 MHz, or faster than 100 GHz, does not count time. */
	if (ticks > ns / 10 && ticks < ns * 100)
		ticks_per_1024ns = ticks * 1024 / ns;
}

void cost_spend(uint32_t ns)
{
	uint64_t start = __builtin_ia32_rdtsc();
	uint64_t ticks;

	pthread_once(&once, calibrate);
	ticks = ((uint64_t)ns * ticks_per_1024ns) >> 10;
	if (!ticks_per_1024ns) {
		for (uint64_t start_ns = clock_ns(); clock_ns() - start_ns < ns;)
			;
		return;
	}
	while (__builtin_ia32_rdtsc() - start < ticks)
		;
}

#else

static void calibrate(void)
{
	clock_ns();
}

void cost_spend(uint32_t ns)
{
	for (uint64_t start = clock_ns(); clock_ns() - start < ns;)
		;
}

#endif

void cost_prepare(void)
{
	pthread_once(&once, calibrate);
}
