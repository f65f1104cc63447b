/* SPDX-License-Identifier: MIT */
/*
 * A pool of pages: one large buffer whose pages are picked in an order that
 * looks random and is the same for the same seed. This is what makes a request
 * scattered.
 */
#ifndef TOOLS_POOL_H
#define TOOLS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <twostep/types.h>

#define POOL_PAGE 4096u

struct pool {
	unsigned char *base;
	size_t nr_pages;
	uint32_t *order; /* a permutation of the pages */
	uint64_t random;
};

/* Every page is touched. False: no memory, and a sentence was printed. */
bool pool_open(struct pool *pool, size_t nr_pages, uint64_t seed);
void pool_close(struct pool *pool);

/* Pick @nr pages anew, none twice; page i of the pick is pool_page(pool, i). */
void pool_pick(struct pool *pool, size_t nr);
unsigned char *pool_page(const struct pool *pool, size_t i);

/*
 * Describe the first @nr picked pages as whole pages. No two neighbours in the
 * list are contiguous in memory if the pick was pool_scatter()'s.
 */
void pool_vec(const struct pool *pool, struct phys_vec *vec, size_t nr);

/* Pick all pages such that no page follows its neighbour in memory. */
void pool_scatter(struct pool *pool);

/* The next number of the generator, for those who need one more. */
uint64_t pool_random(uint64_t *state);

#endif
