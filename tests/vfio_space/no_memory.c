/* SPDX-License-Identifier: MIT */
/*
 * Whichever allocation fails, the call fails or does without, nothing has changed, and the
 * next call works. What takes away allocates nothing at all.
 */
#include "../denial.h"
#include "setup.h"

static void test_opening(void **state)
{
	struct dma_dev *dev, *none = (struct dma_dev *)&dev;
	struct denial n = FIRST_DENIAL;
	char uri[64];

	if (!fake_start(NULL))
		exit(77);
	plug(BDF, 7);
	snprintf(uri, sizeof(uri), "%s:" BDF, (const char *)*state);
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
			assert_int_equal(fake_open_files(), 0);
			assert_int_equal(dma_dev_open(uri, &dev), 0);
		}
		dma_dev_close(dev);
		assert_int_equal(fake_open_files(), 0);
	}
	assert_true(n.failures > 5);
	machine_stop();
}

static void test_opening_in_a_space(void **state)
{
	struct card card = card_open(state, NULL);
	struct denial n = FIRST_DENIAL;
	struct dma_dev *dev;
	size_t files = fake_open_files();
	char uri[64];

	plug(SECOND_BDF, 8);
	snprintf(uri, sizeof(uri), "%s:" SECOND_BDF, card.scheme);
	DENY_EACH(n)
	{
		int err;

		deny(&n);
		err = dma_dev_open_in(uri, card.space, &dev);
		allow(&n, err);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(fake_open_files(), files);
			assert_int_equal(dma_dev_open_in(uri, card.space, &dev), 0);
		}
		dma_dev_close(dev);
		assert_int_equal(fake_open_files(), files);
	}
	assert_true(n.failures > 1);
	card_close(&card, 0);
}

#define UNITS 40

/* @what of one reservation, link, vector or sync after the other fails; then none of it has. */
static void two_steps(struct card *card, struct denial *n, const uint8_t *memory, bool from)
{
	struct dma_iova_state iova;
	struct phys_vec vec[4];
	size_t done = 0;
	bool ok;
	int err;

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + 2 * i * PAGE), PAGE};
	(from ? deny_from : deny)(n);
	ok = dma_iova_try_alloc(card->dev, &iova, 0, (UNITS + COUNT(vec)) * PAGE);
	err = !ok;
	while (!err && done < UNITS) {
		err = try_link(card, &iova, done * PAGE, memory + done * PAGE, PAGE);
		done += !err;
	}
	if (!err)
		err = dma_iova_link_vec(card->dev, &iova, vec, COUNT(vec), UNITS * PAGE,
					DMA_BIDIRECTIONAL, 0);
	if (!err)
		err = dma_iova_sync(card->dev, &iova, 0, UNITS * PAGE);
	allow(n, err);
	if (!ok)
		iova = reserve(card, (UNITS + COUNT(vec)) * PAGE);
	else if (err)
		assert_int_equal(err, -ENOMEM);
	while (done < UNITS) {
		link_at(card, &iova, done * PAGE, memory + done * PAGE, PAGE);
		done++;
	}
	/* The vector may be linked, if it was the sync that failed. */
	dma_iova_link_vec(card->dev, &iova, vec, COUNT(vec), UNITS * PAGE, DMA_BIDIRECTIONAL, 0);
	sync_at(card, &iova, 0, (UNITS + COUNT(vec)) * PAGE);
	assert_reaches(card, iova.addr, memory, UNITS * PAGE);
	for (size_t i = 0; i < COUNT(vec); i++)
		assert_reaches(card, iova.addr + (UNITS + i) * PAGE, memory + 2 * i * PAGE, PAGE);

	dma_clear_error();
	base_alloc_fail_from(1);
	unlink_at(card, &iova, 3 * PAGE, 5 * PAGE);
	assert_refused(card, iova.addr + 3 * PAGE, 5 * PAGE);
	assert_int_equal(base_alloc_fail(0), 0);
	for (size_t i = 3; i < 8; i++)
		link_at(card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	base_alloc_fail_from(1);
	destroy(card, &iova, (UNITS + COUNT(vec)) * PAGE);
	assert_int_equal(base_alloc_fail(0), 0);
	assert_refused(card, iova.addr, (UNITS + COUNT(vec)) * PAGE);
	assert_int_equal(fake_mapped(card->function), 0);
}

static void test_two_steps(void **state)
{
	uint8_t *memory = pages_new(UNITS);

	for (int from = 0; from < 2; from++) {
		struct denial n = FIRST_DENIAL;

		DENY_EACH(n)
		{
			struct card card = card_open(state, NULL);

			two_steps(&card, &n, memory, from);
			card_close(&card, 0);
		}
		assert_true(n.failures > 0);
	}
	pages_free(memory, UNITS);
}

static void test_streaming(void **state)
{
	uint8_t *memory = pages_new(4);
	struct denial n = FIRST_DENIAL;

	DENY_EACH(n)
	{
		struct card card = card_open(state, NULL);
		dma_addr_t addr;

		deny_from(&n);
		addr = dma_map_phys(card.dev, virt_to_phys(memory), 3 * PAGE, DMA_BIDIRECTIONAL, 0);
		allow(&n, dma_mapping_error(card.dev, addr));
		if (dma_mapping_error(card.dev, addr)) {
			assert_int_equal(fake_mapped(card.function), 0);
			addr = dma_map_phys(card.dev, virt_to_phys(memory), 3 * PAGE,
					    DMA_BIDIRECTIONAL, 0);
			assert_int_equal(dma_mapping_error(card.dev, addr), 0);
		}
		assert_reaches(&card, addr, memory, 3 * PAGE);
		base_alloc_fail_from(1);
		dma_unmap_phys(card.dev, addr, 3 * PAGE, DMA_BIDIRECTIONAL, 0);
		assert_int_equal(base_alloc_fail(0), 0);
		assert_refused(&card, addr, 3 * PAGE);
		card_close(&card, 0);
	}
	assert_true(n.failures > 0);
	pages_free(memory, 4);
}

/* A gather neither. */
static void test_gathers(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova[8];
	struct dma_gather gather;

	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&card, PAGE);
		link_at(&card, &iova[i], 0, memory + i * PAGE, PAGE);
		sync_at(&card, &iova[i], 0, PAGE);
	}
	base_alloc_fail_from(1);
	dma_gather_begin(card.dev, &gather);
	for (size_t i = 0; i < COUNT(iova); i++)
		dma_iova_destroy_gather(card.dev, &iova[i], PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	assert_int_equal(base_alloc_fail(0), 0);
	for (size_t i = 0; i < COUNT(iova); i++)
		assert_refused(&card, iova[i].addr, PAGE);
	card_close(&card, 0);
	pages_free(memory, 8);
}

/* What is left is taken back without memory too. */
static void test_close(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	for (size_t i = 0; i < 8; i++)
		link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	base_alloc_fail_from(1);
	dma_dev_close(card.dev);
	assert_int_equal(base_alloc_fail(0), 0);
	machine_stop();
	pages_free(memory, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_opening),	  EACH_WAY(test_opening_in_a_space),
		EACH_WAY(test_two_steps), EACH_WAY(test_streaming),
		EACH_WAY(test_gathers),	  EACH_WAY(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
