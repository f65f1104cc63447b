/* SPDX-License-Identifier: MIT */
/* A device that is not coherent and the CPU see of each other what was synced, by whole lines. */
#include "soft_shadow.h"

static void fresh_memory_is_poison(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, 2 * PAGE);
	memset(fx.memory, 0x11, 2 * PAGE);
	assert_sees(port, 0, 2 * PAGE, SHADOW_POISON);
	/* Prepared once more, it keeps what it has. */
	clean(fx.be, fx.memory, LINE);
	prepare(fx.be, phys_of(fx.memory) + 5, 1);
	assert_sees(port, 0, LINE, 0x11);
	assert_sees(port, LINE, PAGE, SHADOW_POISON);
	assert_holds(fx.memory, 2 * PAGE, 0x11);
	shadow_fixture_close(&fx, port);
}

static void stale_until_cleaned(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	memset(fx.memory, 0x11, PAGE);
	clean(fx.be, fx.memory, PAGE);
	memset(fx.memory, 0x22, PAGE);
	assert_sees(port, 0, PAGE, 0x11);
	clean(fx.be, fx.memory, PAGE);
	assert_sees(port, 0, PAGE, 0x22);
	shadow_fixture_close(&fx, port);
}

/* One byte cleaned takes its line along, and no other. */
static void cleaned_by_lines(void **state)
{
	static const size_t bytes[] = {0, 1, LINE - 1, LINE, PAGE - 1, PAGE, 2 * PAGE - LINE};
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, 2 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		size_t line = align_down(bytes[i], LINE);

		memset(fx.memory, 0x11, 2 * PAGE);
		clean(fx.be, fx.memory, 2 * PAGE);
		memset(fx.memory, 0x22, 2 * PAGE);
		clean(fx.be, fx.memory + bytes[i], 1);
		assert_sees(port, 0, line, 0x11);
		assert_sees(port, line, LINE, 0x22);
		assert_sees(port, line + LINE, 2 * PAGE - line - LINE, 0x11);
	}
	/* Two bytes on both sides of a border are two lines; none are none. */
	memset(fx.memory, 0x33, 2 * PAGE);
	clean(fx.be, fx.memory + 5 * LINE - 1, 2);
	clean(fx.be, fx.memory + 9 * LINE, 0);
	assert_sees(port, 0, 4 * LINE, 0x11);
	assert_sees(port, 4 * LINE, 2 * LINE, 0x33);
	assert_sees(port, 6 * LINE, PAGE - 6 * LINE, 0x11);
	shadow_fixture_close(&fx, port);
}

static void writes_show_when_invalidated(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	clean(fx.be, fx.memory, PAGE);
	device_writes(port, 10, "hello", 5);
	assert_holds(fx.memory, PAGE, 0);
	cache_invalidate(fx.be, fx.memory + LINE, PAGE - LINE);
	assert_holds(fx.memory, PAGE, 0);
	cache_invalidate(fx.be, fx.memory + 14, 1);
	assert_memory_equal(fx.memory + 10, "hello", 5);
	assert_holds(fx.memory, 10, 0);
	assert_holds(fx.memory + 15, PAGE - 15, 0);
	shadow_fixture_close(&fx, port);
}

/* What the CPU has written in a line and not cleaned is lost, and nothing beyond the line. */
static void invalidated_by_lines(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, 2 * PAGE);
	memset(fx.memory, 0x11, 2 * PAGE);
	clean(fx.be, fx.memory, 2 * PAGE);
	memset(fx.memory, 0x22, 2 * PAGE);
	cache_invalidate(fx.be, fx.memory + PAGE - 1, 2);
	assert_holds(fx.memory, PAGE - LINE, 0x22);
	assert_holds(fx.memory + PAGE - LINE, 2 * LINE, 0x11);
	assert_holds(fx.memory + PAGE + LINE, PAGE - LINE, 0x22);
	shadow_fixture_close(&fx, port);
}

/* A line that the CPU has not written since is the device's; one that it has goes whole. */
static void written_back_where_written(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	clean(fx.be, fx.memory, PAGE);
	device_writes(port, 0, "device", 6);
	device_writes(port, LINE, "device", 6);
	fx.memory[LINE + 8] = 0x44;
	fx.be->ops->cache_write_back(fx.be, phys_of(fx.memory), PAGE);
	assert_sees(port, LINE, 8, 0);
	assert_sees(port, LINE + 8, 1, 0x44);
	cache_invalidate(fx.be, fx.memory, PAGE);
	assert_memory_equal(fx.memory, "device", 6);
	assert_holds(fx.memory + LINE, 8, 0);

	/* What an invalidation has brought is no write of the CPU's. */
	device_writes(port, 0, "again!", 6);
	fx.be->ops->cache_write_back(fx.be, phys_of(fx.memory), PAGE);
	cache_invalidate(fx.be, fx.memory, PAGE);
	assert_memory_equal(fx.memory, "again!", 6);
	shadow_fixture_close(&fx, port);
}

static void the_later_clean_wins_the_line(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	clean(fx.be, fx.memory, PAGE);
	device_writes(port, 0, "device", 6);
	fx.memory[LINE - 1] = 0x44;
	clean(fx.be, fx.memory + LINE - 1, 1);
	assert_sees(port, 0, LINE - 1, 0);
	assert_sees(port, LINE - 1, 1, 0x44);
	shadow_fixture_close(&fx, port);
}

static void atomics_work_on_the_shadow(void **state)
{
	uint64_t word, old, expected, desired = 77;
	uint32_t expected4 = 1, desired4 = 9;
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	word = 40;
	memcpy(fx.memory + 8, &word, sizeof(word));
	clean(fx.be, fx.memory, PAGE);
	assert_int_equal(dma_bus_fetch_add(port, IOVA + 8, 8, 2, &old), 0);
	assert_int_equal(old, 40);
	memcpy(&word, fx.memory + 8, sizeof(word));
	assert_int_equal(word, 40);
	expected = 40;
	assert_int_equal(dma_bus_cmpxchg(port, IOVA + 8, 8, &expected, &desired), 0);
	assert_int_equal(expected, 42);
	assert_int_equal(dma_bus_cmpxchg(port, IOVA + 8, 8, &expected, &desired), 1);
	assert_int_equal(dma_bus_cmpxchg(port, IOVA + 16, 4, &expected4, &desired4), 0);
	assert_int_equal(expected4, 0);
	assert_int_equal(dma_bus_cmpxchg(port, IOVA + 16, 4, &expected4, &desired4), 1);
	assert_int_equal(dma_bus_fetch_add(port, IOVA + 4, 8, 2, &old), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MISALIGNED);
	cache_invalidate(fx.be, fx.memory + 8, 8);
	memcpy(&word, fx.memory + 8, sizeof(word));
	assert_int_equal(word, 77);
	assert_int_equal(fx.memory[16], 9);
	shadow_fixture_close(&fx, port);
}

/* Each port by itself: the coherent one works on memory, before and after a sync. */
static void both_kinds_share_a_space(void **state)
{
	struct dma_port *port, *another;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	another = open_noncoherent(fx.be, 2);
	memset(fx.memory, 0x11, PAGE);
	clean(fx.be, fx.memory, PAGE);
	device_writes(fx.port, 0, "\x55", 1);
	assert_int_equal(fx.memory[0], 0x55);
	assert_sees(fx.port, 0, 1, 0x55);
	assert_sees(port, 0, 1, 0x11);
	/* All that are not coherent see the same. */
	device_writes(port, LINE, "\x66", 1);
	assert_sees(another, LINE, 1, 0x66);
	assert_sees(fx.port, LINE, 1, 0x11);
	cache_invalidate(fx.be, fx.memory + LINE, 1);
	assert_sees(fx.port, LINE, 1, 0x66);
	fx.be->ops->port_close(fx.be, another);
	/* A port's place that is used again has the kind of the new one. */
	another = open_port(fx.be, 16, 4, 3);
	assert_sees(another, 0, 1, 0x55);
	fx.be->ops->port_close(fx.be, another);
	another = open_noncoherent(fx.be, 4);
	assert_sees(another, 0, 1, 0x11);
	fx.be->ops->port_close(fx.be, another);
	shadow_fixture_close(&fx, port);
}

static void without_such_a_port_nothing_happens(void **state)
{
	struct fixture fx;
	uint64_t bytes;

	(void)state;
	fixture_open(&fx);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_BIDIRECTIONAL);
	base_alloc_fail(1);
	prepare(fx.be, phys_of(fx.memory), PAGE);
	base_alloc_fail(0);
	memset(fx.memory, 0x11, PAGE);
	clean(fx.be, fx.memory, PAGE);
	device_writes(fx.port, 0, "x", 1);
	cache_invalidate(fx.be, fx.memory, PAGE);
	fx.be->ops->cache_bypass(fx.be, phys_of(fx.memory), PAGE);
	assert_int_equal(fx.memory[0], 'x');
	assert_in_range(fx.be->ops->metadata_bytes(fx.be), bytes, bytes + 3 * PAGE);
	fixture_close(&fx);
}

/* Transfers and syncs of any place and length, against bytes kept on both sides. */
static void as_a_model_of_lines_has_it(void **state)
{
	static uint8_t cpu[4 * PAGE], shadow[4 * PAGE], buf[4 * PAGE];
	uint64_t random = random_seed();
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, sizeof(cpu));
	memset(cpu, 0, sizeof(cpu));
	memset(shadow, SHADOW_POISON, sizeof(shadow));
	for (unsigned int step = 0; step < 20000 / SLOW; step++) {
		size_t at = next_random(&random) % sizeof(cpu);
		size_t len = next_random(&random) % (next_random(&random) % 4 ? 150 : 3 * PAGE);
		size_t first, end;

		if (len > sizeof(cpu) - at)
			len = sizeof(cpu) - at;
		first = align_down(at, LINE);
		end = len ? align_up(at + len, LINE) : first;
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)next_random(&random);
		switch (next_random(&random) % 5) {
		case 0:
			memcpy(fx.memory + at, buf, len);
			memcpy(cpu + at, buf, len);
			break;
		case 1:
			device_writes(port, at, buf, len);
			memcpy(shadow + at, buf, len);
			break;
		case 2:
			clean(fx.be, fx.memory + at, len);
			memcpy(shadow + first, cpu + first, end - first);
			break;
		case 3:
			cache_invalidate(fx.be, fx.memory + at, len);
			memcpy(cpu + first, shadow + first, end - first);
			break;
		default:
			assert_int_equal(dma_bus_read(port, IOVA + at, buf, len), 0);
			assert_memory_equal(buf, shadow + at, len);
		}
		assert_memory_equal(fx.memory, cpu, sizeof(cpu));
	}
	shadow_fixture_close(&fx, port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_memory_is_poison),
		cmocka_unit_test(stale_until_cleaned),
		cmocka_unit_test(cleaned_by_lines),
		cmocka_unit_test(writes_show_when_invalidated),
		cmocka_unit_test(invalidated_by_lines),
		cmocka_unit_test(written_back_where_written),
		cmocka_unit_test(the_later_clean_wins_the_line),
		cmocka_unit_test(atomics_work_on_the_shadow),
		cmocka_unit_test(both_kinds_share_a_space),
		cmocka_unit_test(without_such_a_port_nothing_happens),
		cmocka_unit_test(as_a_model_of_lines_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
