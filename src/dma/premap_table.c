/* SPDX-License-Identifier: MIT */
/* The table from memory that is mapped ahead to DMA addresses; see premap.h. */
#include "dma/premap.h"

#define TOP_ENTRIES (1ULL << (PREMAP_PHYS_BITS - PREMAP_SPAN_SHIFT))
#define TOP_BYTES (TOP_ENTRIES * sizeof(uint64_t))
#define PAGE_BYTES 4096ULL
#define PAGE_ENTRIES (PAGE_BYTES / sizeof(uint64_t))
#define TOP_PAGES (TOP_ENTRIES / PAGE_ENTRIES)
#define TOP_BITMAP_BYTES (TOP_PAGES / 8)

/* Tables are taken one after the other, and never given back: what is not taken costs nothing. */
#define SLAB_BYTES (2ULL << 20)
#define SLAB_TABLES (SLAB_BYTES / PAGE_BYTES)

struct premap_slab {
	struct premap_slab *next;
	size_t used; /* pages, this one included */
};

/* What a region covers of one span. */
struct part {
	uint64_t *entry; /* of the span, in the top level */
	phys_addr_t phys;
	uint64_t size;
};

void premap_init(struct premap *premap)
{
	pthread_mutex_init(&premap->lock, NULL);
}

void premap_exit(struct premap *premap)
{
	struct premap_slab *next;

	for (struct premap_slab *slab = premap->slab; slab; slab = next) {
		next = slab->next;
		base_unmap(slab, SLAB_BYTES);
	}
	base_unmap(premap->top, TOP_BYTES);
	base_free(premap->top_pages);
	base_free(premap->regions);
}

static struct part part_at(const struct premap *premap, phys_addr_t phys, phys_addr_t end)
{
	phys_addr_t span_end = align_down(phys, PREMAP_SPAN) + PREMAP_SPAN;

	return (struct part){
		.entry = &premap->top[phys >> PREMAP_SPAN_SHIFT],
		.phys = phys,
		.size = (span_end < end ? span_end : end) - phys,
	};
}

static uint64_t *table_of(const struct part *part)
{
	uint64_t entry = __atomic_load_n(part->entry, __ATOMIC_RELAXED);

	return entry & PREMAP_RIGHTS ? NULL : (uint64_t *)(uintptr_t)entry;
}

static size_t index_of(phys_addr_t phys)
{
	return phys >> PREMAP_GRANULE_SHIFT & (PREMAP_ENTRIES - 1);
}

static bool part_overlaps(const struct part *part)
{
	const uint64_t *table = table_of(part);

	if (!table)
		return __atomic_load_n(part->entry, __ATOMIC_RELAXED);
	for (uint64_t at = 0; at < part->size; at += PREMAP_GRANULE)
		if (__atomic_load_n(&table[index_of(part->phys + at)], __ATOMIC_RELAXED))
			return true;
	return false;
}

bool premap_overlaps(const struct premap *premap, phys_addr_t phys, uint64_t size)
{
	struct part part;

	if (!premap->top)
		return false;
	for (phys_addr_t at = phys, end = phys + size; at < end; at += part.size) {
		part = part_at(premap, at, end);
		if (part_overlaps(&part))
			return true;
	}
	return false;
}

static void add_bytes(struct premap *premap, uint64_t bytes)
{
	counter_add(&premap->bytes, bytes);
}

static int make_top(struct premap *premap)
{
	uint64_t *top;

	if (premap->top)
		return 0;
	if (!premap->top_pages)
		premap->top_pages = base_zalloc(TOP_BITMAP_BYTES);
	top = premap->top_pages ? base_map(TOP_BYTES) : NULL;
	if (!top)
		return base_error(
			-ENOMEM,
			"memory mapped ahead is looked up in %llu MiB of address space, "
			"of which little is used, and they cannot be had; raise the limit "
			"of address space (ulimit -v), or free some memory",
			TOP_BYTES >> 20);
	add_bytes(premap, TOP_BITMAP_BYTES);
	__atomic_store_n(&premap->top, top, __ATOMIC_RELEASE);
	return 0;
}

static uint64_t *get_table(struct premap *premap)
{
	struct premap_slab *slab = premap->slab;

	if (!slab || slab->used == SLAB_TABLES) {
		slab = base_map(SLAB_BYTES);
		if (!slab)
			return NULL;
		slab->next = premap->slab;
		slab->used = 1;
		premap->slab = slab;
		add_bytes(premap, PAGE_BYTES);
	}
	add_bytes(premap, PAGE_BYTES);
	return (uint64_t *)((char *)slab + PAGE_BYTES * slab->used++);
}

/* A page of the top level that is written for the first time becomes memory. */
static void count_top_page(struct premap *premap, const uint64_t *entry)
{
	size_t page = (size_t)(entry - premap->top) / PAGE_ENTRIES;
	uint64_t bit = 1ULL << (page % 64);

	if (premap->top_pages[page / 64] & bit)
		return;
	premap->top_pages[page / 64] |= bit;
	add_bytes(premap, PAGE_BYTES);
}

int premap_prepare(struct premap *premap, phys_addr_t phys, uint64_t size)
{
	uint64_t *table;
	struct part part;
	int err = make_top(premap);

	for (phys_addr_t at = phys, end = phys + size; !err && at < end; at += part.size) {
		part = part_at(premap, at, end);
		if (part.size == PREMAP_SPAN || __atomic_load_n(part.entry, __ATOMIC_RELAXED))
			continue;
		table = get_table(premap);
		if (!table)
			return base_error(
				-ENOMEM,
				"premap of %llu bytes at 0x%llx: no memory for its look-up; "
				"free some",
				(unsigned long long)size, (unsigned long long)phys);
		count_top_page(premap, part.entry);
		__atomic_store_n(part.entry, (uintptr_t)table, __ATOMIC_RELEASE);
	}
	return err;
}

static uint64_t more_of(uint64_t granules)
{
	return (granules < PREMAP_MORE_MAX ? granules : PREMAP_MORE_MAX) << PREMAP_MORE_SHIFT;
}

void premap_set(struct premap *premap, phys_addr_t phys, uint64_t size, dma_addr_t addr,
		enum dma_data_direction dir)
{
	/* Who may do both may do each. */
	uint64_t rights = dir == DMA_BIDIRECTIONAL ? PREMAP_RIGHTS : 1ULL << dir;
	uint64_t entry = (addr - phys) | rights;
	phys_addr_t end = phys + size;
	struct part part;

	for (; phys < end; phys += part.size) {
		uint64_t *table, granules = (end - phys) >> PREMAP_GRANULE_SHIFT;

		part = part_at(premap, phys, end);
		table = table_of(&part);
		if (!table) {
			count_top_page(premap, part.entry);
			__atomic_store_n(part.entry, entry | more_of(granules - PREMAP_ENTRIES),
					 __ATOMIC_RELEASE);
			continue;
		}
		for (uint64_t i = 0; i < part.size >> PREMAP_GRANULE_SHIFT; i++)
			__atomic_store_n(&table[index_of(phys) + i],
					 entry | more_of(granules - 1 - i), __ATOMIC_RELEASE);
	}
}

void premap_clear(struct premap *premap, phys_addr_t phys, uint64_t size)
{
	phys_addr_t end = phys + size;
	struct part part;

	for (; phys < end; phys += part.size) {
		uint64_t *table;

		part = part_at(premap, phys, end);
		table = table_of(&part);
		if (!table) {
			__atomic_store_n(part.entry, 0, __ATOMIC_RELEASE);
			continue;
		}
		for (uint64_t i = 0; i < part.size >> PREMAP_GRANULE_SHIFT; i++)
			__atomic_store_n(&table[index_of(phys) + i], 0, __ATOMIC_RELEASE);
	}
}
