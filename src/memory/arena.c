/* SPDX-License-Identifier: MIT */
/* The arena of registered memory: its address space, chunks and records. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/arena.h"

/* A chunk's entry is the number of its owner, 0 for none; this bit hides the owner. */
#define CHUNK_HIDDEN (1U << 31)

/* A gigabyte of memory gets an address that one page-table entry can map. */
#define GIGABYTE (1ULL << 30)
#define GIGABYTE_CHUNKS (GIGABYTE / MEMORY_CHUNK)

struct record_slot {
	struct memory_record record;
	uint64_t nr_chunks;
	uint32_t next_free; /* number of the next free slot; 0 ends the list */
	bool leaving;
};

struct memory_arena memory_arena = {.id = UINT64_MAX, .shift = 63};

/* Until it is known, nothing is plain. */
struct memory_plain memory_plain = {.match = 0, .mask = UINT64_MAX};

/*
 * The highest bit of user addresses: the program's first stack, where the kernel leaves
 * these random bytes, lies in the upper half of them. A thread's stack may lie anywhere.
 */
static uint64_t top_bit(void)
{
	return 1ULL << (63 - __builtin_clzll(getauxval(AT_RANDOM) | 1));
}

__attribute__((constructor)) static void find_plain(void)
{
	uint64_t top = top_bit();

	memory_plain = (struct memory_plain){.match = top, .mask = ~(top - 1) | 4095};
}

/*
 * Both tables are as long as they can ever get, and cost memory only where used.
 * `chunks` is published last, with release: who sees it sees the rest.
 */
static uint32_t *chunks;
static struct record_slot *slots; /* by number; number 0 is never used */
static uint64_t nr_chunks;
static uint64_t arena_base;
static uint64_t chunks_end; /* every chunk from here on is free */
static uint32_t slots_end = 1; /* every slot from here on is free */
static uint32_t free_slots;

/*
 * The system call itself: nothing is ever accessed in the arena, and a sanitizer
 * that intercepts mmap() would make shadow memory for it.
 */
static bool reserve(uint64_t base, uint64_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	long addr = syscall(SYS_mmap, base, size, PROT_NONE, flags, -1, 0);

	if (addr == -1)
		return false;
	/* A kernel that does not know the flag takes the place for a hint. */
	if ((uint64_t)addr != base) {
		syscall(SYS_munmap, addr, size);
		return false;
	}
	return true;
}

static void give_back(uint64_t first, uint64_t end)
{
	if (end > first)
		syscall(SYS_munmap, first, end - first);
}

/*
 * Address space of 2^shift bytes, aligned to its size, where the highest bit of user
 * addresses is clear, so that nothing in it is plain; 0 if there is none.
 */
static uint64_t reserve_aligned(unsigned int shift)
{
	uint64_t size = 1ULL << shift, top = top_bit();
	uint64_t step = size > top / 256 ? size : top / 256;

	for (uint64_t base = 2 * size; base + size <= top; base += step) {
		if (reserve(base, size)) {
			madvise((void *)base, size, MADV_DONTDUMP);
			return base;
		}
	}
	return 0;
}

static void publish(uint64_t base, unsigned int shift, uint32_t *table, struct record_slot *pool)
{
	arena_base = base;
	nr_chunks = (1ULL << shift) / MEMORY_CHUNK;
	slots = pool;
	__atomic_store_n(&memory_arena.shift, shift, __ATOMIC_RELAXED);
	__atomic_store_n(&memory_arena.id, base >> shift, __ATOMIC_RELAXED);
	__atomic_store_n(&chunks, table, __ATOMIC_RELEASE);
}

static int reserve_at(uint64_t base, unsigned int shift)
{
	uint64_t nr = (1ULL << shift) / MEMORY_CHUNK;
	uint32_t *table = base_map(nr * sizeof(*table));
	struct record_slot *pool = table ? base_map((nr + 1) * sizeof(*pool)) : NULL;

	if (pool) {
		publish(base, shift, table, pool);
		return 0;
	}
	base_unmap(table, nr * sizeof(*table));
	give_back(base, base + (1ULL << shift));
	return base_error(-ENOMEM,
			  "registering memory needs tables for %" PRIu64
			  " chunks of address space, and there is no memory for them; free some",
			  nr);
}

int memory_arena_reserve(void)
{
	static const unsigned char shifts[] = {40, 38, 36, 34, 32};
	uint64_t base;

	if (chunks)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(shifts) && !base_alloc_denied(); i++) {
		base = reserve_aligned(shifts[i]);
		if (base)
			return reserve_at(base, shifts[i]);
	}
	return base_error(
		-ENOMEM,
		"registering memory needs 4 GiB of free address space aligned to "
		"its size, and there is none; raise the limit of address space (ulimit -v)");
}

static struct record_slot *slot_of(struct memory_record *record)
{
	return container_of(record, struct record_slot, record);
}

static uint32_t number_of(const struct record_slot *slot)
{
	return (uint32_t)(slot - slots);
}

static uint64_t first_chunk(const struct memory_record *record)
{
	return (record->base - arena_base) >> MEMORY_CHUNK_SHIFT;
}

static struct record_slot *chunk_owner(uint64_t chunk)
{
	uint32_t entry = __atomic_load_n(&chunks[chunk], __ATOMIC_RELAXED) & ~CHUNK_HIDDEN;

	return entry ? &slots[entry] : NULL;
}

/* The lowest run of @count free chunks that begins at a multiple of @alignment. */
static bool find_run(uint64_t count, uint64_t alignment, uint64_t *start)
{
	uint64_t run = 0; /* where the run of free chunks begins */
	uint64_t chunk = 0;
	struct record_slot *owner;

	while (chunk < chunks_end && chunk - run < count) {
		owner = chunk_owner(chunk);
		if (owner) {
			chunk = first_chunk(&owner->record) + owner->nr_chunks;
			run = align_up(chunk, alignment);
			chunk = run;
		} else {
			chunk++;
		}
	}
	*start = run;
	return run <= nr_chunks && count <= nr_chunks - run;
}

static void set_chunks(struct record_slot *slot, uint32_t entry)
{
	uint64_t first = first_chunk(&slot->record);

	for (uint64_t i = 0; i < slot->nr_chunks; i++)
		__atomic_store_n(&chunks[first + i], entry, __ATOMIC_RELEASE);
}

/* There is always one: a record has a chunk at least, and there are as many slots. */
static struct record_slot *slot_take(void)
{
	struct record_slot *slot;

	if (free_slots) {
		slot = &slots[free_slots];
		free_slots = slot->next_free;
	} else {
		slot = &slots[slots_end++];
	}
	memset(slot, 0, sizeof(*slot));
	return slot;
}

struct memory_record *memory_record_take(uint64_t page_offset, uint64_t size)
{
	uint64_t rest = page_offset + size % MEMORY_CHUNK;
	uint64_t count = size / MEMORY_CHUNK + align_up(rest, MEMORY_CHUNK) / MEMORY_CHUNK;
	bool found = false;
	struct record_slot *slot;
	uint64_t start;

	if (!(size % GIGABYTE))
		found = find_run(count, GIGABYTE_CHUNKS, &start);
	if (!found)
		found = find_run(count, 1, &start);
	if (!found) {
		base_error(-ENOSPC,
			   "registering %" PRIu64 " bytes: the arena of registered memory "
			   "has %" PRIu64 " bytes and no gap as large; unregister memory first",
			   size, (uint64_t)(nr_chunks * MEMORY_CHUNK));
		return NULL;
	}
	slot = slot_take();
	slot->nr_chunks = count;
	slot->record.base = arena_base + start * MEMORY_CHUNK + page_offset;
	slot->record.size = size;
	if (start + count > chunks_end)
		chunks_end = start + count;
	set_chunks(slot, number_of(slot) | CHUNK_HIDDEN);
	return &slot->record;
}

void memory_record_show(struct memory_record *record)
{
	struct record_slot *slot = slot_of(record);

	set_chunks(slot, number_of(slot));
}

void memory_record_hide(struct memory_record *record)
{
	struct record_slot *slot = slot_of(record);

	set_chunks(slot, number_of(slot) | CHUNK_HIDDEN);
	/* Before what the caller then asks of other threads: who found the record began before. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void memory_record_release(struct memory_record *record)
{
	struct record_slot *slot = slot_of(record);

	set_chunks(slot, 0);
	while (chunks_end && !chunk_owner(chunks_end - 1))
		chunks_end--;
	slot->next_free = free_slots;
	free_slots = number_of(slot);
}

struct memory_record *memory_record_at(phys_addr_t base)
{
	struct record_slot *owner;

	if (!chunks || !memory_in_arena(base))
		return NULL;
	owner = chunk_owner((base - arena_base) >> MEMORY_CHUNK_SHIFT);
	return owner && owner->record.base == base ? &owner->record : NULL;
}

bool *memory_record_leaving(struct memory_record *record)
{
	return &slot_of(record)->leaving;
}

const struct memory_record *memory_lookup(phys_addr_t phys)
{
	uint32_t *table = __atomic_load_n(&chunks, __ATOMIC_ACQUIRE);
	const struct memory_record *record;
	uint32_t entry;

	if (!table || !memory_in_arena(phys))
		return NULL;
	entry = __atomic_load_n(&table[(phys - arena_base) >> MEMORY_CHUNK_SHIFT],
				__ATOMIC_ACQUIRE);
	if (!entry || entry & CHUNK_HIDDEN)
		return NULL;
	record = &slots[entry].record;
	return phys - record->base < record->size ? record : NULL;
}
