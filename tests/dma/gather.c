/* SPDX-License-Identifier: MIT */
/* Gathering: one invalidation for many unlinks, and nothing is final or reused before it. */
#include "setup.h"

#define RANGES DMA_GATHER_RANGES

static uint64_t invalidations(const struct device *d)
{
	return stats_of(d).iotlb_invalidations;
}

static void unlink_in(const struct device *d, struct dma_iova_state *iova, size_t offset,
		      size_t size, struct dma_gather *gather)
{
	dma_iova_unlink_gather(d->dev, iova, offset, size, DMA_BIDIRECTIONAL, 0, gather);
}

static void destroy_in(const struct device *d, struct dma_iova_state *iova, size_t mapped,
		       struct dma_gather *gather)
{
	dma_iova_destroy_gather(d->dev, iova, mapped, DMA_BIDIRECTIONAL, 0, gather);
}

/* In a space of 127 granules, all of which are taken. */
static void many_ranges_one_invalidation(void **state)
{
	enum { ALL = 127 };
	struct device d = soft_open(state, ",mask=19");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova[ALL], one;
	struct dma_gather gather;
	struct dma_stats before;

	for (size_t i = 0; i < ALL; i++) {
		iova[i] = reserve(&d, 0, PAGE);
		link_at(&d, &iova[i], 0, memory, PAGE);
		assert_reads(&d, iova[i].addr, 1);
	}
	before = stats_of(&d);
	dma_gather_begin(d.dev, &gather);
	for (size_t i = 0; i < RANGES; i++) {
		destroy_in(&d, &iova[i], PAGE, &gather);
		assert_int_equal(stats_of(&d).iova_live, ALL - i - 1);
		assert_int_equal(stats_of(&d).bytes_mapped, (ALL - i - 1) * PAGE);
		/* Its address is not free yet, and asking for one does not end the gather. */
		assert_false(dma_iova_try_alloc(d.dev, &one, 0, PAGE));
		assert_int_equal(invalidations(&d), before.iotlb_invalidations);
	}
	dma_gather_end(&gather);
	assert_int_equal(invalidations(&d), before.iotlb_invalidations + 1);
	assert_int_equal(stats_of(&d).pte_writes, before.pte_writes + RANGES);
	for (size_t i = 0; i < ALL; i++) {
		if (i < RANGES)
			assert_refused(&d, iova[i].addr);
		else
			assert_reads(&d, iova[i].addr, 1);
	}
	for (size_t i = 0; i < RANGES; i++)
		iova[i] = reserve(&d, 0, PAGE);
	assert_false(dma_iova_try_alloc(d.dev, &one, 0, PAGE));
	for (size_t i = 0; i < ALL; i++)
		destroy(&d, &iova[i], i < RANGES ? 0 : PAGE);
	device_close(&d, 0);
	free(memory);
}

/* The one that does not fit makes room first. */
static void one_range_too_many(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova[2 * RANGES + 1];
	struct dma_gather gather;
	uint64_t before;

	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&d, 0, PAGE);
		link_at(&d, &iova[i], 0, memory, PAGE);
		assert_reads(&d, iova[i].addr, 1);
	}
	before = invalidations(&d);
	dma_gather_begin(d.dev, &gather);
	for (size_t i = 0; i < COUNT(iova); i++) {
		destroy_in(&d, &iova[i], PAGE, &gather);
		assert_int_equal(invalidations(&d), before + i / RANGES);
		/* Those before the last flush are final. */
		for (size_t final = 0; final < i / RANGES * RANGES; final += 9)
			assert_refused(&d, iova[final].addr);
	}
	dma_gather_end(&gather);
	assert_int_equal(invalidations(&d), before + 3);
	for (size_t i = 0; i < COUNT(iova); i++)
		assert_refused(&d, iova[i].addr);
	/* Nothing is in it any more. */
	dma_gather_end(&gather);
	dma_gather_begin(d.dev, &gather);
	dma_gather_end(&gather);
	assert_int_equal(invalidations(&d), before + 3);
	device_close(&d, 0);
	free(memory);
}

/* All three calls in one gather, which is used twice. */
static void all_calls_in_one(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(8, 1);
	struct dma_iova_state kept = reserve(&d, 0, 8 * PAGE);
	struct dma_gather gather;

	memset(&gather, 0xff, sizeof(gather));
	for (size_t round = 0; round < 2; round++) {
		struct dma_iova_state gone = reserve(&d, 0, 2 * PAGE);
		dma_addr_t addr[2] = {
			dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL),
			dma_map_single(d.dev, memory, 3 * PAGE, DMA_BIDIRECTIONAL),
		};
		uint64_t before = invalidations(&d);

		link_at(&d, &gone, 0, memory, PAGE);
		link_at(&d, &kept, 0, memory, 8 * PAGE);
		assert_reads(&d, gone.addr, 1);
		assert_reads_pages(&d, kept.addr, 8, 1);
		assert_reads(&d, addr[0], 1);
		assert_reads_pages(&d, addr[1], 3, 1);
		dma_gather_begin(d.dev, &gather);
		dma_unmap_phys_gather(d.dev, addr[0], PAGE, DMA_BIDIRECTIONAL, 0, &gather);
		unlink_in(&d, &kept, PAGE, 2 * PAGE, &gather);
		destroy_in(&d, &gone, PAGE, &gather);
		dma_unmap_phys_gather(d.dev, addr[1], 3 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
		unlink_in(&d, &kept, 5 * PAGE, PAGE, &gather);
		assert_int_equal(invalidations(&d), before);
		dma_gather_end(&gather);
		assert_int_equal(invalidations(&d), before + 1);
		assert_refused(&d, gone.addr);
		assert_refused(&d, addr[0]);
		assert_refused_pages(&d, addr[1], 3);
		for (size_t i = 0; i < 8; i++) {
			if (0x26 & 1 << i)
				assert_refused(&d, kept.addr + i * PAGE);
			else
				assert_reads(&d, kept.addr + i * PAGE, (unsigned int)i + 1);
		}
		unlink_at(&d, &kept, 0, PAGE);
		unlink_at(&d, &kept, 3 * PAGE, 2 * PAGE);
		unlink_at(&d, &kept, 6 * PAGE, 2 * PAGE);
	}
	dma_iova_free(d.dev, &kept);
	device_close(&d, 0);
	free(memory);
}

/* NULL, a gather that is for nothing, and one of another space: simply strict. */
static void without_a_gather_of_the_space(void **state)
{
	struct device d = soft_open(state, ",mask=13"), other = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct dma_gather nothing, others, *gathers[] = {NULL, &nothing, &others};

	dma_gather_begin(NULL, &nothing);
	dma_gather_begin(other.dev, &others);
	for (size_t i = 0; i < 3 * COUNT(gathers); i++) {
		/* There is room for one, so it would not do if the last was not free yet. */
		struct dma_iova_state iova = {0};
		dma_addr_t addr;
		uint64_t before = invalidations(&d);

		if (i % 3 == 2) {
			addr = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
			assert_reads(&d, addr, 1);
			dma_unmap_phys_gather(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0,
					      gathers[i / 3]);
		} else {
			iova = reserve(&d, 0, PAGE);
			addr = iova.addr;
			link_at(&d, &iova, 0, memory, PAGE);
			assert_reads(&d, addr, 1);
		}
		if (i % 3 == 0)
			destroy_in(&d, &iova, PAGE, gathers[i / 3]);
		if (i % 3 == 1)
			unlink_in(&d, &iova, 0, PAGE, gathers[i / 3]);
		assert_int_equal(invalidations(&d), before + 1);
		assert_refused(&d, addr);
		if (i % 3 == 1)
			dma_iova_free(d.dev, &iova);
	}
	dma_gather_end(&nothing);
	dma_gather_end(&others);
	assert_int_equal(invalidations(&other), 0);
	device_close(&d, 0);
	device_close(&other, 0);
	free(memory);
}

/* The device must not read the old memory by what it remembers. */
static void linking_into_an_unlinked_range(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *old = pages_new(4, 1), *new = pages_new(4, 0x80);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	struct phys_vec vec[2] = {{virt_to_phys(new), PAGE}, {virt_to_phys(new + 2 * PAGE), PAGE}};
	struct dma_gather gather;
	uint64_t before;

	link_at(&d, &iova, 0, old, 4 * PAGE);
	assert_reads_pages(&d, iova.addr, 4, 1);
	dma_gather_begin(d.dev, &gather);
	unlink_in(&d, &iova, 0, 4 * PAGE, &gather);
	before = invalidations(&d);
	link_at(&d, &iova, PAGE, new, PAGE);
	assert_int_equal(invalidations(&d), before + 1);
	assert_reads(&d, iova.addr + PAGE, 0x80);
	/* The others too, one way and another. */
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, 2, 2 * PAGE, DMA_BIDIRECTIONAL, 0),
			 0);
	assert_reads(&d, iova.addr + 2 * PAGE, 0x80);
	assert_reads(&d, iova.addr + 3 * PAGE, 0x82);
	link_at(&d, &iova, 0, new + 3 * PAGE, 1);
	assert_reads(&d, iova.addr, 0x83);
	dma_gather_end(&gather);
	/* What was linked in between stays. */
	assert_reads(&d, iova.addr, 0x83);
	assert_reads(&d, iova.addr + PAGE, 0x80);
	assert_reads(&d, iova.addr + 2 * PAGE, 0x80);
	assert_reads(&d, iova.addr + 3 * PAGE, 0x82);
	assert_int_equal(stats_of(&d).bytes_mapped, 4 * PAGE);
	destroy(&d, &iova, 4 * PAGE);
	assert_refused_pages(&d, iova.addr, 4);
	device_close(&d, 0);
	free(old);
	free(new);
}

/* The same where one large entry was, page by page. */
static void linking_where_a_large_entry_was(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse old = expanse_new(4 * MIB, 2 * MIB);
	uint8_t *new = pages_new(4, 0x80);
	struct dma_iova_state iova = reserve(&d, 0, 4 * MIB);
	struct dma_gather gather;

	memset(old.at, 1, 4 * MIB);
	for (size_t round = 0; round < 2; round++) {
		link_at(&d, &iova, 0, old.at, 4 * MIB);
		assert_int_equal(leaves(&d, iova.addr, 4 * MIB, PAGE), 2);
		dma_gather_begin(d.dev, &gather);
		unlink_in(&d, &iova, 0, 4 * MIB, &gather);
		link_at(&d, &iova, 5 * PAGE, new, PAGE);
		link_at(&d, &iova, MIB, new + PAGE, PAGE);
		assert_reads(&d, iova.addr + MIB, 0x81);
		assert_reads(&d, iova.addr + 5 * PAGE, 0x80);
		/* A large one again. */
		link_at(&d, &iova, 2 * MIB, old.at, 2 * MIB);
		assert_reads(&d, iova.addr + 3 * MIB, 1);
		assert_refused(&d, iova.addr);
		dma_gather_end(&gather);
		assert_reads(&d, iova.addr + MIB, 0x81);
		assert_reads(&d, iova.addr + 5 * PAGE, 0x80);
		assert_reads(&d, iova.addr + 3 * MIB, 1);
		assert_refused(&d, iova.addr);
		unlink_at(&d, &iova, 5 * PAGE, PAGE);
		unlink_at(&d, &iova, MIB, PAGE);
		unlink_at(&d, &iova, 2 * MIB, 2 * MIB);
	}
	/* Large where there were pages. */
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &iova, i * PAGE, new, PAGE);
	assert_reads(&d, iova.addr + 7 * PAGE, 0x80);
	dma_gather_begin(d.dev, &gather);
	unlink_in(&d, &iova, 0, 2 * MIB, &gather);
	link_at(&d, &iova, 0, old.at, 2 * MIB);
	assert_reads(&d, iova.addr + 7 * PAGE, 1);
	assert_int_equal(stats_of(&d).bytes_mapped, 2 * MIB);
	dma_gather_end(&gather);
	assert_reads(&d, iova.addr + 7 * PAGE, 1);
	destroy(&d, &iova, 2 * MIB);
	device_close(&d, 0);
	expanse_free(&old);
	free(new);
}

/* Given back while the gather is open: nobody reaches the old memory by the new owner's address. */
static void giving_an_unlinked_range_back(void **state)
{
	static const size_t sizes[] = {PAGE, 4 * PAGE, 4 * MIB};
	struct device d = soft_open(state, "");
	struct expanse old = expanse_new(4 * MIB, 2 * MIB);
	uint8_t *new = pages_new(1, 0x80);
	struct dma_gather gather;

	memset(old.at, 1, 4 * MIB);
	for (size_t i = 0; i < 4 * COUNT(sizes); i++) {
		size_t size = sizes[i / 4];
		struct dma_iova_state iova = reserve(&d, 0, size), next;
		struct misuse misuse;

		link_at(&d, &iova, 0, old.at, size);
		assert_reads(&d, iova.addr, 1);
		assert_reads(&d, iova.addr + size - 1, 1);
		misuse = misuse_expect(&d);
		dma_gather_begin(d.dev, &gather);
		unlink_in(&d, &iova, 0, size, &gather);
		if (i % 4 == 0)
			dma_iova_free(d.dev, &iova);
		else if (i % 4 == 1)
			destroy(&d, &iova, 0);
		else
			destroy_in(&d, &iova, 0, &gather);
		if (i % 4 == 3)
			dma_gather_end(&gather);
		/* Whoever gets an address, perhaps the same one, links there and uses it. */
		next = reserve(&d, 0, size);
		link_at(&d, &next, 0, new, PAGE);
		assert_reads(&d, next.addr, 0x80);
		dma_gather_end(&gather);
		assert_reads(&d, next.addr, 0x80);
		if (size > PAGE)
			assert_refused(&d, next.addr + size - 1);
		assert_int_equal(stats_of(&d).iova_live, 1);
		destroy(&d, &next, PAGE);
		assert_refused(&d, iova.addr);
		assert_refused(&d, next.addr);
		misuse_check(&d, misuse, 0);
	}
	device_close(&d, 0);
	expanse_free(&old);
	free(new);
}

/* It was not begun again: nobody would end it, so everything is final at once. */
static void after_its_end_it_is_strict(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova[2];
	struct dma_gather gather;
	dma_addr_t addr;

	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&d, 0, PAGE);
		link_at(&d, &iova[i], 0, memory, PAGE);
		assert_reads(&d, iova[i].addr, 1);
	}
	addr = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
	assert_reads(&d, addr, 1);
	dma_gather_begin(d.dev, &gather);
	destroy_in(&d, &iova[0], PAGE, &gather);
	dma_gather_end(&gather);
	assert_int_equal(invalidations(&d), 1);
	unlink_in(&d, &iova[1], 0, PAGE, &gather);
	assert_int_equal(invalidations(&d), 2);
	assert_refused(&d, iova[1].addr);
	link_at(&d, &iova[1], 0, memory, PAGE);
	assert_reads(&d, iova[1].addr, 1);
	destroy_in(&d, &iova[1], PAGE, &gather);
	assert_int_equal(invalidations(&d), 3);
	assert_refused(&d, iova[1].addr);
	dma_unmap_phys_gather(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	assert_int_equal(invalidations(&d), 4);
	assert_refused(&d, addr);
	device_close(&d, 0);
	free(memory);
}

/* Misuse inside a gather is told at once, and the device's access ends with the gather. */
static void misuse_in_a_gather(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	dma_addr_t addr = dma_map_single(d.dev, memory, 2 * PAGE, DMA_BIDIRECTIONAL);
	struct dma_gather gather;
	struct misuse misuse;

	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 1);
	assert_reads_pages(&d, addr, 2, 1);
	dma_gather_begin(d.dev, &gather);
	misuse = misuse_expect(&d);
	unlink_in(&d, &iova, PAGE, 2 * PAGE, &gather);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	unlink_in(&d, &iova, 3 * PAGE, PAGE, &gather);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	destroy_in(&d, &iova, 0, &gather);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	destroy_in(&d, &iova, 0, &gather);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	dma_unmap_phys_gather(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	dma_unmap_phys_gather(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	misuse_check(&d, misuse, 1);
	dma_gather_end(&gather);
	assert_refused_pages(&d, iova.addr, 4);
	assert_refused_pages(&d, addr, 2);
	device_close(&d, 6);
	free(memory);
}

/* Any device of the space is good for a call with the gather. */
static void two_devices_of_a_space(void **state)
{
	struct device d = soft_open(state, ""), second = {.space = d.space};
	uint8_t *memory = pages_new(2, 1);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);
	struct dma_gather gather;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &second.dev), 0);
	second.port = dma_dev_port(second.dev);
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 1);
	assert_reads_pages(&second, iova.addr, 2, 1);
	dma_gather_begin(second.dev, &gather);
	destroy_in(&d, &iova, 2 * PAGE, &gather);
	assert_int_equal(invalidations(&d), 0);
	dma_gather_end(&gather);
	assert_int_equal(invalidations(&d), 1);
	assert_refused_pages(&d, iova.addr, 2);
	assert_refused_pages(&second, iova.addr, 2);
	dma_dev_close(second.dev);
	device_close(&d, 0);
	free(memory);
}

/* More tables than are kept, all of which go with one gather that is full several times. */
static void tables_wait_for_the_end(void **state)
{
	enum { SPANS = 1300 };
	static struct phys_vec vec[512];
	static struct dma_iova_state iova[SPANS];
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 0x33);
	struct dma_gather gather;
	uint64_t metadata;

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory), PAGE};
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < SPANS; i++) {
			iova[i] = reserve(&d, 0, 2 * MIB);
			assert_int_equal(dma_iova_link_vec(d.dev, &iova[i], vec, COUNT(vec), 0,
							   DMA_BIDIRECTIONAL, 0),
					 0);
			assert_reads(&d, iova[i].addr + i % 512 * PAGE, 0x33);
		}
		metadata = stats_of(&d).metadata_bytes;
		dma_gather_begin(d.dev, &gather);
		for (size_t i = 0; i < SPANS; i++) {
			destroy_in(&d, &iova[i], 2 * MIB, &gather);
			/* Making room for this range must not free its table, still walked. */
			if (i < SPANS - 1100)
				assert_non_null(gather.free_tables);
		}
		dma_gather_end(&gather);
		for (size_t i = 0; i < SPANS; i++)
			assert_refused(&d, iova[i].addr + i % 512 * PAGE);
		assert_true(stats_of(&d).metadata_bytes <= metadata - (SPANS - 1100) * PAGE);
	}
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(many_ranges_one_invalidation),
		EACH_FORMAT(after_its_end_it_is_strict),
		EACH_FORMAT(one_range_too_many),
		EACH_FORMAT(all_calls_in_one),
		EACH_FORMAT(without_a_gather_of_the_space),
		EACH_FORMAT(linking_into_an_unlinked_range),
		EACH_FORMAT(linking_where_a_large_entry_was),
		EACH_FORMAT(giving_an_unlinked_range_back),
		EACH_FORMAT(misuse_in_a_gather),
		EACH_FORMAT(two_devices_of_a_space),
		EACH_FORMAT(tables_wait_for_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
