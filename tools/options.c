/* SPDX-License-Identifier: MIT */
/* Arguments of a verb, and what the command says when something is wrong. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <twostep/error.h>

#include "tool.h"

static void print_option(const char *name, const char *what, const char *text)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, what ? " " : "", what ? what : "");
	printf("  %-20s %s\n", left, text);
}

static void print_help(const struct tool_verb *verb, const struct tool_option *options,
		       size_t nr_options)
{
	printf("usage: twostep %s [OPTION]...%s%s\n\n%c%s.\n", verb->name, verb->operand ? " " : "",
	       verb->operand ? verb->operand : "", verb->summary[0] - 'a' + 'A', verb->summary + 1);
	if (verb->text)
		printf("\n%s", verb->text);
	puts("\noptions:");
	for (size_t i = 0; i < nr_options; i++)
		print_option(options[i].name, options[i].what, options[i].text);
	print_option("help", NULL, "print this");
}

static const struct tool_option *find_option(const struct tool_option *options, size_t nr_options,
					     const char *name, size_t len)
{
	for (size_t i = 0; i < nr_options; i++)
		if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
			return &options[i];
	return NULL;
}

/* Returns how many arguments the option took, 0 if it was misused. */
static int take_option(const struct tool_verb *verb, const struct tool_option *options,
		       size_t nr_options, int argc, char **argv)
{
	const char *name = argv[0] + 2;
	size_t len = strcspn(name, "=");
	const struct tool_option *option = NULL;

	if (argv[0][1] == '-')
		option = find_option(options, nr_options, name, len);
	if (!option) {
		tool_say("%s has no option '%s'; `twostep %s --help` lists what it has", verb->name,
			 argv[0], verb->name);
		return 0;
	}
	if (option->flag) {
		if (name[len] == '=') {
			tool_say("%s: --%s takes no value", verb->name, option->name);
			return 0;
		}
		*option->flag = true;
		return 1;
	}
	if (name[len] == '=') {
		*option->value = name + len + 1;
		return 1;
	}
	if (argc < 2) {
		tool_say("%s: --%s needs a value: --%s %s", verb->name, option->name, option->name,
			 option->what);
		return 0;
	}
	*option->value = argv[1];
	return 2;
}

enum tool_parsed tool_parse(const struct tool_verb *verb, const struct tool_option *options,
			    size_t nr_options, int argc, char **argv, const char **operand)
{
	bool only_operands = false;
	int taken;

	for (int i = 0; i < argc; i += taken) {
		taken = 1;
		if (!only_operands && !strcmp(argv[i], "--")) {
			only_operands = true;
		} else if (!only_operands &&
			   (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			print_help(verb, options, nr_options);
			return TOOL_PARSED_HELP;
		} else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
			taken = take_option(verb, options, nr_options, argc - i, argv + i);
			if (!taken)
				return TOOL_PARSED_MISUSED;
		} else if (!verb->operand || *operand) {
			tool_say(
				"%s: '%s' is one argument too many; `twostep %s --help` tells its form",
				verb->name, argv[i], verb->name);
			return TOOL_PARSED_MISUSED;
		} else {
			*operand = argv[i];
		}
	}
	return TOOL_PARSED;
}

bool tool_number(const struct tool_verb *verb, const char *option, const char *text,
		 unsigned long least, unsigned long most, unsigned long *number)
{
	char *rest;

	errno = 0;
	*number = strtoul(text, &rest, 10);
	if (text[0] < '0' || text[0] > '9' || *rest || errno || *number < least || *number > most) {
		tool_say("%s: --%s takes a whole number from %lu to %lu, not '%s'", verb->name,
			 option, least, most, text);
		return false;
	}
	return true;
}

void tool_say(const char *format, ...)
{
	va_list args;

	progress_end();
	fputs("twostep: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void tool_say_dma(const char *format, ...)
{
	const char *why = dma_last_error();
	va_list args;

	progress_end();
	fputs("twostep: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", why[0] ? why : "the library gave no reason");
}

int tool_flush(int code)
{
	bool bad = ferror(stdout);

	if (fflush(stdout) || bad) {
		tool_say("cannot write to standard output: %s", strerror(errno));
		return code == TOOL_DONE ? TOOL_FAILED : code;
	}
	return code;
}

uint64_t tool_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
