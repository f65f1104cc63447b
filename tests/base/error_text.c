/* SPDX-License-Identifier: MIT */
/* Each thread has the text of its own last failure. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <twostep/error.h>

#include "base/base.h"

static void none_at_first(void **state)
{
	(void)state;
	assert_non_null(dma_last_error());
	assert_string_equal(dma_last_error(), "");
}

static void the_last_one_stays(void **state)
{
	(void)state;
	assert_int_equal(base_error(-ENOENT, "first %d", 1), -ENOENT);
	assert_string_equal(dma_last_error(), "first 1");
	assert_int_equal(base_error(-EINVAL, "second %s", "text"), -EINVAL);
	assert_string_equal(dma_last_error(), "second text");
	assert_string_equal(dma_last_error(), "second text");
	dma_clear_error();
	assert_string_equal(dma_last_error(), "");
}

/* A text of any length is kept as far as it fits, and ends. */
static void a_long_text_is_cut(void **state)
{
	char text[2000];
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	base_error(-EINVAL, "%s", text);
	len = strlen(dma_last_error());
	assert_true(len >= 200 && len < sizeof(text) - 1);
	assert_memory_equal(dma_last_error(), text, len);
	base_error(-EINVAL, "short");
	assert_string_equal(dma_last_error(), "short");
}

static void *fail_elsewhere(void *arg)
{
	bool *right = arg;

	*right = !strcmp(dma_last_error(), "");
	base_error(-EIO, "elsewhere");
	*right &= !strcmp(dma_last_error(), "elsewhere");
	return NULL;
}

static void threads_have_their_own(void **state)
{
	pthread_t thread;
	bool right = false;

	(void)state;
	base_error(-EINVAL, "here");
	assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &right), 0);
	pthread_join(thread, NULL);
	assert_true(right);
	assert_string_equal(dma_last_error(), "here");
}

static void no_memory_is_needed(void **state)
{
	(void)state;
	base_alloc_fail(1);
	base_error(-ENOMEM, "without memory");
	assert_int_equal(base_alloc_fail(0), 0);
	assert_string_equal(dma_last_error(), "without memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_at_first),       cmocka_unit_test(the_last_one_stays),
		cmocka_unit_test(a_long_text_is_cut),  cmocka_unit_test(threads_have_their_own),
		cmocka_unit_test(no_memory_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
