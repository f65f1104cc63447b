/* SPDX-License-Identifier: MIT */
/*
 * Runs of entries in one table: look, store, clear. Each comes as a vector loop
 * where the processor has AVX2 and as plain code elsewhere. An aligned 8-byte lane
 * of a vector store is one access on every processor that has AVX2, and stores
 * become visible in order there, so a walker sees whole entries and release
 * order; ThreadSanitizer cannot know that and gets the atomic twin.
 */
#ifndef PGTABLE_ENTRIES_H
#define PGTABLE_ENTRIES_H

#include <twostep/types.h>

#include "base/base.h"

/* Whether the vector loops run: set when the library is loaded; tests clear it. */
extern bool entries_vectors;

static __always_inline uint64_t entry_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static __always_inline void entry_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* All entries OR-ed: zero iff nothing is there, neither leaf nor table nor mark. */
uint64_t entries_or(const uint64_t *entry, size_t n);

/* entry[i] = vec[i].paddr | bits. */
void entries_store_vec(uint64_t *entry, const struct phys_vec *vec, size_t n, uint64_t bits);

/* entry[i] = value + i * 4096. */
void entries_store_run(uint64_t *entry, uint64_t value, size_t n);

/*
 * Clear entries as long as they are present. Returns how many were cleared, n if
 * all; the one at that index is not present.
 */
size_t entries_clear_present(uint64_t *entry, size_t n, uint64_t present);

/* The same, leaving @mark in their place. */
size_t entries_mark_present(uint64_t *entry, size_t n, uint64_t present, uint64_t mark);

/*
 * Whether every piece of a scatter list is 4096 bytes long and has
 * ((paddr ^ match) & mask) == 0.
 */
bool vec_is_pages(const struct phys_vec *vec, size_t n, uint64_t match, uint64_t mask);

#endif
