/* SPDX-License-Identifier: MIT */
/*
 * Whichever allocation fails, the call fails or does without, nothing has changed, and the
 * next call works. What takes away allocates nothing at all.
 */
#include <unistd.h>

#include "../denial.h"
#include "setup.h"

static void opening(void **state)
{
	static const char *const options[] = {"", ",absent=cache,iotlb=256,reserved=0x5000-0x7fff"};
	struct dma_dev *dev, *none = (struct dma_dev *)&options;
	char uri[128];

	for (size_t i = 0; i < 4; i++) {
		struct denial n = FIRST_DENIAL;

		snprintf(uri, sizeof(uri), "soft:%s%spgtable=%s%s", i & 2 ? "copy,thread=off" : "",
			 i & 2 ? "," : "", (const char *)*state, options[i & 1]);
		DENY_EACH(n)
		{
			int err;

			dev = none;
			deny(&n);
			err = dma_dev_open(uri, &dev);
			allow(&n, err);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_ptr_equal(dev, none);
				assert_int_equal(dma_dev_open(uri, &dev), 0);
			}
			dma_dev_close(dev);
		}
		assert_true(n.failures > 5);
	}
}

static void opening_without_an_iommu(void **state)
{
	struct denial n = FIRST_DENIAL;
	struct dma_dev *dev;
	int err;

	(void)state;
	DENY_EACH(n)
	{
		deny(&n);
		err = dma_dev_open("direct:", &dev);
		allow(&n, err);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(dma_dev_open("direct:", &dev), 0);
		}
		dma_dev_close(dev);
	}
	assert_true(n.failures > 1);
}

/* A device that could not be opened leaves none of its windows behind. */
static void opening_in_a_space(void **state)
{
	static const char uri[] = "soft:copy,thread=off,reserved=0x2000-0x2fff+0x5000-0x5fff";
	struct denial n = FIRST_DENIAL;
	struct dma_iova_state iova[7], more;
	struct dma_dev *dev;
	int err;

	DENY_EACH(n)
	{
		struct device d = soft_open(state, ",mask=15");

		deny(&n);
		err = dma_dev_open_in(uri, d.space, &dev);
		allow(&n, err);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			for (size_t i = 0; i < COUNT(iova); i++)
				iova[i] = reserve(&d, 0, PAGE);
			for (size_t i = 0; i < COUNT(iova); i++)
				dma_iova_free(d.dev, &iova[i]);
			assert_int_equal(dma_dev_open_in(uri, d.space, &dev), 0);
		}
		for (size_t i = 0; i < COUNT(iova) - 2; i++)
			iova[i] = reserve(&d, 0, PAGE);
		assert_false(dma_iova_try_alloc(d.dev, &more, 0, PAGE));
		for (size_t i = 0; i < COUNT(iova) - 2; i++)
			dma_iova_free(d.dev, &iova[i]);
		dma_dev_close(dev);
		device_close(&d, 0);
	}
	assert_true(n.failures > 3);
}

static void reserving(void **state)
{
	static const size_t sizes[] = {1, 3 * PAGE, GIB + PAGE};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct denial n = FIRST_DENIAL;

		DENY_EACH(n)
		{
			struct device d = soft_open(state, "");
			struct snapshot before = snapshot_take(&d, 0x1000, 1);
			struct dma_iova_state iova;
			bool ok;

			memset(&iova, 0xff, sizeof(iova));
			deny(&n);
			ok = dma_iova_try_alloc(d.dev, &iova, 0x10, sizes[i]);
			allow(&n, !ok);
			if (!ok) {
				assert_int_equal(iova.addr | iova.__size, 0);
				assert_unchanged_but_tables(&d, &before);
				iova = reserve(&d, 0x10, sizes[i]);
			}
			dma_iova_free(d.dev, &iova);
			device_close(&d, 0);
		}
		assert_true(n.failures > 0);
	}
}

/* Over several tables, in pages and in a large entry. */
static void linking(void **state)
{
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	static struct phys_vec vec[1030];
	const struct {
		size_t offset, size;
		bool vector;
	} links[] = {
		{0, PAGE, false},
		{0, 5, false},
		{2 * MIB - PAGE, 2 * PAGE, false},
		{2 * MIB - 2 * PAGE, 2 * MIB + 4 * PAGE, false},
		{2 * MIB, 2 * MIB, false},
		{2 * MIB - 3 * PAGE, COUNT(vec) * PAGE, true},
	};

	memset(memory.at, 9, 4 * MIB);
	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory.at + i % 2 * PAGE), PAGE};
	for (size_t i = 0; i < COUNT(links); i++) {
		struct denial n = FIRST_DENIAL;

		DENY_EACH(n)
		{
			struct device d = soft_open(state, "");
			struct dma_iova_state iova = reserve(&d, 0, 8 * MIB);
			dma_addr_t addr = iova.addr + links[i].offset;
			struct snapshot before = snapshot_take(&d, addr, 1);
			phys_addr_t phys = virt_to_phys(memory.at);
			int err = -1;

			for (unsigned int times = 0; err; times++) {
				assert_true(times < 2);
				if (!times)
					deny_from(&n);
				if (links[i].vector)
					err = dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec),
								links[i].offset, DMA_BIDIRECTIONAL,
								0);
				else
					err = dma_iova_link(d.dev, &iova, phys, links[i].offset,
							    links[i].size, DMA_BIDIRECTIONAL, 0);
				if (times)
					continue;
				allow(&n, err);
				if (err) {
					assert_int_equal(err, -ENOMEM);
					assert_unchanged_but_tables(&d, &before);
					assert_refused(&d, addr + links[i].size - 1);
				}
			}
			assert_reads(&d, addr, 9);
			assert_reads(&d, addr + links[i].size - 1, 9);
			unlink_at(&d, &iova, links[i].offset, links[i].size);
			dma_iova_free(d.dev, &iova);
			device_close(&d, 0);
		}
		assert_true(n.failures > 1);
	}
	expanse_free(&memory);
}

static void mapping(void **state)
{
	static const size_t sizes[] = {1, PAGE, 3 * PAGE, 3 * MIB};
	struct expanse memory = expanse_new(4 * MIB, PAGE);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct denial n = FIRST_DENIAL;

		DENY_EACH(n)
		{
			struct device d = soft_open(state, "");
			struct snapshot before = snapshot_take(&d, 0x1000, 1);
			dma_addr_t addr;

			deny_from(&n);
			addr = dma_map_single(d.dev, memory.at, sizes[i], DMA_TO_DEVICE);
			allow(&n, addr == DMA_MAPPING_ERROR);
			if (addr == DMA_MAPPING_ERROR) {
				assert_unchanged_but_tables(&d, &before);
				addr = dma_map_single(d.dev, memory.at, sizes[i], DMA_TO_DEVICE);
			}
			assert_reads(&d, addr, 0);
			assert_reads(&d, addr + sizes[i] - 1, 0);
			dma_unmap_single(d.dev, addr, sizes[i], DMA_TO_DEVICE);
			assert_refused(&d, addr);
			device_close(&d, 0);
		}
		assert_true(n.failures > 3);
	}
	expanse_free(&memory);
}

static void reserving_windows(void **state)
{
	struct denial n = FIRST_DENIAL;
	struct dma_iova_state iova, more;
	int err;

	DENY_EACH(n)
	{
		struct device d = soft_open(state, ",mask=14");

		deny(&n);
		err = dma_space_reserve(d.space, 0x2000, 0x3fff);
		allow(&n, err);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			/* Granules 2 and 3 are still to be had. */
			iova = reserve(&d, 0, 2 * PAGE);
			dma_iova_free(d.dev, &iova);
			assert_int_equal(dma_space_reserve(d.space, 0x2000, 0x3fff), 0);
		}
		iova = reserve(&d, 0, PAGE);
		assert_int_equal(iova.addr, 0x1000);
		assert_false(dma_iova_try_alloc(d.dev, &more, 0, PAGE));
		dma_iova_free(d.dev, &iova);
		device_close(&d, 0);
	}
	assert_true(n.failures > 1);
}

static void registering(void **state)
{
	uint8_t *memory = pages_new(2, 3);
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	for (size_t i = 0; i < 2; i++) {
		struct dma_memory_desc desc = {
			.type = DMA_MEMORY_P2P,
			.size = 2 * PAGE,
			.cpu = i ? NULL : memory,
			.fd = i ? fd : -1,
		};
		struct denial n = FIRST_DENIAL;

		DENY_EACH(n)
		{
			struct device d = soft_open(state, "");
			phys_addr_t base = 77;
			dma_addr_t addr;
			int err;

			deny(&n);
			err = dma_memory_register(&desc, &base);
			allow(&n, err);
			if (err) {
				assert_true(err == -ENOMEM || err == -ENOSPC);
				assert_int_equal(base, 77);
				assert_int_equal(virt_to_phys(memory), (uintptr_t)memory);
				assert_int_equal(dma_memory_register(&desc, &base), 0);
			}
			addr = dma_map_phys(d.dev, base + PAGE, PAGE, DMA_TO_DEVICE, 0);
			assert_reads(&d, addr, i ? 0 : 4);
			dma_unmap_phys(d.dev, addr, PAGE, DMA_TO_DEVICE, 0);
			assert_int_equal(dma_memory_unregister(base), 0);
			device_close(&d, 0);
		}
		/* With a pointer only the first registration of all needs anything. */
		assert_true(n.failures > 0 || !i);
	}
	close(fd);
	free(memory);
}

static void taking_away_allocates_nothing(void **state)
{
	enum { NR = 200 };
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * MIB, 2 * MIB);
	struct dma_iova_state iova[NR], whole;
	struct dma_gather gather;
	dma_addr_t addr[NR];
	bool checked;

	assert_true(dma_iova_try_alloc_flags(d.dev, &whole, 0, 2 * MIB, 0, DMA_IOVA_WHOLE));
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &whole, i * PAGE, memory.at + i * PAGE, PAGE);
	for (size_t i = 0; i < NR; i++) {
		iova[i] = reserve(&d, 0, (1 + i % 37) * PAGE);
		link_at(&d, &iova[i], 0, memory.at, PAGE);
		addr[i] = dma_map_single(d.dev, memory.at, 1 + i * 3000, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
	}
	base_alloc_fail(0);
	assert_int_equal(dma_iova_sync(d.dev, &whole, 0, 2 * MIB), 0);
	destroy(&d, &whole, 2 * MIB);
	dma_gather_begin(d.dev, &gather);
	for (size_t i = 0; i < NR; i++) {
		struct dma_gather *in = i % 2 ? &gather : NULL;

		dma_unmap_phys_gather(d.dev, addr[i], 1 + i * 3000, DMA_BIDIRECTIONAL, 0, in);
		dma_iova_unlink_gather(d.dev, &iova[i], 0, PAGE, DMA_BIDIRECTIONAL, 0, in);
		if (i % 3)
			dma_iova_free(d.dev, &iova[i]);
		else
			dma_iova_destroy_gather(d.dev, &iova[i], 0, DMA_BIDIRECTIONAL, 0, in);
		/* Misused calls neither. */
		dma_iova_free(d.dev, &iova[i]);
		dma_unmap_single(d.dev, addr[i], PAGE, DMA_BIDIRECTIONAL);
	}
	dma_gather_end(&gather);
	/* Misuse checks remember the gather, if they can. */
	checked = dma_debug_enabled(d.space);
	device_close(&d, 2 * NR);
	assert_true(checked || !base_alloc_fail(0));
	expanse_free(&memory);
}

/* A space that leaks closes without memory as well. */
static void closing_allocates_nothing(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * MIB, 2 * MIB);

	for (size_t i = 0; i < 50; i++) {
		struct dma_iova_state iova = reserve(&d, 0, 2 * MIB);

		link_at(&d, &iova, 0, memory.at, i % 2 ? PAGE : 2 * MIB);
	}
	base_alloc_fail(0);
	dma_dev_close(d.dev);
	assert_int_equal(base_alloc_fail(0), 0);
	assert_int_equal(dma_leak_count(), d.leaks + 50);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(opening),
		cmocka_unit_test(opening_without_an_iommu),
		EACH_FORMAT(opening_in_a_space),
		EACH_FORMAT(reserving),
		EACH_FORMAT(linking),
		EACH_FORMAT(mapping),
		EACH_FORMAT(reserving_windows),
		EACH_FORMAT(registering),
		EACH_FORMAT(taking_away_allocates_nothing),
		EACH_FORMAT(closing_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
