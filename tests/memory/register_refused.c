/* SPDX-License-Identifier: MIT */
/* A registration that is refused leaves everything as it was. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <twostep/error.h>

#include "memory/memory.h"

#define UNTOUCHED 0x1234567890abcdefULL

static char ordinary[3 * 4096] __attribute__((__aligned__(4096)));

static unsigned int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int count = 0;
	int c;

	assert_non_null(maps);
	while ((c = fgetc(maps)) != EOF)
		count += c == '\n';
	fclose(maps);
	return count;
}

static int memfd(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Where the next registration of a page would go. */
static phys_addr_t next_place(void)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 4096};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(dma_memory_unregister(base), 0);
	return base;
}

static void refused(const struct dma_memory_desc *desc, int err)
{
	phys_addr_t place = next_place();
	phys_addr_t base = UNTOUCHED;
	unsigned int fds = open_descriptors();
	unsigned int maps = mappings();

	dma_clear_error();
	assert_int_equal(dma_memory_register(desc, &base), err);
	assert_int_equal(base, UNTOUCHED);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(open_descriptors(), fds);
	assert_int_equal(mappings(), maps);
	assert_int_equal(next_place(), place);
	assert_int_equal(virt_to_phys(ordinary), (uintptr_t)ordinary);
}

static void without_arguments(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = ordinary};
	phys_addr_t base = UNTOUCHED;

	(void)state;
	assert_int_equal(dma_memory_register(NULL, &base), -EINVAL);
	assert_int_equal(base, UNTOUCHED);
	assert_int_equal(dma_memory_register(&desc, NULL), -EINVAL);
	assert_int_equal(virt_to_phys(ordinary), (uintptr_t)ordinary);
}

static void descriptions_that_contradict_themselves(void **state)
{
	static const struct dma_memory_ops no_ops;
	const struct dma_memory_desc good = {.size = 4096, .fd = -1, .cpu = ordinary};
	struct dma_memory_desc desc = good;
	int fd = memfd(8192);

	(void)state;
	desc.type = (enum dma_memory_type)4;
	refused(&desc, -EINVAL);
	desc = good;
	desc.size = 0;
	refused(&desc, -EINVAL);
	desc.size = 4095;
	refused(&desc, -EINVAL);
	desc = good;
	desc.fd = -2;
	refused(&desc, -EINVAL);
	desc = good;
	desc.ops = &no_ops;
	refused(&desc, -EINVAL);
	desc = good;
	desc.cpu = (void *)(UINTPTR_MAX - 4095);
	refused(&desc, -EINVAL);
	desc = good;
	desc.fd = fd;
	desc.fd_offset = 1;
	refused(&desc, -EINVAL);
	desc.fd_offset = 1ULL << 63;
	refused(&desc, -EINVAL);
	desc.fd_offset = INT64_MAX - 4095;
	desc.size = 8192;
	refused(&desc, -EINVAL);
	close(fd);
}

static void a_file_that_is_too_short(void **state)
{
	struct dma_memory_desc desc = {.size = 8192, .fd = memfd(8192)};
	int fd = desc.fd;
	phys_addr_t base;

	(void)state;
	desc.fd_offset = 4096;
	refused(&desc, -EINVAL);
	desc.cpu = ordinary;
	refused(&desc, -EINVAL);
	desc.cpu = NULL;
	desc.fd_offset = 0;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(dma_memory_unregister(base), 0);
	close(fd);
}

static void descriptors_that_cannot_be_used(void **state)
{
	struct dma_memory_desc desc = {.size = 4096};
	int fd = memfd(4096);
	int pipes[2];

	(void)state;
	desc.fd = dup(fd);
	close(desc.fd);
	refused(&desc, -EBADF);
	assert_int_equal(pipe(pipes), 0);
	desc.fd = pipes[0];
	refused(&desc, -ENODEV);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void too_many_descriptors(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = memfd(4096)};
	phys_addr_t base = UNTOUCHED;
	struct rlimit limit;
	struct rlimit none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)desc.fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (dup(desc.fd) >= 0)
		;
	assert_int_equal(dma_memory_register(&desc, &base), -EMFILE);
	assert_int_equal(base, UNTOUCHED);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(desc.fd);
}

static void cpu_mappings_that_overlap(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = ordinary + 4096};
	phys_addr_t first;
	phys_addr_t second;
	phys_addr_t place;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &first), 0);
	place = next_place();
	refused(&desc, -EEXIST);
	desc.cpu = ordinary + 1;
	refused(&desc, -EEXIST);
	desc.cpu = ordinary + 8191;
	refused(&desc, -EEXIST);
	desc.cpu = ordinary;
	desc.size = 3 * 4096;
	refused(&desc, -EEXIST);
	desc.fd = memfd(3 * 4096);
	refused(&desc, -EEXIST);
	close(desc.fd);
	desc.fd = -1;
	assert_int_equal(virt_to_phys(ordinary + 4096), first);
	desc.size = 4096;
	assert_int_equal(dma_memory_register(&desc, &second), 0);
	assert_int_equal(second, place);
	assert_int_equal(dma_memory_unregister(second), 0);
	assert_int_equal(dma_memory_unregister(first), 0);
}

static void a_cpu_mapping_inside_the_arena(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 1};
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	desc.cpu = (void *)base;
	refused(&desc, -EINVAL);
	desc.cpu = (void *)(base + MEMORY_CHUNK);
	refused(&desc, -EINVAL);
	desc.cpu = (void *)((memory_arena.id << memory_arena.shift) - 2048);
	refused(&desc, -EINVAL);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void a_full_arena(void **state)
{
	struct dma_memory_desc all = {.fd = -1, .bus_addr = 4096};
	struct dma_memory_desc desc = {.size = 4096, .fd = memfd(4096)};
	phys_addr_t base = UNTOUCHED;
	unsigned int fds, maps;
	phys_addr_t full;

	(void)state;
	next_place();
	all.size = 1ULL << memory_arena.shift;
	assert_int_equal(dma_memory_register(&all, &full), 0);
	fds = open_descriptors();
	maps = mappings();
	assert_int_equal(dma_memory_register(&desc, &base), -ENOSPC);
	assert_int_equal(base, UNTOUCHED);
	assert_int_equal(open_descriptors(), fds);
	assert_int_equal(mappings(), maps);
	assert_int_equal(dma_memory_unregister(full), 0);
	close(desc.fd);
}

/* Fails each allocation in turn; the first attempt that is not failed succeeds. */
static void without_memory(struct dma_memory_desc *desc)
{
	unsigned int fds = open_descriptors();
	phys_addr_t place = next_place();
	phys_addr_t base = UNTOUCHED;
	unsigned int maps = mappings();
	unsigned int failed = 0;
	int err;

	for (uint64_t nth = 1;; nth++) {
		base_alloc_fail(nth);
		err = dma_memory_register(desc, &base);
		base_alloc_fail(0);
		if (!err)
			break;
		failed++;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(base, UNTOUCHED);
		assert_int_equal(open_descriptors(), fds);
		assert_int_equal(mappings(), maps);
		if (desc->cpu)
			assert_int_equal(virt_to_phys(desc->cpu), (uintptr_t)desc->cpu);
	}
	assert_true(failed >= 1);
	assert_int_equal(base, place);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(open_descriptors(), fds);
}

static void any_allocation_that_fails(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1};
	char *area = aligned_alloc(4096, 9 * 4096);
	phys_addr_t bases[8];
	int fd = memfd(4096);

	(void)state;
	assert_non_null(area);
	desc.fd = fd;
	without_memory(&desc);
	/* Eight mappings fill the table that the first one made; the ninth needs a larger one. */
	desc.fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		desc.cpu = area + i * 4096;
		assert_int_equal(dma_memory_register(&desc, &bases[i]), 0);
	}
	desc.cpu = area + 8 * 4096;
	without_memory(&desc);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		assert_int_equal(virt_to_phys(area + i * 4096 + 5), bases[i] + 5);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		assert_int_equal(dma_memory_unregister(bases[i]), 0);
	free(area);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_arguments),
		cmocka_unit_test(descriptions_that_contradict_themselves),
		cmocka_unit_test(a_file_that_is_too_short),
		cmocka_unit_test(descriptors_that_cannot_be_used),
		cmocka_unit_test(cpu_mappings_that_overlap),
		cmocka_unit_test(a_cpu_mapping_inside_the_arena),
		cmocka_unit_test(a_full_arena),
		cmocka_unit_test(any_allocation_that_fails),
		cmocka_unit_test(too_many_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
