/* SPDX-License-Identifier: MIT */
/* Lazy unmapping: what it saves, what it gives up, and what stays strict. */
#include "lazy_setup.h"

#define MANY 256

static void map_each(const struct device *d, uint8_t *memory, dma_addr_t *addr)
{
	for (size_t i = 0; i < MANY; i++)
		addr[i] = map(d, memory + i * PAGE, PAGE);
}

static void unmap_each(const struct device *d, const dma_addr_t *addr)
{
	for (size_t i = 0; i < MANY; i++)
		unmap(d, addr[i], PAGE);
}

static void one_invalidation_for_many(void **state)
{
	struct device lazy = lazy_open(state, ""), strict = soft_open(state, ",lazy=off");
	uint8_t *memory = pages_new(MANY, 1);
	dma_addr_t addr[MANY];
	uint64_t before;

	for (unsigned int round = 0; round < 5; round++) {
		map_each(&lazy, memory, addr);
		before = invalidations(&lazy);
		unmap_each(&lazy, addr);
		assert_int_equal(invalidations(&lazy), before);
		flush(&lazy);
		assert_int_equal(invalidations(&lazy), before + 1);
		flush(&lazy);
		assert_int_equal(invalidations(&lazy), before + 1);
	}

	map_each(&strict, memory, addr);
	before = invalidations(&strict);
	unmap_each(&strict, addr);
	assert_int_equal(invalidations(&strict), before + MANY);
	flush(&strict);
	assert_int_equal(invalidations(&strict), before + MANY);
	free(memory);
	device_close(&strict, 0);
	lazy_close(&lazy, 0);
}

/* Nobody flushes but the thread itself, when its ring is full. */
static void a_full_ring_flushes(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	uint64_t before = invalidations(&d);

	for (unsigned int i = 1; i <= 8 * MANY; i++) {
		unmap(&d, map(&d, memory, PAGE), PAGE);
		assert_int_equal(invalidations(&d), before + (i - 1) / MANY);
	}
	free(memory);
	lazy_close(&d, 0);
}

static void the_device_keeps_what_it_has_cached(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2, 0x40), byte;
	dma_addr_t cached = map(&d, memory, PAGE), unseen = map(&d, memory + PAGE, PAGE);

	byte = 0x40;
	assert_int_equal(dma_bus_write(d.port, cached, &byte, 1), 0);
	unmap(&d, cached, PAGE);
	unmap(&d, unseen, PAGE);
	/* Given up: */
	assert_reads(&d, cached, 0x40);
	byte = 0x77;
	assert_int_equal(dma_bus_write(d.port, cached, &byte, 1), 0);
	assert_int_equal(memory[0], 0x77);
	/* The entries are gone all the same. */
	assert_refused(&d, unseen);
	flush(&d);
	assert_refused(&d, cached);
	assert_refused(&d, unseen);
	free(memory);
	lazy_close(&d, 0);
}

/* No later call ends it. Twice, because the timer has slept in between. */
static void the_timer_takes_it(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(1, 0x40);

	dma_lazy_hold_timer(false);
	for (unsigned int round = 0; round < 3; round++) {
		dma_addr_t addr = map(&d, memory, PAGE);

		assert_reads(&d, addr, 0x40);
		unmap(&d, addr, PAGE);
		assert_true(is_taken_in_time(&d, addr));
		for (unsigned int i = 0; __atomic_load_n(&dma_lazy_awake, __ATOMIC_RELAXED); i++) {
			assert_true(i < 60000);
			usleep(1000);
		}
	}
	free(memory);
	lazy_close(&d, 0);
}

static void queued_addresses_are_nobodys(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr[MANY];

	for (size_t i = 0; i < MANY; i++) {
		addr[i] = map(&d, memory, PAGE);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(addr[i], addr[j]);
		unmap(&d, addr[i], PAGE);
	}
	free(memory);
	lazy_close(&d, 0);
}

static void two_step_is_strict(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2, 0x40);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE), again;
	uint64_t before;

	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 0x40);
	before = invalidations(&d);
	unlink_at(&d, &iova, PAGE, PAGE);
	assert_refused(&d, iova.addr + PAGE);
	destroy(&d, &iova, PAGE);
	assert_refused_pages(&d, iova.addr, 2);
	assert_int_equal(invalidations(&d), before + 2);
	again = reserve(&d, 0, 2 * PAGE);
	assert_int_equal(again.addr, iova.addr);
	dma_iova_free(d.dev, &again);
	free(memory);
	lazy_close(&d, 0);
}

static void a_gather_is_strict_at_its_end(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(4, 0x40);
	struct dma_gather gather;
	dma_addr_t addr[3];

	for (size_t i = 0; i < 3; i++) {
		addr[i] = map(&d, memory + i * PAGE, (i == 2 ? 2 : 1) * PAGE);
		assert_reads(&d, addr[i], (unsigned int)(0x40 + i));
	}
	dma_gather_begin(d.dev, &gather);
	dma_unmap_phys_gather(d.dev, addr[0], PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_unmap_phys_gather(d.dev, addr[2], 2 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	assert_refused(&d, addr[0]);
	assert_refused(&d, addr[2]);
	/* Without one the call is strict by itself. */
	assert_reads(&d, addr[1], 0x41);
	dma_unmap_phys_gather(d.dev, addr[1], PAGE, DMA_BIDIRECTIONAL, 0, NULL);
	assert_refused(&d, addr[1]);
	free(memory);
	lazy_close(&d, 0);
}

/* What the device wrote is copied back at the end, so it must have lost its access. */
static void copies_are_strict(void **state)
{
	static const char *const options[] = {",bounce=force", ",coherent=off"};

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = lazy_open(state, options[i]);
		uint8_t *memory = pages_new(1, 0x40), byte = 0x77;
		dma_addr_t addr = map(&d, memory, PAGE);

		assert_int_equal(dma_bus_write(d.port, addr + 5, &byte, 1), 0);
		unmap(&d, addr, PAGE);
		assert_refused(&d, addr);
		assert_int_equal(memory[5], 0x77);
		free(memory);
		lazy_close(&d, 0);
	}
}

static void untrusted_devices_are_strict(void **state)
{
	struct device d = lazy_open(state, ""), untrusted = {0};
	uint8_t *memory = pages_new(2, 0x40);
	dma_addr_t addr, other;

	assert_int_equal(dma_dev_open_in("soft:,untrusted,lazy=on", d.space, &untrusted.dev), 0);
	untrusted.port = dma_dev_port(untrusted.dev);
	for (size_t pages = 1; pages <= 2; pages++) {
		addr = map(&untrusted, memory, pages * PAGE);
		assert_reads(&untrusted, addr, 0x40);
		unmap(&untrusted, addr, pages * PAGE);
		assert_refused(&untrusted, addr);
		/* A device of the space may end what another began, by whose rules it was made. */
		addr = map(&untrusted, memory, pages * PAGE);
		other = map(&d, memory, pages * PAGE);
		assert_reads(&d, addr, 0x40);
		assert_reads(&d, other, 0x40);
		unmap(&d, addr, pages * PAGE);
		assert_refused(&d, addr);
		unmap(&untrusted, other, pages * PAGE);
		assert_true(reaches(&d, other));
		flush(&d);
		assert_refused(&d, other);
	}
	dma_dev_close(untrusted.dev);
	free(memory);
	lazy_close(&d, 0);
}

static void every_size_is_lazy(void **state)
{
	static const size_t sizes[] = {1, PAGE, 3 * PAGE + 5, 2 * MIB, 3 * MIB};
	struct device d = lazy_open(state, "");
	struct expanse e = expanse_new(4 * MIB, 2 * MIB);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		dma_addr_t addr = map(&d, e.at, sizes[i]);
		uint64_t before = invalidations(&d);

		assert_reads(&d, addr, 0);
		assert_reads(&d, addr + sizes[i] - 1, 0);
		unmap(&d, addr, sizes[i]);
		assert_int_equal(invalidations(&d), before);
		assert_true(reaches(&d, addr));
		assert_true(reaches(&d, addr + sizes[i] - 1));
		flush(&d);
		assert_int_equal(invalidations(&d), before + 1);
		assert_refused(&d, addr);
		assert_refused(&d, addr + sizes[i] - 1);
	}
	expanse_free(&e);
	lazy_close(&d, 0);
}

static void queued_mappings_are_not_counted(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr = map(&d, memory, PAGE);

	assert_int_equal(stats_of(&d).iova_live, 1);
	assert_int_equal(stats_of(&d).bytes_mapped, PAGE);
	unmap(&d, addr, PAGE);
	assert_int_equal(stats_of(&d).iova_live, 0);
	assert_int_equal(stats_of(&d).bytes_mapped, 0);
	flush(&d);
	assert_int_equal(stats_of(&d).iova_live, 0);
	free(memory);
	lazy_close(&d, 0);
}

static void misuse_is_told(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2, 1);
	dma_addr_t addr = map(&d, memory, PAGE);
	struct misuse misuse;

	unmap(&d, addr, PAGE);
	misuse = misuse_expect(&d);
	unmap(&d, addr, PAGE);
	misuse_check(&d, misuse, 1);
	flush(&d);

	/* Another size: all of it goes. */
	addr = map(&d, memory, 2 * PAGE);
	misuse = misuse_expect(&d);
	unmap(&d, addr, PAGE);
	misuse_check(&d, misuse, 1);
	flush(&d);
	assert_refused_pages(&d, addr, 2);
	free(memory);
	lazy_close(&d, 2);
}

/* Checks see what a device asks for when it is refused, not what it has cached. */
static unsigned int accesses_after;

static void count_report(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	accesses_after += report->kind == DMA_DEBUG_ACCESS_AFTER;
}

static void checks_report_what_is_refused(void **state)
{
	struct device d = lazy_open(state, ",debug=on");
	uint8_t *memory = pages_new(1, 0x40);
	dma_addr_t addr = map(&d, memory, PAGE);
	uint8_t byte;

	accesses_after = 0;
	dma_debug_set_handler(count_report, NULL);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	assert_reads(&d, addr, 0x40);
	unmap(&d, addr, PAGE);
	assert_reads(&d, addr, 0x40);
	assert_int_equal(accesses_after, 0);
	flush(&d);
	assert_int_equal(dma_bus_read(d.port, addr, &byte, 1), -EFAULT);
	assert_int_equal(accesses_after, 1);
	dma_debug_set_handler(NULL, NULL);
	free(memory);
	lazy_close(&d, 0);
}

static void only_a_translating_space_can_be(void **state)
{
	struct device d = lazy_open(state, "");
	struct dma_dev *dev;

	assert_int_equal(dma_dev_open("direct:,lazy=on", &dev), -EINVAL);
	assert_int_equal(dma_dev_open_in("soft:lazy=off", d.space, &dev), -EINVAL);
	assert_int_equal(dma_dev_open_in("soft:lazy=on", d.space, &dev), 0);
	dma_dev_close(dev);
	lazy_close(&d, 0);
	/* There is nothing to make final. */
	assert_int_equal(dma_dev_open("direct:", &dev), 0);
	assert_int_equal(dma_space_flush(dma_dev_space(dev)), 0);
	dma_dev_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(one_invalidation_for_many),
		EACH_FORMAT(a_full_ring_flushes),
		EACH_FORMAT(the_device_keeps_what_it_has_cached),
		EACH_FORMAT(the_timer_takes_it),
		EACH_FORMAT(queued_addresses_are_nobodys),
		EACH_FORMAT(two_step_is_strict),
		EACH_FORMAT(a_gather_is_strict_at_its_end),
		EACH_FORMAT(copies_are_strict),
		EACH_FORMAT(untrusted_devices_are_strict),
		EACH_FORMAT(every_size_is_lazy),
		EACH_FORMAT(queued_mappings_are_not_counted),
		EACH_FORMAT(misuse_is_told),
		EACH_FORMAT(checks_report_what_is_refused),
		EACH_FORMAT(only_a_translating_space_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
