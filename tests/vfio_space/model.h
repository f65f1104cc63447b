/* SPDX-License-Identifier: MIT */
/*
 * A plain reference of what a device must reach: for each page of each reservation, which page
 * of memory is behind it, as part of which unit, and by which map, if it was synced. Random calls
 * are made on the library and on it, and after each the device is asked for every page.
 *
 * What is gathered may still be reached, as it was, until the gather ends; then it must not.
 */
#ifndef TESTS_VFIO_SPACE_MODEL_H
#define TESTS_VFIO_SPACE_MODEL_H

#include "setup.h"

#include "../race.h"
#include "../slow.h"

#define MEMORY_PAGES 96
#define RANGES 6
#define RANGE_PAGES 24
#define MAPPINGS 6
#define LEAVING 256
#define NOTHING (-1)

struct model_page {
	int memory; /* index of the page, or NOTHING */
	unsigned int unit; /* what was linked by one call */
	unsigned int map; /* what one ioctl has mapped; 0: pending */
};

struct model_range {
	bool used, whole;
	struct dma_iova_state state;
	size_t pages;
	struct model_page page[RANGE_PAGES];
};

struct model_mapping {
	bool used;
	dma_addr_t addr;
	size_t size;
	int memory;
	size_t offset; /* in the first page */
};

/* A page that a gather has, which the device may or may not reach. */
struct model_leaving {
	uint64_t addr;
	int memory; /* or NOTHING: it cannot */
	bool firm; /* its address is not to be had again before the end */
};

struct model {
	struct card *card;
	uint64_t random;
	uint8_t *memory;
	struct model_range range[RANGES];
	struct model_mapping mapping[MAPPINGS];
	struct dma_gather gather;
	bool gathering;
	struct model_leaving leaving[LEAVING];
	size_t nr_leaving;
	unsigned int gathered; /* calls */
	unsigned int unit, map; /* the last ones */
	uint64_t misuse;
	bool alone; /* nobody else uses the space: all may be counted */
	bool may_fail; /* somebody else orders failures */
	unsigned int failed; /* syncs that did */
};

static inline uint64_t draw(struct model *m, uint64_t n)
{
	return next_random(&m->random) % n;
}

static inline const uint8_t *memory_at(const struct model *m, int page)
{
	return m->memory + (unsigned int)page * PAGE;
}

static inline size_t mapping_pages(const struct model_mapping *mapping)
{
	return (mapping->offset + mapping->size + PAGE - 1) / PAGE;
}

/* What the device must see */

static inline bool may_linger(const struct model *m, uint64_t addr, const void *reached)
{
	for (size_t i = 0; i < m->nr_leaving; i++)
		if (m->leaving[i].addr == addr && m->leaving[i].memory != NOTHING &&
		    (const uint8_t *)reached == memory_at(m, m->leaving[i].memory))
			return true;
	return false;
}

static inline void check_page(const struct model *m, uint64_t addr, int memory, const char *what)
{
	const void *reached = fake_reach(m->card->function, addr, 1, false);
	const void *wanted = memory == NOTHING ? NULL : memory_at(m, memory);

	if (reached == wanted || (!wanted && may_linger(m, addr, reached)))
		return;
	fail_msg("%s at %#llx: the device reaches %p, not %p", what, (unsigned long long)addr,
		 reached, wanted);
}

static inline void check(const struct model *m)
{
	uint64_t bytes = 0;

	for (size_t r = 0; r < RANGES; r++) {
		const struct model_range *range = &m->range[r];

		for (size_t i = 0; range->used && i < range->pages; i++) {
			const struct model_page *page = &range->page[i];
			int memory = page->map ? page->memory : NOTHING;

			check_page(m, range->state.addr + i * PAGE, memory,
				   page->memory == NOTHING ? "nothing linked"
				   : page->map		   ? "a link"
							   : "a pending link");
			bytes += memory != NOTHING ? PAGE : 0;
		}
	}
	for (size_t i = 0; i < MAPPINGS; i++) {
		const struct model_mapping *mapping = &m->mapping[i];
		size_t pages = mapping_pages(mapping);

		for (size_t page = 0; mapping->used && page < pages; page++)
			check_page(m, mapping->addr - mapping->offset + page * PAGE,
				   mapping->memory + (int)page, "a mapping");
		bytes += mapping->used ? pages * PAGE : 0;
	}
	if (m->alone && !m->nr_leaving)
		assert_int_equal(fake_mapped(m->card->function), bytes);
	if (m->alone)
		assert_int_equal(stats_of(m->card).misuse, m->misuse);
}

/* Gathers */

static inline void leave(struct model *m, uint64_t addr, int memory, bool firm)
{
	if (m->gathering) {
		assert_true(m->nr_leaving < LEAVING);
		m->leaving[m->nr_leaving++] = (struct model_leaving){addr, memory, firm};
	}
}

/* Whether the address is, by now, in a reservation or in a mapping. */
static inline bool is_used(const struct model *m, uint64_t addr)
{
	for (size_t i = 0; i < RANGES; i++)
		if (m->range[i].used && addr - m->range[i].state.addr < m->range[i].pages * PAGE)
			return true;
	for (size_t i = 0; i < MAPPINGS; i++)
		if (m->mapping[i].used && addr - (m->mapping[i].addr - m->mapping[i].offset) <
						  m->mapping[i].offset + m->mapping[i].size)
			return true;
	return false;
}

static inline void end_gather(struct model *m)
{
	if (m->gathering)
		dma_gather_end(&m->gather);
	m->gathering = false;
	/* Addresses that are still in a range must now show what the range says. */
	for (size_t i = 0; i < m->nr_leaving && m->alone; i++) {
		if (!is_used(m, m->leaving[i].addr))
			assert_null(fake_reach(m->card->function, m->leaving[i].addr, 1, false));
	}
	m->nr_leaving = 0;
	m->gathered = 0;
}

static inline struct dma_gather *gather_of(struct model *m)
{
	m->gathered++;
	return m->gathering ? &m->gather : NULL;
}

static inline void check_new_addresses(const struct model *m, uint64_t addr, size_t pages)
{
	for (size_t i = 0; i < m->nr_leaving; i++)
		if (m->leaving[i].firm && m->leaving[i].addr >= addr &&
		    m->leaving[i].addr < addr + pages * PAGE)
			fail_msg("%#llx is handed out while a gather has it",
				 (unsigned long long)addr);
}

/* Calls */

static inline struct model_range *pick_range(struct model *m)
{
	struct model_range *range = &m->range[draw(m, RANGES)];

	return range->used ? range : NULL;
}

static inline void call_reserve(struct model *m)
{
	struct model_range *range = &m->range[draw(m, RANGES)];

	if (range->used)
		return;
	range->pages = 1 + draw(m, RANGE_PAGES);
	range->whole = !draw(m, 4);
	assert_true(dma_iova_try_alloc_flags(m->card->dev, &range->state, 0, range->pages * PAGE, 0,
					     range->whole ? DMA_IOVA_WHOLE : 0));
	check_new_addresses(m, range->state.addr, range->pages);
	for (size_t i = 0; i < range->pages; i++)
		range->page[i] = (struct model_page){.memory = NOTHING};
	range->used = true;
}

/* What a gather had of [addr, addr + pages) is final. Whether it had something. */
static inline bool is_final(struct model *m, uint64_t addr, size_t pages)
{
	bool found = false;

	for (size_t i = 0; i < m->nr_leaving; i++) {
		if (m->leaving[i].addr - addr < pages * PAGE) {
			m->leaving[i].addr = UINT64_MAX;
			found = true;
		}
	}
	return found;
}

/*
 * A link that will be refused may have made final what a gather had there, or not. That is not
 * to be told from outside, so the gather ends before.
 */
static inline void end_gather_at(struct model *m, const struct model_range *range, size_t first,
				 size_t pages)
{
	for (size_t i = 0; i < m->nr_leaving; i++) {
		if (m->leaving[i].addr - range->state.addr - first * PAGE < pages * PAGE) {
			end_gather(m);
			return;
		}
	}
}

/* Old contents of a place that is linked anew are final before. */
static inline void put(struct model *m, struct model_range *range, size_t at, int memory,
		       unsigned int unit)
{
	is_final(m, range->state.addr + at * PAGE, 1);
	range->page[at] = (struct model_page){memory, unit, 0};
}

static inline bool is_free(const struct model_range *range, size_t first, size_t pages)
{
	for (size_t i = first; i < first + pages; i++)
		if (range->page[i].memory != NOTHING)
			return false;
	return true;
}

/* Where to link: in what goes whole from the beginning on, so that it ends as it is linked. */
static inline size_t pick_place(struct model *m, const struct model_range *range)
{
	size_t at = 0;

	if (!range->whole)
		return draw(m, range->pages);
	while (at < range->pages && range->page[at].memory != NOTHING)
		at++;
	return at;
}

static inline void call_link(struct model *m)
{
	struct model_range *range = pick_range(m);
	size_t first, pages;
	int memory, err;

	if (!range)
		return;
	first = pick_place(m, range);
	pages = 1 + draw(m, 6);
	memory = (int)draw(m, MEMORY_PAGES - 6);
	if (first + pages <= range->pages && !is_free(range, first, pages))
		end_gather_at(m, range, first, pages);
	err = try_link(m->card, &range->state, first * PAGE, memory_at(m, memory), pages * PAGE);
	if (first + pages > range->pages) {
		assert_int_equal(err, -ERANGE);
	} else if (!is_free(range, first, pages)) {
		assert_int_equal(err, -EADDRINUSE);
	} else {
		if (err)
			fail_msg("link: %d: %s", err, dma_last_error());
		m->unit++;
		for (size_t i = 0; i < pages; i++)
			put(m, range, first + i, memory + (int)i, m->unit);
	}
}

static inline void call_link_vec(struct model *m)
{
	struct model_range *range = pick_range(m);
	struct phys_vec vec[6];
	int memory[6];
	size_t nr = 1 + draw(m, 6), pages = 0, first, at;
	int err;

	if (!range)
		return;
	first = pick_place(m, range);
	for (size_t i = 0; i < nr; i++) {
		size_t size = 1 + draw(m, 2);

		/* Half of them go on where the last one ended. */
		memory[i] = i && draw(m, 2) ? memory[i - 1] + (int)(vec[i - 1].len / PAGE)
					    : (int)draw(m, MEMORY_PAGES - 12);
		if (memory[i] > MEMORY_PAGES - 2)
			memory[i] = 0;
		vec[i] = (struct phys_vec){virt_to_phys(memory_at(m, memory[i])), size * PAGE};
		pages += size;
	}
	if (first + pages <= range->pages && !is_free(range, first, pages))
		end_gather_at(m, range, first, pages);
	err = dma_iova_link_vec(m->card->dev, &range->state, vec, nr, first * PAGE,
				DMA_BIDIRECTIONAL, 0);
	if (first + pages > range->pages) {
		/* Either may be seen first: a piece is past the end, one before it is taken. */
		assert_true(err == -ERANGE || err == -EADDRINUSE);
		return;
	}
	if (!is_free(range, first, pages)) {
		assert_int_equal(err, -EADDRINUSE);
		return;
	}
	if (err)
		fail_msg("link_vec: %d: %s", err, dma_last_error());
	at = first;
	for (size_t i = 0; i < nr; i++) {
		if (!i || memory[i] != memory[i - 1] + (int)(vec[i - 1].len / PAGE))
			m->unit++;
		for (size_t page = 0; page < vec[i].len / PAGE; page++)
			put(m, range, at++, memory[i] + (int)page, m->unit);
	}
}

/* Whether the page and the one before it are of one unit, and neither is mapped. */
static inline bool pending_goes_on(const struct model_range *range, size_t i)
{
	const struct model_page *page = &range->page[i];

	return i && page->memory != NOTHING && page[-1].memory != NOTHING && !page->map &&
	       !page[-1].map && page->unit == page[-1].unit;
}

static inline void call_sync(struct model *m)
{
	struct model_range *range = pick_range(m);
	size_t first = 0, pages;
	unsigned int map = m->map;
	int err, wanted = 0;

	if (!range)
		return;
	pages = range->pages;
	if (!range->whole && draw(m, 2)) {
		first = draw(m, pages);
		pages = 1 + draw(m, pages - first);
	}
	if (m->alone && !draw(m, 4)) {
		wanted = -ENOMEM;
		fake_fail(map_request(m->card), 1 + (unsigned int)draw(m, 4), wanted);
	}
	err = dma_iova_sync(m->card->dev, &range->state, first * PAGE, pages * PAGE);
	if (wanted)
		fake_fail(map_request(m->card), 0, 0);
	if (err) {
		if (err != wanted && !(m->may_fail && err == -ENOMEM))
			fail_msg("sync: %d: %s", err, dma_last_error());
		m->failed++;
		return;
	}
	/* The units at both ends are mapped whole. */
	while (pending_goes_on(range, first)) {
		first--;
		pages++;
	}
	while (first + pages < range->pages && pending_goes_on(range, first + pages))
		pages++;
	for (size_t i = first; i < first + pages; i++) {
		struct model_page *page = &range->page[i], *before = i > first ? page - 1 : NULL;

		if (page->memory == NOTHING || page->map)
			continue;
		/* It goes on with what this call has mapped before it, or is another one. */
		if (before && before->map > m->map && before->memory + 1 == page->memory &&
		    (range->whole || before->unit == page->unit))
			page->map = before->map;
		else
			page->map = ++map;
	}
	m->map = map;
}

static inline void drop(struct model *m, struct model_range *range, size_t first, size_t end,
			bool firm)
{
	/* What is left behind of a unit is another one. */
	if (end < range->pages && pending_goes_on(range, end)) {
		unsigned int unit = range->page[end].unit;

		m->unit++;
		for (size_t i = end; i < range->pages && range->page[i].memory != NOTHING &&
				     range->page[i].unit == unit;
		     i++)
			range->page[i].unit = m->unit;
	}
	for (size_t i = first; i < end; i++) {
		struct model_page *page = &range->page[i];

		/* What was pending is out of reach; but the gather has its place. */
		if (page->memory != NOTHING)
			leave(m, range->state.addr + i * PAGE, page->map ? page->memory : NOTHING,
			      firm);
		*page = (struct model_page){.memory = NOTHING};
	}
}

/* Whether the page and the one before it are of one map. */
static inline bool goes_on(const struct model_range *range, size_t i)
{
	return i && range->page[i].map && range->page[i].map == range->page[i - 1].map;
}

/* Linked pages without a gap that cut no map, from a random place on. */
static inline bool pick_linked(struct model *m, const struct model_range *range, size_t *first,
			       size_t *end)
{
	size_t i = draw(m, range->pages);

	while (i < range->pages && (range->page[i].memory == NOTHING || goes_on(range, i)))
		i++;
	if (i == range->pages)
		return false;
	*first = i;
	do
		i++;
	while (i < range->pages && range->page[i].memory != NOTHING &&
	       (goes_on(range, i) || draw(m, 3)));
	*end = i;
	return true;
}

static inline void call_unlink(struct model *m)
{
	struct model_range *range = pick_range(m);
	size_t first, end;

	if (!range || range->whole || !pick_linked(m, range, &first, &end))
		return;
	dma_iova_unlink_gather(m->card->dev, &range->state, first * PAGE, (end - first) * PAGE,
			       DMA_BIDIRECTIONAL, 0, gather_of(m));
	drop(m, range, first, end, false);
}

/* Part of a map: the whole goes, and that is misuse. */
static inline void call_cut(struct model *m)
{
	struct model_range *range = pick_range(m);
	size_t first, end, from;

	if (!range || range->whole || !pick_linked(m, range, &first, &end) ||
	    !range->page[first].map)
		return;
	for (end = first + 1; end < range->pages && goes_on(range, end);)
		end++;
	if (end - first < 2)
		return;
	from = first + draw(m, end - first);
	dma_iova_unlink_gather(m->card->dev, &range->state, from * PAGE, PAGE, DMA_BIDIRECTIONAL, 0,
			       gather_of(m));
	m->misuse++;
	drop(m, range, first, end, false);
}

static inline void end_range(struct model *m, struct model_range *range, struct dma_gather *gather)
{
	bool marked = is_final(m, range->state.addr, range->pages);
	size_t linked = 0, mapped = 0;

	while (mapped < range->pages && range->page[mapped].memory != NOTHING)
		mapped++;
	for (size_t i = 0; i < range->pages; i++)
		linked += range->page[i].memory != NOTHING;
	if (linked != mapped)
		m->misuse++; /* something is left behind the prefix */
	dma_iova_destroy_gather(m->card->dev, &range->state, mapped * PAGE, DMA_BIDIRECTIONAL, 0,
				gather);
	/* With something of it in a gather already, it is strict: all of it is final. */
	drop(m, range, 0, range->pages, true);
	if (marked || !gather)
		is_final(m, range->state.addr, range->pages);
	for (size_t i = 0; i < range->pages && m->alone && (marked || !gather); i++)
		check_page(m, range->state.addr + i * PAGE, NOTHING, "a destroyed range");
	range->used = false;
}

static inline void call_destroy(struct model *m)
{
	struct model_range *range = pick_range(m);

	if (range)
		end_range(m, range, gather_of(m));
}

static inline void call_map(struct model *m)
{
	struct model_mapping *mapping = &m->mapping[draw(m, MAPPINGS)];

	if (mapping->used)
		return;
	mapping->memory = (int)draw(m, MEMORY_PAGES - 8);
	mapping->offset = draw(m, 2) ? 0 : draw(m, PAGE);
	mapping->size = 1 + draw(m, 4 * PAGE);
	mapping->addr = dma_map_phys(m->card->dev,
				     virt_to_phys(memory_at(m, mapping->memory) + mapping->offset),
				     mapping->size, DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(m->card->dev, mapping->addr)) {
		if (!m->may_fail)
			fail_msg("map: %s", dma_last_error());
		return;
	}
	check_new_addresses(m, mapping->addr - mapping->offset, mapping_pages(mapping));
	mapping->used = true;
}

static inline void end_mapping(struct model *m, struct model_mapping *mapping,
			       struct dma_gather *gather)
{
	size_t pages = mapping_pages(mapping);

	dma_unmap_phys_gather(m->card->dev, mapping->addr, mapping->size, DMA_BIDIRECTIONAL, 0,
			      gather);
	for (size_t i = 0; i < pages; i++)
		leave(m, mapping->addr - mapping->offset + i * PAGE, mapping->memory + (int)i,
		      true);
	mapping->used = false;
}

static inline void call_unmap(struct model *m)
{
	struct model_mapping *mapping = &m->mapping[draw(m, MAPPINGS)];

	if (mapping->used)
		end_mapping(m, mapping, gather_of(m));
}

static inline void call_gather(struct model *m)
{
	if (m->gathering) {
		end_gather(m);
		return;
	}
	dma_gather_begin(m->card->dev, &m->gather);
	m->gathering = true;
}

static inline void model_call(struct model *m)
{
	static void (*const calls[])(struct model *) = {
		call_reserve, call_link, call_link, call_link_vec, call_sync,	call_sync,
		call_unlink,  call_cut,	 call_map,  call_unmap,	   call_gather, call_destroy,
	};

	/* One that is full would end by itself. */
	if (m->nr_leaving > LEAVING - 2 * RANGE_PAGES || m->gathered > DMA_GATHER_RANGES / 2)
		end_gather(m);
	calls[draw(m, COUNT(calls))](m);
}

static inline void model_end(struct model *m)
{
	end_gather(m);
	for (size_t i = 0; i < RANGES; i++)
		if (m->range[i].used)
			end_range(m, &m->range[i], NULL);
	for (size_t i = 0; i < MAPPINGS; i++)
		if (m->mapping[i].used)
			end_mapping(m, &m->mapping[i], NULL);
}

/* From the environment, to run again what failed; else by the clock. */
static inline uint64_t model_seed(void)
{
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761U;

	print_message("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	return seed ? seed : 1;
}

#endif
