/* SPDX-License-Identifier: MIT */
/* A model that cannot be created leaves nothing behind. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "softdev/softdev.h"

#ifdef __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
/* Sanitizers take address space as they like: it cannot be rationed under them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
#define RATIONED 0
#else
#define RATIONED 1
#endif

/* Lets this process have @more bytes of address space than it has. */
static void ration(rlim_t more)
{
	unsigned long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "re");

	if (!statm || fscanf(statm, "%lu", &pages) != 1)
		_exit(100);
	fclose(statm);
	more += pages * (rlim_t)sysconf(_SC_PAGESIZE);
	if (setrlimit(RLIMIT_AS, &(struct rlimit){more, more}))
		_exit(101);
}

/* What creating a model says in a child with @more bytes to spend. */
static int create_in_child(rlim_t more, bool own_thread)
{
	pid_t child = fork();
	int status;

	if (!child) {
		void *const none = &status;
		void *model = none;
		int err;

		ration(more);
		err = softdev_copy_create(NULL, own_thread, &model);
		if (err && model != none)
			_exit(102);
		if (!err)
			(own_thread ? &softdev_copy_thread_ops : &softdev_copy_ops)->close(model);
		_exit(-err);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void no_memory(void **state)
{
	(void)state;
	if (!RATIONED)
		skip();
	assert_int_equal(create_in_child(0, false), -ENOMEM);
	assert_int_equal(create_in_child(0, true), -ENOMEM);
}

/* Enough for the model, and not for a stack. */
static void no_thread(void **state)
{
	(void)state;
	if (!RATIONED)
		skip();
	assert_int_equal(create_in_child(1 << 20, true), -EAGAIN);
	assert_int_equal(create_in_child(1 << 20, false), 0);
}

static void closed_unused(void **state)
{
	void *model = NULL;

	(void)state;
	assert_null(softdev_copy_thread_ops.step);
	assert_int_equal(softdev_copy_create(NULL, true, &model), 0);
	softdev_copy_thread_ops.close(model);
	assert_int_equal(softdev_copy_create(NULL, false, &model), 0);
	assert_int_equal(softdev_copy_ops.step(model), 0);
	softdev_copy_ops.close(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory),
		cmocka_unit_test(no_thread),
		cmocka_unit_test(closed_unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
