/* SPDX-License-Identifier: MIT */
/* Several threads link and unlink at different offsets of one state, at the same time. */
#include "threads.h"

#define THREADS 4
#define SHARE ((size_t)600) /* pages; not whole tables, so that threads share some */
#define ROUNDS 3
#define SPACES (150 / SLOW)

struct part {
	struct dma_dev *dev;
	struct dma_iova_state *state;
	pthread_barrier_t *barrier;
	uint8_t *memory; /* of all */
	size_t first; /* page */
	bool by_vec;
};

static void link_part(struct part *part)
{
	static const size_t step = 8;
	struct phys_vec vec[8];

	for (size_t i = part->first; i < part->first + SHARE; i += part->by_vec ? step : 1) {
		if (!part->by_vec) {
			require(!dma_iova_link(part->dev, part->state,
					       virt_to_phys(part->memory + i * PAGE), i * PAGE,
					       PAGE, DMA_TO_DEVICE, 0));
			continue;
		}
		for (size_t j = 0; j < step; j++)
			vec[j] = (struct phys_vec){virt_to_phys(part->memory + (i + j) * PAGE),
						   PAGE};
		require(!dma_iova_link_vec(part->dev, part->state, vec, step, i * PAGE,
					   DMA_TO_DEVICE, 0));
	}
	require(!dma_iova_sync(part->dev, part->state, part->first * PAGE, SHARE * PAGE));
}

static void *link_and_unlink(void *arg)
{
	struct part *part = arg;
	struct dma_port *port = dma_dev_port(part->dev);
	dma_addr_t addr = part->state->addr + part->first * PAGE;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct dma_gather gather;

		pthread_barrier_wait(part->barrier);
		link_part(part);
		require_signed(port, addr, part->first, SHARE, 1);
		dma_gather_begin(part->dev, &gather);
		dma_iova_unlink_gather(part->dev, part->state, part->first * PAGE, SHARE * PAGE,
				       DMA_TO_DEVICE, 0, round % 2 ? &gather : NULL);
		dma_gather_end(&gather);
		require_refused(port, addr, 8);
	}
	pthread_barrier_wait(part->barrier);
	link_part(part);
	return NULL;
}

/* In a new space, so that the threads also meet where tables are missing. */
static void link_together(uint8_t *memory)
{
	struct dma_dev *dev = open_device("soft:tables=64");
	struct dma_iova_state state;
	struct part parts[THREADS];
	pthread_t threads[THREADS];
	pthread_barrier_t barrier;

	assert_true(dma_iova_try_alloc(dev, &state, 0, THREADS * SHARE * PAGE));
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned int i = 0; i < THREADS; i++) {
		parts[i] = (struct part){dev, &state, &barrier, memory, i * SHARE, i % 2};
		threads[i] = start(link_and_unlink, &parts[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	pthread_barrier_destroy(&barrier);
	require_signed(dma_dev_port(dev), state.addr, 0, THREADS * SHARE, 1);
	assert_int_equal(stats_of(dev).bytes_mapped, THREADS * SHARE * PAGE);
	dma_iova_destroy(dev, &state, THREADS * SHARE * PAGE, DMA_TO_DEVICE, 0);
	require_refused(dma_dev_port(dev), state.addr, THREADS * SHARE);
	close_clean(dev);
}

static void parts_of_one_state(void **state)
{
	uint8_t *memory = memory_of(THREADS * SHARE);

	(void)state;
	sign_pages(memory, THREADS * SHARE, 1);
	for (unsigned int i = 0; i < SPACES; i++)
		link_together(memory);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_one_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
