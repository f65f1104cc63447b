/* SPDX-License-Identifier: MIT */
/*
 * memory: what a phys_addr_t is.
 *
 * Ordinary memory is its virtual address without tag bits. Registered memory has
 * addresses in one arena: PROT_NONE address space that the room reserves once,
 * a power of two long and aligned to its length, so that no pointer can collide
 * with it, a stray access faults, and the test is a shift and a compare. A
 * registration takes whole chunks of MEMORY_CHUNK bytes of the arena; a table
 * maps each chunk to the record that owns it.
 *
 * Invariants
 *  - Records are type-stable: their storage is never freed, only reused, so a
 *    look-up needs no lock and may race with an unregistration (the caller's
 *    fault) without touching memory that is gone.
 *  - A record is complete before its chunks show it, and its chunks have hidden
 *    it before it is taken apart.
 *  - Memory that a device can reach is not unregistered: the room asks the hook
 *    that the room above has installed, once with the record in place and once
 *    with it hidden, so that the second answer covers every access that found it.
 *  - Unregistration allocates nothing.
 *
 * Files: arena.c has the arena, its chunks and the records, pointer.c turns
 * pointers into addresses, register.c is registration, access.c answers what a
 * range is and reaches it.
 *
 * Locking: one mutex serialises registration and unregistration; the hook is
 * called without it. Look-ups take nothing; look-up by pointer
 * (dma_virt_to_phys) is a liburcu reader, and costs one load while no memory
 * with a CPU mapping is registered.
 */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include <twostep/memory.h>

#include "base/base.h"

#define MEMORY_CHUNK_SHIFT 21
#define MEMORY_CHUNK (1ULL << MEMORY_CHUNK_SHIFT)

struct memory_record {
	phys_addr_t base;
	uint64_t size;
	enum dma_memory_type type;
	void *cpu; /* the CPU's mapping, or NULL: then the CPU must not touch it */
	void *bus_map; /* where software devices access it: @cpu, or a mapping of @fd; or NULL */
	bool bus_readonly; /* @fd could be mapped for reading only */
	bool unpinnable; /* devices must not be given it: its pages may move */
	int fd; /* our duplicate, or -1 */
	uint64_t fd_offset;
	uint64_t bus_addr;
	const void *provider;
	const struct dma_memory_ops *ops;
	void *ops_arg;
};

/*
 * The arena's place as one comparison: phys is inside iff
 * phys >> memory_arena.shift == memory_arena.id.
 *
 * Before the first registration the id matches no address. The two words change
 * once, one after the other, and a reader may see any mixture: the first values
 * (63 and all ones) and an id of at least 2 make every mixture match nothing.
 */
struct memory_arena {
	uint64_t id;
	unsigned int shift;
};

extern struct memory_arena memory_arena;

static __always_inline bool memory_in_arena(phys_addr_t phys)
{
	return phys >> __atomic_load_n(&memory_arena.shift, __ATOMIC_RELAXED) ==
	       __atomic_load_n(&memory_arena.id, __ATOMIC_RELAXED);
}

/*
 * Nearly all ordinary memory, recognised by its bits: programs, stacks and mappings
 * have the highest bit of a user address set, and the arena is placed where it is
 * clear. phys is plain, and a whole granule begins there, iff
 * ((phys ^ match) & mask) == 0. What is not plain may be ordinary all the same.
 * Set when the library is loaded and constant from then on.
 */
struct memory_plain {
	uint64_t match;
	uint64_t mask;
};

extern struct memory_plain memory_plain;

/* The record of registered memory at @phys, or NULL. */
const struct memory_record *memory_lookup(phys_addr_t phys);

/* memory_check() for all but ordinary memory; says what is wrong. */
int memory_check_registered(phys_addr_t phys, uint64_t size, const struct memory_record **record);

/*
 * Whether [phys, phys + size) is memory that may be mapped: ordinary memory
 * entirely outside the arena, or entirely inside one record, which is stored in
 * @record (NULL for ordinary memory). Returns 0, or -EINVAL with the error text
 * set and @record untouched. A @size that is 0 or wraps is -EINVAL.
 */
static __always_inline int memory_check(phys_addr_t phys, uint64_t size,
					const struct memory_record **record)
{
	unsigned int shift = __atomic_load_n(&memory_arena.shift, __ATOMIC_RELAXED);
	uint64_t id = __atomic_load_n(&memory_arena.id, __ATOMIC_RELAXED);
	phys_addr_t end = phys + size;

	if (likely(end > phys && ((end - 1) >> shift < id || phys >> shift > id))) {
		*record = NULL;
		return 0;
	}
	return memory_check_registered(phys, size, record);
}

/*
 * Where the CPU may read and write [phys, phys + size), or NULL: memory without
 * CPU mapping, or not one piece of memory.
 */
void *memory_cpu_address(phys_addr_t phys, uint64_t size);

/*
 * A software device's access, at most one granule and inside one: 0, or -EFAULT
 * if the memory is not there or may only be read; without error text. Never takes
 * a lock. The pointer form returns where to access directly, with reads and writes
 * alike, or NULL when memory_bus_read() and memory_bus_write() must be used.
 * Ordinary memory is taken at its word: a bad address crashes.
 */
void *memory_bus_pointer(phys_addr_t phys, size_t len);
int memory_bus_read(phys_addr_t phys, void *buf, size_t len);
int memory_bus_write(phys_addr_t phys, const void *buf, size_t len);

/*
 * Copy from and to memory that other threads use at the same time. Aligned pieces
 * of 1, 2, 4 and 8 bytes are single acquire loads or release stores; aligned
 * pieces of whole words up to MEMORY_COPY_WORDS bytes are such accesses: stores in
 * ascending order, loads in descending order, so that whoever has loaded the new last
 * word of a record has loaded the rest after it, and the last word tells that it is there.
 */
#define MEMORY_COPY_WORDS 64
void memory_copy_from(void *buf, const void *memory, size_t len);
void memory_copy_to(void *memory, const void *buf, size_t len);

/* Whether memory_copy_*() make [addr, addr + len) of single accesses. */
static inline bool memory_copy_is_atomic(uint64_t addr, size_t len)
{
	if (len <= 8)
		return is_power_of_two(len) && !(addr & (len - 1));
	return len <= MEMORY_COPY_WORDS && !((len | addr) & 7);
}

/*
 * Atomic operations on 4 or 8 aligned bytes, sequentially consistent. The values
 * behind @expected, @desired need no alignment. memory_cmpxchg() returns 1 if
 * it stored, 0 if memory differed; memory_fetch_add() returns what was there.
 */
int memory_cmpxchg(void *memory, size_t size, void *expected, const void *desired);
uint64_t memory_fetch_add(void *memory, size_t size, uint64_t add);

/*
 * As dma_memory_unregister(). Between the moment from which nobody finds the memory and
 * the moment from which its addresses may be given to another, calls @withdrawn (may be
 * NULL), with no lock held.
 */
int memory_unregister(phys_addr_t base, void (*withdrawn)(void *arg), void *arg);

/*
 * Nobody finds the registered memory at @base from now on, and its addresses are never
 * given to another: for memory that goes although devices have it in their page tables.
 * Does not wait for transfers that have found it.
 */
void memory_hide_for_good(phys_addr_t base);

/*
 * Asked by unregistration, twice and with no lock held: is [base, last] mapped
 * anywhere (true: -EBUSY)? When it answers false, transfers begun before have
 * ended. One hook; NULL for none.
 */
void memory_set_busy_hook(bool (*busy)(phys_addr_t base, phys_addr_t last));

#endif
