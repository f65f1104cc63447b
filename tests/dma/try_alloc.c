/* SPDX-License-Identifier: MIT */
/* Reserving: which addresses come out, and what is left of a state when none does. */
#include "setup.h"

static uint64_t round_up_to_power_of_two(uint64_t n)
{
	uint64_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static uint64_t granules(phys_addr_t phys, size_t size)
{
	return ((phys % PAGE) + size + PAGE - 1) / PAGE;
}

static void check_rules(const struct dma_iova_state *iova, phys_addr_t phys, size_t size,
			uint64_t last)
{
	dma_addr_t base = iova->addr - phys % PAGE;
	uint64_t pages = granules(phys, size);

	assert_true(dma_use_iova(iova));
	assert_int_equal(iova->addr % PAGE, phys % PAGE);
	assert_int_equal(dma_iova_size(iova), size);
	assert_int_not_equal(base, 0);
	assert_int_equal(base % (round_up_to_power_of_two(pages) * PAGE), 0);
	assert_true(base + pages * PAGE - 1 <= last);
}

static void addresses_follow_the_rules(void **state)
{
	static const uint64_t masks[] = {DMA_BIT_MASK(64), DMA_BIT_MASK(48), DMA_BIT_MASK(32),
					 DMA_BIT_MASK(24), 0x123456789ULL,   0xabcdefULL};
	static const phys_addr_t offsets[] = {0, 1, 0x800, 0xfff, 0x7000};
	static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 12288, 0x7001, 70000, 300000};
	struct device d = soft_open(state, "");
	struct dma_iova_state iova;

	for (size_t m = 0; m < COUNT(masks); m++) {
		assert_int_equal(dma_set_mask(d.dev, masks[m]), 0);
		for (size_t i = 0; i < COUNT(offsets) * COUNT(sizes); i++) {
			phys_addr_t phys = offsets[i % COUNT(offsets)];
			size_t size = sizes[i / COUNT(offsets)];
			uint64_t allocs = stats_of(&d).iova_allocs;

			iova = reserve(&d, phys, size);
			check_rules(&iova, phys, size, masks[m]);
			assert_int_equal(stats_of(&d).iova_allocs, allocs + 1);
			assert_int_equal(stats_of(&d).iova_live, 1);
			/* Reserved is not mapped. */
			assert_refused(&d, iova.addr);
			dma_iova_free(d.dev, &iova);
		}
	}
	device_close(&d, 0);
}

static void assert_fails(const struct device *d, size_t size, size_t align, unsigned int flags)
{
	struct snapshot before = snapshot_take(d, 0x1000, 1);
	struct dma_iova_state iova;

	memset(&iova, 0xff, sizeof(iova));
	dma_clear_error();
	assert_false(dma_iova_try_alloc_flags(d->dev, &iova, 0x123, size, align, flags));
	assert_int_equal(iova.addr, 0);
	assert_int_equal(iova.__size, 0);
	assert_false(dma_use_iova(&iova));
	assert_string_not_equal(dma_last_error(), "");
	if (!align && !flags) {
		memset(&iova, 0xff, sizeof(iova));
		dma_clear_error();
		assert_false(dma_iova_try_alloc(d->dev, &iova, 0x123, size));
		assert_int_equal(iova.addr, 0);
		assert_int_equal(iova.__size, 0);
		assert_string_not_equal(dma_last_error(), "");
	}
	assert_unchanged(d, &before);
}

static void failure_zeroes_the_state(void **state)
{
	static const size_t sizes[] = {
		0,
		1ULL << 63,
		1ULL << 62,
		(1ULL << 63) + 4096,
		(1ULL << 62) + 4096,
		(1ULL << 62) - 1,
		SIZE_MAX,
		SIZE_MAX - 4095,
		1ULL << 48,
	};
	struct device d = soft_open(state, "");
	struct dma_iova_state iova;

	for (size_t i = 0; i < COUNT(sizes); i++)
		assert_fails(&d, sizes[i], 0, 0);
	assert_fails(&d, 4096, 3, 0);
	assert_fails(&d, 4096, 4097, 0);
	assert_fails(&d, 4096, 0, 2);
	assert_fails(&d, 4096, 0, DMA_IOVA_WHOLE | 1U << 31);
	assert_fails(&d, 4096, 1ULL << 63, 0);
	assert_fails(&d, 4096, 1ULL << 48, 0);
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(20)), 0);
	assert_fails(&d, 1 << 20, 0, 0);
	assert_fails(&d, 4096, 1 << 20, 0);

	iova = reserve(&d, 0, 4096);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
}

/* 15 granules below 64 KiB, because 0 is never handed out. */
static void every_granule_but_the_first(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_iova_state iova[15];
	bool taken[16] = {true};

	assert_int_equal(dma_set_mask(d.dev, 0xffff), 0);
	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&d, 0, PAGE);
		assert_true(iova[i].addr <= 0xf000);
		assert_false(taken[iova[i].addr / PAGE]);
		taken[iova[i].addr / PAGE] = true;
	}
	assert_fails(&d, PAGE, 0, 0);
	assert_fails(&d, 1, 0, 0);
	for (size_t i = 0; i < COUNT(iova); i++) {
		dma_addr_t addr = iova[i].addr;

		dma_iova_free(d.dev, &iova[i]);
		iova[i] = reserve(&d, 0, PAGE);
		assert_int_equal(iova[i].addr, addr);
		assert_fails(&d, PAGE, 0, 0);
	}
	for (size_t i = 0; i < COUNT(iova); i++)
		dma_iova_free(d.dev, &iova[i]);
	/* Freed one by one, and whole again. */
	iova[0] = reserve(&d, 0, 8 * PAGE);
	assert_int_equal(iova[0].addr, 0x8000);
	dma_iova_free(d.dev, &iova[0]);
	device_close(&d, 0);
}

/* What was freed under one mask and is kept at hand must fit the next one. */
static void a_mask_holds_from_the_next_call_on(void **state)
{
	static const unsigned int bits[] = {64, 32, 64, 20, 36, 16, 64, 32};
	static const size_t sizes[] = {1, 4096, 4097, 16384, 40000};
	struct device d = soft_open(state, "");
	struct dma_iova_state iova[2];

	for (size_t i = 0; i < COUNT(bits); i++) {
		uint64_t mask = DMA_BIT_MASK(bits[i]);

		assert_int_equal(dma_set_mask(d.dev, mask), 0);
		for (size_t s = 0; s < COUNT(sizes); s++) {
			if (sizes[s] > mask / 4)
				continue;
			iova[0] = reserve(&d, 0, sizes[s]);
			iova[1] = reserve(&d, 0, sizes[s]);
			check_rules(&iova[0], 0, sizes[s], mask);
			check_rules(&iova[1], 0, sizes[s], mask);
			dma_iova_free(d.dev, &iova[0]);
			dma_iova_free(d.dev, &iova[1]);
		}
	}
	device_close(&d, 0);
}

static void odd_masks_end_with_a_whole_granule(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_iova_state iova, other;

	/* All of granule 1 and a byte of granule 2. */
	assert_int_equal(dma_set_mask(d.dev, 0x2000), 0);
	iova = reserve(&d, 0, PAGE);
	assert_int_equal(iova.addr, 0x1000);
	assert_fails(&d, PAGE, 0, 0);
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_set_mask(d.dev, 0x2ffe), 0);
	iova = reserve(&d, 0, PAGE);
	assert_int_equal(iova.addr, 0x1000);
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_set_mask(d.dev, 0x2fff), 0);
	iova = reserve(&d, 0, PAGE);
	other = reserve(&d, 0, PAGE);
	assert_int_equal(iova.addr ^ other.addr, 0x1000 ^ 0x2000);
	dma_iova_free(d.dev, &iova);
	dma_iova_free(d.dev, &other);
	device_close(&d, 0);
}

static void the_bus_may_be_narrower_than_the_mask(void **state)
{
	struct device d = soft_open(state, ",mask=20");
	struct dma_iova_state iova = reserve(&d, 0, 1 << 19);

	assert_int_equal(iova.addr, 1 << 19);
	assert_fails(&d, 1 << 19, 0, 0);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
}

static void alignment_beyond_the_size(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_iova_state iova;

	for (size_t align = 1; align <= GIB; align *= 2) {
		for (size_t size = 1; size <= 4 * MIB; size *= 16) {
			assert_true(dma_iova_try_alloc_flags(d.dev, &iova, 0x10, size, align, 0));
			assert_int_equal((iova.addr - 0x10) % align & ~(PAGE - 1), 0);
			check_rules(&iova, 0x10, size, DMA_BIT_MASK(48));
			dma_iova_free(d.dev, &iova);
		}
	}
	assert_true(dma_iova_try_alloc_flags(d.dev, &iova, 0, 5 * PAGE, MIB, DMA_IOVA_WHOLE));
	check_rules(&iova, 0, 5 * PAGE, DMA_BIT_MASK(48));
	assert_int_equal(iova.addr % MIB, 0);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
}

static void live_ranges_are_disjoint(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_iova_state iova[120];

	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(26)), 0);
	for (size_t i = 0; i < COUNT(iova); i++) {
		phys_addr_t phys = i * 333 % PAGE;
		size_t size = 1 + i * 2741;

		iova[i] = reserve(&d, phys, size);
		check_rules(&iova[i], phys, size, DMA_BIT_MASK(26));
		for (size_t other = 0; other < i; other++) {
			dma_addr_t base = iova[other].addr / PAGE, mine = iova[i].addr / PAGE;

			assert_true(mine >= base + granules(iova[other].addr,
							    dma_iova_size(&iova[other])) ||
				    base >= mine + granules(phys, size));
		}
		/* Every third goes at once, so that holes are filled. */
		if (i % 3 == 2) {
			dma_iova_free(d.dev, &iova[i - 1]);
			iova[i - 1] = iova[i];
			iova[i] = reserve(&d, 0, 1);
		}
	}
	for (size_t i = 0; i < COUNT(iova); i++)
		dma_iova_free(d.dev, &iova[i]);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(addresses_follow_the_rules),
		EACH_FORMAT(failure_zeroes_the_state),
		EACH_FORMAT(every_granule_but_the_first),
		EACH_FORMAT(a_mask_holds_from_the_next_call_on),
		EACH_FORMAT(odd_masks_end_with_a_whole_granule),
		EACH_FORMAT(the_bus_may_be_narrower_than_the_mask),
		EACH_FORMAT(alignment_beyond_the_size),
		EACH_FORMAT(live_ranges_are_disjoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
