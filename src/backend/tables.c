/* SPDX-License-Identifier: MIT */
/* Pages for page tables. */
#include "backend/tables.h"

static uint64_t *take_page(struct pgt_memory *memory)
{
	struct table_arena *arena = container_of(memory, struct table_arena, memory);
	uint64_t index;

	if (base_alloc_denied())
		return NULL;
	pthread_mutex_lock(&arena->lock);
	if (arena->nr_free)
		index = arena->free_pages[--arena->nr_free];
	else if (arena->used < arena->max)
		index = arena->used++;
	else
		index = UINT64_MAX;
	pthread_mutex_unlock(&arena->lock);
	if (index == UINT64_MAX)
		return NULL;
	return (uint64_t *)(uintptr_t)(memory->base + (index << PGT_PAGE_SHIFT));
}

static void give_page(struct pgt_memory *memory, uint64_t *table)
{
	struct table_arena *arena = container_of(memory, struct table_arena, memory);
	uint64_t index = ((uint64_t)(uintptr_t)table - memory->base) >> PGT_PAGE_SHIFT;

	pthread_mutex_lock(&arena->lock);
	arena->free_pages[arena->nr_free++] = (uint32_t)index;
	pthread_mutex_unlock(&arena->lock);
}

int tables_init(struct table_arena *arena, uint64_t max)
{
	void *pages, *next, *free_pages;

	if (!max)
		max = TABLES_DEFAULT_MAX;
	if (max > TABLES_LIMIT)
		max = TABLES_LIMIT;
	pages = base_map(max << PGT_PAGE_SHIFT);
	next = base_map(max * sizeof(uint32_t));
	free_pages = base_map(max * sizeof(uint32_t));
	if (!pages || !next || !free_pages) {
		base_unmap(pages, max << PGT_PAGE_SHIFT);
		base_unmap(next, max * sizeof(uint32_t));
		base_unmap(free_pages, max * sizeof(uint32_t));
		return base_error(-ENOMEM,
				  "address space for %llu page tables was wanted and there is "
				  "none; open the device with fewer (tables=)",
				  (unsigned long long)max);
	}
	*arena = (struct table_arena){
		.memory =
			{
				.get = take_page,
				.put = give_page,
				.base = (uint64_t)(uintptr_t)pages,
				.size = max << PGT_PAGE_SHIFT,
				.next = next,
			},
		.max = max,
		.free_pages = free_pages,
	};
	pthread_mutex_init(&arena->lock, NULL);
	return 0;
}

void tables_exit(struct table_arena *arena)
{
	base_unmap((void *)(uintptr_t)arena->memory.base, arena->memory.size);
	base_unmap(arena->memory.next, arena->max * sizeof(uint32_t));
	base_unmap(arena->free_pages, arena->max * sizeof(uint32_t));
}
