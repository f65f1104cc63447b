/* SPDX-License-Identifier: MIT */
/* The bar shows on a terminal that can wipe it, is wiped away, and shows nowhere else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tools/tool.h"

static int real_stderr;

static void replace_stderr(int fd)
{
	fflush(stderr);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

/* What can be read now, as text. */
static size_t read_now(int fd, char *text, size_t size)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	ssize_t got = 0;

	if (poll(&ready, 1, 0) == 1)
		got = read(fd, text, size - 1);
	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

/* A new terminal as stderr; returns both ends. */
static void open_terminal(int *control, int *terminal)
{
	*control = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(*control >= 0);
	assert_int_equal(grantpt(*control), 0);
	assert_int_equal(unlockpt(*control), 0);
	*terminal = open(ptsname(*control), O_RDWR | O_NOCTTY);
	assert_true(*terminal >= 0);
	replace_stderr(*terminal);
}

static void shows_on_a_terminal(void **state)
{
	int control, terminal;
	char text[1024];

	(void)state;
	open_terminal(&control, &terminal);
	setenv("TERM", "xterm", 1);

	progress_begin("work", 200);
	progress_step(1);
	assert_int_equal(read_now(control, text, sizeof(text)), 0);
	do {
		usleep(10000);
		progress_step(50);
	} while (!read_now(control, text, sizeof(text)));
	progress_end();
	replace_stderr(real_stderr);
	assert_non_null(strstr(text, "\rwork [##########------------------------------]  25 %"));

	read_now(control, text, sizeof(text));
	assert_string_equal(text, "\r\033[K");
	close(terminal);
	close(control);
}

/* Long enough for a bar that is wanted to be drawn. */
static void work(void)
{
	progress_begin("work", 2);
	for (unsigned int i = 0; i < 50; i++) {
		usleep(10000);
		progress_step(1);
	}
	progress_end();
	replace_stderr(real_stderr);
}

/* A terminal that would print the codes that wipe a line. */
static void shows_nothing_on_a_dumb_terminal(void **state)
{
	int control, terminal;
	char text[64];

	(void)state;
	open_terminal(&control, &terminal);
	setenv("TERM", "dumb", 1);
	work();
	assert_int_equal(read_now(control, text, sizeof(text)), 0);
	close(terminal);
	close(control);
}

static void shows_nowhere_else(void **state)
{
	int ends[2];
	char text[64];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	replace_stderr(ends[1]);
	setenv("TERM", "xterm", 1);
	work();
	assert_int_equal(read_now(ends[0], text, sizeof(text)), 0);
	close(ends[0]);
	close(ends[1]);
}

static void nothing_to_do_is_no_division(void **state)
{
	(void)state;
	progress_begin("work", 0);
	progress_step(0);
	progress_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_on_a_terminal),
		cmocka_unit_test(shows_nothing_on_a_dumb_terminal),
		cmocka_unit_test(shows_nowhere_else),
		cmocka_unit_test(nothing_to_do_is_no_division),
	};

	real_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
