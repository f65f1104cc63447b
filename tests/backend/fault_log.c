/* SPDX-License-Identifier: MIT */
/* The fault log keeps the oldest records, counts the rest, and its handler can be taken away. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "backend/fault.h"

static struct fault_log faults;

static int set_up(void **state)
{
	(void)state;
	fault_log_init(&faults);
	return 0;
}

static void report(uint64_t addr)
{
	const struct dma_fault fault = {
		.device = 2,
		.reason = DMA_FAULT_PERMISSION,
		.write = true,
		.addr = addr,
		.len = addr + 1,
	};

	fault_log_report(&faults, &fault);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void records_come_oldest_first(void **state)
{
	struct dma_fault out[4];
	uint64_t before = now_ns();
	uint64_t lost = 7;

	(void)state;
	assert_int_equal(fault_log_read(&faults, out, 4, &lost), 0);
	assert_int_equal(lost, 0);
	for (uint64_t i = 0; i < 5; i++)
		report(i);
	assert_int_equal(fault_log_read(&faults, out, 0, NULL), 0);
	assert_int_equal(fault_log_read(&faults, out, 2, NULL), 2);
	assert_int_equal(out[0].addr, 0);
	assert_int_equal(out[1].addr, 1);
	assert_int_equal(out[1].len, 2);
	assert_int_equal(out[1].device, 2);
	assert_int_equal(out[1].reason, DMA_FAULT_PERMISSION);
	assert_true(out[1].write);
	assert_true(out[0].time_ns >= before && out[0].time_ns <= out[1].time_ns);
	assert_true(out[1].time_ns <= now_ns());
	assert_int_equal(fault_log_read(&faults, out, 4, &lost), 3);
	assert_int_equal(out[2].addr, 4);
	assert_int_equal(lost, 0);
	assert_int_equal(fault_log_count(&faults), 5);
}

static void a_full_log_keeps_the_first(void **state)
{
	static struct dma_fault out[FAULT_LOG_RECORDS + 10];
	uint64_t lost;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		report(i);
	assert_int_equal(fault_log_read(&faults, out, 100, NULL), 100);
	for (uint64_t i = 0; i < FAULT_LOG_RECORDS + 7; i++)
		report(1000 + i);
	assert_int_equal(fault_log_count(&faults), 100 + FAULT_LOG_RECORDS + 7);
	assert_int_equal(fault_log_read(&faults, out, 1, NULL), 1);
	assert_int_equal(out[0].addr, 1000);
	assert_int_equal(fault_log_read(&faults, out, ARRAY_SIZE(out), &lost),
			 FAULT_LOG_RECORDS - 1);
	assert_int_equal(lost, 7);
	for (uint64_t i = 0; i < FAULT_LOG_RECORDS - 1; i++)
		assert_int_equal(out[i].addr, 1001 + i);
	assert_int_equal(fault_log_read(&faults, out, 1, &lost), 0);
	assert_int_equal(lost, 0);
	report(5);
	assert_int_equal(fault_log_read(&faults, out, 1, &lost), 1);
	assert_int_equal(out[0].addr, 5);
}

static unsigned int called[2];
static uint64_t called_addr;

static void count_call(const struct dma_fault *fault, void *arg)
{
	(*(unsigned int *)arg)++;
	called_addr = fault->addr;
	assert_true(fault->time_ns > 0);
}

static void the_handler_hears_of_each(void **state)
{
	(void)state;
	memset(called, 0, sizeof(called));
	report(1);
	assert_int_equal(fault_log_set_handler(&faults, count_call, &called[0]), 0);
	report(2);
	report(3);
	assert_int_equal(called[0], 2);
	assert_int_equal(called_addr, 3);
	assert_int_equal(fault_log_set_handler(&faults, count_call, &called[1]), 0);
	report(4);
	assert_int_equal(called[0], 2);
	assert_int_equal(called[1], 1);
	assert_int_equal(fault_log_set_handler(&faults, NULL, NULL), 0);
	report(5);
	assert_int_equal(called[0] + called[1], 3);
	assert_int_equal(fault_log_count(&faults), 5);
}

static void use_the_log(const struct dma_fault *fault, void *arg)
{
	struct dma_fault out;

	(void)arg;
	assert_int_equal(fault_log_read(&faults, &out, 1, NULL), 1);
	assert_int_equal(out.addr, fault->addr);
	called[0]++;
	if (fault->addr < 3)
		report(fault->addr + 1);
	assert_int_equal(fault_log_set_handler(&faults, NULL, NULL), 0);
}

/* It may fault again, read the log, and even remove itself. */
static void the_handler_may_call_anything(void **state)
{
	(void)state;
	called[0] = 0;
	fault_log_set_handler(&faults, use_the_log, NULL);
	report(1);
	assert_int_equal(called[0], 3);
	report(1);
	assert_int_equal(called[0], 3);
	assert_int_equal(fault_log_count(&faults), 4);
}

static bool entered;
static bool let_go;
static bool finished;

static void stay_inside(const struct dma_fault *fault, void *arg)
{
	(void)fault;
	(void)arg;
	__atomic_store_n(&entered, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&let_go, __ATOMIC_ACQUIRE))
		sched_yield();
	__atomic_store_n(&finished, true, __ATOMIC_RELEASE);
}

static void *report_once(void *arg)
{
	report(9);
	return arg;
}

static bool replaced;
static bool finished_before_replaced;

static void *replace(void *arg)
{
	fault_log_set_handler(&faults, count_call, &called[1]);
	finished_before_replaced = __atomic_load_n(&finished, __ATOMIC_ACQUIRE);
	__atomic_store_n(&replaced, true, __ATOMIC_RELEASE);
	return arg;
}

static void replacing_waits_for_the_former_handler(void **state)
{
	pthread_t reporter, replacer;
	unsigned int before = called[1];

	(void)state;
	entered = let_go = finished = replaced = false;
	fault_log_set_handler(&faults, stay_inside, NULL);
	assert_int_equal(pthread_create(&reporter, NULL, report_once, NULL), 0);
	while (!__atomic_load_n(&entered, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(pthread_create(&replacer, NULL, replace, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_false(__atomic_load_n(&replaced, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&let_go, true, __ATOMIC_RELEASE);
	pthread_join(replacer, NULL);
	pthread_join(reporter, NULL);
	assert_true(finished_before_replaced);
	report(1);
	assert_int_equal(called[1], before + 1);
	fault_log_set_handler(&faults, NULL, NULL);
}

static void replace_inside(const struct dma_fault *fault, void *arg)
{
	(void)fault;
	(void)arg;
	fault_log_set_handler(&faults, stay_inside, NULL);
	__atomic_store_n(&entered, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&let_go, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* From inside a handler it does not wait; whoever is outside waits for that one too. */
static void replacing_waits_for_all_former_handlers(void **state)
{
	pthread_t reporter, replacer;

	(void)state;
	entered = let_go = finished = replaced = false;
	fault_log_set_handler(&faults, replace_inside, NULL);
	assert_int_equal(pthread_create(&reporter, NULL, report_once, NULL), 0);
	while (!__atomic_load_n(&entered, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(pthread_create(&replacer, NULL, replace, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_false(__atomic_load_n(&replaced, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&let_go, true, __ATOMIC_RELEASE);
	pthread_join(replacer, NULL);
	pthread_join(reporter, NULL);
	assert_false(finished);
	fault_log_set_handler(&faults, NULL, NULL);
}

static void *close_log(void *arg)
{
	fault_log_close(&faults);
	finished_before_replaced = __atomic_load_n(&finished, __ATOMIC_ACQUIRE);
	memset(&faults, 0xee, sizeof(faults));
	__atomic_store_n(&replaced, true, __ATOMIC_RELEASE);
	return arg;
}

static void closing_waits_for_the_handler(void **state)
{
	pthread_t reporter, closer;

	(void)state;
	entered = let_go = finished = replaced = false;
	fault_log_set_handler(&faults, stay_inside, NULL);
	assert_int_equal(pthread_create(&reporter, NULL, report_once, NULL), 0);
	while (!__atomic_load_n(&entered, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(pthread_create(&closer, NULL, close_log, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_false(__atomic_load_n(&replaced, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&let_go, true, __ATOMIC_RELEASE);
	pthread_join(closer, NULL);
	pthread_join(reporter, NULL);
	assert_true(finished_before_replaced);
}

static void close_inside(const struct dma_fault *fault, void *arg)
{
	called[0]++;
	if (fault->addr == 1) {
		report(2);
	} else {
		fault_log_close(&faults);
		memset(&faults, 0xee, sizeof(faults));
	}
	(void)arg;
}

/* The log is gone when the handlers return, and not missed. */
static void a_handler_may_close_the_log(void **state)
{
	(void)state;
	called[0] = 0;
	fault_log_set_handler(&faults, close_inside, NULL);
	report(1);
	assert_int_equal(called[0], 2);
	for (size_t i = 0; i < sizeof(faults); i++)
		assert_int_equal(((unsigned char *)&faults)[i], 0xee);
}

/* Freed by the test as soon as the handler is replaced; a late call would be seen. */
struct context {
	unsigned int calls;
	bool alive;
};

static bool stop;
static unsigned int late;

static void use_context(const struct dma_fault *fault, void *arg)
{
	struct context *context = arg;

	(void)fault;
	if (!__atomic_load_n(&context->alive, __ATOMIC_RELAXED))
		__atomic_fetch_add(&late, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&context->calls, 1, __ATOMIC_RELAXED);
}

static void *report_always(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		report(1);
	return arg;
}

static void handlers_come_and_go_among_reports(void **state)
{
	pthread_t threads[2];
	struct context *context;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, report_always, NULL), 0);
	for (int round = 0; round < 200; round++) {
		context = calloc(1, sizeof(*context));
		assert_non_null(context);
		context->alive = true;
		fault_log_set_handler(&faults, use_context, context);
		while (!__atomic_load_n(&context->calls, __ATOMIC_RELAXED))
			sched_yield();
		fault_log_set_handler(&faults, NULL, NULL);
		context->alive = false;
		free(context);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(late, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(records_come_oldest_first, set_up),
		cmocka_unit_test_setup(a_full_log_keeps_the_first, set_up),
		cmocka_unit_test_setup(the_handler_hears_of_each, set_up),
		cmocka_unit_test_setup(the_handler_may_call_anything, set_up),
		cmocka_unit_test_setup(replacing_waits_for_the_former_handler, set_up),
		cmocka_unit_test_setup(replacing_waits_for_all_former_handlers, set_up),
		cmocka_unit_test_setup(closing_waits_for_the_handler, set_up),
		cmocka_unit_test_setup(a_handler_may_close_the_log, set_up),
		cmocka_unit_test_setup(handlers_come_and_go_among_reports, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
