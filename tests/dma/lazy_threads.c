/* SPDX-License-Identifier: MIT */
/*
 * Lazy unmapping by several threads at once, which also end what others began, while
 * devices look at everything that was ever mapped: no address is handed out while a device
 * may still have its old translation. The model: an address that is mapped shows the bytes
 * of its own page, to whoever looks; and it belongs to one mapping at a time.
 */
#include <pthread.h>

#include "../race.h"
#include "../slow.h"
#include "lazy_setup.h"

#define THREADS 4
#define STEPS (40000 / SLOW)
#define PAGES 32 /* a thread has; each filled with a number of its own */
#define HELD 24

struct mapping {
	dma_addr_t addr;
	size_t pages;
};

static struct device d;
static uint8_t *memory; /* not written while the threads run */
static dma_addr_t seen[256]; /* what the looking device tries */
static struct mapping mailbox[64]; /* for another thread to unmap; @addr 0: empty */
static bool stop;
static unsigned int wrong;

static void complain(const char *what, dma_addr_t addr)
{
	fprintf(stderr, "%s at 0x%llx: %s\n", what, (unsigned long long)addr, dma_last_error());
	__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

/* Each granule of the space belongs to one mapping: a word for it, by its low bits. */
#define OWNERS (1U << 16)
static uint32_t owner[OWNERS];

static void take_address(dma_addr_t addr, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (__atomic_fetch_add(&owner[(addr / PAGE + i) % OWNERS], 1, __ATOMIC_RELAXED))
			complain("mapped twice", addr);
}

static void leave_address(dma_addr_t addr, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		__atomic_fetch_sub(&owner[(addr / PAGE + i) % OWNERS], 1, __ATOMIC_RELAXED);
}

static struct mapping make(unsigned int first, uint64_t *random)
{
	struct mapping m = {
		.addr = DMA_MAPPING_ERROR,
		.pages = next_random(random) % 8 ? 1 : 1 + next_random(random) % 4,
	};
	uint8_t *at = memory + (first + next_random(random) % (PAGES - 4)) * PAGE;
	uint8_t bytes[2];

	/* Others may hold the last addresses for a moment. */
	for (unsigned int tries = 0; m.addr == DMA_MAPPING_ERROR && tries < 10000; tries++) {
		m.addr = dma_map_single(d.dev, at, m.pages * PAGE, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(d.dev, m.addr))
			sched_yield();
	}
	if (m.addr == DMA_MAPPING_ERROR) {
		complain("not mapped", m.addr);
		return (struct mapping){0};
	}
	take_address(m.addr, m.pages);
	for (size_t i = 0; i < m.pages; i++) {
		if (dma_bus_read(d.port, m.addr + i * PAGE, bytes, 2))
			complain("refused", m.addr);
		else if (memcmp(bytes, at + i * PAGE, 2))
			complain("another page's bytes", m.addr);
	}
	__atomic_store_n(&seen[next_random(random) % COUNT(seen)], m.addr, __ATOMIC_RELAXED);
	return m;
}

static void end(const struct mapping *m)
{
	leave_address(m->addr, m->pages);
	dma_unmap_single(d.dev, m->addr, m->pages * PAGE, DMA_BIDIRECTIONAL);
}

static pthread_mutex_t mail = PTHREAD_MUTEX_INITIALIZER;

/* Leave a mapping to whoever comes next, and take what was left here. */
static struct mapping exchange(struct mapping m, uint64_t *random)
{
	struct mapping *box = &mailbox[next_random(random) % COUNT(mailbox)], there;

	pthread_mutex_lock(&mail);
	there = *box;
	*box = m;
	pthread_mutex_unlock(&mail);
	return there;
}

static void *map_and_unmap(void *arg)
{
	unsigned int first = (unsigned int)(uintptr_t)arg * PAGES;
	uint64_t random = 0x9e3779b97f4a7c15ULL + (uintptr_t)arg;
	struct mapping held[HELD] = {0};

	for (unsigned int step = 0; step < STEPS; step++) {
		struct mapping *m = &held[next_random(&random) % HELD];

		if (!m->addr) {
			*m = make(first, &random);
		} else if (next_random(&random) % 4) {
			end(m);
			m->addr = 0;
		} else {
			*m = exchange(*m, &random);
		}
		if (!(next_random(&random) % 997))
			dma_space_flush(d.space);
	}
	for (size_t i = 0; i < HELD; i++)
		if (held[i].addr)
			end(&held[i]);
	return NULL;
}

/* A device that keeps translations of all that it can find. */
static void *look(void *arg)
{
	uint64_t random = 0x2545f4914f6cdd1dULL;
	uint8_t byte;

	(void)arg;
	while (!flag_is_set(&stop)) {
		dma_addr_t addr = __atomic_load_n(&seen[next_random(&random) % COUNT(seen)],
						  __ATOMIC_RELAXED);

		if (addr)
			dma_bus_read(d.port, addr, &byte, 1);
		if (!(next_random(&random) % 64))
			sched_yield();
	}
	return NULL;
}

static void run_threads(void **state, const char *options, bool hold)
{
	pthread_t thread[THREADS], looker;

	d = lazy_open(state, options);
	dma_lazy_hold_timer(hold);
	memory = aligned_alloc(PAGE, THREADS * PAGES * PAGE);
	assert_non_null(memory);
	for (size_t i = 0; i < THREADS * PAGES; i++) {
		memset(memory + i * PAGE, (int)i, PAGE);
		memory[i * PAGE + 1] = (uint8_t)(i >> 8);
	}
	stop = false;
	wrong = 0;
	memset(owner, 0, sizeof(owner));
	assert_int_equal(pthread_create(&looker, NULL, look, NULL), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, map_and_unmap, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	set_flag(&stop);
	pthread_join(looker, NULL);
	for (size_t i = 0; i < COUNT(mailbox); i++) {
		if (mailbox[i].addr)
			end(&mailbox[i]);
		mailbox[i].addr = 0;
	}
	memset(seen, 0, sizeof(seen));
	assert_int_equal(wrong, 0);
	free(memory);
	lazy_close(&d, 0);
}

static void with_a_timer(void **state)
{
	run_threads(state, "", false);
}

static void without_a_timer(void **state)
{
	run_threads(state, "", true);
}

/* So few addresses that they run out all the time. */
static void with_few_addresses(void **state)
{
	run_threads(state, ",mask=21", true);
}

/* The device looks at what is gone, and that is all that there is to report. */
static void judge_report(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	if (report->kind != DMA_DEBUG_ACCESS_AFTER)
		complain(dma_debug_kind_name(report->kind), report->addr);
}

static void with_observers(void **state)
{
	dma_debug_set_handler(judge_report, NULL);
	run_threads(state, ",debug=on", false);
	dma_debug_set_handler(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(with_a_timer),
		EACH_FORMAT(without_a_timer),
		EACH_FORMAT(with_few_addresses),
		EACH_FORMAT(with_observers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
