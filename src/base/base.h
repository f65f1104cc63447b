/* SPDX-License-Identifier: MIT */
/*
 * base: what every room stands on. It knows nothing of memory, devices or
 * addresses.
 *
 * It owns
 *  - the error text of each thread (error.c),
 *  - the library's only way to get memory, so that tests can make any
 *    allocation fail (alloc.c),
 *  - address space at addresses that a device can reach (place.c),
 *  - small numbers for threads, so that a structure can keep a slot a thread and
 *    find it with two loads; a number is given back when its thread ends
 *    (thread.c),
 *  - the asymmetric lock: an owner that enters with plain stores, and a stranger
 *    that revokes it at the price of a membarrier (asym.c).
 *
 * Vocabulary of the whole house: `last` is a closed bound, `end` an open one,
 * `size`, `len` and `length` are bytes, `pages` counts granules, `pfn` is an
 * address divided by the granule, `index` counts elements.
 *
 * Locking: thread.c has one mutex around the table of numbers and hooks; hooks
 * run without it. Nothing else here locks.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#if __SIZEOF_POINTER__ != 8 || __SIZEOF_LONG__ != 8
#error "twostep needs a 64-bit machine: entries hold 64-bit addresses, attributes 64 bits"
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whether ThreadSanitizer watches: it must see every access. */
#if defined(__SANITIZE_THREAD__)
#define BASE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BASE_TSAN 1
#endif
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#ifndef __cold
#define __cold __attribute__((__cold__, __noinline__))
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define __cacheline_aligned __attribute__((__aligned__(64)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Thread-local data that costs one segment-relative access, also in a plugin. */
#define thread_local_ie __thread __attribute__((tls_model("initial-exec")))

static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t rotate_right(uint64_t value, unsigned int by)
{
	return value >> by | value << (64 - by);
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* The smallest k with 2^k >= value; value is at least 1. */
static inline unsigned int order_of(uint64_t value)
{
	return value <= 1 ? 0 : 64 - (unsigned int)__builtin_clzll(value - 1);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* A counter that one thread writes and any thread may read. */
static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELEASE);
}

/* One more, in as few instructions as there are: the fast paths count by this. */
static __always_inline void counter_step(uint64_t *counter)
{
#if defined(__x86_64__) && !defined(BASE_TSAN)
	__asm__("incq %0" : "+m"(*counter));
#else
	counter_add(counter, 1);
#endif
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* A counter that any thread writes. */
static inline void counter_add_shared(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* error.c */

/*
 * Set the thread's error text and return @err (negative) for the caller to
 * return. The sentence names what was asked, what was wrong and what to do, and
 * ends without a full stop. Allocates nothing.
 */
int base_error(int err, const char *format, ...)
	__attribute__((__cold__, __format__(__printf__, 2, 3)));

/* The errno of the thread's last base_error(), for who gets told only that a call failed. */
int base_error_code(void);

/* alloc.c: every allocation of the library. All return NULL for failure. */

void *base_alloc(size_t size); /* not zeroed; base_free() */
void *base_zalloc(size_t size); /* zeroed; base_free() */
void *base_zalloc_aligned(size_t size, size_t alignment); /* zeroed; base_free() */
void base_free(void *ptr); /* NULL is allowed */
/* Zeroed pages of address space that cost memory only where touched; base_unmap(). */
void *base_map(size_t size);
void base_unmap(void *ptr, size_t size);

/*
 * For memory that does not come from here (pages of a pool): counts as one
 * allocation and says whether a test wants it to fail.
 */
bool base_alloc_denied(void);

/*
 * For tests: let the @nth allocation from now on fail (1 is the next), and none
 * after it; 0 switches off. Returns how many allocations have been asked for
 * since the last call.
 */
uint64_t base_alloc_fail(uint64_t nth);
/* The same, but everything after it fails as well, until it is switched off. */
void base_alloc_fail_from(uint64_t nth);

/* place.c */

/*
 * PROT_NONE address space of @size bytes, whole pages, aligned to @alignment, a power of
 * two of at least a page, with no byte above @last; 0 if there is none. Where low addresses
 * are wanted, the place that ends at @near, if not 0, is tried first: many small ones
 * find room by it. Whether a test wants it to fail is for the caller to ask.
 */
uint64_t base_place(uint64_t size, uint64_t alignment, uint64_t last, uint64_t near);
/* Make a part of it accessible: zeroed. */
bool base_place_open(uint64_t start, uint64_t size);
void base_place_free(uint64_t start, uint64_t size); /* 0 is allowed for either */

/* huge.c: memory in huge pages of 2 MiB, which never move. It is shared with children. */

#define BASE_HUGE (2ULL << 20)

/* As base_place_open(), in huge pages; both are whole ones. False: no such page is free. */
bool base_huge_open(uint64_t start, uint64_t size);
/*
 * @size bytes, whole pages, zeroed, aligned to @alignment, a power of two up to BASE_HUGE;
 * what is up to BASE_HUGE long lies in one huge page. 0 if there is none. A child of fork()
 * allocates from pages of its own.
 */
uint64_t base_huge_alloc(uint64_t size, uint64_t alignment);
void base_huge_free(uint64_t start, uint64_t size); /* 0 is allowed for either */
/* Make pages present, and such that writing them does not replace them, as far as can be. */
void base_populate(uint64_t start, uint64_t size);
/* For tests: where huge pages come from. */
extern bool (*base_huge_map)(uint64_t start, uint64_t size);

/* The highest address that a program gets unless it asks for more. */
uint64_t base_user_last(void);

/* thread.c */

#define BASE_MAX_THREADS 512

/* The calling thread's number, 1..BASE_MAX_THREADS-1; 0 while it has none. */
extern thread_local_ie unsigned int base_thread;

/* Give the calling thread a number; 0 if all are taken or memory is short. */
unsigned int base_thread_claim(void);

/*
 * Call @leave for each numbered thread that ends, on that thread, before its
 * number is given to another. One hook for the whole process.
 */
void base_thread_on_exit(void (*leave)(unsigned int thread));

/* asym.c */

/*
 * An asymmetric lock around data that one thread, the owner, uses all the time
 * and others hardly ever. The owner enters with two plain accesses; a revoker
 * makes them safe with a membarrier. Where the kernel has none, locks are born
 * revoked for good, and the owner always goes the revokers' way, which is to
 * take the lock by which revokers exclude each other.
 *
 * Why it is right: the owner stores `busy`, then loads `revoked`; the revoker
 * stores `revoked`, executes a barrier on every running thread, then loads
 * `busy`. Whichever way they interleave, one of them sees the other.
 */
struct base_asym {
	uint32_t busy;
	uint32_t revoked; /* BASE_ASYM_* */
};

#define BASE_ASYM_REVOKED 1U
#define BASE_ASYM_FOR_GOOD 2U

/* Whether the kernel can run a barrier on all our threads. */
extern bool base_asym_works;

static inline void base_asym_init(struct base_asym *lock)
{
	*lock = (struct base_asym){.revoked = base_asym_works ? 0 : BASE_ASYM_FOR_GOOD};
}

/* Owner only. False: revoked; the data must not be touched. */
static __always_inline bool base_asym_enter(struct base_asym *lock)
{
	__atomic_store_n(&lock->busy, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&lock->revoked, __ATOMIC_ACQUIRE)))
		return true;
	__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
	return false;
}

static __always_inline void base_asym_leave(struct base_asym *lock)
{
	__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
}

/*
 * Keep the owner out and wait until it is out. Revokers of one lock exclude each
 * other by a lock of their own. Must not be called by the owner while inside.
 * False: it cannot be done, and the owner is not kept out.
 */
bool base_asym_revoke(struct base_asym *lock);
void base_asym_restore(struct base_asym *lock);

/*
 * The revoker's half alone: a barrier on every running thread of the process, so that
 * others need none between a store and a load. False: the kernel does not do it.
 */
bool base_barrier_everywhere(void);

/* Revoke by the owner itself, or when it is gone: there is nobody to wait for. */
static inline void base_asym_revoke_own(struct base_asym *lock)
{
	__atomic_fetch_or(&lock->revoked, BASE_ASYM_REVOKED, __ATOMIC_RELEASE);
}

#endif
