/* SPDX-License-Identifier: MIT */
/* The same from several threads in one space, each with a reference of its own. */
#include <pthread.h>
#include <time.h>

#include "model.h"

#define THREADS 4
#define CALLS (8000 / SLOW)

static void *run(void *arg)
{
	struct model *m = arg;

	for (unsigned int i = 0; i < CALLS; i++) {
		model_call(m);
		check(m);
	}
	model_end(m);
	return NULL;
}

static void run_threads(void **state, bool failures)
{
	struct card card = card_open(state, NULL);
	static struct model models[THREADS];
	uint64_t seed = model_seed(), misuse = 0;
	pthread_t threads[THREADS];
	unsigned int failed = 0;

	/* Now and then the kernel has no memory, for whoever asks then. */
	if (failures)
		fake_fail_every(map_request(&card), 3, -ENOMEM);

	for (uint64_t i = 0; i < THREADS; i++) {
		memset(&models[i], 0, sizeof(models[i]));
		models[i].card = &card;
		models[i].may_fail = failures;
		models[i].random = seed + i * 0x9e3779b97f4a7c15U;
		models[i].memory = pages_new(MEMORY_PAGES);
		assert_int_equal(pthread_create(&threads[i], NULL, run, &models[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		failed += models[i].failed;
		misuse += models[i].misuse;
		pages_free(models[i].memory, MEMORY_PAGES);
	}
	assert_true(failures == (failed > 0));
	assert_int_equal(stats_of(&card).ioctls, fake_maps() + fake_unmaps());
	card_close(&card, misuse);
}

static void test_threads(void **state)
{
	run_threads(state, false);
}

static void test_failures(void **state)
{
	run_threads(state, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_threads),
		EACH_WAY(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
