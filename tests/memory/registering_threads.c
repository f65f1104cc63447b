/* SPDX-License-Identifier: MIT */
/* Threads register and forget memory while others look addresses up. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "memory/memory.h"

#define OWNERS 3
#define ROUNDS 150

static char area[OWNERS][3][4096] __attribute__((__aligned__(4096)));
static char always[4096] __attribute__((__aligned__(4096)));
static phys_addr_t always_base;
static bool stop;

/* What goes wrong on a thread is counted: cmocka's assertions belong to the main one. */
static unsigned int wrong;

static void check(bool right)
{
	if (!right)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void *own(void *arg)
{
	char(*pages)[4096] = arg;
	phys_addr_t base[3];

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < 3; i++) {
			struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = pages[i]};

			check(!dma_memory_register(&desc, &base[i]));
			check(virt_to_phys(pages[i] + i) == base[i] + i);
			check(!memory_bus_write(base[i], &round, sizeof(round)));
		}
		for (size_t i = 0; i < 3; i++) {
			const struct memory_record *record = memory_lookup(base[i] + 4095);

			check(record && record->base == base[i] && record->cpu == pages[i]);
			check(*(int *)pages[i] == round);
			check(!dma_memory_unregister(base[i]));
			check(virt_to_phys(pages[i]) == (uintptr_t)pages[i]);
		}
	}
	return NULL;
}

static void *look(void *arg)
{
	char local;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		check(virt_to_phys(&local) == (uintptr_t)&local);
		check(virt_to_phys(always + 11) == always_base + 11);
		check(memory_cpu_address(always_base + 11, 1) == always + 11);
		check(!memory_in_arena((uintptr_t)&local));
	}
	return NULL;
}

static void neighbours_do_not_disturb(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = always};
	pthread_t owners[OWNERS];
	pthread_t looker;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &always_base), 0);
	assert_int_equal(pthread_create(&looker, NULL, look, NULL), 0);
	for (size_t i = 0; i < OWNERS; i++)
		assert_int_equal(pthread_create(&owners[i], NULL, own, area[i]), 0);
	for (size_t i = 0; i < OWNERS; i++)
		pthread_join(owners[i], NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(looker, NULL);
	assert_int_equal(dma_memory_unregister(always_base), 0);
	assert_int_equal(wrong, 0);
}

static bool start;

/* The arena appears while others ask whether addresses lie in it. */
static void *look_early(void *arg)
{
	uint64_t addr = (uintptr_t)&arg;
	const struct memory_record *record;

	while (!__atomic_load_n(&start, __ATOMIC_RELAXED)) {
		check(!memory_in_arena(addr));
		check(!memory_check(addr, 8, &record) && !record);
		check(!memory_lookup(addr));
	}
	return NULL;
}

static void the_arena_appears_under_way(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 1};
	pthread_t threads[2];
	phys_addr_t base;

	(void)state;
	assert_int_equal(memory_arena.id, UINT64_MAX);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_early, NULL), 0);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	__atomic_store_n(&start, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_arena_appears_under_way),
		cmocka_unit_test(neighbours_do_not_disturb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
