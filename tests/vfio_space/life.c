/* SPDX-License-Identifier: MIT */
/* Devices come, share a space, are refused and go; and so does a forked child. */
#include <fcntl.h>
#include <sys/wait.h>

#include "setup.h"

#include "../child.h"

static void test_left_mapped(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE), pending = reserve(&card, 4 * PAGE);
	dma_addr_t addr;

	link_at(&card, &iova, 0, memory, 2 * PAGE);
	link_at(&card, &iova, 2 * PAGE, memory + 4 * PAGE, 2 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	link_at(&card, &pending, 0, memory, 4 * PAGE);
	addr = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	dma_dev_close(card.dev);
	assert_int_equal(dma_leak_count() - card.leaks, 3);
	machine_stop();
	pages_free(memory, 8);
}

/* The child can do nothing to what it inherited, and asks the kernel for nothing. */
static void in_child(struct card *card, struct dma_iova_state *iova, uint8_t *memory)
{
	size_t calls = fake_count(0);
	struct dma_iova_state another;
	struct dma_stats stats;

	MUST(try_link(card, iova, 2 * PAGE, memory, PAGE) == -EPERM);
	MUST(*dma_last_error());
	MUST(dma_iova_sync(card->dev, iova, 0, 4 * PAGE) == -EPERM);
	MUST(!dma_iova_try_alloc(card->dev, &another, 0, PAGE));
	MUST(dma_map_phys(card->dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0) ==
	     DMA_MAPPING_ERROR);
	MUST(dma_space_stats(card->space, &stats) == -EPERM);
	dma_iova_unlink(card->dev, iova, 0, PAGE, DMA_BIDIRECTIONAL, 0);
	dma_iova_destroy(card->dev, iova, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	MUST(fake_count(0) == calls);
	dma_dev_close(card->dev);
	MUST(fake_count(0) == calls);
	_exit(0);
}

static void test_fork(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);
	int status;
	pid_t child;

	link_at(&card, &iova, 0, memory, PAGE);
	sync_at(&card, &iova, 0, PAGE);
	link_at(&card, &iova, PAGE, memory + PAGE, PAGE);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		in_child(&card, &iova, memory);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* The parent goes on as if nothing had been. */
	assert_reaches(&card, iova.addr, memory, PAGE);
	sync_at(&card, &iova, 0, 2 * PAGE);
	assert_reaches(&card, iova.addr, memory, 2 * PAGE);
	destroy(&card, &iova, 2 * PAGE);
	card_close(&card, 0);
	pages_free(memory, 4);
}

/* A child that closes what it has inherited, space by space, closes nothing of its own. */
static void test_fork_with_two(void **state)
{
	struct card card = card_open(state, NULL);
	struct dma_dev *other;
	char uri[64];
	int status;
	pid_t child;

	plug(SECOND_BDF, 8);
	snprintf(uri, sizeof(uri), "%s:" SECOND_BDF, card.scheme);
	if (dma_dev_open(uri, &other))
		fail_msg("%s", dma_last_error());
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		int files[16];

		dma_dev_close(card.dev);
		for (size_t i = 0; i < COUNT(files); i++)
			MUST((files[i] = open("/dev/null", O_RDONLY)) >= 0);
		dma_dev_close(other);
		for (size_t i = 0; i < COUNT(files); i++)
			MUST(fcntl(files[i], F_GETFD) >= 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	dma_dev_close(other);
	card_close(&card, 0);
}

static int open_second(const struct card *card, struct dma_dev **dev)
{
	char uri[64];

	snprintf(uri, sizeof(uri), "%s:" SECOND_BDF, card->scheme);
	return dma_dev_open_in(uri, card->space, dev);
}

/* Both reach what either has mapped; the first that goes leaves the other as it is. */
static void test_two_devices(void **state)
{
	uint8_t *memory = pages_new(4);

	for (int first = 0; first < 2; first++) {
		struct card card = card_open(state, NULL);
		int second = plug(SECOND_BDF, 8);
		struct dma_iova_state iova = reserve(&card, 4 * PAGE);
		struct dma_dev *dev, *left;

		link_at(&card, &iova, 0, memory, 2 * PAGE);
		sync_at(&card, &iova, 0, 2 * PAGE);
		if (open_second(&card, &dev))
			fail_msg("%s", dma_last_error());
		assert_ptr_equal(dma_dev_space(dev), card.space);
		assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
		assert_ptr_equal(fake_reach(second, iova.addr, 2 * PAGE, true), memory);
		assert_int_equal(dma_iova_link(dev, &iova, virt_to_phys(memory + 2 * PAGE),
					       2 * PAGE, 2 * PAGE, DMA_BIDIRECTIONAL, 0),
				 0);
		assert_int_equal(dma_iova_sync(dev, &iova, 0, 4 * PAGE), 0);
		assert_ptr_equal(fake_reach(second, iova.addr, 4 * PAGE, true), memory);
		assert_reaches(&card, iova.addr, memory, 4 * PAGE);
		left = first ? card.dev : dev;
		dma_dev_close(first ? dev : card.dev);
		assert_ptr_equal(
			fake_reach(first ? card.function : second, iova.addr, 4 * PAGE, true),
			memory);
		assert_null(fake_reach(first ? second : card.function, iova.addr, 1, false));
		dma_iova_destroy(left, &iova, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
		assert_null(fake_reach(first ? card.function : second, iova.addr, 1, false));
		dma_dev_close(left);
		assert_int_equal(dma_leak_count(), card.leaks);
		machine_stop();
	}
	pages_free(memory, 4);
}

/* Devices of one group: the group is opened once. */
static void test_one_group(void **state)
{
	uint8_t *memory = pages_new(1);
	struct card card = card_open(state, NULL);
	int second = plug(SECOND_BDF, 7);
	struct dma_iova_state iova = reserve(&card, PAGE);
	struct dma_dev *dev;

	link_at(&card, &iova, 0, memory, PAGE);
	sync_at(&card, &iova, 0, PAGE);
	if (open_second(&card, &dev))
		fail_msg("%s", dma_last_error());
	assert_ptr_equal(fake_reach(second, iova.addr, PAGE, true), memory);
	dma_dev_close(dev);
	assert_reaches(&card, iova.addr, memory, PAGE);
	destroy(&card, &iova, PAGE);
	card_close(&card, 0);
	pages_free(memory, 1);
}

/* All but 1 MiB below 4 GiB. */
static const struct fake_window nearly_all[] = {
	{0, 0xffffff},
	{0x1100000, 0xffffffff},
};

/*
 * A device that cannot reach addresses in use is refused and given back, whether the kernel
 * knows of them, or only we do.
 */
static void test_excluded(void **state)
{
	enum { RESERVED, PENDING, SYNCED, STAGES };
	uint8_t *memory = pages_new(1);

	for (int stage = RESERVED; stage < STAGES; stage++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova;
		struct fake_window window;
		struct dma_dev *dev = NULL;
		size_t files = fake_open_files();
		int second;

		iova = reserve(&card, PAGE);
		if (stage >= PENDING)
			link_at(&card, &iova, 0, memory, PAGE);
		if (stage >= SYNCED)
			sync_at(&card, &iova, 0, PAGE);
		window = (struct fake_window){iova.addr, iova.addr + PAGE - 1};
		second = fake_plug(&(struct fake_function){
			.bdf = SECOND_BDF, .group = 8, .reserved = &window, .nr_reserved = 1});
		dma_clear_error();
		assert_int_equal(open_second(&card, &dev), -EADDRINUSE);
		assert_null(dev);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(fake_open_files(), files);
		assert_null(fake_reach(second, iova.addr, 1, false));
		if (stage >= PENDING)
			sync_at(&card, &iova, 0, PAGE);
		if (stage >= PENDING)
			assert_reaches(&card, iova.addr, memory, PAGE);
		destroy(&card, &iova, stage >= PENDING ? PAGE : 0);
		/* Now it may come. */
		if (open_second(&card, &dev))
			fail_msg("%s", dma_last_error());
		dma_dev_close(dev);
		card_close(&card, 0);
	}
	pages_free(memory, 1);
}

/* What comes after a second device keeps out of its windows too. */
static void test_narrowed(void **state)
{
	uint8_t *memory = pages_new(1);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova[256], more;
	struct dma_dev *dev;

	fake_plug(&(struct fake_function){.bdf = SECOND_BDF,
					  .group = 8,
					  .reserved = nearly_all,
					  .nr_reserved = COUNT(nearly_all),
					  .aperture = {0, 0xffffffff}});
	if (open_second(&card, &dev))
		fail_msg("%s", dma_last_error());
	for (size_t i = 0; i < COUNT(iova); i++) {
		iova[i] = reserve(&card, PAGE);
		assert_in_range(iova[i].addr, 0x1000000, 0x10fffff);
		link_at(&card, &iova[i], 0, memory, PAGE);
		sync_at(&card, &iova[i], 0, PAGE);
	}
	assert_false(dma_iova_try_alloc(card.dev, &more, 0, PAGE));
	for (size_t i = 0; i < COUNT(iova); i++)
		destroy(&card, &iova[i], PAGE);
	dma_dev_close(dev);
	card_close(&card, 0);
	pages_free(memory, 1);
}

/* A range that the caller keeps out of use is not in use: a device may exclude it as well. */
static void test_reserved_by_caller(void **state)
{
	struct card card = card_open(state, NULL);
	static const struct fake_window window = {0x40000, 0x4ffff};
	struct dma_dev *dev;

	assert_int_equal(dma_space_reserve(card.space, 0x48000, 0x48fff), 0);
	fake_plug(&(struct fake_function){
		.bdf = SECOND_BDF, .group = 8, .reserved = &window, .nr_reserved = 1});
	assert_int_equal(open_second(&card, &dev), 0);
	dma_dev_close(dev);
	dma_dev_close(card.dev);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_left_mapped),   EACH_WAY(test_fork),
		EACH_WAY(test_fork_with_two), EACH_WAY(test_two_devices),
		EACH_WAY(test_one_group),     EACH_WAY(test_excluded),
		EACH_WAY(test_narrowed),      EACH_WAY(test_reserved_by_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
