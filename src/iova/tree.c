/* SPDX-License-Identifier: MIT */
/*
 * The free space: a radix tree over pfns.
 *
 * A node of level j >= 1 has 64 slots of 2^(6j) pfns. A slot is in one of three
 * states: free (bit in `free`), taken (no bit), or split (bit in `split`), and
 * then `below` says more: a node of level j - 1, or at level 1 a word with a bit
 * for each free pfn.
 *
 * Invariants
 *  - A split slot is never free as a whole: what becomes so is merged at once. It
 *    may well be taken as a whole: what lies below is kept, so that releasing a
 *    part of it needs no memory.
 *  - best[i] is 1 + the order of the largest free block below split slot i, 0 if
 *    there is none or the slot is not split; `open` has a bit for each that is not 0.
 *  - pfn 0 is never free, so 0 can mean "none".
 *
 * Because blocks are aligned to their size, a block of order k is either a run
 * of slots inside one node or lies inside one slot.
 */
#include "iova/parts.h"

#define SLOT_BITS 6
#define SLOTS 64U

struct iova_node {
	uint64_t free;
	uint64_t split;
	uint64_t open;
	uint8_t best[SLOTS];
	union {
		struct iova_node *node;
		uint64_t word;
	} below[SLOTS];
};

static uint64_t slot_span(unsigned int level)
{
	return 1ULL << (SLOT_BITS * level);
}

/* Bits @first to @last, both included. */
static uint64_t slots_mask(unsigned int first, unsigned int last)
{
	return (~0ULL << first) & (~0ULL >> (SLOTS - 1 - last));
}

static unsigned int highest(uint64_t mask)
{
	return SLOTS - 1 - (unsigned int)__builtin_clzll(mask);
}

/* Where pairs of runs of 2^i slots may start. */
static const uint64_t pair_starts[SLOT_BITS] = {
	0x5555555555555555, 0x1111111111111111, 0x0101010101010101,
	0x0001000100010001, 0x0000000100000001, 0x0000000000000001,
};

/* Where in @free runs of 2^@order set bits start, aligned to their length. */
static uint64_t aligned_runs(uint64_t free, unsigned int order)
{
	unsigned int i;

	for (i = 0; i < order; i++)
		free &= free >> (1U << i) & pair_starts[i];
	return free;
}

/* 1 + the order of the longest aligned run in @free, 0 for none. */
static unsigned int longest_run(uint64_t free)
{
	unsigned int length = 0;

	while (free) {
		if (length == SLOT_BITS)
			return length + 1;
		free &= free >> (1U << length) & pair_starts[length];
		length++;
	}
	return length;
}

/* Sixteen slots at a time: nodes with many split slots are the busy ones. */
typedef uint8_t byte_vec __attribute__((__vector_size__(16)));

static unsigned int node_best(const struct iova_node *node, unsigned int level)
{
	byte_vec most = {0};
	byte_vec next, larger;
	unsigned int best = 0;
	unsigned int i;

	if (node->free)
		return longest_run(node->free) + SLOT_BITS * level;
	for (i = 0; i < SLOTS; i += sizeof(next)) {
		memcpy(&next, &node->best[i], sizeof(next));
		larger = (byte_vec)(next > most);
		most = (next & larger) | (most & ~larger);
	}
	for (i = 0; i < sizeof(most); i++)
		best = most[i] > best ? most[i] : best;
	return best;
}

/* Nodes */

static struct iova_node *node_make(struct iova_space *space)
{
	struct iova_node *node = base_zalloc(sizeof(*node));

	if (node)
		counter_add(&space->metadata_bytes, sizeof(*node));
	return node;
}

static void node_free(struct iova_space *space, struct iova_node *node)
{
	counter_add(&space->metadata_bytes, -(uint64_t)sizeof(*node));
	base_free(node);
}

/* A range has two ends; each may split a slot at every level, the lowest into a word. */
static unsigned int spares_wanted(const struct iova_tree *tree)
{
	return 2 * (tree->root_level - 1);
}

int iova_tree_prepare(struct iova_space *space)
{
	struct iova_tree *tree = &space->tree;
	struct iova_node *node;

	while (tree->spares < spares_wanted(tree)) {
		node = node_make(space);
		if (!node)
			return base_error(-ENOMEM,
					  "no memory for the free space of IOVA; free some");
		node->below[0].node = tree->spare;
		tree->spare = node;
		tree->spares++;
	}
	return 0;
}

static struct iova_node *spare_take(struct iova_tree *tree)
{
	struct iova_node *node = tree->spare;

	tree->spare = node->below[0].node;
	tree->spares--;
	node->below[0].node = NULL;
	return node;
}

/* The node is free as a whole: nothing but its free slots has to be cleared. */
static void spare_put(struct iova_space *space, struct iova_node *node)
{
	struct iova_tree *tree = &space->tree;

	if (tree->spares >= spares_wanted(tree)) {
		node_free(space, node);
		return;
	}
	node->free = 0;
	node->below[0].node = tree->spare;
	tree->spare = node;
	tree->spares++;
}

int iova_tree_init(struct iova_space *space, uint64_t last_pfn)
{
	struct iova_tree *tree = &space->tree;

	tree->root_level = 1;
	while (tree->root_level * SLOT_BITS + SLOT_BITS < IOVA_PFN_BITS &&
	       last_pfn / SLOTS >= slot_span(tree->root_level))
		tree->root_level++;
	tree->root = node_make(space);
	if (!tree->root)
		return base_error(-ENOMEM, "no memory for the free space of IOVA; free some");
	return 0;
}

static void node_free_below(struct iova_space *space, struct iova_node *node, unsigned int level)
{
	uint64_t rest;

	for (rest = level > 1 ? node->split : 0; rest; rest &= rest - 1)
		node_free_below(space, node->below[__builtin_ctzll(rest)].node, level - 1);
	node_free(space, node);
}

void iova_tree_exit(struct iova_space *space)
{
	struct iova_tree *tree = &space->tree;
	struct iova_node *node;

	while (tree->spare) {
		node = tree->spare;
		tree->spare = node->below[0].node;
		node_free(space, node);
	}
	if (tree->root)
		node_free_below(space, tree->root, tree->root_level);
	memset(tree, 0, sizeof(*tree));
}

/*
 * Changing: [first, last] counts from the start of the node or slot at hand. What
 * changes it says whether the node's largest free block may be another now; most
 * changes stop mattering a level or two up.
 */

static bool node_set(struct iova_space *space, struct iova_node *node, unsigned int level,
		     uint64_t first, uint64_t last, bool free);

static void slot_split(struct iova_tree *tree, struct iova_node *node, unsigned int level,
		       unsigned int slot)
{
	uint64_t all = node->free & 1ULL << slot ? ~0ULL : 0;

	if (level == 1) {
		node->below[slot].word = all;
	} else {
		node->below[slot].node = spare_take(tree);
		node->below[slot].node->free = all;
	}
	node->free &= ~(1ULL << slot);
	node->split |= 1ULL << slot;
}

/* The slot has become free as a whole. */
static void slot_merge(struct iova_space *space, struct iova_node *node, unsigned int level,
		       unsigned int slot)
{
	if (level > 1)
		spare_put(space, node->below[slot].node);
	node->below[slot].word = 0;
	node->best[slot] = 0;
	node->open &= ~(1ULL << slot);
	node->split &= ~(1ULL << slot);
	node->free |= 1ULL << slot;
}

/* A part of one slot. */
static bool slot_set(struct iova_space *space, struct iova_node *node, unsigned int level,
		     unsigned int slot, uint64_t first, uint64_t last, bool free)
{
	unsigned int best = node->best[slot];
	bool was_split = node->split & 1ULL << slot;
	struct iova_node *below;
	uint64_t mask;

	if (!was_split)
		slot_split(&space->tree, node, level, slot);
	if (level == 1) {
		mask = slots_mask((unsigned int)first, (unsigned int)last);
		if (free)
			node->below[slot].word |= mask;
		else
			node->below[slot].word &= ~mask;
		mask = node->below[slot].word;
		node->best[slot] = (uint8_t)longest_run(mask);
	} else {
		below = node->below[slot].node;
		if (node_set(space, below, level - 1, first, last, free))
			node->best[slot] = (uint8_t)node_best(below, level - 1);
		mask = below->free;
	}
	node->open &= ~(1ULL << slot);
	node->open |= (uint64_t)(node->best[slot] != 0) << slot;
	if (mask == ~0ULL)
		slot_merge(space, node, level, slot);
	return !was_split || node->best[slot] != best;
}

static bool node_set(struct iova_space *space, struct iova_node *node, unsigned int level,
		     uint64_t first, uint64_t last, bool free)
{
	unsigned int shift = SLOT_BITS * level;
	uint64_t within = slot_span(level) - 1;
	unsigned int a = (unsigned int)(first >> shift);
	unsigned int b = (unsigned int)(last >> shift);
	bool changed = false;

	if (a == b && ((first & within) || (last & within) != within))
		return slot_set(space, node, level, a, first & within, last & within, free);
	if (first & within)
		changed |= slot_set(space, node, level, a++, first & within, within, free);
	if ((last & within) != within)
		changed |= slot_set(space, node, level, b, 0, last & within, free);
	else
		b++;
	if (a == b)
		return changed;
	if (free)
		node->free |= slots_mask(a, b - 1);
	else
		node->free &= ~slots_mask(a, b - 1);
	return true;
}

void iova_tree_take(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	node_set(space, space->tree.root, space->tree.root_level, first_pfn, last_pfn, false);
}

void iova_tree_release(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn)
{
	node_set(space, space->tree.root, space->tree.root_level, first_pfn, last_pfn, true);
}

/* Looking */

static bool node_is_free(const struct iova_node *node, unsigned int level, uint64_t first,
			 uint64_t last);

static bool slot_is_free(const struct iova_node *node, unsigned int level, unsigned int slot,
			 uint64_t first, uint64_t last)
{
	uint64_t mask;

	if (node->free & 1ULL << slot)
		return true;
	if (!(node->split & 1ULL << slot))
		return false;
	if (level > 1)
		return node_is_free(node->below[slot].node, level - 1, first, last);
	mask = slots_mask((unsigned int)first, (unsigned int)last);
	return (node->below[slot].word & mask) == mask;
}

static bool node_is_free(const struct iova_node *node, unsigned int level, uint64_t first,
			 uint64_t last)
{
	unsigned int shift = SLOT_BITS * level;
	uint64_t within = slot_span(level) - 1;
	unsigned int a = (unsigned int)(first >> shift);
	unsigned int b = (unsigned int)(last >> shift);
	uint64_t inner;

	if (a == b)
		return slot_is_free(node, level, a, first & within, last & within);
	if (!slot_is_free(node, level, a, first & within, within) ||
	    !slot_is_free(node, level, b, 0, last & within))
		return false;
	if (b - a == 1)
		return true;
	inner = slots_mask(a + 1, b - 1);
	return (node->free & inner) == inner;
}

bool iova_tree_is_free(const struct iova_tree *tree, uint64_t first_pfn, uint64_t last_pfn)
{
	return node_is_free(tree->root, tree->root_level, first_pfn, last_pfn);
}

/* Searching: `base` is the node's first pfn, `limit` the last pfn a block may have */

/* The highest run of 2^@order pfns, in slots of 2^@shift pfns. */
static uint64_t run_find(uint64_t free, unsigned int shift, uint64_t base, unsigned int order,
			 uint64_t limit)
{
	uint64_t below_limit = (limit - base + 1) >> shift;
	unsigned int run = order - shift;
	uint64_t starts = aligned_runs(free, run);

	if (below_limit < 1ULL << run)
		return 0;
	if (below_limit < SLOTS)
		starts &= slots_mask(0, (unsigned int)(below_limit - (1ULL << run)));
	return starts ? base + ((uint64_t)highest(starts) << shift) : 0;
}

/*
 * Every slot that claims a block has one under the limit, but for the one slot that
 * the limit cuts: so a search descends twice at most.
 */
static uint64_t block_find(struct iova_tree *tree, const struct iova_node *node, unsigned int level,
			   uint64_t base, unsigned int order, uint64_t limit)
{
	unsigned int shift = SLOT_BITS * level;
	uint64_t cut = (limit - base) >> shift;
	uint64_t slots = node->free | node->open;
	uint64_t pfn, start, last;
	unsigned int slot;

	tree->visited++;
	if (order >= shift)
		return run_find(node->free, shift, base, order, limit);
	if (cut < SLOTS)
		slots &= slots_mask(0, (unsigned int)cut);
	for (; slots; slots &= ~(1ULL << slot)) {
		slot = highest(slots);
		start = base + ((uint64_t)slot << shift);
		last = start + slot_span(level) - 1 < limit ? start + slot_span(level) - 1 : limit;
		if (node->free & 1ULL << slot) {
			pfn = align_down(last + 1, 1ULL << order) - (1ULL << order);
			if (last + 1 - start >= 1ULL << order)
				return pfn;
			continue;
		}
		if (node->best[slot] <= order)
			continue;
		pfn = level > 1 ? block_find(tree, node->below[slot].node, level - 1, start, order,
					     limit)
				: run_find(node->below[slot].word, 0, start, order, limit);
		if (pfn)
			return pfn;
	}
	return 0;
}

uint64_t iova_tree_find_block(struct iova_tree *tree, uint64_t pages, unsigned int order,
			      uint64_t limit_pfn)
{
	uint64_t end = slot_span(tree->root_level) * SLOTS;
	uint64_t unused = (1ULL << order) - pages;

	if (order >= SLOT_BITS * (tree->root_level + 1))
		return 0;
	if (limit_pfn >= end - unused)
		limit_pfn = end - 1;
	else
		limit_pfn += unused;
	return block_find(tree, tree->root, tree->root_level, 0, order, limit_pfn);
}

struct start_search {
	struct iova_tree *tree;
	uint64_t pages;
	unsigned int order; /* of the alignment */
	unsigned int head_order; /* of the largest block that every fitting range starts with */
	uint64_t limit;
};

static bool start_fits(const struct start_search *search, uint64_t pfn)
{
	return pfn && !(pfn & ((1ULL << search->order) - 1)) && pfn <= search->limit &&
	       search->pages - 1 <= search->limit - pfn &&
	       iova_tree_is_free(search->tree, pfn, pfn + search->pages - 1);
}

/* The starts at free runs of slots; the head is at least a slot. */
static uint64_t start_find_run(const struct start_search *search, uint64_t free, unsigned int shift,
			       uint64_t base)
{
	uint64_t starts = aligned_runs(free, search->head_order - shift);
	unsigned int slot;

	search->tree->visited++;
	for (; starts; starts &= ~(1ULL << slot)) {
		slot = highest(starts);
		if (start_fits(search, base + ((uint64_t)slot << shift)))
			return base + ((uint64_t)slot << shift);
	}
	return 0;
}

/* The start in a slot that is free as a whole and larger than the head. */
static uint64_t start_find_free(const struct start_search *search, uint64_t start, uint64_t span)
{
	uint64_t last = start + span - 1 < search->limit ? start + span - 1 : search->limit;
	uint64_t pfn;

	if (last - start < search->pages - 1)
		return 0;
	pfn = align_down(last - (search->pages - 1), 1ULL << search->order);
	return pfn >= start && start_fits(search, pfn) ? pfn : 0;
}

static uint64_t start_find(const struct start_search *search, const struct iova_node *node,
			   unsigned int level, uint64_t base)
{
	unsigned int shift = SLOT_BITS * level;
	uint64_t slots = node->free | node->open;
	uint64_t start, pfn;
	unsigned int slot;

	if (search->head_order >= shift)
		return start_find_run(search, node->free, shift, base);
	search->tree->visited++;
	for (; slots; slots &= ~(1ULL << slot)) {
		slot = highest(slots);
		start = base + ((uint64_t)slot << shift);
		/* An aligned start lies in the slot, or is its first pfn. */
		if (start > search->limit ||
		    (search->order > shift && start & ((1ULL << search->order) - 1)))
			continue;
		if (node->free & 1ULL << slot)
			pfn = start_find_free(search, start, slot_span(level));
		else if (node->best[slot] <= search->head_order)
			continue;
		else if (level > 1)
			pfn = start_find(search, node->below[slot].node, level - 1, start);
		else
			pfn = start_find_run(search, node->below[slot].word, 0, start);
		if (pfn)
			return pfn;
	}
	return 0;
}

uint64_t iova_tree_find_start(struct iova_tree *tree, uint64_t pages, unsigned int order,
			      uint64_t limit_pfn)
{
	struct start_search search = {
		.tree = tree,
		.pages = pages,
		.order = order,
		.head_order = 63 - (unsigned int)__builtin_clzll(pages),
		.limit = limit_pfn,
	};

	if (order >= SLOT_BITS * (tree->root_level + 1))
		return 0;
	return start_find(&search, tree->root, tree->root_level, 0);
}
