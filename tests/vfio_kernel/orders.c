/* SPDX-License-Identifier: MIT */
/* The stand-in logs, fails and stops as it is told. */
#include <pthread.h>

#include "calls.h"

#include "../race.h"

static void test_log(void **state)
{
	struct fake_call calls[4];
	uint8_t *memory = new_pages(1);
	uint32_t ioas;
	int fd;

	(void)state;
	start(NULL);
	fd = vfio_open("/dev/iommu", O_RDWR);
	ioas = new_ioas(fd);
	assert_int_equal(fake_count(0), 1);
	fake_forget();
	assert_int_equal(ioas_map(fd, ioas, 0x10000, memory, PAGE), 0);
	assert_int_equal(ioas_map(fd, ioas, 0x10000, memory, PAGE), -EEXIST);
	assert_int_equal(ioas_unmap(fd, ioas, 0x10000, PAGE, NULL), 0);
	assert_int_equal(fake_maps(), 2);
	assert_int_equal(fake_unmaps(), 1);
	assert_int_equal(fake_log(calls, 4), 3);
	assert_int_equal(calls[1].request, UAPI_IOAS_MAP);
	assert_int_equal(calls[1].iova, 0x10000);
	assert_int_equal(calls[1].size, PAGE);
	assert_int_equal(calls[1].result, -EEXIST);
	assert_int_equal(calls[2].request, UAPI_IOAS_UNMAP);
	fake_stop();
	munmap(memory, PAGE);
}

static void test_failures(void **state)
{
	uint8_t *memory = new_pages(1);
	uint32_t ioas;
	int fd;

	(void)state;
	start(NULL);
	fd = vfio_open("/dev/iommu", O_RDWR);
	ioas = new_ioas(fd);
	fake_fail(UAPI_IOAS_MAP, 2, -ENOMEM);
	assert_int_equal(ioas_map(fd, ioas, 0x10000, memory, PAGE), 0);
	assert_int_equal(ioas_map(fd, ioas, 0x20000, memory, PAGE), -ENOMEM);
	assert_int_equal(ioas_map(fd, ioas, 0x20000, memory, PAGE), 0);
	fake_fail_from(UAPI_IOAS_UNMAP, 1, -EIO);
	assert_int_equal(ioas_unmap(fd, ioas, 0x10000, PAGE, NULL), -EIO);
	assert_int_equal(ioas_unmap(fd, ioas, 0x10000, PAGE, NULL), -EIO);
	fake_fail_every(UAPI_IOAS_UNMAP, 2, -EIO);
	for (int i = 1; i <= 6; i++)
		assert_int_equal(ioas_unmap(fd, ioas, 0x10000, PAGE, NULL), i % 2 ? 0 : -EIO);
	fake_fail(UAPI_IOAS_UNMAP, 0, 0);
	assert_int_equal(ioas_unmap(fd, ioas, 0x20000, PAGE, NULL), 0);
	assert_int_equal(ioas_unmap(fd, ioas, 0x20000, PAGE, NULL), 0);
	fake_stop();
	munmap(memory, PAGE);
}

struct mapper {
	int fd;
	uint32_t ioas;
	uint8_t *memory;
	bool done;
};

static void *map_one(void *arg)
{
	struct mapper *mapper = arg;

	ioas_map(mapper->fd, mapper->ioas, 0x10000, mapper->memory, PAGE);
	set_flag(&mapper->done);
	return NULL;
}

/* One thread stops inside; another goes on meanwhile. */
static void test_pause(void **state)
{
	struct mapper mapper;
	pthread_t thread;

	(void)state;
	start(NULL);
	mapper = (struct mapper){.fd = vfio_open("/dev/iommu", O_RDWR), .memory = new_pages(1)};
	mapper.ioas = new_ioas(mapper.fd);
	for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
		mapper.done = false;
		fake_pause(UAPI_IOAS_MAP, 1, (enum fake_when)when);
		assert_int_equal(pthread_create(&thread, NULL, map_one, &mapper), 0);
		fake_wait_paused();
		assert_false(flag_is_set(&mapper.done));
		/* The same place is free before it, and taken after it. */
		assert_int_equal(ioas_unmap(mapper.fd, mapper.ioas, 0x10000, PAGE, NULL), 0);
		assert_int_equal(ioas_map(mapper.fd, mapper.ioas, 0x10000, mapper.memory, PAGE), 0);
		fake_resume();
		pthread_join(thread, NULL);
		ioas_unmap(mapper.fd, mapper.ioas, 0x10000, PAGE, NULL);
	}
	fake_stop();
	munmap(mapper.memory, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
