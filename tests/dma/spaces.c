/* SPDX-License-Identifier: MIT */
/* Address spaces: devices that share one, windows that are kept out of use. */
#include "setup.h"

static struct device device_open_in(const char *uri, const struct device *first)
{
	struct device d = {.space = first->space};

	assert_int_equal(dma_dev_open_in(uri, first->space, &d.dev), 0);
	assert_ptr_equal(dma_dev_space(d.dev), first->space);
	d.port = dma_dev_port(d.dev);
	return d;
}

static void devices_see_the_same(void **state)
{
	struct device d = soft_open(state, ""), second = device_open_in("soft:,iotlb=16", &d);
	struct device other = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);
	dma_addr_t addr;

	assert_ptr_not_equal(d.port, second.port);
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 1);
	assert_reads_pages(&second, iova.addr, 2, 1);
	assert_refused(&other, iova.addr);
	/* Either may change the other's mapping, and both have lost it then. */
	unlink_at(&second, &iova, 0, PAGE);
	assert_refused(&d, iova.addr);
	assert_refused(&second, iova.addr);
	/* Each has a mask of its own: the second has never set it. */
	assert_int_equal(dma_get_mask(second.dev), DMA_BIT_MASK(32));
	addr = dma_map_single(second.dev, memory, PAGE, DMA_TO_DEVICE);
	assert_true(addr <= DMA_BIT_MASK(32));
	assert_reads(&d, addr, 1);
	/* What one has mapped outlives it. */
	dma_dev_close(second.dev);
	assert_reads(&d, addr, 1);
	assert_reads(&d, iova.addr + PAGE, 2);
	second = device_open_in("soft:", &d);
	assert_reads(&second, addr, 1);
	dma_dev_close(d.dev);
	assert_reads(&second, addr, 1);
	dma_unmap_single(second.dev, addr, PAGE, DMA_TO_DEVICE);
	unlink_at(&second, &iova, PAGE, PAGE);
	dma_iova_free(second.dev, &iova);
	second.leaks = dma_leak_count();
	device_close(&second, 0);
	device_close(&other, 0);
	free(memory);
}

static void what_does_not_fit_the_space(void **state)
{
	struct device d = soft_open(state, ",absent=cache"), direct = device_open("direct:");
	const char *other = strcmp(*state, "vtd-ss") ? "soft:pgtable=vtd-ss"
						     : "soft:pgtable=x86-64";
	const struct {
		const char *uri;
		const struct device *in;
	} refused[] = {
		{other, &d},	  {"direct:", &d},     {"soft:absent=off", &d},
		{"nothing:", &d}, {"soft:banana", &d}, {"soft:", &direct},
		{"", &d},	  {NULL, &d},
	};
	char same[64];

	for (size_t i = 0; i < COUNT(refused); i++) {
		struct dma_dev *dev = (struct dma_dev *)&same;

		dma_clear_error();
		assert_int_equal(dma_dev_open_in(refused[i].uri, refused[i].in->space, &dev),
				 -EINVAL);
		assert_string_not_equal(dma_last_error(), "");
		assert_ptr_equal(dev, &same);
	}
	snprintf(same, sizeof(same), "soft:pgtable=%s,absent=cache", (const char *)*state);
	dma_dev_close(device_open_in(same, &d).dev);
	dma_dev_close(device_open_in("soft:", &d).dev);
	dma_dev_close(device_open_in("direct:", &direct).dev);
	device_close(&d, 0);
	device_close(&direct, 0);
}

/* Options of the space that agree with it are fine. */
static void what_agrees_with_the_space(void **state)
{
	struct device d = soft_open(state, ",tables=100,inval_ns=0");

	dma_dev_close(device_open_in("soft:tables=100", &d).dev);
	dma_dev_close(device_open_in("soft:inval_ns=0", &d).dev);
	device_close(&d, 0);
}

/* Below 64 KiB, all but granules 1 and 10. */
#define WINDOWS "0x2000-0x9fff+0xb123-0xfffe"

static void windows_are_never_handed_out(void **state)
{
	struct device d = soft_open(state, ",reserved=" WINDOWS ",mask=16");
	struct dma_iova_state iova[2], more;

	iova[0] = reserve(&d, 0, PAGE);
	iova[1] = reserve(&d, 0, PAGE);
	assert_int_equal(iova[0].addr ^ iova[1].addr, 0x1000 ^ 0xa000);
	assert_false(dma_iova_try_alloc(d.dev, &more, 0, PAGE));
	dma_iova_free(d.dev, &iova[0]);
	dma_iova_free(d.dev, &iova[1]);
	device_close(&d, 0);
}

static void windows_over_something_live(void **state)
{
	struct device d = soft_open(state, ",mask=16");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova[15];
	struct snapshot before;
	struct device second;
	struct dma_dev *dev = NULL;

	/* Granules 10 and 11 stay live. */
	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&d, 0, PAGE);
		link_at(&d, &iova[i], 0, memory, PAGE);
	}
	for (size_t i = 0; i < COUNT(iova); i++)
		if (iova[i].addr / PAGE != 10 && iova[i].addr / PAGE != 11)
			destroy(&d, &iova[i], PAGE);
	before = snapshot_take(&d, 0, 16);
	dma_clear_error();
	assert_int_equal(
		dma_dev_open_in("soft:reserved=0x2000-0x2fff+0xb000-0xbfff", d.space, &dev),
		-EADDRINUSE);
	assert_string_not_equal(dma_last_error(), "");
	assert_null(dev);
	dma_clear_error();
	assert_int_equal(dma_space_reserve(d.space, 0xafff, 0xafff), -EADDRINUSE);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_space_reserve(d.space, 0, UINT64_MAX), -EADDRINUSE);
	assert_unchanged(&d, &before);
	/* None of the windows of a refused device counts: granule 2 can be had. */
	assert_int_equal(dma_set_mask(d.dev, 0x2fff), 0);
	for (size_t i = 0; i < 2; i++)
		iova[i] = reserve(&d, 0, PAGE);
	assert_int_equal(iova[0].addr ^ iova[1].addr, 0x1000 ^ 0x2000);
	for (size_t i = 0; i < 2; i++)
		dma_iova_free(d.dev, &iova[i]);

	/* Beside what is live. */
	second = device_open_in("soft:reserved=0x2000-0x9fff+0xc000-0xffff", &d);
	assert_int_equal(dma_space_reserve(d.space, 0x1000, 0x9fff), 0);
	assert_false(dma_iova_try_alloc(d.dev, &iova[0], 0, PAGE));
	assert_int_equal(dma_space_reserve(d.space, 0xc000, UINT64_MAX), 0);
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(64)), 0);
	assert_false(dma_iova_try_alloc(d.dev, &iova[0], 0, PAGE));
	assert_reads(&second, 0xa000, 1);
	assert_reads(&second, 0xb000, 1);
	dma_dev_close(second.dev);
	for (size_t i = 0; i < 2; i++) {
		iova[i] = (struct dma_iova_state){0xa000 + i * PAGE, PAGE};
		destroy(&d, &iova[i], PAGE);
	}
	device_close(&d, 0);
	free(memory);
}

/* What a gather still owns is in use. */
static void windows_over_something_gathered(void **state)
{
	struct device d = soft_open(state, ",mask=13");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova = reserve(&d, 0, PAGE);
	struct dma_gather gather;

	link_at(&d, &iova, 0, memory, PAGE);
	dma_gather_begin(d.dev, &gather);
	dma_iova_destroy_gather(d.dev, &iova, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	assert_int_equal(dma_space_reserve(d.space, 0x1000, 0x1fff), -EADDRINUSE);
	dma_gather_end(&gather);
	assert_int_equal(dma_space_reserve(d.space, 0x1000, 0x1fff), 0);
	assert_false(dma_iova_try_alloc(d.dev, &iova, 0, PAGE));
	device_close(&d, 0);
	free(memory);
}

static void windows_that_are_none(void **state)
{
	struct device d = soft_open(state, "");

	dma_clear_error();
	assert_int_equal(dma_space_reserve(d.space, 0x2000, 0x1fff), -EINVAL);
	assert_string_not_equal(dma_last_error(), "");
	/* Overlapping ones, and ones that lie outside of what is ever used. */
	assert_int_equal(dma_space_reserve(d.space, 0x5000, 0x8fff), 0);
	assert_int_equal(dma_space_reserve(d.space, 0x7000, 0x9fff), 0);
	assert_int_equal(dma_space_reserve(d.space, 0, 0), 0);
	assert_int_equal(dma_space_reserve(d.space, 1ULL << 60, UINT64_MAX), 0);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(devices_see_the_same),
		EACH_FORMAT(what_does_not_fit_the_space),
		EACH_FORMAT(what_agrees_with_the_space),
		EACH_FORMAT(windows_are_never_handed_out),
		EACH_FORMAT(windows_over_something_live),
		EACH_FORMAT(windows_over_something_gathered),
		EACH_FORMAT(windows_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
