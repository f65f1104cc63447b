/* SPDX-License-Identifier: MIT */
/*
 * Whichever allocation fails, the call fails or does without, nothing has changed, and the
 * next call works. What takes away allocates nothing at all.
 */
#include <unistd.h>

#include "base/base.h"
#include "setup.h"

/*
 * Make @call fail at its first allocation, its second and so on, until it makes no more.
 * @call answers 0, or -errno after having checked that nothing has changed.
 */
static void fail_each(void **state, const char *options, int (*call)(struct device *d, bool *denied))
{
	bool denied = true;
	unsigned int failures = 0;

	for (uint64_t nth = 1; denied; nth++) {
		struct device d = soft_open(state, options);
		int err;

		/* A counter of its own for what is asked during the call alone. */
		base_alloc_fail(nth);
		err = call(&d, &denied);
		if (err) {
			failures++;
			assert_int_equal(err, -ENOMEM);
			assert_true(denied);
			assert_int_equal(call(&d, &denied), 0);
			denied = true;
		}
		base_alloc_fail(0);
		device_close(&d, 0);
		assert_true(nth < 1000);
	}
	assert_true(failures > 0);
}

/* Ends the denials; whether one was left over, so that no allocation was refused. */
static bool was_denied(uint64_t nth)
{
	return base_alloc_fail(0) >= nth;
}

static uint64_t next;

/* The call is over: whether an allocation was refused, and that a failure said so. */
static void over(bool *denied, bool failed)
{
	*denied = was_denied(next);
	if (failed)
		assert_string_not_equal(dma_last_error(), "");
	next = UINT64_MAX;
}
