/* SPDX-License-Identifier: MIT */
/* Linking a scattered buffer in one call: where the pieces go, and that it is all or nothing. */
#include "setup.h"

static int link_vec(const struct device *d, struct dma_iova_state *iova, const struct phys_vec *vec,
		    size_t nr, size_t offset)
{
	return dma_iova_link_vec(d->dev, iova, vec, nr, offset, DMA_BIDIRECTIONAL, 0);
}

/* Pages in reverse, so that no two are contiguous. */
static void fill_reverse(struct phys_vec *vec, size_t nr, const uint8_t *memory)
{
	for (size_t i = 0; i < nr; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + (nr - 1 - i) * PAGE), PAGE};
}

/* Over several tables, at an offset, in one call and in many. */
static void scattered_pages(void **state)
{
	static struct phys_vec vec[1500];
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(COUNT(vec), 0);
	struct dma_iova_state iova = reserve(&d, 0, (COUNT(vec) + 7) * PAGE);
	dma_addr_t addr = iova.addr + 7 * PAGE;
	uint64_t where;

	for (size_t i = 0; i < COUNT(vec); i++)
		memcpy(memory + i * PAGE + 8, &i, sizeof(i));
	fill_reverse(vec, COUNT(vec), memory);
	for (size_t step = COUNT(vec); step > 3; step = step / 3 + 1) {
		for (size_t i = 0; i < COUNT(vec); i += step) {
			size_t nr = COUNT(vec) - i < step ? COUNT(vec) - i : step;

			assert_int_equal(link_vec(&d, &iova, vec + i, nr, (7 + i) * PAGE), 0);
		}
		for (size_t i = 0; i < COUNT(vec); i++) {
			assert_int_equal(
				dma_bus_read(d.port, addr + i * PAGE + 8, &where, sizeof(where)),
				0);
			assert_int_equal(where, COUNT(vec) - 1 - i);
		}
		assert_refused(&d, addr - 1);
		assert_int_equal(stats_of(&d).bytes_mapped, COUNT(vec) * PAGE);
		unlink_at(&d, &iova, 7 * PAGE, COUNT(vec) * PAGE);
		assert_refused_pages(&d, addr, COUNT(vec));
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	free(memory);
}

/* The first piece begins and the last one ends inside a granule: the bytes are contiguous. */
static void bytes_follow_each_other(void **state)
{
	static const size_t heads[] = {1, 7, 2048, 4095, 4096}, tails[] = {1, 100, 4095, 4096};
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(8, 0), seen[4 * 4096], wanted[4 * 4096];

	for (size_t i = 0; i < 8 * PAGE; i++)
		memory[i] = (uint8_t)(i * 7 + i / PAGE);
	for (size_t i = 0; i < COUNT(heads) * COUNT(tails); i++) {
		size_t head = heads[i % COUNT(heads)], tail = tails[i / COUNT(heads)];
		const uint8_t *first = memory + 7 * PAGE - head;
		const struct phys_vec vec[] = {
			{virt_to_phys(first), head},
			{virt_to_phys(memory + 3 * PAGE), PAGE},
			{virt_to_phys(memory + PAGE), tail},
		};
		size_t total = head + PAGE + tail;
		struct dma_iova_state iova = reserve(&d, vec[0].paddr, total);

		memcpy(wanted, first, head);
		memcpy(wanted + head, memory + 3 * PAGE, PAGE);
		memcpy(wanted + head + PAGE, memory + PAGE, tail);
		assert_int_equal(link_vec(&d, &iova, vec, COUNT(vec), 0), 0);
		assert_int_equal(dma_bus_read(d.port, iova.addr, seen, total), 0);
		assert_memory_equal(seen, wanted, total);
		/* Whole granules are reachable, not more. */
		assert_int_equal(stats_of(&d).bytes_mapped, 3 * PAGE);
		assert_reads(&d, iova.addr & ~(PAGE - 1), memory[6 * PAGE]);
		assert_reads(&d, (iova.addr + total - 1) | (PAGE - 1), memory[2 * PAGE - 1]);
		assert_refused(&d, (iova.addr & ~(PAGE - 1)) - 1);
		assert_refused(&d, ((iova.addr + total - 1) | (PAGE - 1)) + 1);
		destroy(&d, &iova, total);
	}
	device_close(&d, 0);
	free(memory);
}

/* One bad piece, at any place: that piece's error, and nothing of the others. */
static void all_or_nothing(void **state)
{
	enum { NR = 40 };
	static const size_t places[] = {0, 1, 17, NR - 2, NR - 1};
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(NR + 1, 0x20);
	struct dma_iova_state iova = reserve(&d, 0, (NR + 4) * PAGE);
	struct phys_vec good[NR], vec[NR];
	struct snapshot before;

	fill_reverse(good, NR, memory);
	for (size_t i = 0; i < COUNT(places); i++) {
		size_t at = places[i];
		const struct {
			struct phys_vec piece;
			int answer;
		} bad[] = {
			{{good[at].paddr, 0}, -EINVAL},
			{{good[at].paddr + 8, PAGE}, -EIO},
			{{good[at].paddr, PAGE * 50}, -ERANGE},
			{{1ULL << 52, PAGE}, -ERANGE},
			{{UINT64_MAX - PAGE + 1, PAGE}, -EINVAL},
			/* Ends inside a granule: the next piece does not follow. */
			{{good[at].paddr, PAGE - 8}, at == NR - 1 ? 0 : -ENXIO},
		};

		for (size_t b = 0; b < COUNT(bad); b++) {
			memcpy(vec, good, sizeof(vec));
			vec[at] = bad[b].piece;
			before = snapshot_take(&d, iova.addr, NR + 4);
			dma_clear_error();
			assert_int_equal(link_vec(&d, &iova, vec, NR, 2 * PAGE), bad[b].answer);
			if (!bad[b].answer) {
				unlink_at(&d, &iova, 2 * PAGE, NR * PAGE);
				continue;
			}
			assert_string_not_equal(dma_last_error(), "");
			assert_unchanged_but_tables(&d, &before);
		}
		/* Something is linked where the piece would go. */
		link_at(&d, &iova, (2 + at) * PAGE, memory + NR * PAGE, PAGE);
		before = snapshot_take(&d, iova.addr, NR + 4);
		dma_clear_error();
		assert_int_equal(link_vec(&d, &iova, good, NR, 2 * PAGE), -EADDRINUSE);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged_but_tables(&d, &before);
		unlink_at(&d, &iova, (2 + at) * PAGE, PAGE);

		assert_int_equal(link_vec(&d, &iova, good, NR, 2 * PAGE), 0);
		for (size_t p = 0; p < NR; p++)
			assert_reads(&d, iova.addr + (2 + p) * PAGE,
				     (unsigned int)(0x20 + NR - 1 - p));
		unlink_at(&d, &iova, 2 * PAGE, NR * PAGE);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	free(memory);
}

static void the_first_piece_at_fault_is_told(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	struct phys_vec vec[4];
	struct snapshot before;

	fill_reverse(vec, 4, memory);
	vec[1].paddr += 16;
	vec[2].len = 0;
	vec[3].paddr = 1ULL << 52;
	before = snapshot_take(&d, iova.addr, 4);
	assert_int_equal(link_vec(&d, &iova, vec, 4, 0), -EIO);
	assert_int_equal(link_vec(&d, &iova, vec + 2, 2, 0), -EINVAL);
	assert_int_equal(link_vec(&d, &iova, vec + 3, 1, 0), -ERANGE);
	dma_clear_error();
	assert_int_equal(link_vec(&d, &iova, vec, 0, 0), -EINVAL);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(link_vec(&d, &iova, NULL, 0, 0), -EINVAL);
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, 1, 0, DMA_NONE, 0), -EINVAL);
	/* More pieces than the reservation has granules, also at an offset that wraps. */
	fill_reverse(vec, 4, memory);
	assert_int_equal(link_vec(&d, &iova, vec, 4, PAGE), -ERANGE);
	assert_int_equal(link_vec(&d, &iova, vec, 4, (size_t)-4 * PAGE), -ERANGE);
	assert_unchanged(&d, &before);
	assert_int_equal(link_vec(&d, &iova, vec, 4, 0), 0);
	destroy(&d, &iova, 4 * PAGE);
	device_close(&d, 0);
	free(memory);
}

/* Pieces that follow each other in memory are one unit, others never share an entry. */
static void contiguous_pieces_are_a_unit(void **state)
{
	static struct phys_vec vec[1024];
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve(&d, 0, 4 * MIB);

	for (size_t i = 0; i < 1024; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory.at + i * PAGE), PAGE};
	/* Unequal pieces of the same. */
	assert_int_equal(link_vec(&d, &iova, vec, 1024, 0), 0);
	assert_int_equal(leaves(&d, iova.addr, 4 * MIB, PAGE), 2);
	unlink_at(&d, &iova, 0, 4 * MIB);
	vec[0].len = 3 * PAGE;
	vec[1] = (struct phys_vec){vec[3].paddr, 4 * MIB - 3 * PAGE};
	assert_int_equal(link_vec(&d, &iova, vec, 2, 0), 0);
	assert_int_equal(leaves(&d, iova.addr, 4 * MIB, PAGE), 2);
	unlink_at(&d, &iova, 0, 4 * MIB);
	/* Two pages swapped: that half is in pages. */
	for (size_t i = 0; i < 1024; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory.at + (i ^ (i / 2 == 300)) * PAGE),
					   PAGE};
	assert_int_equal(link_vec(&d, &iova, vec, 1024, 0), 0);
	assert_int_equal(leaves(&d, iova.addr, 4 * MIB, PAGE), 512 + 1);
	unlink_at(&d, &iova, 0, 4 * MIB);
	/* A page a link: units of a page, whatever the memory. */
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &iova, i * PAGE, memory.at + i * PAGE, PAGE);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB, PAGE), 512);
	destroy(&d, &iova, 2 * MIB);
	device_close(&d, 0);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(scattered_pages),
		EACH_FORMAT(bytes_follow_each_other),
		EACH_FORMAT(all_or_nothing),
		EACH_FORMAT(the_first_piece_at_fault_is_told),
		EACH_FORMAT(contiguous_pieces_are_a_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
