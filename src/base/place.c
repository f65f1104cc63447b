/* SPDX-License-Identifier: MIT */
/* Address space at addresses that a device can reach. */
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/base.h"

#define PAGE 4096ULL
/* Places that are tried between an address and half of it. */
#define PLACES 128
/* Nothing is placed below this: null pointers with an offset must fault. */
#define FIRST_PLACE (256ULL << 10)

/* Where @hint says if that is free, else anywhere. */
static uint64_t reserve(uint64_t hint, uint64_t size)
{
	void *ptr = mmap((void *)hint, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);

	return ptr == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)ptr;
}

void base_place_free(uint64_t start, uint64_t size)
{
	if (start && size)
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
		base_place_free(got, size);
	return false;
}

/* Where the kernel likes to have it. */
static uint64_t reserve_anywhere(uint64_t size, uint64_t alignment)
{
	uint64_t spare = alignment > PAGE ? alignment : 0;
	uint64_t got = reserve(0, size + spare);
	uint64_t start = align_up(got, alignment);

	if (!got)
		return 0;
	base_place_free(got, start - got);
	base_place_free(start + size, got + spare - start);
	return start;
}

/*
 * Highest first: at the bottom are programs that are not position-independent, and their
 * heap. Places lie the closer together the lower they are.
 */
static uint64_t reserve_below(uint64_t size, uint64_t alignment, uint64_t end)
{
	uint64_t start, step;

	for (; end >= size; end = start - step + size) {
		start = align_down(end - size, alignment);
		if (start < FIRST_PLACE)
			break;
		if (reserve_at(start, size))
			return start;
		step = align_down((start + size) / (2 * PLACES), alignment);
		if (!step)
			step = alignment;
		if (step > start)
			break;
	}
	return 0;
}

uint64_t base_place(uint64_t size, uint64_t alignment, uint64_t last, uint64_t near)
{
	uint64_t start;

	/* There is no such place, and sanitizers do not survive the question. */
	if (size > base_user_last() / 2)
		return 0;
	if (last < base_user_last()) {
		start = align_down(near - size, alignment);
		if (near <= last + 1 && near >= size && start >= FIRST_PLACE &&
		    reserve_at(start, size))
			return start;
		return reserve_below(size, alignment, last + 1);
	}
	start = reserve_anywhere(size, alignment);
	if (!start || start + (size - 1) <= last)
		return start;
	base_place_free(start, size);
	return 0;
}

bool base_place_open(uint64_t start, uint64_t size)
{
	return !base_alloc_denied() && !mprotect((void *)start, size, PROT_READ | PROT_WRITE);
}

/*
 * The program's first stack, where the kernel leaves these random bytes, lies in the
 * upper half of user addresses.
 */
uint64_t base_user_last(void)
{
	return UINT64_MAX >> __builtin_clzll(getauxval(AT_RANDOM) | 1);
}
