/* SPDX-License-Identifier: MIT */
/* The stand-in's iommufd gives the kernel's codes, and what is mapped is what is reached. */
#include "calls.h"

struct fixture {
	int function, iommufd, cdev;
	uint32_t ioas;
	uint8_t *memory; /* 16 pages */
};

static void open_fixture(struct fixture *fx, const struct fake_options *options)
{
	start(options);
	fx->function = plug_card();
	fx->iommufd = vfio_open("/dev/iommu", O_RDWR);
	fx->cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	assert_true(fx->iommufd >= 0 && fx->cdev >= 0);
	fx->ioas = new_ioas(fx->iommufd);
	assert_int_equal(bind_to(fx->cdev, fx->iommufd), 0);
	assert_int_equal(attach_to(fx->cdev, fx->ioas), 0);
	fx->memory = new_pages(16);
}

static void close_fixture(struct fixture *fx)
{
	vfio_kernel->close(fx->cdev);
	vfio_kernel->close(fx->iommufd);
	stop_with(fx->memory);
}

static void test_reach(void **state)
{
	struct fixture fx;
	uint8_t byte = 0x5a;

	(void)state;
	open_fixture(&fx, NULL);
	assert_null(fake_reach(fx.function, 0x10000, 1, false));
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, 4 * PAGE), 0);
	assert_ptr_equal(fake_reach(fx.function, 0x10000, 4 * PAGE, true), fx.memory);
	assert_null(fake_reach(fx.function, 0x10000, 4 * PAGE + 1, false));
	assert_null(fake_reach(fx.function, 0xffff, 1, false));
	assert_int_equal(fake_write(fx.function, 0x10000 + 5, &byte, 1), 0);
	assert_int_equal(fx.memory[5], 0x5a);
	assert_int_equal(fake_mapped(fx.function), 4 * PAGE);
	assert_int_equal(fake_locked(), 4);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x10000, 4 * PAGE, NULL), 0);
	assert_null(fake_reach(fx.function, 0x10000, 1, false));
	close_fixture(&fx);
}

static void test_map_errors(void **state)
{
	struct fixture fx;
	uint8_t *hole = new_pages(3);
	struct uapi_ioas_map map;

	(void)state;
	open_fixture(&fx, NULL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, 4 * PAGE), 0);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x13000, fx.memory, PAGE), -EEXIST);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0xf000, fx.memory, 2 * PAGE), -EEXIST);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20800, fx.memory, PAGE), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, fx.memory + 8, PAGE), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, fx.memory, 100), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, fx.memory, 0), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0xfee00000, fx.memory, PAGE), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 1ULL << 48, fx.memory, PAGE), -EINVAL);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, UINT64_MAX, fx.memory, PAGE), -EOVERFLOW);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas + 9, 0x20000, fx.memory, PAGE), -ENOENT);

	/* Memory that is not there, or must not be written. */
	munmap(hole + PAGE, PAGE);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, hole, 3 * PAGE), -EFAULT);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, hole, PAGE), 0);
	mprotect(hole + 2 * PAGE, PAGE, PROT_READ);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x30000, hole + 2 * PAGE, PAGE), -EFAULT);
	map = (struct uapi_ioas_map){
		.size = sizeof(map),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE,
		.ioas_id = fx.ioas,
		.user_va = (uintptr_t)(hole + 2 * PAGE),
		.length = PAGE,
		.iova = 0x30000,
	};
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP, &map), 0);
	assert_non_null(fake_reach(fx.function, 0x30000, PAGE, false));
	assert_null(fake_reach(fx.function, 0x30000, 1, true));
	map.flags = UAPI_MAP_FIXED;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP, &map), -EINVAL);
	map.flags = 1U << 9;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP, &map), -EOPNOTSUPP);
	map.size = 24;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP, &map), -EINVAL);
	assert_int_equal(call(fx.iommufd, _IO(';', 0xee), &map), -ENOTTY);
	close_fixture(&fx);
	munmap(hole, 3 * PAGE);
}

static void test_longer_structure(void **state)
{
	struct {
		struct uapi_ioas_alloc alloc;
		uint32_t more[3];
	} longer = {.alloc = {.size = sizeof(longer)}};
	struct fixture fx;

	(void)state;
	open_fixture(&fx, NULL);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_ALLOC, &longer), 0);
	longer.more[2] = 1;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_ALLOC, &longer), -E2BIG);
	close_fixture(&fx);
}

/* A range that cuts a map is refused, after what lies below it has gone. */
static void test_unmap_is_not_atomic(void **state)
{
	struct fixture fx;
	uint64_t size;

	(void)state;
	open_fixture(&fx, NULL);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000 + i * 2 * PAGE,
					  fx.memory + i * 2 * PAGE, 2 * PAGE),
				 0);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x10000, 3 * PAGE, &size), -ENOENT);
	assert_int_equal(size, 3 * PAGE);
	assert_int_equal(fake_cuts(), 1);
	assert_null(fake_reach(fx.function, 0x10000, 1, false));
	assert_non_null(fake_reach(fx.function, 0x12000, 4 * PAGE, false));
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x12000, 0x100000, &size), 0);
	assert_int_equal(size, 4 * PAGE);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x12000, PAGE, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x12000, 0, NULL), -EINVAL);
	fake_configure(&(struct fake_options){.empty_is_error = true});
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x12000, PAGE, NULL), -ENOENT);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0, UINT64_MAX, NULL), 0);
	close_fixture(&fx);
}

static void test_ranges(void **state)
{
	struct uapi_iova_range ranges[4];
	struct uapi_iova_ranges get;
	struct uapi_iova_ranges allow;
	struct fixture fx;

	(void)state;
	open_fixture(&fx, NULL);
	get = (struct uapi_iova_ranges){
		.size = sizeof(get), .ioas_id = fx.ioas, .nr = 1, .ranges = (uintptr_t)ranges};
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_IOVA_RANGES, &get), -EMSGSIZE);
	assert_int_equal(get.nr, 2);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_IOVA_RANGES, &get), 0);
	assert_int_equal(get.alignment, PAGE);
	assert_int_equal(ranges[0].start, 0);
	assert_int_equal(ranges[0].last, 0xfedfffff);
	assert_int_equal(ranges[1].start, 0xfef00000);
	assert_int_equal(ranges[1].last, (1ULL << 48) - 1);

	ranges[0] = (struct uapi_iova_range){0xfe000000, 0xfeffffff};
	allow = (struct uapi_iova_ranges){
		.size = sizeof(allow), .ioas_id = fx.ioas, .nr = 1, .ranges = (uintptr_t)ranges};
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_ALLOW_IOVAS, &allow), -EADDRINUSE);
	ranges[0] = (struct uapi_iova_range){0x100000, 0x100000};
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_ALLOW_IOVAS, &allow), -EINVAL);
	ranges[0] = (struct uapi_iova_range){0x100000, 0x1fffff};
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_ALLOW_IOVAS, &allow), 0);
	close_fixture(&fx);
}

/* A second device whose windows are in use is refused; where they are free it narrows. */
static void test_second_device(void **state)
{
	static const struct fake_window window = {0x10000, 0x1ffff};
	struct fixture fx;
	int cdev;

	(void)state;
	open_fixture(&fx, NULL);
	fake_plug(&(struct fake_function){
		.bdf = "0000:02:00.0", .group = 8, .reserved = &window, .nr_reserved = 1});
	cdev = vfio_open("/dev/vfio/devices/vfio1", O_RDWR);
	assert_int_equal(bind_to(cdev, fx.iommufd), 0);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x1f000, fx.memory, 2 * PAGE), 0);
	assert_int_equal(attach_to(cdev, fx.ioas), -EADDRINUSE);
	assert_int_equal(ioas_unmap(fx.iommufd, fx.ioas, 0x1f000, 2 * PAGE, NULL), 0);
	assert_int_equal(attach_to(cdev, fx.ioas), 0);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x1f000, fx.memory, 2 * PAGE), -EINVAL);
	vfio_kernel->close(cdev);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x1f000, fx.memory, 2 * PAGE), 0);
	close_fixture(&fx);
}

static void test_locked_memory(void **state)
{
	struct fixture fx;

	(void)state;
	open_fixture(&fx, &(struct fake_options){.locked_pages = 4});
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, 3 * PAGE), 0);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, fx.memory, 2 * PAGE), -ENOMEM);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x20000, fx.memory, PAGE), 0);
	close_fixture(&fx);
}

static void test_files(void **state)
{
	int memfd = memfd_create("memory", MFD_CLOEXEC), dmabuf;
	struct uapi_ioas_map_file map = {
		.size = sizeof(map),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE,
		.fd = memfd,
		.start = PAGE,
		.length = 2 * PAGE,
		.iova = 0x10000,
	};
	struct fixture fx;
	uint8_t byte = 0x77, got = 0;

	(void)state;
	assert_int_equal(ftruncate(memfd, 3 * PAGE), 0);
	open_fixture(&fx, NULL);
	map.ioas_id = fx.ioas;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), 0);
	assert_int_equal(fake_write(fx.function, 0x11000, &byte, 1), 0);
	assert_int_equal(pread(memfd, &got, 1, 2 * PAGE), 1);
	assert_int_equal(got, 0x77);
	map.iova = 0x20000;
	map.length = 3 * PAGE;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), -EINVAL);
	map.fd = 999;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), -EBADF);
	dmabuf = fake_dmabuf(4 * PAGE);
	map.fd = dmabuf;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), -EINVAL);
	fake_configure(&(struct fake_options){.dmabufs = true});
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), 0);
	fake_configure(&(struct fake_options){.no_file_memory = true});
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_MAP_FILE, &map), -ENOTTY);
	close_fixture(&fx);
	close(dmabuf);
	close(memfd);
}

static void test_copy(void **state)
{
	struct fixture fx;
	struct uapi_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE,
		.length = PAGE,
		.src_iova = 0x11000,
		.dst_iova = 0x50000,
	};

	(void)state;
	open_fixture(&fx, NULL);
	copy.src_ioas_id = copy.dst_ioas_id = fx.ioas;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_COPY, &copy), -ENOENT);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, 2 * PAGE), 0);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_COPY, &copy), 0);
	assert_ptr_equal(fake_reach(fx.function, 0x50000, PAGE, false), fx.memory + PAGE);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_COPY, &copy), -EEXIST);
	close_fixture(&fx);
}

static void test_objects(void **state)
{
	struct uapi_destroy destroy = {.size = sizeof(destroy)};
	struct fixture fx;

	(void)state;
	open_fixture(&fx, NULL);
	destroy.id = fx.ioas;
	assert_int_equal(call(fx.iommufd, UAPI_DESTROY, &destroy), -EBUSY);
	destroy.id = new_ioas(fx.iommufd);
	assert_int_equal(call(fx.iommufd, UAPI_DESTROY, &destroy), 0);
	assert_int_equal(call(fx.iommufd, UAPI_DESTROY, &destroy), -ENOENT);
	close_fixture(&fx);
}

static void test_dirty(void **state)
{
	struct uapi_hwpt_alloc alloc = {.size = sizeof(alloc), .flags = UAPI_HWPT_DIRTY_TRACKING};
	struct uapi_set_dirty_tracking set = {.size = sizeof(set), .flags = 1U};
	uint64_t bits = 0;
	struct uapi_dirty_bitmap get = {
		.size = sizeof(get),
		.iova = 0x10000,
		.length = 16 * PAGE,
		.page_size = PAGE,
		.bitmap = (uintptr_t)&bits,
	};
	struct uapi_bind_iommufd bind = {.size = sizeof(bind)};
	struct fixture fx;
	uint8_t byte = 1;

	(void)state;
	start(&(struct fake_options){.dirty_tracking = true});
	fx.function = fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	fx.iommufd = vfio_open("/dev/iommu", O_RDWR);
	fx.cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	fx.ioas = new_ioas(fx.iommufd);
	fx.memory = new_pages(16);
	bind.iommufd = fx.iommufd;
	assert_int_equal(call(fx.cdev, UAPI_DEVICE_BIND_IOMMUFD, &bind), 0);
	alloc.dev_id = bind.dev_id;
	alloc.pt_id = fx.ioas;
	assert_int_equal(call(fx.iommufd, UAPI_HWPT_ALLOC, &alloc), 0);
	assert_int_equal(attach_to(fx.cdev, alloc.hwpt_id), 0);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, 16 * PAGE), 0);
	set.hwpt_id = get.hwpt_id = alloc.hwpt_id;
	assert_int_equal(call(fx.iommufd, UAPI_HWPT_SET_DIRTY_TRACKING, &set), 0);
	assert_int_equal(fake_write(fx.function, 0x10000 + 3 * PAGE, &byte, 1), 0);
	assert_int_equal(call(fx.iommufd, UAPI_HWPT_GET_DIRTY_BITMAP, &get), 0);
	assert_int_equal(bits, 1 << 3);
	bits = 0;
	assert_int_equal(call(fx.iommufd, UAPI_HWPT_GET_DIRTY_BITMAP, &get), 0);
	assert_int_equal(bits, 0);
	get.iova++;
	assert_int_equal(call(fx.iommufd, UAPI_HWPT_GET_DIRTY_BITMAP, &get), -EINVAL);
	close_fixture(&fx);
}

/* Without an IOMMU the table is a cookie: who wants a physical address asks for it. */
static void test_physical_address(void **state)
{
	struct fixture fx;
	struct uapi_noiommu_get_pa get = {.size = sizeof(get), .iova = 0x10010};

	(void)state;
	start(&(struct fake_options){.noiommu = true, .noiommu_cdevs = true});
	fx.function = fake_plug(&(struct fake_function){.bdf = BDF, .group = -1});
	fx.iommufd = vfio_open("/dev/iommu", O_RDWR);
	fx.cdev = vfio_open("/dev/vfio/devices/noiommu-vfio0", O_RDWR);
	fx.ioas = new_ioas(fx.iommufd);
	fx.memory = new_pages(16);
	assert_int_equal(bind_to(fx.cdev, fx.iommufd), 0);
	get.ioas_id = fx.ioas;
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_NOIOMMU_GET_PA, &get), -EOPNOTSUPP);
	assert_int_equal(attach_to(fx.cdev, fx.ioas), 0);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_NOIOMMU_GET_PA, &get), -ENOENT);
	assert_int_equal(ioas_map(fx.iommufd, fx.ioas, 0x10000, fx.memory, PAGE), 0);
	assert_int_equal(call(fx.iommufd, UAPI_IOAS_NOIOMMU_GET_PA, &get), 0);
	assert_int_equal(get.length, PAGE - 0x10);
	assert_ptr_equal(fake_reach(fx.function, get.phys, 1, true), fx.memory + 0x10);
	close_fixture(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_map_errors),
		cmocka_unit_test(test_longer_structure),
		cmocka_unit_test(test_unmap_is_not_atomic),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_second_device),
		cmocka_unit_test(test_locked_memory),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_dirty),
		cmocka_unit_test(test_physical_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
