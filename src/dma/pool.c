/* SPDX-License-Identifier: MIT */
/*
 * Pools of small objects.
 *
 *	slab      a coherent block, aligned to `span` for the CPU and the device, and for
 *	          each object in it a byte that says whether it is out
 *	table     finds the slab of an address: a hash by address / span, at most half full.
 *	          It only grows; former ones stay until the pool goes, so a look-up needs no lock
 *	depot     free objects that all threads share, under the pool's lock, with room for
 *	          every object there is: giving one back never needs memory
 *	magazine  free objects of one thread, entered through its asymmetric lock
 *
 * An object is known by its CPU address. It is out, or in the depot, or in one magazine.
 * Whoever holds `lock` may revoke a magazine to empty it: before the pool gives up.
 */
#include <limits.h>
#include <stdio.h>

#include "dma/dma.h"

/* What a slab is made for, if objects are small. */
#define SLAB_BYTES (64ULL << 10)
#define LEAST_BYTES 16ULL
#define MAGAZINE 64U
#define FIRST_SLOTS 16U

struct pool_slab {
	struct pool_slab *next; /* in the pool */
	uint8_t *memory;
	dma_addr_t addr;
	uint8_t out[]; /* for each object */
};

struct pool_table {
	struct pool_table *former;
	uint64_t mask; /* slots, a power of two, less one */
	struct pool_slab *slot[];
};

struct pool_magazine {
	struct base_asym asym;
	uint64_t count;
	uint8_t *object[MAGAZINE];
} __cacheline_aligned;

struct dma_pool {
	/* Constant. */
	struct dma_dev *dev;
	struct dma_space *space;
	struct backend *be;
	uint64_t size; /* of an object */
	uint64_t boundary; /* no object crosses a multiple of it; a power of two */
	uint64_t in_boundary; /* objects between two multiples */
	uint64_t inverse; /* 2^32 / size, to divide by; 0: that is not exact enough */
	uint64_t objects; /* in a slab */
	uint64_t bytes; /* of a slab */
	unsigned int span_order;
	unsigned int boundary_order;

	/* Stored with release, under the lock. */
	struct pool_table *table;
	struct pool_magazine *magazine[BASE_MAX_THREADS]; /* [0] stays NULL */

	pthread_mutex_t lock;
	struct pool_slab *slabs;
	uint64_t nr_slabs;
	uint8_t **depot;
	uint64_t held; /* objects in the depot */
	uint64_t room; /* and how many have room */
	uint64_t metadata_bytes;

	struct dma_pool *next; /* in the space; under its lock */
	char name[];
};

static void *pool_zalloc(struct dma_pool *pool, size_t size)
{
	void *memory = base_zalloc_aligned(size, 64);

	if (memory) {
		pool->metadata_bytes += size;
		counter_add_shared(&pool->space->blocks.metadata_bytes, size);
	}
	return memory;
}

/* Where objects are. */

static __always_inline uint64_t table_slot(const struct pool_table *table, uint64_t number)
{
	return number & table->mask;
}

/* The slab whose span contains the address, or NULL. */
static __always_inline struct pool_slab *slab_of(const struct dma_pool *pool, const void *object)
{
	const struct pool_table *table = __atomic_load_n(&pool->table, __ATOMIC_ACQUIRE);
	uint64_t number = (uintptr_t)object >> pool->span_order, at;
	struct pool_slab *slab;

	if (unlikely(!table))
		return NULL;
	for (at = table_slot(table, number);; at = table_slot(table, at + 1)) {
		slab = __atomic_load_n(&table->slot[at], __ATOMIC_ACQUIRE);
		if (likely(!slab || (uintptr_t)slab->memory >> pool->span_order == number))
			return slab;
	}
}

/* The object that begins at @offset of a slab; pool->objects or more: none does. */
static __always_inline uint64_t object_at(const struct dma_pool *pool, uint64_t offset)
{
	uint64_t inside = offset & (pool->boundary - 1);
	uint64_t index = likely(pool->inverse) ? inside * pool->inverse >> 32 : inside / pool->size;

	if (unlikely(index * pool->size != inside || index >= pool->in_boundary))
		return UINT64_MAX;
	return (offset >> pool->boundary_order) * pool->in_boundary + index;
}

static uint64_t offset_of(const struct dma_pool *pool, uint64_t index)
{
	return (index / pool->in_boundary << pool->boundary_order) +
	       index % pool->in_boundary * pool->size;
}

/* Getting memory, with the lock held. */

static void table_insert(const struct dma_pool *pool, struct pool_table *table,
			 struct pool_slab *slab)
{
	uint64_t at = table_slot(table, (uintptr_t)slab->memory >> pool->span_order);

	while (table->slot[at])
		at = table_slot(table, at + 1);
	__atomic_store_n(&table->slot[at], slab, __ATOMIC_RELEASE);
}

/* Room for one more slab, at most half full. */
static bool table_grow(struct dma_pool *pool)
{
	struct pool_table *former = pool->table, *table;
	uint64_t slots = former ? 2 * (former->mask + 1) : FIRST_SLOTS;

	if (former && 2 * (pool->nr_slabs + 1) <= former->mask + 1)
		return true;
	table = pool_zalloc(pool, sizeof(*table) + slots * sizeof(struct pool_slab *));
	if (!table)
		return false;
	table->former = former;
	table->mask = slots - 1;
	for (struct pool_slab *slab = pool->slabs; slab; slab = slab->next)
		table_insert(pool, table, slab);
	__atomic_store_n(&pool->table, table, __ATOMIC_RELEASE);
	return true;
}

/* Room for every object of one more slab. */
static bool depot_grow(struct dma_pool *pool)
{
	uint64_t needed = (pool->nr_slabs + 1) * pool->objects;
	uint64_t room = 2 * pool->room > needed ? 2 * pool->room : needed;
	uint8_t **depot;

	if (needed <= pool->room)
		return true;
	depot = base_alloc(room * sizeof(uint8_t *));
	if (!depot)
		return false;
	if (pool->held)
		memcpy(depot, pool->depot, pool->held * sizeof(uint8_t *));
	pool->metadata_bytes += (room - pool->room) * sizeof(uint8_t *);
	counter_add_shared(&pool->space->blocks.metadata_bytes,
			   (room - pool->room) * sizeof(uint8_t *));
	base_free(pool->depot);
	pool->depot = depot;
	pool->room = room;
	return true;
}

static __cold int add_slab(struct dma_pool *pool)
{
	const struct dma_block_request request = {
		.size = pool->bytes,
		.kind = BASE_BLOCK_COHERENT,
		.dir = DMA_BIDIRECTIONAL,
	};
	struct pool_slab *slab = NULL;
	struct dma_block *block;

	if (table_grow(pool) && depot_grow(pool))
		slab = pool_zalloc(pool, sizeof(*slab) + pool->objects);
	if (!slab)
		return base_error(-ENOMEM, "no memory for the records of pool %s; free some",
				  pool->name);
	block = dma_block_create(pool->dev, &request);
	if (!block) {
		pool->metadata_bytes -= sizeof(*slab) + pool->objects;
		counter_add_shared(&pool->space->blocks.metadata_bytes,
				   -(uint64_t)(sizeof(*slab) + pool->objects));
		base_free(slab);
		return -ENOMEM;
	}
	slab->memory = block->key;
	slab->addr = block->addr;
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->nr_slabs++;
	table_insert(pool, pool->table, slab);
	/* So that the first object comes first. */
	for (uint64_t i = pool->objects; i--;)
		pool->depot[pool->held++] = slab->memory + offset_of(pool, i);
	return 0;
}

/* Magazines. */

/* What a magazine holds beyond @keep goes into the depot, with the lock held. */
static void empty_magazine(struct dma_pool *pool, struct pool_magazine *magazine, uint64_t keep)
{
	uint64_t count = __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);

	while (count > keep)
		pool->depot[pool->held++] = magazine->object[--count];
	__atomic_store_n(&magazine->count, count, __ATOMIC_RELAXED);
}

/* What other threads keep, with the lock held. */
static __cold void call_back(struct dma_pool *pool)
{
	for (unsigned int i = 1; i < BASE_MAX_THREADS; i++) {
		struct pool_magazine *magazine = pool->magazine[i];

		if (!magazine || i == base_thread || !base_asym_revoke(&magazine->asym))
			continue;
		empty_magazine(pool, magazine, 0);
		base_asym_restore(&magazine->asym);
	}
}

/* The calling thread's magazine; NULL: it has none, and there is no memory for one. */
static struct pool_magazine *find_magazine(struct dma_pool *pool)
{
	unsigned int thread = base_thread_claim();
	struct pool_magazine *magazine = thread ? pool->magazine[thread] : NULL;

	if (!thread || magazine)
		return magazine;
	magazine = pool_zalloc(pool, sizeof(*magazine));
	if (!magazine)
		return NULL;
	base_asym_init(&magazine->asym);
	__atomic_store_n(&pool->magazine[thread], magazine, __ATOMIC_RELEASE);
	return magazine;
}

/*
 * With the lock held the owner may touch its magazine as it is: who revokes has the lock.
 * One more object for the caller, and a few for its magazine; NULL with the error text.
 */
static uint8_t *refill(struct dma_pool *pool)
{
	struct pool_magazine *magazine = find_magazine(pool);
	uint64_t count = magazine ? __atomic_load_n(&magazine->count, __ATOMIC_RELAXED) : 0;

	if (!pool->held && count)
		empty_magazine(pool, magazine, count - 1);
	if (!pool->held && add_slab(pool)) {
		call_back(pool);
		if (!pool->held)
			return NULL;
	}
	/* From the front of a new slab on, in the order in which they will be taken. */
	if (magazine && !__atomic_load_n(&magazine->count, __ATOMIC_RELAXED)) {
		count = pool->held - 1 < MAGAZINE / 2 ? pool->held - 1 : MAGAZINE / 2;
		for (uint64_t i = 0; i < count; i++)
			magazine->object[i] = pool->depot[pool->held - 1 - count + i];
		__atomic_store_n(&magazine->count, count, __ATOMIC_RELAXED);
		pool->depot[pool->held - 1 - count] = pool->depot[pool->held - 1];
		pool->held -= count;
	}
	return pool->depot[--pool->held];
}

static __cold uint8_t *alloc_slow(struct dma_pool *pool)
{
	uint8_t *object;

	if (dma_space_check(pool->space))
		return NULL;
	pthread_mutex_lock(&pool->lock);
	object = refill(pool);
	pthread_mutex_unlock(&pool->lock);
	return object;
}

static __cold void free_slow(struct dma_pool *pool, uint8_t *object)
{
	struct pool_magazine *magazine;

	pthread_mutex_lock(&pool->lock);
	magazine = find_magazine(pool);
	if (magazine && __atomic_load_n(&magazine->count, __ATOMIC_RELAXED) == MAGAZINE)
		empty_magazine(pool, magazine, MAGAZINE / 2);
	pool->depot[pool->held++] = object;
	pthread_mutex_unlock(&pool->lock);
}

/* The short ways, without a call. */

static __always_inline uint8_t *alloc_short(struct dma_pool *pool)
{
	struct pool_magazine *magazine = pool->magazine[base_thread];
	uint8_t *object = NULL;
	uint64_t count;

	if (unlikely(!magazine || dma_gen_watch(pool->be) & WATCH_FORKED ||
		     !base_asym_enter(&magazine->asym)))
		return NULL;
	count = __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);
	if (likely(count)) {
		object = magazine->object[count - 1];
		__atomic_store_n(&magazine->count, count - 1, __ATOMIC_RELAXED);
	}
	base_asym_leave(&magazine->asym);
	return object;
}

static __always_inline bool free_short(struct dma_pool *pool, uint8_t *object)
{
	struct pool_magazine *magazine = pool->magazine[base_thread];
	uint64_t count;

	if (unlikely(!magazine || !base_asym_enter(&magazine->asym)))
		return false;
	count = __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);
	if (likely(count < MAGAZINE)) {
		magazine->object[count] = object;
		__atomic_store_n(&magazine->count, count + 1, __ATOMIC_RELAXED);
	}
	base_asym_leave(&magazine->asym);
	return count < MAGAZINE;
}

static __always_inline void *take(struct dma_pool *pool, dma_addr_t *handle)
{
	uint8_t *object = alloc_short(pool);
	struct pool_slab *slab;
	uint64_t offset;

	if (unlikely(!object)) {
		DMA_CALLED();
		object = alloc_slow(pool);
		if (!object)
			return NULL;
	}
	slab = slab_of(pool, object);
	offset = (uint64_t)(object - slab->memory);
	__atomic_store_n(&slab->out[object_at(pool, offset)], 1, __ATOMIC_RELAXED);
	*handle = slab->addr + offset;
	return object;
}

void *dma_pool_alloc(struct dma_pool *pool, dma_addr_t *handle)
{
	return take(pool, handle);
}

void *dma_pool_zalloc(struct dma_pool *pool, dma_addr_t *handle)
{
	void *object = take(pool, handle);

	return object ? memset(object, 0, pool->size) : NULL;
}

/* The byte of an object that is out, by both of its addresses; NULL: it is none. */
static __always_inline uint8_t *find_out(const struct dma_pool *pool, const uint8_t *object,
					 dma_addr_t addr)
{
	struct pool_slab *slab = slab_of(pool, object);
	uint64_t offset, index;

	if (unlikely(!slab))
		return NULL;
	offset = (uint64_t)(object - slab->memory);
	index = object_at(pool, offset);
	if (unlikely(index >= pool->objects || addr != slab->addr + offset ||
		     !__atomic_load_n(&slab->out[index], __ATOMIC_RELAXED)))
		return NULL;
	return &slab->out[index];
}

static __cold void free_refused(struct dma_pool *pool, const uint8_t *object, dma_addr_t addr)
{
	unsigned long long at = (uintptr_t)object, dma = addr;
	struct pool_slab *slab = slab_of(pool, object);
	uint64_t offset = slab ? (uint64_t)(object - slab->memory) : 0;

	if (!slab || object_at(pool, offset) >= pool->objects)
		dma_misuse(pool->space,
			   "free of 0x%llx to pool %s, which has no object there; pass what its "
			   "dma_pool_alloc() returned",
			   at, pool->name);
	else if (addr != slab->addr + offset)
		dma_misuse(pool->space,
			   "free of 0x%llx to pool %s with DMA address 0x%llx, but it is 0x%llx; "
			   "nothing was freed",
			   at, pool->name, dma, (unsigned long long)(slab->addr + offset));
	else
		dma_misuse(pool->space,
			   "free of 0x%llx to pool %s, where it is free already; free each object "
			   "once",
			   at, pool->name);
}

void dma_pool_free(struct dma_pool *pool, void *vaddr, dma_addr_t addr)
{
	uint8_t *out;

	if (unlikely(dma_space_check(pool->space)))
		return;
	out = find_out(pool, vaddr, addr);
	if (unlikely(!out)) {
		free_refused(pool, vaddr, addr);
		return;
	}
	__atomic_store_n(out, 0, __ATOMIC_RELAXED);
	if (unlikely(!free_short(pool, vaddr)))
		free_slow(pool, vaddr);
}

/* Making and destroying. */

/*
 * The kernel puts small objects into single pages and large ones into memory of their own,
 * so that the former cross no page, and the latter begin as allocations do. Slabs are
 * larger here, and objects lie in them as they do there.
 */
static void lay_out(struct dma_pool *pool, uint64_t size, uint64_t boundary)
{
	uint64_t most = 1ULL << order_of(size > GRANULE ? size : GRANULE);
	uint64_t span = most > SLAB_BYTES ? most : SLAB_BYTES, last;

	if (!boundary || boundary > most)
		boundary = most;
	pool->size = size;
	pool->boundary = boundary;
	pool->boundary_order = order_of(boundary);
	pool->in_boundary = boundary / size;
	pool->objects = span / boundary * pool->in_boundary;
	/* Of up to 16 bits the product is too large by less than one multiple of the size. */
	pool->inverse = boundary <= 1ULL << 16 ? (1ULL << 32) / size + 1 : 0;
	last = offset_of(pool, pool->objects - 1) + size;
	pool->bytes = align_up(last, GRANULE);
	/* So that the block is aligned to the span. */
	if (order_of(pool->bytes) != order_of(span))
		pool->bytes = span;
	pool->span_order = order_of(span);
}

static int check_pool(const struct dma_dev *dev, const char *name, size_t size, size_t align,
		      size_t boundary)
{
	int err = dma_space_check(dev->space);
	uint64_t bytes = size < LEAST_BYTES ? LEAST_BYTES : size;

	if (err)
		return err;
	if (align & (align - 1))
		return base_error(-EINVAL, "pool %s with alignment %zu; pass a power of two, or 0",
				  name, align);
	if (!size || size > INT_MAX || align > 1ULL << 31)
		return base_error(
			-EINVAL,
			"pool %s of objects of %zu bytes, aligned to %zu; from 1 to %d are "
			"possible",
			name, size, align, INT_MAX);
	bytes = align_up(bytes, align ? align : 1);
	if (boundary && (!is_power_of_two(boundary) || boundary < bytes))
		return base_error(-EINVAL,
				  "pool %s with boundary %zu; pass a power of two of at least the "
				  "%llu bytes of an object, or 0",
				  name, boundary, (unsigned long long)bytes);
	return 0;
}

struct dma_pool *dma_pool_create(const char *name, struct dma_dev *dev, size_t size, size_t align,
				 size_t boundary)
{
	struct dma_space *space = dev->space;
	size_t name_size;
	struct dma_pool *pool;

	if (!name)
		name = "without a name";
	if (check_pool(dev, name, size, align, boundary))
		return NULL;
	name_size = strlen(name) + 1;
	pool = base_zalloc_aligned(sizeof(*pool) + name_size, 64);
	if (!pool) {
		base_error(-ENOMEM, "no memory for pool %s; free some", name);
		return NULL;
	}
	memcpy(pool->name, name, name_size);
	pool->dev = dev;
	pool->space = space;
	pool->be = dev->be;
	pool->metadata_bytes = sizeof(*pool) + name_size;
	counter_add_shared(&space->blocks.metadata_bytes, pool->metadata_bytes);
	lay_out(pool, align_up(size < LEAST_BYTES ? LEAST_BYTES : size, align ? align : 1),
		boundary);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_mutex_lock(&space->lock);
	pool->next = space->pools;
	space->pools = pool;
	pthread_mutex_unlock(&space->lock);
	return pool;
}

/* Everything but the objects' memory. */
static void free_pool(struct dma_pool *pool)
{
	struct pool_table *table, *former;
	struct pool_slab *slab, *next;

	for (table = pool->table; table; table = former) {
		former = table->former;
		base_free(table);
	}
	for (slab = pool->slabs; slab; slab = next) {
		next = slab->next;
		base_free(slab);
	}
	for (unsigned int i = 1; i < BASE_MAX_THREADS; i++)
		base_free(pool->magazine[i]);
	base_free(pool->depot);
	counter_add_shared(&pool->space->blocks.metadata_bytes, -pool->metadata_bytes);
	base_free(pool);
}

static uint64_t count_out(const struct dma_pool *pool, const struct pool_slab *slab)
{
	uint64_t out = 0;

	for (uint64_t i = 0; i < pool->objects; i++)
		out += slab->out[i];
	return out;
}

static void leave_space(struct dma_pool *pool)
{
	struct dma_pool **at = &pool->space->pools;

	while (*at && *at != pool)
		at = &(*at)->next;
	if (*at)
		*at = pool->next;
}

void dma_pool_destroy(struct dma_pool *pool)
{
	struct dma_space *space;
	uint64_t out, left = 0;

	if (!pool)
		return;
	DMA_CALLED();
	space = pool->space;
	/* In a forked child there may be nobody who would release the lock. */
	if (dma_gen_watch(pool->be) & WATCH_FORKED) {
		leave_space(pool);
	} else {
		pthread_mutex_lock(&space->lock);
		leave_space(pool);
		pthread_mutex_unlock(&space->lock);
		pthread_mutex_destroy(&pool->lock);
	}
	for (struct pool_slab *slab = pool->slabs; slab; slab = slab->next) {
		out = count_out(pool, slab);
		left += out;
		if (!out)
			dma_block_destroy(pool->dev, &(struct dma_block_end){
							     .what = "destroy of a pool's memory",
							     .key = slab->memory,
							     .addr = &slab->addr,
							     .as = {.size = pool->bytes,
								    .dir = DMA_BIDIRECTIONAL},
						     });
	}
	if (left && !dma_space_check(space))
		dma_misuse(space,
			   "destroy of pool %s with %llu objects in use, whose memory stays; free "
			   "all objects before",
			   pool->name, (unsigned long long)left);
	free_pool(pool);
}

void dma_pools_leave(struct dma_space *space, unsigned int thread)
{
	pthread_mutex_lock(&space->lock);
	for (struct dma_pool *pool = space->pools; pool; pool = pool->next) {
		pthread_mutex_lock(&pool->lock);
		if (pool->magazine[thread])
			empty_magazine(pool, pool->magazine[thread], 0);
		pthread_mutex_unlock(&pool->lock);
	}
	pthread_mutex_unlock(&space->lock);
}

void dma_pools_exit(struct dma_space *space)
{
	struct dma_pool *pool, *next;

	for (pool = space->pools; pool; pool = next) {
		next = pool->next;
		free_pool(pool);
	}
	space->pools = NULL;
}
