/* SPDX-License-Identifier: MIT */
/* What is refused is recorded, counted when the log is full, and told to the handler. */
#include "soft_fixture.h"

#include <twostep/error.h>

#define IOVA 0x10000000ULL

static void record_tells_who_and_what(void **state)
{
	struct dma_port *second;
	struct dma_fault fault;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	second = open_port(fx.be, 16, 4, 5);
	assert_int_equal(dma_bus_write(second, IOVA + 100, "abc", 3), -EFAULT);
	fault = only_fault(fx.be);
	assert_int_equal(fault.device, 5);
	assert_int_equal(fault.reason, DMA_FAULT_NOT_PRESENT);
	assert_true(fault.write);
	assert_int_equal(fault.addr, IOVA + 100);
	assert_int_equal(fault.len, 3);
	assert_int_not_equal(fault.time_ns, 0);
	assert_int_equal(stats_of(second).faults, 1);
	assert_int_equal(stats_of(fx.port).faults, 0);
	fx.be->ops->port_close(fx.be, second);
	fixture_close(&fx);
}

static void full_log_counts_what_it_loses(void **state)
{
	static struct dma_fault faults[400];
	uint64_t lost;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	for (uint64_t i = 0; i < 300; i++)
		assert_refused(fx.port, IOVA + i);
	assert_int_equal(fx.be->ops->faults(fx.be), 300);
	assert_int_equal(fx.be->ops->read_faults(fx.be, faults, 400, &lost), 256);
	assert_int_equal(lost, 44);
	for (uint64_t i = 0; i < 256; i++)
		assert_int_equal(faults[i].addr, IOVA + i);
	assert_int_equal(fx.be->ops->read_faults(fx.be, faults, 400, &lost), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(stats_of(fx.port).faults, 300);
	fixture_close(&fx);
}

struct watcher {
	struct fixture *fx;
	unsigned int calls;
	struct dma_fault last;
};

/* Takes away what the same device has just used: it must not wait for its own transfer. */
static void unlink_the_rest(const struct dma_fault *fault, void *arg)
{
	struct watcher *watcher = arg;

	watcher->calls++;
	watcher->last = *fault;
	unlink_strict(watcher->fx->be, IOVA, PAGE);
}

static void handler_may_unlink(void **state)
{
	struct watcher watcher = {0};
	static uint8_t buf[2 * PAGE];
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	watcher.fx = &fx;
	assert_int_equal(fx.be->ops->set_fault_handler(fx.be, unlink_the_rest, &watcher), 0);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_int_equal(dma_bus_read(fx.port, IOVA, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(watcher.calls, 1);
	assert_int_equal(watcher.last.addr, IOVA + PAGE);
	assert_int_equal(watcher.last.len, PAGE);
	assert_refused(fx.port, IOVA);
	assert_int_equal(watcher.calls, 2);
	assert_int_equal(fx.be->ops->set_fault_handler(fx.be, NULL, NULL), 0);
	assert_refused(fx.port, IOVA);
	assert_int_equal(watcher.calls, 2);
	fixture_close(&fx);
}

static void close_everything(const struct dma_fault *fault, void *arg)
{
	struct fixture *fx = arg;

	(void)fault;
	fixture_close(fx);
}

/* The transfer that called it ends all the same, and says whose it was. */
static void handler_may_close_the_device(void **state)
{
	struct fixture fx;
	uint8_t byte = 0;

	(void)state;
	fixture_open(&fx);
	fx.be->ops->port_close(fx.be, fx.port);
	fx.port = open_port(fx.be, 16, 4, 7);
	assert_int_equal(fx.be->ops->set_fault_handler(fx.be, close_everything, &fx), 0);
	assert_int_equal(dma_bus_read(fx.port, IOVA, &byte, 1), -EFAULT);
	assert_non_null(strstr(dma_last_error(), "device 7 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_tells_who_and_what),
		cmocka_unit_test(full_log_counts_what_it_loses),
		cmocka_unit_test(handler_may_unlink),
		cmocka_unit_test(handler_may_close_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
