/* SPDX-License-Identifier: MIT */
/*
 * Whichever allocation fails, the call fails and nothing has changed, or it does without;
 * and the next call works. What frees needs no memory.
 */
#include "base/base.h"
#include "coherent.h"

static bool reached; /* the last call has come as far as the denial */

/* Let the @nth allocation fail, and perhaps all after it. */
static void deny(uint64_t nth, bool from)
{
	dma_clear_error();
	if (from)
		base_alloc_fail_from(nth);
	else
		base_alloc_fail(nth);
}

static void allow(uint64_t nth, bool failed)
{
	reached = base_alloc_fail(0) >= nth;
	if (failed) {
		assert_true(reached);
		assert_string_not_equal(dma_last_error(), "");
	}
}

typedef void *(*alloc_t)(const struct device *d, size_t size, dma_addr_t *addr);
typedef void (*free_t)(const struct device *d, size_t size, void *what, dma_addr_t addr);

static void *coherent(const struct device *d, size_t size, dma_addr_t *addr)
{
	return dma_alloc_coherent(d->dev, size, addr);
}

static void coherent_free(const struct device *d, size_t size, void *what, dma_addr_t addr)
{
	dma_free_coherent(d->dev, size, what, addr);
}

static void *table(const struct device *d, size_t size, dma_addr_t *addr)
{
	struct sg_table *sgt = dma_alloc_noncontiguous(d->dev, size, DMA_BIDIRECTIONAL, 0);

	if (sgt)
		*addr = sg_dma_address(sgt->sgl);
	return sgt;
}

static void table_free(const struct device *d, size_t size, void *what, dma_addr_t addr)
{
	(void)addr;
	dma_free_noncontiguous(d->dev, size, what, DMA_BIDIRECTIONAL);
}

static void each(const char *uri, size_t size, bool from, alloc_t alloc, free_t end)
{
	unsigned int failures = 0;

	reached = true;
	for (uint64_t nth = 1; reached; nth++) {
		struct device d = device_open(uri);
		dma_addr_t addr = 42;
		void *what;

		deny(nth, from);
		what = alloc(&d, size, &addr);
		allow(nth, !what);
		if (!what) {
			failures++;
			assert_int_equal(addr, 42);
			assert_int_equal(stats_of(&d).iova_live, 0);
			assert_int_equal(stats_of(&d).bytes_mapped, 0);
			what = alloc(&d, size, &addr);
			assert_non_null(what);
		}
		device_fills(&d, addr, size, 1);
		base_alloc_fail_from(1);
		end(&d, size, what, addr);
		base_alloc_fail(0);
		device_close(&d, 0);
	}
	assert_true(failures >= 3);
}

static void allocating(void **state)
{
	static const size_t sizes[] = {1, 9 * PAGE, 4 * MIB};

	(void)state;
	for (size_t i = 0; i < COUNT(every_device) * COUNT(sizes) * 2; i++) {
		const char *uri = every_device[i / 2 / COUNT(sizes)];
		size_t size = sizes[i / 2 % COUNT(sizes)];

		each(uri, size, i % 2, coherent, coherent_free);
		/* A page of shadow for each: enough is enough. */
		if (size <= 9 * PAGE)
			each(uri, size, i % 2, table, table_free);
	}
}

/* The record of what is allocated grows, or does without. */
static void many(void **state)
{
	struct device d = soft_open(state, "");
	enum { NR = 400 };
	dma_addr_t addr[NR];
	void *cpu[NR];

	for (size_t i = 0; i < NR; i++) {
		deny(1 + i % 4, false);
		cpu[i] = dma_alloc_coherent(d.dev, PAGE, &addr[i]);
		allow(1 + i % 4, !cpu[i]);
		if (!cpu[i])
			cpu[i] = dma_alloc_coherent(d.dev, PAGE, &addr[i]);
		assert_non_null(cpu[i]);
	}
	base_alloc_fail_from(1);
	for (size_t i = 0; i < NR; i++)
		dma_free_coherent(d.dev, PAGE, cpu[i], addr[i]);
	base_alloc_fail(0);
	device_close(&d, 0);
}

static void pools(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device) * 2; i++) {
		reached = true;
		for (uint64_t nth = 1; reached; nth++) {
			struct device d = device_open(every_device[i / 2]);
			struct dma_pool *pool;
			dma_addr_t addr = 42;
			void *object = NULL;

			deny(nth, i % 2);
			pool = dma_pool_create("short of memory", d.dev, 200, 8, 0);
			if (pool)
				object = dma_pool_alloc(pool, &addr);
			allow(nth, !object);
			if (!pool)
				pool = dma_pool_create("short of memory", d.dev, 200, 8, 0);
			assert_non_null(pool);
			if (!object) {
				assert_int_equal(addr, 42);
				assert_int_equal(stats_of(&d).iova_live, 0);
				object = dma_pool_alloc(pool, &addr);
				assert_non_null(object);
			}
			base_alloc_fail_from(1);
			dma_pool_free(pool, object, addr);
			dma_pool_destroy(pool);
			base_alloc_fail(0);
			device_close(&d, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocating),
		EACH_FORMAT(many),
		cmocka_unit_test(pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
