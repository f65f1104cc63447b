/* SPDX-License-Identifier: MIT */
/* Threads get small numbers, which are used again when they end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

struct claimant {
	pthread_t thread;
	unsigned int number;
	bool again_same;
};

static pthread_barrier_t all_claimed;

/* What the exit hook saw. */
static unsigned int hook_calls[BASE_MAX_THREADS];
static unsigned int hook_strange;

static void leaves(unsigned int number)
{
	/* The number is still this thread's own, so claiming gives no other. */
	if (number != base_thread || number != base_thread_claim() || !number)
		__atomic_fetch_add(&hook_strange, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&hook_calls[number], 1, __ATOMIC_RELAXED);
}

static void *claim(void *arg)
{
	struct claimant *self = arg;
	bool none = base_thread == 0;

	self->number = base_thread_claim();
	self->again_same = none && base_thread == self->number &&
			   base_thread_claim() == self->number;
	return NULL;
}

static void *claim_and_stay(void *arg)
{
	claim(arg);
	pthread_barrier_wait(&all_claimed);
	pthread_barrier_wait(&all_claimed);
	return NULL;
}

static void the_first_thread_has_one(void **state)
{
	(void)state;
	assert_int_equal(base_thread, 0);
	assert_int_equal(base_thread_claim(), 1);
	assert_int_equal(base_thread, 1);
	assert_int_equal(base_thread_claim(), 1);
}

static void a_number_is_used_again(void **state)
{
	struct claimant one = {0};
	struct claimant two = {0};

	(void)state;
	base_thread_on_exit(leaves);
	assert_int_equal(pthread_create(&one.thread, NULL, claim, &one), 0);
	pthread_join(one.thread, NULL);
	assert_true(one.again_same);
	assert_int_equal(one.number, 2);
	assert_int_equal(hook_calls[2], 1);
	assert_int_equal(hook_strange, 0);
	assert_int_equal(pthread_create(&two.thread, NULL, claim, &two), 0);
	pthread_join(two.thread, NULL);
	assert_int_equal(two.number, 2);
	assert_int_equal(hook_calls[2], 2);
	base_thread_on_exit(NULL);
}

static void *claim_nothing(void *arg)
{
	(void)arg;
	return NULL;
}

static void the_hook_is_for_numbered_threads(void **state)
{
	struct claimant one = {0};
	pthread_t thread;
	unsigned int calls = 0;

	(void)state;
	memset(hook_calls, 0, sizeof(hook_calls));
	base_thread_on_exit(leaves);
	assert_int_equal(pthread_create(&thread, NULL, claim_nothing, NULL), 0);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++)
		calls += hook_calls[i];
	assert_int_equal(calls, 0);
	base_thread_on_exit(NULL);
	assert_int_equal(pthread_create(&one.thread, NULL, claim, &one), 0);
	pthread_join(one.thread, NULL);
	assert_int_equal(hook_calls[one.number], 0);
}

static void all_numbers_differ_and_end(void **state)
{
	static struct claimant claimants[BASE_MAX_THREADS];
	static bool seen[BASE_MAX_THREADS];
	struct claimant late = {.number = 77};
	unsigned int without = 0;
	pthread_attr_t attr;

	(void)state;
	memset(hook_calls, 0, sizeof(hook_calls));
	base_thread_on_exit(leaves);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	/* This thread has a number, 0 is none, so two of them must go without. */
	pthread_barrier_init(&all_claimed, NULL, BASE_MAX_THREADS + 1);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++)
		assert_int_equal(
			pthread_create(&claimants[i].thread, &attr, claim_and_stay, &claimants[i]),
			0);
	pthread_barrier_wait(&all_claimed);
	seen[base_thread] = true;
	for (size_t i = 0; i < BASE_MAX_THREADS; i++) {
		if (!claimants[i].number) {
			without++;
			continue;
		}
		assert_true(claimants[i].again_same);
		assert_true(claimants[i].number < BASE_MAX_THREADS);
		assert_false(seen[claimants[i].number]);
		seen[claimants[i].number] = true;
	}
	assert_int_equal(without, 2);
	pthread_barrier_wait(&all_claimed);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++)
		pthread_join(claimants[i].thread, NULL);
	assert_int_equal(hook_strange, 0);
	for (unsigned int i = 1; i < BASE_MAX_THREADS; i++)
		assert_int_equal(hook_calls[i], i != base_thread);
	assert_int_equal(pthread_create(&late.thread, NULL, claim, &late), 0);
	pthread_join(late.thread, NULL);
	assert_int_equal(late.number, 2);
	base_thread_on_exit(NULL);
	pthread_barrier_destroy(&all_claimed);
	pthread_attr_destroy(&attr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_thread_has_one),
		cmocka_unit_test(a_number_is_used_again),
		cmocka_unit_test(the_hook_is_for_numbered_threads),
		cmocka_unit_test(all_numbers_differ_and_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
