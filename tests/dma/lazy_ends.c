/* SPDX-License-Identifier: MIT */
/*
 * Lazy unmapping: who flushes besides the ring and the timer: want of addresses or tables,
 * threads that end, memory that is unregistered, closing; and what fork() leaves.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "../child.h"
#include "../race.h"
#include "lazy_setup.h"

/* A bus of 16 bits: the addresses of 15 pages. */
#define FEW 15

static void map_all(const struct device *d, uint8_t *memory, dma_addr_t *addr)
{
	for (size_t i = 0; i < FEW; i++)
		addr[i] = map(d, memory, PAGE);
}

static void unmap_all(const struct device *d, const dma_addr_t *addr)
{
	for (size_t i = 0; i < FEW; i++)
		unmap(d, addr[i], PAGE);
}

static void addresses_run_out(void **state)
{
	struct device d = lazy_open(state, ",mask=16");
	uint8_t *memory = pages_new(8, 1);
	struct dma_iova_state iova;
	dma_addr_t addr[FEW];
	uint64_t before;

	map_all(&d, memory, addr);
	before = invalidations(&d);
	unmap_all(&d, addr);
	dma_clear_error();
	map_all(&d, memory, addr);
	assert_string_equal(dma_last_error(), "");
	assert_int_equal(invalidations(&d), before + 1);
	/* Nothing is queued now, so nothing can be called back. */
	assert_int_equal(dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(invalidations(&d), before + 1);
	unmap_all(&d, addr);

	iova = reserve(&d, 0, 8 * PAGE);
	assert_int_equal(invalidations(&d), before + 2);
	link_at(&d, &iova, 0, memory, 8 * PAGE);
	destroy(&d, &iova, 8 * PAGE);
	free(memory);
	lazy_close(&d, 0);
}

struct other_thread {
	const struct device *d;
	const dma_addr_t *addr;
	bool unmapped;
	bool may_end;
};

static void *unmap_and_wait(void *arg)
{
	struct other_thread *other = arg;

	unmap_all(other->d, other->addr);
	set_flag(&other->unmapped);
	wait_for_flag(&other->may_end);
	return NULL;
}

/* What another thread has queued is called back; it goes on living. */
static void another_thread_has_them(void **state)
{
	struct device d = lazy_open(state, ",mask=16");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr[FEW];
	struct other_thread other = {.d = &d, .addr = addr};
	pthread_t thread;

	map_all(&d, memory, addr);
	assert_int_equal(pthread_create(&thread, NULL, unmap_and_wait, &other), 0);
	wait_for_flag(&other.unmapped);
	map_all(&d, memory, addr);
	unmap_all(&d, addr);
	set_flag(&other.may_end);
	pthread_join(thread, NULL);
	free(memory);
	lazy_close(&d, 0);
}

static void a_window_is_wanted(void **state)
{
	struct device d = lazy_open(state, ",mask=16");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr[FEW];
	struct dma_dev *dev;

	map_all(&d, memory, addr);
	assert_int_equal(dma_space_reserve(d.space, addr[0], addr[0]), -EADDRINUSE);
	unmap_all(&d, addr);
	assert_int_equal(dma_space_reserve(d.space, addr[0], addr[0]), 0);
	addr[0] = map(&d, memory, PAGE);
	unmap(&d, addr[0], PAGE);
	assert_int_equal(dma_dev_open_in("soft:,reserved=0x1000-0xffff", d.space, &dev), 0);
	dma_dev_close(dev);
	free(memory);
	lazy_close(&d, 0);
}

/* Tables above the last level take 3 of 6: three mappings that begin off a leaf. */
static void tables_run_out(void **state)
{
	struct device d = lazy_open(state, ",tables=6");
	struct expanse e = expanse_new(4 * MIB, 2 * MIB);
	dma_addr_t addr[3];

	for (unsigned int round = 0; round < 4; round++) {
		for (size_t i = 0; i < COUNT(addr); i++)
			addr[i] = map(&d, e.at + PAGE, 2 * MIB);
		assert_int_equal(dma_map_single(d.dev, e.at + PAGE, 2 * MIB, DMA_BIDIRECTIONAL),
				 DMA_MAPPING_ERROR);
		for (size_t i = 0; i < COUNT(addr); i++)
			unmap(&d, addr[i], 2 * MIB);
	}
	expanse_free(&e);
	lazy_close(&d, 0);
}

static void *map_and_unmap(void *arg)
{
	const struct device *d = arg;
	static uint8_t memory[4096] __attribute__((aligned(4096)));
	dma_addr_t addr = dma_map_single(d->dev, memory, PAGE, DMA_BIDIRECTIONAL);
	uint8_t byte;

	if (addr == DMA_MAPPING_ERROR || dma_bus_read(d->port, addr, &byte, 1))
		return NULL;
	dma_unmap_single(d->dev, addr, PAGE, DMA_BIDIRECTIONAL);
	return (void *)(uintptr_t)addr;
}

static void a_thread_ends(void **state)
{
	struct device d = lazy_open(state, "");
	pthread_t thread;
	void *addr;

	for (unsigned int round = 0; round < 3; round++) {
		assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &d), 0);
		pthread_join(thread, &addr);
		assert_non_null(addr);
		assert_refused(&d, (uintptr_t)addr);
	}
	lazy_close(&d, 0);
}

static void memory_is_unregistered(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(1, 0x40);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;
	dma_addr_t addr;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	addr = dma_map_phys(d.dev, base, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_not_equal(addr, DMA_MAPPING_ERROR);
	assert_reads(&d, addr, 0x40);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_reads(&d, addr, 0x40);
	dma_unmap_phys(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_reads(&d, addr, 0x40);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_refused(&d, addr);
	free(memory);
	lazy_close(&d, 0);
}

/* A device goes, with something queued; then the last, with something queued. */
static void devices_close(void **state)
{
	struct device d = lazy_open(state, ""), second = {0};
	uint8_t *memory = pages_new(1, 0x40);
	dma_addr_t addr;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &second.dev), 0);
	second.port = dma_dev_port(second.dev);
	addr = map(&second, memory, PAGE);
	assert_reads(&second, addr, 0x40);
	assert_reads(&d, addr, 0x40);
	unmap(&second, addr, PAGE);
	dma_dev_close(second.dev);
	assert_reads(&d, addr, 0x40);
	flush(&d);
	assert_refused(&d, addr);
	addr = map(&d, memory, PAGE);
	assert_reads(&d, addr, 0x40);
	unmap(&d, addr, PAGE);
	free(memory);
	lazy_close(&d, 0);
}

static void one_timer_for_all_spaces(void **state)
{
	struct device a = soft_open(state, ",lazy=on"), b = soft_open(state, ",lazy=on");
	uint8_t *memory = pages_new(1, 0x40);
	dma_addr_t addr;

	device_close(&a, 0);
	assert_true(dma_lazy_timer_runs());
	addr = map(&b, memory, PAGE);
	assert_reads(&b, addr, 0x40);
	unmap(&b, addr, PAGE);
	assert_true(is_taken_in_time(&b, addr));
	free(memory);
	device_close(&b, 0);
	assert_false(dma_lazy_timer_runs());
}

/* Each allocation fails in turn: opened or not, mapped or not, but never half of it. */
static void memory_is_short(void **state)
{
	uint8_t *memory = pages_new(1, 0x40);
	unsigned int refused = 0, unmapped = 0, lazy = 0;
	uint64_t asked;
	dma_addr_t addr;
	struct dma_dev *dev;
	char uri[64];

	snprintf(uri, sizeof(uri), "soft:pgtable=%s,lazy=on", (const char *)*state);
	dma_lazy_hold_timer(true);
	for (uint64_t nth = 1; nth == 1 || asked >= nth - 1; nth++) {
		struct device d = {.leaks = dma_leak_count()};
		int err;

		base_alloc_fail(nth);
		err = dma_dev_open(uri, &dev);
		if (err) {
			asked = base_alloc_fail(0);
			assert_int_equal(err, -ENOMEM);
			assert_string_not_equal(dma_last_error(), "");
			assert_false(dma_lazy_timer_runs());
			refused++;
			continue;
		}
		d.dev = dev;
		d.space = dma_dev_space(dev);
		d.port = dma_dev_port(dev);
		addr = dma_map_single(dev, memory, PAGE, DMA_BIDIRECTIONAL);
		if (addr == DMA_MAPPING_ERROR) {
			unmapped++;
		} else {
			assert_reads(&d, addr, 0x40);
			unmap(&d, addr, PAGE);
			lazy += reaches(&d, addr);
			flush(&d);
			assert_refused(&d, addr);
		}
		asked = base_alloc_fail(0);
		device_close(&d, 0);
	}
	assert_true(refused && unmapped && lazy);
	dma_lazy_hold_timer(false);
	free(memory);
}

struct poor_thread {
	const struct device *d;
	uint8_t *memory;
	uint64_t from;
	const char *wrong;
};

/* Memory comes back later; then what is mapped the long way brings a ring with it. */
static void *map_without_a_ring(void *arg)
{
	struct poor_thread *poor = arg;
	const struct device *d = poor->d;
	dma_addr_t addr;
	uint8_t byte;

	for (unsigned int i = 0; i < 2; i++) {
		size_t size = (i ? 2 : 1) * PAGE;

		if (!i)
			base_alloc_fail_from(poor->from);
		addr = dma_map_single(d->dev, poor->memory, size, DMA_BIDIRECTIONAL);
		if (addr == DMA_MAPPING_ERROR)
			poor->wrong = "not mapped";
		else if (dma_bus_read(d->port, addr, &byte, 1))
			poor->wrong = "refused while mapped";
		dma_unmap_single(d->dev, addr, size, DMA_BIDIRECTIONAL);
		base_alloc_fail(0);
		/* Without a slot, and then a ring, there is nowhere to queue. */
		if (reaches(d, addr) != (i == 1))
			poor->wrong = i ? "not lazy with a ring" : "not strict without a ring";
	}
	return NULL;
}

static void without_a_ring_all_is_strict(void **state)
{
	uint8_t *memory = pages_new(4, 0x40);
	pthread_t thread;

	/* The slot, or only its ring. */
	for (uint64_t from = 1; from <= 2; from++) {
		struct device d = lazy_open(state, "");
		struct poor_thread poor = {.d = &d, .memory = memory, .from = from};

		/* Tables and records are there. */
		unmap(&d, map(&d, memory, 4 * PAGE), 4 * PAGE);
		unmap(&d, map(&d, memory, PAGE), PAGE);
		flush(&d);
		assert_int_equal(pthread_create(&thread, NULL, map_without_a_ring, &poor), 0);
		pthread_join(thread, NULL);
		if (poor.wrong)
			fail_msg("allocations fail from number %u: %s", (unsigned int)from,
				 poor.wrong);
		lazy_close(&d, 0);
	}
	free(memory);
}

/* A space of its own has a timer of its own. */
static void own_space(uint8_t *memory)
{
	struct device d;
	dma_addr_t addr;
	uint8_t byte;

#if defined(BASE_TSAN)
	/* ThreadSanitizer lets no child of threads start threads. */
	return;
#endif
	MUST(!dma_dev_open("soft:lazy=on", &d.dev));
	MUST(dma_lazy_timer_runs());
	d.port = dma_dev_port(d.dev);
	addr = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
	MUST(addr != DMA_MAPPING_ERROR);
	MUST(!dma_bus_read(d.port, addr, &byte, 1));
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	MUST(is_taken_in_time(&d, addr));
	dma_dev_close(d.dev);
}

static void in_child(const struct device *inherited, dma_addr_t queued, uint8_t *memory)
{
	MUST(!dma_lazy_timer_runs());
	MUST(dma_space_flush(inherited->space) == -EPERM);
	dma_unmap_single(inherited->dev, queued, PAGE, DMA_BIDIRECTIONAL);
	dma_dev_close(inherited->dev);
	own_space(memory);
	MUST(!dma_lazy_timer_runs());
	MUST(!dma_leak_count());
	_exit(0);
}

/* While the timer waits, and while it is held. */
static void fork_leaves_the_child_nothing(void **state)
{
	for (unsigned int round = 0; round < 4; round++) {
		struct device d = lazy_open(state, "");
		uint8_t *memory = pages_new(1, 0x40);
		dma_addr_t addr = map(&d, memory, PAGE);
		int status = -1;
		pid_t child;

		assert_reads(&d, addr, 0x40);
		unmap(&d, addr, PAGE);
		child = fork();
		assert_true(child >= 0);
		if (!child)
			in_child(&d, addr, memory);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_true(reaches(&d, addr));
		dma_lazy_hold_timer(false);
		assert_true(is_taken_in_time(&d, addr));
		free(memory);
		lazy_close(&d, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(addresses_run_out),
		EACH_FORMAT(another_thread_has_them),
		EACH_FORMAT(a_window_is_wanted),
		EACH_FORMAT(tables_run_out),
		EACH_FORMAT(a_thread_ends),
		EACH_FORMAT(memory_is_unregistered),
		EACH_FORMAT(devices_close),
		EACH_FORMAT(one_timer_for_all_spaces),
		EACH_FORMAT(memory_is_short),
		EACH_FORMAT(without_a_ring_all_is_strict),
		EACH_FORMAT(fork_leaves_the_child_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
