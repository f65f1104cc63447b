/* SPDX-License-Identifier: MIT */
/*
 * Runs of granule words, in vectors. Under ThreadSanitizer, which must see every
 * access, each has a twin of single relaxed ones.
 */
#ifndef DEBUG_GRANULES_H
#define DEBUG_GRANULES_H

#include "debug/parts.h"

#ifndef BASE_TSAN
typedef uint32_t words4 __attribute__((__vector_size__(16), __aligned__(4), __may_alias__));
typedef uint64_t words2 __attribute__((__vector_size__(16), __aligned__(8), __may_alias__));
#define GRANULES_VECTOR 4
#ifdef __clang__
#define GRANULES_FIRST_OF(a, b) __builtin_shufflevector(a, b, 0, 2)
#else
#define GRANULES_FIRST_OF(a, b) __builtin_shuffle(a, b, (words2){0, 2})
#endif
#else
#define GRANULES_VECTOR 0
#endif

static inline void granules_fill(uint32_t *word, size_t n, uint32_t value)
{
	size_t i = 0;

#if GRANULES_VECTOR
	for (; i + 4 <= n; i += 4)
		*(words4 *)&word[i] = (words4){value, value, value, value};
#endif
	for (; i < n; i++)
		store(&word[i], value);
}

static inline void granules_set(uint32_t *word, size_t n, uint32_t bits)
{
	size_t i = 0;

#if GRANULES_VECTOR
	for (; i + 4 <= n; i += 4)
		*(words4 *)&word[i] |= (words4){bits, bits, bits, bits};
#endif
	for (; i < n; i++)
		store(&word[i], load(&word[i]) | bits);
}

/* The bits in which any of the words differs from @value. */
static inline uint32_t granules_differ(const uint32_t *word, size_t n, uint32_t value)
{
	uint32_t differ = 0;
	size_t i = 0;

#if GRANULES_VECTOR
	words4 all = {0, 0, 0, 0};

	for (; i + 4 <= n; i += 4)
		all |= *(const words4 *)&word[i] ^ (words4) { value, value, value, value };
	differ = all[0] | all[1] | all[2] | all[3];
#endif
	for (; i < n; i++)
		differ |= load(&word[i]) ^ value;
	return differ;
}

/* What is in all addresses of pieces and what is in any: all of them are between the two. */
struct granules_span {
	uint64_t all;
	uint64_t any;
};

/*
 * Note the pages of @vec in @phys. False, with @phys undefined: not all pieces are
 * whole granules, one each.
 */
static inline bool granules_pages(uint64_t *phys, const struct phys_vec *vec, size_t n,
				  struct granules_span *span)
{
	uint64_t any = 0, all = ~0ULL, any_len = GRANULE, all_len = GRANULE;
	size_t i = 0;

#if GRANULES_VECTOR
	words2 or = {0, GRANULE}, and = {~0ULL, GRANULE};

	_Static_assert(sizeof(struct phys_vec) == 16 && offsetof(struct phys_vec, len) == 8, "");
	for (; i + 2 <= n; i += 2) {
		words2 one = *(const words2 *)&vec[i];
		words2 two = *(const words2 *)&vec[i + 1];

		or |= one | two;
		and &= one & two;
		*(words2 *)&phys[i] = GRANULES_FIRST_OF(one, two);
	}
	any = or [0];
	all = and[0];
	any_len = or [1];
	all_len = and[1];
#endif
	for (; i < n; i++) {
		any |= vec[i].paddr;
		all &= vec[i].paddr;
		any_len |= vec[i].len;
		all_len &= vec[i].len;
		store(&phys[i], vec[i].paddr);
	}
	span->any = any;
	span->all = all;
	return !((any & GRANULE_MASK) | (any_len ^ GRANULE) | (all_len ^ GRANULE));
}

/* Whether all pages are in [first, last], which is less than half of all addresses. */
static inline bool granules_between(const uint64_t *phys, size_t n, uint64_t first, uint64_t last)
{
	uint64_t outside = 0;
	size_t i = 0;

#if GRANULES_VECTOR
	words2 out = {0, 0};

	for (; i + 2 <= n; i += 2) {
		words2 both = *(const words2 *)&phys[i];

		out |= (both - (words2){first, first}) | ((words2){last, last} - both);
	}
	outside = out[0] | out[1];
#endif
	for (; i < n; i++)
		outside |= (load(&phys[i]) - first) | (last - load(&phys[i]));
	/* The highest bit tells a negative difference: no address of a process has it. */
	return !(outside >> 63);
}

#endif
