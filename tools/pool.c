/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <twostep/memory.h>

#include "pool.h"
#include "tool.h"

/* Xorshift with a multiplier (Vigna, 2016): enough to scatter, the same everywhere. */
uint64_t pool_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

bool pool_open(struct pool *pool, size_t nr_pages, uint64_t seed)
{
	size_t bytes = nr_pages * POOL_PAGE;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*pool = (struct pool){.nr_pages = nr_pages, .random = seed ? seed : 1};
	if (base != MAP_FAILED) {
		pool->base = base;
		pool->order = malloc(nr_pages * sizeof(*pool->order));
	}
	if (!pool->order) {
		tool_say("no memory for a buffer of %zu bytes", bytes);
		pool_close(pool);
		return false;
	}
	memset(pool->base, 0x5a, bytes);
	for (size_t i = 0; i < nr_pages; i++)
		pool->order[i] = (uint32_t)i;
	return true;
}

void pool_close(struct pool *pool)
{
	if (pool->base)
		munmap(pool->base, pool->nr_pages * POOL_PAGE);
	free(pool->order);
	*pool = (struct pool){0};
}

static void swap_order(struct pool *pool, size_t a, size_t b)
{
	uint32_t page = pool->order[a];

	pool->order[a] = pool->order[b];
	pool->order[b] = page;
}

void pool_pick(struct pool *pool, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		swap_order(pool, i, i + pool_random(&pool->random) % (pool->nr_pages - i));
}

unsigned char *pool_page(const struct pool *pool, size_t i)
{
	return pool->base + (size_t)pool->order[i] * POOL_PAGE;
}

void pool_vec(const struct pool *pool, struct phys_vec *vec, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		vec[i].paddr = virt_to_phys(pool_page(pool, i));
		vec[i].len = POOL_PAGE;
	}
}

void pool_scatter(struct pool *pool)
{
	bool contiguous;

	do {
		pool_pick(pool, pool->nr_pages);
		contiguous = false;
		/* A page that follows its neighbour changes places with one far from both. */
		for (size_t i = 1; i < pool->nr_pages; i++)
			if (pool->order[i] == pool->order[i - 1] + 1)
				swap_order(pool, i, (i + pool->nr_pages / 2) % pool->nr_pages);
		for (size_t i = 1; i < pool->nr_pages; i++)
			contiguous |= pool->order[i] == pool->order[i - 1] + 1;
	} while (contiguous);
}
