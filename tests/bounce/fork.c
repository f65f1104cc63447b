/* SPDX-License-Identifier: MIT */
/*
 * A forked child has no part in its parent's pools: it finds nothing in them, lends
 * nothing from them, and makes its own. Whoever held a lock does not matter.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static unsigned char bytes[100];

/* Nothing of cmocka's in the child: it says which condition failed by its exit status. */
#define REQUIRE(condition)                         \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 200 + 1); \
	} while (0)

static void in_child(void (*child)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		child(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

struct parent {
	struct dma_bounce *own;
	struct dma_bounce *shared;
	phys_addr_t phys;
	phys_addr_t default_phys;
	struct bounce_list *list;
};

static void use_and_make(void *arg)
{
	struct parent *parent = arg;
	struct dma_bounce_stats stats;
	struct dma_bounce *pool;
	phys_addr_t phys;

	REQUIRE(!bounce_find(parent->phys));
	REQUIRE(!bounce_find(parent->default_phys));
	REQUIRE(lend(parent->own, bytes, 1) == BOUNCE_NONE);
	REQUIRE(strstr(dma_last_error(), "parent"));
	/* A list of the parent's comes to nothing. */
	memset(bytes, 9, sizeof(bytes));
	bounce_list_finish(parent->list);
	REQUIRE(!parent->list->first && bytes[0] == 9);
	/* In use or not, here it is only memory. */
	REQUIRE(!dma_bounce_destroy(parent->own));
	REQUIRE(dma_bounce_destroy(parent->own) == -EINVAL);

	dma_bounce_stats(NULL, &stats);
	REQUIRE(!stats.max_size);
	pool = bounce_default(UINT64_MAX);
	REQUIRE(pool);
	phys = lend(pool, bytes, sizeof(bytes));
	REQUIRE(phys != BOUNCE_NONE && bounce_start(bounce_find(phys)) == phys);
	REQUIRE(bounce_default(DMA_BIT_MASK(24)));
	end(phys, false);
	for (int i = 0; i < 50; i++) {
		REQUIRE(!dma_bounce_create(NULL, &pool));
		REQUIRE(lend(pool, bytes, 1) != BOUNCE_NONE);
	}
}

static void the_child_makes_its_own(void **state)
{
	struct bounce_list list = {NULL};
	struct parent parent = {.list = &list};
	phys_addr_t listed;

	(void)state;
	parent.own = pool_open(MIB, MIB, 2);
	parent.shared = bounce_default(UINT64_MAX);
	assert_non_null(bounce_default(DMA_BIT_MASK(24)));
	bounce_get(parent.own);
	memset(bytes, 5, sizeof(bytes));
	parent.phys = lend(parent.own, bytes, sizeof(bytes));
	parent.default_phys = lend(parent.shared, bytes, sizeof(bytes));
	listed = lend(parent.shared, bytes, sizeof(bytes));
	bounce_list_add(&list, bounce_find(listed), true);
	in_child(use_and_make, &parent);
	/* Here all is as it was. */
	assert_ptr_equal(bounce_default(UINT64_MAX), parent.shared);
	assert_int_equal(*bytes_at(parent.phys), 5);
	assert_int_equal(dma_bounce_destroy(parent.own), -EBUSY);
	bounce_put(parent.own);
	end(parent.phys, true);
	end(parent.default_phys, true);
	bounce_list_finish(&list);
	assert_int_equal(bytes[0], 5);
	pool_close(parent.own);
}

static void make_and_fork(void *arg)
{
	unsigned int *depth = arg;

	REQUIRE(bounce_default(UINT64_MAX));
	REQUIRE(bounce_default(DMA_BIT_MASK(32)));
	REQUIRE(bounce_default(DMA_BIT_MASK(30)));
	REQUIRE(bounce_default(DMA_BIT_MASK(24)));
	if ((*depth)--)
		in_child(make_and_fork, depth);
}

/* Children of children: what one generation leaves does not fill the table. */
static void many_generations(void **state)
{
	unsigned int depth = 20;

	(void)state;
	in_child(make_and_fork, &depth);
}

static bool stop;

static void *keep_locks_busy(void *arg)
{
	struct dma_bounce_desc desc = {.size = SEGMENT, .max_size = SEGMENT};
	unsigned char byte = 0;

	while (!flag_is_set(&stop)) {
		struct dma_bounce *pool;
		phys_addr_t phys = lend(arg, &byte, 1);
		struct bounce_list list = {NULL};

		bounce_list_add(&list, bounce_find(phys), true);
		bounce_list_finish(&list);
		if (dma_bounce_create(&desc, &pool) || dma_bounce_destroy(pool))
			abort();
	}
	return NULL;
}

static void use_after_busy(void *arg)
{
	struct dma_bounce_desc desc = {.size = SEGMENT, .max_size = SEGMENT};
	struct dma_bounce *pool;

	alarm(20);
	REQUIRE(!dma_bounce_create(&desc, &pool));
	REQUIRE(lend(pool, bytes, 1) != BOUNCE_NONE);
	REQUIRE(bounce_default(UINT64_MAX));
	REQUIRE(!dma_bounce_destroy(arg));
}

static void while_others_hold_locks(void **state)
{
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, keep_locks_busy, pool), 0);
	for (int i = 0; i < 100 / SLOW; i++)
		in_child(use_after_busy, pool);
	set_flag(&stop);
	pthread_join(thread, NULL);
	pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_child_makes_its_own),
		cmocka_unit_test(many_generations),
		cmocka_unit_test(while_others_hold_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
