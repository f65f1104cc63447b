/* SPDX-License-Identifier: MIT */
/* The asymmetric lock's expensive half. */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

/* True until the kernel has said that it can run a barrier on all our threads. */
bool base_asym_fenced = true;

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

__attribute__((constructor)) static void probe(void)
{
	base_asym_fenced = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

void base_asym_revoke(struct base_asym *lock)
{
	unsigned int spins = 0;

	__atomic_store_n(&lock->revoked, 1, __ATOMIC_SEQ_CST);
	if (base_asym_fenced)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	while (__atomic_load_n(&lock->busy, __ATOMIC_ACQUIRE)) {
		if (++spins % 64)
			cpu_relax();
		else
			sched_yield();
	}
}

void base_asym_restore(struct base_asym *lock)
{
	__atomic_store_n(&lock->revoked, 0, __ATOMIC_RELEASE);
}
