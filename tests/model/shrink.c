/* SPDX-License-Identifier: MIT */
/* Running a list of calls apart, and making a list that fails short. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

/* All is looked at this often. */
#define CHECK_EVERY 4096

/* What a run leaves behind, also when it crashes. */
struct report {
	size_t at;
	uint64_t met[NR_MET];
	char text[512];
};

static struct report *report;

static bool run_all(struct run *run, const struct config *config, const struct call *calls,
		    size_t nr)
{
	if (!run_open(run, config))
		return false;
	for (size_t i = 0; i < nr; i++) {
		report->at = i + 1;
		if (!run_call(run, &calls[i]) || (i % CHECK_EVERY == 0 && !run_check(run)))
			return false;
	}
	return run_check(run) && run_close(run);
}

static __attribute__((__noreturn__)) void child(const struct config *config,
						const struct call *calls, size_t nr, bool tell)
{
	struct run *run = calloc(1, sizeof(*run));
	bool agrees;

	if (!run)
		_exit(2);
	run->tell = tell ? stdout : NULL;
	run->met = report->met;
	agrees = run_all(run, config, calls, nr);
	if (!agrees)
		memcpy(report->text, run->failure, sizeof(run->failure));
	_exit(agrees ? 0 : 1);
}

const char *run_apart(const struct config *config, const struct call *calls, size_t nr, bool tell,
		      size_t *at)
{
	int status = 0;
	pid_t pid;

	if (!report)
		report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return "no memory";
	*report = (struct report){0};
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return "no process";
	if (!pid)
		child(config, calls, nr, tell);
	if (waitpid(pid, &status, 0) != pid)
		return "lost the process";
	*at = report->at;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return NULL;
	if (!report->text[0])
		snprintf(report->text, sizeof(report->text),
			 "the call ends the process, status 0x%x", (unsigned int)status);
	return report->text;
}

uint64_t has_met(enum met what)
{
	return report->met[what];
}

static bool fails_without(const struct config *config, const struct call *calls, size_t nr,
			  size_t from, size_t count, struct call *rest, size_t *at)
{
	memcpy(rest, calls, from * sizeof(*calls));
	memcpy(rest + from, calls + from + count, (nr - from - count) * sizeof(*calls));
	return run_apart(config, rest, nr - count, false, at);
}

/* Leave out longer stretches first, then shorter ones, then single calls, until none can go. */
size_t shrink(const struct config *config, struct call *calls, size_t nr)
{
	struct call *rest = malloc(nr * sizeof(*rest));
	size_t count = nr / 2, at;
	bool shorter = false;

	while (rest && count) {
		for (size_t from = 0; from < nr;) {
			size_t n = count < nr - from ? count : nr - from;

			if (!fails_without(config, calls, nr, from, n, rest, &at)) {
				from += n;
				continue;
			}
			/* Nothing after the call that fails matters. */
			nr = at < nr - n ? at : nr - n;
			memcpy(calls, rest, nr * sizeof(*calls));
			shorter = true;
		}
		if (count == 1 && !shorter)
			break;
		count = count > 1 ? count / 2 : 1;
		shorter = false;
	}
	free(rest);
	return nr;
}
