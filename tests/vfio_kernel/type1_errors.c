/* SPDX-License-Identifier: MIT */
/* The stand-in's containers give the kernel's codes. */
#include <string.h>

#include "calls.h"

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

struct fixture {
	int function, container, group;
	uint8_t *memory; /* 16 pages */
};

static void open_fixture(struct fixture *fx, const struct fake_options *options)
{
	start(options);
	fx->function = plug_card();
	fx->container = vfio_open("/dev/vfio/vfio", O_RDWR);
	fx->group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_true(fx->container >= 0 && fx->group >= 0);
	assert_int_equal(call(fx->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), -EINVAL);
	assert_int_equal(call(fx->group, VFIO_GROUP_SET_CONTAINER, &fx->container), 0);
	assert_int_equal(call(fx->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), 0);
	fx->memory = new_pages(16);
}

static void close_fixture(struct fixture *fx)
{
	vfio_kernel->close(fx->group);
	vfio_kernel->close(fx->container);
	stop_with(fx->memory);
}

static void test_map_errors(void **state)
{
	uint8_t *hole = new_pages(3);
	struct fixture fx;

	(void)state;
	open_fixture(&fx, &(struct fake_options){.locked_pages = 6});
	assert_int_equal(dma_map(fx.container, 0x10000, fx.memory, 4 * PAGE, RW), 0);
	assert_ptr_equal(fake_reach(fx.function, 0x10000, 4 * PAGE, true), fx.memory);
	assert_int_equal(dma_map(fx.container, 0x13000, fx.memory, PAGE, RW), -EEXIST);
	assert_int_equal(dma_map(fx.container, 0x20800, fx.memory, PAGE, RW), -EINVAL);
	assert_int_equal(dma_map(fx.container, 0x20000, fx.memory + 1, PAGE, RW), -EINVAL);
	assert_int_equal(dma_map(fx.container, 0x20000, fx.memory, 0, RW), -EINVAL);
	assert_int_equal(dma_map(fx.container, 0x20000, fx.memory, PAGE, 0), -EINVAL);
	assert_int_equal(dma_map(fx.container, 0xfee00000, fx.memory, PAGE, RW), -EINVAL);
	assert_int_equal(dma_map(fx.container, 1ULL << 48, fx.memory, PAGE, RW), -EINVAL);
	assert_int_equal(dma_map(fx.container, UINT64_MAX - PAGE + 1, fx.memory, 2 * PAGE, RW),
			 -EINVAL);
	munmap(hole + PAGE, PAGE);
	assert_int_equal(dma_map(fx.container, 0x20000, hole, 3 * PAGE, RW), -EFAULT);
	mprotect(hole, PAGE, PROT_READ);
	assert_int_equal(dma_map(fx.container, 0x20000, hole, PAGE, RW), -EFAULT);
	assert_int_equal(dma_map(fx.container, 0x20000, hole, PAGE, VFIO_DMA_MAP_FLAG_READ), 0);
	assert_null(fake_reach(fx.function, 0x20000, 1, true));
	assert_int_equal(dma_map(fx.container, 0x30000, fx.memory, 2 * PAGE, RW), -ENOMEM);
	close_fixture(&fx);
	munmap(hole, 3 * PAGE);
}

static void test_unmap(void **state)
{
	struct fixture fx;
	uint64_t size;

	(void)state;
	open_fixture(&fx, NULL);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(dma_map(fx.container, 0x10000 + i * 2 * PAGE,
					 fx.memory + i * 2 * PAGE, 2 * PAGE, RW),
				 0);
	/* Both ends are checked before anything goes. */
	assert_int_equal(dma_unmap(fx.container, 0x10000, 3 * PAGE, &size), -EINVAL);
	assert_int_equal(dma_unmap(fx.container, 0x11000, 3 * PAGE, &size), -EINVAL);
	assert_int_equal(size, 0);
	assert_int_equal(fake_cuts(), 2);
	assert_int_equal(fake_mapped(fx.function), 6 * PAGE);
	assert_int_equal(dma_unmap(fx.container, 0x10000, 4 * PAGE, &size), 0);
	assert_int_equal(size, 4 * PAGE);
	assert_int_equal(dma_unmap(fx.container, 0x10000, 4 * PAGE, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(dma_unmap(fx.container, 0x10000, 0, &size), -EINVAL);
	close_fixture(&fx);
}

static void test_entries(void **state)
{
	struct fixture fx;

	(void)state;
	open_fixture(&fx, &(struct fake_options){.entries = 2});
	assert_int_equal(dma_map(fx.container, 0x10000, fx.memory, PAGE, RW), 0);
	assert_int_equal(dma_map(fx.container, 0x20000, fx.memory, PAGE, RW), 0);
	assert_int_equal(dma_map(fx.container, 0x30000, fx.memory, PAGE, RW), -ENOSPC);
	assert_int_equal(dma_unmap(fx.container, 0x10000, PAGE, NULL), 0);
	assert_int_equal(dma_map(fx.container, 0x30000, fx.memory, PAGE, RW), 0);
	close_fixture(&fx);
}

static const struct vfio_info_cap_header *find_cap(const void *info, uint32_t at, uint16_t id)
{
	while (at) {
		const struct vfio_info_cap_header *header = (const void *)((const char *)info + at);

		if (header->id == id)
			return header;
		at = header->next;
	}
	return NULL;
}

static void test_info(void **state)
{
	union {
		struct vfio_iommu_type1_info info;
		uint8_t room[512];
	} got = {.info = {.argsz = sizeof(got.info)}};
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	const struct vfio_iommu_type1_info_dma_avail *avail;
	struct fixture fx;

	(void)state;
	open_fixture(&fx, &(struct fake_options){.entries = 10});
	assert_int_equal(call(fx.container, VFIO_IOMMU_GET_INFO, &got), 0);
	assert_true(got.info.flags & VFIO_IOMMU_INFO_CAPS);
	assert_true(got.info.argsz > sizeof(got.info));
	assert_int_equal(got.info.cap_offset, 0);
	assert_true(got.info.iova_pgsizes & PAGE);
	got.info.argsz = sizeof(got);
	assert_int_equal(call(fx.container, VFIO_IOMMU_GET_INFO, &got), 0);
	avail = (const void *)find_cap(&got, got.info.cap_offset, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	assert_non_null(avail);
	assert_int_equal(avail->avail, 10);
	assert_non_null(find_cap(&got, got.info.cap_offset, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION));
	ranges = (const void *)find_cap(&got, got.info.cap_offset,
					VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	assert_non_null(ranges);
	assert_int_equal(ranges->nr_iovas, 2);
	assert_int_equal(ranges->iova_ranges[0].end, 0xfedfffff);
	got.info.argsz = 4;
	assert_int_equal(call(fx.container, VFIO_IOMMU_GET_INFO, &got), -EINVAL);
	close_fixture(&fx);
}

/* A group whose windows hold something mapped cannot join. */
static void test_second_group(void **state)
{
	static const struct fake_window window = {0x10000, 0x1ffff};
	struct fixture fx;
	int group;

	(void)state;
	open_fixture(&fx, NULL);
	fake_plug(&(struct fake_function){
		.bdf = "0000:02:00.0", .group = 8, .reserved = &window, .nr_reserved = 1});
	assert_int_equal(dma_map(fx.container, 0x1f000, fx.memory, PAGE, RW), 0);
	group = vfio_open("/dev/vfio/8", O_RDWR);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &fx.container), -EINVAL);
	assert_int_equal(dma_unmap(fx.container, 0x1f000, PAGE, NULL), 0);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &fx.container), 0);
	assert_int_equal(dma_map(fx.container, 0x1f000, fx.memory, PAGE, RW), -EINVAL);
	assert_int_equal(call(group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	assert_int_equal(dma_map(fx.container, 0x1f000, fx.memory, PAGE, RW), 0);
	vfio_kernel->close(group);
	close_fixture(&fx);
}

/* What is mapped lives as long as a group uses the container, its descriptor or not. */
static void test_closed_container(void **state)
{
	struct fixture fx;

	(void)state;
	open_fixture(&fx, NULL);
	assert_int_equal(dma_map(fx.container, 0x10000, fx.memory, PAGE, RW), 0);
	vfio_kernel->close(fx.container);
	assert_non_null(fake_reach(fx.function, 0x10000, PAGE, true));
	vfio_kernel->close(fx.group);
	assert_null(fake_reach(fx.function, 0x10000, PAGE, true));
	assert_int_equal(fake_locked(), 0);
	fake_stop();
	munmap(fx.memory, 16 * PAGE);
}

static void test_no_type1(void **state)
{
	int container, group;

	(void)state;
	start(&(struct fake_options){.no_type1 = true});
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	container = vfio_open("/dev/vfio/vfio", O_RDWR);
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_int_equal(call(container, VFIO_GET_API_VERSION, NULL), VFIO_API_VERSION);
	assert_int_equal(call(container, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(dma_map(container, 0x10000, NULL, PAGE, RW), -EINVAL);
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_errors),   cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_entries),	     cmocka_unit_test(test_info),
		cmocka_unit_test(test_second_group), cmocka_unit_test(test_closed_container),
		cmocka_unit_test(test_no_type1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
