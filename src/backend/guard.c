/* SPDX-License-Identifier: MIT */
/* Reaching ordinary memory without trusting the address. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "backend/guard.h"
#include "memory/memory.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum ability { UNKNOWN, ABSENT, PRESENT };

/*
 * Whether madvise() can make pages present (Linux 5.14), and whether a filter of
 * system calls keeps us from process_vm_readv(). Found out once; threads that find
 * out at the same time find the same.
 */
static enum ability can_populate;
static enum ability can_vm;

/* With a length of zero, madvise() only says whether it knows the advice. */
static bool populate_known(void)
{
	enum ability known = __atomic_load_n(&can_populate, __ATOMIC_RELAXED);

	if (likely(known != UNKNOWN))
		return known == PRESENT;
	known = madvise(NULL, 0, MADV_POPULATE_WRITE) ? ABSENT : PRESENT;
	__atomic_store_n(&can_populate, known, __ATOMIC_RELAXED);
	return known == PRESENT;
}

/*
 * A futex call reads its word, or changes it, with the kernel's own care for bad
 * addresses: a wait that ends at once, and a bitwise or with nothing. The second
 * may wake a waiter of that word for no reason, which waiters must expect.
 */
static bool futex_probe(uint64_t addr, bool write)
{
	static const struct timespec at_once;
	uint32_t here = 0;
	long answer;

	addr &= ~3ULL;
	if (write)
		answer = syscall(SYS_futex, &here, FUTEX_WAKE_OP_PRIVATE, 0, 0, addr,
				 FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_LT, 0));
	else
		answer = syscall(SYS_futex, addr, FUTEX_WAIT_PRIVATE, 0, &at_once, NULL, 0);
	return answer >= 0 || errno != EFAULT;
}

bool guard_probe(uint64_t addr, bool write)
{
	/* The kernel's page may be larger than ours, and madvise() takes no other start. */
	uint64_t page = align_down(addr, (uint64_t)sysconf(_SC_PAGESIZE));

	if (!populate_known())
		return futex_probe(addr, write);
	return !madvise((void *)page, GUARD_PAGE, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

/* Bytes of [addr, addr + len) in the first page. */
static size_t page_part(uint64_t addr, size_t len)
{
	size_t part = GUARD_PAGE - (addr & (GUARD_PAGE - 1));

	return part < len ? part : len;
}

/* One element a page: the kernel then stops exactly at the page that refuses. */
static unsigned long cut(struct iovec *pieces, uint64_t addr, size_t len)
{
	unsigned long nr;

	for (nr = 0; len && nr < GUARD_BATCH_PAGES; nr++) {
		pieces[nr].iov_base = (void *)addr;
		pieces[nr].iov_len = page_part(addr, len);
		addr += pieces[nr].iov_len;
		len -= pieces[nr].iov_len;
	}
	return nr;
}

/*
 * The kernel copies, and refuses instead of crashing. False: it does not let us.
 * What is written so is invisible to ThreadSanitizer.
 */
static bool vm_copy(uint64_t addr, void *buf, size_t len, bool write, size_t *copied)
{
	struct iovec there[GUARD_BATCH_PAGES];
	struct iovec here = {.iov_base = buf, .iov_len = len};
	ssize_t answer;

	if (unlikely(__atomic_load_n(&can_vm, __ATOMIC_RELAXED) == ABSENT))
		return false;
	answer = syscall(write ? SYS_process_vm_writev : SYS_process_vm_readv, getpid(), &here, 1UL,
			 there, cut(there, addr, len), 0UL);
	if (answer < 0 && (errno == EPERM || errno == ENOSYS)) {
		__atomic_store_n(&can_vm, ABSENT, __ATOMIC_RELAXED);
		return false;
	}
	*copied = answer < 0 ? 0 : (size_t)answer;
	return true;
}

static void copy_part(uint64_t addr, void *buf, size_t len, bool write)
{
	if (write)
		memory_copy_to((void *)addr, buf, len);
	else
		memory_copy_from(buf, (const void *)addr, len);
}

static size_t probe_copy(uint64_t addr, void *buf, size_t len, bool write)
{
	size_t done = 0;
	size_t part;

	while (done < len) {
		part = page_part(addr + done, len - done);
		if (!guard_probe(addr + done, write))
			break;
		copy_part(addr + done, (char *)buf + done, part, write);
		done += part;
	}
	return done;
}

static size_t copy(uint64_t addr, void *buf, size_t len, bool write)
{
	size_t copied;

	if (memory_copy_is_atomic(addr, len) || !vm_copy(addr, buf, len, write, &copied))
		return probe_copy(addr, buf, len, write);
	return copied;
}

size_t guard_read(uint64_t addr, void *buf, size_t len)
{
	return copy(addr, buf, len, false);
}

size_t guard_write(uint64_t addr, const void *buf, size_t len)
{
	return copy(addr, (void *)(uintptr_t)buf, len, true);
}
