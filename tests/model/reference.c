/* SPDX-License-Identifier: MIT */
/* What must be, said as simply as it can be. */
#include <stdarg.h>
#include <stdlib.h>

#include "model.h"

bool disagree(struct run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->failure, sizeof(run->failure), format, args);
	va_end(args);
	return false;
}

void tell(struct run *run, const char *format, ...)
{
	va_list args;

	if (!run->tell)
		return;
	va_start(args, format);
	vfprintf(run->tell, format, args);
	va_end(args);
	fputc('\n', run->tell);
	fflush(run->tell);
}

/* Memory. */

phys_addr_t page_phys(const struct run *run, int page)
{
	if ((uint64_t)page < PLAIN_PAGES)
		return (phys_addr_t)(uintptr_t)run->plain + (uint64_t)page * PAGE;
	return run->registered_base + ((uint64_t)page - PLAIN_PAGES) * PAGE;
}

int phys_page(const struct run *run, phys_addr_t phys)
{
	uint64_t plain = phys - (phys_addr_t)(uintptr_t)run->plain;
	uint64_t registered = phys - run->registered_base;

	if (plain < PLAIN_PAGES * PAGE)
		return (int)(plain / PAGE);
	if (registered < REGISTERED_PAGES * PAGE)
		return (int)(PLAIN_PAGES + registered / PAGE);
	return NOTHING;
}

bool is_memory(const struct run *run, phys_addr_t phys, uint64_t len)
{
	int first = phys_page(run, phys), last = phys_page(run, phys + len - 1);

	return first != NOTHING && last != NOTHING &&
	       ((uint64_t)first < PLAIN_PAGES) == ((uint64_t)last < PLAIN_PAGES) && last >= first;
}

uint8_t *page_bytes(const struct run *run, int page)
{
	if ((uint64_t)page < PLAIN_PAGES)
		return run->plain + (uint64_t)page * PAGE;
	return run->registered + ((uint64_t)page - PLAIN_PAGES) * PAGE;
}

uint8_t *page_shadow(const struct run *run, int page)
{
	return run->shadow + (uint64_t)page * PAGE;
}

uint8_t *phys_shadow(const struct run *run, phys_addr_t phys)
{
	return page_shadow(run, phys_page(run, phys)) + (phys & PAGE_MASK);
}

/* Each page begins with bytes that no other page has. */
static void touch(struct run *run, int page)
{
	uint64_t *word = (uint64_t *)(void *)page_bytes(run, page);

	if (run->touched[page])
		return;
	run->touched[page] = true;
	for (uint64_t i = 0; i < PAGE / 8; i++)
		word[i] = ((uint64_t)page * 512 + i + 1) * 0x9e3779b97f4a7c15ULL;
	memcpy(page_shadow(run, page), word, PAGE);
}

void touch_memory(struct run *run, const struct phys_vec *vec, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (!vec[i].len || !is_memory(run, vec[i].paddr, vec[i].len))
			continue;
		for (int page = phys_page(run, vec[i].paddr);
		     page <= phys_page(run, vec[i].paddr + vec[i].len - 1); page++)
			touch(run, page);
	}
}

uint8_t dir_access(const struct run *run, enum dma_data_direction dir)
{
	if (dir == DMA_TO_DEVICE)
		return PGT_READ;
	if (dir == DMA_FROM_DEVICE && !run->config->write_implies_read)
		return PGT_WRITE;
	return PGT_READ | PGT_WRITE;
}

/* Addresses. */

void range_clear(struct range *range)
{
	for (uint64_t i = 0; i < range->pages; i++)
		range->granule[i] = (struct granule){.page = NOTHING, .before = NOTHING};
}

/* Short ranges occupy a power of two. */
static uint64_t occupied(uint64_t pages)
{
	return pages <= IOVA_CACHED_PAGES ? 1ULL << order_of(pages) : pages;
}

static bool overlap(uint64_t a, uint64_t a_pages, uint64_t b, uint64_t b_pages)
{
	return a < b + b_pages && b < a + a_pages;
}

bool in_use(const struct run *run, uint64_t pfn, uint64_t pages, bool firm)
{
	for (unsigned int i = 0; i < RANGES; i++) {
		const struct range *range = &run->range[i];
		uint64_t taken = firm ? range->pages : occupied(range->pages);

		if (range->kind != UNUSED && overlap(pfn, pages, range->pfn, taken))
			return true;
	}
	for (unsigned int i = 0; i < run->nr_leaving; i++) {
		const struct range *range = &run->leaving[i];
		uint64_t taken = firm ? range->pages : occupied(range->pages);

		if ((range->firm || !firm) && overlap(pfn, pages, range->pfn, taken))
			return true;
	}
	return false;
}

static bool in_window(const struct run *run, uint64_t pfn, uint64_t pages)
{
	for (unsigned int i = 0; i < run->nr_windows; i++)
		if (overlap(pfn, pages, run->window[i].first,
			    run->window[i].last - run->window[i].first + 1))
			return true;
	return false;
}

bool could_fit(const struct run *run, uint64_t pages, uint64_t align_pages, uint64_t limit_pfn)
{
	uint64_t step = 1ULL << order_of(pages);

	if (step < align_pages)
		step = align_pages;
	for (uint64_t pfn = step; pfn + pages - 1 <= limit_pfn; pfn += step)
		if (!in_use(run, pfn, occupied(pages), false) &&
		    !in_window(run, pfn, occupied(pages)))
			return true;
	return false;
}

void forget_leaving(struct run *run, uint64_t pfn, uint64_t pages)
{
	for (unsigned int i = 0; i < run->nr_leaving; i++) {
		struct range *range = &run->leaving[i];

		for (uint64_t j = 0; j < range->pages; j++)
			if (range->pfn + j - pfn < pages)
				range->granule[j].before = NOTHING;
	}
}

/* Linking. */

static int expect_piece(const struct run *run, const struct range *range, bool untrusted,
			const struct phys_vec *vec, size_t at, enum dma_data_direction dir,
			unsigned long attrs)
{
	bool to_bounce = untrusted && (vec->paddr | vec->len) & PAGE_MASK;
	bool memory = vec->len && is_memory(run, vec->paddr, vec->len);
	bool beyond = vec->paddr >= 1ULL << 52;
	size_t total = dma_iova_size(&range->state);

	if (vec->paddr & PAGE_MASK && at)
		return -EIO;
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && range->bounced)
		return -EOPNOTSUPP;
	if (to_bounce && (attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) ||
			  (vec->len && !beyond &&
			   (!memory || (uint64_t)phys_page(run, vec->paddr) >= PLAIN_PAGES))))
		return -EPERM;
	if (!vec->len || dir == DMA_NONE || (!memory && !beyond))
		return -EINVAL;
	if ((range->state.addr + at - vec->paddr) & PAGE_MASK)
		return -ENXIO;
	if (at > total || vec->len > total - at || beyond)
		return -ERANGE;
	return 0;
}

int expect_link(const struct run *run, const struct range *range, bool untrusted,
		const struct phys_vec *vec, size_t nr, size_t offset, enum dma_data_direction dir,
		unsigned long attrs)
{
	uint64_t first = ((range->state.addr & PAGE_MASK) + offset) / PAGE, end;
	bool to_bounce = false;
	size_t at = offset;

	if (!nr)
		return -EINVAL;
	for (size_t i = 0; i < nr; at += vec[i++].len) {
		int err = expect_piece(run, range, untrusted, &vec[i], at, dir, attrs);

		if (err)
			return err;
		to_bounce |= untrusted && (vec[i].paddr | vec[i].len) & PAGE_MASK;
	}
	if (to_bounce && !run->config->bounces)
		return -ENOMEM;
	end = ((range->state.addr & PAGE_MASK) + at + PAGE_MASK) / PAGE;
	return any_linked(range, first, end - first) ? -EADDRINUSE : 0;
}

/* One unit: contiguous in memory. Entries are as large as alignment and length allow. */
static uint64_t link_unit(struct run *run, struct range *range, uint64_t at, int page,
			  uint64_t pages, enum dma_data_direction dir, bool settled)
{
	for (uint64_t done = 0; done < pages;) {
		bool large = !((range->pfn + at) % LARGE_PAGES) &&
			     !(page_phys(run, page) / PAGE % LARGE_PAGES) &&
			     pages - done >= LARGE_PAGES;
		uint64_t n = large ? LARGE_PAGES : 1;

		run->met[MET_LARGE] += large;
		for (uint64_t i = 0; i < n; i++) {
			touch(run, page + (int)i);
			run->met[MET_RELINKED] += range->granule[at + i].before != NOTHING;
			range->granule[at + i] = (struct granule){
				.page = (int16_t)(page + (int)i),
				.before = NOTHING,
				.first = (uint16_t)at,
				.pages = (uint16_t)n,
				.access = dir_access(run, dir),
				.settled = settled,
			};
		}
		at += n;
		page += (int)n;
		done += n;
	}
	run->mapped_pages += pages;
	return at;
}

/* One granule that is a copy of [phys, phys + len), @in bytes behind its begin. */
static void link_bounced(struct run *run, struct range *range, uint64_t at, uint64_t in,
			 phys_addr_t phys, uint64_t len, enum dma_data_direction dir, bool settled)
{
	struct bounced *bounced = calloc(1, sizeof(*bounced));

	if (!bounced)
		abort();
	bounced->in = (uint16_t)in;
	bounced->len = (uint16_t)len;
	bounced->phys = phys;
	if (run->config->error == MODEL_SHOWS_NEIGHBOURS)
		memcpy(bounced->bytes, page_shadow(run, phys_page(run, phys)), PAGE);
	memcpy(bounced->bytes + in, phys_shadow(run, phys), len);
	run->met[MET_RELINKED] += range->granule[at].before != NOTHING;
	range->granule[at] = (struct granule){
		.bounced = bounced,
		.page = (int16_t)phys_page(run, phys),
		.before = NOTHING,
		.first = (uint16_t)at,
		.pages = 1,
		.access = dir_access(run, dir),
		.settled = settled,
	};
	range->bounced = true;
	run->mapped_pages++;
	run->nr_bounced++;
	run->met[MET_BOUNCED]++;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void model_link(struct run *run, struct range *range, uint64_t first, const struct phys_vec *vec,
		size_t nr, enum dma_data_direction dir, bool settled, bool bounced)
{
	for (size_t i = 0; i < nr;) {
		phys_addr_t start = vec[i].paddr, end = start + vec[i].len;
		uint64_t in = start & PAGE_MASK, head = 0, tail = 0;

		for (i++; i < nr && vec[i].paddr == end; i++)
			end += vec[i].len;
		if (bounced && in)
			head = least(PAGE - in, end - start);
		if (bounced)
			tail = (end - start - head) & PAGE_MASK;
		if (head)
			link_bounced(run, range, first++, in, start, head, dir, settled);
		start += head;
		if (start < end - tail)
			first = link_unit(run, range, first, phys_page(run, start),
					  (end - tail - 1) / PAGE - start / PAGE + 1, dir, settled);
		if (tail)
			link_bounced(run, range, first++, 0, end - tail, tail, dir, settled);
	}
}

void model_map_bounced(struct run *run, struct range *range, phys_addr_t phys, uint64_t len,
		       enum dma_data_direction dir)
{
	uint64_t in = range->state.addr & PAGE_MASK;

	for (uint64_t i = 0; len; i++) {
		uint64_t part = least(PAGE - in, len);

		link_bounced(run, range, i, in, phys, part, dir, true);
		phys += part;
		len -= part;
		in = 0;
	}
}

void model_sync(struct run *run, const struct range *range, dma_addr_t addr, uint64_t len,
		bool for_device)
{
	for (uint64_t i = 0; i < range->pages; i++) {
		struct bounced *bounced = range->granule[i].bounced;

		for (uint64_t j = 0; bounced && j < bounced->len; j++) {
			uint8_t *copy = &bounced->bytes[bounced->in + j];
			uint8_t *memory = phys_shadow(run, bounced->phys + j);

			if ((range->pfn + i) * PAGE + bounced->in + j - addr >= len)
				continue;
			*(for_device ? copy : memory) = *(for_device ? memory : copy);
			run->met[MET_SYNCED]++;
		}
	}
}

/* Unlinking. */

bool any_linked(const struct range *range, uint64_t first, uint64_t pages)
{
	for (uint64_t i = first; i < first + pages; i++)
		if (range->granule[i].page != NOTHING)
			return true;
	return false;
}

/* The device has lost it. */
static void end_bounced(struct run *run, struct bounced *bounced)
{
	if (bounced->copy_back && run->config->error != MODEL_LOSES_COPIES) {
		memcpy(phys_shadow(run, bounced->phys), bounced->bytes + bounced->in, bounced->len);
		run->met[MET_COPIED_BACK]++;
	}
	run->nr_bounced--;
	free(bounced);
}

static void gather_bounced(struct run *run, struct bounced *bounced)
{
	struct bounced **at = &run->to_come;

	while (*at)
		at = &(*at)->next;
	*at = bounced;
}

static void remove_one(struct run *run, struct granule *granule, bool gathered, bool copy_back)
{
	struct bounced *bounced = granule->bounced;

	if (granule->page == NOTHING)
		return;
	gathered = gathered && run->config->error != MODEL_GATHERS_NOTHING;
	if (gathered) {
		granule->before = granule->page;
		granule->bounced_before = bounced;
		granule->access_before = granule->access;
	}
	granule->page = NOTHING;
	granule->bounced = NULL;
	run->mapped_pages--;
	if (!bounced)
		return;
	bounced->copy_back = copy_back;
	if (gathered)
		gather_bounced(run, bounced);
	else
		end_bounced(run, bounced);
}

bool any_bounced(const struct range *range)
{
	for (uint64_t i = 0; i < range->pages; i++)
		if (range->granule[i].bounced)
			return true;
	return false;
}

bool any_marks(const struct range *range)
{
	for (uint64_t i = 0; i < range->pages; i++)
		if (range->granule[i].before != NOTHING)
			return true;
	return false;
}

struct removal model_remove(struct run *run, struct range *range, uint64_t first, uint64_t last,
			    bool gathered, bool copy_back)
{
	struct removal removal = {0};

	for (uint64_t i = first; i <= last; i++) {
		struct granule *granule = &range->granule[i];
		uint64_t from = granule->first, end = from + granule->pages;

		if (!gathered)
			granule->before = NOTHING;
		if (granule->page == NOTHING) {
			removal.hole = true;
			continue;
		}
		removal.cut |= from < first || end > last + 1;
		if (run->config->error == MODEL_CUTS_LARGE) {
			from = i;
			end = i + 1;
		}
		for (uint64_t j = from; j < end; j++)
			remove_one(run, &range->granule[j], gathered, copy_back);
		removal.pages += end - from;
		/* The rest of the entry is no hole. */
		while (i + 1 < end && i < last) {
			i++;
			if (!gathered)
				range->granule[i].before = NOTHING;
		}
	}
	run->met[MET_CUT] += removal.cut;
	run->met[MET_HOLE] += removal.hole;
	return removal;
}

void model_release(struct run *run, struct range *range, bool gathered, bool copy_back)
{
	bool removed = any_linked(range, 0, range->pages), marks = any_marks(range);
	struct range *leaving;

	model_remove(run, range, 0, range->pages - 1, gathered, copy_back);
	run->live--;
	if (gathered && (removed || marks)) {
		leaving = &run->leaving[run->nr_leaving++];
		*leaving = *range;
		leaving->kind = GATHERED;
		/* The gather has room for it, and made nothing final early. */
		leaving->firm = removed && !marks && run->gathered <= DMA_GATHER_RANGES;
	}
	run->gone[run->nr_gone % ARRAY_SIZE(run->gone)].kind = range->kind;
	run->gone[run->nr_gone++ % ARRAY_SIZE(run->gone)].state = range->state;
	range->kind = UNUSED;
}

void model_end_gather(struct run *run)
{
	while (run->to_come) {
		struct bounced *bounced = run->to_come;

		run->to_come = bounced->next;
		run->met[MET_COPIED_LATER] += bounced->copy_back;
		end_bounced(run, bounced);
	}
	for (unsigned int i = 0; i < RANGES; i++)
		for (uint64_t j = 0; run->range[i].kind != UNUSED && j < run->range[i].pages; j++)
			run->range[i].granule[j].before = NOTHING;
	run->nr_leaving = 0;
	run->gathered = 0;
	run->gathering = false;
}

/* The device side. */

static const struct granule *granule_at(const struct run *run, uint64_t pfn)
{
	for (unsigned int i = 0; i < RANGES; i++)
		if (run->range[i].kind != UNUSED && pfn - run->range[i].pfn < run->range[i].pages)
			return &run->range[i].granule[pfn - run->range[i].pfn];
	for (unsigned int i = 0; i < run->nr_leaving; i++) {
		const struct range *range = &run->leaving[i];

		if (pfn - range->pfn < range->pages &&
		    range->granule[pfn - range->pfn].before != NOTHING)
			return &range->granule[pfn - range->pfn];
	}
	return NULL;
}

static struct place place_of(const struct run *run, int page, struct bounced *bounced)
{
	return (struct place){bounced ? bounced->bytes : page_shadow(run, page), page};
}

enum reach reach(struct run *run, uint64_t pfn, unsigned int access, struct place *place)
{
	const struct granule *granule = granule_at(run, pfn);

	*place = (struct place){NULL, NOTHING};
	if (!granule)
		return REFUSED;
	if (granule->page != NOTHING) {
		*place = place_of(run, granule->page, granule->bounced);
		if ((granule->access & access) != access)
			return REFUSED;
		return granule->settled ? REACHED : EITHER;
	}
	if (granule->before != NOTHING) {
		*place = place_of(run, granule->before, granule->bounced_before);
		return (granule->access_before & access) == access ? EITHER : REFUSED;
	}
	return REFUSED;
}
