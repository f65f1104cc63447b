/* SPDX-License-Identifier: MIT */
/* What is left: leaks and memory that has gone, when somebody asks and at the end. */
#include "debug/states.h"

typedef unsigned long long ull;

/* Leaks with a history; further ones go without, as each costs a look at every ring. */
#define LEAK_HISTORIES 64

struct check {
	int reports;
	bool probe;
};

static struct debug_finding finding_of(const struct debug_range *range, enum dma_debug_kind kind)
{
	return (struct debug_finding){
		.kind = kind,
		.dev = (const struct dma_dev *)(uintptr_t)(range->head & POINTER_MASK),
		.addr = range->addr,
		.size = size_of(range->size),
		.caller = site_caller(range->made),
		.origin = site_caller(range->made),
	};
}

/* What is linked in a reservation: bytes, in granules, and the first memory. */
static uint64_t linked_bytes(struct debug *debug, const struct debug_range *range,
			     phys_addr_t *phys)
{
	uint64_t pfn = range->addr >> GRANULE_SHIFT, end = pfn + range_pages(range), nr = 0;

	while ((pfn = debug_first_granule(debug, pfn, end - pfn, true)) != UINT64_MAX) {
		if (!nr++)
			debug_granule(debug, pfn << GRANULE_SHIFT, phys);
		pfn++;
	}
	return nr << GRANULE_SHIFT;
}

static void leak(struct debug *debug, const struct debug_range *range, struct check *check)
{
	struct debug_finding finding = finding_of(range, DMA_DEBUG_LEAK);
	uint64_t linked;

	finding.brief = check->reports >= LEAK_HISTORIES;
	check->reports++;
	if (range->head & RANGE_STREAMING) {
		finding.phys = range->memory;
		debug_report(debug, &finding,
			     "a mapping of %llu bytes at 0x%llx, of memory 0x%llx with %s, is "
			     "live; end it with %s",
			     (ull)finding.size, (ull)finding.addr, (ull)finding.phys,
			     debug_dir_name(site_dir(range->made)),
			     range->head & RANGE_SG ? "dma_unmap_sg_attrs()" : "dma_unmap_phys()");
		return;
	}
	if (range->head & RANGE_ALLOCATED) {
		finding.phys = range->memory;
		debug_report(
			debug, &finding,
			"%llu bytes at 0x%llx, memory 0x%llx of %s, are live; end them with %s",
			(ull)finding.size, (ull)finding.addr, (ull)finding.phys,
			debug_alloc_name(range->head), debug_free_name(range->head));
		return;
	}
	linked = linked_bytes(debug, range, &finding.phys);
	debug_report(debug, &finding,
		     "a reservation of %llu bytes at 0x%llx, with %llu bytes linked, is live; end "
		     "it with dma_iova_destroy()",
		     (ull)finding.size, (ull)finding.addr, (ull)linked);
}

/* Whether memory of the range has gone; where, in @finding. */
static bool find_gone(struct debug *debug, const struct debug_range *range,
		      struct debug_finding *finding)
{
	uint64_t pfn = range->addr >> GRANULE_SHIFT, end = pfn + range_pages(range);
	uint32_t word;

	if (range->head & RANGE_SG)
		return false; /* where its pieces are is not known */
	if (!(range->head & RANGE_TWO_STEP)) {
		finding->phys = range->memory;
		return memory_is_gone(range->memory, range->size);
	}
	while ((pfn = debug_first_granule(debug, pfn, end - pfn, true)) != UINT64_MAX) {
		finding->addr = pfn << GRANULE_SHIFT;
		finding->size = GRANULE;
		word = debug_granule(debug, finding->addr, &finding->phys);
		/* Read before and after: what was unlinked meanwhile may rightly be gone. */
		if (word & GRANULE_LINKED && memory_is_gone(finding->phys, GRANULE) &&
		    debug_granule(debug, finding->addr, NULL) == word) {
			finding->caller = site_caller(debug_site_of(debug, word));
			finding->origin = finding->caller;
			return true;
		}
		pfn++;
	}
	return false;
}

static void look(struct debug *debug, const struct debug_range *range, void *arg)
{
	struct debug_finding finding = finding_of(range, DMA_DEBUG_MEMORY_GONE);
	struct check *check = arg;

	leak(debug, range, check);
	if (!check->probe || !find_gone(debug, range, &finding) || !debug_still_live(debug, range))
		return;
	check->reports++;
	debug_report(debug, &finding,
		     "0x%llx is %s to 0x%llx, where no memory is any more; unlink or unmap before "
		     "memory is freed",
		     (ull)finding.addr, range->head & RANGE_TWO_STEP ? "linked" : "mapped",
		     (ull)finding.phys);
}

int debug_check(struct base_observer *observer)
{
	struct debug *debug = debug_of(observer);
	struct check check = {.probe = true};

	memory_text_refresh();
	debug_for_each_range(debug, look, &check);
	return check.reports + debug_gathers_open(debug);
}

void debug_closing(struct base_observer *observer)
{
	struct debug *debug = debug_of(observer);
	struct check check = {.probe = false};

	debug_for_each_range(debug, look, &check);
	debug_gathers_open(debug);
}
