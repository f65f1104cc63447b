/* SPDX-License-Identifier: MIT */
/* The asymmetric lock's expensive half. */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

bool base_asym_works;

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

__attribute__((constructor)) static void probe(void)
{
	base_asym_works = !membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

bool base_barrier_everywhere(void)
{
	/* It worked when the library was loaded; a system call filter may have come since. */
	return base_asym_works && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

bool base_asym_revoke(struct base_asym *lock)
{
	uint32_t was = __atomic_fetch_or(&lock->revoked, BASE_ASYM_REVOKED, __ATOMIC_SEQ_CST);
	unsigned int spins = 0;

	/* It worked when the library was loaded; a system call filter may have come since. */
	if (!(was & BASE_ASYM_FOR_GOOD) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
		base_asym_restore(lock);
		return false;
	}
	while (__atomic_load_n(&lock->busy, __ATOMIC_ACQUIRE)) {
		if (++spins % 64)
			cpu_relax();
		else
			sched_yield();
	}
	return true;
}

void base_asym_restore(struct base_asym *lock)
{
	__atomic_fetch_and(&lock->revoked, ~BASE_ASYM_REVOKED, __ATOMIC_RELEASE);
}
