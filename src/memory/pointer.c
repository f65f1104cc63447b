/* SPDX-License-Identifier: MIT */
/*
 * From pointers to physical addresses.
 *
 * The CPU mappings of registered memory stand in a sorted table that is never
 * changed once published. A change builds the next table in `spare`, publishes
 * it, waits until no reader uses the former one, and keeps that as the new spare.
 * So the spare always has room for one range less than the table in use, and a
 * removal allocates nothing.
 */
#include <inttypes.h>

#include "memory/arena.h"

/* ThreadSanitizer cannot see the order that liburcu makes; there, readers lock. */
#ifdef BASE_TSAN
#include <pthread.h>

static pthread_mutex_t readers = PTHREAD_MUTEX_INITIALIZER;

static void read_begin(void)
{
	pthread_mutex_lock(&readers);
}

static void read_end(void)
{
	pthread_mutex_unlock(&readers);
}

static void wait_for_readers(void)
{
	pthread_mutex_lock(&readers);
	pthread_mutex_unlock(&readers);
}

void memory_pointers_before_fork(void)
{
	pthread_mutex_lock(&readers);
}

void memory_pointers_after_fork(bool child)
{
	(void)child;
	pthread_mutex_unlock(&readers);
}
#else
#include <urcu-bp.h>

static void read_begin(void)
{
	rcu_read_lock();
}

static void read_end(void)
{
	rcu_read_unlock();
}

static void wait_for_readers(void)
{
	synchronize_rcu();
}

void memory_pointers_before_fork(void)
{
	urcu_bp_before_fork();
}

void memory_pointers_after_fork(bool child)
{
	if (child)
		urcu_bp_after_fork_child();
	else
		urcu_bp_after_fork_parent();
}
#endif

struct pointer_range {
	uint64_t first;
	uint64_t last;
	phys_addr_t base;
};

struct pointer_table {
	size_t nr;
	size_t capacity;
	struct pointer_range ranges[];
};

static struct pointer_table *in_use; /* NULL while there are no ranges */
static struct pointer_table *spare;

/* Index of the first range that ends at or after @addr. */
static size_t range_from(const struct pointer_table *table, uint64_t addr)
{
	size_t low = 0;
	size_t end = table->nr;
	size_t middle;

	while (low < end) {
		middle = low + (end - low) / 2;
		if (table->ranges[middle].last < addr)
			low = middle + 1;
		else
			end = middle;
	}
	return low;
}

static __attribute__((__noinline__)) phys_addr_t registered_address(uint64_t addr)
{
	const struct pointer_table *table;
	phys_addr_t phys = addr;
	size_t index;

	read_begin();
	table = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);
	if (table) {
		index = range_from(table, addr);
		if (index < table->nr && table->ranges[index].first <= addr)
			phys = table->ranges[index].base + (addr - table->ranges[index].first);
	}
	read_end();
	return phys;
}

phys_addr_t dma_virt_to_phys(const volatile void *ptr)
{
	uint64_t addr = memory_untag(ptr);

	if (likely(!__atomic_load_n(&in_use, __ATOMIC_RELAXED)))
		return addr;
	return registered_address(addr);
}

int memory_pointers_prepare(uint64_t first, uint64_t last)
{
	size_t nr = in_use ? in_use->nr : 0;
	size_t index = in_use ? range_from(in_use, first) : 0;
	struct pointer_table *table;
	size_t capacity;

	if (index < nr && in_use->ranges[index].first <= last)
		return base_error(-EEXIST,
				  "registering memory with the CPU mapping 0x%" PRIx64
				  "..0x%" PRIx64 ": memory mapped at 0x%" PRIx64 "..0x%" PRIx64
				  " is registered already; unregister it first",
				  first, last, in_use->ranges[index].first,
				  in_use->ranges[index].last);
	if (spare && spare->capacity > nr)
		return 0;
	capacity = nr < 8 ? 8 : 2 * nr;
	table = base_alloc(sizeof(*table) + capacity * sizeof(table->ranges[0]));
	if (!table)
		return base_error(-ENOMEM,
				  "registering memory with a CPU mapping: no memory for a table "
				  "of %zu mappings; free some",
				  capacity);
	table->capacity = capacity;
	base_free(spare);
	spare = table;
	return 0;
}

/* Publish @next, or nothing, and keep what was in use, with @idle the better of both. */
static void replace(struct pointer_table *next, struct pointer_table *idle)
{
	struct pointer_table *former = in_use;

	__atomic_store_n(&in_use, next, __ATOMIC_RELEASE);
	wait_for_readers();
	if (former && idle && former->capacity < idle->capacity) {
		base_free(former);
		former = idle;
	} else {
		base_free(idle);
	}
	spare = former;
}

void memory_pointers_add(uint64_t first, uint64_t last, phys_addr_t base)
{
	static const struct pointer_table none;
	const struct pointer_table *from = in_use ? in_use : &none;
	size_t index = range_from(from, first);
	struct pointer_table *next = spare;

	memcpy(next->ranges, from->ranges, index * sizeof(next->ranges[0]));
	memcpy(&next->ranges[index + 1], &from->ranges[index],
	       (from->nr - index) * sizeof(next->ranges[0]));
	next->ranges[index] = (struct pointer_range){first, last, base};
	next->nr = from->nr + 1;
	replace(next, NULL);
}

void memory_pointers_remove(phys_addr_t base)
{
	struct pointer_table *next = spare;
	size_t index;

	for (index = 0; in_use->ranges[index].base != base; index++)
		;
	if (in_use->nr == 1) {
		replace(NULL, spare);
		return;
	}
	memcpy(next->ranges, in_use->ranges, index * sizeof(next->ranges[0]));
	memcpy(&next->ranges[index], &in_use->ranges[index + 1],
	       (in_use->nr - index - 1) * sizeof(next->ranges[0]));
	next->nr = in_use->nr - 1;
	replace(next, NULL);
}
