/* SPDX-License-Identifier: MIT */
/* A state goes from thread to thread: one reserves, one links, one lets the device, one destroys. */
#include "threads.h"

#define STAGES 4
#define STATES ((size_t)64)
#define PAGES ((size_t)4)
#define ROUNDS (40000 / SLOW)

/* A state on its way, copied by value. @stage tells who may have it; released by each. */
struct box {
	unsigned int stage;
	struct dma_iova_state state;
	uint8_t *memory;
};

struct stage {
	struct dma_dev *dev;
	struct box *boxes;
	unsigned int number;
};

static void work_on(struct stage *stage, struct box *box, struct dma_iova_state *state)
{
	struct phys_vec vec[PAGES];

	switch (stage->number) {
	case 0:
		require(dma_iova_try_alloc(stage->dev, state, 0, PAGES * PAGE));
		break;
	case 1:
		backward(vec, box->memory, PAGES);
		require(!dma_iova_link_vec(stage->dev, state, vec, PAGES - 1, 0, DMA_TO_DEVICE, 0));
		require(!dma_iova_link(stage->dev, state, vec[PAGES - 1].paddr, (PAGES - 1) * PAGE,
				       PAGE, DMA_TO_DEVICE, 0));
		require(!dma_iova_sync(stage->dev, state, 0, PAGES * PAGE));
		break;
	case 2:
		for (size_t i = 0; i < PAGES; i++)
			require_signed(dma_dev_port(stage->dev), state->addr + i * PAGE,
				       PAGES - 1 - i, 1, (uintptr_t)box);
		break;
	default:
		dma_iova_destroy(stage->dev, state, PAGES * PAGE, DMA_TO_DEVICE, 0);
		/* Nobody else minds: the memory is the driver's again. */
		memset(box->memory, 0, PAGES * PAGE);
		sign_pages(box->memory, PAGES, (uintptr_t)box);
	}
}

static void *work(void *arg)
{
	struct stage *stage = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct box *box = &stage->boxes[i % STATES];
		struct dma_iova_state state;

		while (__atomic_load_n(&box->stage, __ATOMIC_ACQUIRE) != stage->number)
			sched_yield();
		state = box->state;
		work_on(stage, box, &state);
		box->state = state;
		__atomic_store_n(&box->stage, (stage->number + 1) % STAGES, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* With a mask so small that addresses must find their way back from the last to the first. */
static void hand_over(unsigned int bits)
{
	struct dma_dev *dev = open_device_mask("soft:", bits);
	struct box boxes[STATES] = {0};
	struct stage stages[STAGES];
	pthread_t threads[STAGES];

	for (size_t i = 0; i < STATES; i++) {
		boxes[i].memory = memory_of(PAGES);
		sign_pages(boxes[i].memory, PAGES, (uintptr_t)&boxes[i]);
	}
	for (unsigned int i = 0; i < STAGES; i++) {
		stages[i] = (struct stage){dev, boxes, i};
		threads[i] = start(work, &stages[i]);
	}
	for (unsigned int i = 0; i < STAGES; i++)
		join(threads[i]);
	for (size_t i = 0; i < STATES; i++)
		free(boxes[i].memory);
	assert_int_equal(stats_of(dev).iova_allocs, ROUNDS);
	assert_int_equal(stats_of(dev).faults, 0);
	close_clean(dev);
}

static void from_hand_to_hand(void **state)
{
	(void)state;
	hand_over(48);
}

static void in_a_small_space(void **state)
{
	(void)state;
	/* 511 granules for 64 states of 4. */
	hand_over(21);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_hand_to_hand),
		cmocka_unit_test(in_a_small_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
