/* SPDX-License-Identifier: MIT */
/*
 * What mapping costs where it is ioctls, beside the bare ioctls of the same, in the same space
 * and in turn. Prints results as bench.json has them, on a line that the host keeps.
 */
#include <linux/vfio.h>

#include "setup.h"

#include "backend/vfio/space.h"
#include "backend/vfio/uapi.h"
#include "dma/dma.h"

#define PAGES 256UL
#define RUNS 4UL
#define RUN (PAGES / RUNS)
#define ROUNDS 41

static struct dma_dev *dev;
static struct vfio_space *space;
static uint8_t *memory;
static bool by_iommufd;
/* Addresses for the bare ioctls, reserved and never linked. */
static struct dma_iova_state bare, bare_copy;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void bare_map(dma_addr_t iova, const uint8_t *at, size_t size)
{
	struct uapi_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE,
		.ioas_id = space->ioas,
		.user_va = (uintptr_t)at,
		.length = size,
		.iova = iova,
	};
	struct vfio_iommu_type1_dma_map old = {
		.argsz = sizeof(old),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)at,
		.iova = iova,
		.size = size,
	};

	assert_int_equal(by_iommufd ? vfio_kernel->ioctl(space->fd, UAPI_IOAS_MAP, &map)
				    : vfio_kernel->ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &old),
			 0);
}

static void bare_unmap(dma_addr_t iova, size_t size)
{
	struct uapi_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = space->ioas, .iova = iova, .length = size};
	struct vfio_iommu_type1_dma_unmap old = {.argsz = sizeof(old), .iova = iova, .size = size};

	assert_int_equal(by_iommufd ? vfio_kernel->ioctl(space->fd, UAPI_IOAS_UNMAP, &unmap)
				    : vfio_kernel->ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &old),
			 0);
}

/* The four runs lie apart in memory. */
static uint8_t *run_at(size_t run)
{
	return memory + 2 * run * RUN * PAGE;
}

static struct phys_vec vec[PAGES];

static void our_vec(void)
{
	struct dma_iova_state range;

	assert_true(dma_iova_try_alloc(dev, &range, 0, PAGES * PAGE));
	assert_int_equal(dma_iova_link_vec(dev, &range, vec, PAGES, 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, PAGES * PAGE), 0);
	dma_iova_destroy(dev, &range, PAGES * PAGE, DMA_BIDIRECTIONAL, 0);
}

static void bare_vec(void)
{
	for (size_t run = 0; run < RUNS; run++)
		bare_map(bare.addr + run * RUN * PAGE, run_at(run), RUN * PAGE);
	bare_unmap(bare.addr, PAGES * PAGE);
}

static void our_page(void)
{
	dma_addr_t addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);

	assert_int_equal(dma_mapping_error(dev, addr), 0);
	dma_unmap_phys(dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
}

static void bare_page(void)
{
	bare_map(bare.addr, memory, PAGE);
	bare_unmap(bare.addr, PAGE);
}

/* Of 1 MiB, which is mapped at `bare` all the time. */
static void bare_copying(void)
{
	struct uapi_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE,
		.dst_ioas_id = space->ioas,
		.src_ioas_id = space->ioas,
		.length = PAGES * PAGE,
		.dst_iova = bare_copy.addr,
		.src_iova = bare.addr,
	};

	assert_int_equal(vfio_kernel->ioctl(space->fd, UAPI_IOAS_COPY, &copy), 0);
	bare_unmap(bare_copy.addr, PAGES * PAGE);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool first = true;

static void report(const char *name, const uint64_t *ours, const uint64_t *limit)
{
	printf("%s{\"name\":\"%s_%s\",\"unit\":\"ns\",\"value\":%llu,\"per_page\":null,", first ? "" : ",",
	       by_iommufd ? "iommufd" : "type1", name, (unsigned long long)ours[ROUNDS / 2]);
	if (limit)
		printf("\"limit\":%llu,\"ratio\":%.3f,", (unsigned long long)limit[ROUNDS / 2],
		       (double)ours[ROUNDS / 2] / (double)limit[ROUNDS / 2]);
	else
		printf("\"limit\":null,\"ratio\":null,");
	printf("\"runs\":%d,\"min\":%llu,\"max\":%llu}", ROUNDS, (unsigned long long)ours[0],
	       (unsigned long long)ours[ROUNDS - 1]);
	first = false;
}

static void measure(const char *name, void (*call)(void), void (*limit)(void))
{
	uint64_t ours[ROUNDS], theirs[ROUNDS];

	for (int i = -3; i < ROUNDS; i++) {
		uint64_t start = now(), middle, end;

		call();
		middle = now();
		if (limit)
			limit();
		end = now();
		if (i < 0)
			continue;
		ours[i] = middle - start;
		theirs[i] = end - middle;
	}
	qsort(ours, ROUNDS, sizeof(*ours), by_value);
	qsort(theirs, ROUNDS, sizeof(*theirs), by_value);
	report(name, ours, limit ? theirs : NULL);
}

int main(void)
{
	printf("1..1\n");
	if (!has_iommu()) {
		printf("ok 1 - no ioctls to measure # SKIP\n");
		return 0;
	}
	memory = pages_new(2 * PAGES, 0);
	dev = device_open("EDU");
	space = vfio_space_of(dev->be);
	by_iommufd = is_scheme("vfio-iommufd");
	if (!dma_iova_try_alloc(dev, &bare, 0, PAGES * PAGE) ||
	    !dma_iova_try_alloc(dev, &bare_copy, 0, PAGES * PAGE)) {
		printf("not ok 1 - %s\n", dma_last_error());
		return 1;
	}
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(run_at(i / RUN) + i % RUN * PAGE), PAGE};
	printf("vm: bench ");
	measure("vec_256_in_4_runs", our_vec, bare_vec);
	measure("map_unmap_4k", our_page, bare_page);
	if (by_iommufd) {
		bare_map(bare.addr, memory, PAGES * PAGE);
		measure("copy_unmap_1m_ioctls", bare_copying, NULL);
		bare_unmap(bare.addr, PAGES * PAGE);
		measure("map_unmap_1m_ioctls", bare_vec, NULL);
	}
	printf("\nok 1 - measured\n");
	dma_iova_free(dev, &bare);
	dma_iova_free(dev, &bare_copy);
	dma_dev_close(dev);
	pages_free(memory, 2 * PAGES);
	return 0;
}
