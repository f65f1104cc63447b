/* SPDX-License-Identifier: MIT */
/* Pages of a provider's memory: first fit in a bitmap. */
#include "dma/p2p.h"

static size_t words_of(size_t pages)
{
	return (pages + 63) / 64;
}

static bool is_set(const uint64_t *bits, size_t at)
{
	return bits[at / 64] >> (at % 64) & 1;
}

static void set(uint64_t *bits, size_t at)
{
	bits[at / 64] |= 1ULL << (at % 64);
}

static void clear(uint64_t *bits, size_t at)
{
	bits[at / 64] &= ~(1ULL << (at % 64));
}

int p2p_pool_init(struct p2p_pool *pool, size_t pages)
{
	uint64_t *bits = base_map(2 * words_of(pages) * sizeof(uint64_t));

	if (!bits)
		return base_error(-ENOMEM,
				  "no memory to keep account of %zu pages of a device; free some",
				  pages);
	*pool = (struct p2p_pool){bits, bits + words_of(pages), pages, 0};
	return 0;
}

void p2p_pool_exit(struct p2p_pool *pool)
{
	base_unmap(pool->taken, 2 * words_of(pool->pages) * sizeof(uint64_t));
	*pool = (struct p2p_pool){0};
}

/* How many pages from @at on are free, at most @most; whole words at a time. */
static size_t free_run(const struct p2p_pool *pool, size_t at, size_t most)
{
	size_t run = 0;

	while (run < most) {
		uint64_t word = pool->taken[(at + run) / 64] >> ((at + run) % 64);
		size_t room = 64 - (at + run) % 64;

		if (word) {
			run += (size_t)__builtin_ctzll(word);
			break;
		}
		run += room;
	}
	return run < most ? run : most;
}

size_t p2p_pool_take(struct p2p_pool *pool, size_t pages)
{
	size_t at = 0;

	while (pages <= pool->pages && at <= pool->pages - pages) {
		size_t run = free_run(pool, at, pages);

		if (run == pages) {
			for (size_t i = 0; i < pages; i++)
				set(pool->taken, at + i);
			set(pool->ends, at + pages - 1);
			pool->nr_taken += pages;
			return at;
		}
		at += run + 1;
	}
	return pool->pages;
}

/* Exactly one piece: it begins behind a free page or another's end, and ends with its own. */
static bool is_piece(const struct p2p_pool *pool, size_t page, size_t pages)
{
	if (!pages || page >= pool->pages || pages > pool->pages - page ||
	    (page && is_set(pool->taken, page - 1) && !is_set(pool->ends, page - 1)))
		return false;
	for (size_t i = 0; i < pages; i++)
		if (!is_set(pool->taken, page + i) ||
		    is_set(pool->ends, page + i) != (i == pages - 1))
			return false;
	return true;
}

bool p2p_pool_give(struct p2p_pool *pool, size_t page, size_t pages)
{
	if (!is_piece(pool, page, pages))
		return false;
	for (size_t i = 0; i < pages; i++)
		clear(pool->taken, page + i);
	clear(pool->ends, page + pages - 1);
	pool->nr_taken -= pages;
	return true;
}
