/* SPDX-License-Identifier: MIT */
/* Correct calls of every kind, on every kind of device: not one report. */
#include <pthread.h>
#include <twostep/bounce.h>
#include <twostep/copy.h>

#include "calls.h"

static const enum dma_data_direction directions[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE,
						     DMA_FROM_DEVICE};

/* What the device may do with a mapping of this direction, it does. */
static void use(dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	static uint8_t buffer[64 * PAGE];
	uint64_t expected = 0, desired = 1;

	if (dir != DMA_FROM_DEVICE)
		assert_int_equal(dma_bus_read(d.port, addr, buffer, size), 0);
	if (dir != DMA_TO_DEVICE)
		assert_int_equal(dma_bus_write(d.port, addr, buffer, size), 0);
	if (dir == DMA_BIDIRECTIONAL && !(addr & 7) && size >= 8) {
		assert_int_equal(dma_bus_fetch_add(d.port, addr, 8, 1, NULL), 0);
		assert_true(dma_bus_cmpxchg(d.port, addr, 8, &expected, &desired) >= 0);
	}
}

static void streaming(void **state)
{
	static const size_t sizes[] = {1, 64, 100, PAGE, PAGE + 1, 10 * PAGE};
	static const size_t offsets[] = {0, 64, 1000};

	(void)state;
	for (size_t i = 0; i < COUNT(sizes) * COUNT(offsets) * COUNT(directions); i++) {
		enum dma_data_direction dir = directions[i % 3];
		size_t size = sizes[i / 3 % COUNT(sizes)];
		uint8_t *ptr = memory + offsets[i / 3 / COUNT(sizes)];
		dma_addr_t addr = dma_map_single(d.dev, ptr, size, dir);

		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		use(addr, size, dir);
		if (dma_need_sync(d.dev, addr)) {
			dma_sync_single_for_cpu(d.dev, addr, size, dir);
			dma_sync_single_for_device(d.dev, addr, size, dir);
		}
		dma_sync_single_range_for_cpu(d.dev, addr, size / 2, size - size / 2, dir);
		dma_sync_single_range_for_device(d.dev, addr, size / 2, size - size / 2, dir);
		use(addr, size, dir);
		dma_unmap_single(d.dev, addr, size, dir);
	}
	/* What fails is no mistake, if it is looked at. */
	assert_int_equal(dma_map_single(d.dev, memory, 0, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	assert_int_not_equal(dma_mapping_error(d.dev, DMA_MAPPING_ERROR), 0);
}

static void two_step(void **state)
{
	(void)state;
	for (size_t round = 0; round < 12; round++) {
		enum dma_data_direction dir = directions[round % 3];
		struct dma_iova_state s, copy;
		size_t end = 9 * PAGE + (round & 1 ? 100 : PAGE);

		if (!dma_iova_try_alloc(d.dev, &s, 0, 16 * PAGE))
			fail();
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(
				dma_iova_link(d.dev, &s, phys_of(9 - i), i * PAGE, PAGE, dir, 0),
				0);
		assert_int_equal(
			dma_iova_link(d.dev, &s, phys_of(20), 4 * PAGE, end - 4 * PAGE, dir, 0), 0);
		assert_int_equal(dma_iova_sync(d.dev, &s, 0, end), 0);
		use(s.addr, end, dir);
		/* Take out and put in again. */
		copy = s;
		dma_iova_unlink(d.dev, &copy, PAGE, 2 * PAGE, dir, 0);
		assert_int_equal(dma_iova_link(d.dev, &copy, phys_of(1), PAGE, PAGE, dir, 0), 0);
		assert_int_equal(dma_iova_link(d.dev, &copy, phys_of(2), 2 * PAGE, PAGE, dir, 0),
				 0);
		assert_int_equal(dma_iova_sync(d.dev, &copy, PAGE, 2 * PAGE), 0);
		use(s.addr, end, dir);
		if (round & 2) {
			dma_iova_destroy(d.dev, &copy, end, dir, 0);
		} else {
			dma_iova_unlink(d.dev, &copy, 0, end, dir, 0);
			dma_iova_free(d.dev, &copy);
		}
	}
}

static void inside_a_granule(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct dma_iova_state s;

		assert_true(dma_iova_try_alloc(d.dev, &s, phys_of(0) + 100, 5000));
		assert_int_equal(
			dma_iova_link(d.dev, &s, phys_of(0) + 100, 0, PAGE - 100, directions[i], 0),
			0);
		assert_int_equal(dma_iova_link(d.dev, &s, phys_of(5), PAGE - 100, 5000 - PAGE + 100,
					       directions[i], 0),
				 0);
		assert_int_equal(dma_iova_sync(d.dev, &s, 0, 5000), 0);
		use(s.addr, 5000, directions[i]);
		dma_iova_destroy(d.dev, &s, 5000, directions[i], 0);
	}
}

static void vectors(void **state)
{
	struct phys_vec vec[MEMORY_PAGES / 2];

	(void)state;
	for (size_t n = 1; n <= COUNT(vec); n *= 2) {
		for (size_t i = 0; i < 3; i++) {
			struct dma_iova_state s;
			unsigned int flags = i == 1 ? DMA_IOVA_WHOLE : 0;

			for (size_t j = 0; j < n; j++)
				vec[j] = (struct phys_vec){phys_of(2 * (n - 1 - j)), PAGE};
			vec[n - 1].len = i == 2 ? 2 * PAGE : 77;
			assert_true(
				dma_iova_try_alloc_flags(d.dev, &s, 0, (n + 1) * PAGE, 0, flags));
			assert_int_equal(dma_iova_link_vec(d.dev, &s, vec, n, 0, directions[i], 0),
					 0);
			assert_int_equal(dma_iova_sync(d.dev, &s, 0, (n - 1) * PAGE + 77), 0);
			use(s.addr, (n - 1) * PAGE + 77, directions[i]);
			dma_iova_destroy(d.dev, &s, (n - 1) * PAGE + vec[n - 1].len, directions[i],
					 0);
		}
	}
}

static void whole(void **state)
{
	struct expanse large = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state s;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(
			dma_iova_try_alloc_flags(d.dev, &s, 0, 4 * MIB, 2 * MIB, DMA_IOVA_WHOLE));
		for (size_t at = 0; at < 4 * MIB; at += MIB)
			assert_int_equal(dma_iova_link(d.dev, &s, virt_to_phys(large.at + at), at,
						       MIB, directions[i], 0),
					 0);
		assert_int_equal(dma_iova_sync(d.dev, &s, 0, 4 * MIB), 0);
		use(s.addr + MIB - PAGE, 2 * PAGE, directions[i]);
		dma_iova_unlink(d.dev, &s, 0, 4 * MIB, directions[i], 0);
		dma_iova_free(d.dev, &s);
	}
	expanse_free(&large);
}

static void gathers(void **state)
{
	struct dma_iova_state s[100];
	dma_addr_t addr[100];
	struct dma_gather gather;

	(void)state;
	for (int round = 0; round < 3; round++) {
		dma_gather_begin(round == 2 ? NULL : d.dev, &gather);
		for (size_t i = 0; i < COUNT(s); i++) {
			addr[i] = dma_map_phys(d.dev, phys_of(i % MEMORY_PAGES), PAGE,
					       DMA_TO_DEVICE, 0);
			assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
			if (!translates())
				continue;
			assert_true(dma_iova_try_alloc(d.dev, &s[i], 0, 2 * PAGE));
			assert_int_equal(dma_iova_link(d.dev, &s[i], phys_of(i % MEMORY_PAGES), 0,
						       PAGE, DMA_TO_DEVICE, 0),
					 0);
			assert_int_equal(dma_iova_sync(d.dev, &s[i], 0, PAGE), 0);
			use(s[i].addr, PAGE, DMA_TO_DEVICE);
		}
		for (size_t i = 0; i < COUNT(s); i++) {
			dma_unmap_phys_gather(d.dev, addr[i], PAGE, DMA_TO_DEVICE, 0, &gather);
			if (!translates())
				continue;
			dma_iova_unlink_gather(d.dev, &s[i], 0, PAGE, DMA_TO_DEVICE, 0, &gather);
			/* Into what is not final yet. */
			assert_int_equal(dma_iova_link(d.dev, &s[i], phys_of(1), 0, 2 * PAGE,
						       DMA_TO_DEVICE, 0),
					 0);
			assert_int_equal(dma_iova_sync(d.dev, &s[i], 0, 2 * PAGE), 0);
			use(s[i].addr, 2 * PAGE, DMA_TO_DEVICE);
			dma_iova_destroy_gather(d.dev, &s[i], 2 * PAGE, DMA_TO_DEVICE, 0, &gather);
		}
		dma_gather_end(&gather);
	}
}

static void registered_memory(void **state)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = 16 * PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(virt_to_phys(memory + 5), base + 5);
	streaming(state);
	if (translates()) {
		two_step(state);
		vectors(state);
		gathers(state);
	}
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void registered_mmio(void **state)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = 4 * PAGE, .cpu = memory, .fd = -1};
	struct dma_iova_state s;
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	for (size_t i = 0; i < 3; i++) {
		addr = dma_map_resource(d.dev, base + PAGE, 2 * PAGE, directions[i], 0);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		use(addr, 2 * PAGE, directions[i]);
		dma_unmap_resource(d.dev, addr, 2 * PAGE, directions[i], 0);
		if (!dma_iova_try_alloc(d.dev, &s, 0, 4 * PAGE))
			continue;
		assert_int_equal(
			dma_iova_link(d.dev, &s, base, 0, 4 * PAGE, directions[i], DMA_ATTR_MMIO),
			0);
		assert_int_equal(dma_iova_sync(d.dev, &s, 0, 4 * PAGE), 0);
		use(s.addr, 4 * PAGE, directions[i]);
		dma_iova_destroy(d.dev, &s, 4 * PAGE, directions[i], DMA_ATTR_MMIO);
	}
	assert_int_equal(dma_memory_unregister(base), 0);
}

/* Devices come and go in a space; each ends what it has begun. */
static void several_devices(void **state)
{
	struct dma_dev *other[3];
	dma_addr_t addr[3];

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(dma_dev_open_in(translates() ? "soft:" : "direct:",
							 d.space, &other[i]),
					 0);
			assert_int_equal(dma_set_mask_and_coherent(other[i], DMA_BIT_MASK(64)), 0);
			addr[i] = dma_map_phys(other[i], phys_of(4), PAGE, DMA_TO_DEVICE, 0);
			assert_int_equal(dma_mapping_error(other[i], addr[i]), 0);
			assert_int_equal(
				dma_bus_read(dma_dev_port(other[i]), addr[i], &(char){0}, 1), 0);
		}
		for (size_t i = 0; i < 3; i++) {
			dma_unmap_phys(other[i], addr[i], PAGE, DMA_TO_DEVICE, 0);
			dma_dev_close(other[i]);
		}
	}
}

/* A reservation that is handed to a thread, which ends it. */
static void *end_it(void *arg)
{
	struct dma_iova_state *s = arg;

	dma_iova_destroy(d.dev, s, 2 * PAGE, DMA_TO_DEVICE, 0);
	return NULL;
}

static void passed_on(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct dma_iova_state s;
		pthread_t thread;

		assert_true(dma_iova_try_alloc(d.dev, &s, 0, 2 * PAGE));
		assert_int_equal(
			dma_iova_link(d.dev, &s, phys_of(0), 0, 2 * PAGE, DMA_TO_DEVICE, 0), 0);
		assert_int_equal(dma_iova_sync(d.dev, &s, 0, 2 * PAGE), 0);
		assert_int_equal(pthread_create(&thread, NULL, end_it, &s), 0);
		pthread_join(thread, NULL);
	}
}

/* The driver of the copy engine makes no mistakes either. */
static void copy_engine(void **state)
{
	struct ts_copy_result result;
	struct ts_copy *copy;
	dma_addr_t from, to;

	(void)state;
	assert_int_equal(ts_copy_open(d.dev, 8, &copy), 0);
	from = dma_map_phys(d.dev, phys_of(0), 20 * PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, from), 0);
	to = dma_map_phys(d.dev, phys_of(32), 20 * PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(d.dev, to), 0);
	for (size_t i = 0; i < 50; i++) {
		struct ts_copy_seg src[2] = {{from + i, 2 * PAGE}, {from + 5 * PAGE, 100}};
		struct ts_copy_seg dst[1] = {{to + 3 * i, 2 * PAGE + 100}};

		if (i % 3)
			assert_int_equal(ts_copy_submit(copy, src, 2, dst, 1, i), 0);
		else
			assert_int_equal(ts_copy_fill(copy, 77, dst, 1, i), 0);
		assert_int_equal(ts_copy_wait(copy, &result, -1), 0);
		assert_int_equal(result.status, 0);
		assert_int_equal(result.cookie, i);
	}
	assert_int_equal(ts_copy_reset(copy), 0);
	ts_copy_close(copy);
	dma_unmap_phys(d.dev, to, 20 * PAGE, DMA_FROM_DEVICE, 0);
	dma_unmap_phys(d.dev, from, 20 * PAGE, DMA_TO_DEVICE, 0);
}

/* Nothing was reserved: the driver maps instead. */
static void without_reservations(void **state)
{
	struct dma_iova_state s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(dma_iova_try_alloc(d.dev, &s, 0, PAGE));
		assert_false(dma_use_iova(&s));
	}
}

static int finish(void **state)
{
	silent();
	assert_int_equal(dma_debug_check(d.space), 0);
	return close_checked(state);
}

#define RIGHT(test, uri)                                                            \
	{                                                                           \
#test " " uri, test, open_checked, finish, (void *)(uintptr_t)(uri) \
	}
#define RIGHT_SOFT(test)                                                         \
	RIGHT(test, "soft:pgtable=vtd-ss"), RIGHT(test, "soft:pgtable=x86-64"),  \
		RIGHT(test, "soft:untrusted"), RIGHT(test, "soft:coherent=off"), \
		RIGHT(test, "soft:bounce=force"), RIGHT(test, "soft:absent=cache")
#define RIGHT_ALL(test) RIGHT_SOFT(test), RIGHT(test, "direct:"), RIGHT(test, "direct:bounce=force")

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIGHT_ALL(streaming),
		RIGHT_SOFT(two_step),
		RIGHT_SOFT(inside_a_granule),
		RIGHT_SOFT(vectors),
		RIGHT_SOFT(whole),
		RIGHT_ALL(gathers),
		RIGHT_ALL(registered_memory),
		RIGHT(registered_mmio, "soft:pgtable=vtd-ss"),
		RIGHT(registered_mmio, "soft:pgtable=x86-64"),
		RIGHT(registered_mmio, "soft:untrusted"),
		RIGHT(registered_mmio, "soft:coherent=off"),
		RIGHT(registered_mmio, "direct:"),
		RIGHT_ALL(several_devices),
		RIGHT_SOFT(passed_on),
		RIGHT(copy_engine, "soft:copy"),
		RIGHT(copy_engine, "soft:copy,pgtable=x86-64,thread=off"),
		RIGHT(copy_engine, "soft:copy,untrusted"),
		RIGHT(copy_engine, "soft:copy,coherent=off"),
		RIGHT(copy_engine, "soft:copy,bounce=force"),
		RIGHT(copy_engine, "soft:copy,absent=cache"),
		RIGHT(copy_engine, "direct:copy"),
		RIGHT(copy_engine, "direct:copy,bounce=force"),
		RIGHT(without_reservations, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
