/* SPDX-License-Identifier: MIT */
/* Runs of entries: the vector loops and the plain ones do the same, at every place and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "pgtable/entries.h"

#define N 96
#define GUARD 0x1122334455667788ULL
#define PRESENT 3ULL
#define MARK (1ULL << 52)

static uint64_t random_state;
static bool vectors;
/* One run on each; [0] is plain. Lined up, so that @at gives every alignment. */
static uint64_t table[2][N + 16] __attribute__((__aligned__(64)));
static struct phys_vec vec[N + 1];

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void guard_all(void)
{
	for (size_t i = 0; i < N + 16; i++)
		table[0][i] = table[1][i] = GUARD;
}

static void compare(void)
{
	assert_memory_equal(table[0], table[1], sizeof(table[0]));
}

/* Every alignment of the first entry, with every length. */
#define PLACES (9 * (N + 1))

static size_t place_at(size_t place)
{
	return place % 9;
}

static size_t place_length(size_t place)
{
	return place / 9;
}

/* The plain loops first, then the vectors, where there are any. */
static bool go(unsigned int way)
{
	entries_vectors = way && vectors;
	return way < 2;
}

static void or_of_a_run(void **state)
{
	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);

		/* Nothing but one bit anywhere, or nothing at all, between guards. */
		for (size_t one = 0; one <= n; one++) {
			uint64_t bit = 1ULL << (random_word() & 63), all = 0;

			guard_all();
			for (size_t i = 0; i < n; i++)
				table[0][at + i] = i == one ? bit : 0;
			for (size_t i = 0; i < n; i++)
				all |= table[0][at + i];
			for (unsigned int way = 0; go(way); way++)
				assert_int_equal(entries_or(&table[0][at], n), all);
		}
	}
}

static void store_of_a_vector(void **state)
{
	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);

		guard_all();
		for (size_t i = 0; i < n; i++)
			vec[i] = (struct phys_vec){random_word() & ~4095ULL, random_word()};
		for (unsigned int way = 0; go(way); way++)
			entries_store_vec(&table[way][at], vec, n, PRESENT);
		compare();
		for (size_t i = 0; i < n; i++)
			assert_int_equal(table[0][at + i], vec[i].paddr | PRESENT);
		assert_int_equal(table[0][at + n], GUARD);
		if (at)
			assert_int_equal(table[0][at - 1], GUARD);
	}
}

static void store_of_a_run(void **state)
{
	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);
		uint64_t value = (random_word() & 0xffffffff000ULL) | PRESENT;

		guard_all();
		for (unsigned int way = 0; go(way); way++)
			entries_store_run(&table[way][at], value, n);
		compare();
		for (size_t i = 0; i < n; i++)
			assert_int_equal(table[0][at + i], value + i * 4096);
		assert_int_equal(table[0][at + n], GUARD);
		if (at)
			assert_int_equal(table[0][at - 1], GUARD);
	}
}

/* @missing: where the first entry that is not present is; a mark or nothing. */
static void fill_present(size_t at, size_t n, size_t missing)
{
	guard_all();
	for (size_t i = 0; i < n; i++) {
		uint64_t value = (random_word() & ~7ULL) | (1 + random_word() % PRESENT);

		if (i == missing)
			value = random_word() & 1 ? MARK : 0;
		table[0][at + i] = table[1][at + i] = value;
	}
}

static void clear_until_one_is_missing(void **state)
{
	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);

		for (size_t missing = 0; missing <= n; missing += n > 40 ? 3 : 1) {
			fill_present(at, n, missing);
			for (unsigned int way = 0; go(way); way++)
				assert_int_equal(entries_clear_present(&table[way][at], n, PRESENT),
						 missing);
			compare();
			for (size_t i = 0; i < missing; i++)
				assert_int_equal(table[0][at + i], 0);
			/* Whatever comes after it stays. */
			for (size_t i = missing + 1; i < n; i++)
				assert_int_not_equal(table[0][at + i], 0);
			assert_int_equal(table[0][at + n], GUARD);
		}
	}
}

static void mark_until_one_is_missing(void **state)
{
	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);

		for (size_t missing = 0; missing <= n; missing += 7) {
			uint64_t after;

			fill_present(at, n, missing);
			after = table[0][at + missing];
			assert_int_equal(entries_mark_present(&table[0][at], n, PRESENT, MARK),
					 missing < n ? missing : n);
			for (size_t i = 0; i < missing; i++)
				assert_int_equal(table[0][at + i], MARK);
			assert_int_equal(table[0][at + missing], after);
		}
	}
}

static void a_vector_of_pages(void **state)
{
	const uint64_t match = 1ULL << 46, mask = 0xffffULL << 46 | 4095;

	(void)state;
	for (size_t place = 0; place < PLACES; place++) {
		const size_t at = place_at(place), n = place_length(place);

		if (at + n > N)
			continue;
		for (size_t i = 0; i <= N; i++)
			vec[i] = (struct phys_vec){1, 1};
		for (size_t i = 0; i < n; i++)
			vec[at + i] = (struct phys_vec){
				match | (random_word() & ((1ULL << 46) - 4096)), 4096};
		for (unsigned int way = 0; go(way); way++)
			assert_true(vec_is_pages(&vec[at], n, match, mask));
		/* One thing wrong with one piece. */
		for (size_t i = 0; i < n; i++) {
			struct phys_vec good = vec[at + i];

			switch (random_word() % 4) {
			case 0:
				vec[at + i].len ^= 1ULL << (random_word() & 63);
				break;
			case 1:
				vec[at + i].paddr ^= 1ULL << (random_word() % 12);
				break;
			case 2:
				vec[at + i].paddr ^= match;
				break;
			default:
				vec[at + i].paddr ^= 1ULL << (47 + random_word() % 15);
				break;
			}
			for (unsigned int way = 0; go(way); way++)
				assert_false(vec_is_pages(&vec[at], n, match, mask));
			vec[at + i] = good;
		}
	}
}

static int remember_vectors(void **state)
{
	const char *given = getenv("TWOSTEP_SEED");

	(void)state;
	random_state = (given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)) | 1;
	print_message("TWOSTEP_SEED=%llu\n", (unsigned long long)random_state);
	vectors = entries_vectors;
	return 0;
}

static int restore_vectors(void **state)
{
	(void)state;
	entries_vectors = vectors;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(or_of_a_run),
		cmocka_unit_test(store_of_a_vector),
		cmocka_unit_test(store_of_a_run),
		cmocka_unit_test(clear_until_one_is_missing),
		cmocka_unit_test(mark_until_one_is_missing),
		cmocka_unit_test(a_vector_of_pages),
	};

	return cmocka_run_group_tests(tests, remember_vectors, restore_vectors);
}
