/* SPDX-License-Identifier: MIT */
/*
 * What the tests of devices that do not see the CPU's caches share: how long a line is,
 * what is seen where nothing was synced, and looking at whole ranges.
 */
#ifndef TESTS_DMA_NONCOHERENT_H
#define TESTS_DMA_NONCOHERENT_H

#include <twostep/bounce.h>

#include "base/base.h"

#include "setup.h"
#include "whole_ranges.h"

#define LINE 64ULL
#define POISON 0xdb

static inline uint64_t bounce_maps(void)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(NULL, &stats);
	return stats.maps;
}

static inline uint64_t bounce_used(void)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(NULL, &stats);
	return stats.used;
}

/* Memory that only calls reach. */
struct card {
	uint8_t bytes[4 * PAGE];
	phys_addr_t base;
};

static inline int card_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, ((struct card *)arg)->bytes + offset, len);
	return 0;
}

static inline int card_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	memcpy(((struct card *)arg)->bytes + offset, buf, len);
	return 0;
}

static inline void card_register(struct card *card, enum dma_memory_type type, unsigned int value)
{
	static const struct dma_memory_ops ops = {card_read, card_write};
	const struct dma_memory_desc desc = {
		.type = type,
		.size = sizeof(card->bytes),
		.fd = -1,
		.ops = &ops,
		.ops_arg = card,
	};

	memset(card->bytes, (int)value, sizeof(card->bytes));
	assert_int_equal(dma_memory_register(&desc, &card->base), 0);
}

#endif
