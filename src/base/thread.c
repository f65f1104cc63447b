/* SPDX-License-Identifier: MIT */
/* Small numbers for threads. */
#include <pthread.h>

#include "base/base.h"

thread_local_ie unsigned int base_thread;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;
static bool taken[BASE_MAX_THREADS];
static void (*leave_hook)(unsigned int thread);

static void thread_ends(void *value)
{
	unsigned int number = (unsigned int)(uintptr_t)value;
	void (*leave)(unsigned int thread) = __atomic_load_n(&leave_hook, __ATOMIC_ACQUIRE);

	if (leave)
		leave(number);
	base_thread = 0;
	pthread_mutex_lock(&lock);
	taken[number] = false;
	pthread_mutex_unlock(&lock);
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

/* Only the calling thread lives on. */
static void after_fork_child(void)
{
	for (unsigned int number = 1; number < BASE_MAX_THREADS; number++)
		taken[number] = number == base_thread;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void expect_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void make_key(void)
{
	have_key = !pthread_key_create(&key, thread_ends);
}

unsigned int base_thread_claim(void)
{
	unsigned int number;

	if (base_thread)
		return base_thread;
	pthread_once(&once, make_key);
	if (!have_key)
		return 0;
	pthread_mutex_lock(&lock);
	for (number = 1; number < BASE_MAX_THREADS && taken[number]; number++)
		;
	if (number < BASE_MAX_THREADS)
		taken[number] = true;
	pthread_mutex_unlock(&lock);
	if (number == BASE_MAX_THREADS)
		return 0;
	if (pthread_setspecific(key, (void *)(uintptr_t)number)) {
		pthread_mutex_lock(&lock);
		taken[number] = false;
		pthread_mutex_unlock(&lock);
		return 0;
	}
	base_thread = number;
	return number;
}

void base_thread_on_exit(void (*leave)(unsigned int thread))
{
	__atomic_store_n(&leave_hook, leave, __ATOMIC_RELEASE);
}
