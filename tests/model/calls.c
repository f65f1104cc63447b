/* SPDX-License-Identifier: MIT */
/* The driver's calls, each made on the library and on the model. */
#include "calls.h"

/* What is looked at after each call. */

bool check_stats(struct run *run, bool misused)
{
	struct dma_bounce_stats lent;
	struct dma_stats stats;

	AGREE(run, !dma_space_stats(run->space, &stats), "dma_space_stats() fails");
	AGREE(run, stats.iova_live == run->live, "%llu ranges are live and should be %llu",
	      ull(stats.iova_live), ull(run->live));
	AGREE(run, stats.bytes_mapped == run->mapped_pages * PAGE,
	      "%lld bytes are mapped and should be %lld", (long long)stats.bytes_mapped,
	      (long long)(run->mapped_pages * PAGE));
	AGREE(run, stats.faults == run->faults, "%llu faults are counted and should be %llu",
	      ull(stats.faults), ull(run->faults));
	AGREE(run, (stats.misuse > run->misuse) == misused, "the call %s",
	      misused ? "is misuse and is not counted" : "is no misuse and is counted");
	run->misuse = stats.misuse;
	dma_bounce_stats(NULL, &lent);
	AGREE(run, lent.used == run->nr_bounced * PAGE,
	      "%llu bytes of bounce buffers are in use and should be %llu", ull(lent.used),
	      ull(run->nr_bounced * PAGE));
	return true;
}

static bool check_granule(struct run *run, const struct range *range, uint64_t i)
{
	dma_addr_t iova = (range->pfn + i) * PAGE;
	const struct granule *granule = &range->granule[i];
	phys_addr_t phys = 0;
	bool found = run->be->ops->lookup(run->be, iova, &phys);

	AGREE(run, found == (granule->page != NOTHING), "0x%llx should %sbe linked", ull(iova),
	      granule->page == NOTHING ? "not " : "");
	if (found && granule->bounced)
		AGREE(run,
		      phys != page_phys(run, granule->page) &&
			      !memcmp((const void *)(uintptr_t)phys, granule->bounced->bytes, PAGE),
		      "the copy that is linked at 0x%llx has other bytes", ull(iova));
	else if (found)
		AGREE(run, phys == page_phys(run, granule->page),
		      "0x%llx leads to 0x%llx and should lead to page %d, 0x%llx", ull(iova),
		      ull(phys), granule->page, ull(page_phys(run, granule->page)));
	return true;
}

static bool check_whole_range(struct run *run, const struct range *range)
{
	for (uint64_t i = 0; i < range->pages; i++)
		if (!check_granule(run, range, i))
			return false;
	return true;
}

/* The ends, and some between. */
bool check_range(struct run *run, const struct range *range)
{
	if (range->pages <= 16)
		return check_whole_range(run, range);
	for (unsigned int i = 0; i < 4; i++)
		if (!check_granule(run, range, i) ||
		    !check_granule(run, range, range->pages - 1 - i) ||
		    !check_granule(run, range, below(run, range->pages)))
			return false;
	return true;
}

/* A call has failed: nothing has changed, neither in the table nor for devices. */
bool check_unchanged(struct run *run, const struct range *range)
{
	if (!check_whole_range(run, range))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		if (!probe(run, (range->pfn + below(run, range->pages)) * PAGE))
			return false;
	return true;
}

bool run_check(struct run *run)
{
	for (unsigned int i = 0; i < RANGES; i++)
		if (run->range[i].kind != UNUSED && !check_whole_range(run, &run->range[i]))
			return false;
	return check_memory(run) && check_stats(run, false);
}

/* Drawing. */

enum dma_data_direction any_direction(struct run *run)
{
	switch (below(run, 20)) {
	case 0:
		return DMA_NONE;
	case 1 ... 4:
		return DMA_TO_DEVICE;
	case 5 ... 8:
		return DMA_FROM_DEVICE;
	default:
		return DMA_BIDIRECTIONAL;
	}
}

unsigned long any_attrs(struct run *run)
{
	static const unsigned long attrs[] = {
		DMA_ATTR_WEAK_ORDERING,
		DMA_ATTR_SKIP_CPU_SYNC,
		DMA_ATTR_NO_WARN,
		DMA_ATTR_MMIO,
		DMA_ATTR_PRIVILEGED,
		DMA_ATTR_MMIO,
		DMA_ATTR_REQUIRE_COHERENT,
		DMA_ATTR_CC_SHARED,
		1UL << 40,
		1UL << 63,
	};

	return one_in(run, 4) ? attrs[below(run, ARRAY_SIZE(attrs))] : 0;
}

bool any_ending(struct run *run, enum dma_data_direction *dir, unsigned long *attrs)
{
	static const unsigned long some[] = {0, 0, 0, DMA_ATTR_SKIP_CPU_SYNC, DMA_ATTR_NO_WARN};

	*dir = (enum dma_data_direction)below(run, 3);
	*attrs = some[below(run, ARRAY_SIZE(some))];
	return *dir != DMA_TO_DEVICE && *attrs != DMA_ATTR_SKIP_CPU_SYNC;
}

struct range *any_range(struct run *run, enum range_kind kind)
{
	unsigned int slot = (unsigned int)below(run, RESERVATIONS);

	return &run->range[kind == RESERVED ? slot : RESERVATIONS + slot];
}

unsigned int slot_of(const struct run *run, const struct range *range)
{
	return (unsigned int)(range - run->range);
}

/* A gather for the next call, or NULL; @really: the call will be gathered. */
struct dma_gather *any_gather(struct run *run, bool *really)
{
	*really = false;
	/* A gather that is full makes some of it final: which copies is not for us to say. */
	if (run->config->bounces && run->gathered == DMA_GATHER_RANGES)
		end_gather(run);
	if (!run->gathering || one_in(run, 4))
		return NULL;
	*really = run->gather_is_ours;
	run->gathered += *really;
	return &run->gather;
}

/* Let the library run out of memory somewhere in the next call. */
bool starve(struct run *run)
{
	if (!one_in(run, 16))
		return false;
	base_alloc_fail(1 + below(run, 3));
	return true;
}

void feed(void)
{
	base_alloc_fail(0);
}

/* The rest of the address space. */

static bool set_mask(struct run *run)
{
	static const unsigned int bits[] = {13, 16, 20, 22, 24, 28, 32, 32, 36, 40, 48, 64};
	unsigned int device = (unsigned int)below(run, DEVICES);
	uint64_t mask = DMA_BIT_MASK(bits[below(run, ARRAY_SIZE(bits))]);
	uint64_t last = DMA_BIT_MASK(run->config->va_bits);
	int err, expected;

	/* Small masks do not last long. */
	if (run->limit_pfn[device] < DMA_BIT_MASK(24) / PAGE)
		mask = DMA_BIT_MASK(32 + below(run, 33));
	/* Also masks that do not end with a granule, and those that reach nothing. */
	if (one_in(run, 6))
		mask += below(run, 4 * PAGE);
	else if (one_in(run, 6))
		mask = below(run, 3 * PAGE);
	expected = mask < 2 * PAGE - 1 ? -EIO : 0;
	err = dma_set_mask(run->dev[device], mask);
	tell(run, "mask of device %u: 0x%llx = %d", device, ull(mask), err);
	AGREE(run, err == expected, "dma_set_mask(0x%llx) answers %d", ull(mask), err);
	if (err)
		return true;
	if (last > mask)
		last = mask;
	run->limit_pfn[device] = (last + 1) / PAGE - 1;
	if (mask == UINT64_MAX && run->config->va_bits == 64)
		run->limit_pfn[device] = UINT64_MAX / PAGE;
	return true;
}

static bool reserve_window(struct run *run)
{
	const struct range *near = &run->range[below(run, RANGES)];
	dma_addr_t start = one_in(run, 2) && near->kind != UNUSED
				   ? near->pfn * PAGE + below(run, (near->pages + 4) * PAGE)
				   : below(run, 1ULL << 22);
	dma_addr_t last = start + below(run, 6 * PAGE) - one_in(run, 8) * 2 * PAGE;
	uint64_t first_pfn = start / PAGE, pages = last / PAGE - first_pfn + 1;
	bool starved;
	int err;

	if (run->nr_windows == WINDOWS || last > 1ULL << 62)
		return true;
	starved = starve(run);
	err = dma_space_reserve(run->space, start, last);
	feed();
	tell(run, "reserve the window 0x%llx-0x%llx = %d", ull(start), ull(last), err);
	if (last < start) {
		AGREE(run, err == -EINVAL, "a window that ends before it starts: %d", err);
		return true;
	}
	if (starved && err == -ENOMEM)
		return true;
	AGREE(run, err == 0 || err == -EADDRINUSE, "dma_space_reserve() answers %d", err);
	AGREE(run, err || !in_use(run, first_pfn, pages, true), "a window over what is in use");
	AGREE(run, !err || in_use(run, first_pfn, pages, false),
	      "a window over nothing is refused");
	if (err)
		return true;
	forget_leaving(run, first_pfn, pages);
	run->window[run->nr_windows].first = first_pfn;
	run->window[run->nr_windows++].last = last / PAGE;
	return true;
}

/* A part of a mapping, or of what is linked, is handed over, and back. */
static bool sync_single(struct run *run)
{
	const struct range *range = any_range(run, one_in(run, 2) ? MAPPED : RESERVED);
	struct dma_dev *dev = run->dev[one_in(run, 8) ? 0 : UNTRUSTED];
	/* A device that has bounced nothing since its mask was set is not looked at closer. */
	bool looks = dev->bounced;

	if (range->kind == UNUSED)
		return true;
	for (unsigned int i = 0; i < 4; i++) {
		size_t total = dma_iova_size(&range->state), offset = below(run, total);
		size_t len = 1 + below(run, total - offset);
		enum dma_data_direction dir = (enum dma_data_direction)below(run, 3);
		dma_addr_t addr = range->state.addr + offset;

		if (i % 2)
			dma_sync_single_for_device(dev, addr, len, dir);
		else
			dma_sync_single_for_cpu(dev, addr, len, dir);
		tell(run, "sync 0x%zx bytes at 0x%llx for the %s, direction %d", len, ull(addr),
		     i % 2 ? "device" : "CPU", (int)dir);
		if (looks && dir != (i % 2 ? DMA_FROM_DEVICE : DMA_TO_DEVICE))
			model_sync(run, range, addr, len, i % 2);
	}
	return check_range(run, range);
}

static bool set_min_align(struct run *run)
{
	static const unsigned int masks[] = {0, 0xff, 0x7ff, 0xfff};
	unsigned int device = (unsigned int)below(run, DEVICES);
	unsigned int mask = masks[below(run, ARRAY_SIZE(masks))];

	tell(run, "minimum alignment of device %u: 0x%x", device, mask);
	AGREE(run, !dma_set_min_align_mask(run->dev[device], mask), "%s", dma_last_error());
	run->min_align[device] = mask;
	return true;
}

/* Gathers. */

static bool begin_gather(struct run *run)
{
	if (run->gathering)
		return true;
	run->gathering = true;
	run->gather_is_ours = !one_in(run, 16);
	dma_gather_begin(run->gather_is_ours ? run->dev[below(run, DEVICES)] : NULL, &run->gather);
	tell(run, "begin a gather%s", run->gather_is_ours ? "" : " of no device");
	return true;
}

bool end_gather(struct run *run)
{
	if (!run->gathering)
		return true;
	dma_gather_end(&run->gather);
	model_end_gather(run);
	tell(run, "end the gather");
	return true;
}

/* The table of calls. */

static const struct {
	bool (*call)(struct run *run, bool *misused);
	bool (*plain)(struct run *run); /* the same without misuse */
	unsigned int weight;
} table[] = {
	{.call = call_reserve, .weight = 10},	{.call = call_link, .weight = 14},
	{.call = call_link_page, .weight = 12}, {.call = call_link_vec, .weight = 12},
	{.call = call_sync, .weight = 10},	{.call = call_unlink, .weight = 12},
	{.call = call_free, .weight = 2},	{.call = call_destroy, .weight = 7},
	{.call = call_free_again, .weight = 1}, {.call = call_map, .weight = 10},
	{.call = call_unmap, .weight = 9},	{.plain = device_read, .weight = 24},
	{.plain = device_write, .weight = 16},	{.plain = device_atomic, .weight = 4},
	{.plain = begin_gather, .weight = 2},	{.plain = end_gather, .weight = 1},
	{.plain = set_mask, .weight = 2},	{.plain = reserve_window, .weight = 1},
	{.plain = sync_single, .weight = 2},	{.plain = set_min_align, .weight = 1},
};

void draw_calls(struct call *calls, size_t nr, uint64_t seed)
{
	struct run random = {.random = seed * 0x9e3779b97f4a7c15ULL | 1};
	unsigned int weights = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		weights += table[i].weight;
	for (size_t i = 0; i < nr; i++) {
		uint64_t pick = below(&random, weights);
		uint8_t code = 0;

		while (pick >= table[code].weight)
			pick -= table[code++].weight;
		calls[i] = (struct call){code, random.random};
	}
}

bool run_call(struct run *run, const struct call *call)
{
	bool misused = false, agrees;

	run->random = call->seed | 1;
	/* No room to remember more. */
	if (run->nr_leaving == LEAVING && !end_gather(run))
		return false;
	if (table[call->code].call)
		agrees = table[call->code].call(run, &misused);
	else
		agrees = table[call->code].plain(run);
	return agrees && check_stats(run, misused);
}

/* The beginning and the end. */

static bool open_memory(struct run *run)
{
	struct dma_memory_desc desc = {.size = REGISTERED_PAGES * PAGE};
	uint64_t large = LARGE_PAGES * PAGE;

	run->plain = mmap(NULL, PLAIN_PAGES * PAGE + large, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	run->shadow = mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	run->fd = memfd_create("model", MFD_CLOEXEC);
	AGREE(run,
	      run->plain != MAP_FAILED && run->shadow != MAP_FAILED && run->fd >= 0 &&
		      !ftruncate(run->fd, REGISTERED_PAGES * PAGE),
	      "no memory for the model");
	run->registered =
		mmap(NULL, REGISTERED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, run->fd, 0);
	AGREE(run, run->registered != MAP_FAILED, "no memory for the model");
	run->plain = (uint8_t *)(uintptr_t)align_up((uintptr_t)run->plain, large);
	desc.fd = run->fd;
	AGREE(run, !dma_memory_register(&desc, &run->registered_base), "%s", dma_last_error());
	return true;
}

bool run_open(struct run *run, const struct config *config)
{
	run->config = config;
	if (!open_memory(run))
		return false;
	AGREE(run, !dma_dev_open(config->uri[0], &run->dev[0]), "%s", dma_last_error());
	run->space = dma_dev_space(run->dev[0]);
	AGREE(run, !dma_dev_open_in(config->uri[1], run->space, &run->dev[1]), "%s",
	      dma_last_error());
	run->be = run->space->be;
	for (unsigned int i = 0; i < DEVICES; i++)
		run->limit_pfn[i] = DMA_BIT_MASK(32) / PAGE;
	return true;
}

bool run_close(struct run *run)
{
	run->random = 1;
	if (!end_gather(run))
		return false;
	for (unsigned int i = 0; i < RANGES; i++)
		if (run->range[i].kind != UNUSED && !take_down(run, &run->range[i]))
			return false;
	if (!run_check(run))
		return false;
	AGREE(run, !run->live && !run->mapped_pages, "the model itself has something left");
	for (unsigned int i = DEVICES; i--;)
		dma_dev_close(run->dev[i]);
	AGREE(run, !dma_leak_count(), "%llu ranges were left", ull(dma_leak_count()));
	AGREE(run, !dma_memory_unregister(run->registered_base), "%s", dma_last_error());
	return true;
}
