/* SPDX-License-Identifier: MIT */
/*
 * The fault handler is set and taken away while devices fault: it is called with its own
 * argument, never after it was taken away, and may itself take memory away.
 */
#include "threads.h"

#define DEVICES 2
#define ROUNDS (20000 / SLOW)

struct witness {
	bool retired; /* written by who took the handler away, read by the handler */
	uint64_t calls;
};

struct stray {
	struct dma_port *port;
	dma_addr_t addr;
	bool *stop;
	uint64_t faults;
};

static void observe(const struct dma_fault *fault, void *arg)
{
	struct witness *witness = arg;

	require(fault->reason == DMA_FAULT_NOT_PRESENT);
	require(!witness->retired);
	__atomic_fetch_add(&witness->calls, 1, __ATOMIC_RELAXED);
}

static void *go_astray(void *arg)
{
	struct stray *stray = arg;
	uint8_t byte;

	while (!flag_is_set(stray->stop)) {
		require(dma_bus_read(stray->port, stray->addr, &byte, 1) == -EFAULT);
		__atomic_fetch_add(&stray->faults, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

struct log_reader {
	struct dma_space *space;
	bool *stop;
	uint64_t faults;
};

static void *read_log(void *arg)
{
	struct log_reader *reader = arg;
	struct dma_fault faults[16];
	uint64_t lost;

	while (!flag_is_set(reader->stop)) {
		int n = dma_space_read_faults(reader->space, faults, 16, &lost);

		require(n >= 0);
		reader->faults += (uint64_t)n + lost;
		sched_yield();
	}
	return NULL;
}

static void set_and_unset(void **state)
{
	struct dma_dev *devs[DEVICES] = {open_device("soft:")};
	struct dma_space *space = dma_dev_space(devs[0]);
	struct stray strays[DEVICES];
	struct log_reader log;
	pthread_t threads[DEVICES], reader;
	uint64_t faults = 0, calls = 0;
	struct dma_fault rest[16];
	struct dma_stats stats;
	bool stop = false;
	int n;

	(void)state;
	for (unsigned int i = 0; i < DEVICES; i++) {
		if (i)
			require(!dma_dev_open_in("soft:", space, &devs[i]));
		strays[i] = (struct stray){dma_dev_port(devs[i]), 0x10000 + i * PAGE, &stop, 0};
		threads[i] = start(go_astray, &strays[i]);
	}
	log = (struct log_reader){space, &stop, 0};
	reader = start(read_log, &log);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct witness *witness = calloc(1, sizeof(*witness));

		require(witness);
		require(!dma_space_set_fault_handler(space, observe, witness));
		while (!(round % 8) && !__atomic_load_n(&witness->calls, __ATOMIC_RELAXED))
			sched_yield();
		require(!dma_space_set_fault_handler(space, NULL, NULL));
		/* Plain accesses: nobody else is in there any more. */
		witness->retired = true;
		calls += witness->calls;
		free(witness);
	}
	set_flag(&stop);
	join(reader);
	for (unsigned int i = 0; i < DEVICES; i++) {
		join(threads[i]);
		faults += strays[i].faults;
	}
	assert_in_range(calls, ROUNDS / 8, faults);
	stats = stats_of(devs[0]);
	assert_int_equal(stats.faults, faults);
	/* Each fault was recorded or counted as lost. */
	do {
		uint64_t lost;

		n = dma_space_read_faults(space, rest, 16, &lost);
		log.faults += (uint64_t)n + lost;
	} while (n > 0);
	assert_int_equal(log.faults, faults);
	for (unsigned int i = 1; i < DEVICES; i++)
		dma_dev_close(devs[i]);
	close_clean(devs[0]);
}

struct revenge {
	struct dma_dev *dev;
	struct dma_iova_state state;
	uint64_t taken;
};

/* Whoever strays loses its memory, on the thread of the transfer. */
static void take_away(const struct dma_fault *fault, void *arg)
{
	struct revenge *revenge = arg;

	(void)fault;
	if (__atomic_fetch_add(&revenge->taken, 1, __ATOMIC_ACQ_REL))
		return;
	dma_iova_unlink(revenge->dev, &revenge->state, 0, PAGE, DMA_TO_DEVICE, 0);
}

static void handler_unlinks(void **state)
{
	struct dma_dev *dev = open_device("soft:");
	struct revenge revenge = {.dev = dev};
	uint8_t *memory = memory_of(2);
	struct stray strays[DEVICES];
	pthread_t threads[DEVICES];
	bool stop = false;
	uint8_t byte;

	(void)state;
	assert_true(dma_iova_try_alloc(dev, &revenge.state, 0, 2 * PAGE));
	assert_int_equal(
		dma_iova_link(dev, &revenge.state, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE, 0),
		0);
	assert_int_equal(dma_bus_read(dma_dev_port(dev), revenge.state.addr, &byte, 1), 0);
	assert_int_equal(dma_space_set_fault_handler(dma_dev_space(dev), take_away, &revenge), 0);
	for (unsigned int i = 0; i < DEVICES; i++) {
		strays[i] = (struct stray){dma_dev_port(dev), revenge.state.addr + PAGE, &stop, 0};
		threads[i] = start(go_astray, &strays[i]);
	}
	while (__atomic_load_n(&revenge.taken, __ATOMIC_ACQUIRE) < 100)
		sched_yield();
	set_flag(&stop);
	for (unsigned int i = 0; i < DEVICES; i++)
		join(threads[i]);
	free(memory);
	require_refused(dma_dev_port(dev), revenge.state.addr, 2);
	assert_int_equal(dma_space_set_fault_handler(dma_dev_space(dev), NULL, NULL), 0);
	dma_iova_free(dev, &revenge.state);
	close_clean(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_unset),
		cmocka_unit_test(handler_unlinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
