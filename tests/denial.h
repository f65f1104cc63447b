/* SPDX-License-Identifier: MIT */
/* Making each allocation of a call fail in turn, once for all rooms. */
#ifndef TESTS_DENIAL_H
#define TESTS_DENIAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <twostep/error.h>

#include "base/base.h"

/* One allocation later each time, until a call is over before it. */
struct denial {
	uint64_t nth;
	bool reached;
	unsigned int failures;
};

#define DENY_EACH(n) for (; (n).reached; (n).nth++)
#define FIRST_DENIAL                      \
	{                                 \
		.nth = 1, .reached = true \
	}

static inline void deny(const struct denial *n)
{
	dma_clear_error();
	base_alloc_fail(n->nth);
}

/* For calls that try again. */
static inline void deny_from(const struct denial *n)
{
	dma_clear_error();
	base_alloc_fail_from(n->nth);
}

/* The call is over. It may fail only if it was denied something. */
static inline void allow(struct denial *n, bool failed)
{
	n->reached = base_alloc_fail(0) >= n->nth;
	if (!failed)
		return;
	assert_true(n->reached);
	assert_string_not_equal(dma_last_error(), "");
	n->failures++;
}

#endif
