/* SPDX-License-Identifier: MIT */
/* Looking at things in a forked child, where no test can fail. */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdio.h>
#include <unistd.h>

#include <twostep/error.h>

/* The line that failed is told, and the child's exit status is not 0. */
#define MUST(condition)                                                                    \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "child: line %d: %s (%s)\n", __LINE__, #condition, \
				dma_last_error());                                         \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)

#endif
