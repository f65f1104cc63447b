/* SPDX-License-Identifier: MIT */
/* Many threads and one pool; objects that go from thread to thread; threads that end. */
#include <pthread.h>

#include "base/base.h"
#include "coherent.h"

#define THREADS 4
#define ROUNDS 3000
#define HELD 100

struct work {
	struct device *d;
	struct dma_pool *pool;
	unsigned int number;
};

/* cmocka's assertions are for its own thread only. */
#define MUST(condition)                                                             \
	do {                                                                        \
		if (!(condition)) {                                                 \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, \
				dma_last_error());                                  \
			abort();                                                    \
		}                                                                   \
	} while (0)

struct object {
	uint64_t owner;
	dma_addr_t addr;
	struct object *next;
};

/* Nobody else writes to what a thread holds. */
static void *churn(void *arg)
{
	const struct work *work = arg;
	struct object *held[HELD] = {NULL};
	unsigned int random = work->number + 1;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct object **at;
		dma_addr_t addr;
		uint64_t seen;

		random = random * 1103515245 + 12345;
		at = &held[random / 65536 % HELD];
		if (*at) {
			MUST((*at)->owner == (uintptr_t)at);
			MUST(!dma_bus_read(work->d->port, (*at)->addr, &seen, 8));
			MUST(seen == (uintptr_t)at);
			dma_pool_free(work->pool, *at, (*at)->addr);
			*at = NULL;
		} else {
			*at = dma_pool_alloc(work->pool, &addr);
			MUST(*at);
			(*at)->owner = (uintptr_t)at;
			(*at)->addr = addr;
		}
	}
	for (size_t i = 0; i < HELD; i++)
		if (held[i])
			dma_pool_free(work->pool, held[i], held[i]->addr);
	return NULL;
}

static void run(struct work *work, void *(*function)(void *))
{
	pthread_t thread[THREADS];
	struct work each[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		each[i] = *work;
		each[i].number = i;
		assert_int_equal(pthread_create(&thread[i], NULL, function, &each[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void churning(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		struct device d = device_open(every_device[i]);
		struct work work = {&d, dma_pool_create("churn", d.dev, 64, 0, 0), 0};

		run(&work, churn);
		run(&work, churn);
		dma_pool_destroy(work.pool);
		device_close(&d, 0);
	}
}

/* One half takes, the other gives back. */
static struct object *passed;
static pthread_mutex_t passed_lock = PTHREAD_MUTEX_INITIALIZER;

static void *pass(void *arg)
{
	const struct work *work = arg;

	for (unsigned int i = 0; i < ROUNDS;) {
		struct object *object;
		dma_addr_t addr;

		if (work->number % 2) {
			pthread_mutex_lock(&passed_lock);
			object = passed;
			if (object)
				passed = object->next;
			pthread_mutex_unlock(&passed_lock);
			if (!object)
				continue;
			dma_pool_free(work->pool, object, object->addr);
		} else {
			object = dma_pool_alloc(work->pool, &addr);
			MUST(object);
			object->addr = addr;
			pthread_mutex_lock(&passed_lock);
			object->next = passed;
			passed = object;
			pthread_mutex_unlock(&passed_lock);
		}
		i++;
	}
	return NULL;
}

static void passed_on(void **state)
{
	struct device d = soft_open(state, "");
	struct work work = {&d, dma_pool_create("passed on", d.dev, 256, 0, 0), 0};

	run(&work, pass);
	dma_pool_destroy(work.pool);
	device_close(&d, 0);
}

/* Threads that end leave nothing behind that others could not have. */
static void *take_and_give(void *arg)
{
	const struct work *work = arg;
	struct object *object[HELD];
	dma_addr_t addr[HELD];

	for (size_t i = 0; i < HELD; i++)
		MUST(object[i] = dma_pool_alloc(work->pool, &addr[i]));
	for (size_t i = 0; i < HELD; i++)
		dma_pool_free(work->pool, object[i], addr[i]);
	return NULL;
}

static void threads_end(void **state)
{
	struct device d = soft_open(state, "");
	struct work work = {&d, dma_pool_create("ends", d.dev, 64 * 1024 / HELD, 0, 0), 0};

	for (unsigned int i = 0; i < 20; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, take_and_give, &work), 0);
		pthread_join(thread, NULL);
	}
	/* HELD objects, and less than a page lost for each page. */
	assert_true(stats_of(&d).iova_live <= 2);
	dma_pool_destroy(work.pool);
	device_close(&d, 0);
}

/* Without memory for more, what other threads keep is called back. */
static pthread_barrier_t barrier;

static void *keep(void *arg)
{
	take_and_give(arg);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void called_back(void **state)
{
	struct device d = soft_open(state, "");
	struct work work = {&d, dma_pool_create("called back", d.dev, 1024, 0, 0), 0};
	dma_addr_t addr[64];
	void *object[64];
	pthread_t thread;
	size_t slabs, nr = 0;

	pthread_barrier_init(&barrier, NULL, 2);
	/* This thread has a magazine, so that nothing but a slab needs memory. */
	object[0] = dma_pool_alloc(work.pool, &addr[0]);
	dma_pool_free(work.pool, object[0], addr[0]);
	assert_int_equal(pthread_create(&thread, NULL, keep, &work), 0);
	pthread_barrier_wait(&barrier);
	slabs = stats_of(&d).iova_live;
	base_alloc_fail_from(1);
	while (nr < COUNT(object) && (object[nr] = dma_pool_alloc(work.pool, &addr[nr])))
		nr++;
	base_alloc_fail(0);
	assert_int_equal(nr, COUNT(object));
	assert_int_equal(stats_of(&d).iova_live, slabs);
	while (nr--)
		dma_pool_free(work.pool, object[nr], addr[nr]);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&barrier);
	dma_pool_destroy(work.pool);
	device_close(&d, 0);
}

/* Coherent memory itself, from many threads. */
static void *allocate(void *arg)
{
	const struct work *work = arg;

	for (unsigned int i = 0; i < 300; i++) {
		size_t size = PAGE * (1 + i % 7);
		dma_addr_t addr;
		uint64_t *cpu = dma_alloc_coherent(work->d->dev, size, &addr), old;

		MUST(cpu && !*cpu);
		MUST(!dma_bus_fetch_add(work->d->port, addr, 8, i + 1, &old));
		MUST(*cpu == i + 1);
		dma_free_coherent(work->d->dev, size, cpu, addr);
	}
	return NULL;
}

static void allocating(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		struct device d = device_open(every_device[i]);
		struct work work = {&d, NULL, 0};

		run(&work, allocate);
		device_close(&d, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(churning), EACH_FORMAT(passed_on),	  EACH_FORMAT(threads_end),
		EACH_FORMAT(called_back),   cmocka_unit_test(allocating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
