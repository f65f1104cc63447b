/* SPDX-License-Identifier: MIT */
/*
 * What the tests of misuse checks on whole devices share: a device with checks, memory, a
 * handler that keeps reports, and places in the code. A place is a function in a section
 * of its own, so that the linker knows where it begins and ends.
 */
#ifndef TESTS_CHECKS_CHECKS_H
#define TESTS_CHECKS_CHECKS_H

#include <unistd.h>

#include "../dma/setup.h"

/* Places. */

struct place {
	const char *first;
	const char *end;
};

#if defined(__has_attribute) && __has_attribute(__noipa__)
#define IN_ONE_PLACE __noipa__
#else
#define IN_ONE_PLACE __noinline__
#endif

#define AT(name)                                                                            \
	extern const char __start_place_##name[] __attribute__((__visibility__("hidden"))); \
	extern const char __stop_place_##name[] __attribute__((__visibility__("hidden")));  \
	__attribute__((__unused__, __noinline__, IN_ONE_PLACE, __section__("place_" #name))) static

/* At the end of a place: the call before is not the last thing that it does. */
#define STAY() __asm__ volatile("" : : : "memory")

#define PLACE(name) ((struct place){__start_place_##name, __stop_place_##name})
#define NOWHERE ((struct place){NULL, NULL})

static inline void assert_at(const void *code, struct place place)
{
	const char *at = code;

	if (!place.first)
		assert_null(at);
	else if (at <= place.first || at >= place.end)
		fail_msg("%p is not in %p-%p", code, (const void *)place.first,
			 (const void *)place.end);
}

/* Reports. */

#define MAX_KEPT 64
#define MAX_KEPT_HISTORY 16

struct kept {
	struct dma_debug_report report;
	char device[128];
	char text[512];
	struct dma_debug_event history[MAX_KEPT_HISTORY];
};

static struct kept kept[MAX_KEPT];
static size_t nr_kept;

static inline void keep(const struct dma_debug_report *report, void *arg)
{
	struct kept *k = &kept[nr_kept++ % MAX_KEPT];

	(void)arg;
	k->report = *report;
	snprintf(k->device, sizeof(k->device), "%s", report->device);
	snprintf(k->text, sizeof(k->text), "%s", report->text);
	if (k->report.nr_history > MAX_KEPT_HISTORY)
		k->report.nr_history = MAX_KEPT_HISTORY;
	if (k->report.nr_history)
		memcpy(k->history, report->history, k->report.nr_history * sizeof(k->history[0]));
	k->report.history = k->history;
}

static inline void print_kept(void)
{
	for (size_t i = 0; i < nr_kept && i < MAX_KEPT; i++)
		fprintf(stderr, "%s: %s\n", dma_debug_kind_name(kept[i].report.kind), kept[i].text);
}

static inline void silent(void)
{
	if (!nr_kept)
		return;
	print_kept();
	fail_msg("expected no report, got %zu", nr_kept);
}

/* A report of one kind, from these places, among those since the last look. */
static inline const struct kept *among(enum dma_debug_kind kind, struct place caller,
				       struct place origin)
{
	for (size_t i = 0; i < nr_kept && i < MAX_KEPT; i++) {
		if (kept[i].report.kind != kind)
			continue;
		assert_at(kept[i].report.caller, caller);
		assert_at(kept[i].report.origin, origin);
		return &kept[i];
	}
	print_kept();
	fail_msg("no report: %s", dma_debug_kind_name(kind));
	return NULL;
}

/* The only report since the last look; worth something until the next mistake. */
static inline const struct kept *only(enum dma_debug_kind kind, struct place caller,
				      struct place origin)
{
	const struct kept *k;

	if (nr_kept != 1)
		print_kept();
	assert_int_equal(nr_kept, 1);
	k = among(kind, caller, origin);
	nr_kept = 0;
	return k;
}

#define only_at(kind, caller, origin) only(kind, PLACE(caller), PLACE(origin))

static inline void concerns(const struct kept *k, dma_addr_t addr, uint64_t size, phys_addr_t phys)
{
	assert_int_equal(k->report.addr, addr);
	assert_int_equal(k->report.size, size);
	assert_int_equal(k->report.phys, phys);
}

/* The history ends with these, oldest first; 0 ends the list. */
static inline void ends_with(const struct kept *k, const int *actions)
{
	size_t nr = 0, skip;

	while (actions[nr])
		nr++;
	assert_true(k->report.nr_history >= nr);
	skip = k->report.nr_history - nr;
	for (size_t i = 0; i < nr; i++)
		assert_int_equal((int)k->history[skip + i].action, actions[i]);
}

/* Nothing but these has happened. */
static inline void is_history(const struct kept *k, const int *actions)
{
	size_t nr = 0;

	while (actions[nr])
		nr++;
	assert_int_equal(k->report.nr_history, nr);
	ends_with(k, actions);
}

#define ACTIONS(...) ((const int[]){__VA_ARGS__, 0})

/* A device with checks, and memory: pages of 0, 1, 2, ... */

#define MEMORY_PAGES 64

static struct device d;
static char device_uri[128];
static uint8_t *memory;

static inline phys_addr_t phys_of(size_t page)
{
	return virt_to_phys(memory + page * PAGE);
}

static inline bool translates(void)
{
	return !strncmp(device_uri, "soft:", 5);
}

static inline bool has(const char *option)
{
	return strstr(device_uri, option);
}

static inline int open_checked(void **state)
{
	memory = mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	for (size_t i = 0; i < MEMORY_PAGES; i++)
		memset(memory + i * PAGE, (int)i, PAGE);
	snprintf(device_uri, sizeof(device_uri), "%s,debug=on", (const char *)*state);
	nr_kept = 0;
	dma_debug_set_handler(keep, NULL);
	d = device_open(device_uri);
	return 0;
}

/* Reports at the end are mistakes that nobody has looked for. */
static inline int close_checked(void **state)
{
	(void)state;
	silent();
	if (d.dev)
		dma_dev_close(d.dev);
	d.dev = NULL;
	silent();
	dma_debug_set_handler(NULL, NULL);
	munmap(memory, MEMORY_PAGES * PAGE);
	return 0;
}

/* A test on a device; and on each kind of them. */
#define ON(test, uri)                                                                      \
	{                                                                                  \
#test " " uri, test, open_checked, close_checked, (void *)(uintptr_t)(uri) \
	}

#define EACH_SOFT(test)                                                    \
	ON(test, "soft:pgtable=vtd-ss"), ON(test, "soft:pgtable=x86-64"),  \
		ON(test, "soft:untrusted"), ON(test, "soft:coherent=off"), \
		ON(test, "soft:bounce=force"), ON(test, "soft:absent=cache")

#define EACH_DIRECT(test) ON(test, "direct:"), ON(test, "direct:bounce=force")

#define EACH_DEVICE(test) EACH_SOFT(test), EACH_DIRECT(test)

/* Long enough for memory to be looked at again. */
static inline void wait_for_probe(void)
{
	usleep(200);
}

#endif
