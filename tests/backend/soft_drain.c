/* SPDX-License-Identifier: MIT */
/*
 * When an invalidation returns, the device is done with the memory: whatever the
 * driver does with it afterwards, the device neither sees nor overwrites.
 */
#include <pthread.h>

#include "backend/soft/space.h"
#include <twostep/memory.h>

#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define GOOD 0x11
#define POISON 0x99
#define DEVICES 3

struct device {
	struct dma_port *port;
	pthread_t thread;
	bool *stop;
	bool write;
	size_t offset, len; /* of the page; writers do not share bytes */
	uint64_t done;
	uint64_t poisoned;
};

static void *transfer_without_pause(void *arg)
{
	struct device *device = arg;
	uint8_t buf[PAGE];

	memset(buf, 0x77, sizeof(buf));
	while (!__atomic_load_n(device->stop, __ATOMIC_RELAXED)) {
		if (device->write) {
			if (dma_bus_write(device->port, IOVA + device->offset, buf, device->len))
				continue;
		} else {
			if (dma_bus_read(device->port, IOVA + device->offset, buf, device->len))
				continue;
			device->poisoned += memchr(buf, POISON, device->len) != NULL;
		}
		__atomic_fetch_add(&device->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static uint64_t done(struct device *devices, unsigned int nr)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum += __atomic_load_n(&devices[i].done, __ATOMIC_RELAXED);
	return sum;
}

static void run(bool write, unsigned int nr, bool one_port)
{
	struct device devices[DEVICES] = {0};
	uint64_t overwritten = 0, poisoned = 0;
	bool stop = false;
	struct fixture fx;

	fixture_open(&fx);
	for (unsigned int i = 0; i < nr; i++) {
		devices[i].port = i && !one_port ? open_port(fx.be, 16, 4, i) : fx.port;
		devices[i].stop = &stop;
		devices[i].write = write;
		devices[i].len = write ? PAGE / nr : PAGE;
		devices[i].offset = write ? i * devices[i].len : 0;
		assert_int_equal(pthread_create(&devices[i].thread, NULL, transfer_without_pause,
						&devices[i]),
				 0);
	}
	for (unsigned int round = 0; round < 4000 / SLOW; round++) {
		uint64_t before = done(devices, nr);

		memset(fx.memory, GOOD, PAGE);
		link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
		while (done(devices, nr) < before + 1 + round % 3)
			;
		unlink_strict(fx.be, IOVA, PAGE);
		memset(fx.memory, POISON, PAGE);
		for (unsigned int i = 0; i < PAGE; i++)
			overwritten += fx.memory[i] != POISON;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < nr; i++) {
		pthread_join(devices[i].thread, NULL);
		poisoned += devices[i].poisoned;
		if (i && !one_port)
			fx.be->ops->port_close(fx.be, devices[i].port);
	}
	assert_int_equal(poisoned, 0);
	assert_int_equal(overwritten, 0);
	fixture_close(&fx);
}

static void reader_never_sees_what_came_later(void **state)
{
	(void)state;
	run(false, 1, false);
}

static void writer_never_overwrites_what_came_later(void **state)
{
	(void)state;
	run(true, 1, false);
}

static void several_ports_are_all_waited_for(void **state)
{
	(void)state;
	run(false, DEVICES, false);
}

static void several_threads_of_one_port_are_all_waited_for(void **state)
{
	(void)state;
	run(true, DEVICES, true);
}

/*
 * Memory behind calls: the call tells the test that a section is open, and holds it,
 * which no real provider may do.
 */
struct gate {
	bool entered;
	bool open;
};

struct closing {
	struct backend *be;
	struct dma_port *port; /* NULL: only drain */
	bool returned;
};

static int held_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct gate *gate = arg;

	(void)offset;
	memset(buf, GOOD, len);
	__atomic_store_n(&gate->entered, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&gate->open, __ATOMIC_ACQUIRE))
		sched_yield();
	return 0;
}

static void *read_one(void *arg)
{
	uint8_t byte = 0;

	assert_int_equal(dma_bus_read(arg, IOVA, &byte, 1), 0);
	assert_int_equal(byte, GOOD);
	return NULL;
}

static void *close_or_drain(void *arg)
{
	struct closing *closing = arg;

	if (closing->port)
		closing->be->ops->port_close(closing->be, closing->port);
	else
		closing->be->ops->drain(closing->be);
	__atomic_store_n(&closing->returned, true, __ATOMIC_RELEASE);
	return NULL;
}

static void wait_behind_a_gate(bool close)
{
	struct gate gate = {0};
	struct dma_memory_ops ops = {.read = held_read};
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .fd = -1, .ops = &ops, .ops_arg = &gate};
	struct closing closing = {0};
	pthread_t device, driver;
	phys_addr_t phys;
	struct fixture fx;

	fixture_open(&fx);
	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, PAGE, DMA_TO_DEVICE), 0);
	assert_int_equal(pthread_create(&device, NULL, read_one, fx.port), 0);
	while (!__atomic_load_n(&gate.entered, __ATOMIC_ACQUIRE))
		sched_yield();
	closing.be = fx.be;
	closing.port = close ? fx.port : NULL;
	assert_int_equal(pthread_create(&driver, NULL, close_or_drain, &closing), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		assert_false(__atomic_load_n(&closing.returned, __ATOMIC_ACQUIRE));
		sched_yield();
	}
	__atomic_store_n(&gate.open, true, __ATOMIC_RELEASE);
	pthread_join(device, NULL);
	pthread_join(driver, NULL);
	assert_true(closing.returned);
	if (close)
		fx.port = NULL;
	unlink_strict(fx.be, IOVA, PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	fixture_close(&fx);
}

static void drain_waits_for_a_section(void **state)
{
	(void)state;
	wait_behind_a_gate(false);
}

static void port_close_waits_for_a_section(void **state)
{
	(void)state;
	wait_behind_a_gate(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_never_sees_what_came_later),
		cmocka_unit_test(writer_never_overwrites_what_came_later),
		cmocka_unit_test(several_ports_are_all_waited_for),
		cmocka_unit_test(several_threads_of_one_port_are_all_waited_for),
		cmocka_unit_test(drain_waits_for_a_section),
		cmocka_unit_test(port_close_waits_for_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
