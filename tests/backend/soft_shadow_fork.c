/* SPDX-License-Identifier: MIT */
/* A forked child frees a shadow that other threads of its parent were using, and waits for none. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soft_shadow.h"

#define CHILDREN (40 / SLOW)
/* ThreadSanitizer's own locks are not given back in a child: there, the parent has one thread. */
#ifdef BASE_TSAN
#define SYNCING false
#else
#define SYNCING true
#endif
/* Longer than any child needs that does not wait for a thread that it does not have. */
#define CHILD_SECONDS 60

struct syncing {
	struct backend *be;
	uint8_t *memory;
	bool stop;
};

static void *sync_without_pause(void *arg)
{
	struct syncing *syncing = arg;
	phys_addr_t phys = phys_of(syncing->memory);

	while (!__atomic_load_n(&syncing->stop, __ATOMIC_ACQUIRE)) {
		syncing->be->ops->cache_bypass(syncing->be, phys, 64 * PAGE);
		prepare(syncing->be, phys, 64 * PAGE);
		clean(syncing->be, syncing->memory, 64 * PAGE);
		cache_invalidate(syncing->be, syncing->memory, 64 * PAGE);
	}
	return NULL;
}

static void child_closes(void **state)
{
	struct syncing syncing = {0};
	struct dma_port *port;
	pthread_t thread = 0;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, 64 * PAGE);
	syncing.be = fx.be;
	syncing.memory = fx.memory;
	if (SYNCING)
		assert_int_equal(pthread_create(&thread, NULL, sync_without_pause, &syncing), 0);
	for (unsigned int i = 0; i < CHILDREN; i++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (!child) {
			alarm(CHILD_SECONDS);
			fx.be->ops->close(fx.be, true);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	__atomic_store_n(&syncing.stop, true, __ATOMIC_RELEASE);
	if (SYNCING)
		pthread_join(thread, NULL);
	shadow_fixture_close(&fx, port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
