/* SPDX-License-Identifier: MIT */
/*
 * Devices hammer, without pause, at an address that the driver maps and takes away, poisons
 * and frees again and again: in every way, as often as there is time for.
 */
#include "strict.h"

/* Devices do not share bytes: one reads its half, the others write theirs. */
#define READ_PAGES ((size_t)8)
#define WRITE_PAGES ((size_t)4)
#define COUNT_PAGE (READ_PAGES + WRITE_PAGES)
#define PAGES (COUNT_PAGE + 1)
#define SIZE (PAGES * PAGE)

#define ROUNDS (8000 / SLOW)

static uint8_t *kept[ROUNDS];
static size_t nr_kept;

struct hammer {
	struct dma_port *port;
	dma_addr_t *addr;
	bool *stop;
	bool (*strike)(struct hammer *hammer, dma_addr_t addr);
	pthread_t thread;
	uint64_t done; /* transfers that went through */
	uint64_t refused;
	uint64_t poisoned;
};

static bool strike_by_reading(struct hammer *hammer, dma_addr_t addr)
{
	uint8_t buf[READ_PAGES * PAGE];
	int err;

	memset(buf, GOOD, sizeof(buf));
	err = dma_bus_read(hammer->port, addr, buf, sizeof(buf));
	/* A refused transfer has read what comes before the refused page. */
	hammer->poisoned += memchr(buf, POISON, sizeof(buf)) != NULL;
	return !err;
}

/* By counting, too. */
static bool strike_by_writing(struct hammer *hammer, dma_addr_t addr)
{
	uint8_t buf[WRITE_PAGES * PAGE];
	int err;

	memset(buf, WRITTEN, sizeof(buf));
	err = dma_bus_write(hammer->port, addr + READ_PAGES * PAGE, buf, sizeof(buf));
	err |= dma_bus_fetch_add(hammer->port, addr + COUNT_PAGE * PAGE, 8, 1, NULL);
	return !err;
}

static void *strike_without_pause(void *arg)
{
	struct hammer *hammer = arg;
	unsigned int strikes = 0;

	while (!flag_is_set(hammer->stop)) {
		dma_addr_t addr = __atomic_load_n(hammer->addr, __ATOMIC_ACQUIRE);
		bool done = hammer->strike(hammer, addr);

		__atomic_fetch_add(done ? &hammer->done : &hammer->refused, 1, __ATOMIC_RELAXED);
		/* On a machine with few processors the driver must come by. */
		if (!done || !(++strikes % 16))
			sched_yield();
	}
	return NULL;
}

/* Until each device has struck @n times more; @done: with success. */
static void wait_for_strikes(struct hammer *hammers, size_t nr, bool done, uint64_t n)
{
	for (size_t i = 0; i < nr; i++) {
		uint64_t *success = &hammers[i].done, *refused = &hammers[i].refused;
		uint64_t end = __atomic_load_n(success, __ATOMIC_RELAXED) + n;

		if (!done)
			end += __atomic_load_n(refused, __ATOMIC_RELAXED);
		while (__atomic_load_n(success, __ATOMIC_RELAXED) +
			       (done ? 0 : __atomic_load_n(refused, __ATOMIC_RELAXED)) <
		       end)
			sched_yield();
	}
}

/* Memory that a broken library still reaches must stay memory, until the devices stop. */
static void release(uint8_t *memory)
{
	if (SABOTAGED)
		kept[nr_kept++] = memory;
	else
		free(memory);
}

static unsigned int round_of(struct dma_dev *dev, const struct way *way, struct hammer *hammers,
			     size_t nr, uint64_t random)
{
	static struct mapping m;
	uint8_t *memory = good_memory(SIZE, PAGE);
	unsigned int seen;

	map_for(way, dev, &m, virt_to_phys(memory), SIZE);
	__atomic_store_n(hammers[0].addr, m.addr, __ATOMIC_RELEASE);
	wait_for_strikes(hammers, nr, true, 1);
	for (uint64_t pause = random % 512; pause; pause--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	way->take(dev, &m);
	memset(memory, POISON, SIZE);
	if (random >> 32 & 1)
		wait_for_strikes(hammers, nr, false, 1);
	seen = !is_all(memory, SIZE, POISON);
	release(memory);
	forget(way, dev, &m);
	return seen;
}

unsigned int hammered(void)
{
	struct dma_dev *dev = open_device("soft:");
	struct dma_dev *neighbour = open_device_in("soft:iotlb=16", dev);
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(uintptr_t)&dev >> 4 | 1;
	unsigned int seen = 0;
	uint64_t random = seed ? seed : 1;
	dma_addr_t addr = PAGE;
	bool stop = false;
	struct hammer hammers[] = {
		{.port = dma_dev_port(dev), .strike = strike_by_reading},
		{.port = dma_dev_port(neighbour), .strike = strike_by_writing},
	};
	const size_t nr = sizeof(hammers) / sizeof(hammers[0]);

	printf("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	for (size_t i = 0; i < nr; i++) {
		hammers[i].addr = &addr;
		hammers[i].stop = &stop;
		hammers[i].thread = start(strike_without_pause, &hammers[i]);
	}
	for (unsigned int round = 0; round < ROUNDS && !(expect_caught && seen > 10); round++) {
		const struct way *way = &ways[next_random(&random) % nr_ways];
		unsigned int now = round_of(dev, way, hammers, nr, next_random(&random));

		if (now)
			fprintf(stderr, "hammer: poisoned memory was written to after %s\n",
				way->name);
		seen += now;
	}
	set_flag(&stop);
	for (size_t i = 0; i < nr; i++) {
		join(hammers[i].thread);
		if (hammers[i].poisoned)
			fprintf(stderr, "hammer: poison was seen %llu times\n",
				(unsigned long long)hammers[i].poisoned);
		seen += (unsigned int)hammers[i].poisoned;
	}
	while (nr_kept)
		free(kept[--nr_kept]);
	close_devices(dev, neighbour);
	return seen;
}
