/* SPDX-License-Identifier: MIT */
/* Who gets reports: standard error, or a handler that can be taken away at any time. */
#include <pthread.h>
#include <sys/wait.h>

#include "../race.h"
#include "checks.h"

static void mistake(void)
{
	unmap(SITE(1), 0x5000, 64, DMA_TO_DEVICE);
}

/* What a mistake writes to standard error. */
static char *written(void (*make)(void))
{
	static char text[16384];
	int saved = dup(STDERR_FILENO), fds[2];
	ssize_t len;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	make();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	len = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	assert_true(len >= 0);
	text[len] = 0;
	return text;
}

/* A call site in another object, by a function that no sanitizer replaces. */
static void mistake_of_a64l(void)
{
	hook(mapped, (const void *)((const char *)(uintptr_t)a64l + 1), DEV, 0x5000, phys_of(0), 64,
	     DMA_TO_DEVICE, 0);
	unmap((const void *)(uintptr_t)mistake_of_a64l, 0x5000, 64, DMA_TO_DEVICE);
}

static void printed_by_default(void **state)
{
	char *text;

	(void)state;
	dma_debug_set_handler(NULL, NULL);
	text = written(mistake);
	assert_ptr_equal(strstr(text, "twostep: unmap of an unknown address: unmap of 64 bytes"),
			 text);
	assert_non_null(strstr(text, "\n  device soft:first\n"));
	assert_non_null(strstr(text, "\n  caller 0x550000000001\n"));
	text = written(mistake_of_a64l);
	assert_non_null(strstr(text, "twostep: mapping error not checked: "));
	assert_non_null(strstr(text, "\n  origin "));
	assert_non_null(strstr(text, "libc.so"));
	assert_non_null(strstr(text, "a64l+0x1)"));
	assert_non_null(strstr(text, " mapped 0x5000-0x503f of 0x"));
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void mistake_elsewhere(void)
{
	unmap(SITE(2), 0x5000, 64, DMA_TO_DEVICE);
}

static void keep_counting(const struct dma_debug_report *report, void *arg)
{
	(void)report;
	*(unsigned int *)arg += 1;
}

/* A mistake in a loop fills no terminal; a handler of the program's gets all of them. */
static void printed_a_few_times(void **state)
{
	uint64_t all = dma_debug_count(0);
	unsigned int printed = 0, handled = 0;
	char *text = NULL;

	(void)state;
	dma_debug_set_handler(NULL, NULL);
	for (unsigned int i = 0; i < 10; i++) {
		text = written(mistake_elsewhere);
		printed += *text != '\0';
		assert_int_equal(strstr(text, "not printed") != NULL, i == 2);
	}
	assert_int_equal(printed, 3);
	dma_debug_set_handler(keep_counting, &handled);
	for (unsigned int i = 0; i < 10; i++)
		mistake_elsewhere();
	assert_int_equal(handled, 10);
	assert_int_equal(dma_debug_count(0), all + 20);
	dma_debug_set_handler(keep, NULL);
}

static void counted(void **state)
{
	uint64_t all = dma_debug_count(0), these = dma_debug_count(DMA_DEBUG_UNMAP_UNKNOWN);

	(void)state;
	mistake();
	assert_int_equal(dma_debug_count(0), all + 1);
	assert_int_equal(dma_debug_count(DMA_DEBUG_UNMAP_UNKNOWN), these + 1);
	assert_int_equal(dma_debug_count(DMA_DEBUG_NR_KINDS), 0);
}

static void named(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < DMA_DEBUG_NR_KINDS; i++)
		assert_string_not_equal(dma_debug_kind_name((enum dma_debug_kind)i), "unknown");
	assert_string_equal(dma_debug_kind_name(0), "unknown");
	assert_string_equal(dma_debug_kind_name(DMA_DEBUG_NR_KINDS), "unknown");
	for (unsigned int i = DMA_DEBUG_MAPPED; i <= DMA_DEBUG_FREED; i++)
		assert_string_not_equal(dma_debug_action_name((enum dma_debug_action)i), "unknown");
	assert_string_equal(dma_debug_action_name(0), "unknown");
	assert_string_equal(dma_debug_action_name(100), "unknown");
}

static unsigned int calls;

static void replaces_itself(const struct dma_debug_report *report, void *arg)
{
	(void)report;
	(void)arg;
	calls++;
	assert_true(dma_debug_count(0));
	/* Its own mistakes have nobody to be told to. */
	mistake();
	dma_debug_set_handler(keep, NULL);
}

static void replaced_from_inside(void **state)
{
	(void)state;
	calls = 0;
	dma_debug_set_handler(replaces_itself, NULL);
	mistake();
	silent();
	mistake();
	assert_int_equal(nr_kept, 1);
	assert_int_equal(calls, 1);
}

static bool entered, leave, left;

static void slow(const struct dma_debug_report *report, void *arg)
{
	(void)report;
	(void)arg;
	set_flag(&entered);
	wait_for_flag(&leave);
	usleep(1000);
	set_flag(&left);
}

static void *make_mistake(void *arg)
{
	(void)arg;
	mistake();
	return NULL;
}

static void replacement_waits(void **state)
{
	pthread_t thread;

	(void)state;
	entered = leave = left = false;
	dma_debug_set_handler(slow, NULL);
	assert_int_equal(pthread_create(&thread, NULL, make_mistake, NULL), 0);
	wait_for_flag(&entered);
	set_flag(&leave);
	dma_debug_set_handler(keep, NULL);
	assert_true(flag_is_set(&left));
	pthread_join(thread, NULL);
}

/* A child has the handler, and no lock of anybody who is not there. */
static void forked(void **state)
{
	pthread_t thread;
	int status;
	pid_t child;

	(void)state;
	entered = leave = left = false;
	dma_debug_set_handler(slow, NULL);
	assert_int_equal(pthread_create(&thread, NULL, make_mistake, NULL), 0);
	wait_for_flag(&entered);
	child = fork();
	if (!child) {
		dma_debug_set_handler(keep, NULL);
		hook(closed, true);
		if (debug_create(true, &observer))
			_exit(1);
		mistake();
		_exit(nr_kept == 1 ? 0 : 2);
	}
	set_flag(&leave);
	pthread_join(thread, NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void forks(const struct dma_debug_report *report, void *arg)
{
	int *status = arg;
	pid_t child = fork();

	(void)report;
	if (!child)
		return;
	waitpid(child, status, 0);
}

static void forked_in_a_handler(void **state)
{
	pid_t parent = getpid();
	int status = -1;

	(void)state;
	dma_debug_set_handler(forks, &status);
	mistake();
	if (getpid() != parent) {
		dma_debug_set_handler(keep, NULL);
		mistake();
		_exit(nr_kept == 1 ? 0 : 2);
	}
	assert_int_equal(status, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(printed_by_default),
		test(counted),
		test(named),
		test(printed_a_few_times),
		test(replaced_from_inside),
		test(replacement_waits),
		test(forked),
		test(forked_in_a_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
