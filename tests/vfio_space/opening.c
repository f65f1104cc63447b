/* SPDX-License-Identifier: MIT */
/* Whatever stands in the way of opening, it is told, and everything is given back. */
#include <limits.h>

#include "setup.h"

static void plug_card(const struct fake_options *options)
{
	if (!fake_start(options))
		exit(77);
	plug(BDF, 7);
}

static int try_open(void **state, const char *more, struct dma_dev **dev)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "%s:" BDF "%s", (const char *)*state, more);
	dma_clear_error();
	return dma_dev_open(uri, dev);
}

/* Refused with @err, with a sentence about this device, and nothing stays open. */
static void assert_not_opened(void **state, int err)
{
	struct dma_dev *dev = NULL;

	assert_int_equal(try_open(state, "", &dev), err);
	assert_null(dev);
	assert_true(strlen(dma_last_error()) > 20);
	assert_int_equal(fake_open_files(), 0);
}

static void assert_opened(void **state)
{
	struct dma_dev *dev;

	if (try_open(state, "", &dev))
		fail_msg("%s", dma_last_error());
	dma_dev_close(dev);
	assert_int_equal(fake_open_files(), 0);
}

/* Every kind of ioctl that opening takes, refused in turn. */
static void test_each_ioctl(void **state)
{
	static struct fake_call calls[64];
	size_t nr;

	plug_card(NULL);
	assert_opened(state);
	nr = fake_log(calls, COUNT(calls));
	assert_in_range(nr, 3, COUNT(calls));
	for (size_t i = 0; i < nr; i++) {
		struct dma_dev *dev = NULL;
		unsigned int nth = 1;

		for (size_t before = 0; before < i; before++)
			nth += calls[before].request == calls[i].request;
		fake_fail(calls[i].request, nth, -EIO);
		/* What it can do without, or does to close, does not keep it from opening. */
		if (!try_open(state, "", &dev)) {
			dma_dev_close(dev);
		} else {
			assert_null(dev);
			assert_string_not_equal(dma_last_error(), "");
		}
		fake_fail(calls[i].request, 0, 0);
		assert_int_equal(fake_open_files(), 0);
		assert_opened(state);
	}
	machine_stop();
}

/* Files that the user may not open. */
static void test_each_file(void **state)
{
	static const char *const iommufd[] = {"/dev/iommu", "/dev/vfio/devices/vfio0"};
	static const char *const type1[] = {"/dev/vfio/vfio", "/dev/vfio/7"};
	bool by_iommufd = !strcmp(*state, "vfio-iommufd");

	plug_card(NULL);
	for (size_t i = 0; i < 2; i++) {
		const char *path = by_iommufd ? iommufd[i] : type1[i];

		fake_refuse_open(path, -EACCES);
		assert_not_opened(state, -EACCES);
		assert_non_null(strstr(dma_last_error(), path));
		fake_refuse_open(path, 0);
		assert_opened(state);
	}
	machine_stop();
}

static void test_used(void **state)
{
	bool by_iommufd = !strcmp(*state, "vfio-iommufd");

	plug_card(NULL);
	fake_set_use(0, FAKE_USED_BY_GROUP);
	assert_not_opened(state, -EBUSY);
	fake_set_use(0, FAKE_USED_BY_CDEV);
	assert_not_opened(state, -EBUSY);
	fake_set_use(0, FAKE_UNUSED);
	assert_opened(state);
	/* By this program itself, too. */
	if (by_iommufd) {
		struct dma_dev *dev;
		size_t files;

		assert_int_equal(try_open(state, "", &dev), 0);
		files = fake_open_files();
		assert_int_equal(dma_dev_open("vfio-type1:" BDF, &(struct dma_dev *){NULL}),
				 -EBUSY);
		assert_int_equal(fake_open_files(), files);
		dma_dev_close(dev);
	}
	machine_stop();
}

static void test_not_viable(void **state)
{
	struct dma_dev *dev = NULL;

	plug_card(NULL);
	fake_plug(&(struct fake_function){.bdf = "0000:01:00.1", .group = 7, .driver = "e1000e"});
	assert_true(try_open(state, "", &dev) < 0);
	assert_null(dev);
	assert_non_null(strstr(dma_last_error(), "group"));
	assert_int_equal(fake_open_files(), 0);
	machine_stop();
}

static void test_not_remapped(void **state)
{
	struct dma_dev *dev = NULL;

	if (!fake_start(NULL))
		exit(77);
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7, .no_isolated_msi = true});
	assert_int_equal(try_open(state, "", &dev), -EPERM);
	assert_non_null(strstr(dma_last_error(), "allow_unsafe_interrupts"));
	assert_int_equal(fake_open_files(), 0);
	machine_stop();
}

static void test_not_bound(void **state)
{
	static const char *const drivers[] = {"nvme", ""};

	for (size_t i = 0; i < COUNT(drivers); i++) {
		if (!fake_start(NULL))
			exit(77);
		fake_plug(&(struct fake_function){.bdf = BDF, .group = 7, .driver = drivers[i]});
		assert_not_opened(state, -ENODEV);
		assert_non_null(strstr(dma_last_error(), "vfio-pci"));
		machine_stop();
	}
	plug_card(NULL);
	assert_int_equal(dma_dev_open("vfio-type1:0000:09:00.0", &(struct dma_dev *){NULL}),
			 -ENODEV);
	assert_int_equal(dma_dev_open("vfio-iommufd:banana", &(struct dma_dev *){NULL}), -EINVAL);
	machine_stop();
}

static void test_kernel_without(void **state)
{
	bool by_iommufd = !strcmp(*state, "vfio-iommufd");

	plug_card(&(struct fake_options){.no_iommufd = by_iommufd, .no_containers = !by_iommufd});
	assert_not_opened(state, -EOPNOTSUPP);
	machine_stop();
	plug_card(&(struct fake_options){.no_cdevs = by_iommufd, .no_type1 = !by_iommufd});
	assert_not_opened(state, -EOPNOTSUPP);
	machine_stop();
}

/* `vfio:` takes iommufd where there is one, and type1 else. */
static void test_either(void **state)
{
	struct dma_dev *dev;

	(void)state;
	plug_card(NULL);
	assert_int_equal(dma_dev_open("vfio:" BDF, &dev), 0);
	assert_int_equal(fake_count(UAPI_IOAS_ALLOC), 1);
	assert_int_equal(fake_count(VFIO_SET_IOMMU), 0);
	dma_dev_close(dev);
	machine_stop();
	for (int without_cdevs = 0; without_cdevs < 2; without_cdevs++) {
		plug_card(&(struct fake_options){.no_iommufd = !without_cdevs,
						 .no_cdevs = without_cdevs});
		if (dma_dev_open("vfio:" BDF, &dev))
			fail_msg("%s", dma_last_error());
		assert_int_equal(fake_count(VFIO_SET_IOMMU), 1);
		dma_dev_close(dev);
		machine_stop();
	}
	plug_card(&(struct fake_options){.no_iommufd = true, .no_containers = true});
	assert_true(dma_dev_open("vfio:" BDF, &dev) < 0);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(fake_open_files(), 0);
	machine_stop();
}

/*
 * Devices without an IOMMU reach memory by its own addresses. Where the kernel gives them out by
 * the same files (Linux 7), spaces with addresses of their own must not take them.
 */
static void test_no_iommu(void **state)
{
	struct dma_dev *dev = NULL;

	for (int cdevs = 0; cdevs < 2; cdevs++) {
		if (!fake_start(&(struct fake_options){.noiommu = true, .noiommu_cdevs = cdevs}))
			exit(77);
		fake_plug(&(struct fake_function){.bdf = BDF, .group = -1});
		assert_true(try_open(state, "", &dev) < 0);
		assert_null(dev);
		assert_non_null(strstr(dma_last_error(), "IOMMU"));
		assert_int_equal(fake_open_files(), 0);
		assert_true(dma_dev_open("vfio:" BDF, &dev) < 0);
		assert_null(dev);
		assert_int_equal(fake_open_files(), 0);
		machine_stop();
	}
}

/* Addresses: those of the IOMMU, without its windows, and below the mask. */
static void test_addresses(void **state)
{
	static const struct fake_window windows[] = {
		{0, 0xfffff},
		{0x200000, 0xffffffff},
	};
	struct dma_dev *dev;
	struct dma_iova_state iova[256], more;

	if (!fake_start(&(struct fake_options){.aperture = {0, 0xffffffff}}))
		exit(77);
	fake_plug(&(struct fake_function){
		.bdf = BDF, .group = 7, .reserved = windows, .nr_reserved = COUNT(windows)});
	if (try_open(state, "", &dev))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	for (size_t i = 0; i < COUNT(iova); i++) {
		assert_true(dma_iova_try_alloc(dev, &iova[i], 0, PAGE));
		assert_in_range(iova[i].addr, 0x100000, 0x1fffff);
	}
	assert_false(dma_iova_try_alloc(dev, &more, 0, PAGE));
	for (size_t i = 0; i < COUNT(iova); i++)
		dma_iova_free(dev, &iova[i]);
	dma_dev_close(dev);
	machine_stop();
}

/* Many windows: more than fit where the kernel is first asked. */
static void test_many_windows(void **state)
{
	static struct fake_window windows[60];
	struct dma_dev *dev;

	for (size_t i = 0; i < COUNT(windows); i++)
		windows[i] =
			(struct fake_window){0x1000000 * (i + 1), 0x1000000 * (i + 1) + 0xffff};
	if (!fake_start(NULL))
		exit(77);
	fake_plug(&(struct fake_function){
		.bdf = BDF, .group = 7, .reserved = windows, .nr_reserved = COUNT(windows)});
	if (try_open(state, "", &dev))
		fail_msg("%s", dma_last_error());
	dma_dev_close(dev);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_each_ioctl),     EACH_WAY(test_each_file),
		EACH_WAY(test_used),	       EACH_WAY(test_not_viable),
		EACH_WAY(test_not_remapped),   EACH_WAY(test_not_bound),
		EACH_WAY(test_kernel_without), EACH_WAY(test_no_iommu),
		EACH_WAY(test_addresses),      EACH_WAY(test_many_windows),
		cmocka_unit_test(test_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
