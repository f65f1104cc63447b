/* SPDX-License-Identifier: MIT */
/* Pools of small objects: where objects lie, what is refused, and a model of who has what. */
#include <time.h>

#include "coherent.h"
#include "dma/dma.h"

static void arguments(void **state)
{
	static const struct {
		size_t size, align, boundary;
		bool good;
	} cases[] = {
		{0, 0, 0, false},
		{1, 0, 0, true},
		{1, 3, 0, false},
		{1, 4, 0, true},
		{64, 64, 32, false},
		{64, 64, 64, true},
		{64, 64, 96, false},
		{64, 128, 64, false},
		{64, 128, 128, true},
		{1, 0, 8, false},
		{1, 0, 16, true},
		{0x7fffffff, 0, 0, true},
		{0x80000000, 0, 0, false},
		{SIZE_MAX, 0, 0, false},
		{64, 1ULL << 32, 0, false},
		{64, SIZE_MAX / 2 + 1, 0, false},
		{64, 0, SIZE_MAX / 2 + 1, true},
		{5000, 8, 4096, false},
		{5000, 8, 8192, true},
		{64, SIZE_MAX, 0, false},
	};
	struct device d = soft_open(state, "");

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dma_pool *pool;

		dma_clear_error();
		pool = dma_pool_create("some", d.dev, cases[i].size, cases[i].align,
				       cases[i].boundary);
		assert_int_equal(pool != NULL, cases[i].good);
		assert_int_equal(!*dma_last_error(), cases[i].good);
		dma_pool_destroy(pool);
	}
	dma_pool_destroy(dma_pool_create(NULL, d.dev, 64, 0, 0));
	dma_pool_destroy(NULL);
	device_close(&d, 0);
}

/* Every object fits, is aligned, crosses nothing, and is nobody else's. */
static void places_of(const char *uri, size_t size, size_t align, size_t boundary, size_t nr)
{
	struct device d = device_open(uri);
	struct dma_pool *pool = dma_pool_create("places", d.dev, size, align, boundary);
	dma_addr_t *addr = calloc(nr, sizeof(*addr));
	uint8_t **object = calloc(nr, sizeof(*object));

	assert_non_null(pool);
	for (size_t i = 0; i < nr; i++) {
		object[i] = dma_pool_alloc(pool, &addr[i]);
		assert_non_null(object[i]);
		assert_int_equal((addr[i] | (uintptr_t)object[i]) & ((align ? align : 1) - 1), 0);
		if (boundary)
			assert_int_equal(addr[i] / boundary, (addr[i] + size - 1) / boundary);
		/* As in the kernel: inside a page, or at the start of one. */
		if (size <= PAGE)
			assert_int_equal(addr[i] / PAGE, (addr[i] + size - 1) / PAGE);
		else
			assert_int_equal(addr[i] % PAGE, 0);
		assert_holds(object[i], size, 0);
		memset(object[i], (int)i + 1, size);
	}
	for (size_t i = 0; i < nr; i++) {
		assert_device_sees(&d, addr[i], size, (unsigned int)i + 1);
		device_fills(&d, addr[i], size, (unsigned int)i + 2);
	}
	for (size_t i = 0; i < nr; i++) {
		assert_holds(object[i], size, (unsigned int)i + 2);
		dma_pool_free(pool, object[i], addr[i]);
	}
	/* All are there again. */
	for (size_t i = 0; i < nr; i++)
		assert_non_null(object[i] = dma_pool_zalloc(pool, &addr[i]));
	for (size_t i = 0; i < nr; i++) {
		assert_holds(object[i], size, 0);
		dma_pool_free(pool, object[i], addr[i]);
	}
	dma_pool_destroy(pool);
	free(addr);
	free(object);
	device_close(&d, 0);
}

static void places(void **state)
{
	static const size_t shapes[][3] = {
		{1, 0, 0},	 {16, 0, 0},	      {17, 0, 0},      {24, 8, 0},
		{48, 16, 256},	 {100, 4, 128},	      {256, 256, 0},   {256, 256, 4096},
		{1000, 0, 1024}, {1000, 0, 4096},     {3000, 64, 0},   {4096, 4096, 4096},
		{4096, 0, 0},	 {5000, 8, 0},	      {5000, 8, 8192}, {40000, 0, 0},
		{70000, 0, 0},	 {70000, 0, 1 << 20}, {64, 65536, 0},  {64, 1 << 17, 0},
		{4, 0, 1 << 30},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++)
		for (size_t j = 0; j < COUNT(shapes); j++)
			places_of(every_device[i], shapes[j][0], shapes[j][1], shapes[j][2],
				  shapes[j][0] > 4096 ? 20 : 150);
	places_of("direct:,mask=32", 256, 256, 0, 1000);
	places_of("soft:mask=32", 256, 256, 0, 1000);
}

static void wrong_frees(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_pool *pool = dma_pool_create("wrong", d.dev, 100, 4, 0);
	struct dma_pool *other = dma_pool_create("other", d.dev, 100, 4, 0);
	struct misuse misuse = misuse_expect(&d);
	dma_addr_t addr, more;
	uint8_t *object, *last, local;

	dma_pool_free(pool, &local, 0);
	dma_pool_free(pool, NULL, 0);
	misuse_check(&d, misuse, 2);
	object = dma_pool_alloc(pool, &addr);
	last = dma_pool_alloc(pool, &more);
	dma_pool_free(pool, &local, addr);
	dma_pool_free(pool, object + 1, addr + 1);
	dma_pool_free(pool, object + 4096 - 96, addr + 4096 - 96); /* the tail of a page */
	dma_pool_free(pool, object, addr + 4);
	assert_non_null(strstr(dma_last_error(), "DMA address"));
	dma_pool_free(pool, object, more);
	dma_pool_free(other, object, addr);
	misuse_check(&d, misuse, 8);
	assert_non_null(strstr(dma_last_error(), "other"));
	dma_pool_free(pool, object, addr);
	misuse_check(&d, misuse, 8);
	dma_pool_free(pool, object, addr);
	assert_non_null(strstr(dma_last_error(), "free already"));
	dma_pool_free(pool, last + 100, more + 100); /* never handed out */
	misuse_check(&d, misuse, 10);
	dma_pool_free(pool, last, more);
	dma_pool_destroy(pool);
	dma_pool_destroy(other);
	device_close(&d, 10);
}

/* Memory of which an object is in use stays; the rest goes. */
static void destroyed_in_use(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_pool *pool = dma_pool_create("in use", d.dev, 4096, 0, 0);
	struct misuse misuse = misuse_expect(&d);
	uint8_t *object[40];
	dma_addr_t addr[40];

	for (size_t i = 0; i < COUNT(object); i++) {
		object[i] = dma_pool_alloc(pool, &addr[i]);
		object[i][0] = (uint8_t)i;
	}
	for (size_t i = 0; i < COUNT(object); i++)
		if (i != 3)
			dma_pool_free(pool, object[i], addr[i]);
	assert_int_equal(stats_of(&d).iova_live, 3);
	dma_pool_destroy(pool);
	misuse_check(&d, misuse, 1);
	assert_int_equal(stats_of(&d).iova_live, 1);
	assert_reads(&d, addr[3], 3);
	assert_int_equal(object[3][0], 3);
	assert_refused(&d, addr[39]);
	dma_dev_close(d.dev);
	assert_int_equal(dma_leak_count() - d.leaks, 1);
}

/* A pool that nobody destroys is freed with its space. */
static void left_behind(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_pool *pool = dma_pool_create("left", d.dev, 100, 0, 0);
	dma_addr_t addr;

	assert_non_null(dma_pool_alloc(pool, &addr));
	dma_dev_close(d.dev);
	assert_int_equal(dma_leak_count() - d.leaks, 1);
}

static void statistics(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_stats before, after;
	struct dma_pool *pool;
	dma_addr_t addr;
	void *object;

	/* What the space keeps for good is there: the thread's slot, tables, records. */
	object = dma_alloc_coherent(d.dev, 64 * 1024, &addr);
	dma_free_coherent(d.dev, 64 * 1024, object, addr);
	before = stats_of(&d);
	for (size_t i = 0; i < 1000; i++) {
		after = stats_of(&d);
		pool = dma_pool_create("counted", d.dev, 256, 0, 0);
		assert_true(stats_of(&d).metadata_bytes > after.metadata_bytes);
		object = dma_pool_alloc(pool, &addr);
		assert_int_equal(stats_of(&d).iova_live, 1);
		assert_int_equal(stats_of(&d).bytes_mapped, 64 * 1024);
		dma_pool_free(pool, object, addr);
		dma_pool_destroy(pool);
	}
	/* The record of blocks is in parts, of which each is there from its first block on. */
	after = stats_of(&d);
	assert_in_range(after.metadata_bytes, before.metadata_bytes,
			before.metadata_bytes + BLOCK_SHARDS * 16 * sizeof(void *));
	device_close(&d, 0);
}

/* Any order of taking and giving back, compared with a list of who has what. */
#define MODEL 400

struct model {
	uint8_t *object[MODEL];
	dma_addr_t addr[MODEL];
	uint8_t value[MODEL];
	size_t nr;
};

static void model_take(const struct device *d, struct dma_pool *pool, struct model *m, size_t size)
{
	size_t i = m->nr;

	m->object[i] = dma_pool_alloc(pool, &m->addr[i]);
	assert_non_null(m->object[i]);
	for (size_t j = 0; j < i; j++) {
		assert_true(m->object[j] + size <= m->object[i] ||
			    m->object[i] + size <= m->object[j]);
		assert_true(m->addr[j] + size <= m->addr[i] || m->addr[i] + size <= m->addr[j]);
	}
	m->value[i] = (uint8_t)rand();
	memset(m->object[i], m->value[i], size);
	assert_reads(d, m->addr[i] + size - 1, m->value[i]);
	m->nr++;
}

static void model_give(struct dma_pool *pool, struct model *m, size_t i, size_t size)
{
	assert_holds(m->object[i], size, m->value[i]);
	dma_pool_free(pool, m->object[i], m->addr[i]);
	m->nr--;
	m->object[i] = m->object[m->nr];
	m->addr[i] = m->addr[m->nr];
	m->value[i] = m->value[m->nr];
}

static void model(void **state)
{
	static const size_t sizes[] = {16, 40, 256, 3000, 9000};
	unsigned int seed = getenv("SEED") ? (unsigned int)strtoul(getenv("SEED"), NULL, 0)
					   : (unsigned int)time(NULL);

	(void)state;
	printf("SEED=%u\n", seed);
	srand(seed);
	for (size_t s = 0; s < COUNT(sizes); s++) {
		struct device d = device_open(every_device[(size_t)rand() % COUNT(every_device)]);
		struct dma_pool *pool = dma_pool_create("model", d.dev, sizes[s], 8, 0);
		struct model m = {.nr = 0};
		uint64_t misuse = 0;

		for (unsigned int step = 0; step < 5000; step++) {
			/* Phases of growing and of shrinking. */
			bool grow = rand() % 100 < (step / 500 % 2 ? 35 : 65);

			if (grow && m.nr < MODEL) {
				model_take(&d, pool, &m, sizes[s]);
			} else if (m.nr) {
				size_t i = (size_t)rand() % m.nr;
				uint8_t *object = m.object[i];
				dma_addr_t addr = m.addr[i];

				model_give(pool, &m, i, sizes[s]);
				if (rand() % 16)
					continue;
				dma_pool_free(pool, object, addr);
				misuse++;
			}
		}
		while (m.nr)
			model_give(pool, &m, m.nr - 1, sizes[s]);
		dma_pool_destroy(pool);
		device_close(&d, misuse);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(arguments),	       cmocka_unit_test(places), EACH_FORMAT(wrong_frees),
		EACH_FORMAT(destroyed_in_use), EACH_FORMAT(left_behind), EACH_FORMAT(statistics),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
