/* SPDX-License-Identifier: MIT */
/*
 * Transfers that have begun are waited for, on every lane of every port. The memory answers
 * through calls, by which the test holds transfers in flight while the driver takes the
 * memory away and poisons it; no real provider may do that.
 */
#include "strict.h"

/* Engines of one device, and the last one of another; each has a page. */
#define ENGINES ((size_t)4)
#define SIZE (ENGINES * PAGE)

struct flight {
	struct dma_dev *dev;
	const struct way *way;
	struct mapping m;
	uint8_t memory[SIZE];
	bool write;
	unsigned int entered; /* transfers in flight */
	bool released;
	bool poisoned; /* the driver has had its memory back, and has used it */
};

struct engine {
	struct flight *flight;
	struct dma_port *port;
	size_t offset;
	pthread_t thread;
	bool saw_poison;
	bool got_in_again;
};

static void hold(struct flight *flight)
{
	__atomic_fetch_add(&flight->entered, 1, __ATOMIC_ACQ_REL);
	wait_for_flag(&flight->released);
}

static int held_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct flight *flight = arg;

	hold(flight);
	memcpy(buf, flight->memory + offset, len);
	return 0;
}

static int held_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	struct flight *flight = arg;

	hold(flight);
	memcpy(flight->memory + offset, buf, len);
	return 0;
}

static void *transfer(void *arg)
{
	struct engine *engine = arg;
	struct flight *flight = engine->flight;
	dma_addr_t addr = flight->m.addr + engine->offset;
	uint8_t page[PAGE];
	int err;

	memset(page, WRITTEN, PAGE);
	if (flight->write)
		require(!dma_bus_write(engine->port, addr, page, PAGE));
	else
		require(!dma_bus_read(engine->port, addr, page, PAGE));
	engine->saw_poison = memchr(page, POISON, PAGE) != NULL;
	/* This thread's lane has cached the page. */
	wait_for_flag(&flight->poisoned);
	err = dma_bus_read(engine->port, addr, page, PAGE);
	engine->got_in_again = !err && !(flight->way->relinks && is_all(page, PAGE, GOOD));
	return NULL;
}

static void *take_and_poison(void *arg)
{
	struct flight *flight = arg;

	flight->way->take(flight->dev, &flight->m);
	memset(flight->memory, POISON, SIZE);
	set_flag(&flight->poisoned);
	return NULL;
}

/*
 * Give the driver the time to return if it wants to. Where it is right it does not, and
 * nothing shows how long is long enough: more yields find more, fewer never fail.
 */
static void let_driver_run(const struct flight *flight)
{
	unsigned int patience = expect_caught ? 1000000 : 300;

	while (patience-- && !flag_is_set(&flight->poisoned))
		sched_yield();
}

static unsigned int take_in_flight(struct dma_dev *dev, struct dma_dev *neighbour,
				   const struct way *way, bool write)
{
	static struct flight flight;
	struct dma_memory_ops ops = {held_read, held_write};
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = SIZE, .fd = -1, .ops = &ops, .ops_arg = &flight};
	struct engine engines[ENGINES];
	unsigned int wrong;
	pthread_t driver;
	phys_addr_t phys;

	flight = (struct flight){.dev = dev, .way = way, .write = write};
	memset(flight.memory, GOOD, SIZE);
	require(!dma_memory_register(&desc, &phys));
	map_for(way, dev, &flight.m, phys, SIZE);
	for (size_t i = 0; i < ENGINES; i++) {
		struct dma_dev *by = i < ENGINES - 1 ? dev : neighbour;

		engines[i] = (struct engine){&flight, dma_dev_port(by), .offset = i * PAGE};
		engines[i].thread = start(transfer, &engines[i]);
	}
	while (__atomic_load_n(&flight.entered, __ATOMIC_ACQUIRE) < ENGINES)
		sched_yield();
	driver = start(take_and_poison, &flight);
	let_driver_run(&flight);
	set_flag(&flight.released);
	join(driver);
	wrong = 0;
	for (size_t i = 0; i < ENGINES; i++) {
		join(engines[i].thread);
		wrong += engines[i].saw_poison + engines[i].got_in_again;
	}
	wrong += !is_all(flight.memory, SIZE, POISON);
	if (wrong)
		fprintf(stderr, "in flight: %s did not wait for a %s\n", way->name,
			write ? "write" : "read");
	forget(way, dev, &flight.m);
	require(!dma_memory_unregister(phys));
	return wrong;
}

unsigned int transfer_in_flight(void)
{
	struct dma_dev *dev = open_device("soft:"), *neighbour = open_device_in("soft:", dev);
	unsigned int seen = 0, missed = 0;

	for (size_t i = 0; i < 2 * nr_ways; i++) {
		unsigned int now = take_in_flight(dev, neighbour, &ways[i / 2], i % 2);

		missed += !now;
		seen += now;
	}
	close_devices(dev, neighbour);
	/* Caught means: whatever the way. */
	return expect_caught && missed ? 0 : seen;
}
