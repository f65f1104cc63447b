/* SPDX-License-Identifier: MIT */
/*
 * The record of blocks: a hash by key, in shards. A bucket array grows while a block is
 * added; without memory for it the chains grow longer, so only the first can fail.
 */
#include "dma/dma.h"

#define FIRST_BUCKETS 16

static uint64_t hash(const void *key)
{
	return ((uintptr_t)key >> 5) * 0x9e3779b97f4a7c15;
}

static struct dma_block_shard *shard_of(struct dma_blocks *blocks, const void *key)
{
	return &blocks->shard[hash(key) >> 32 & (BLOCK_SHARDS - 1)];
}

static struct dma_block **bucket_of(const struct dma_block_shard *shard, const void *key)
{
	return &shard->bucket[hash(key) >> 40 & (shard->buckets - 1)];
}

void dma_blocks_init(struct dma_blocks *blocks)
{
	for (size_t i = 0; i < BLOCK_SHARDS; i++)
		pthread_mutex_init(&blocks->shard[i].lock, NULL);
}

uint64_t dma_blocks_count(struct dma_blocks *blocks)
{
	uint64_t count = 0;

	for (size_t i = 0; i < BLOCK_SHARDS; i++)
		count += blocks->shard[i].count;
	return count;
}

uint64_t dma_blocks_exit(struct dma_blocks *blocks)
{
	uint64_t count = dma_blocks_count(blocks);

	for (size_t i = 0; i < BLOCK_SHARDS; i++) {
		struct dma_block_shard *shard = &blocks->shard[i];
		struct dma_block *block, *next;

		for (uint64_t j = 0; j < shard->buckets; j++) {
			for (block = shard->bucket[j]; block; block = next) {
				next = block->next;
				dma_blocks_free(blocks, block);
			}
		}
		base_free(shard->bucket);
		pthread_mutex_destroy(&shard->lock);
	}
	return count;
}

/* Twice as many buckets, with the lock held; false: no memory. */
static bool grow(struct dma_blocks *blocks, struct dma_block_shard *shard)
{
	struct dma_block_shard larger = {
		.buckets = shard->buckets ? 2 * shard->buckets : FIRST_BUCKETS,
	};
	struct dma_block *block, *next, **at;

	larger.bucket = base_zalloc(larger.buckets * sizeof(struct dma_block *));
	if (!larger.bucket)
		return false;
	for (uint64_t i = 0; i < shard->buckets; i++) {
		for (block = shard->bucket[i]; block; block = next) {
			next = block->next;
			at = bucket_of(&larger, block->key);
			block->next = *at;
			*at = block;
		}
	}
	counter_add_shared(&blocks->metadata_bytes,
			   (larger.buckets - shard->buckets) * sizeof(struct dma_block *));
	base_free(shard->bucket);
	shard->bucket = larger.bucket;
	shard->buckets = larger.buckets;
	return true;
}

int dma_blocks_add(struct dma_blocks *blocks, struct dma_block *block)
{
	struct dma_block_shard *shard = shard_of(blocks, block->key);
	struct dma_block **at;
	bool room = true;

	pthread_mutex_lock(&shard->lock);
	if (shard->count >= shard->buckets)
		room = grow(blocks, shard) || shard->buckets;
	if (room) {
		at = bucket_of(shard, block->key);
		block->next = *at;
		*at = block;
		shard->count++;
	}
	pthread_mutex_unlock(&shard->lock);
	if (room)
		return 0;
	return base_error(-ENOMEM,
			  "no memory for the record of what is allocated for devices; free some");
}

/* What points to the block in its bucket, or to NULL, with the lock held. NULL: no buckets. */
static struct dma_block **find(struct dma_block_shard *shard, const void *key)
{
	struct dma_block **at = shard->buckets ? bucket_of(shard, key) : NULL;

	while (at && *at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

struct dma_block *dma_blocks_take(struct dma_blocks *blocks, const void *key)
{
	struct dma_block_shard *shard = shard_of(blocks, key);
	struct dma_block **at, *block = NULL;

	pthread_mutex_lock(&shard->lock);
	at = find(shard, key);
	if (at && *at) {
		block = *at;
		*at = block->next;
		shard->count--;
	}
	pthread_mutex_unlock(&shard->lock);
	return block;
}

void *dma_blocks_memory(struct dma_blocks *blocks, const void *key, size_t size)
{
	struct dma_block_shard *shard = shard_of(blocks, key);
	struct dma_block **at;
	void *memory = NULL;

	pthread_mutex_lock(&shard->lock);
	at = find(shard, key);
	if (at && *at && (*at)->kind == BASE_BLOCK_NONCONTIGUOUS && size <= (*at)->bytes)
		memory = (void *)(uintptr_t)(*at)->memory;
	pthread_mutex_unlock(&shard->lock);
	return memory;
}

void dma_blocks_free(struct dma_blocks *blocks, struct dma_block *block)
{
	if (block->huge)
		base_huge_free(block->memory, block->bytes);
	else
		base_place_free(block->memory, block->bytes);
	counter_add_shared(&blocks->metadata_bytes, -(uint64_t)sizeof(*block));
	base_free(block);
}

void dma_blocks_lock(struct dma_blocks *blocks)
{
	for (size_t i = 0; i < BLOCK_SHARDS; i++)
		pthread_mutex_lock(&blocks->shard[i].lock);
}

void dma_blocks_unlock(struct dma_blocks *blocks)
{
	for (size_t i = 0; i < BLOCK_SHARDS; i++)
		pthread_mutex_unlock(&blocks->shard[i].lock);
}
