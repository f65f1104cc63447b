/* SPDX-License-Identifier: MIT */
/*
 * strict [SCENARIO]       every scenario, or this one, must find nothing
 * strict --expect-caught  the library was built broken: each scenario that is there to find
 *                         how must find it
 */
#include "strict.h"

bool expect_caught;

/* How a library can be broken. */
enum sabotage {
	NO_INVALIDATE = 1,
	NO_DRAIN = 2,
	REUSE_GATHERED_IOVA = 4,
	ROLLBACK_VISIBLE = 8,
	COPY_BACK_EARLY = 16,
	LAZY_REUSE = 32,
};

static const enum sabotage sabotage =
#if defined(SABOTAGE_NO_INVALIDATE)
	NO_INVALIDATE;
#elif defined(SABOTAGE_NO_DRAIN)
	NO_DRAIN;
#elif defined(SABOTAGE_REUSE_GATHERED_IOVA)
	REUSE_GATHERED_IOVA;
#elif defined(SABOTAGE_ROLLBACK_VISIBLE)
	ROLLBACK_VISIBLE;
#elif defined(SABOTAGE_COPY_BACK_EARLY)
	COPY_BACK_EARLY;
#elif defined(SABOTAGE_LAZY_REUSE)
	LAZY_REUSE;
#else
	0;
#endif

struct scenario {
	const char *name;
	unsigned int (*run)(void);
	unsigned int finds; /* without fail */
};

static const struct scenario scenarios[] = {
	{"stale translation", stale_translation, NO_INVALIDATE},
	{"transfer in flight", transfer_in_flight, NO_DRAIN},
	{"reused in a gather", reused_in_gather, REUSE_GATHERED_IOVA},
	{"exhausted in a gather", exhausted_in_gather, REUSE_GATHERED_IOVA},
	{"rolled back link", rolled_back_link, ROLLBACK_VISIBLE},
	{"hammered", hammered, NO_INVALIDATE},
	{"copied back", copied_back, COPY_BACK_EARLY},
	{"neighbours", neighbours, 0},
	{"reused lazily", reused_lazily, LAZY_REUSE | NO_INVALIDATE},
};
#define NR_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

#if SABOTAGED
/* A broken library races with the device: that is what the scenarios find themselves. */
__attribute__((__visibility__("default"))) const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
	return "report_bugs=0";
}
#endif

struct dma_dev *open_device(const char *uri)
{
	struct dma_dev *dev;

	require(!dma_dev_open(uri, &dev));
	require(!dma_set_mask_and_coherent(dev, DMA_BIT_MASK(48)));
	return dev;
}

struct dma_dev *open_device_in(const char *uri, struct dma_dev *neighbour)
{
	struct dma_dev *dev;

	require(!dma_dev_open_in(uri, dma_dev_space(neighbour), &dev));
	return dev;
}

void close_devices(struct dma_dev *dev, struct dma_dev *neighbour)
{
	struct dma_stats stats;

	require(!dma_space_stats(dma_dev_space(dev), &stats));
	require(!stats.iova_live);
	require(!stats.bytes_mapped);
	dma_dev_close(neighbour);
	dma_dev_close(dev);
}

uint8_t *good_memory(size_t size, size_t align)
{
	uint8_t *memory = aligned_alloc(align, (size + align - 1) / align * align);

	require(memory);
	memset(memory, GOOD, size);
	return memory;
}

bool is_all(const uint8_t *memory, size_t size, uint8_t value)
{
	return memory[0] == value && !memcmp(memory, memory + 1, size - 1);
}

pthread_t start(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	require(!pthread_create(&thread, NULL, run, arg));
	return thread;
}

void join(pthread_t thread)
{
	require(!pthread_join(thread, NULL));
}

static void finds_nothing(void **state)
{
	const struct scenario *scenario = *state;

	assert_int_equal(scenario->run(), 0);
}

/* The exit code: 0 if what must be found was. */
static int catch_all(void)
{
	unsigned int missed = !SABOTAGED;

	for (size_t i = 0; i < NR_SCENARIOS; i++) {
		if (!(scenarios[i].finds & sabotage))
			continue;
		if (!scenarios[i].run()) {
			printf("%s: found nothing\n", scenarios[i].name);
			missed++;
		}
	}
	return missed != 0;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR_SCENARIOS];

	expect_caught = argc > 1 && !strcmp(argv[1], "--expect-caught");
	if (expect_caught)
		return catch_all();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < NR_SCENARIOS; i++)
		tests[i] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = finds_nothing,
			.initial_state = (void *)(uintptr_t)&scenarios[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
