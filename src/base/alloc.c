/* SPDX-License-Identifier: MIT */
/* The library's memory, with a switch that lets tests fail any allocation. */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/base.h"

static uint64_t asked;
static uint64_t fail_at; /* 0: none */
static uint64_t fail_last; /* fail_at, or everything behind it too */

uint64_t base_alloc_fail(uint64_t nth)
{
	uint64_t since = __atomic_exchange_n(&asked, 0, __ATOMIC_SEQ_CST);

	__atomic_store_n(&fail_last, nth, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fail_at, nth, __ATOMIC_SEQ_CST);
	return since;
}

void base_alloc_fail_from(uint64_t nth)
{
	base_alloc_fail(nth);
	__atomic_store_n(&fail_last, UINT64_MAX, __ATOMIC_SEQ_CST);
}

bool base_alloc_denied(void)
{
	uint64_t now = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);

	uint64_t first = __atomic_load_n(&fail_at, __ATOMIC_RELAXED);

	return unlikely(first && now >= first &&
			now <= __atomic_load_n(&fail_last, __ATOMIC_RELAXED));
}

void *base_alloc(size_t size)
{
	return base_alloc_denied() ? NULL : malloc(size);
}

void *base_zalloc(size_t size)
{
	return base_alloc_denied() ? NULL : calloc(1, size);
}

void *base_zalloc_aligned(size_t size, size_t alignment)
{
	void *ptr;

	if (base_alloc_denied() || size > SIZE_MAX - alignment)
		return NULL;
	size = align_up(size, alignment);
	ptr = aligned_alloc(alignment, size);
	if (ptr)
		memset(ptr, 0, size);
	return ptr;
}

void base_free(void *ptr)
{
	free(ptr);
}

void *base_map(size_t size)
{
	void *ptr;

	if (base_alloc_denied())
		return NULL;
	ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	return ptr == MAP_FAILED ? NULL : ptr;
}

void base_unmap(void *ptr, size_t size)
{
	if (ptr)
		munmap(ptr, size);
}
