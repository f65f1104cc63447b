/* SPDX-License-Identifier: MIT */
/* A sync that fails has done nothing, whichever ioctl it was; the next one does everything. */
#include "setup.h"

#define UNITS 6
#define UNIT (3 * PAGE)

struct fixture {
	struct card card;
	struct dma_iova_state iova;
	uint8_t *memory;
};

/* The first unit is synced, the others are pending; units are apart in memory. */
static void open_fixture(struct fixture *fx, void **state)
{
	fx->memory = pages_new(UNITS * 4);
	fx->card = card_open(state, NULL);
	fx->iova = reserve(&fx->card, UNITS * UNIT);
	for (size_t i = 0; i < UNITS; i++) {
		link_at(&fx->card, &fx->iova, i * UNIT, fx->memory + i * 4 * PAGE, UNIT);
		if (!i)
			sync_at(&fx->card, &fx->iova, 0, UNIT);
	}
	fake_forget();
}

static void close_fixture(struct fixture *fx)
{
	destroy(&fx->card, &fx->iova, UNITS * UNIT);
	assert_refused(&fx->card, fx->iova.addr, UNITS * UNIT);
	card_close(&fx->card, 0);
	pages_free(fx->memory, UNITS * 4);
}

static void assert_first_only(const struct fixture *fx)
{
	assert_reaches(&fx->card, fx->iova.addr, fx->memory, UNIT);
	assert_refused(&fx->card, fx->iova.addr + UNIT, (UNITS - 1) * UNIT);
	assert_int_equal(fake_mapped(fx->card.function), UNIT);
	assert_int_equal(fake_locked(), UNIT / PAGE);
}

static void assert_all(const struct fixture *fx)
{
	for (size_t i = 0; i < UNITS; i++)
		assert_reaches(&fx->card, fx->iova.addr + i * UNIT, fx->memory + i * 4 * PAGE,
			       UNIT);
}

static void test_each_ioctl(void **state)
{
	static const int errors[] = {-ENOMEM, -EFAULT, -ENOSPC, -EIO};

	for (unsigned int n = 1; n < UNITS; n++) {
		struct fixture fx;
		int err = errors[n % COUNT(errors)];

		open_fixture(&fx, state);
		fake_fail(map_request(&fx.card), n, err);
		assert_int_equal(dma_iova_sync(fx.card.dev, &fx.iova, 0, UNITS * UNIT), err);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(fake_maps(), n);
		assert_first_only(&fx);
		/* Pending again: still taken, and dropped for nothing. */
		assert_int_equal(try_link(&fx.card, &fx.iova, UNIT, fx.memory, PAGE), -EADDRINUSE);
		fake_forget();
		sync_at(&fx.card, &fx.iova, 0, UNITS * UNIT);
		assert_int_equal(fake_maps(), UNITS - 1);
		assert_all(&fx);
		close_fixture(&fx);
	}
}

/* Twice in a row, and then the reservation goes. */
static void test_given_up(void **state)
{
	struct fixture fx;

	open_fixture(&fx, state);
	fake_fail(map_request(&fx.card), 4, -ENOMEM);
	assert_int_equal(dma_iova_sync(fx.card.dev, &fx.iova, 0, UNITS * UNIT), -ENOMEM);
	fake_fail(map_request(&fx.card), 2, -ENOMEM);
	assert_int_equal(dma_iova_sync(fx.card.dev, &fx.iova, 0, UNITS * UNIT), -ENOMEM);
	assert_first_only(&fx);
	close_fixture(&fx);
}

/* Only what is dropped and linked anew changes; the rest is still pending. */
static void test_mended(void **state)
{
	uint8_t *hole = pages_new(3);
	struct fixture fx;

	open_fixture(&fx, state);
	unlink_at(&fx.card, &fx.iova, 2 * UNIT, UNIT);
	link_at(&fx.card, &fx.iova, 2 * UNIT, hole, UNIT);
	munmap(hole + PAGE, PAGE);
	assert_int_equal(dma_iova_sync(fx.card.dev, &fx.iova, 0, UNITS * UNIT), -EFAULT);
	assert_first_only(&fx);
	unlink_at(&fx.card, &fx.iova, 2 * UNIT, UNIT);
	link_at(&fx.card, &fx.iova, 2 * UNIT, fx.memory + 8 * PAGE, UNIT);
	sync_at(&fx.card, &fx.iova, 0, UNITS * UNIT);
	assert_all(&fx);
	close_fixture(&fx);
	munmap(hole, 3 * PAGE);
}

/* What another sync has mapped meanwhile is not this one's to take back. */
static void test_part_before(void **state)
{
	struct fixture fx;

	open_fixture(&fx, state);
	sync_at(&fx.card, &fx.iova, 3 * UNIT, UNIT);
	fake_fail(map_request(&fx.card), 4, -ENOMEM);
	assert_int_equal(dma_iova_sync(fx.card.dev, &fx.iova, 0, UNITS * UNIT), -ENOMEM);
	assert_reaches(&fx.card, fx.iova.addr, fx.memory, UNIT);
	assert_reaches(&fx.card, fx.iova.addr + 3 * UNIT, fx.memory + 12 * PAGE, UNIT);
	assert_int_equal(fake_mapped(fx.card.function), 2 * UNIT);
	sync_at(&fx.card, &fx.iova, 0, UNITS * UNIT);
	assert_all(&fx);
	close_fixture(&fx);
}

static void test_streaming(void **state)
{
	uint8_t *memory = pages_new(2);
	struct card card = card_open(state, NULL);
	struct dma_stats before = stats_of(&card);

	fake_fail(map_request(&card), 1, -ENOMEM);
	assert_true(dma_map_phys(card.dev, virt_to_phys(memory), 2 * PAGE, DMA_BIDIRECTIONAL, 0) ==
		    DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(stats_of(&card).iova_live, before.iova_live);
	assert_int_equal(fake_mapped(card.function), 0);
	card_close(&card, 0);
	pages_free(memory, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_each_ioctl),  EACH_WAY(test_given_up),  EACH_WAY(test_mended),
		EACH_WAY(test_part_before), EACH_WAY(test_streaming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
