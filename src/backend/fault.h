/* SPDX-License-Identifier: MIT */
/*
 * fault: the log of transfers that a bus refused, one a space, the same for every
 * backend with devices in software.
 *
 * It keeps the oldest FAULT_LOG_RECORDS records that have not been read, counts
 * those that did not fit, and calls the space's handler.
 *
 * Invariants
 *  - The handler is called on the reporting thread, with no lock held. So a
 *    report is made after the transfer has ended, never inside a section of it.
 *  - Each call of a handler stands in `calls`, in a node on its thread's stack,
 *    with the generation of the handler it calls; replacing a handler waits until
 *    no node of an older generation is left, unless the thread that replaces it is
 *    itself inside a call of this log's.
 *
 * Locking: `lock` protects everything but `total`, which is atomic.
 */
#ifndef BACKEND_FAULT_H
#define BACKEND_FAULT_H

#include <pthread.h>

#include <twostep/device.h>

#include "base/base.h"

#define FAULT_LOG_RECORDS 256

struct fault_call;

struct fault_log {
	pthread_mutex_t lock;
	pthread_cond_t call_ended;
	dma_fault_handler_t handler;
	void *handler_arg;
	uint64_t generation; /* of the handler; each replacement is a new one */
	struct fault_call *calls; /* running */
	uint64_t total; /* ever */
	uint64_t lost; /* since the last read */
	size_t first; /* index of the oldest record */
	size_t count;
	struct dma_fault records[FAULT_LOG_RECORDS];
};

/* An empty log without a handler. It owns no memory but its own. */
void fault_log_init(struct fault_log *log);

/*
 * No report begins any more, and the log's memory is about to go. Waits for the
 * handler on other threads; on this one it may be running, and the log is not
 * touched when it returns.
 */
void fault_log_close(struct fault_log *log);

/* Note @fault with the time of now and call the handler. The transfer has ended. */
void fault_log_report(struct fault_log *log, const struct dma_fault *fault);

/*
 * Replace the handler; NULL for none. When it returns 0, which is always, the
 * former handler is not running and will not be called again, unless the calling
 * thread is inside a call from this log.
 */
int fault_log_set_handler(struct fault_log *log, dma_fault_handler_t handler, void *arg);

/* Take out up to @max records, oldest first; returns how many. @lost may be NULL. */
size_t fault_log_read(struct fault_log *log, struct dma_fault *faults, size_t max, uint64_t *lost);

/* CLOCK_MONOTONIC, as records are stamped with it. */
uint64_t fault_log_now(void);

/* Faults reported, ever. */
uint64_t fault_log_count(const struct fault_log *log);

#endif
