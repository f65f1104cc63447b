/* SPDX-License-Identifier: MIT */
/*
 * Lines are copied while the device writes other words of them and while other threads
 * sync them: nobody sees half a record, and nobody's bytes go back to what they were.
 */
#include <pthread.h>

#include "soft_shadow.h"

#define ROUNDS (20000 / SLOW)
#define CLEANS (300000 / SLOW)
#define WORDS (LINE / sizeof(uint64_t))

struct racer {
	pthread_t thread;
	struct backend *be;
	struct dma_port *port;
	uint64_t *line;
	unsigned int index;
	bool valid_first;
	bool *stop;
	uint64_t *seen; /* how far the driver is */
	uint64_t wrong;
};

static bool stopped(const struct racer *racer)
{
	return __atomic_load_n(racer->stop, __ATOMIC_ACQUIRE);
}

static void stop(struct racer *racers, unsigned int nr)
{
	__atomic_store_n(racers->stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < nr; i++) {
		pthread_join(racers[i].thread, NULL);
		assert_int_equal(racers[i].wrong, 0);
	}
}

static void start(struct racer *racer, void *(*run)(void *arg))
{
	assert_int_equal(pthread_create(&racer->thread, NULL, run, racer), 0);
}

/* Records of a line each: seven words of content and one that says that they are there. */
static void *write_records(void *arg)
{
	struct racer *device = arg;
	uint64_t words[WORDS];
	size_t content = device->valid_first ? sizeof(*words) : 0;
	size_t valid = device->valid_first ? 0 : LINE - sizeof(*words);

	for (uint64_t n = 1; n <= ROUNDS; n++) {
		for (size_t i = 0; i < WORDS; i++)
			words[i] = n;
		device->wrong += dma_bus_write(device->port, IOVA + content, words,
					       LINE - sizeof(*words)) != 0;
		device->wrong += dma_bus_write(device->port, IOVA + valid, words, sizeof(*words)) !=
				 0;
		while (__atomic_load_n(device->seen, __ATOMIC_ACQUIRE) != n)
			sched_yield();
	}
	return NULL;
}

static void poll_records(bool valid_first)
{
	uint64_t seen = 0, wrong = 0, *line;
	bool stop_flag = false;
	struct racer device = {.valid_first = valid_first, .seen = &seen, .stop = &stop_flag};
	struct fixture fx;

	device.port = shadow_fixture_open(&fx, PAGE);
	line = (uint64_t *)fx.memory;
	clean(fx.be, fx.memory, PAGE);
	start(&device, write_records);
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		while (line[valid_first ? 0 : WORDS - 1] != n)
			cache_invalidate(fx.be, line, LINE);
		for (size_t i = 0; i < WORDS; i++)
			wrong += line[i] != n;
		__atomic_store_n(&seen, n, __ATOMIC_RELEASE);
	}
	stop(&device, 1);
	assert_int_equal(wrong, 0);
	shadow_fixture_close(&fx, device.port);
}

static void record_with_its_valid_word_last(void **state)
{
	(void)state;
	poll_records(false);
}

static void record_with_its_valid_word_first(void **state)
{
	(void)state;
	poll_records(true);
}

/* A device that never pauses: the last word of a line is never newer than the rest. */
static void *write_lines(void *arg)
{
	struct racer *device = arg;
	uint64_t words[WORDS];

	for (uint64_t n = 1; !stopped(device); n++) {
		for (size_t i = 0; i < WORDS; i++)
			words[i] = n;
		device->wrong += dma_bus_write(device->port, IOVA, words, LINE) != 0;
	}
	return NULL;
}

static void line_that_changes_all_the_time(void **state)
{
	bool stop_flag = false;
	struct racer device = {.stop = &stop_flag};
	uint64_t wrong = 0, *line;
	struct fixture fx;

	(void)state;
	device.port = shadow_fixture_open(&fx, PAGE);
	line = (uint64_t *)fx.memory;
	clean(fx.be, fx.memory, PAGE);
	start(&device, write_lines);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		cache_invalidate(fx.be, line, LINE);
		for (size_t i = 0; i < WORDS - 1; i++)
			wrong += line[i] < line[WORDS - 1];
	}
	stop(&device, 1);
	assert_int_equal(wrong, 0);
	shadow_fixture_close(&fx, device.port);
}

/* Each driver thread has a word of one line: what it has cleaned stays cleaned. */
static void *clean_own_word(void *arg)
{
	struct racer *driver = arg;
	uint64_t *own = &driver->line[driver->index];
	uint64_t offset = driver->index * sizeof(*own);

	for (uint64_t n = 1; n <= CLEANS; n++) {
		uint64_t there = 0;

		*own = n;
		clean(driver->be, own, sizeof(*own));
		driver->wrong += dma_bus_read(driver->port, IOVA + offset, &there, 8) != 0;
		driver->wrong += there != n;
	}
	return NULL;
}

static void threads_that_clean_one_line(void **state)
{
	bool stop_flag = false;
	struct racer drivers[3];
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	for (unsigned int i = 0; i < 3; i++) {
		drivers[i] = (struct racer){
			.be = fx.be,
			.port = port,
			.line = (uint64_t *)fx.memory,
			.index = i,
			.stop = &stop_flag,
		};
		start(&drivers[i], clean_own_word);
	}
	stop(drivers, 3);
	shadow_fixture_close(&fx, port);
}

/* What a thread has seen of the device it does not see undone by another's sync. */
static void *see_no_way_back(void *arg)
{
	struct racer *driver = arg;
	uint64_t before = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint64_t now;

		cache_invalidate(driver->be, driver->line, 8);
		now = __atomic_load_n(driver->line, __ATOMIC_ACQUIRE);
		driver->wrong += now < before;
		before = now;
	}
	return NULL;
}

static void threads_that_invalidate_one_line(void **state)
{
	bool stop_flag = false, drivers_stop = false;
	struct racer device = {.stop = &stop_flag}, drivers[2];
	struct fixture fx;

	(void)state;
	device.port = shadow_fixture_open(&fx, PAGE);
	clean(fx.be, fx.memory, PAGE);
	start(&device, write_lines);
	for (unsigned int i = 0; i < 2; i++) {
		drivers[i] = (struct racer){
			.be = fx.be, .line = (uint64_t *)fx.memory, .stop = &drivers_stop};
		start(&drivers[i], see_no_way_back);
	}
	stop(drivers, 2);
	stop(&device, 1);
	shadow_fixture_close(&fx, device.port);
}

/* Bytes [100, 300) of the page are the device's, of no shape that is copied in one access. */
static void *transfer_odd_pieces(void *arg)
{
	struct racer *device = arg;
	uint8_t out[200], in[200];

	for (unsigned int round = 0; !stopped(device); round++) {
		size_t at = round % 90, len = 1 + round % 110;

		memset(out, (int)(round & 0xff), len);
		device->wrong += dma_bus_write(device->port, IOVA + 100 + at, out, len) != 0;
		device->wrong += dma_bus_read(device->port, IOVA + 100 + at, in, len) != 0;
		device->wrong += memcmp(in, out, len) != 0;
	}
	return NULL;
}

static void device_has_other_bytes_of_the_line(void **state)
{
	bool stop_flag = false;
	struct racer device = {.stop = &stop_flag};
	struct fixture fx;

	(void)state;
	device.port = shadow_fixture_open(&fx, PAGE);
	memset(fx.memory, 0x11, PAGE);
	clean(fx.be, fx.memory, PAGE);
	start(&device, transfer_odd_pieces);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* Bytes below 100 and from 300 on are the CPU's, in lines that are shared. */
		cache_invalidate(fx.be, fx.memory + 64, 36);
		cache_invalidate(fx.be, fx.memory + 300, 4);
		assert_int_equal(fx.memory[99], 0x11);
		assert_int_equal(fx.memory[300], 0x11);
		/* These lines are the CPU's alone. */
		fx.memory[63] = fx.memory[320] = (uint8_t)round;
		clean(fx.be, fx.memory + 63, 1);
		clean(fx.be, fx.memory + 320, 1);
		assert_sees(fx.port, 320, 1, (uint8_t)round);
	}
	stop(&device, 1);
	shadow_fixture_close(&fx, device.port);
}

/* The CPU writes words of a line that another thread cleans: no race, as in a cache. */
static void *write_neighbour(void *arg)
{
	struct racer *cpu = arg;

	for (uint64_t n = 1; !stopped(cpu); n++)
		*(volatile uint64_t *)cpu->line = n;
	return NULL;
}

static void cleaned_while_neighbours_are_written(void **state)
{
	bool stop_flag = false;
	struct racer cpu = {.stop = &stop_flag};
	struct dma_port *port;
	struct fixture fx;
	uint64_t *line;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	line = (uint64_t *)fx.memory;
	cpu.line = &line[3];
	start(&cpu, write_neighbour);
	for (uint64_t n = 0; n < ROUNDS; n++) {
		uint64_t there = ~n;

		line[4] = n;
		clean(fx.be, &line[4], 8);
		assert_int_equal(dma_bus_read(port, IOVA + 32, &there, 8), 0);
		assert_int_equal(there, n);
	}
	stop(&cpu, 1);
	shadow_fixture_close(&fx, port);
}

/* Each thread prepares every granule, in another order, and uses its own line there. */
#define GRANULES 64

static void *prepare_and_clean(void *arg)
{
	struct racer *driver = arg;
	uint8_t *memory = (uint8_t *)driver->line;

	for (unsigned int i = 0; i < GRANULES; i++) {
		uint64_t page = (driver->index & 1 ? GRANULES - 1 - i : i) * PAGE;
		uint64_t at = page + driver->index * LINE;
		uint8_t byte = 0;

		driver->wrong += driver->be->ops->cache_prepare(driver->be, phys_of(memory + page),
								PAGE) != 0;
		memory[at] = (uint8_t)(driver->index + 1);
		clean(driver->be, memory + at, 1);
		driver->wrong += dma_bus_read(driver->port, IOVA + at, &byte, 1) != 0;
		driver->wrong += byte != driver->index + 1;
	}
	return NULL;
}

static void granules_prepared_by_several_threads(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 100 / SLOW; round++) {
		bool stop_flag = false;
		struct racer drivers[4];
		struct dma_port *port;
		struct fixture fx;
		uint64_t bytes;

		fixture_open(&fx);
		port = open_noncoherent(fx.be, 1);
		link_memory(fx.be, IOVA, fx.memory, GRANULES * PAGE, DMA_BIDIRECTIONAL);
		bytes = fx.be->ops->metadata_bytes(fx.be);
		for (unsigned int i = 0; i < 4; i++) {
			drivers[i] = (struct racer){
				.be = fx.be,
				.port = port,
				.line = (uint64_t *)fx.memory,
				.index = i,
				.stop = &stop_flag,
			};
			start(&drivers[i], prepare_and_clean);
		}
		stop(drivers, 4);
		/* Each page was made once: five nodes lead to them. */
		assert_int_equal(fx.be->ops->metadata_bytes(fx.be) - bytes,
				 (2 * GRANULES + 5) * PAGE);
		for (uint64_t i = 0; i < GRANULES; i++)
			assert_sees(port, i * PAGE + 4 * LINE, PAGE - 4 * LINE, SHADOW_POISON);
		shadow_fixture_close(&fx, port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_with_its_valid_word_last),
		cmocka_unit_test(record_with_its_valid_word_first),
		cmocka_unit_test(line_that_changes_all_the_time),
		cmocka_unit_test(threads_that_clean_one_line),
		cmocka_unit_test(threads_that_invalidate_one_line),
		cmocka_unit_test(device_has_other_bytes_of_the_line),
		cmocka_unit_test(cleaned_while_neighbours_are_written),
		cmocka_unit_test(granules_prepared_by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
