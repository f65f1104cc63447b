/* SPDX-License-Identifier: MIT */
/* The stack of the thread that registers memory first may lie anywhere. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "memory/memory.h"

#define STACK (1UL << 20)
#define LOW (1UL << 30)

static void *enter(void *arg)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = 4096, .fd = -1, .bus_addr = 4096};

	return dma_memory_register(&desc, arg) ? NULL : arg;
}

static void the_first_registration(void **state)
{
	void *stack = mmap((void *)LOW, STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;
	phys_addr_t base;
	void *entered;

	(void)state;
	if (stack != (void *)LOW)
		skip();
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
	assert_int_equal(pthread_create(&thread, &attr, enter, &base), 0);
	assert_int_equal(pthread_join(thread, &entered), 0);
	assert_non_null(entered);
	assert_true(memory_in_arena(base));
	/* Nothing in the arena is taken for ordinary memory by its bits. */
	assert_int_not_equal((base ^ memory_plain.match) & memory_plain.mask, 0);
	assert_int_equal(dma_memory_unregister(base), 0);
	pthread_attr_destroy(&attr);
	munmap(stack, STACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_registration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
