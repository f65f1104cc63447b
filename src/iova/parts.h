/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the iova room offer each other. Everything here is called
 * with the space's lock held, but for iova_records_find().
 */
#ifndef IOVA_PARTS_H
#define IOVA_PARTS_H

#include "iova/iova.h"

/* tree.c: which pfns are free, and nothing else. */

/* An empty tree (nothing free) for pfns up to @last_pfn. 0 or -ENOMEM. */
int iova_tree_init(struct iova_space *space, uint64_t last_pfn);
void iova_tree_exit(struct iova_space *space);

/*
 * Have the nodes that the next single iova_tree_take() or iova_tree_release() of an
 * arbitrary range may need. 0 or -ENOMEM, with the free space as it was.
 */
int iova_tree_prepare(struct iova_space *space);

/*
 * The highest @base, a multiple of 2^@order, with 2^@order free pfns from there and
 * base + @pages - 1 <= @limit_pfn; @pages is at most 2^@order. 0: none.
 */
uint64_t iova_tree_find_block(struct iova_tree *tree, uint64_t pages, unsigned int order,
			      uint64_t limit_pfn);
/* The same, but only the first @pages pfns need be free. Not bounded by the depth. */
uint64_t iova_tree_find_start(struct iova_tree *tree, uint64_t pages, unsigned int order,
			      uint64_t limit_pfn);

bool iova_tree_is_free(const struct iova_tree *tree, uint64_t first_pfn, uint64_t last_pfn);
/* The range is entirely free (take) or entirely not (release). */
void iova_tree_take(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn);
void iova_tree_release(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn);

/* live.c: what is live. */

void iova_records_init(struct iova_space *space);
void iova_records_exit(struct iova_space *space);
/* Have the chunk of @pfn. 0 or -ENOMEM. */
int iova_records_prepare(struct iova_space *space, uint64_t pfn);
/* The chunk of @pfn, any pfn; NULL if there is none. Without lock. */
struct iova_chunk *iova_records_find(const struct iova_space *space, uint64_t pfn);
/* Write the record of a range whose chunk is there. */
void iova_records_set(const struct iova_space *space, uint64_t pfn, uint64_t pages,
		      enum iova_kind kind);

/* cache.c: free ranges that the tree does not know of. */

/* See that the space can find the cache again after a flush; by the owner. */
void iova_cache_list(struct iova_space *space, struct iova_cache *cache);
/* A range of 2^@order granules, all of it at or below @limit_pfn, of one class; 0: none. */
uint64_t iova_cache_take(struct iova_space *space, struct iova_cache *cache, enum iova_class class,
			 unsigned int order, uint64_t limit_pfn);
/* Keep a range in the cache, making room in its magazine. */
void iova_cache_put(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
		    unsigned int order);
/*
 * Return to the tree every range that caches and depot hold and that overlaps
 * [first_pfn, last_pfn]. Whether there was any.
 */
bool iova_caches_recall(struct iova_space *space, struct iova_cache *own, uint64_t first_pfn,
			uint64_t last_pfn);

#endif
