/* SPDX-License-Identifier: MIT */
/* The two-step calls. */
#include "calls.h"

#define MAX_VEC 1100

/* The first slots are for ranges that can have large entries. */
#define LARGE_SLOTS 6

static size_t any_size(struct run *run, unsigned int slot)
{
	if (slot < LARGE_SLOTS && !one_in(run, 8))
		return one_in(run, 2) ? LARGE_PAGES * PAGE * (1 + below(run, 2))
				      : LARGE_PAGES * PAGE + below(run, MAX_BYTES / 2);
	switch (below(run, 10)) {
	case 0 ... 3:
		return 1 + below(run, 4 * PAGE);
	case 4 ... 6:
		return PAGE * (1 + below(run, 16));
	case 7:
		return 1 + below(run, 128 * PAGE);
	case 8:
		return 1 + below(run, MAX_BYTES);
	default:
		return LARGE_PAGES * PAGE * (1 + below(run, 2));
	}
}

bool call_reserve(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	unsigned int device = (unsigned int)below(run, DEVICES);
	struct dma_iova_state state = {~0ULL, ~0ULL};
	size_t size = any_size(run, slot_of(run, range)), align = 0;
	phys_addr_t phys = one_in(run, 3) ? below(run, 1ULL << 40) : 0;
	bool bad = false, done, starved;
	unsigned int flags = 0;
	uint64_t pages;

	(void)misused;
	if (range->kind != UNUSED)
		return true;
	if (one_in(run, 40)) {
		static const size_t sizes[] = {0, 1ULL << 63, 1ULL << 62, ~0ULL, 3ULL << 62};

		size = sizes[below(run, ARRAY_SIZE(sizes))];
		bad = true;
	}
	if (one_in(run, 4))
		flags = DMA_IOVA_WHOLE;
	if (one_in(run, 8))
		align = 1ULL << below(run, 26);
	if (one_in(run, 60)) {
		flags |= 2;
		bad = true;
	}
	if (one_in(run, 60)) {
		align = align * 2 + 3;
		bad = true;
	}
	starved = starve(run);
	if (flags || align || one_in(run, 4))
		done = dma_iova_try_alloc_flags(run->dev[device], &state, phys, size, align, flags);
	else
		done = dma_iova_try_alloc(run->dev[device], &state, phys, size);
	feed();
	tell(run,
	     "reserve slot %u: 0x%zx bytes, offset 0x%llx, alignment 0x%zx, flags %u, "
	     "device %u = %d, 0x%llx",
	     slot_of(run, range), size, ull(phys & PAGE_MASK), align, flags, device, done,
	     ull(state.addr));
	pages = ((phys & PAGE_MASK) + size + PAGE_MASK) / PAGE;
	if (!done) {
		AGREE(run, !state.addr && !state.__size, "a refused reservation leaves its state");
		return bad || starved || check_none(run, device, pages, align / PAGE);
	}
	AGREE(run, !bad, "a wrong reservation is made");
	AGREE(run, (state.addr & PAGE_MASK) == (phys & PAGE_MASK) && dma_iova_size(&state) == size,
	      "a reservation of %zu bytes at 0x%llx", dma_iova_size(&state), ull(state.addr));
	if (!check_new(run, device, state.addr / PAGE, pages, align / PAGE))
		return false;
	keep_range(run, range, RESERVED, state);
	return check_range(run, range);
}

/* Linking. */

static uint64_t inside(const struct range *range)
{
	return range->state.addr & PAGE_MASK;
}

/* The offset of a granule of the range, often one where a large entry could begin. */
static size_t any_offset(struct run *run, const struct range *range)
{
	uint64_t granule = below(run, range->pages);

	for (uint64_t i = 0; i + LARGE_PAGES <= range->pages && one_in(run, 2); i += LARGE_PAGES)
		if (!any_linked(range, i, LARGE_PAGES) && (!i || !inside(range)))
			return i * PAGE;
	if (one_in(run, 3) || (range->pages < 2 * LARGE_PAGES && one_in(run, 2)))
		granule = 0;
	else if (one_in(run, 3))
		granule -= granule % LARGE_PAGES;
	return granule ? granule * PAGE - inside(range) : 0;
}

/* Make one thing wrong with a piece. */
static void spoil(struct run *run, struct phys_vec *vec)
{
	switch (below(run, 5)) {
	case 0:
		vec->len = 0;
		break;
	case 1:
		if (vec->len > 64)
			vec->len -= 1 + below(run, 63);
		break;
	case 2:
		vec->paddr ^= 0x80;
		break;
	case 3: /* beyond the registration */
		vec->paddr = run->registered_base + REGISTERED_PAGES * PAGE -
			     (one_in(run, 2) ? PAGE : 0) + (vec->paddr & PAGE_MASK);
		vec->len += PAGE;
		break;
	default: /* beyond what an entry can hold */
		vec->paddr = 1ULL << 53 | (vec->paddr & PAGE_MASK);
		break;
	}
}

/* Keep what an ordinary piece reaches inside memory: the library takes it at its word. */
static void keep_inside(const struct run *run, struct phys_vec *vec)
{
	uint64_t end = (uintptr_t)run->plain + PLAIN_PAGES * PAGE;

	if (vec->paddr - (uintptr_t)run->plain < PLAIN_PAGES * PAGE && vec->len > end - vec->paddr)
		vec->len = end - vec->paddr;
}

static void meet(struct run *run, int err)
{
	static const struct {
		int err;
		enum met met;
	} errors[] = {
		{-EADDRINUSE, MET_IN_USE}, {-ERANGE, MET_RANGE},	  {-EIO, MET_INSIDE},
		{-ENXIO, MET_MISMATCH},	   {-EINVAL, MET_INVALID},	  {-EPERM, MET_FORBIDDEN},
		{-ENOMEM, MET_NO_MEMORY},  {-EOPNOTSUPP, MET_INCOHERENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		run->met[errors[i].met] += err == errors[i].err;
}

static bool check_link(struct run *run, struct range *range, unsigned int device,
		       const struct phys_vec *vec, size_t nr, size_t offset,
		       enum dma_data_direction dir, unsigned long attrs, int err, bool starved)
{
	int expected = expect_link(run, range, device, vec, nr, offset, dir, attrs);

	if (!(starved && err == -ENOMEM && (!expected || expected == -EADDRINUSE)))
		AGREE(run, err == expected, "the link answers %d and should answer %d", err,
		      expected);
	meet(run, err);
	if (err)
		return check_unchanged(run, range);
	model_link(run, range, (inside(range) + offset) / PAGE, vec, nr, dir,
		   !run->config->needs_sync, device == UNTRUSTED);
	AGREE(run, !(range->state.__size & __DMA_IOVA_BOUNCED) == !range->bounced,
	      "the state says that %s of it was bounced", range->bounced ? "nothing" : "part");
	return check_range(run, range);
}

bool call_link(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	unsigned int device = (unsigned int)below(run, DEVICES);
	enum dma_data_direction dir = any_direction(run);
	unsigned long attrs = any_attrs(run);
	struct dma_iova_state copy;
	struct phys_vec vec;
	bool starved;
	size_t offset;
	int err;

	(void)misused;
	if (range->kind == UNUSED)
		return true;
	offset = any_offset(run, range);
	vec = any_piece(run, offset ? 0 : inside(range), dma_iova_size(&range->state) - offset);
	if (one_in(run, 12))
		spoil(run, &vec);
	if (one_in(run, 12))
		offset = below(run, dma_iova_size(&range->state) + 3 * PAGE);
	if (one_in(run, 12))
		vec.len += below(run, 2 * PAGE);
	if (one_in(run, 60))
		offset = 0 - below(run, 4 * PAGE);
	keep_inside(run, &vec);
	copy = range->state;
	touch_memory(run, &vec, 1);
	starved = starve(run);
	err = dma_iova_link(run->dev[device], &copy, vec.paddr, offset, vec.len, dir, attrs);
	feed();
	/* The copy knows what was bounced. */
	range->state = copy;
	tell(run,
	     "link in slot %u at 0x%zx: 0x%zx bytes at 0x%llx (page %d), direction %d, "
	     "attributes 0x%lx, device %u = %d",
	     slot_of(run, range), offset, vec.len, ull(vec.paddr), phys_page(run, vec.paddr),
	     (int)dir, attrs, device, err);
	return check_link(run, range, device, &vec, 1, offset, dir, attrs, err, starved);
}

/* One granule after the other: the fast way of the library. */
bool call_link_page(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	unsigned int device = (unsigned int)below(run, DEVICES);
	enum dma_data_direction dir = any_direction(run);
	uint64_t granule, n = 1 + below(run, 12);

	(void)misused;
	if (range->kind == UNUSED || inside(range))
		return true;
	granule = below(run, range->pages);
	for (uint64_t i = 0; i < n; i++, granule++) {
		struct phys_vec vec = any_piece(run, 0, PAGE);
		size_t offset = granule * PAGE;
		int err;

		vec.len = PAGE;
		err = dma_iova_link(run->dev[device], &range->state, vec.paddr, offset, PAGE, dir,
				    0);
		tell(run, "link in slot %u at 0x%zx: page %d, direction %d, device %u = %d",
		     slot_of(run, range), offset, phys_page(run, vec.paddr), (int)dir, device, err);
		if (!check_link(run, range, device, &vec, 1, offset, dir, 0, err, false))
			return false;
	}
	return true;
}

/* A vector for @offset: single pages, or runs, or all that makes large entries. */
static size_t any_vec(struct run *run, const struct range *range, size_t offset,
		      struct phys_vec *vec)
{
	uint64_t room = dma_iova_size(&range->state) - offset, in = offset ? 0 : inside(range);
	size_t max = one_in(run, 3) ? MAX_VEC : 1 + below(run, 40), nr = 0;
	unsigned int style = (unsigned int)below(run, 4);

	while (room && nr < max) {
		struct phys_vec next = any_piece(run, in, room);
		uint64_t to_end = PAGE - in;

		if (style == 0 && room >= PAGE)
			next.len = to_end;
		if (style >= 2 && nr && !one_in(run, style == 2 ? 8 : 600)) {
			/* Goes on where the last one ended. */
			next.paddr = vec[nr - 1].paddr + vec[nr - 1].len;
			next.len = room < PAGE ? room : PAGE;
			if (!is_memory(run, next.paddr, next.len))
				break;
		} else if (style >= 2) {
			next.len = to_end;
		}
		if (next.len > room)
			next.len = room;
		/* All but the last end with a granule. */
		if (next.len < room && nr + 1 < max && ((in + next.len) & PAGE_MASK)) {
			if (next.len > to_end)
				next.len -= (in + next.len) & PAGE_MASK;
			else
				next.len = room < to_end ? room : to_end;
		}
		vec[nr++] = next;
		room -= next.len;
		in = 0;
		if ((next.paddr + next.len) & PAGE_MASK)
			break;
	}
	return nr;
}

bool call_link_vec(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	unsigned int device = (unsigned int)below(run, DEVICES);
	enum dma_data_direction dir = any_direction(run);
	unsigned long attrs = any_attrs(run);
	struct phys_vec vec[MAX_VEC];
	size_t offset, nr;
	bool starved;
	int err;

	(void)misused;
	if (range->kind == UNUSED)
		return true;
	offset = any_offset(run, range);
	nr = any_vec(run, range, offset, vec);
	if (nr && one_in(run, 6)) {
		size_t i = one_in(run, 3) ? nr - 1 : below(run, nr);

		spoil(run, &vec[i]);
		keep_inside(run, &vec[i]);
	}
	if (one_in(run, 40))
		nr = 0;
	if (one_in(run, 20))
		offset += one_in(run, 2) ? PAGE : below(run, 3 * PAGE);
	touch_memory(run, vec, nr);
	starved = starve(run);
	err = dma_iova_link_vec(run->dev[device], &range->state, vec, nr, offset, dir, attrs);
	feed();
	tell(run,
	     "link in slot %u at 0x%zx: %zu pieces, direction %d, attributes 0x%lx, "
	     "device %u = %d",
	     slot_of(run, range), offset, nr, (int)dir, attrs, device, err);
	for (size_t i = 0; run->tell && i < nr && i < 8; i++)
		tell(run, "    0x%zx bytes at 0x%llx (page %d)%s", vec[i].len, ull(vec[i].paddr),
		     phys_page(run, vec[i].paddr), i == 7 && nr > 8 ? ", ..." : "");
	return check_link(run, range, device, vec, nr, offset, dir, attrs, err, starved);
}

bool call_sync(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	struct dma_dev *dev = run->dev[below(run, DEVICES)];
	size_t total = dma_iova_size(&range->state), offset = 0, size = total;
	uint64_t first, last;
	int err, expected;

	(void)misused;
	if (range->kind == UNUSED)
		return true;
	if (one_in(run, 2)) {
		offset = below(run, total);
		size = 1 + below(run, total - offset);
	}
	if (one_in(run, 10))
		size = below(run, 2) * (total - offset + 1);
	err = dma_iova_sync(dev, &range->state, offset, size);
	tell(run, "sync in slot %u at 0x%zx: 0x%zx bytes = %d", slot_of(run, range), offset, size,
	     err);
	expected = !size ? -EINVAL : size > total - offset ? -ERANGE : 0;
	AGREE(run, err == expected, "the sync answers %d and should answer %d", err, expected);
	if (err)
		return check_unchanged(run, range);
	first = (inside(range) + offset) / PAGE;
	last = (inside(range) + offset + size - 1) / PAGE;
	for (uint64_t i = first; i <= last; i++)
		range->granule[i].settled = true;
	return check_range(run, range);
}

/* Unlinking. */

static bool is_whole(const struct range *range)
{
	return range->state.__size & __DMA_IOVA_WHOLE;
}

static void model_unlink(struct run *run, struct range *range, size_t offset, size_t size,
			 bool gathered, bool copy_back, bool *misused)
{
	size_t total = dma_iova_size(&range->state);
	struct removal removal;
	uint64_t first, last;

	*misused = !size || offset >= total || size > total - offset;
	if (!size || offset >= total)
		return;
	if (size > total - offset)
		size = total - offset;
	first = (inside(range) + offset) / PAGE;
	last = (inside(range) + offset + size - 1) / PAGE;
	/* What lies outside of the part goes with it. */
	if (is_whole(range) &&
	    (any_linked(range, 0, first) || any_linked(range, last + 1, range->pages - last - 1))) {
		run->met[MET_WHOLE]++;
		model_remove(run, range, 0, range->pages - 1, false, copy_back);
		*misused = true;
		return;
	}
	removal = model_remove(run, range, first, last, gathered, copy_back);
	*misused |= removal.hole || removal.cut;
}

/*
 * Where gathered unlinks have been, or nothing is linked, the library may be strict in spite
 * of the gather. When copies come back must be certain: the gather ends first.
 */
static void be_sure(struct run *run, const struct range *range, bool holes, bool *really)
{
	if (!*really || !any_bounced(range) || !(holes || any_marks(range)))
		return;
	end_gather(run);
	*really = false;
}

static bool any_holes(const struct range *range, size_t offset, size_t size)
{
	size_t total = dma_iova_size(&range->state);

	for (size_t at = offset; at < total && at - offset < size; at++)
		if (range->granule[(inside(range) + at) / PAGE].page == NOTHING)
			return true;
	return false;
}

bool call_unlink(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	struct dma_dev *dev = run->dev[below(run, DEVICES)];
	size_t total = dma_iova_size(&range->state), offset, size;
	enum dma_data_direction dir;
	unsigned long attrs;
	bool copy_back = any_ending(run, &dir, &attrs), really, starved;
	struct dma_gather *gather;

	if (range->kind == UNUSED)
		return true;
	offset = one_in(run, 2) ? 0 : any_offset(run, range);
	size = one_in(run, 3) ? total - offset : 1 + below(run, total - offset);
	if (one_in(run, 16))
		offset = below(run, total + PAGE);
	if (one_in(run, 40))
		size = one_in(run, 2) ? 0 : total;
	if (one_in(run, 60))
		offset = 0 - below(run, 3 * PAGE);
	starved = starve(run);
	gather = any_gather(run, &really);
	be_sure(run, range, any_holes(range, offset, size), &really);
	if (gather)
		dma_iova_unlink_gather(dev, &range->state, offset, size, dir, attrs, gather);
	else
		dma_iova_unlink(dev, &range->state, offset, size, dir, attrs);
	feed();
	tell(run, "unlink%s in slot %u at 0x%zx: 0x%zx bytes, direction %d, attributes 0x%lx%s",
	     gather ? ", gathered," : "", slot_of(run, range), offset, size, (int)dir, attrs,
	     starved ? ", without memory" : "");
	model_unlink(run, range, offset, size, really, copy_back, misused);
	return check_range(run, range);
}

/* Giving back. */

bool call_free(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	bool starved;

	if (range->kind == UNUSED)
		return true;
	starved = starve(run);
	dma_iova_free(run->dev[below(run, DEVICES)], &range->state);
	feed();
	tell(run, "free slot %u%s", slot_of(run, range), starved ? ", without memory" : "");
	*misused = any_linked(range, 0, range->pages);
	model_release(run, range, false, false);
	return check_range(run, range);
}

bool call_destroy(struct run *run, bool *misused)
{
	struct range *range = any_range(run, RESERVED);
	struct dma_dev *dev = run->dev[below(run, DEVICES)];
	size_t total = dma_iova_size(&range->state), len;
	struct dma_iova_state copy = range->state;
	enum dma_data_direction dir;
	unsigned long attrs;
	bool copy_back = any_ending(run, &dir, &attrs), really, starved;
	struct dma_gather *gather;
	uint64_t prefix = 0;

	if (range->kind == UNUSED)
		return true;
	len = one_in(run, 4) ? below(run, total + 1) : total;
	if (one_in(run, 2))
		for (len = 0; len < total; len += PAGE - ((inside(range) + len) & PAGE_MASK))
			if (range->granule[(inside(range) + len) / PAGE].page == NOTHING)
				break;
	if (len > total)
		len = total;
	if (one_in(run, 40))
		len = total + 1 + below(run, PAGE);
	starved = starve(run);
	gather = any_gather(run, &really);
	be_sure(run, range, false, &really);
	if (gather)
		dma_iova_destroy_gather(dev, &copy, len, dir, attrs, gather);
	else
		dma_iova_destroy(dev, &copy, len, dir, attrs);
	feed();
	tell(run, "destroy%s slot %u with 0x%zx bytes linked, direction %d, attributes 0x%lx%s",
	     gather ? ", gathered," : "", slot_of(run, range), len, (int)dir, attrs,
	     starved ? ", without memory" : "");
	*misused = len > total;
	if (len > total)
		len = total;
	if (len)
		prefix = (inside(range) + len + PAGE_MASK) / PAGE;
	*misused |= any_linked(range, prefix, range->pages - prefix);
	for (uint64_t i = 0; i < prefix; i++)
		*misused |= range->granule[i].page == NOTHING;
	model_release(run, range, really, copy_back);
	return check_range(run, range);
}

/* What has been given back already: nothing happens, and it is misuse. */
bool call_free_again(struct run *run, bool *misused)
{
	uint64_t i = below(run, ARRAY_SIZE(run->gone));
	struct dma_dev *dev = run->dev[below(run, DEVICES)];
	struct dma_iova_state state = run->gone[i].state;

	if (run->gone[i].kind == UNUSED)
		return true;
	for (unsigned int j = 0; j < RANGES; j++)
		if (run->range[j].kind == run->gone[i].kind &&
		    run->range[j].pfn == state.addr / PAGE)
			return true;
	*misused = true;
	tell(run, "end again what was at 0x%llx", ull(state.addr));
	if (run->gone[i].kind == MAPPED)
		dma_unmap_phys(dev, state.addr, dma_iova_size(&state), DMA_BIDIRECTIONAL, 0);
	else if (one_in(run, 2))
		dma_iova_free(dev, &state);
	else
		dma_iova_destroy(dev, &state, one_in(run, 2) ? dma_iova_size(&state) : 0,
				 DMA_BIDIRECTIONAL, 0);
	return true;
}
