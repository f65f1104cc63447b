/* SPDX-License-Identifier: MIT */
/* Address space of pools. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/mman.h>

#include "bounce/pool.h"

/* Places that are tried between an address and half of it. */
#define PLACES 128

/* Where @hint says if that is free, else anywhere. */
static uint64_t reserve(uint64_t hint, uint64_t size)
{
	void *ptr = mmap((void *)hint, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);

	return ptr == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)ptr;
}

void bounce_place_free(uint64_t start, uint64_t size)
{
	if (size)
		munmap((void *)start, size);
}

/*
 * By a hint, not MAP_FIXED_NOREPLACE: what sanitizers use for themselves they take out of
 * hints only.
 */
static bool reserve_at(uint64_t base, uint64_t size)
{
	uint64_t got = reserve(base, size);

	if (got == base)
		return true;
	if (got)
		bounce_place_free(got, size);
	return false;
}

/* Where the kernel likes to have it. */
static uint64_t reserve_anywhere(uint64_t size)
{
	uint64_t got = reserve(0, size + DMA_BOUNCE_SEGMENT);
	uint64_t start = align_up(got, DMA_BOUNCE_SEGMENT);

	if (!got)
		return 0;
	bounce_place_free(got, start - got);
	bounce_place_free(start + size, got + DMA_BOUNCE_SEGMENT - start);
	return start;
}

/*
 * Highest first: at the bottom are programs that are not position-independent, and their
 * heap. Places lie the closer together the lower they are, and the first segment is none.
 */
static uint64_t reserve_below(uint64_t size, uint64_t end)
{
	uint64_t step;

	for (; end >= size + DMA_BOUNCE_SEGMENT; end -= step) {
		if (reserve_at(end - size, size))
			return end - size;
		step = align_down(end / (2 * PLACES), DMA_BOUNCE_SEGMENT);
		if (!step)
			step = DMA_BOUNCE_SEGMENT;
	}
	return 0;
}

uint64_t bounce_place(uint64_t size, uint64_t last)
{
	uint64_t start;

	if (last < bounce_user_last())
		return reserve_below(size, align_down(last + 1, DMA_BOUNCE_SEGMENT));
	start = reserve_anywhere(size);
	if (!start || start + (size - 1) <= last)
		return start;
	bounce_place_free(start, size);
	return 0;
}

bool bounce_place_open(uint64_t start, uint64_t size)
{
	return !base_alloc_denied() && !mprotect((void *)start, size, PROT_READ | PROT_WRITE);
}

/*
 * The program's first stack, where the kernel leaves these random bytes, lies in the
 * upper half of user addresses.
 */
uint64_t bounce_user_last(void)
{
	return UINT64_MAX >> __builtin_clzll(getauxval(AT_RANDOM) | 1);
}
