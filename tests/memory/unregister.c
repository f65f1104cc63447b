/* SPDX-License-Identifier: MIT */
/* Memory is forgotten only if no device can reach it, and only once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <twostep/error.h>

#include "memory/memory.h"

static char ordinary[2 * 4096] __attribute__((__aligned__(4096)));

static phys_addr_t asked_base;
static phys_addr_t asked_last;
static unsigned int asked;
static unsigned int busy_until; /* the question that is answered with "no" first */
static bool found[8]; /* whether the record could be looked up at each question */

static bool busy(phys_addr_t base, phys_addr_t last)
{
	asked_base = base;
	asked_last = last;
	found[asked] = memory_lookup(base) != NULL;
	return ++asked <= busy_until;
}

static bool busy_at_second(phys_addr_t base, phys_addr_t last)
{
	busy(base, last);
	return asked == 2;
}

static phys_addr_t enter(void)
{
	struct dma_memory_desc desc = {.size = 8192, .fd = -1, .cpu = ordinary};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	asked = 0;
	busy_until = 0;
	return base;
}

static void still_there(phys_addr_t base)
{
	assert_int_equal(memory_lookup(base)->base, base);
	assert_int_equal(virt_to_phys(ordinary), base);
	assert_int_equal(dma_memory_query(base, NULL, NULL), 0);
}

static void not_registered(void **state)
{
	phys_addr_t base = enter();

	(void)state;
	dma_clear_error();
	assert_int_equal(dma_memory_unregister(0), -ENOENT);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_memory_unregister((uintptr_t)ordinary), -ENOENT);
	assert_int_equal(dma_memory_unregister(base + 4096), -ENOENT);
	assert_int_equal(dma_memory_unregister(base + 1), -ENOENT);
	assert_int_equal(dma_memory_unregister(base + MEMORY_CHUNK), -ENOENT);
	still_there(base);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(dma_memory_unregister(base), -ENOENT);
	assert_int_equal(dma_memory_query(base, NULL, NULL), -EFAULT);
	assert_int_equal(virt_to_phys(ordinary), (uintptr_t)ordinary);
}

static void reachable_memory_stays(void **state)
{
	phys_addr_t base = enter();

	(void)state;
	memory_set_busy_hook(busy);
	busy_until = 1;
	dma_clear_error();
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(asked, 1);
	assert_int_equal(asked_base, base);
	assert_int_equal(asked_last, base + 8191);
	assert_true(found[0]);
	still_there(base);
	asked = 0;
	busy_until = 0;
	assert_int_equal(dma_memory_unregister(base), 0);
	memory_set_busy_hook(NULL);
}

/* The last question is asked when nobody can find the memory any more. */
static void the_last_answer_covers_everyone(void **state)
{
	phys_addr_t base = enter();

	(void)state;
	memory_set_busy_hook(busy);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(asked, 2);
	assert_true(found[0]);
	assert_false(found[1]);
	memory_set_busy_hook(NULL);
}

static void reachable_at_the_last_moment(void **state)
{
	phys_addr_t base = enter();

	(void)state;
	memory_set_busy_hook(busy_at_second);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_int_equal(asked, 2);
	still_there(base);
	memory_set_busy_hook(NULL);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void the_descriptor_and_mapping_go(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct dma_memory_desc desc = {.size = 4096, .fd = fd};
	struct dma_memory_desc known;
	phys_addr_t base;
	void *map;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	map = memory_bus_pointer(base, 1);
	assert_non_null(map);
	assert_int_equal(msync(map, 4096, MS_ASYNC), 0);
	assert_int_equal(dma_memory_query(base, &known, NULL), 0);
	assert_int_not_equal(known.fd, fd);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(close(known.fd), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(msync(map, 4096, MS_ASYNC), -1);
	assert_int_equal(errno, ENOMEM);
	close(fd);
}

static void allocates_nothing(void **state)
{
	phys_addr_t base = enter();

	(void)state;
	base_alloc_fail(1);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(base_alloc_fail(0), 0);
}

static phys_addr_t twice_base;
static int other_answer;

static void *unregister_meanwhile(void *arg)
{
	(void)arg;
	other_answer = dma_memory_unregister(twice_base);
	return NULL;
}

/* While one thread asks whether the memory is busy, another tries to forget it too. */
static bool with_company(phys_addr_t base, phys_addr_t last)
{
	pthread_t thread;

	busy(base, last);
	if (asked > 1)
		return false;
	assert_int_equal(pthread_create(&thread, NULL, unregister_meanwhile, NULL), 0);
	pthread_join(thread, NULL);
	return false;
}

static void two_threads_at_once(void **state)
{
	(void)state;
	twice_base = enter();
	memory_set_busy_hook(with_company);
	assert_int_equal(dma_memory_unregister(twice_base), 0);
	assert_int_equal(other_answer, -EBUSY);
	memory_set_busy_hook(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_registered),
		cmocka_unit_test(reachable_memory_stays),
		cmocka_unit_test(the_last_answer_covers_everyone),
		cmocka_unit_test(reachable_at_the_last_moment),
		cmocka_unit_test(the_descriptor_and_mapping_go),
		cmocka_unit_test(allocates_nothing),
		cmocka_unit_test(two_threads_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
