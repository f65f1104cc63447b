/* SPDX-License-Identifier: MIT */
/* Pools: their descriptions, making, growing and destroying them. */
#include <inttypes.h>
#include <unistd.h>

#include "bounce/pool.h"

#define DEFAULT_SIZE (64ULL << 20)
#define DEFAULT_MAX_SIZE (1ULL << 30)
/* Growing by less is not worth a system call. */
#define MIN_STEP ((1ULL << 20) >> BOUNCE_SEGMENT_SHIFT)
#define HUGE_SEGMENTS (BASE_HUGE >> BOUNCE_SEGMENT_SHIFT)

static uint64_t segments_of(uint64_t size)
{
	return (size >> BOUNCE_SEGMENT_SHIFT) + !!(size & (DMA_BOUNCE_SEGMENT - 1));
}

static uint64_t bytes_of(uint64_t segments)
{
	return segments << BOUNCE_SEGMENT_SHIFT;
}

static bool make_accessible(const struct dma_bounce *bounce, uint64_t first, uint64_t segments)
{
	uint64_t start = bounce->start + bytes_of(first);

	return bounce->huge ? base_huge_open(start, bytes_of(segments))
			    : base_place_open(start, bytes_of(segments));
}

static unsigned int processors(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (online < 1)
		return 1;
	if (online > BOUNCE_MAX_AREAS)
		return BOUNCE_MAX_AREAS;
	return 1U << order_of((uint64_t)online);
}

static int plan_sizes(const struct dma_bounce_desc *desc, struct bounce_plan *plan)
{
	uint64_t size = desc->size, max_size = desc->max_size;

	if (size && max_size && size > max_size)
		return base_error(-EINVAL,
				  "a pool of bounce buffers of %" PRIu64 " bytes that may have at "
				  "most %" PRIu64 ": max_size must not be less than size",
				  size, max_size);
	if (!max_size)
		max_size = size > DEFAULT_MAX_SIZE ? size : DEFAULT_MAX_SIZE;
	if (!size)
		size = max_size < DEFAULT_SIZE ? max_size : DEFAULT_SIZE;
	plan->segments = segments_of(size);
	plan->max_segments = segments_of(max_size);
	plan->huge = desc->hugepages;
	if (plan->huge)
		bounce_plan_huge(plan);
	if (plan->max_segments > BOUNCE_MAX_SEGMENTS)
		return base_error(-EINVAL,
				  "a pool of bounce buffers of up to %" PRIu64 " bytes: no pool "
				  "can have more than %" PRIu64 "; give a smaller max_size",
				  max_size, bytes_of(BOUNCE_MAX_SEGMENTS));
	return 0;
}

void bounce_plan_huge(struct bounce_plan *plan)
{
	plan->huge = true;
	plan->segments = align_up(plan->segments, HUGE_SEGMENTS);
	plan->max_segments = align_up(plan->max_segments, HUGE_SEGMENTS);
}

int bounce_plan(const struct dma_bounce_desc *desc, struct bounce_plan *plan)
{
	static const struct dma_bounce_desc defaults;
	int err;

	*plan = (struct bounce_plan){.last = UINT64_MAX};
	if (!desc)
		desc = &defaults;
	err = plan_sizes(desc, plan);
	if (err)
		return err;
	if (desc->areas && (!is_power_of_two(desc->areas) || desc->areas > BOUNCE_MAX_AREAS))
		return base_error(-EINVAL,
				  "a pool of bounce buffers with %u areas: their number must be a "
				  "power of two up to %u, or 0 for one a processor",
				  desc->areas, BOUNCE_MAX_AREAS);
	if (desc->last)
		plan->last = desc->last;
	/* Nothing lies at address 0, so the first segment of the space is no place. */
	if (plan->last < bytes_of(plan->segments + 1) - 1)
		return base_error(-EINVAL,
				  "a pool of bounce buffers of %" PRIu64
				  " bytes at addresses up to "
				  "%#" PRIx64 ": there is less space below; give a smaller size or "
				  "a higher last",
				  bytes_of(plan->segments), plan->last);
	plan->areas = desc->areas ? desc->areas : processors();
	while (plan->areas > plan->segments)
		plan->areas /= 2;
	return 0;
}

/* As much as fits of what the plan wants, but what it begins with at least. */
static int find_place(struct dma_bounce *bounce, const struct bounce_plan *plan)
{
	uint64_t segments = plan->max_segments;

	if (base_alloc_denied())
		goto no_memory;
	for (;;) {
		bounce->start = base_place(bytes_of(segments),
					   plan->huge ? BASE_HUGE : DMA_BOUNCE_SEGMENT, plan->last,
					   0);
		bounce->max_segments = segments;
		if (bounce->start)
			return 0;
		if (segments == plan->segments)
			break;
		segments = segments / 2 > plan->segments ? segments / 2 : plan->segments;
		if (plan->huge)
			segments = align_up(segments, HUGE_SEGMENTS);
	}
	if (plan->last < base_user_last())
		return base_error(-ENOSPC,
				  "creating a pool of bounce buffers of %" PRIu64 " bytes at "
				  "addresses up to %#" PRIx64 ": so much address space is not free "
				  "in one piece there; ask for less or for higher addresses",
				  bytes_of(plan->segments), plan->last);
no_memory:
	return base_error(-ENOMEM,
			  "creating a pool of bounce buffers of %" PRIu64 " bytes: there is no "
			  "address space for it; ask for less or raise the limit (ulimit -v)",
			  bytes_of(plan->segments));
}

/* Tables as long as the pool can ever get. They cost memory only where they are used. */
static int make_tables(struct dma_bounce *bounce, unsigned int areas)
{
	uint64_t segments = bounce->max_segments;
	uint64_t words = align_up((segments + areas - 1) / areas, 64) / 8;
	size_t area_bytes = areas * sizeof(struct bounce_area);
	size_t segment_bytes = segments * sizeof(struct bounce_segment);
	size_t longest_bytes = areas * words * sizeof(uint64_t);
	size_t mapping_bytes = segments * BOUNCE_SEGMENT_SLOTS * sizeof(struct bounce_mapping);
	char *table;

	bounce->tables_size = area_bytes + segment_bytes + longest_bytes + mapping_bytes;
	bounce->tables = base_map(bounce->tables_size);
	if (!bounce->tables)
		return base_error(-ENOMEM,
				  "creating a pool of up to %" PRIu64 " bytes of bounce buffers: "
				  "there is no memory for its tables; ask for less or free some",
				  bytes_of(segments));
	table = bounce->tables;
	bounce->mapping = (struct bounce_mapping *)table;
	table += mapping_bytes;
	bounce->segment = (struct bounce_segment *)table;
	table += segment_bytes;
	bounce->area = (struct bounce_area *)table;
	table += area_bytes;
	bounce->areas = areas;
	bounce->areas_shift = order_of(areas);
	for (unsigned int i = 0; i < areas; i++, table += words * sizeof(uint64_t)) {
		pthread_mutex_init(&bounce->area[i].lock, NULL);
		bounce->area[i].longest = (uint64_t *)table;
	}
	return 0;
}

static int open_first(struct dma_bounce *bounce, uint64_t segments)
{
	bool accessible = make_accessible(bounce, 0, segments);

	if (!accessible && bounce->huge)
		return base_error(-ENOMEM,
				  "creating a pool of %" PRIu64
				  " bytes of bounce buffers in huge pages: so many are not free; "
				  "reserve more (echo N > /proc/sys/vm/nr_hugepages, of 2 MiB each)",
				  bytes_of(segments));
	if (!accessible)
		return base_error(-ENOMEM,
				  "creating a pool of %" PRIu64 " bytes of bounce buffers: the "
				  "system does not give as much memory; ask for less or free some",
				  bytes_of(segments));
	bounce->segments = segments;
	bounce->step = segments;
	bounce_deal(bounce, 0, segments);
	return 0;
}

int bounce_make(const struct bounce_plan *plan, struct dma_bounce **bounce)
{
	struct dma_bounce *pool = bounce_claim();
	int err;

	if (!pool)
		return -ENOSPC;
	pool->is_default = plan->is_default;
	pool->huge = plan->huge;
	pthread_mutex_init(&pool->grow_lock, NULL);
	err = find_place(pool, plan);
	if (!err)
		err = make_tables(pool, plan->areas);
	if (!err)
		err = open_first(pool, plan->segments);
	if (err) {
		bounce_unmake(pool);
		bounce_release(pool);
		return err;
	}
	bounce_show(pool);
	*bounce = pool;
	return 0;
}

void bounce_unmake(struct dma_bounce *bounce)
{
	if (bounce->start)
		base_place_free(bounce->start, bytes_of(bounce->max_segments));
	base_unmap(bounce->tables, bounce->tables_size);
}

int dma_bounce_create(const struct dma_bounce_desc *desc, struct dma_bounce **bounce)
{
	struct bounce_plan plan;
	int err = bounce_plan(desc, &plan);

	return err ? err : bounce_make(&plan, bounce);
}

int dma_bounce_destroy(struct dma_bounce *bounce)
{
	int err;

	if (!bounce)
		return 0;
	err = bounce_hide(bounce);
	if (err)
		return err;
	bounce_unmake(bounce);
	bounce_release(bounce);
	return 0;
}

/* By as much as it began with, or by what there is memory for. */
static bool grow_locked(struct dma_bounce *bounce, uint64_t now)
{
	uint64_t step = bounce->step, left = bounce->max_segments - now;

	if (step > left)
		step = left;
	while (step) {
		if (make_accessible(bounce, now, step)) {
			bounce_deal(bounce, now, now + step);
			counter_add(&bounce->grown, 1);
			/* Release: who sees the new size finds the new segments in their areas. */
			__atomic_store_n(&bounce->segments, now + step, __ATOMIC_RELEASE);
			return true;
		}
		step = step / 2 < MIN_STEP ? 0 : step / 2;
		if (bounce->huge)
			step = align_down(step, HUGE_SEGMENTS);
	}
	return false;
}

bool bounce_grow(struct dma_bounce *bounce, uint64_t seen)
{
	uint64_t now;
	bool more;

	pthread_mutex_lock(&bounce->grow_lock);
	now = __atomic_load_n(&bounce->segments, __ATOMIC_RELAXED);
	more = now != seen || grow_locked(bounce, now);
	pthread_mutex_unlock(&bounce->grow_lock);
	return more;
}

void bounce_get(struct dma_bounce *bounce)
{
	__atomic_fetch_add(&bounce->users, 1, __ATOMIC_RELAXED);
}

void bounce_put(struct dma_bounce *bounce)
{
	__atomic_fetch_sub(&bounce->users, 1, __ATOMIC_RELEASE);
}

uint64_t bounce_last(const struct dma_bounce *bounce)
{
	return bounce->start + bytes_of(bounce->max_segments) - 1;
}

bool bounce_is_huge(const struct dma_bounce *bounce)
{
	return bounce->huge;
}

uint64_t bounce_used(const struct dma_bounce *bounce)
{
	uint64_t used = 0;

	/* Acquire: pairs with the release of counter_add() where the buffers were freed. */
	for (unsigned int i = 0; i < bounce->areas; i++)
		used += __atomic_load_n(&bounce->area[i].used, __ATOMIC_ACQUIRE);
	return used;
}

void bounce_add_stats(const struct dma_bounce *bounce, struct dma_bounce_stats *stats)
{
	stats->size += bytes_of(counter_read(&bounce->segments));
	stats->max_size += bytes_of(bounce->max_segments);
	stats->used += bounce_used(bounce) << BOUNCE_SLOT_SHIFT;
	stats->grown += counter_read(&bounce->grown);
	stats->failed += counter_read(&bounce->failed);
	stats->failed_full += counter_read(&bounce->failed_full);
	stats->failed_size += counter_read(&bounce->failed_size);
	stats->areas += bounce->areas;
	for (unsigned int i = 0; i < bounce->areas; i++) {
		stats->maps += counter_read(&bounce->area[i].maps);
		stats->high_water += counter_read(&bounce->area[i].high_water) << BOUNCE_SLOT_SHIFT;
	}
}
