/* SPDX-License-Identifier: MIT */
/*
 * Nothing of a link that fails is ever visible: a device that polls the range while the
 * driver tries finds nothing, neither then nor later.
 */
#include <errno.h>

#include "strict.h"

#define PAGES ((size_t)1 << 14)

struct attempt {
	const char *name;
	const char *uri;
	int err;
	bool occupied; /* the last page is linked already */
	bool single; /* one link of memory that is contiguous */
	bool naive; /* a library that stores at once would fail only at the end */
};

static const struct attempt attempts[] = {
	{"last page occupied", "soft:", -EADDRINUSE, .occupied = true, .naive = true},
	{"last page occupied, x86-64", "soft:pgtable=x86-64", -EADDRINUSE, .occupied = true,
	 .naive = true},
	{"no tables left", "soft:tables=20", -ENOMEM, .naive = true},
	{"last page occupied, one piece", "soft:", -EADDRINUSE, .occupied = true, .single = true},
	{"no tables left, one piece", "soft:tables=20", -ENOMEM, .single = true},
};

struct poller {
	struct dma_port *port;
	dma_addr_t addr;
	bool stop;
	uint64_t polls;
	unsigned int seen;
};

static void *poll_range(void *arg)
{
	struct poller *poller = arg;
	uint64_t random = 1;

	while (!flag_is_set(&poller->stop)) {
		/* Mostly where the link begins: that is visible for longest. */
		uint64_t page = poller->polls % 4 ? 0 : next_random(&random) % (PAGES / 2);
		uint8_t byte;

		if (!dma_bus_read(poller->port, poller->addr + page * PAGE, &byte, 1))
			__atomic_fetch_add(&poller->seen, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&poller->polls, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned int seen_so_far(const struct poller *poller)
{
	return __atomic_load_n(&poller->seen, __ATOMIC_RELAXED);
}

static uint64_t polls_so_far(const struct poller *poller)
{
	return __atomic_load_n(&poller->polls, __ATOMIC_RELAXED);
}

/* The same page again and again, or memory in one piece. */
static void try_to_link(struct dma_dev *dev, struct dma_iova_state *state,
			const struct attempt *attempt, const struct phys_vec *vec)
{
	int err;

	if (attempt->single)
		err = dma_iova_link(dev, state, vec[0].paddr, 0, PAGES * PAGE, DMA_TO_DEVICE, 0);
	else
		err = dma_iova_link_vec(dev, state, vec, PAGES, 0, DMA_TO_DEVICE, 0);
	require(err == attempt->err);
}

static unsigned int fail_to_link(const struct attempt *attempt, struct phys_vec *vec, uint8_t *page)
{
	struct dma_dev *dev = open_device(attempt->uri);
	struct poller poller = {.port = dma_dev_port(dev)};
	unsigned int rounds = expect_caught ? 20000 : 100 / SLOW, round;
	struct dma_iova_state state;
	struct dma_stats before, after;
	pthread_t device;

	require(dma_iova_try_alloc(dev, &state, 0, PAGES * PAGE));
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(page), PAGE};
	if (attempt->occupied)
		require(!dma_iova_link(dev, &state, vec[0].paddr, (PAGES - 1) * PAGE, PAGE,
				       DMA_TO_DEVICE, 0));
	poller.addr = state.addr;
	/* The tables that it got before it failed may stay. */
	try_to_link(dev, &state, attempt, vec);
	require(!dma_space_stats(dma_dev_space(dev), &before));
	device = start(poll_range, &poller);
	for (round = 0; round < rounds && !seen_so_far(&poller); round++) {
		uint64_t polls = polls_so_far(&poller);

		try_to_link(dev, &state, attempt, vec);
		while (polls_so_far(&poller) == polls)
			sched_yield();
	}
	set_flag(&poller.stop);
	join(device);
	require(!dma_space_stats(dma_dev_space(dev), &after));
	require(after.bytes_mapped == before.bytes_mapped);
	require(after.metadata_bytes == before.metadata_bytes);
	if (poller.seen)
		fprintf(stderr, "failed link, %s: visible after %u rounds\n", attempt->name, round);
	if (attempt->occupied)
		dma_iova_unlink(dev, &state, (PAGES - 1) * PAGE, PAGE, DMA_TO_DEVICE, 0);
	dma_iova_free(dev, &state);
	close_devices(dev, NULL);
	return poller.seen;
}

unsigned int rolled_back_link(void)
{
	struct phys_vec *vec = calloc(PAGES, sizeof(*vec));
	uint8_t *memory = aligned_alloc(LARGE, (PAGES + 512) * PAGE);
	unsigned int seen = 0, missed = 0;

	require(vec && memory);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		unsigned int now = 0;

		/* A page off, so that no large entry fits. */
		if (attempts[i].naive || !expect_caught)
			now = fail_to_link(&attempts[i], vec, memory + PAGE);
		missed += attempts[i].naive && !now;
		seen += now;
	}
	free(memory);
	free(vec);
	return expect_caught && missed ? 0 : seen;
}
