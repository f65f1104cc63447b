/* SPDX-License-Identifier: MIT */
/* Limits of the kernel's are told in words, and where it can be known, before it refuses. */
#include "setup.h"

/* @n units of a page in a reservation, apart in memory. */
static struct dma_iova_state link_units(struct card *card, const uint8_t *memory, size_t n)
{
	struct dma_iova_state iova = reserve(card, n * PAGE);

	for (size_t i = 0; i < n; i++)
		link_at(card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	return iova;
}

static size_t refusals(void)
{
	static struct fake_call calls[1024];
	size_t nr = fake_log(calls, COUNT(calls)), refused = 0;

	assert_true(nr <= COUNT(calls));
	for (size_t i = 0; i < nr; i++)
		refused += calls[i].result < 0;
	return refused;
}

/* A container has so many entries. Who wants more is told which limit it is, by us. */
static void test_entries(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, &(struct fake_options){.entries = 8});
	struct dma_iova_state five = link_units(&card, memory, 5), four;

	sync_at(&card, &five, 0, 5 * PAGE);
	four = link_units(&card, memory, 4);
	dma_clear_error();
	assert_int_equal(dma_iova_sync(card.dev, &four, 0, 4 * PAGE), -ENOSPC);
	assert_non_null(strstr(dma_last_error(), "dma_entry_limit"));
	assert_refused(&card, four.addr, 4 * PAGE);
	assert_reaches(&card, five.addr, memory, 5 * PAGE);
	assert_int_equal(refusals(), 0);
	/* As many as there are can be had, and again when others have gone. */
	sync_at(&card, &four, 0, 3 * PAGE);
	assert_int_equal(dma_iova_sync(card.dev, &four, 0, 4 * PAGE), -ENOSPC);
	unlink_at(&card, &five, 0, PAGE);
	sync_at(&card, &four, 0, 4 * PAGE);
	assert_reaches(&card, four.addr, memory, 4 * PAGE);
	assert_int_equal(refusals(), 0);
	unlink_at(&card, &five, PAGE, 4 * PAGE);
	dma_iova_free(card.dev, &five);
	destroy(&card, &four, 4 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* What failed for another reason has not used entries up. */
static void test_entries_after_failure(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, &(struct fake_options){.entries = 8});
	struct dma_iova_state iova = link_units(&card, memory, 8);

	for (unsigned int n = 1; n <= 8; n++) {
		fake_fail(map_request(&card), n, -ENOMEM);
		assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 8 * PAGE), -ENOMEM);
	}
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_reaches(&card, iova.addr, memory, 8 * PAGE);
	destroy(&card, &iova, 8 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* A kernel that does not tell how many are left still refuses with the right code. */
static void test_entries_not_told(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card =
		card_open(state, &(struct fake_options){.entries = 4, .no_dma_avail = true});
	struct dma_iova_state iova = link_units(&card, memory, 6);

	dma_clear_error();
	assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 6 * PAGE), -ENOSPC);
	assert_non_null(strstr(dma_last_error(), "dma_entry_limit"));
	assert_refused(&card, iova.addr, 6 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	destroy(&card, &iova, 6 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

static void test_locked_memory(void **state)
{
	uint8_t *memory = pages_new(16);
	struct card card = card_open(state, &(struct fake_options){.locked_pages = 10});
	struct dma_iova_state iova = reserve(&card, 16 * PAGE);

	link_at(&card, &iova, 0, memory, 8 * PAGE);
	link_at(&card, &iova, 8 * PAGE, memory + 8 * PAGE, 2 * PAGE);
	link_at(&card, &iova, 10 * PAGE, memory + 10 * PAGE, 6 * PAGE);
	dma_clear_error();
	assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 16 * PAGE), -ENOMEM);
	assert_non_null(strstr(dma_last_error(), "lock"));
	assert_non_null(strstr(dma_last_error(), "ulimit -l"));
	assert_refused(&card, iova.addr, 16 * PAGE);
	assert_int_equal(fake_locked(), 0);
	sync_at(&card, &iova, 0, 10 * PAGE);
	assert_reaches(&card, iova.addr, memory, 10 * PAGE);
	destroy(&card, &iova, 16 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 16);
}

static void test_memory_not_there(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	munmap(memory + 2 * PAGE, PAGE);
	dma_clear_error();
	assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 4 * PAGE), -EFAULT);
	assert_string_not_equal(dma_last_error(), "");
	destroy(&card, &iova, 4 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TYPE1_ONLY(test_entries),	   TYPE1_ONLY(test_entries_after_failure),
		TYPE1_ONLY(test_entries_not_told), EACH_WAY(test_locked_memory),
		EACH_WAY(test_memory_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
