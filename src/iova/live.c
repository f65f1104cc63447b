/* SPDX-License-Identifier: MIT */
/*
 * The live record: a radix tree of chunks, each with a word for every pfn of its
 * span. Tables and chunks are installed under the space's lock, with release,
 * before the first range in them is handed out, and stay until the space goes;
 * so whoever owns a range finds its chunk without a lock.
 */
#include "iova/parts.h"

#define TABLE_BITS 8
#define TABLE_SLOTS (1U << TABLE_BITS)

struct record_table {
	void *slot[TABLE_SLOTS];
};

/* The bits of a pfn that a table of this height, 1 for the lowest, does not look at. */
static unsigned int table_shift(unsigned int height)
{
	return IOVA_CHUNK_BITS + TABLE_BITS * (height - 1);
}

static void **table_slot(struct record_table *table, unsigned int height, uint64_t pfn)
{
	return &table->slot[pfn >> table_shift(height) & (TABLE_SLOTS - 1)];
}

void iova_records_init(struct iova_space *space)
{
	unsigned int height = 0;

	while (space->last_pfn >> IOVA_CHUNK_BITS >> (TABLE_BITS * height))
		height++;
	space->records = (struct iova_records){.top = NULL, .height = height};
}

static void table_free(void *at, unsigned int height)
{
	struct record_table *table = at;
	unsigned int i;

	for (i = 0; at && height && i < TABLE_SLOTS; i++)
		table_free(table->slot[i], height - 1);
	base_free(at);
}

void iova_records_exit(struct iova_space *space)
{
	table_free(space->records.top, space->records.height);
	space->records = (struct iova_records){.top = NULL, .height = 0};
}

int iova_records_prepare(struct iova_space *space, uint64_t pfn)
{
	unsigned int height = space->records.height;
	void **slot = &space->records.top;
	size_t size;
	void *fresh;

	for (;; height--) {
		if (!*slot) {
			size = height ? sizeof(struct record_table) : sizeof(struct iova_chunk);
			fresh = base_zalloc(size);
			if (!fresh)
				return base_error(-ENOMEM,
						  "no memory for the record of the IOVA "
						  "range at granule %#llx; free some",
						  (unsigned long long)pfn);
			counter_add(&space->metadata_bytes, size);
			__atomic_store_n(slot, fresh, __ATOMIC_RELEASE);
		}
		if (!height)
			return 0;
		slot = table_slot(*slot, height, pfn);
	}
}

struct iova_chunk *iova_records_find(const struct iova_space *space, uint64_t pfn)
{
	unsigned int height = space->records.height;
	void *at = __atomic_load_n(&space->records.top, __ATOMIC_ACQUIRE);

	if (pfn > space->last_pfn)
		return NULL;
	for (; at && height; height--)
		at = __atomic_load_n(table_slot(at, height, pfn), __ATOMIC_ACQUIRE);
	return at;
}

struct iova_chunk *iova_chunk_find(struct iova_space *space, struct iova_cache *cache, uint64_t pfn)
{
	uint64_t index = pfn >> IOVA_CHUNK_BITS;
	struct iova_chunk *chunk = iova_records_find(space, pfn);

	if (chunk && cache)
		cache->memo[index & (IOVA_MEMOS - 1)] =
			(struct iova_memo){.index = index, .chunk = chunk};
	return chunk;
}

void iova_records_set(const struct iova_space *space, uint64_t pfn, uint64_t pages,
		      enum iova_kind kind)
{
	uint32_t *record = iova_record(iova_records_find(space, pfn), pfn);
	uint32_t head = (uint32_t)kind << IOVA_RECORD_SHIFT;

	if (pages >= IOVA_RECORD_LONG) {
		head |= IOVA_RECORD_LONG;
		__atomic_store_n(record + 1,
				 IOVA_RECORD_REST << IOVA_RECORD_SHIFT |
					 (uint32_t)(pages / IOVA_RECORD_LONG),
				 __ATOMIC_RELAXED);
	}
	__atomic_store_n(record, head | (uint32_t)(pages % IOVA_RECORD_LONG), __ATOMIC_RELAXED);
}

/* The length a record tells, 0 if no range starts there. */
static uint64_t record_pages(const uint32_t *record, enum iova_kind *kind)
{
	uint32_t head = __atomic_load_n(record, __ATOMIC_RELAXED);
	uint64_t pages = head % IOVA_RECORD_LONG;
	uint32_t rest;

	if (!head || head >> IOVA_RECORD_SHIFT == IOVA_RECORD_REST)
		return 0;
	if (head & IOVA_RECORD_LONG) {
		rest = __atomic_load_n(record + 1, __ATOMIC_RELAXED);
		pages += (rest & ((1U << IOVA_RECORD_SHIFT) - 1)) * (uint64_t)IOVA_RECORD_LONG;
	}
	if (kind)
		*kind = (enum iova_kind)(head >> IOVA_RECORD_SHIFT);
	return pages;
}

uint64_t iova_live(struct iova_space *space, uint64_t pfn, enum iova_kind *kind)
{
	struct iova_chunk *chunk = iova_records_find(space, pfn);

	return chunk ? record_pages(iova_record(chunk, pfn), kind) : 0;
}

static const char *kind_name(enum iova_kind kind)
{
	switch (kind) {
	case IOVA_TWO_STEP:
		return "two-step";
	case IOVA_ALLOCATED:
		return "allocated";
	case IOVA_AHEAD:
		return "premapped";
	case IOVA_SG:
	case IOVA_SG_ENTRY:
		return "scatter-gather";
	default:
		return "streaming";
	}
}

int iova_retire_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
		     uint64_t pages, enum iova_kind kind)
{
	enum iova_kind live_kind = kind;
	uint64_t live_pages = iova_live(space, pfn, &live_kind);
	uint32_t *record;

	if (!live_pages)
		return base_error(-EINVAL,
				  "asked to free %llu granules of IOVA at granule %#llx, where no "
				  "live range starts; free each range once, from its start",
				  (unsigned long long)pages, (unsigned long long)pfn);
	if (live_pages != pages || live_kind != kind)
		return base_error(-EINVAL,
				  "asked to free %llu granules of %s IOVA at granule %#llx, where "
				  "%llu granules of %s IOVA are live; free a range as it was "
				  "reserved",
				  (unsigned long long)pages, kind_name(kind),
				  (unsigned long long)pfn, (unsigned long long)live_pages,
				  kind_name(live_kind));
	/* The rest of a long record may stay: alone it says nothing. */
	record = iova_record(cache ? iova_chunk(space, cache, pfn) : iova_records_find(space, pfn),
			     pfn);
	__atomic_store_n(record, 0, __ATOMIC_RELAXED);
	return 0;
}

struct live_visit {
	void (*visit)(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind);
	void *arg;
};

static void chunk_visit(const struct live_visit *live, const struct iova_chunk *chunk,
			uint64_t first_pfn)
{
	enum iova_kind kind = IOVA_STREAMING;
	uint64_t pages;
	uint64_t i;

	for (i = 0; i < ARRAY_SIZE(chunk->record); i++) {
		pages = record_pages(&chunk->record[i], &kind);
		if (pages)
			live->visit(live->arg, first_pfn + i, pages, kind);
	}
}

static void table_visit(const struct live_visit *live, void *at, unsigned int height,
			uint64_t first_pfn)
{
	struct record_table *table = at;
	uint64_t i;

	if (!at)
		return;
	if (!height) {
		chunk_visit(live, at, first_pfn);
		return;
	}
	for (i = 0; i < TABLE_SLOTS; i++)
		table_visit(live, table->slot[i], height - 1,
			    first_pfn + (i << table_shift(height)));
}

void iova_for_each_live(struct iova_space *space,
			void (*visit)(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind),
			void *arg)
{
	struct live_visit live = {.visit = visit, .arg = arg};

	table_visit(&live, space->records.top, space->records.height, 0);
}
