/* SPDX-License-Identifier: MIT */
/* What tests that race need: flags between threads, and cheap random numbers. */
#ifndef TESTS_RACE_H
#define TESTS_RACE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

static inline bool flag_is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline void set_flag(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

static inline void wait_for_flag(const bool *flag)
{
	while (!flag_is_set(flag))
		sched_yield();
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
