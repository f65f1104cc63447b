/* SPDX-License-Identifier: MIT */
/* One progress bar at a time, redrawn in place at most ten times a second. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define BAR_WIDTH 40
#define REDRAW_NS 100000000u
#define FIRST_DRAW_NS 300000000u

static struct {
	const char *what;
	uint64_t total;
	uint64_t next_ns;
	bool wanted;
	bool drawn;
} bar;

/* One that can go back and wipe a line. */
static bool on_terminal(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDERR_FILENO) && (!kind || strcmp(kind, "dumb"));
}

void progress_begin(const char *what, uint64_t total)
{
	bar.what = what;
	bar.total = total;
	bar.next_ns = tool_clock_ns() + FIRST_DRAW_NS;
	bar.wanted = total && on_terminal();
	bar.drawn = false;
}

void progress_step(uint64_t done)
{
	char cells[BAR_WIDTH + 1];
	uint64_t now;
	size_t full;

	if (!bar.wanted)
		return;
	now = tool_clock_ns();
	if (now < bar.next_ns)
		return;
	bar.next_ns = now + REDRAW_NS;
	if (done > bar.total)
		done = bar.total;
	full = (size_t)((double)done / (double)bar.total * BAR_WIDTH);
	memset(cells, '-', BAR_WIDTH);
	memset(cells, '#', full);
	cells[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3.0f %%\033[K", bar.what, cells,
		100.0 * (double)done / (double)bar.total);
	fflush(stderr);
	bar.drawn = true;
}

void progress_end(void)
{
	if (bar.drawn)
		fputs("\r\033[K", stderr);
	bar.drawn = false;
	bar.wanted = false;
}
