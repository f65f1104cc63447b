/* SPDX-License-Identifier: MIT */
/*
 * What twostep.c (reserve, link, sync) and twostep_end.c (unlink, free, destroy) know of a state:
 * a copy by value of what was reserved, which the caller may have got wrong.
 */
#ifndef DMA_TWOSTEP_H
#define DMA_TWOSTEP_H

#include "dma/dma.h"

#define STATE_SIZE_MASK (~__DMA_IOVA_FLAGS)

/* What must be settled when memory of the state is unlinked. */
static __always_inline bool is_settled(const struct dma_iova_state *state)
{
	return __dma_iova_word(state) & (__DMA_IOVA_BOUNCED | __DMA_IOVA_SETTLE);
}

static __always_inline uint64_t state_size(const struct dma_iova_state *state)
{
	return __dma_iova_word(state) & STATE_SIZE_MASK;
}

/* The granules of a reservation. */
static __always_inline uint64_t state_pages(const struct dma_iova_state *state)
{
	return (state_size(state) + (state->addr & GRANULE_MASK) + GRANULE_MASK) >> GRANULE_SHIFT;
}

static __always_inline dma_addr_t state_base(const struct dma_iova_state *state)
{
	return state->addr & ~GRANULE_MASK;
}

/* Whether this device cannot have reserved the state's addresses. */
static __always_inline bool is_foreign(const struct dma_dev *dev,
				       const struct dma_iova_state *state)
{
	return !dev->be->translates || state->addr > dev->be->last ||
	       state_size(state) > dev->be->last - state->addr + 1;
}

#endif
