/* SPDX-License-Identifier: MIT */
/* What one space has mapped, linked in another: iommufd copies it, and both are on their own. */
#include "setup.h"

#include <twostep/bus.h>

#include "base/base.h"

struct two {
	struct card first, second; /* in spaces of their own */
	uint8_t *memory;
	size_t pages;
	struct dma_iova_state from, to; /* so long, of either */
};

static void two_open(struct two *two, void **state, size_t pages)
{
	char uri[64];

	two->first = card_open(state, NULL);
	two->second = two->first;
	two->second.function = plug(SECOND_BDF, 8);
	snprintf(uri, sizeof(uri), "%s:" SECOND_BDF, two->first.scheme);
	if (dma_dev_open(uri, &two->second.dev))
		fail_msg("%s", dma_last_error());
	two->second.space = dma_dev_space(two->second.dev);
	assert_int_equal(dma_set_mask_and_coherent(two->second.dev, DMA_BIT_MASK(64)), 0);
	two->memory = pages_new(pages);
	two->pages = pages;
	two->from = reserve(&two->first, pages * PAGE);
	two->to = reserve(&two->second, pages * PAGE);
	fake_forget();
}

static void two_close(struct two *two)
{
	assert_int_equal(stats_of(&two->second).misuse, 0);
	dma_dev_close(two->second.dev);
	card_close(&two->first, 0);
	pages_free(two->memory, two->pages);
}

static int link_from(struct two *two, struct dma_iova_state *to, size_t offset, dma_addr_t addr,
		     size_t size)
{
	return dma_iova_link_mapped(two->second.dev, to, offset, two->first.dev, addr, size,
				    DMA_BIDIRECTIONAL, 0);
}

static void test_whole_maps(void **state)
{
	struct two two;
	size_t copies;

	two_open(&two, state, 8);
	copies = is_iommufd(&two.first) ? 1 : 0;
	link_at(&two.first, &two.from, 0, two.memory, 8 * PAGE);
	sync_at(&two.first, &two.from, 0, 8 * PAGE);
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, 8 * PAGE), 0);
	assert_int_equal(fake_count(UAPI_IOAS_COPY), copies);
	sync_at(&two.second, &two.to, 0, 8 * PAGE);
	assert_int_equal(fake_maps(), 1 + !copies);
	assert_reaches(&two.second, two.to.addr, two.memory, 8 * PAGE);
	/* Either may go first. */
	destroy(&two.first, &two.from, 8 * PAGE);
	assert_refused(&two.first, two.from.addr, 8 * PAGE);
	assert_reaches(&two.second, two.to.addr, two.memory, 8 * PAGE);
	destroy(&two.second, &two.to, 8 * PAGE);
	assert_refused(&two.second, two.to.addr, 8 * PAGE);
	two_close(&two);
}

/* Over several maps, and by parts of them: what is not alike is mapped by the sync. */
static void test_other_runs(void **state)
{
	struct two two;

	two_open(&two, state, 8);
	for (size_t i = 0; i < 8; i += 2)
		link_at(&two.first, &two.from, i * PAGE, two.memory + (6 - i) * PAGE, 2 * PAGE);
	sync_at(&two.first, &two.from, 0, 4 * PAGE);
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr + PAGE, 7 * PAGE), 0);
	sync_at(&two.second, &two.to, 0, 7 * PAGE);
	assert_reaches(&two.second, two.to.addr, two.memory + 7 * PAGE, PAGE);
	for (size_t i = 1; i < 7; i += 2)
		assert_reaches(&two.second, two.to.addr + i * PAGE, two.memory + (5 - i) * PAGE,
			       2 * PAGE);
	assert_refused(&two.second, two.to.addr + 7 * PAGE, PAGE);
	destroy(&two.second, &two.to, 7 * PAGE);
	assert_refused(&two.second, two.to.addr, 8 * PAGE);
	destroy(&two.first, &two.from, 8 * PAGE);
	two_close(&two);
}

/* The kernel refuses a copy: the sync maps. */
static void test_copy_fails(void **state)
{
	struct two two;

	two_open(&two, state, 2);
	link_at(&two.first, &two.from, 0, two.memory, 2 * PAGE);
	sync_at(&two.first, &two.from, 0, 2 * PAGE);
	fake_fail(UAPI_IOAS_COPY, 1, -ENOMEM);
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, 2 * PAGE), 0);
	assert_refused(&two.second, two.to.addr, 2 * PAGE);
	sync_at(&two.second, &two.to, 0, 2 * PAGE);
	assert_reaches(&two.second, two.to.addr, two.memory, 2 * PAGE);
	destroy(&two.second, &two.to, 2 * PAGE);
	destroy(&two.first, &two.from, 2 * PAGE);
	two_close(&two);
}

static void test_refused(void **state)
{
	struct two two;

	two_open(&two, state, 2);
	link_at(&two.first, &two.from, 0, two.memory, PAGE);
	dma_clear_error();
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, 2 * PAGE), -ENOENT);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, 0), -EINVAL);
	assert_int_equal(link_from(&two, &two.to, 0, UINT64_MAX - 10, PAGE), -EINVAL);
	assert_int_equal(link_from(&two, &two.to, 2 * PAGE, two.from.addr, PAGE), -ERANGE);
	base_alloc_fail(1);
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, PAGE), -ENOMEM);
	base_alloc_fail(0);
	assert_int_equal(fake_count(0), 0);
	/* Pending is linked all the same. */
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, PAGE), 0);
	assert_int_equal(link_from(&two, &two.to, 0, two.from.addr, PAGE), -EADDRINUSE);
	sync_at(&two.second, &two.to, 0, PAGE);
	assert_reaches(&two.second, two.to.addr, two.memory, PAGE);
	assert_refused(&two.first, two.from.addr, PAGE);
	destroy(&two.second, &two.to, PAGE);
	destroy(&two.first, &two.from, PAGE);
	two_close(&two);
}

/* A buffer that stands for memory is one device's alone. */
static void test_bounced(void **state)
{
	uint8_t *memory = pages_new(1);
	struct dma_iova_state to;
	struct card card = card_open_with(state, NULL, ",bounce=force");
	struct dma_dev *soft;
	dma_addr_t addr;

	assert_int_equal(dma_dev_open("soft:", &soft), 0);
	addr = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	assert_true(dma_iova_try_alloc(soft, &to, 0, PAGE));
	assert_int_equal(
		dma_iova_link_mapped(soft, &to, 0, card.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0),
		-EPERM);
	dma_iova_free(soft, &to);
	dma_unmap_phys(card.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	dma_dev_close(soft);
	card_close(&card, 0);
	pages_free(memory, 1);
}

/* Between any two: a device in software sees what the real one has. */
static void test_software(void **state)
{
	uint8_t *memory = pages_new(2), byte = 0;
	struct card card = card_open(state, NULL);
	struct dma_iova_state from = reserve(&card, 2 * PAGE), to;
	struct dma_dev *soft;

	memory[PAGE + 5] = 77;
	link_at(&card, &from, 0, memory, 2 * PAGE);
	assert_int_equal(dma_dev_open("soft:", &soft), 0);
	assert_true(dma_iova_try_alloc(soft, &to, 5, 2 * PAGE - 5));
	assert_int_equal(dma_iova_link_mapped(soft, &to, 0, card.dev, from.addr + 5, 2 * PAGE - 5,
					      DMA_BIDIRECTIONAL, 0),
			 0);
	assert_int_equal(dma_iova_sync(soft, &to, 0, 2 * PAGE - 5), 0);
	assert_int_equal(dma_bus_read(dma_dev_port(soft), to.addr + PAGE, &byte, 1), 0);
	assert_int_equal(byte, 77);
	dma_iova_destroy(soft, &to, 2 * PAGE - 5, DMA_BIDIRECTIONAL, 0);
	dma_dev_close(soft);
	destroy(&card, &from, 2 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_whole_maps),     EACH_WAY(test_other_runs),
		IOMMUFD_ONLY(test_copy_fails), EACH_WAY(test_refused),
		IOMMUFD_ONLY(test_bounced),    EACH_WAY(test_software),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
