/* SPDX-License-Identifier: MIT */
/*
 * A transfer that has begun is waited for. The memory answers through calls, by which the
 * test holds a transfer in flight while the driver takes the memory away and poisons it; no
 * real provider may do that.
 */
#include "strict.h"

#define SIZE (2 * PAGE)

struct flight {
	struct dma_dev *dev;
	const struct way *way;
	struct mapping m;
	uint8_t memory[SIZE];
	uint8_t seen[PAGE]; /* by the device */
	bool write;
	bool entered; /* a transfer is in flight */
	bool released;
	bool poisoned; /* the driver has had its memory back, and has used it */
};

static void hold(struct flight *flight)
{
	set_flag(&flight->entered);
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
	struct flight *flight = arg;
	struct dma_port *port = dma_dev_port(flight->dev);

	memset(flight->seen, flight->write ? WRITTEN : 0, PAGE);
	if (flight->write)
		require(!dma_bus_write(port, flight->m.addr + PAGE, flight->seen, PAGE));
	else
		require(!dma_bus_read(port, flight->m.addr + PAGE, flight->seen, PAGE));
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

static unsigned int take_in_flight(struct dma_dev *dev, const struct way *way, bool write)
{
	static struct flight flight;
	struct dma_memory_ops ops = {held_read, held_write};
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = SIZE, .fd = -1, .ops = &ops, .ops_arg = &flight};
	pthread_t device, driver;
	unsigned int wrong;
	phys_addr_t phys;

	flight = (struct flight){.dev = dev, .way = way, .write = write};
	memset(flight.memory, GOOD, SIZE);
	require(!dma_memory_register(&desc, &phys));
	map_for(way, dev, &flight.m, phys, SIZE);
	device = start(transfer, &flight);
	wait_for_flag(&flight.entered);
	driver = start(take_and_poison, &flight);
	let_driver_run(&flight);
	set_flag(&flight.released);
	join(device);
	join(driver);

	if (write)
		wrong = !is_all(flight.memory, SIZE, POISON);
	else
		wrong = !is_all(flight.seen, PAGE, GOOD);
	if (wrong)
		fprintf(stderr, "in flight: %s saw a %s that had begun before\n", way->name,
			write ? "write" : "read");
	forget(way, dev, &flight.m);
	require(!dma_memory_unregister(phys));
	return wrong;
}

unsigned int transfer_in_flight(void)
{
	struct dma_dev *dev = open_device("soft:");
	unsigned int seen = 0, missed = 0;

	for (size_t i = 0; i < 2 * nr_ways; i++) {
		unsigned int now = take_in_flight(dev, &ways[i / 2], i % 2);

		missed += !now;
		seen += now;
	}
	close_devices(dev, NULL);
	return expect_caught && missed ? 0 : seen;
}
