/* SPDX-License-Identifier: MIT */
/*
 * Memory of the library's own that is allocated for devices: blocks, the record of them
 * (blocks.c), their life (coherent.c, noncontiguous.c), and pools of small objects (pool.c).
 *
 * A block belongs to whoever has taken it out of the record, and to the record before that,
 * so that of two frees of the same memory one finds nothing. Each shard of the record has
 * a lock, taken inside whatever else is held; nothing is taken inside it.
 */
#ifndef DMA_BLOCKS_H
#define DMA_BLOCKS_H

#include <pthread.h>

#include <twostep/coherent.h>
#include <twostep/scatterlist.h>

#include "base/base.h"
#include "base/observe.h"

struct dma_space;

/*
 * A block: memory of the library's own that was allocated for a device, and mapped for
 * it. The caller knows it by its key, which the record of blocks (blocks.c) is by.
 */
struct dma_block {
	struct dma_block *next; /* in its bucket */
	void *key; /* address of the memory, of the table, or of the block itself */
	uint64_t memory;
	uint64_t bytes; /* whole granules */
	size_t size; /* as asked for */
	dma_addr_t addr;
	bool huge; /* in huge pages: base_huge_free() */
	enum base_block kind;
	struct sg_table table; /* of a noncontiguous one */
	struct scatterlist entry;
};

#define BLOCK_SHARDS 8

/* Blocks whose keys have the same hash bits. */
struct dma_block_shard {
	pthread_mutex_t lock;
	struct dma_block **bucket;
	uint64_t buckets; /* a power of two, or 0 */
	uint64_t count;
} __cacheline_aligned;

struct dma_blocks {
	struct dma_block_shard shard[BLOCK_SHARDS];
	uint64_t metadata_bytes;
	uint64_t near; /* where low memory was found last, or became free */
};

/* blocks.c: which memory of our own is allocated in a space. */

void dma_blocks_init(struct dma_blocks *blocks);
/* Free all memory that is left, which no device has any more. Returns of how many blocks. */
uint64_t dma_blocks_exit(struct dma_blocks *blocks);
/* How many are left. */
uint64_t dma_blocks_count(struct dma_blocks *blocks);
/* 0; -ENOMEM with the error text. */
int dma_blocks_add(struct dma_blocks *blocks, struct dma_block *block);
/* The block with this key, out of the record; NULL: none. Never needs memory. */
struct dma_block *dma_blocks_take(struct dma_blocks *blocks, const void *key);
/* Where the memory of a noncontiguous block of at least @size bytes is; NULL: none. */
void *dma_blocks_memory(struct dma_blocks *blocks, const void *key, size_t size);
/* The block's memory and itself, out of the record, go. */
void dma_blocks_free(struct dma_blocks *blocks, struct dma_block *block);
/* Around fork(), in both processes. */
void dma_blocks_lock(struct dma_blocks *blocks);
void dma_blocks_unlock(struct dma_blocks *blocks);

/* coherent.c: blocks, from the request to the end. */

struct dma_block_request {
	size_t size;
	enum base_block kind;
	enum dma_data_direction dir;
	unsigned long attrs;
};

/* NULL with the error text, and nothing has changed. */
struct dma_block *dma_block_create(struct dma_dev *dev, const struct dma_block_request *request);

/* What a caller says that it frees. */
struct dma_block_end {
	const char *what; /* names the call for the error text */
	const void *key;
	const dma_addr_t *addr; /* NULL: it says none */
	struct dma_block_request as;
};

/*
 * The device loses its access, then the memory goes; a wrong size, address or kind is
 * misuse, and an unknown key is nothing but misuse. Never allocates, never fails.
 */
void dma_block_destroy(struct dma_dev *dev, const struct dma_block_end *end);

/* pool.c: pools of small objects. */

/* A thread ends: what it keeps is for everybody again. With the registry's lock held. */
void dma_pools_leave(struct dma_space *space, unsigned int thread);
/* The space closes: pools that are left are freed; their memory is the blocks'. */
void dma_pools_exit(struct dma_space *space);

#endif
