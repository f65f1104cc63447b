/* SPDX-License-Identifier: MIT */
/*
 * What the files of the memory room share. Everything here is called with the
 * room's lock held, but memory_record_show() and memory_record_hide(), which the
 * owner of a record may call at any time.
 *
 * The life of a record: taken (its chunks are its own, but hide it), shown,
 * hidden again, released.
 */
#ifndef MEMORY_ARENA_H
#define MEMORY_ARENA_H

#include "memory/memory.h"

/* Reserve the arena unless it is there. 0; -ENOMEM with the error text. */
int memory_arena_reserve(void);

/*
 * A record with chunks for @size bytes from @page_offset bytes into the first;
 * base and size are set, the rest is zero. NULL if no gap is large enough, with
 * the error text of -ENOSPC.
 */
struct memory_record *memory_record_take(uint64_t page_offset, uint64_t size);
void memory_record_show(struct memory_record *record);
void memory_record_hide(struct memory_record *record);
void memory_record_release(struct memory_record *record);
/* The record that begins at @base, shown or hidden; or NULL. */
struct memory_record *memory_record_at(phys_addr_t base);
/* Whether an unregistration of the record has begun. */
bool *memory_record_leaving(struct memory_record *record);

/* A pointer's address: without the bits that the CPU ignores. */
static inline uint64_t memory_untag(const volatile void *ptr)
{
	uint64_t addr = (uint64_t)(uintptr_t)ptr;

#if defined(__x86_64__)
	/* Linear address masking leaves bits 62:57 of pointers into user space to software. */
	return addr >> 63 ? addr : addr & ~(0x3fULL << 57);
#elif defined(__aarch64__)
	/* Top-byte ignore, which memory tagging builds on. */
	return addr & ~(0xffULL << 56);
#elif defined(__riscv)
	/* Pointer masking, with the 7 bits that every implementation has. */
	return addr >> 63 ? addr : addr & ~(0x7fULL << 57);
#else
	return addr;
#endif
}

/*
 * Pointers into [first, last] become addresses from @base on. Prepare makes all
 * checks and allocations: 0; -EEXIST, -ENOMEM with the error text. Add follows a
 * prepare for the same range; add and remove cannot fail, and return when no
 * reader uses the former translation.
 */
int memory_pointers_prepare(uint64_t first, uint64_t last);
void memory_pointers_add(uint64_t first, uint64_t last, phys_addr_t base);
void memory_pointers_remove(phys_addr_t base);
/* Around fork(): a child must not wait for readers that it does not have. */
void memory_pointers_before_fork(void);
void memory_pointers_after_fork(bool child);

#endif
