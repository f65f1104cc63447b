/* SPDX-License-Identifier: MIT */
/* Draining and closing wait for transfers in flight, and only for those. */
#include <pthread.h>
#include <sched.h>

#include "direct_fixture.h"

/* Memory whose access ends when the test says so. */
static struct gate {
	bool entered;
	bool open;
	bool left;
} gate;

static int wait_at_gate(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct gate *at_gate = arg;

	(void)offset;
	memset(buf, 1, len);
	__atomic_store_n(&at_gate->entered, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&at_gate->open, __ATOMIC_ACQUIRE))
		sched_yield();
	__atomic_store_n(&at_gate->left, true, __ATOMIC_RELEASE);
	return 0;
}

static const struct dma_memory_ops gate_ops = {.read = wait_at_gate};

static phys_addr_t gated_memory(void)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .ops = &gate_ops, .ops_arg = &gate};
	phys_addr_t base;

	memset(&gate, 0, sizeof(gate));
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

static void *read_gated(void *arg)
{
	phys_addr_t base = *(phys_addr_t *)arg;
	char buf[16];

	return dma_bus_read(port, base, buf, sizeof(buf)) ? arg : NULL;
}

static void await(const bool *flag)
{
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		sched_yield();
}

static bool drained;
static bool left_before_drained;

static void *drain(void *arg)
{
	(void)arg;
	be->ops->drain(be);
	left_before_drained = __atomic_load_n(&gate.left, __ATOMIC_ACQUIRE);
	__atomic_store_n(&drained, true, __ATOMIC_RELEASE);
	return NULL;
}

static void drain_waits_for_the_transfer(void **state)
{
	phys_addr_t base = gated_memory();
	pthread_t reader, drainer;
	void *failed;

	(void)state;
	drained = false;
	assert_int_equal(pthread_create(&reader, NULL, read_gated, &base), 0);
	await(&gate.entered);
	assert_int_equal(pthread_create(&drainer, NULL, drain, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_false(__atomic_load_n(&drained, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&gate.open, true, __ATOMIC_RELEASE);
	pthread_join(drainer, NULL);
	pthread_join(reader, &failed);
	assert_null(failed);
	assert_true(left_before_drained);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static bool stop;
static uint64_t rounds[2];

static void *read_always(void *arg)
{
	static const char memory[256];
	uint64_t *count = arg;
	char buf[256];

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		dma_bus_read(port, at(memory), buf, sizeof(buf));
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* With two threads there is always a transfer in flight, but never the same for long. */
static void a_busy_port_is_drained(void **state)
{
	pthread_t threads[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_always, &rounds[i]), 0);
	while (!__atomic_load_n(&rounds[0], __ATOMIC_RELAXED) ||
	       !__atomic_load_n(&rounds[1], __ATOMIC_RELAXED))
		sched_yield();
	for (int i = 0; i < 200; i++)
		be->ops->drain(be);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	no_fault();
}

/* Unregistration asks the space to drain: afterwards nobody is inside the memory. */
static struct gate inside;
static unsigned int accesses;

static int count_inside(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct gate *provider = arg;

	(void)offset;
	memset(buf, 0, len);
	__atomic_fetch_add(&accesses, __atomic_load_n(&provider->left, __ATOMIC_RELAXED),
			   __ATOMIC_RELAXED);
	return 0;
}

static bool drain_then_free(phys_addr_t base, phys_addr_t last)
{
	(void)base;
	(void)last;
	be->ops->drain(be);
	return false;
}

static void *read_until_refused(void *arg)
{
	phys_addr_t base = *(phys_addr_t *)arg;
	char buf[16];

	while (!dma_bus_read(port, base, buf, sizeof(buf)))
		;
	return NULL;
}

static void unregistered_memory_is_left_alone(void **state)
{
	static const struct dma_memory_ops ops = {.read = count_inside};
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .ops = &ops, .ops_arg = &inside};
	pthread_t thread;
	phys_addr_t base;

	(void)state;
	memory_set_busy_hook(drain_then_free);
	for (int round = 0; round < 200; round++) {
		inside.left = false;
		assert_int_equal(dma_memory_register(&desc, &base), 0);
		assert_int_equal(pthread_create(&thread, NULL, read_until_refused, &base), 0);
		assert_int_equal(dma_memory_unregister(base), 0);
		__atomic_store_n(&inside.left, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
	}
	assert_int_equal(accesses, 0);
	assert_int_equal(be->ops->faults(be), 200);
	memory_set_busy_hook(NULL);
}

static struct dma_port *second;
static bool closed;

static void *close_second(void *arg)
{
	be->ops->port_close(be, second);
	left_before_drained = __atomic_load_n(&gate.left, __ATOMIC_ACQUIRE);
	__atomic_store_n(&closed, true, __ATOMIC_RELEASE);
	return arg;
}

static void *read_gated_by_second(void *arg)
{
	char buf[16];

	dma_bus_read(second, *(phys_addr_t *)arg, buf, sizeof(buf));
	return NULL;
}

static void close_waits_for_its_own_port(void **state)
{
	const struct port_options options = {.iotlb_entries = 1, .iotlb_ways = 1};
	phys_addr_t base = gated_memory();
	pthread_t reader, closer;

	(void)state;
	closed = false;
	assert_int_equal(be->ops->port_open(be, &options, 4, &second), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_gated_by_second, &base), 0);
	await(&gate.entered);
	assert_int_equal(pthread_create(&closer, NULL, close_second, NULL), 0);
	for (int i = 0; i < 200; i++) {
		assert_false(__atomic_load_n(&closed, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&gate.open, true, __ATOMIC_RELEASE);
	pthread_join(closer, NULL);
	pthread_join(reader, NULL);
	assert_true(left_before_drained);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static unsigned int handled;

static void drain_from_the_handler(const struct dma_fault *fault, void *arg)
{
	(void)fault;
	(void)arg;
	be->ops->drain(be);
	handled++;
}

static void a_handler_may_drain(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(be->ops->set_fault_handler(be, drain_from_the_handler, NULL), 0);
	assert_int_equal(dma_bus_read(port, 8, &byte, 1), -EFAULT);
	assert_int_equal(dma_bus_fetch_add(port, 9, 8, 1, NULL), -EFAULT);
	assert_int_equal(handled, 2);
}

/* In a forked child nobody closes ports. LeakSanitizer sees what stays. */
static void ports_go_with_a_forked_space(void **state)
{
	(void)state;
	be->ops->close(be, true);
	be = NULL;
	port = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(drain_waits_for_the_transfer, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(a_busy_port_is_drained, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(unregistered_memory_is_left_alone, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(close_waits_for_its_own_port, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(a_handler_may_drain, open_direct, close_direct),
		cmocka_unit_test_setup(ports_go_with_a_forked_space, open_direct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
