/* SPDX-License-Identifier: MIT */
/* Addresses in general, and streaming mappings. */
#include "calls.h"

bool check_new(struct run *run, unsigned int device, uint64_t pfn, uint64_t pages,
	       uint64_t align_pages)
{
	uint64_t alignment = 1ULL << order_of(pages);

	if (alignment < align_pages)
		alignment = align_pages;
	AGREE(run, pfn && !(pfn % alignment), "0x%llx is 0 or not aligned to 0x%llx",
	      ull(pfn * PAGE), ull(alignment * PAGE));
	AGREE(run, pfn + pages - 1 <= run->limit_pfn[device], "0x%llx is beyond the mask",
	      ull(pfn * PAGE));
	AGREE(run, !in_use(run, pfn, pages, true), "0x%llx has been handed out already",
	      ull(pfn * PAGE));
	for (unsigned int i = 0; i < run->nr_windows; i++)
		AGREE(run, pfn > run->window[i].last || pfn + pages - 1 < run->window[i].first,
		      "0x%llx is in a reserved window", ull(pfn * PAGE));
	forget_leaving(run, pfn, pages);
	return true;
}

bool check_none(struct run *run, unsigned int device, uint64_t pages, uint64_t align_pages)
{
	uint64_t limit = run->limit_pfn[device];

	/* There is always room in what does not fit into a small mask. */
	if (limit > 1ULL << 16 && align_pages <= limit >> 4)
		return disagree(run, "no addresses, and yet there are plenty");
	AGREE(run, limit > 1ULL << 16 || !could_fit(run, pages, align_pages, limit),
	      "no addresses for %llu granules, and yet there are some", ull(pages));
	run->met[MET_EXHAUSTED]++;
	return true;
}

void keep_range(struct run *run, struct range *range, enum range_kind kind,
		struct dma_iova_state state)
{
	range->kind = kind;
	range->state = state;
	range->pfn = state.addr / PAGE;
	range->pages = ((state.addr & PAGE_MASK) + dma_iova_size(&state) + PAGE_MASK) / PAGE;
	range->bounced = false;
	range_clear(range);
	run->live++;
}

/* Ordinary or registered memory, often where a large entry could begin. */
struct phys_vec any_piece(struct run *run, uint64_t in, uint64_t max)
{
	uint64_t first = one_in(run, 3) ? PLAIN_PAGES : 0;
	uint64_t pages = first ? REGISTERED_PAGES : PLAIN_PAGES, page, len, room;

	if (max >= LARGE_PAGES * PAGE || one_in(run, 8))
		page = below(run, pages / LARGE_PAGES) * LARGE_PAGES;
	else
		page = below(run, pages);
	room = (pages - page) * PAGE - in;
	if (max > room)
		max = room;
	switch (below(run, 4)) {
	case 0:
		len = max;
		break;
	case 1:
		len = 1 + below(run, max);
		break;
	default:
		len = 1 + below(run, max < 6 * PAGE ? max : 6 * PAGE);
		break;
	}
	return (struct phys_vec){page_phys(run, (int)(first + page)) + in, len};
}

/* Whether a mapping has to be bounced, and why it cannot be. */
static bool must_bounce(unsigned int device, const struct phys_vec *vec, unsigned long attrs)
{
	return device == UNTRUSTED && !(attrs & DMA_ATTR_MMIO) &&
	       (vec->paddr | vec->len) & PAGE_MASK;
}

static bool cannot_bounce(const struct run *run, const struct phys_vec *vec, unsigned long attrs)
{
	uint64_t longest = 256 * 1024 - (run->min_align[UNTRUSTED] + 2047ULL) / 2048 * 2048;

	return !run->config->bounces || attrs & DMA_ATTR_REQUIRE_COHERENT || vec->len > longest ||
	       (uint64_t)phys_page(run, vec->paddr) >= PLAIN_PAGES;
}

bool call_map(struct run *run, bool *misused)
{
	struct range *range = any_range(run, MAPPED);
	unsigned int device = (unsigned int)below(run, DEVICES);
	enum dma_data_direction dir = any_direction(run);
	unsigned long attrs = any_attrs(run);
	uint64_t in = one_in(run, 2) ? 0 : below(run, PAGE);
	struct phys_vec vec = any_piece(run, in,
					one_in(run, 8)	 ? MAX_BYTES - PAGE
					: one_in(run, 2) ? PAGE - in
							 : 8 * PAGE);
	bool bad, starved, bounced;
	uint64_t pages, inside;
	dma_addr_t addr;

	(void)misused;
	if (range->kind != UNUSED)
		return true;
	if (one_in(run, 2))
		vec.len = PAGE - in;
	if (one_in(run, 30))
		vec.len = 0;
	if (one_in(run, 30))
		vec.paddr = run->registered_base + REGISTERED_PAGES * PAGE - below(run, PAGE / 2);
	bounced = must_bounce(device, &vec, attrs);
	inside = vec.paddr & (bounced ? run->min_align[device] : PAGE_MASK);
	pages = (inside + vec.len + PAGE_MASK) / PAGE;
	bad = dir == DMA_NONE || !vec.len || !is_memory(run, vec.paddr, vec.len) ||
	      attrs & DMA_ATTR_CC_SHARED || (bounced && cannot_bounce(run, &vec, attrs));
	if (bounced)
		touch_memory(run, &vec, 1);
	starved = starve(run);
	addr = dma_map_phys(run->dev[device], vec.paddr, vec.len, dir, attrs);
	feed();
	tell(run,
	     "map in slot %u: %zu bytes at 0x%llx (page %d), direction %d, attributes 0x%lx, "
	     "device %u = 0x%llx",
	     slot_of(run, range), vec.len, ull(vec.paddr), phys_page(run, vec.paddr), (int)dir,
	     attrs, device, ull(addr));
	if (addr == DMA_MAPPING_ERROR)
		return bad || starved || check_none(run, device, pages, 0);
	AGREE(run, !bad, "what cannot be mapped is mapped at 0x%llx", ull(addr));
	AGREE(run, (addr & PAGE_MASK) == inside, "mapped at 0x%llx, from 0x%llx", ull(addr),
	      ull(vec.paddr));
	if (!check_new(run, device, addr / PAGE, pages, 0))
		return false;
	keep_range(run, range, MAPPED, (struct dma_iova_state){addr, vec.len});
	if (bounced)
		model_map_bounced(run, range, vec.paddr, vec.len, dir);
	else
		model_link(run, range, 0, &vec, 1, dir, true, false);
	return check_range(run, range);
}

/* @shared: as shared memory, which does nothing. */
static bool unmap(struct run *run, struct range *range, dma_addr_t addr, size_t size, bool shared,
		  bool *misused)
{
	enum dma_data_direction dir;
	unsigned long attrs;
	bool copy_back = any_ending(run, &dir, &attrs);
	struct dma_dev *dev = run->dev[below(run, DEVICES)];
	uint64_t pages = size ? ((addr & PAGE_MASK) + size + PAGE_MASK) / PAGE : 0;
	bool really, starved = starve(run);
	struct dma_gather *gather = any_gather(run, &really);

	tell(run, "unmap%s slot %u: %zu bytes at 0x%llx, direction %d, attributes 0x%lx%s%s",
	     gather ? ", gathered," : "", slot_of(run, range), size, ull(addr), (int)dir, attrs,
	     shared ? ", CC_SHARED" : "", starved ? ", without memory" : "");
	if (shared)
		attrs |= DMA_ATTR_CC_SHARED;
	if (gather)
		dma_unmap_phys_gather(dev, addr, size, dir, attrs, gather);
	else
		dma_unmap_phys(dev, addr, size, dir, attrs);
	feed();
	if (shared)
		return check_range(run, range);
	if (addr / PAGE != range->pfn || range->kind != MAPPED) {
		*misused = true;
		return check_range(run, range);
	}
	*misused = pages != range->pages;
	model_release(run, range, really, copy_back);
	return check_range(run, range);
}

bool call_unmap(struct run *run, bool *misused)
{
	struct range *range = any_range(run, one_in(run, 30) ? RESERVED : MAPPED);
	dma_addr_t addr = range->state.addr;
	size_t size = dma_iova_size(&range->state);

	if (range->kind == UNUSED)
		return true;
	if (one_in(run, 20))
		size = below(run, 3 * PAGE);
	if (one_in(run, 20) && range->pages > 1)
		addr += PAGE;
	return unmap(run, range, addr, size, one_in(run, 30), misused);
}

bool take_down(struct run *run, struct range *range)
{
	uint64_t inside = range->state.addr & PAGE_MASK, first = 0, end;
	size_t total = dma_iova_size(&range->state);
	bool misused;

	if (range->kind == MAPPED)
		return unmap(run, range, range->state.addr, total, false, &misused) &&
		       check_stats(run, misused);
	for (; first < range->pages; first = end) {
		size_t from = first ? first * PAGE - inside : 0, to;

		end = first + 1;
		/* Of a unit with holes nothing can be unlinked alone. */
		if (range->granule[first].page == NOTHING || range->state.__size & __DMA_IOVA_WHOLE)
			continue;
		while (end < range->pages && range->granule[end].page != NOTHING)
			end++;
		to = end * PAGE - inside < total ? end * PAGE - inside : total;
		dma_iova_unlink(run->dev[0], &range->state, from, to - from, DMA_BIDIRECTIONAL, 0);
		model_remove(run, range, first, end - 1, false, true);
		if (!check_range(run, range))
			return false;
	}
	misused = any_linked(range, 0, range->pages);
	dma_iova_free(run->dev[0], &range->state);
	model_release(run, range, false, false);
	return check_stats(run, misused);
}
