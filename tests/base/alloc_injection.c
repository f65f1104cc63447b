/* SPDX-License-Identifier: MIT */
/* Any allocation can be made to fail: that one and no other, or all from there on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

static void what_is_got_is_usable(void **state)
{
	char *plain = base_alloc(100);
	char *zeroed = base_zalloc(100);
	char *aligned = base_zalloc_aligned(100, 256);
	char *pages = base_map(8192);

	(void)state;
	assert_true(plain && zeroed && aligned && pages);
	memset(plain, 1, 100);
	assert_int_equal((uintptr_t)aligned % 256, 0);
	assert_int_equal((uintptr_t)pages % 4096, 0);
	for (size_t i = 0; i < 100; i++)
		assert_true(!zeroed[i] && !aligned[i]);
	for (size_t i = 0; i < 8192; i++)
		assert_true(!pages[i]);
	memset(pages, 1, 8192);
	base_free(plain);
	base_free(zeroed);
	base_free(aligned);
	base_unmap(pages, 8192);
	base_free(NULL);
	base_unmap(NULL, 4096);
}

/* One of each kind; returns a bit for each that failed. */
static unsigned int ask_for_all(void)
{
	void *got[] = {base_alloc(8), base_zalloc(8), base_zalloc_aligned(8, 64)};
	void *pages = base_map(4096);
	unsigned int failed = base_alloc_denied() ? 1U << 4 : 0;

	failed |= pages ? 0 : 1U << 3;
	for (unsigned int i = 0; i < 3; i++) {
		failed |= got[i] ? 0 : 1U << i;
		base_free(got[i]);
	}
	base_unmap(pages, 4096);
	return failed;
}

static void everything_from_the_nth_fails(void **state)
{
	(void)state;
	base_alloc_fail_from(3);
	assert_int_equal(__builtin_popcount(ask_for_all()), 3);
	assert_int_equal(__builtin_popcount(ask_for_all()), 5);
	base_alloc_fail(0);
	assert_int_equal(ask_for_all(), 0);
}

static void the_nth_fails_alone(void **state)
{
	(void)state;
	for (unsigned int nth = 1; nth <= 5; nth++) {
		base_alloc_fail(nth);
		/* The order of evaluation inside the array is open, so look at the number only. */
		assert_int_equal(__builtin_popcount(ask_for_all()), 1);
		assert_int_equal(ask_for_all(), 0);
	}
	base_alloc_fail(6);
	assert_int_equal(ask_for_all(), 0);
	assert_int_equal(__builtin_popcount(ask_for_all()), 1);
	base_alloc_fail(0);
	assert_int_equal(ask_for_all(), 0);
}

static void each_kind_can_fail(void **state)
{
	(void)state;
	base_alloc_fail(1);
	assert_null(base_alloc(8));
	base_alloc_fail(1);
	assert_null(base_zalloc(8));
	base_alloc_fail(1);
	assert_null(base_zalloc_aligned(8, 64));
	base_alloc_fail(1);
	assert_null(base_map(4096));
	base_alloc_fail(1);
	assert_true(base_alloc_denied());
	base_alloc_fail(0);
}

static void they_are_counted(void **state)
{
	(void)state;
	base_alloc_fail(0);
	ask_for_all();
	assert_int_equal(base_alloc_fail(0), 5);
	assert_int_equal(base_alloc_fail(2), 0);
	ask_for_all();
	assert_int_equal(base_alloc_fail(0), 5);
}

static void more_than_there_is(void **state)
{
	volatile size_t too_much = 1ULL << 60;

	(void)state;
	assert_null(base_map(too_much));
	/* Nor does rounding up make it little. */
	too_much = SIZE_MAX - 8;
	assert_null(base_zalloc_aligned(too_much, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_got_is_usable),
		cmocka_unit_test(the_nth_fails_alone),
		cmocka_unit_test(everything_from_the_nth_fails),
		cmocka_unit_test(each_kind_can_fail),
		cmocka_unit_test(they_are_counted),
		cmocka_unit_test(more_than_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
