/* SPDX-License-Identifier: MIT */
/*
 * Both ends are named by the place of the call, for each function that takes part, by any of
 * its ways, and on threads that the library has no number for.
 */
#include <pthread.h>

#include "../race.h"
#include "../slow.h"
#include "base/base.h"
#include "calls.h"

#define WARM (2000 / SLOW)

/* Who has mapped is told by an unmap with another direction. */
static void told_by_unmap(dma_addr_t addr, size_t size, unsigned long attrs, struct place origin)
{
	silent();
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	second_unmap_phys(d.dev, addr, size, DMA_NONE, attrs);
	only(DMA_DEBUG_DIRECTION, PLACE(second_unmap_phys), origin);
}

static void functions_that_map(void)
{
	void *ptr = memory + PAGE;

	told_by_unmap(first_map_phys(d.dev, phys_of(1), 100, DMA_TO_DEVICE, 0), 100, 0,
		      PLACE(first_map_phys));
	told_by_unmap(first_map_phys(d.dev, phys_of(1), 3 * PAGE, DMA_TO_DEVICE, 0), 3 * PAGE, 0,
		      PLACE(first_map_phys));
	told_by_unmap(first_map_single(d.dev, ptr, 100, DMA_TO_DEVICE), 100, 0,
		      PLACE(first_map_single));
	told_by_unmap(first_map_single_attrs(d.dev, ptr, 100, DMA_TO_DEVICE, DMA_ATTR_PRIVILEGED),
		      100, DMA_ATTR_PRIVILEGED, PLACE(first_map_single_attrs));
}

/* Devices that have everything bounced cannot have what may not be. */
static void resources(void **state)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	told_by_unmap(first_map_resource(d.dev, base, PAGE, DMA_TO_DEVICE, 0), PAGE, DMA_ATTR_MMIO,
		      PLACE(first_map_resource));
	addr = first_map_resource(d.dev, base, PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	second_unmap_resource(d.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	only_at(DMA_DEBUG_DIRECTION, second_unmap_resource, first_map_resource);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void functions_that_unmap(void)
{
	struct dma_gather gather;
	size_t sizes[] = {100, 3 * PAGE};
	dma_addr_t addr;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t size = sizes[i];

		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		second_unmap_phys(d.dev, addr, size, DMA_BIDIRECTIONAL, 0);
		only_at(DMA_DEBUG_DIRECTION, second_unmap_phys, first_map_phys);
		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		second_unmap_single(d.dev, addr, size, DMA_BIDIRECTIONAL);
		only_at(DMA_DEBUG_DIRECTION, second_unmap_single, first_map_phys);
		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		second_unmap_single_attrs(d.dev, addr, size, DMA_BIDIRECTIONAL, 0);
		only_at(DMA_DEBUG_DIRECTION, second_unmap_single_attrs, first_map_phys);
		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		second_unmap_resource(d.dev, addr, size, DMA_TO_DEVICE, 0);
		only_at(DMA_DEBUG_ATTRS, second_unmap_resource, first_map_phys);
		third_gather_begin(d.dev, &gather);
		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		second_unmap_phys_gather(d.dev, addr, size, DMA_BIDIRECTIONAL, 0, &gather);
		only_at(DMA_DEBUG_DIRECTION, second_unmap_phys_gather, first_map_phys);
		dma_gather_end(&gather);
		/* Strict, because the gather has ended; and because there is none. */
		addr = mapped(phys_of(1), size, DMA_TO_DEVICE);
		third_unmap_phys_gather(d.dev, addr, size, DMA_TO_DEVICE, 0, &gather);
		second_unmap_phys_gather(d.dev, addr, size, DMA_TO_DEVICE, 0, NULL);
		only_at(DMA_DEBUG_UNMAP_UNKNOWN, second_unmap_phys_gather, third_unmap_phys_gather);
	}
}

static void functions_that_sync(void)
{
	dma_addr_t addr = mapped(phys_of(1), 2 * PAGE, DMA_TO_DEVICE);

	second_for_cpu(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	among(DMA_DEBUG_SYNC_DIRECTION, PLACE(second_for_cpu), PLACE(first_map_phys));
	nr_kept = 0;
	second_for_device(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	only_at(DMA_DEBUG_SYNC_DIRECTION, second_for_device, first_map_phys);
	second_range_for_cpu(d.dev, addr, PAGE, 8, DMA_BIDIRECTIONAL);
	concerns(
		among(DMA_DEBUG_SYNC_DIRECTION, PLACE(second_range_for_cpu), PLACE(first_map_phys)),
		addr + PAGE, 8, phys_of(2));
	nr_kept = 0;
	second_range_for_device(d.dev, addr, 8, 8, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_SYNC_DIRECTION, second_range_for_device, first_map_phys),
		 addr + 8, 8, phys_of(1) + 8);
	unmapped(addr, 2 * PAGE, DMA_TO_DEVICE);
}

static void on_each(void **state)
{
	(void)state;
	functions_that_map();
	functions_that_unmap();
	functions_that_sync();
}

/* Two-step. */

/* Who has reserved is told by a link that is wrong. */
static void told_by_link(struct dma_iova_state *s, struct place origin)
{
	silent();
	assert_int_equal(second_link(d.dev, s, phys_of(0), 0, 0, DMA_TO_DEVICE, 0), -EINVAL);
	only(DMA_DEBUG_BAD_ARGUMENT, PLACE(second_link), origin);
	third_free(d.dev, s);
	silent();
	third_free(d.dev, s);
	only_at(DMA_DEBUG_FREE_TWICE, third_free, third_free);
}

static void functions_that_reserve(void)
{
	struct dma_iova_state s = {0};

	assert_true(first_try_alloc(d.dev, &s, 0, PAGE));
	told_by_link(&s, PLACE(first_try_alloc));
	assert_true(first_try_alloc(d.dev, &s, 0, 9 * PAGE));
	told_by_link(&s, PLACE(first_try_alloc));
	assert_true(first_try_alloc_flags(d.dev, &s, 0, PAGE, 0, 0));
	told_by_link(&s, PLACE(first_try_alloc_flags));
	assert_true(first_try_alloc_flags(d.dev, &s, 0, 4 * PAGE, 16 * PAGE, DMA_IOVA_WHOLE));
	told_by_link(&s, PLACE(first_try_alloc_flags));
}

/* Who has linked is told by an unlink with another direction. */
static void told_by_unlink(struct dma_iova_state *s, size_t size, struct place origin)
{
	silent();
	second_unlink(d.dev, s, 0, size, DMA_BIDIRECTIONAL, 0);
	only(DMA_DEBUG_DIRECTION, PLACE(second_unlink), origin);
}

static void functions_that_link(void)
{
	struct dma_iova_state s = reserved(8 * PAGE), odd;
	struct phys_vec vec[4];

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){phys_of(2 * i), PAGE};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(first_link(d.dev, &s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0), 0);
		told_by_unlink(&s, PAGE, PLACE(first_link));
		assert_int_equal(third_link(d.dev, &s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0), 0);
		told_by_unlink(&s, PAGE, PLACE(third_link));
		assert_int_equal(first_link(d.dev, &s, phys_of(0), 0, 100, DMA_TO_DEVICE, 0), 0);
		told_by_unlink(&s, 100, PLACE(first_link));
		assert_int_equal(first_link(d.dev, &s, phys_of(0), 0, 3 * PAGE, DMA_TO_DEVICE,
					    DMA_ATTR_WEAK_ORDERING),
				 0);
		told_by_unlink(&s, 3 * PAGE, PLACE(first_link));
		assert_int_equal(first_link_vec(d.dev, &s, vec, 1, 0, DMA_TO_DEVICE, 0), 0);
		told_by_unlink(&s, PAGE, PLACE(first_link_vec));
		assert_int_equal(third_link_vec(d.dev, &s, vec, 4, 0, DMA_TO_DEVICE, 0), 0);
		told_by_unlink(&s, 4 * PAGE, PLACE(third_link_vec));
	}
	third_free(d.dev, &s);
	assert_true(first_try_alloc(d.dev, &odd, 64, PAGE));
	vec[0] = (struct phys_vec){phys_of(0) + 64, PAGE - 64};
	vec[1] = (struct phys_vec){phys_of(3), 64};
	assert_int_equal(first_link_vec(d.dev, &odd, vec, 2, 0, DMA_TO_DEVICE, 0), 0);
	told_by_unlink(&odd, PAGE, PLACE(first_link_vec));
	third_free(d.dev, &odd);
}

static void functions_that_unlink(void)
{
	struct dma_iova_state s = reserved(8 * PAGE);
	struct dma_gather gather;

	for (size_t pages = 1; pages < 4; pages += 2) {
		linked(&s, 0, pages, DMA_TO_DEVICE);
		second_unlink(d.dev, &s, 0, pages * PAGE, DMA_FROM_DEVICE, 0);
		only_at(DMA_DEBUG_DIRECTION, second_unlink, first_link);
		third_gather_begin(d.dev, &gather);
		linked(&s, 0, pages, DMA_TO_DEVICE);
		second_unlink_gather(d.dev, &s, 0, pages * PAGE, DMA_FROM_DEVICE, 0, &gather);
		only_at(DMA_DEBUG_DIRECTION, second_unlink_gather, first_link);
		dma_gather_end(&gather);
	}
	/* Who has unlinked is told by whoever unlinks again. */
	linked(&s, 0, 1, DMA_TO_DEVICE);
	third_unlink_gather(d.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0, NULL);
	second_unlink(d.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_UNLINK_HOLE, second_unlink, third_unlink_gather);
	third_free(d.dev, &s);
}

static void functions_that_free(void)
{
	static const size_t pages[] = {1, 8};
	struct dma_gather gather;
	struct dma_iova_state s;

	for (size_t i = 0; i < COUNT(pages); i++) {
		s = reserved(pages[i] * PAGE);
		linked(&s, 0, pages[i], DMA_TO_DEVICE);
		second_destroy(d.dev, &s, pages[i] * PAGE, DMA_FROM_DEVICE, 0);
		only_at(DMA_DEBUG_DIRECTION, second_destroy, first_link);
		third_destroy(d.dev, &s, pages[i] * PAGE, DMA_FROM_DEVICE, 0);
		only_at(DMA_DEBUG_FREE_TWICE, third_destroy, second_destroy);

		s = reserved(pages[i] * PAGE);
		linked(&s, 0, pages[i], DMA_TO_DEVICE);
		third_gather_begin(d.dev, &gather);
		second_destroy_gather(d.dev, &s, pages[i] * PAGE, DMA_FROM_DEVICE, 0, &gather);
		only_at(DMA_DEBUG_DIRECTION, second_destroy_gather, first_link);
		third_destroy(d.dev, &s, pages[i] * PAGE, DMA_FROM_DEVICE, 0);
		only_at(DMA_DEBUG_FREE_TWICE, third_destroy, second_destroy_gather);
		dma_gather_end(&gather);

		s = reserved(pages[i] * PAGE);
		linked(&s, 0, pages[i], DMA_TO_DEVICE);
		second_free(d.dev, &s);
		only_at(DMA_DEBUG_FREE_LINKED, second_free, first_link);
		third_destroy_gather(d.dev, &s, PAGE, DMA_TO_DEVICE, 0, NULL);
		only_at(DMA_DEBUG_FREE_TWICE, third_destroy_gather, second_free);
	}
}

static void sync_names_the_link(void)
{
	struct dma_iova_state s = reserved(PAGE);
	const struct kept *k;

	linked(&s, 0, 1, DMA_TO_DEVICE);
	third_sync(d.dev, &s, 0, PAGE);
	second_unlink(d.dev, &s, 0, PAGE, DMA_FROM_DEVICE, 0);
	k = only_at(DMA_DEBUG_DIRECTION, second_unlink, first_link);
	ends_with(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED, DMA_DEBUG_SYNCED));
	assert_at(k->history[k->report.nr_history - 1].caller, PLACE(third_sync));
	third_free(d.dev, &s);
}

static void two_step_on_each(void **state)
{
	(void)state;
	functions_that_reserve();
	functions_that_link();
	functions_that_unlink();
	functions_that_free();
	sync_names_the_link();
}

/* Everything that makes calls fast has been made: cursor, caches, records. */
static void warm(void)
{
	struct dma_iova_state s, large;
	dma_addr_t addr;

	if (translates())
		large = reserved(MEMORY_PAGES * PAGE);
	for (int i = 0; i < WARM; i++) {
		addr = first_map_single(d.dev, memory, 100, DMA_TO_DEVICE);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		second_unmap_single(d.dev, addr, 100, DMA_TO_DEVICE);
		if (!translates())
			continue;
		assert_true(second_try_alloc(d.dev, &s, 0, PAGE));
		assert_int_equal(second_link(d.dev, &s, phys_of(1), 0, PAGE, DMA_TO_DEVICE, 0), 0);
		assert_int_equal(second_sync(d.dev, &s, 0, PAGE), 0);
		second_destroy(d.dev, &s, PAGE, DMA_TO_DEVICE, 0);
		for (size_t page = 2; page < 6; page++)
			assert_int_equal(second_link(d.dev, &large, phys_of(page), page * PAGE,
						     PAGE, DMA_FROM_DEVICE, 0),
					 0);
		second_unlink(d.dev, &large, 2 * PAGE, 4 * PAGE, DMA_FROM_DEVICE, 0);
	}
	if (translates())
		third_free(d.dev, &large);
	silent();
}

static void when_warm(void **state)
{
	warm();
	on_each(state);
	if (translates())
		two_step_on_each(state);
	warm();
	on_each(state);
	if (translates())
		two_step_on_each(state);
}

/* Links that follow on each other are noted together, and each has its own place. */
static void links_in_a_row(void **state)
{
	struct dma_iova_state s = reserved(MEMORY_PAGES * PAGE);
	const struct kept *k;

	(void)state;
	for (size_t i = 0; i < MEMORY_PAGES; i++) {
		int (*link)(struct dma_dev *, struct dma_iova_state *, phys_addr_t, size_t, size_t,
			    enum dma_data_direction,
			    unsigned long) = i == 20 || i == 21 ? third_link : first_link;

		assert_int_equal(link(d.dev, &s, phys_of(i), i * PAGE, PAGE, DMA_TO_DEVICE, 0), 0);
	}
	for (size_t i = 19; i < 23; i++) {
		second_unlink(d.dev, &s, i * PAGE, PAGE, DMA_FROM_DEVICE, 0);
		k = only(DMA_DEBUG_DIRECTION, PLACE(second_unlink),
			 i == 20 || i == 21 ? PLACE(third_link) : PLACE(first_link));
		concerns(k, s.addr + i * PAGE, PAGE, phys_of(i));
	}
	linked(&s, 19, 4, DMA_TO_DEVICE);
	destroyed(&s, MEMORY_PAGES, DMA_TO_DEVICE);
}

static bool let_go;
static unsigned int holding;

static void *take_number(void *arg)
{
	(void)arg;
	base_thread_claim();
	__atomic_fetch_add(&holding, 1, __ATOMIC_RELEASE);
	while (!flag_is_set(&let_go))
		usleep(10000);
	return NULL;
}

static void *make_mistakes(void *arg)
{
	on_each(arg);
	if (translates())
		two_step_on_each(arg);
	return NULL;
}

static void *make_mistakes_warm(void *arg)
{
	assert_int_equal(base_thread_claim(), 0);
	when_warm(arg);
	return NULL;
}

static void on_another_thread(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, make_mistakes, state), 0);
	pthread_join(thread, NULL);
}

static void on_a_thread_without_a_number(void **state)
{
	static pthread_t threads[BASE_MAX_THREADS];
	pthread_t thread;
	size_t nr = 0;

	let_go = false;
	holding = 0;
	while (nr < BASE_MAX_THREADS && !pthread_create(&threads[nr], NULL, take_number, NULL))
		nr++;
	assert_int_equal(nr, BASE_MAX_THREADS);
	while (__atomic_load_n(&holding, __ATOMIC_ACQUIRE) < nr)
		usleep(1000);
	assert_int_equal(pthread_create(&thread, NULL, make_mistakes_warm, state), 0);
	pthread_join(thread, NULL);
	set_flag(&let_go);
	while (nr)
		pthread_join(threads[--nr], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(on_each),
		ON(resources, "soft:pgtable=vtd-ss"),
		ON(resources, "soft:untrusted"),
		ON(resources, "soft:coherent=off"),
		ON(resources, "direct:"),
		EACH_SOFT(two_step_on_each),
		EACH_DEVICE(when_warm),
		EACH_SOFT(links_in_a_row),
		EACH_DEVICE(on_another_thread),
		ON(on_a_thread_without_a_number, "soft:pgtable=vtd-ss"),
		ON(on_a_thread_without_a_number, "soft:bounce=force"),
		ON(on_a_thread_without_a_number, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
