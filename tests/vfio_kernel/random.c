/* SPDX-License-Identifier: MIT */
/* The stand-in's spaces against an array of pages. */
#include <time.h>

#include "calls.h"

#include "../race.h"

#define PAGES 64
#define FIRST 0x100000ULL
#define MEMORY 32
#define CALLS 20000

struct cell {
	int memory; /* page, or -1 */
	int map; /* the call that mapped it */
};

static struct cell cell[PAGES];
static uint8_t *memory;
static int function;
static uint64_t seed;

static uint64_t draw(uint64_t n)
{
	return next_random(&seed) % n;
}

static void check(void)
{
	for (size_t i = 0; i < PAGES; i++)
		assert_ptr_equal(fake_reach(function, FIRST + i * PAGE, 1, true),
				 cell[i].memory < 0 ? NULL
						    : memory + (unsigned int)cell[i].memory * PAGE);
}

static bool is_free(size_t first, size_t pages)
{
	for (size_t i = first; i < first + pages; i++)
		if (cell[i].memory >= 0)
			return false;
	return true;
}

/* Whether an end of the range lies inside a map. */
static bool cuts(size_t first, size_t end)
{
	return (first && cell[first].memory >= 0 && cell[first - 1].memory >= 0 &&
		cell[first].map == cell[first - 1].map) ||
	       (end < PAGES && cell[end].memory >= 0 && cell[end - 1].memory >= 0 &&
		cell[end].map == cell[end - 1].map);
}

static size_t clear(size_t first, size_t end)
{
	size_t n = 0;

	for (size_t i = first; i < end; i++) {
		n += cell[i].memory >= 0;
		cell[i].memory = -1;
	}
	return n;
}

/* iommufd takes what lies before the map that it cannot cut. */
static size_t clear_before_cut(size_t first, size_t end)
{
	size_t stop = end;

	if (cuts(first, PAGES))
		return 0;
	while (stop > first && cell[stop - 1].memory >= 0 && cell[stop - 1].map == cell[end].map)
		stop--;
	return clear(first, stop);
}

static void run(int fd, uint32_t ioas)
{
	bool type1 = !ioas;

	for (size_t i = 0; i < PAGES; i++)
		cell[i] = (struct cell){-1, 0};
	for (int n = 1; n <= CALLS; n++) {
		size_t first = draw(PAGES), pages = 1 + draw(PAGES - first < 8 ? PAGES - first : 8);
		uint64_t iova = FIRST + first * PAGE, size = 0;
		int err;

		if (draw(2)) {
			size_t from = draw(MEMORY - 8);
			uint8_t *at = memory + from * PAGE;

			err = type1 ? dma_map(fd, iova, at, pages * PAGE,
					      VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
				    : ioas_map(fd, ioas, iova, at, pages * PAGE);
			assert_int_equal(err, is_free(first, pages) ? 0 : -EEXIST);
			for (size_t i = 0; i < pages && !err; i++)
				cell[first + i] = (struct cell){(int)(from + i), n};
		} else {
			size_t end = first + pages;

			err = type1 ? dma_unmap(fd, iova, pages * PAGE, &size)
				    : ioas_unmap(fd, ioas, iova, pages * PAGE, &size);
			if (!cuts(first, end)) {
				assert_int_equal(err, 0);
				assert_int_equal(size, clear(first, end) * PAGE);
			} else {
				assert_int_equal(err, type1 ? -EINVAL : -ENOENT);
				if (!type1)
					clear_before_cut(first, end);
			}
		}
		check();
	}
}

static void test_iommufd(void **state)
{
	int iommufd, cdev;
	uint32_t ioas;

	(void)state;
	start(NULL);
	function = fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	iommufd = vfio_open("/dev/iommu", O_RDWR);
	cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	ioas = new_ioas(iommufd);
	assert_int_equal(bind_to(cdev, iommufd), 0);
	assert_int_equal(attach_to(cdev, ioas), 0);
	run(iommufd, ioas);
	fake_stop();
}

static void test_type1(void **state)
{
	int container, group;

	(void)state;
	start(NULL);
	function = fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	container = vfio_open("/dev/vfio/vfio", O_RDWR);
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), 0);
	run(container, 0);
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iommufd),
		cmocka_unit_test(test_type1),
	};
	const char *given = getenv("TWOSTEP_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761U | 1;
	print_message("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	memory = new_pages(MEMORY);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
