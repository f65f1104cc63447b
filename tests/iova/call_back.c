/* SPDX-License-Identifier: MIT */
/* What a living, idle thread keeps in its cache is called back before anything fails. */
#include <pthread.h>

#include "space.h"

struct idler {
	struct iova_space *space;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int stage;
	uint64_t again;
};

static void reach(struct idler *idler, unsigned int stage)
{
	pthread_mutex_lock(&idler->lock);
	idler->stage = stage;
	pthread_cond_broadcast(&idler->changed);
	pthread_mutex_unlock(&idler->lock);
}

static void await(struct idler *idler, unsigned int stage)
{
	pthread_mutex_lock(&idler->lock);
	while (idler->stage < stage)
		pthread_cond_wait(&idler->changed, &idler->lock);
	pthread_mutex_unlock(&idler->lock);
}

/* Take the whole space, free it into the cache, wait; then use the cache again. */
static void *idle(void *arg)
{
	struct idler *idler = arg;
	struct iova_cache *cache = cache_open(idler->space);
	unsigned int i;

	for (i = 1; i < 64; i++)
		assert_int_equal(take(idler->space, cache, 1), 64 - i);
	for (i = 1; i < 64; i++)
		give(idler->space, cache, i, 1);
	reach(idler, 1);
	await(idler, 2);
	idler->again = take(idler->space, cache, 1);
	give(idler->space, cache, idler->again, 1);
	reach(idler, 3);
	await(idler, 4);
	cache_close(idler->space, cache);
	return NULL;
}

static void idle_thread_gives_way(void **state)
{
	struct idler idler = {
		.space = space_open(1, 63),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	struct iova_cache *cache = cache_open(idler.space);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, idle, &idler), 0);
	await(&idler, 1);
	assert_int_equal(take(idler.space, cache, 32), 32);
	assert_int_equal(take(idler.space, cache, 16), 16);
	assert_int_equal(take(idler.space, cache, 32), 0);
	reach(&idler, 2);
	await(&idler, 3);
	assert_in_range(idler.again, 1, 15);
	give(idler.space, cache, 16, 16);
	assert_int_equal(iova_reserve(idler.space, 8, 15), 0);
	assert_true(iova_take_at(idler.space, 4, 4));
	reach(&idler, 4);
	assert_int_equal(pthread_join(thread, NULL), 0);
	cache_close(idler.space, cache);
	space_close(idler.space);
}

/* A flushed cache holds nothing, and works on for whoever uses it next. */
static void flushed_cache_works_on(void **state)
{
	struct iova_space *space = space_open(1, 127);
	struct iova_cache *cache = cache_open(space);
	struct iova_cache *other = cache_open(space);
	unsigned int round;

	(void)state;
	for (round = 0; round < 5; round++) {
		assert_int_equal(take(space, cache, 64), 64);
		give(space, cache, 64, 64);
		assert_int_equal(cache->magazine[IOVA_HIGH][6].count, 1);
		iova_cache_flush(space, cache);
		iova_cache_flush(space, cache);
		assert_int_equal(cache->magazine[IOVA_HIGH][6].count, 0);
		assert_true(iova_take_at(space, 64, 64));
		iova_give_back_at(space, 64, 64);
		/* Its first operation after a flush may be either; the other cache finds it all. */
		assert_int_equal(take(space, round & 1 ? cache : other, 64), 64);
		give(space, cache, 64, 64);
		assert_int_equal(cache->asym.revoked, 0);
		assert_int_equal(take(space, other, 32), 32);
		give(space, other, 32, 32);
		iova_cache_flush(space, other);
	}
	cache_close(space, cache);
	cache_close(space, other);
	space_close(space);
}

static void *fill_cache_and_end(void *arg)
{
	struct iova_space *space = arg;
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn[40];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pfn); i++)
		pfn[i] = take(space, cache, 1);
	for (i = 0; i < ARRAY_SIZE(pfn); i++)
		give(space, cache, pfn[i], 1);
	cache_close(space, cache);
	return NULL;
}

/* A thread that ends leaves nothing behind, and its cache's memory may go. */
static void ended_threads_leave_nothing(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	pthread_t thread;
	unsigned int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		assert_int_equal(pthread_create(&thread, NULL, fill_cache_and_end, space), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_null(space->caches);
	}
	assert_int_equal(take(space, NULL, 1), LAST_48);
	assert_true(iova_take_at(space, LAST_48 - 63, 32));
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_thread_gives_way),
		cmocka_unit_test(flushed_cache_works_on),
		cmocka_unit_test(ended_threads_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
