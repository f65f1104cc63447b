/* SPDX-License-Identifier: MIT */
/* What tests of the page tables share: a table over memory that is counted and can run out. */
#ifndef TESTS_PGTABLE_TABLES_H
#define TESTS_PGTABLE_TABLES_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "pgtable/engine.h"

#define PAGE PGT_PAGE_SIZE
#define LARGE (512 * PAGE)
#define HUGE_PAGE (512 * LARGE)
/* Nobody follows these addresses: any aligned number will do for memory. */
#define PHYS (1ULL << 40)

#define POOL_PAGES 4096U

struct pool {
	struct pgt_memory memory;
	pthread_mutex_t lock;
	uint32_t *free_pages;
	uint32_t used, nr_free;
	uint32_t out; /* handed out now */
	uint64_t asked; /* ever */
	uint64_t fail_at; /* the one asked for when `asked` gets there is refused */
	bool dirty; /* a page came back with something in it */
};

struct tables {
	struct pool pool;
	struct pgtable pt;
	const struct pgt_descriptor *d;
	uint64_t gen_watch;
};

static inline uint64_t *pool_get(struct pgt_memory *memory)
{
	struct pool *pool = container_of(memory, struct pool, memory);
	uint32_t index = UINT32_MAX;

	pthread_mutex_lock(&pool->lock);
	if (++pool->asked != pool->fail_at) {
		index = pool->nr_free ? pool->free_pages[--pool->nr_free] : pool->used++;
		pool->out++;
	}
	pthread_mutex_unlock(&pool->lock);
	if (index >= POOL_PAGES)
		return NULL;
	return (uint64_t *)(uintptr_t)(memory->base + index * PAGE);
}

static inline void pool_put(struct pgt_memory *memory, uint64_t *table)
{
	struct pool *pool = container_of(memory, struct pool, memory);

	pthread_mutex_lock(&pool->lock);
	pool->dirty |= entries_or(table, PGT_ENTRIES) != 0;
	pool->free_pages[pool->nr_free++] = (uint32_t)(((uintptr_t)table - memory->base) / PAGE);
	pool->out--;
	pthread_mutex_unlock(&pool->lock);
}

static inline void open_tables(struct tables *t, const struct pgt_format *format)
{
	*t = (struct tables){.d = format->descriptor};
	t->pool.memory = (struct pgt_memory){
		.get = pool_get,
		.put = pool_put,
		.base = (uintptr_t)base_map(POOL_PAGES * PAGE),
		.size = POOL_PAGES * PAGE,
		.next = base_map(POOL_PAGES * sizeof(uint32_t)),
	};
	t->pool.free_pages = base_map(POOL_PAGES * sizeof(uint32_t));
	pthread_mutex_init(&t->pool.lock, NULL);
	assert_int_equal(pgt_init(&t->pt, format, &t->pool.memory, &t->gen_watch), 0);
}

/* Every page that is out is a table that is hooked in. */
static inline void assert_counted(const struct tables *t)
{
	assert_int_equal(t->pool.out, t->pt.tables);
	assert_false(t->pool.dirty);
}

static inline void close_tables(struct tables *t)
{
	assert_counted(t);
	base_unmap((void *)(uintptr_t)t->pool.memory.base, t->pool.memory.size);
	base_unmap(t->pool.memory.next, POOL_PAGES * sizeof(uint32_t));
	base_unmap(t->pool.free_pages, POOL_PAGES * sizeof(uint32_t));
	pthread_mutex_destroy(&t->pool.lock);
}

/* A link of one piece; tables that it displaced are freed. */
static inline int try_link(struct tables *t, struct pgt_cursor *cursor, uint64_t iova,
			   uint64_t phys, uint64_t len)
{
	const struct phys_vec vec = {phys, len};
	struct pgt_linked linked;
	int err = pgt_link(&t->pt, cursor, iova, &vec, 1, DMA_BIDIRECTIONAL, 0, &linked);

	if (!err)
		pgt_free_tables(&t->pt, linked.free_tables);
	return err;
}

static inline void link_at(struct tables *t, uint64_t iova, uint64_t phys, uint64_t len)
{
	assert_int_equal(try_link(t, NULL, iova, phys, len), 0);
}

static inline struct pgt_removed unlink_at(struct tables *t, uint64_t iova, uint64_t size,
					   uint64_t mark)
{
	struct pgt_removed removed;

	pgt_unlink(&t->pt, NULL, iova, size, mark, &removed);
	pgt_free_tables(&t->pt, removed.free_tables);
	return removed;
}

/* @iova is translated to @phys, by an entry of 2^@shift bytes. */
static inline void assert_leaf(struct tables *t, uint64_t iova, uint64_t phys, unsigned int shift)
{
	struct pgt_leaf leaf;

	assert_int_equal(pgt_walk(&t->pt, iova, &leaf), PGT_WALK_OK);
	assert_int_equal(leaf.shift, shift);
	assert_int_equal(leaf.phys + (iova & ((1ULL << shift) - 1)), phys);
	assert_int_equal(leaf.access, PGT_READ | PGT_WRITE);
}

static inline void assert_nothing(struct tables *t, uint64_t iova)
{
	struct pgt_leaf leaf;

	assert_int_equal(pgt_walk(&t->pt, iova, &leaf), PGT_WALK_NOT_PRESENT);
}

/* The entry of @iova in a table of @level, which must be there. */
static inline uint64_t *entry_at(struct tables *t, uint64_t iova, unsigned int level)
{
	struct place at;

	assert_int_equal(descend(&t->pt, t->d, iova, level, false, &at), 0);
	assert_int_equal(at.level, level);
	return at.entry;
}

/* Of every leaf and mark, with its place; what tables there are makes no difference. */
static inline uint64_t sum_below(const struct pgt_descriptor *d, const uint64_t *table,
				 unsigned int level, uint64_t base)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < PGT_ENTRIES; i++) {
		uint64_t value = entry_load(&table[i]), iova = base + i * level_size(level);

		if (is_present(d, value) && !is_leaf(d, value, level))
			sum += sum_below(d, entry_table(value), level - 1, iova);
		else if (value)
			sum += ((value * 0x9e3779b97f4a7c15ULL) ^ iova) * 0xd6e8feb86659fd93ULL;
	}
	return sum;
}

/* To see that a call changed nothing; 0: there is nothing. */
static inline uint64_t sum_all(const struct tables *t)
{
	return sum_below(t->d, t->pt.root, t->d->levels - 1, 0);
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint64_t random_seed(void)
{
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("TWOSTEP_SEED=%llu\n", (unsigned long long)seed);
	return seed | 1;
}

/* Each test runs on each format: two entries of the list of tests. */
#define ON_EACH_FORMAT(function)                                                            \
	{#function " (vtd-ss)", function, NULL, NULL, (void *)(uintptr_t)&pgt_vtd_ss},      \
	{                                                                                   \
#function " (x86-64)", function, NULL, NULL, (void *)(uintptr_t)&pgt_x86_64 \
	}

#endif
