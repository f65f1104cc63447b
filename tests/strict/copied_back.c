/* SPDX-License-Identifier: MIT */
/*
 * What was bounced comes back complete: a device counts in the memory until it is refused,
 * and once the memory has been taken away, it has the last number that the device could
 * write. Neighbours in the same granules are no business of the device's meanwhile.
 */
#include "dma/dma.h"

#include "strict.h"

#define PAGES ((size_t)4)
#define SIZE (PAGES * PAGE)
/* Where the device counts: in the first granule, in between and in the last one. */
#define PLACES 3

static const size_t places[PLACES] = {0, SIZE / 2, SIZE - 8};

struct bounced {
	const char *uri;
	size_t start; /* of the buffer in its first granule */
	bool bounces;
	bool noncoherent; /* what is not bounced comes back from a cache */
};

static const struct bounced devices[] = {
	{"soft:bounce=force", 0, true, false},
	{"soft:untrusted", 0x80, true, false},
	{"soft:untrusted,pgtable=x86-64", 0xff8, true, false},
	{"soft:coherent=off", 0, false, true},
	{"soft:coherent=off,untrusted", 0x80, true, true},
};

struct counter {
	struct dma_port *port;
	dma_addr_t addr[PLACES];
	uint64_t number;
	uint64_t last[PLACES]; /* written with success */
	bool refused[PLACES];
};

/* The next number, wherever the device still can. Whether it could anywhere. */
static bool count(struct counter *counter)
{
	bool could = false;

	counter->number++;
	for (unsigned int i = 0; i < PLACES; i++) {
		if (counter->refused[i])
			continue;
		if (dma_bus_write(counter->port, counter->addr[i], &counter->number, 8)) {
			counter->refused[i] = true;
			continue;
		}
		__atomic_store_n(&counter->last[i], counter->number, __ATOMIC_RELEASE);
		could = true;
	}
	return could;
}

static void *count_until_refused(void *arg)
{
	struct counter *counter = arg;

	while (count(counter)) {
		/* On a machine with few processors the driver must come by. */
		if (!(counter->number % 64))
			sched_yield();
	}
	return NULL;
}

/*
 * Without chance: the device counts on the driver's thread, each time just before it loses
 * what it has cached.
 */
static const struct backend_ops *real_ops;
static struct counter *late_counter;

static void invalidate_after_counting(struct backend *be, const struct backend_range *ranges,
				      size_t nr)
{
	count(late_counter);
	real_ops->invalidate(be, ranges, nr);
}

static void take_while_counting(struct dma_dev *dev, const struct way *way, struct mapping *m,
				struct counter *counter)
{
	struct backend_ops ops = *dev->be->ops;

	real_ops = dev->be->ops;
	late_counter = counter;
	ops.invalidate = invalidate_after_counting;
	count(counter);
	dev->be->ops = &ops;
	way->take(dev, m);
	dev->be->ops = real_ops;
	require(counter->number > 1);
	require(!count(counter));
}

static bool is_last(const struct counter *counter, const uint8_t *buffer, const struct way *way)
{
	bool wrong = false;

	for (unsigned int i = 0; i < PLACES; i++) {
		uint64_t found;

		memcpy(&found, buffer + places[i], 8);
		if (found != counter->last[i])
			fprintf(stderr, "copied back: after %s, %llu and should be %llu\n",
				way->name, (unsigned long long)found,
				(unsigned long long)counter->last[i]);
		wrong |= found != counter->last[i];
	}
	return !wrong;
}

static bool comes_back(struct dma_dev *dev, const struct way *way, uint8_t *buffer, bool racing)
{
	static struct mapping m;
	struct counter counter = {.port = dma_dev_port(dev)};
	uint8_t found[SIZE];
	pthread_t device;

	memset(buffer, 0, SIZE);
	map_for(way, dev, &m, virt_to_phys(buffer), SIZE);
	for (unsigned int i = 0; i < PLACES; i++)
		counter.addr[i] = m.addr + places[i];
	if (racing) {
		device = start(count_until_refused, &counter);
		while (!__atomic_load_n(&counter.last[PLACES - 1], __ATOMIC_ACQUIRE))
			sched_yield();
		way->take(dev, &m);
		memcpy(found, buffer, SIZE);
		join(device);
	} else {
		take_while_counting(dev, way, &m, &counter);
		memcpy(found, buffer, SIZE);
	}
	forget(way, dev, &m);
	return is_last(&counter, found, way);
}

unsigned int copied_back(void)
{
	uint8_t *memory = good_memory(SIZE + PAGE, PAGE);
	unsigned int races = expect_caught ? 0 : 50 / SLOW;
	unsigned int seen = 0, missed = 0;

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		uint8_t *buffer = memory + devices[i].start;
		struct dma_dev *dev = open_device(devices[i].uri);

		for (size_t w = 0; w < nr_ways; w++) {
			bool back;

			/* Memory mapped ahead is itself, or refused. */
			if (ways[w].ahead || ways[w].uncopied ||
			    (ways[w].partial && devices[i].noncoherent))
				continue;
			back = comes_back(dev, &ways[w], buffer, false);
			for (unsigned int r = 0; r < races && back; r++)
				back = comes_back(dev, &ways[w], buffer, true);
			/* The sabotage is of buffers. */
			missed += back && devices[i].bounces;
			seen += !back;
		}
		close_devices(dev, NULL);
	}
	free(memory);
	/* Caught means: whatever the way. */
	return expect_caught && missed ? 0 : seen;
}

/* Neighbours. */

#define ROUNDS (20000 / SLOW)

struct prying {
	struct dma_port *port;
	dma_addr_t addr; /* of the first granule */
	bool stop;
	uint64_t rounds; /* through all granules */
	uint64_t seen; /* of neighbours */
};

/* Every granule in which the buffer lies, all of it. */
static void *pry(void *arg)
{
	struct prying *prying = arg;
	uint8_t page[PAGE];

	while (!flag_is_set(&prying->stop)) {
		dma_addr_t addr = __atomic_load_n(&prying->addr, __ATOMIC_ACQUIRE);

		for (size_t i = 0; i <= PAGES; i++, addr += PAGE) {
			memset(page, 0, PAGE);
			dma_bus_read(prying->port, addr, page, PAGE);
			prying->seen += memchr(page, POISON, PAGE) != NULL;
			memset(page, WRITTEN, PAGE);
			dma_bus_write(prying->port, addr, page, PAGE);
		}
		__atomic_fetch_add(&prying->rounds, 1, __ATOMIC_RELEASE);
		sched_yield();
	}
	return NULL;
}

static unsigned int among_neighbours(struct dma_dev *dev, const struct way *way, uint8_t *memory,
				     size_t begin, struct prying *prying)
{
	static struct mapping m;
	uint64_t rounds;
	unsigned int wrong;

	memset(memory, POISON, SIZE + PAGE);
	memset(memory + begin, GOOD, SIZE);
	map_for(way, dev, &m, virt_to_phys(memory + begin), SIZE);
	__atomic_store_n(&prying->addr, m.addr & ~(PAGE - 1), __ATOMIC_RELEASE);
	rounds = __atomic_load_n(&prying->rounds, __ATOMIC_ACQUIRE) + 1 + begin % 3;
	while (__atomic_load_n(&prying->rounds, __ATOMIC_ACQUIRE) < rounds)
		sched_yield();
	way->take(dev, &m);
	wrong = !is_all(memory, begin, POISON);
	wrong += !is_all(memory + begin + SIZE, PAGE - begin, POISON);
	if (wrong)
		fprintf(stderr, "neighbours: written to before %s was over\n", way->name);
	forget(way, dev, &m);
	return wrong;
}

unsigned int neighbours(void)
{
	struct dma_dev *dev = open_device("soft:untrusted");
	struct prying prying = {.port = dma_dev_port(dev), .addr = PAGE};
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(uintptr_t)&dev >> 4 | 1;
	uint64_t random = seed ? seed : 1;
	uint8_t *memory = good_memory(SIZE + PAGE, PAGE);
	pthread_t device = start(pry, &prying);
	unsigned int seen = 0;

	printf("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const struct way *way = &ways[next_random(&random) % nr_ways];

		if (way->ahead)
			continue;
		seen += among_neighbours(dev, way, memory, 1 + next_random(&random) % (PAGE - 1),
					 &prying);
	}
	set_flag(&prying.stop);
	join(device);
	if (prying.seen)
		fprintf(stderr, "neighbours: seen %llu times\n", (unsigned long long)prying.seen);
	seen += (unsigned int)prying.seen;
	free(memory);
	close_devices(dev, NULL);
	return seen;
}
