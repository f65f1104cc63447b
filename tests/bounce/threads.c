/* SPDX-License-Identifier: MIT */
/*
 * Threads map and unmap in one pool, of areas fewer than they are and of more; it grows
 * meanwhile, and one only looks up. No two buffers overlap, contents come back.
 */
#include <pthread.h>

#include "fixture.h"

#define THREADS 4
#define LIVE 24
#define OPERATIONS (20000 / SLOW)
#define LONGEST 20000

struct worker {
	pthread_t thread;
	struct dma_bounce *pool;
	uint64_t random;
	unsigned int number;
	uint64_t wrong;
	uint64_t refused;
};

struct live {
	phys_addr_t phys;
	size_t size;
	unsigned char *memory;
	unsigned char mark;
};

static uint64_t probe; /* an address that somebody has, or had */

static bool holds(const unsigned char *bytes, size_t size, unsigned char mark)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != mark)
			return false;
	return true;
}

static void begin(struct worker *self, struct live *live)
{
	uint64_t random = next_random(&self->random);
	struct bounce_request request;

	live->size = 1 + random % (random >> 40 & 7 ? 3000 : LONGEST);
	live->mark = (unsigned char)(random >> 32);
	memset(live->memory, live->mark, live->size);
	request = request_of(live->memory, live->size);
	request.min_align_mask = random >> 43 & 1 ? 4095 : 0;
	request.alloc_align_mask = random >> 44 & 1 ? 4095 : 0;
	live->phys = bounce_map(self->pool, &request);
	if (live->phys == BOUNCE_NONE) {
		self->refused++;
		return;
	}
	__atomic_store_n(&probe, live->phys, __ATOMIC_RELAXED);
	self->wrong += !holds(bytes_at(live->phys), live->size, live->mark);
	/* The device writes something else, which must be there in the end. */
	live->mark = (unsigned char)(live->mark ^ self->number);
	memset(bytes_at(live->phys), live->mark, live->size);
}

static void finish(struct worker *self, struct live *live)
{
	struct bounce_mapping *mapping = bounce_find(live->phys + live->size - 1);
	struct bounce_list list = {NULL};

	if (!mapping || bounce_start(mapping) != live->phys || bounce_size(mapping) != live->size ||
	    bounce_origin(mapping) != (uintptr_t)live->memory) {
		self->wrong++;
		return;
	}
	self->wrong += !holds(bytes_at(live->phys), live->size, live->mark);
	bounce_list_add(&list, mapping, true);
	bounce_list_finish(&list);
	self->wrong += !holds(live->memory, live->size, live->mark);
	live->phys = BOUNCE_NONE;
}

static void *work(void *arg)
{
	struct worker *self = arg;
	struct live live[LIVE] = {0};

	for (size_t i = 0; i < LIVE; i++)
		live[i].memory = malloc(LONGEST);
	for (unsigned int n = 0; n < OPERATIONS; n++) {
		struct live *one = &live[next_random(&self->random) % LIVE];

		if (one->phys == BOUNCE_NONE)
			begin(self, one);
		else
			finish(self, one);
	}
	for (size_t i = 0; i < LIVE; i++) {
		if (live[i].phys != BOUNCE_NONE)
			finish(self, &live[i]);
		free(live[i].memory);
	}
	return NULL;
}

static bool stop;

static void *look_up(void *arg)
{
	(void)arg;
	while (!flag_is_set(&stop)) {
		uint64_t phys = __atomic_load_n(&probe, __ATOMIC_RELAXED);

		for (uint64_t i = 0; i < 64; i++)
			bounce_find(align_down(phys, SEGMENT) + i * 2 * SLOT);
		sched_yield();
	}
	return NULL;
}

static void hammer(unsigned int areas, uint64_t size, uint64_t max_size, uint64_t *random)
{
	struct dma_bounce *pool = pool_open(size, max_size, areas);
	static struct worker worker[THREADS];
	pthread_t looker;

	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&looker, NULL, look_up, NULL), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){
			.pool = pool, .random = next_random(random), .number = i + 1};
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(worker[i].thread, NULL);
		assert_int_equal(worker[i].wrong, 0);
	}
	set_flag(&stop);
	pthread_join(looker, NULL);
	assert_int_equal(stats_of(pool).used, 0);
	assert_true(stats_of(pool).high_water <= stats_of(pool).size);
	if (max_size >= 4 * MIB)
		assert_int_equal(stats_of(pool).failed, 0);
	__atomic_store_n(&probe, 0, __ATOMIC_RELAXED);
	pool_close(pool);
}

static void many_threads_one_pool(void **state)
{
	uint64_t random = seed_of_run();

	(void)state;
	hammer(1, SEGMENT, 8 * MIB, &random);
	hammer(2, 2 * SEGMENT, 8 * MIB, &random);
	hammer(8, 8 * SEGMENT, 8 * MIB, &random);
	/* Too small: some are refused, and nothing else happens. */
	hammer(2, 2 * SEGMENT, 3 * SEGMENT, &random);
}

/* Pools come and go while another one's buffers are looked for. */
static void *come_and_go(void *arg)
{
	unsigned char *memory = arg;

	for (unsigned int i = 0; i < 400 / SLOW; i++) {
		struct dma_bounce_desc desc = {.size = SEGMENT, .max_size = (1 + i % 3) * SEGMENT};
		struct dma_bounce *pool;
		struct bounce_list list = {NULL};
		phys_addr_t phys;

		if (dma_bounce_create(&desc, &pool))
			continue;
		phys = lend(pool, memory, 100);
		bounce_list_add(&list, bounce_find(phys), true);
		bounce_list_finish(&list);
		if (dma_bounce_destroy(pool))
			abort();
	}
	set_flag(&stop);
	return NULL;
}

static void pools_come_and_go(void **state)
{
	struct dma_bounce *passing = pool_open(SEGMENT, SEGMENT, 1);
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	unsigned char *memory = memory_open(SEGMENT);
	phys_addr_t phys = lend(pool, memory, 5000);
	pthread_t thread;

	(void)state;
	/* So that others' entries are before and behind it. */
	pool_close(passing);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&thread, NULL, come_and_go, memory + 8192), 0);
	while (!flag_is_set(&stop)) {
		assert_int_equal(bounce_start(bounce_find(phys + 4999)), phys);
		assert_null(bounce_find((uintptr_t)memory));
	}
	pthread_join(thread, NULL);
	end(phys, true);
	pool_close(pool);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads_one_pool),
		cmocka_unit_test(pools_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
