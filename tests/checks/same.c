/* SPDX-License-Identifier: MIT */
/*
 * Checks change nothing: the same random calls, right and wrong, on a space with checks and on
 * one without, give the same results and statistics, and devices see the same bytes.
 */
#include <time.h>

#include <twostep/bounce.h>

#include "../race.h"
#include "../slow.h"
#include "checks.h"

#define STEPS (6000 / SLOW)
#define SPACES 4 /* pairs, one after the other */
#define SLOTS 6
#define SLOT_PAGES 8
/* Enough for every slot, and to go beyond. */
#define PAGES ((SLOTS + 2) * SLOT_PAGES)

/* One of the two worlds: everything that calls are made with and what they change. */
struct world {
	struct dma_dev *dev[2];
	struct dma_space *space;
	struct expanse memory;
	struct dma_bounce *pool; /* its own: what was in a buffer before is to be seen in it */
	dma_addr_t addr[SLOTS];
	struct dma_iova_state state[SLOTS];
	struct dma_gather gather;
	bool gathering;
};

static struct world worlds[2];
static uint64_t seed;

static unsigned int below(unsigned int end)
{
	return (unsigned int)(next_random(&seed) >> 20) % end;
}

/* One call with all its arguments, as the two worlds get it. */
struct call {
	unsigned int what, slot, dev;
	size_t page, inside, offset, size;
	unsigned int align, pieces;
	enum dma_data_direction dir;
	unsigned long attrs;
	bool gather, write;
	uint8_t value;
};

static struct call random_call(void)
{
	static const unsigned long attrs[] = {DMA_ATTR_SKIP_CPU_SYNC, DMA_ATTR_PRIVILEGED,
					      DMA_ATTR_WEAK_ORDERING, DMA_ATTR_REQUIRE_COHERENT,
					      DMA_ATTR_MMIO,	      DMA_ATTR_NO_WARN};
	struct call c = {
		.what = below(17),
		.slot = below(SLOTS),
		.dev = !below(10),
		.page = below(SLOT_PAGES),
		.inside = below(4) ? 0 : below(PAGE),
		.offset = below(SLOT_PAGES + 1) * PAGE,
		.size = (1 + below(SLOT_PAGES)) * PAGE,
		.align = below(6),
		.pieces = 1 + below(6),
		.dir = (enum dma_data_direction)(below(20) ? DMA_BIDIRECTIONAL : below(4)),
		.attrs = below(15) ? 0 : attrs[below(COUNT(attrs))],
		.gather = !below(3),
		.write = below(2),
		.value = (uint8_t)below(256),
	};

	if (!below(4))
		c.size = below(2) ? PAGE : below((unsigned int)(2 * SLOT_PAGES * PAGE));
	if (!below(15))
		c.offset += below(PAGE);
	if (!below(3))
		c.offset = 0;
	return c;
}

/* What a call has given. */
struct result {
	int64_t value;
	dma_addr_t addr;
	uint64_t size;
	uint8_t bytes[64];
	bool error;
};

static phys_addr_t phys_in(struct world *w, const struct call *c)
{
	return virt_to_phys(w->memory.at + (c->slot * SLOT_PAGES + c->page) * PAGE + c->inside);
}

static void link_vec(struct world *w, struct dma_dev *dev, const struct call *c, struct result *r)
{
	struct phys_vec vec[6];

	for (size_t i = 0; i < c->pieces; i++)
		vec[i] = (struct phys_vec){
			virt_to_phys(w->memory.at + (c->slot * SLOT_PAGES + 2 * i) * PAGE), PAGE};
	vec[0].paddr += c->inside;
	vec[0].len -= c->inside;
	r->value = dma_iova_link_vec(dev, &w->state[c->slot], vec, c->pieces, c->offset, c->dir,
				     c->attrs);
}

/* The device looks at, or writes to, what the slot has or had. */
static void transfer(struct world *w, struct dma_dev *dev, const struct call *c, struct result *r)
{
	dma_addr_t addr = (c->align & 1 ? w->addr[c->slot] : w->state[c->slot].addr) + c->offset;
	size_t len = 1 + c->page * 9;

	if (c->write) {
		memset(r->bytes, c->value, len);
		r->value = dma_bus_write(dma_dev_port(dev), addr, r->bytes, len);
	} else if (c->align < 4) {
		r->value = dma_bus_read(dma_dev_port(dev), addr, r->bytes, len);
	} else {
		r->value = dma_bus_fetch_add(dma_dev_port(dev), addr, 4, c->value,
					     (uint64_t *)(void *)r->bytes);
	}
	/* What was written before a fault may be anything; the rest of a read is not. */
	r->addr = addr;
}

static void gather(struct world *w, struct dma_dev *dev)
{
	if (w->gathering)
		dma_gather_end(&w->gather);
	else
		dma_gather_begin(dev, &w->gather);
	w->gathering = !w->gathering;
}

/* Streaming calls, 0 to 6. */
static void make_streaming(struct world *w, struct dma_dev *dev, const struct call *c,
			   struct result *r)
{
	dma_addr_t *addr = &w->addr[c->slot];

	switch (c->what) {
	case 0:
	case 1:
		*addr = dma_map_phys(dev, phys_in(w, c), c->size, c->dir, c->attrs);
		break;
	case 2:
		*addr = dma_map_single(dev, w->memory.at + c->slot * SLOT_PAGES * PAGE, PAGE,
				       c->dir);
		break;
	case 3:
		dma_unmap_phys(dev, *addr, c->size, c->dir, c->attrs);
		break;
	case 4:
		dma_unmap_phys_gather(dev, *addr, PAGE, c->dir, 0,
				      c->gather && w->gathering ? &w->gather : NULL);
		break;
	case 5:
		if (c->write)
			dma_sync_single_for_cpu(dev, *addr + c->inside, c->size, c->dir);
		else
			dma_sync_single_for_device(dev, *addr, c->size, c->dir);
		break;
	default:
		r->value = dma_mapping_error(dev, *addr);
		break;
	}
	r->addr = *addr;
}

/* Two-step calls, 7 to 14. */
static void make_two_step(struct world *w, struct dma_dev *dev, const struct call *c,
			  struct result *r)
{
	struct dma_iova_state *state = &w->state[c->slot];
	struct dma_gather *g = c->gather && w->gathering ? &w->gather : NULL;

	switch (c->what) {
	case 7:
		if (c->align < 3)
			r->value = dma_iova_try_alloc(dev, state, c->inside, c->size);
		else
			r->value = dma_iova_try_alloc_flags(dev, state, 0, SLOT_PAGES * PAGE,
							    PAGE << c->align, c->gather);
		break;
	case 8:
	case 9:
		r->value = dma_iova_link(dev, state, phys_in(w, c), c->offset,
					 c->what == 8 ? PAGE : c->size, c->dir, c->attrs);
		break;
	case 10:
		link_vec(w, dev, c, r);
		break;
	case 11:
		r->value = dma_iova_sync(dev, state, c->offset, c->size);
		break;
	case 12:
		dma_iova_unlink_gather(dev, state, c->offset, c->size, c->dir, c->attrs, g);
		break;
	case 13:
		dma_iova_free(dev, state);
		break;
	default:
		dma_iova_destroy_gather(dev, state, c->write ? c->size : SLOT_PAGES * PAGE, c->dir,
					c->attrs, g);
		break;
	}
	r->addr = state->addr;
	r->size = state->__size;
}

static struct result make(struct world *w, const struct call *c)
{
	struct dma_dev *dev = w->dev[c->dev];
	struct result r = {0};

	dma_clear_error();
	if (c->what < 7)
		make_streaming(w, dev, c, &r);
	else if (c->what < 15)
		make_two_step(w, dev, c, &r);
	else if (c->align == 5 && c->what == 16)
		gather(w, dev);
	else
		transfer(w, dev, c, &r);
	r.error = *dma_last_error();
	return r;
}

static void same_statistics(void)
{
	struct dma_stats one, two;

	assert_int_equal(dma_space_stats(worlds[0].space, &one), 0);
	assert_int_equal(dma_space_stats(worlds[1].space, &two), 0);
	assert_int_equal(one.iova_allocs, two.iova_allocs);
	assert_int_equal(one.iova_live, two.iova_live);
	assert_int_equal(one.bytes_mapped, two.bytes_mapped);
	assert_int_equal(one.pte_writes, two.pte_writes);
	assert_int_equal(one.iotlb_invalidations, two.iotlb_invalidations);
	assert_int_equal(one.faults, two.faults);
	assert_int_equal(one.misuse, two.misuse);
}

/* Where nothing is translated, addresses are the memory's: they differ as the memories do. */
static void same_result(const struct result *one, const struct result *two)
{
	assert_int_equal(one->value, two->value);
	assert_int_equal(one->error, two->error);
	assert_int_equal(one->size, two->size);
	assert_memory_equal(one->bytes, two->bytes, sizeof(one->bytes));
	if (translates())
		assert_int_equal(one->addr, two->addr);
	else
		assert_int_equal(one->addr == DMA_MAPPING_ERROR, two->addr == DMA_MAPPING_ERROR);
}

static void open_world(struct world *w, const char *uri, const char *debug)
{
	const struct dma_bounce_desc desc = {.size = 4 * DMA_BOUNCE_SEGMENT, .areas = 1};
	char with[128];

	memset(w, 0, sizeof(*w));
	assert_int_equal(dma_bounce_create(&desc, &w->pool), 0);
	snprintf(with, sizeof(with), "%s,debug=%s", uri, debug);
	for (size_t i = 0; i < 2; i++) {
		if (!i)
			assert_int_equal(dma_dev_open(with, &w->dev[i]), 0);
		else
			assert_int_equal(dma_dev_open_in(with, w->space, &w->dev[i]), 0);
		assert_int_equal(dma_set_mask_and_coherent(w->dev[i], DMA_BIT_MASK(64)), 0);
		assert_int_equal(dma_dev_set_bounce(w->dev[i], w->pool), 0);
		w->space = dma_dev_space(w->dev[i]);
	}
	w->memory = expanse_new(PAGES * PAGE, 2 * MIB);
	for (size_t i = 0; i < PAGES; i++)
		memset(w->memory.at + i * PAGE, (int)i, PAGE);
	for (size_t i = 0; i < SLOTS; i++)
		w->addr[i] = translates() ? 0x5000 + i * PAGE : virt_to_phys(w->memory.at);
}

static void close_world(struct world *w)
{
	if (w->gathering)
		dma_gather_end(&w->gather);
	dma_dev_close(w->dev[1]);
	dma_dev_close(w->dev[0]);
	assert_int_equal(dma_bounce_destroy(w->pool), 0);
}

static void count(const struct dma_debug_report *report, void *arg)
{
	assert_non_null(report->text);
	++*(uint64_t *)arg;
}

static void both_worlds(const char *uri)
{
	uint64_t leaks = dma_leak_count(), with;
	struct result one, two;

	open_world(&worlds[0], uri, "on");
	open_world(&worlds[1], uri, "off");
	for (int step = 0; step < STEPS; step++) {
		struct call c = random_call();

		/* Two spaces of one process share nothing that a call can see. */
		one = make(&worlds[0], &c);
		two = make(&worlds[1], &c);
		if (memcmp(one.bytes, two.bytes, sizeof(one.bytes)) || one.value != two.value)
			print_message("step %d, call %u of slot %u\n", step, c.what, c.slot);
		same_result(&one, &two);
		same_statistics();
	}
	close_world(&worlds[0]);
	with = dma_leak_count() - leaks;
	close_world(&worlds[1]);
	assert_int_equal(dma_leak_count() - leaks, 2 * with);
	assert_memory_equal(worlds[0].memory.at, worlds[1].memory.at, PAGES * PAGE);
	expanse_free(&worlds[0].memory);
	expanse_free(&worlds[1].memory);
}

static void same(void **state)
{
	const char *given = getenv("SEED");
	uint64_t reports = 0;

	snprintf(device_uri, sizeof(device_uri), "%s", (const char *)*state);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)time(NULL) * 2654435761 + (uint64_t)getpid();
	print_message("seed %llu\n", (unsigned long long)seed);
	dma_debug_set_handler(count, &reports);
	for (int i = 0; i < SPACES; i++)
		both_worlds(*state);
	dma_debug_set_handler(NULL, NULL);
	assert_true(reports > 100);
}

#define SAME(uri)                                                       \
	{                                                               \
		"same " uri, same, NULL, NULL, (void *)(uintptr_t)(uri) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SAME("soft:pgtable=vtd-ss"), SAME("soft:pgtable=x86-64"),
		SAME("soft:untrusted"),	     SAME("soft:coherent=off"),
		SAME("soft:bounce=force"),   SAME("soft:bounce=force,coherent=off"),
		SAME("soft:absent=cache"),   SAME("direct:"),
		SAME("direct:bounce=force"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
