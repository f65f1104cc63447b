/* SPDX-License-Identifier: MIT */
/* The default handler: a report in words, to standard error, as one block. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "debug/parts.h"

struct block {
	char text[12288];
	size_t len;
};

static void add(struct block *block, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

static void add(struct block *block, const char *format, ...)
{
	size_t left = sizeof(block->text) - block->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(block->text + block->len, left, format, args);
	va_end(args);
	if (len > 0)
		block->len += (size_t)len < left ? (size_t)len : left - 1;
}

static void add_site(struct block *block, const void *site)
{
	const char *at = site;
	Dl_info info;

	if (!dladdr(site, &info) || !info.dli_fname) {
		add(block, "%p", site);
		return;
	}
	add(block, "%s+0x%tx", info.dli_fname, at - (const char *)info.dli_fbase);
	if (info.dli_sname)
		add(block, " (%s+0x%tx)", info.dli_sname, at - (const char *)info.dli_saddr);
}

static void add_event(struct block *block, const struct dma_debug_event *event, uint64_t now)
{
	int64_t ns = (int64_t)(event->time_ns - now);

	add(block, "    %+.6f s thread %u %s 0x%llx-0x%llx", (double)ns / 1e9, event->thread,
	    dma_debug_action_name(event->action), (unsigned long long)event->addr,
	    (unsigned long long)(event->addr + event->size - 1));
	if (event->phys)
		add(block, " of 0x%llx", (unsigned long long)event->phys);
	if (event->caller) {
		add(block, " by ");
		add_site(block, event->caller);
	}
	add(block, "\n");
}

static void write_all(const char *text, size_t len)
{
	ssize_t done;

	while (len) {
		done = write(STDERR_FILENO, text, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		text += done;
		len -= (size_t)done;
	}
}

void debug_print(const struct dma_debug_report *report, const char *note)
{
	struct block block = {.len = 0};

	add(&block, "twostep: %s: %s\n", dma_debug_kind_name(report->kind), report->text);
	add(&block, "  device %s\n", report->device);
	if (report->caller) {
		add(&block, "  caller ");
		add_site(&block, report->caller);
		add(&block, "\n");
	}
	if (report->origin) {
		add(&block, "  origin ");
		add_site(&block, report->origin);
		add(&block, "\n");
	}
	if (report->nr_history)
		add(&block, "  what happened there before:\n");
	for (size_t i = 0; i < report->nr_history; i++)
		add_event(&block, &report->history[i], report->time_ns);
	if (note)
		add(&block, "  %s\n", note);
	/* However long the names were, it ends with a line. */
	block.text[block.len - 1] = '\n';
	write_all(block.text, block.len);
}

void dma_debug_print(const struct dma_debug_report *report)
{
	debug_print(report, NULL);
}
