/* SPDX-License-Identifier: MIT */
/* The shadow of memory: a radix tree of pages, and cache maintenance on them. */
#include <inttypes.h>
#include <pthread.h>

#include "backend/backend.h"
#include "backend/soft/shadow.h"
#include "memory/memory.h"

#define NODE_BITS 9
#define NODE_SLOTS (1U << NODE_BITS)
#define LEVELS 6 /* 52 bits of a granule's number */
#define HIDDEN 1ULL /* in a slot of level 0 */

/* A page is what devices see, and behind it what the CPU had at the last maintenance. */
#define KNOWN PGT_PAGE_SIZE
#define PAGE_BYTES (2 * PGT_PAGE_SIZE)

#define LINE BACKEND_CACHE_LINE
#define LINE_WORDS (LINE / sizeof(uint64_t))
#define MOST_READINGS 8
_Static_assert(LINE <= MEMORY_COPY_WORDS, "a line is stored word by word, in ascending order");

#define NR_LOCKS 64

/* Slots hold addresses: of nodes, at level 0 of pages, 0 for none. */
struct node {
	uint64_t slots[NODE_SLOTS];
};

struct shadow {
	struct node root; /* of the highest level */
	uint64_t bytes;
	pthread_mutex_t grow;
	pthread_mutex_t lines[NR_LOCKS];
};

/* The tree. */

static __always_inline unsigned int slot_index(uint64_t pfn, unsigned int level)
{
	return (unsigned int)(pfn >> (NODE_BITS * level)) & (NODE_SLOTS - 1);
}

static __always_inline void *slot_address(uint64_t slot)
{
	return (void *)(uintptr_t)(slot & ~HIDDEN);
}

/* The slot of a granule, or NULL. */
static uint64_t *find_slot(struct shadow *shadow, uint64_t pfn)
{
	struct node *node = &shadow->root;

	for (unsigned int level = LEVELS - 1; level; level--) {
		node = slot_address(
			__atomic_load_n(&node->slots[slot_index(pfn, level)], __ATOMIC_ACQUIRE));
		if (!node)
			return NULL;
	}
	return &node->slots[slot_index(pfn, 0)];
}

/* The page of a granule, or NULL: there is none to be seen. */
static uint8_t *find_page(struct shadow *shadow, uint64_t pfn)
{
	uint64_t *found = find_slot(shadow, pfn);
	uint64_t slot = found ? __atomic_load_n(found, __ATOMIC_ACQUIRE) : 0;

	return slot & HIDDEN ? NULL : slot_address(slot);
}

/* What @slot leads to; with `grow` held, made of @size zeroed bytes if there is nothing. */
static void *get(struct shadow *shadow, uint64_t *slot, size_t size, uint64_t flags)
{
	uint64_t there = __atomic_load_n(slot, __ATOMIC_RELAXED);
	void *memory;

	if (there)
		return slot_address(there);
	memory = base_zalloc_aligned(size, LINE);
	if (!memory)
		return NULL;
	counter_add(&shadow->bytes, size);
	__atomic_store_n(slot, (uint64_t)(uintptr_t)memory | flags, __ATOMIC_RELEASE);
	return memory;
}

/* Make the page of a granule, hidden. False without memory. */
static bool make_page(struct shadow *shadow, uint64_t pfn)
{
	struct node *node = &shadow->root;

	for (unsigned int level = LEVELS - 1; level; level--) {
		node = get(shadow, &node->slots[slot_index(pfn, level)], sizeof(*node), 0);
		if (!node)
			return false;
	}
	return get(shadow, &node->slots[slot_index(pfn, 0)], PAGE_BYTES, HIDDEN);
}

/* Let devices see a page, if it is hidden, from its beginning. */
static void show_page(struct shadow *shadow, uint64_t pfn)
{
	uint64_t *slot = find_slot(shadow, pfn);
	uint64_t there = __atomic_load_n(slot, __ATOMIC_RELAXED);
	uint8_t *page = slot_address(there);
	uint8_t poison[LINE];

	if (!(there & HIDDEN))
		return;
	memset(poison, SHADOW_POISON, sizeof(poison));
	for (size_t at = 0; at < PAGE_BYTES; at += LINE)
		memory_copy_to(page + at, poison, LINE);
	__atomic_store_n(slot, there & ~HIDDEN, __ATOMIC_RELEASE);
}

struct shadow *shadow_create(void)
{
	struct shadow *shadow = base_zalloc_aligned(sizeof(*shadow), LINE);

	if (!shadow)
		return NULL;
	shadow->bytes = sizeof(*shadow);
	pthread_mutex_init(&shadow->grow, NULL);
	for (size_t i = 0; i < NR_LOCKS; i++)
		pthread_mutex_init(&shadow->lines[i], NULL);
	return shadow;
}

static void free_below(const struct node *node, unsigned int level)
{
	for (size_t i = 0; i < NODE_SLOTS; i++) {
		void *below = slot_address(node->slots[i]);

		if (below && level)
			free_below(below, level - 1);
		base_free(below);
	}
}

void shadow_destroy(struct shadow *shadow)
{
	if (shadow)
		free_below(&shadow->root, LEVELS - 1);
	base_free(shadow);
}

uint64_t shadow_bytes(const struct shadow *shadow)
{
	return counter_read(&shadow->bytes);
}

static bool all_seen(struct shadow *shadow, uint64_t first, uint64_t last)
{
	for (uint64_t pfn = first; pfn <= last; pfn++)
		if (!find_page(shadow, pfn))
			return false;
	return true;
}

int shadow_prepare(struct shadow *shadow, phys_addr_t phys, uint64_t size)
{
	uint64_t first = phys >> PGT_PAGE_SHIFT, last = (phys + size - 1) >> PGT_PAGE_SHIFT;
	bool made = true;

	if (!memory_cpu_address(phys, size) || all_seen(shadow, first, last))
		return 0;
	pthread_mutex_lock(&shadow->grow);
	for (uint64_t pfn = first; made && pfn <= last; pfn++)
		made = make_page(shadow, pfn);
	for (uint64_t pfn = first; made && pfn <= last; pfn++)
		show_page(shadow, pfn);
	pthread_mutex_unlock(&shadow->grow);
	if (made)
		return 0;
	return base_error(-ENOMEM,
			  "a shadow of 0x%" PRIx64 " bytes of memory at 0x%" PRIx64 " was wanted "
			  "for a device that is not coherent and there is no memory for it; map "
			  "less or free memory",
			  size, phys);
}

void shadow_bypass(struct shadow *shadow, phys_addr_t phys, uint64_t size)
{
	uint64_t last = (phys + size - 1) >> PGT_PAGE_SHIFT;

	if (!size)
		return;
	pthread_mutex_lock(&shadow->grow);
	for (uint64_t pfn = phys >> PGT_PAGE_SHIFT; pfn <= last; pfn++) {
		uint64_t *slot = find_slot(shadow, pfn);

		if (slot && *slot)
			__atomic_store_n(slot, *slot | HIDDEN, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&shadow->grow);
}

/* Maintenance. */

/*
 * Read a line of memory, from the last word to the first. Sanitizers must not look:
 * a line reaches beyond a buffer, into what belongs to others or to nobody, and
 * cleaning it is right whatever they do there.
 */
static __attribute__((__noinline__, no_sanitize("address", "thread"))) void
read_memory_line(uint64_t *words, const uint64_t *line)
{
	for (size_t i = LINE_WORDS; i--;)
#ifdef BASE_TSAN
		words[i] = *(const volatile uint64_t *)&line[i];
#else
		words[i] = __atomic_load_n(&line[i], __ATOMIC_ACQUIRE);
#endif
}

/* Store the words that differ. A buffer may end inside a word. */
static __attribute__((__noinline__, no_sanitize("address"))) void
write_memory_line(uint64_t *line, const uint64_t *words, const uint64_t *old)
{
	for (size_t i = 0; i < LINE_WORDS; i++)
		if (words[i] != old[i])
			__atomic_store_n(&line[i], words[i], __ATOMIC_RELEASE);
}

static void read_shadow_line(uint64_t *words, const uint64_t *line)
{
	for (size_t i = LINE_WORDS; i--;)
		words[i] = __atomic_load_n(&line[i], __ATOMIC_ACQUIRE);
}

/* A line as it was at one moment. */
static __always_inline void read_line(uint64_t *words, const uint64_t *line,
				      void (*read)(uint64_t *words, const uint64_t *line))
{
	uint64_t again[LINE_WORDS];

	read(words, line);
	for (unsigned int readings = 1; readings < MOST_READINGS; readings++) {
		read(again, line);
		if (likely(!memcmp(again, words, sizeof(again))))
			return;
		memcpy(words, again, sizeof(again));
	}
}

static void clean_line(uint64_t *memory, uint64_t *shadow)
{
	uint64_t words[LINE_WORDS];

	read_line(words, memory, read_memory_line);
	memory_copy_to(shadow, words, LINE);
	memory_copy_to((uint8_t *)shadow + KNOWN, words, LINE);
}

/* A line that the CPU has not written is not written back over what a device wrote. */
static void write_back_line(uint64_t *memory, uint64_t *shadow)
{
	uint64_t words[LINE_WORDS], known[LINE_WORDS];

	read_line(words, memory, read_memory_line);
	memory_copy_from(known, (uint8_t *)shadow + KNOWN, LINE);
	if (!memcmp(words, known, LINE))
		return;
	memory_copy_to(shadow, words, LINE);
	memory_copy_to((uint8_t *)shadow + KNOWN, words, LINE);
}

static void invalidate_line(uint64_t *memory, uint64_t *shadow)
{
	uint64_t words[LINE_WORDS], old[LINE_WORDS];

	read_line(words, shadow, read_shadow_line);
	read_memory_line(old, memory);
	write_memory_line(memory, words, old);
	memory_copy_to((uint8_t *)shadow + KNOWN, words, LINE);
}

typedef void (*maintain_t)(uint64_t *memory, uint64_t *shadow);

/* All lines that have a byte of [first, last], inside one granule. */
static __always_inline void maintain_granule(struct shadow *shadow, phys_addr_t first,
					     phys_addr_t last, maintain_t maintain)
{
	uint64_t pfn = first >> PGT_PAGE_SHIFT;
	size_t to = last & (PGT_PAGE_SIZE - 1);
	size_t at = first & (PGT_PAGE_SIZE - LINE);
	uint8_t *page = find_page(shadow, pfn);
	uint8_t *memory = page ? memory_cpu_address(first, 1) : NULL;

	if (!memory)
		return;
	/* Registered memory lies in its lines as its CPU mapping does. */
	memory -= first & (LINE - 1);
	pthread_mutex_lock(&shadow->lines[pfn % NR_LOCKS]);
	for (; at <= to; at += LINE, memory += LINE)
		maintain((uint64_t *)memory, (uint64_t *)(page + at));
	pthread_mutex_unlock(&shadow->lines[pfn % NR_LOCKS]);
}

static __always_inline void maintain_range(struct shadow *shadow, phys_addr_t phys, uint64_t size,
					   maintain_t maintain)
{
	phys_addr_t last = phys + size - 1;

	while (size) {
		phys_addr_t granule_last = phys | (PGT_PAGE_SIZE - 1);

		if (granule_last >= last) {
			maintain_granule(shadow, phys, last, maintain);
			return;
		}
		maintain_granule(shadow, phys, granule_last, maintain);
		phys = granule_last + 1;
	}
}

void shadow_clean(struct shadow *shadow, phys_addr_t phys, uint64_t size)
{
	maintain_range(shadow, phys, size, clean_line);
}

void shadow_write_back(struct shadow *shadow, phys_addr_t phys, uint64_t size)
{
	maintain_range(shadow, phys, size, write_back_line);
}

void shadow_invalidate(struct shadow *shadow, phys_addr_t phys, uint64_t size)
{
	maintain_range(shadow, phys, size, invalidate_line);
}

/* The device side. */

void *shadow_pointer(struct shadow *shadow, phys_addr_t phys, size_t len)
{
	uint8_t *page = find_page(shadow, phys >> PGT_PAGE_SHIFT);

	if (!page)
		return NULL;
	/* The page may be of what was registered there before. */
	if (memory_in_arena(phys) && !memory_cpu_address(phys, len))
		return NULL;
	return page + (phys & (PGT_PAGE_SIZE - 1));
}

/* The longest piece from the front that memory_copy_*() make of single accesses. */
static __always_inline size_t single_accesses(const void *page, size_t len)
{
	size_t offset = (uintptr_t)page & 7;
	size_t word = offset ? offset & -offset : 8;

	if (word == 8 && len >= 8)
		return len < MEMORY_COPY_WORDS ? align_down(len, 8) : MEMORY_COPY_WORDS;
	while (word > len)
		word >>= 1;
	return word;
}

void shadow_load(void *buf, const void *page, size_t len)
{
	while (len) {
		size_t part = single_accesses(page, len);

		memory_copy_from(buf, page, part);
		buf = (char *)buf + part;
		page = (const char *)page + part;
		len -= part;
	}
}

void shadow_store(void *page, const void *buf, size_t len)
{
	while (len) {
		size_t part = single_accesses(page, len);

		memory_copy_to(page, buf, part);
		page = (char *)page + part;
		buf = (const char *)buf + part;
		len -= part;
	}
}
