/* SPDX-License-Identifier: MIT */
/* Between calls.c, twostep_calls.c and streaming_calls.c. */
#ifndef TESTS_MODEL_CALLS_H
#define TESTS_MODEL_CALLS_H

#include <sys/mman.h>
#include <unistd.h>

#include <twostep/bounce.h>
#include <twostep/memory.h>

#include "model.h"

/* Each makes a call. @misused: the call was wrong and had no result to say so. */
bool call_reserve(struct run *run, bool *misused);
bool call_link(struct run *run, bool *misused);
bool call_link_page(struct run *run, bool *misused);
bool call_link_vec(struct run *run, bool *misused);
bool call_sync(struct run *run, bool *misused);
bool call_unlink(struct run *run, bool *misused);
bool call_free(struct run *run, bool *misused);
bool call_destroy(struct run *run, bool *misused);
bool call_free_again(struct run *run, bool *misused);
bool call_map(struct run *run, bool *misused);
bool call_unmap(struct run *run, bool *misused);
/* Unmap, or unlink and free. */
bool take_down(struct run *run, struct range *range);

/* @misused: whether the call was, which the library must have noticed. */
bool check_stats(struct run *run, bool misused);
bool check_range(struct run *run, const struct range *range);
bool check_unchanged(struct run *run, const struct range *range);

enum dma_data_direction any_direction(struct run *run);
unsigned long any_attrs(struct run *run);
/* With what memory is taken away; returns whether copies come back then. */
bool any_ending(struct run *run, enum dma_data_direction *dir, unsigned long *attrs);
struct range *any_range(struct run *run, enum range_kind kind);
unsigned int slot_of(const struct run *run, const struct range *range);
struct dma_gather *any_gather(struct run *run, bool *really);
bool end_gather(struct run *run);
bool starve(struct run *run);
void feed(void);

/* New addresses have been handed out: are they right? */
bool check_new(struct run *run, unsigned int device, uint64_t pfn, uint64_t pages,
	       uint64_t align_pages);
/* None were: could there have been any? */
bool check_none(struct run *run, unsigned int device, uint64_t pages, uint64_t align_pages);
/* Keep a new range. */
void keep_range(struct run *run, struct range *range, enum range_kind kind,
		struct dma_iova_state state);

/* A piece of memory of at most @max bytes that begins @in bytes inside a granule. */
struct phys_vec any_piece(struct run *run, uint64_t in, uint64_t max);

#endif
