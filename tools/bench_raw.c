/* SPDX-License-Identifier: MIT */
/*
 * What the operations are measured against: the least that any implementation
 * has to do. The unit is what a compiler makes of the plain loop; a vector loop
 * stands beside it.
 */
#include <string.h>

#include <twostep/device.h>

#include "bench.h"
#include "tool.h"

#define ENTRY_BITS 3u /* readable and writable, in the VT-d format */
#define RAW_BATCH 64u
#define CALL_BATCH 4096u

static uint64_t table[POOL_PAGE / sizeof(uint64_t)] __attribute__((aligned(POOL_PAGE)));

/* What was written to the table must be thought to be read. */
#define TABLE_IS_READ() __asm__ volatile("" : : "r"(table) : "memory")

/*
 * Over as many pieces as the caller says, so that it is not unrolled. Atomic stores
 * stay one entry each, whatever the compiler knows about vectors.
 */
static __attribute__((noinline)) void store_scalar(const struct phys_vec *vec, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		__atomic_store_n(&table[i], vec[i].paddr | ENTRY_BITS, __ATOMIC_RELAXED);
}

#ifdef __x86_64__
typedef uint64_t quad __attribute__((vector_size(32), aligned(8), may_alias));

/* @nr is a multiple of four. Two pieces a load; their lengths are shuffled away. */
static __attribute__((noinline, target("avx2"))) void store_vector(const struct phys_vec *vec,
								   size_t nr)
{
	for (size_t i = 0; i < nr; i += 4) {
		quad low = *(const quad *)&vec[i];
		quad high = *(const quad *)&vec[i + 2];

		*(quad *)&table[i] = __builtin_shufflevector(low, high, 0, 2, 4, 6) | ENTRY_BITS;
	}
}

bool raw_vector_possible(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
static void store_vector(const struct phys_vec *vec, size_t nr)
{
	store_scalar(vec, nr);
}

bool raw_vector_possible(void)
{
	return false;
}
#endif

static __attribute__((noinline)) void clear_table(const struct phys_vec *vec, size_t nr)
{
	(void)vec;
	memset(table, 0, nr * sizeof(table[0]));
}

static inline __attribute__((always_inline)) double
measure_raw(const struct bench_rig *rig, size_t pages,
	    void (*work)(const struct phys_vec *vec, size_t nr))
{
	uint64_t spent = 0, batches = 0, start;
	bool warm = false;

	do {
		start = tool_clock_ns();
		for (unsigned int i = 0; i < RAW_BATCH; i++) {
			work(rig->vec, pages);
			TABLE_IS_READ();
		}
		if (warm) {
			spent += tool_clock_ns() - start;
			batches++;
		}
		warm = true;
	} while (spent < rig->run_ns / 4);
	return (double)spent / (double)(batches * RAW_BATCH);
}

bool raw_scalar(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	(void)gather;
	*value = measure_raw(rig, pages, store_scalar);
	return true;
}

bool raw_vector(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	(void)gather;
	*value = measure_raw(rig, pages, store_vector);
	return true;
}

bool raw_clear(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	(void)gather;
	*value = measure_raw(rig, pages, clear_table);
	return true;
}

/* A call into the library that does next to nothing. */
bool raw_call(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	uint64_t spent = 0, batches = 0, start;

	(void)pages, (void)gather;
	do {
		start = tool_clock_ns();
		for (unsigned int i = 0; i < CALL_BATCH; i++) {
			struct dma_port *port = dma_dev_port(rig->dev);

			__asm__ volatile("" : : "r"(port) : "memory");
		}
		spent += tool_clock_ns() - start;
		batches++;
	} while (spent < rig->run_ns / 4);
	*value = (double)spent / (double)(batches * CALL_BATCH);
	return true;
}
