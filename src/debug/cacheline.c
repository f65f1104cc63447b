/* SPDX-License-Identifier: MIT */
/*
 * Cache lines that two mappings share, for devices that are not coherent: what is done
 * to a line for one of them, writing it back or dropping it, damages what the device
 * wrote for the other.
 *
 * Each mapping and link has a record in each page of memory that it touches; of long
 * ones the pages at both ends. All of it is under `lock`.
 */
#include "debug/parts.h"

#define LINE 64ULL
#define LINES (GRANULE / LINE)
#define LINE_BUCKETS (1U << 12)
/* Pages at each end that have records. */
#define END_PAGES 32
#define MOST_OVERLAPS 7

struct line_record {
	struct line_record *next; /* in its bucket, or in a chain that is being made */
	uint64_t page; /* phys >> GRANULE_SHIFT */
	unsigned int first, last; /* lines of the page, closed */
	dma_addr_t addr;
	uint64_t site;
};

struct debug_lines {
	struct line_record *bucket[LINE_BUCKETS];
};

static struct line_record **bucket_of(struct debug *debug, uint64_t page)
{
	return &debug->lines->bucket[page * 0x9e3779b97f4a7c15 >> 52];
}

_Static_assert(LINE_BUCKETS == 1U << (64 - 52), "bucket_of() keeps as many bits");

/* The page after @i of @pages that has a record. */
static uint64_t next_page(uint64_t i, uint64_t pages)
{
	return ++i == END_PAGES && pages > 2 * END_PAGES ? pages - END_PAGES : i;
}

static void free_chain(struct line_record *record)
{
	struct line_record *next;

	for (; record; record = next) {
		next = record->next;
		base_free(record);
	}
}

/* Records for a piece, last page first; NULL: no memory. */
static struct line_record *make_chain(const struct debug_piece *piece)
{
	uint64_t pages = pages_of(piece->phys, piece->size);
	uint64_t end = piece->phys + piece->size;
	struct line_record *chain = NULL, *record;

	for (uint64_t i = 0; i < pages; i = next_page(i, pages)) {
		uint64_t base = (piece->phys & ~GRANULE_MASK) + (i << GRANULE_SHIFT);
		uint64_t first = piece->phys > base ? piece->phys - base : 0;
		uint64_t last = end - base < GRANULE ? end - base - 1 : GRANULE_MASK;

		record = base_zalloc(sizeof(*record));
		if (!record) {
			free_chain(chain);
			return NULL;
		}
		record->page = base >> GRANULE_SHIFT;
		record->first = (unsigned int)(first / LINE);
		record->last = (unsigned int)(last / LINE);
		record->addr = piece->addr + (base + first - piece->phys);
		record->site = site_word(piece->caller, piece->dir, piece->attrs);
		record->next = chain;
		chain = record;
	}
	return chain;
}

static bool both_only_read(const struct line_record *one, const struct line_record *two)
{
	return site_dir(one->site) == DMA_TO_DEVICE && site_dir(two->site) == DMA_TO_DEVICE;
}

static bool harmless(const struct line_record *one, const struct line_record *two)
{
	unsigned long said = DMA_ATTR_DEBUGGING_IGNORE_CACHELINES | DMA_ATTR_REQUIRE_COHERENT;
	unsigned long first = site_attrs(one->site), second = site_attrs(two->site);

	return (first | second) & DMA_ATTR_SKIP_CPU_SYNC || (first & said && second & said);
}

/* What a piece meets. */
struct meeting {
	struct line_record with; /* a copy */
	bool harmful;
	bool too_many;
};

static void meet(struct debug *debug, const struct line_record *record, struct meeting *meeting)
{
	const struct line_record *other = *bucket_of(debug, record->page);
	unsigned char count[LINES] = {0};

	for (; other; other = other->next) {
		if (other->page != record->page || other->last < record->first ||
		    other->first > record->last || both_only_read(other, record))
			continue;
		if (!meeting->harmful && !harmless(other, record)) {
			meeting->with = *other;
			meeting->harmful = true;
		}
		for (unsigned int line = record->first; line <= record->last; line++) {
			if (line < other->first || line > other->last || count[line] > 8)
				continue;
			if (++count[line] == MOST_OVERLAPS + 1 && !meeting->too_many) {
				meeting->too_many = true;
				if (!meeting->harmful)
					meeting->with = *other;
			}
		}
	}
}

static void tell(struct debug *debug, const struct debug_piece *piece,
		 const struct meeting *meeting)
{
	const struct debug_finding finding = {
		.kind = DMA_DEBUG_CACHELINE,
		.dev = piece->dev,
		.addr = piece->addr,
		.size = piece->size,
		.phys = piece->phys,
		.caller = piece->caller,
		.origin = site_caller(meeting->with.site),
	};
	const char *what = piece->link ? "link" : "map";
	unsigned long long first = piece->phys, last = piece->phys + piece->size - 1;

	if (meeting->harmful)
		debug_report(debug, &finding,
			     "%s of 0x%llx-0x%llx shares a cache line with what is mapped at "
			     "0x%llx, and the device is not coherent; align buffers to %llu bytes "
			     "and map none twice",
			     what, first, last, (unsigned long long)meeting->with.addr, LINE);
	else
		debug_report(debug, &finding,
			     "%s of 0x%llx-0x%llx: more than %u other mappings share a cache line "
			     "with it; unmap what is not needed any more",
			     what, first, last, MOST_OVERLAPS);
}

void lines_add(struct debug *debug, const struct debug_piece *piece, uint64_t *told)
{
	struct meeting meeting = {.harmful = false};
	struct line_record *chain, *record;
	struct debug_lines *fresh = NULL;

	if (!piece->size || piece->attrs & DMA_ATTR_MMIO || debug_is_coherent(debug, piece->dev) ||
	    (memory_in_arena(piece->phys) && !memory_cpu_address(piece->phys, piece->size)))
		return;
	chain = make_chain(piece);
	if (chain && !__atomic_load_n(&debug->lines, __ATOMIC_ACQUIRE))
		fresh = base_zalloc(sizeof(*fresh));
	pthread_mutex_lock(&debug->lock);
	if (!debug->lines && fresh) {
		__atomic_store_n(&debug->lines, fresh, __ATOMIC_RELEASE);
		fresh = NULL;
	}
	if (!chain || !debug->lines) {
		pthread_mutex_unlock(&debug->lock);
		free_chain(chain);
		debug_incomplete(debug, piece->caller, piece->dev, "cache lines");
		return;
	}
	for (record = chain; record; record = record->next)
		meet(debug, record, &meeting);
	while ((record = chain)) {
		struct line_record **bucket = bucket_of(debug, record->page);

		chain = record->next;
		record->next = *bucket;
		*bucket = record;
	}
	pthread_mutex_unlock(&debug->lock);
	base_free(fresh);
	if ((meeting.harmful || meeting.too_many) && !(*told >> DMA_DEBUG_CACHELINE & 1)) {
		*told |= 1ULL << DMA_DEBUG_CACHELINE;
		tell(debug, piece, &meeting);
	}
}

/* The record of what is at @addr in @page: the one that begins there, or else in its granule. */
static struct line_record *take_record(struct debug *debug, uint64_t page, dma_addr_t addr)
{
	struct line_record **link = bucket_of(debug, page), **found = NULL, *record;

	for (; (record = *link); link = &record->next) {
		if (record->page != page || (record->addr ^ addr) & ~GRANULE_MASK)
			continue;
		found = link;
		if (record->addr == addr)
			break;
	}
	if (!found)
		return NULL;
	record = *found;
	*found = record->next;
	return record;
}

void lines_remove(struct debug *debug, dma_addr_t addr, phys_addr_t phys, uint64_t size)
{
	uint64_t pages = pages_of(phys, size);
	struct line_record *record, *chain = NULL;

	if (!__atomic_load_n(&debug->lines, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&debug->lock);
	for (uint64_t i = 0; i < pages; i = next_page(i, pages)) {
		uint64_t base = (phys & ~GRANULE_MASK) + (i << GRANULE_SHIFT);
		dma_addr_t at = i ? addr + (base - phys) : addr;

		record = take_record(debug, (phys >> GRANULE_SHIFT) + i, at);
		if (!record)
			continue;
		record->next = chain;
		chain = record;
	}
	pthread_mutex_unlock(&debug->lock);
	free_chain(chain);
}

void lines_exit(struct debug *debug)
{
	for (unsigned int i = 0; debug->lines && i < LINE_BUCKETS; i++)
		free_chain(debug->lines->bucket[i]);
	base_free(debug->lines);
}
