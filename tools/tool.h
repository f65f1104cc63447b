/* SPDX-License-Identifier: MIT */
/*
 * The twostep command.
 *
 * A verb is a row of the table in main.c and a file of its own. It gets the
 * arguments after its name and answers with an exit code. Figures go to stdout,
 * as a table or with --json as one JSON text; sentences about failure and the
 * progress bar go to stderr, so that stdout can always be read by a program.
 *
 * The command uses the public headers of the library alone. One thread runs a
 * verb; threads that a verb starts print nothing.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every verb. */
enum {
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_MISUSED = 2,
};

struct tool_verb {
	const char *name;
	const char *operand; /* what may follow the options, as --help shows it; NULL for nothing */
	const char *summary; /* one line */
	const char *text; /* what --help adds */
	int (*run)(const struct tool_verb *verb, int argc, char **argv);
};

/* Verbs, one file each. */
int demo_run(const struct tool_verb *verb, int argc, char **argv);
int bench_run(const struct tool_verb *verb, int argc, char **argv);
int devices_run(const struct tool_verb *verb, int argc, char **argv);
int bind_run(const struct tool_verb *verb, int argc, char **argv);
int unbind_run(const struct tool_verb *verb, int argc, char **argv);

/* An option of a verb: a flag if @value is NULL, else it takes a value. */
struct tool_option {
	const char *name; /* without the dashes */
	const char *what; /* the value, as --help shows it; NULL for a flag */
	const char *text;
	bool *flag;
	const char **value;
};

enum tool_parsed {
	TOOL_PARSED,
	TOOL_PARSED_HELP, /* --help was given and printed */
	TOOL_PARSED_MISUSED, /* a sentence was printed */
};

/*
 * Understand the arguments of a verb: the options of the table, --help, and at
 * most one operand if the verb has one. --name value and --name=value mean the
 * same; -- ends the options.
 */
enum tool_parsed tool_parse(const struct tool_verb *verb, const struct tool_option *options,
			    size_t nr_options, int argc, char **argv, const char **operand);

/* A whole decimal number from @least to @most; else a sentence and false. */
bool tool_number(const struct tool_verb *verb, const char *option, const char *text,
		 unsigned long least, unsigned long most, unsigned long *number);

/* A sentence to stderr, after the name of the command; the progress bar makes room. */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with the library's own sentence behind it. */
void tool_say_dma(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether all that was printed reached stdout; else a sentence and TOOL_FAILED. */
int tool_flush(int code);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t tool_clock_ns(void);

/*
 * The progress bar: on stderr, only if that is a terminal, from the moment on
 * when the work has taken longer than a moment.
 */
void progress_begin(const char *what, uint64_t total);
void progress_step(uint64_t done);
void progress_end(void);

/* How the command was built. */
const char *build_version(void);
const char *build_commit(void);
const char *build_type(void);
const char *build_compiler(void);

#endif
