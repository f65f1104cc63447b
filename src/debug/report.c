/* SPDX-License-Identifier: MIT */
/*
 * Reports: what they are made of, who gets them, how many there were.
 *
 * `handler_lock` is held while a handler runs, so handlers are called one at a time
 * and replacing one waits for it. A handler that makes a mistake itself, or replaces
 * itself, does so inside its own call: nothing may wait there.
 *
 * A mistake in a loop is printed a few times and then only counted: `alike` is a table,
 * without a lock, of how often each kind came from each pair of places in a space. A
 * handler of the program's gets every report.
 */
#include <stdarg.h>
#include <stdio.h>

#include "debug/parts.h"

#define HISTORY 16

static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
/* Both or neither are changed where a fork copies them: held for two stores, and over forks. */
static pthread_mutex_t pair_lock = PTHREAD_MUTEX_INITIALIZER;
static dma_debug_handler_t handler; /* NULL: dma_debug_print() */
static void *handler_arg;
static thread_local_ie bool inside;

static uint64_t counts[DMA_DEBUG_NR_KINDS];

/* Reports that are alike and printed. */
#define PRINTED 3
#define ALIKE 1024
#define ALIKE_TRIES 8

static struct {
	uint64_t key; /* 0: free */
	uint64_t times;
} alike[ALIKE];

static void before_fork(void)
{
	pthread_mutex_lock(&pair_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&pair_lock);
}

/* Whoever ran a handler is not here, unless it is this thread that forks in one. */
static void after_fork_child(void)
{
	pthread_mutex_unlock(&pair_lock);
	pthread_mutex_init(&handler_lock, NULL);
	if (inside)
		pthread_mutex_lock(&handler_lock);
	memory_text_fork_child();
}

static int init_err;

static void init(void)
{
	init_err = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int debug_report_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
	return -init_err;
}

static void set(dma_debug_handler_t new_handler, void *arg)
{
	pthread_mutex_lock(&pair_lock);
	__atomic_store_n(&handler, new_handler, __ATOMIC_RELAXED);
	handler_arg = arg;
	pthread_mutex_unlock(&pair_lock);
}

void dma_debug_set_handler(dma_debug_handler_t new_handler, void *arg)
{
	if (inside) {
		set(new_handler, arg);
		return;
	}
	pthread_mutex_lock(&handler_lock);
	set(new_handler, arg);
	pthread_mutex_unlock(&handler_lock);
}

uint64_t dma_debug_count(enum dma_debug_kind kind)
{
	uint64_t all = 0;

	if (kind)
		return (unsigned int)kind < DMA_DEBUG_NR_KINDS ? load(&counts[kind]) : 0;
	for (unsigned int i = 0; i < DMA_DEBUG_NR_KINDS; i++)
		all += load(&counts[i]);
	return all;
}

/* How often such a report has been made, this one included; 1 if nobody can say. */
static uint64_t times_alike(const struct debug *debug, const struct debug_finding *finding)
{
	uint64_t key = ((uintptr_t)finding->caller * 0x9e3779b97f4a7c15ULL) ^
		       ((uintptr_t)finding->origin * 0xc2b2ae3d27d4eb4fULL) ^ finding->kind;

	/* A space that began at another time is another, wherever it lies. */
	key = (key ^ debug->start_ticks) ? key ^ debug->start_ticks : 1;
	for (uint64_t i = 0; i < ALIKE_TRIES; i++) {
		uint64_t at = ((key >> 32) + i) % ALIKE, there = load(&alike[at].key);

		if (there != key &&
		    (there || !__atomic_compare_exchange_n(&alike[at].key, &there, key, false,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) &&
		    there != key)
			continue;
		return __atomic_add_fetch(&alike[at].times, 1, __ATOMIC_RELAXED);
	}
	return 1;
}

static void call_handler(const struct dma_debug_report *report, bool last)
{
	pthread_mutex_lock(&handler_lock);
	inside = true;
	if (handler)
		handler(report, handler_arg);
	else
		debug_print(report, last ? "more of these from the same places are counted "
					   "(dma_debug_count()) and not printed"
					 : NULL);
	inside = false;
	pthread_mutex_unlock(&handler_lock);
}

void debug_report(struct debug *debug, const struct debug_finding *finding, const char *format, ...)
{
	struct dma_debug_event history[HISTORY];
	struct dma_debug_report report = {
		.kind = finding->kind,
		.addr = finding->addr,
		.size = finding->size,
		.phys = finding->phys,
		.time_ns = finding->time_ns ? finding->time_ns : debug_monotonic_ns(),
		.caller = finding->caller,
		.origin = finding->origin,
		.history = history,
	};
	int saved_errno = errno;
	char text[512], uri[256];
	uint64_t times;
	va_list args;

	__atomic_fetch_add(&counts[finding->kind], 1, __ATOMIC_RELAXED);
	/* A handler's own mistakes are counted, but there is nobody to tell. */
	if (inside)
		return;
	times = times_alike(debug, finding);
	if (times > PRINTED && !__atomic_load_n(&handler, __ATOMIC_RELAXED))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report.text = text;
	debug_device_uri(debug, finding->dev, finding->number, uri, sizeof(uri));
	report.device = uri;
	if (!finding->brief)
		report.nr_history =
			debug_history(debug, finding->addr, finding->size, history, HISTORY);
	call_handler(&report, times == PRINTED);
	errno = saved_errno;
}
