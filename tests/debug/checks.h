/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the checks share: a space with checks and nothing behind it, calls of
 * its hooks, and a handler that keeps reports. Devices and call sites are made up: the room
 * follows neither.
 */
#ifndef TESTS_DEBUG_CHECKS_H
#define TESTS_DEBUG_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <twostep/device.h>
#include <twostep/iova.h>

#include "base/base.h"
#include "debug/debug.h"

#define PAGE 4096ULL
#define MAX_KEPT 64
#define MAX_KEPT_HISTORY 16

struct kept {
	struct dma_debug_report report;
	char device[64];
	char text[512];
	struct dma_debug_event history[MAX_KEPT_HISTORY];
};

static struct kept kept[MAX_KEPT];
static size_t nr_kept;

static inline void keep(const struct dma_debug_report *report, void *arg)
{
	struct kept *k = &kept[nr_kept % MAX_KEPT];

	(void)arg;
	nr_kept++;
	k->report = *report;
	snprintf(k->device, sizeof(k->device), "%s", report->device);
	snprintf(k->text, sizeof(k->text), "%s", report->text);
	assert_true(report->nr_history <= MAX_KEPT_HISTORY);
	if (report->nr_history)
		memcpy(k->history, report->history, report->nr_history * sizeof(k->history[0]));
	k->report.history = k->history;
	/* One sentence, without a full stop. */
	assert_true(strlen(report->text) > 10);
	assert_int_not_equal(report->text[strlen(report->text) - 1], '.');
	assert_null(strchr(report->text, '\n'));
	for (size_t i = 1; i < report->nr_history; i++)
		assert_true(report->history[i - 1].time_ns <= report->history[i].time_ns);
}

#define DEV ((struct dma_dev *)(uintptr_t)0x560000001000)
#define OTHER_DEV ((struct dma_dev *)(uintptr_t)0x560000002000)
/* A call site for each number. */
#define SITE(n) ((const void *)(uintptr_t)(0x550000000000 + (n)))

static struct base_observer *observer;
#define hook(name, ...) observer->ops->name(observer, ##__VA_ARGS__)

/* Memory of the heap, whole pages. */
static char *memory;
#define MEMORY_PAGES 64
#define phys_of(page) ((phys_addr_t)(uintptr_t)(memory + (page)*PAGE))

static inline void open_checks(bool translates)
{
	assert_int_equal(debug_create(translates, &observer), 0);
	hook(attached, DEV, 0, "soft:first", true);
	hook(attached, OTHER_DEV, 1, "soft:second", true);
	nr_kept = 0;
	dma_debug_set_handler(keep, NULL);
}

static inline void close_checks(void)
{
	hook(detached, 0);
	hook(detached, 1);
	hook(closing);
	hook(closed, false);
	observer = NULL;
	dma_debug_set_handler(NULL, NULL);
}

static inline int setup(void **state)
{
	(void)state;
	memory = mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	open_checks(true);
	return 0;
}

static inline int setup_direct(void **state)
{
	(void)state;
	memory = mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	open_checks(false);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	if (observer)
		close_checks();
	munmap(memory, MEMORY_PAGES * PAGE);
	return 0;
}

/* The only report since the last look: of this kind, from these ends. */
static inline const struct kept *only(enum dma_debug_kind kind, const void *caller,
				      const void *origin)
{
	if (nr_kept != 1 || kept[0].report.kind != kind) {
		for (size_t i = 0; i < nr_kept && i < MAX_KEPT; i++)
			fprintf(stderr, "%s: %s\n", dma_debug_kind_name(kept[i].report.kind),
				kept[i].text);
		fail_msg("expected one report: %s; got %zu", dma_debug_kind_name(kind), nr_kept);
	}
	assert_ptr_equal(kept[0].report.caller, caller);
	assert_ptr_equal(kept[0].report.origin, origin);
	nr_kept = 0;
	return &kept[0];
}

static inline void silent(void)
{
	if (nr_kept)
		fail_msg("%s: %s", dma_debug_kind_name(kept[0].report.kind), kept[0].text);
}

/* The report of a kind among those since the last look. */
static inline const struct kept *among(enum dma_debug_kind kind)
{
	for (size_t i = 0; i < nr_kept && i < MAX_KEPT; i++) {
		if (kept[i].report.kind == kind)
			return &kept[i];
	}
	fail_msg("no report: %s", dma_debug_kind_name(kind));
	return NULL;
}

static inline void map(const void *site, dma_addr_t addr, phys_addr_t phys, size_t size,
		       enum dma_data_direction dir)
{
	hook(mapped, site, DEV, addr, phys, size, dir, 0);
	hook(checked, DEV, addr);
}

static inline void unmap(const void *site, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir)
{
	hook(unmapping, site, DEV, addr, size, dir, 0);
}

static inline struct dma_iova_state reserve(const void *site, dma_addr_t addr, size_t size)
{
	struct dma_iova_state state = {.addr = 0};

	hook(reserving, site, DEV, &state);
	state = (struct dma_iova_state){addr, size};
	hook(reserved, site, DEV, &state);
	return state;
}

static inline void link_pages(const void *site, const struct dma_iova_state *state, size_t first,
			      size_t pages, enum dma_data_direction dir)
{
	struct phys_vec vec[MEMORY_PAGES];

	for (size_t i = 0; i < pages; i++)
		vec[i] = (struct phys_vec){phys_of(first + i), PAGE};
	hook(linked, site, DEV, state, first * PAGE, vec, pages, dir, 0);
}

static inline void destroy(const void *site, const struct dma_iova_state *state, size_t len,
			   enum dma_data_direction dir)
{
	hook(freeing, site, DEV, state, len, true, dir, 0);
}

static inline void free_state(const void *site, const struct dma_iova_state *state)
{
	hook(freeing, site, DEV, state, 0, false, DMA_BIDIRECTIONAL, 0);
}

/* Long enough for memory to be looked at again. */
static inline void wait_for_probe(void)
{
	usleep(200);
}

#endif
