/* SPDX-License-Identifier: MIT */
/* The fault log: records, and a handler that can be taken away safely. */
#include <time.h>

#include "backend/fault.h"

/* One call of a handler, on the stack of the thread that makes it. */
struct fault_call {
	struct fault_log *log; /* NULL once the log is closed */
	uint64_t generation;
	struct fault_call *next; /* in the log */
	struct fault_call *outer; /* on this thread: a handler's own transfer may fault */
};

static thread_local_ie struct fault_call *innermost;

void fault_log_init(struct fault_log *log)
{
	memset(log, 0, sizeof(*log));
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->call_ended, NULL);
}

uint64_t fault_log_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void record(struct fault_log *log, const struct dma_fault *fault)
{
	if (log->count == FAULT_LOG_RECORDS) {
		log->lost++;
		return;
	}
	log->records[(log->first + log->count) % FAULT_LOG_RECORDS] = *fault;
	log->count++;
}

static void remove_call(struct fault_log *log, struct fault_call *call)
{
	struct fault_call **link;

	for (link = &log->calls; *link != call; link = &(*link)->next)
		;
	*link = call->next;
	pthread_cond_broadcast(&log->call_ended);
}

static void call_end(struct fault_call *call)
{
	struct fault_log *log = call->log;

	innermost = call->outer;
	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	remove_call(log, call);
	pthread_mutex_unlock(&log->lock);
}

void fault_log_report(struct fault_log *log, const struct dma_fault *fault)
{
	struct fault_call call = {.log = log, .outer = innermost};
	struct dma_fault stamped = *fault;
	dma_fault_handler_t handler;
	void *arg;

	stamped.time_ns = fault_log_now();
	__atomic_fetch_add(&log->total, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&log->lock);
	record(log, &stamped);
	handler = log->handler;
	arg = log->handler_arg;
	if (handler) {
		call.generation = log->generation;
		call.next = log->calls;
		log->calls = &call;
	}
	pthread_mutex_unlock(&log->lock);
	if (!handler)
		return;
	innermost = &call;
	handler(&stamped, arg);
	call_end(&call);
}

/* Whether this thread is inside a call of @log's: it must not wait for calls to end. */
static bool inside(const struct fault_log *log)
{
	const struct fault_call *call;

	for (call = innermost; call; call = call->outer) {
		if (call->log == log)
			return true;
	}
	return false;
}

static bool running_before(const struct fault_log *log, uint64_t generation)
{
	const struct fault_call *call;

	for (call = log->calls; call; call = call->next) {
		if (call->generation < generation)
			return true;
	}
	return false;
}

int fault_log_set_handler(struct fault_log *log, dma_fault_handler_t handler, void *arg)
{
	uint64_t generation;

	pthread_mutex_lock(&log->lock);
	log->handler = handler;
	log->handler_arg = arg;
	generation = ++log->generation;
	if (!inside(log)) {
		while (running_before(log, generation))
			pthread_cond_wait(&log->call_ended, &log->lock);
	}
	pthread_mutex_unlock(&log->lock);
	return 0;
}

void fault_log_close(struct fault_log *log)
{
	struct fault_call *call;

	pthread_mutex_lock(&log->lock);
	log->handler = NULL;
	for (call = innermost; call; call = call->outer) {
		if (call->log == log) {
			remove_call(log, call);
			call->log = NULL;
		}
	}
	while (log->calls)
		pthread_cond_wait(&log->call_ended, &log->lock);
	pthread_mutex_unlock(&log->lock);
	pthread_cond_destroy(&log->call_ended);
	pthread_mutex_destroy(&log->lock);
}

size_t fault_log_read(struct fault_log *log, struct dma_fault *faults, size_t max, uint64_t *lost)
{
	size_t taken;

	pthread_mutex_lock(&log->lock);
	for (taken = 0; taken < max && log->count; taken++) {
		faults[taken] = log->records[log->first];
		log->first = (log->first + 1) % FAULT_LOG_RECORDS;
		log->count--;
	}
	if (lost) {
		*lost = log->lost;
		log->lost = 0;
	}
	pthread_mutex_unlock(&log->lock);
	return taken;
}

uint64_t fault_log_count(const struct fault_log *log)
{
	return __atomic_load_n(&log->total, __ATOMIC_RELAXED);
}
