/* SPDX-License-Identifier: MIT */
/* Aligned short copies are single accesses, in order; atomics are atomic. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "memory/memory.h"

static void every_length_and_alignment_is_copied(void **state)
{
	uint64_t aligned[20];
	char *memory = (char *)aligned;
	char buf[160];
	char expected[160];

	(void)state;
	for (size_t at = 0; at < 16; at++) {
		for (size_t len = 0; len < 130; len++) {
			memset(memory, 'm', 160);
			memset(expected, 'm', 160);
			for (size_t i = 0; i < len; i++)
				buf[i + 1] = expected[at + i] = (char)(i + len + at);
			memory_copy_to(memory + at, buf + 1, len);
			assert_memory_equal(memory, expected, 160);
			memset(buf, 'b', 160);
			memory_copy_from(buf + 3, memory + at, len);
			assert_memory_equal(buf + 3, expected + at, len);
			assert_int_equal(buf[2], 'b');
			assert_int_equal(buf[3 + len], 'b');
		}
	}
}

static void what_counts_as_single(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 8; len *= 2) {
		assert_true(memory_copy_is_atomic(64 + len, len));
		assert_int_equal(memory_copy_is_atomic(64 + len / 2, len), len == 1);
	}
	assert_false(memory_copy_is_atomic(64, 3));
	assert_false(memory_copy_is_atomic(64, 0));
	assert_true(memory_copy_is_atomic(8, 16));
	assert_true(memory_copy_is_atomic(8, MEMORY_COPY_WORDS));
	assert_false(memory_copy_is_atomic(4, 16));
	assert_false(memory_copy_is_atomic(8, 12));
	assert_false(memory_copy_is_atomic(8, MEMORY_COPY_WORDS + 8));
}

#define RECORDS 20000

/* A record of eight words, the last of which says that the others are there. */
static uint64_t shared[8];
static uint64_t taken;
static unsigned int torn;

static void *poll_records(void *arg)
{
	uint64_t seen = 0;

	(void)arg;
	while (seen < RECORDS) {
		if (__atomic_load_n(&shared[7], __ATOMIC_ACQUIRE) == seen)
			continue;
		seen++;
		for (size_t i = 0; i < 7; i++)
			torn += __atomic_load_n(&shared[i], __ATOMIC_RELAXED) != seen;
		__atomic_store_n(&taken, seen, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void the_last_word_comes_last(void **state)
{
	uint64_t record[8];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, poll_records, NULL), 0);
	for (uint64_t n = 1; n <= RECORDS; n++) {
		for (size_t i = 0; i < 8; i++)
			record[i] = n;
		memory_copy_to(shared, record, sizeof(record));
		while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) != n)
			cpu_relax();
	}
	pthread_join(thread, NULL);
	assert_int_equal(torn, 0);
}

static void compare_and_exchange(void **state)
{
	uint32_t word = 5;
	uint64_t wide = UINT64_MAX;
	uint32_t word_expected = 4;
	uint32_t word_desired = 9;
	uint64_t wide_expected = UINT32_MAX;
	uint64_t wide_desired = 1ULL << 40;

	(void)state;
	assert_int_equal(memory_cmpxchg(&word, 4, &word_expected, &word_desired), 0);
	assert_int_equal(word, 5);
	assert_int_equal(word_expected, 5);
	assert_int_equal(memory_cmpxchg(&word, 4, &word_expected, &word_desired), 1);
	assert_int_equal(word, 9);
	assert_int_equal(memory_cmpxchg(&wide, 8, &wide_expected, &wide_desired), 0);
	assert_int_equal(wide_expected, UINT64_MAX);
	assert_int_equal(memory_cmpxchg(&wide, 8, &wide_expected, &wide_desired), 1);
	assert_int_equal(wide, 1ULL << 40);
}

static void add(void **state)
{
	uint32_t words[2] = {UINT32_MAX, 7};
	uint64_t wide = UINT64_MAX;

	(void)state;
	assert_int_equal(memory_fetch_add(&words[0], 4, 0x500000002), UINT32_MAX);
	assert_int_equal(words[0], 1);
	assert_int_equal(words[1], 7);
	assert_int_equal(memory_fetch_add(&wide, 8, 3), UINT64_MAX);
	assert_int_equal(wide, 2);
}

#define ADDS 20000

static uint64_t sum;
static uint32_t exchanged;

static void *add_many(void *arg)
{
	uint32_t old;
	uint32_t next;

	(void)arg;
	for (int i = 0; i < ADDS; i++) {
		memory_fetch_add(&sum, 8, 3);
		memory_copy_from(&old, &exchanged, sizeof(old));
		do {
			next = old + 1;
		} while (!memory_cmpxchg(&exchanged, 4, &old, &next));
	}
	return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(sum, 2 * 3 * ADDS);
	assert_int_equal(exchanged, 2 * ADDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_and_alignment_is_copied),
		cmocka_unit_test(what_counts_as_single),
		cmocka_unit_test(the_last_word_comes_last),
		cmocka_unit_test(compare_and_exchange),
		cmocka_unit_test(add),
		cmocka_unit_test(nothing_is_lost_between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
