/* SPDX-License-Identifier: MIT */
/*
 * One mode from open to close. One request is in flight at a time: its figures
 * are taken with nothing else in the space but the engine's own rings.
 */
#include <string.h>

#include "demo.h"
#include "tool.h"

#define TIMEOUT_MS 30000

/* No byte of a file made at random keeps this for a whole page: stale data is seen. */
#define POISON 0xa5

struct demo_run {
	const struct demo_mode *mode;
	const struct demo_file *file;
	struct demo_result *result;
	struct dma_dev *dev;
	struct ts_copy *copy;
	struct demo_side source;
	struct demo_side target;
	struct dma_stats idle; /* before the first request */
};

static void read_stats(const struct demo_run *run, struct dma_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	dma_space_stats(dma_dev_space(run->dev), stats);
}

static void count_work(struct demo_result *result, const struct dma_stats *before,
		       const struct dma_stats *after)
{
	result->iova_allocs += after->iova_allocs - before->iova_allocs;
	result->pte_writes += after->pte_writes - before->pte_writes;
	result->iotlb_invalidations += after->iotlb_invalidations - before->iotlb_invalidations;
}

/* Pick new pages for @len bytes; only the last one may be a part of a page. */
static void lay_out(struct demo_side *side, size_t len)
{
	side->nr = (len + POOL_PAGE - 1) / POOL_PAGE;
	side->bytes = len;
	pool_pick(&side->pool, side->nr);
	pool_vec(&side->pool, side->vec, side->nr);
	side->vec[side->nr - 1].len = len - (side->nr - 1) * POOL_PAGE;
}

static bool fill_source(struct demo_run *run, uint64_t offset)
{
	for (size_t i = 0; i < run->source.nr; i++) {
		if (!demo_file_read(run->file, offset, pool_page(&run->source.pool, i),
				    run->source.vec[i].len))
			return false;
		offset += run->source.vec[i].len;
	}
	for (size_t i = 0; i < run->target.nr; i++)
		memset(pool_page(&run->target.pool, i), POISON, POOL_PAGE);
	return true;
}

static bool map_sides(struct demo_run *run)
{
	struct demo_result *result = run->result;
	struct dma_stats before, after;
	uint64_t start, metadata;

	read_stats(run, &before);
	start = tool_clock_ns();
	if (!demo_map(run->dev, run->mode, &run->source)) {
		tool_say_dma("cannot map the source of a request (mode %s)", run->mode->name);
		return false;
	}
	if (!demo_map(run->dev, run->mode, &run->target)) {
		tool_say_dma("cannot map the destination of a request (mode %s)", run->mode->name);
		demo_unmap(run->dev, &run->source);
		return false;
	}
	result->map_ns += tool_clock_ns() - start;
	read_stats(run, &after);
	count_work(result, &before, &after);
	result->pages += run->source.nr + run->target.nr;
	if (run->mode->link)
		result->fallbacks += (uint64_t)!dma_use_iova(&run->source.state) +
				     (uint64_t)!dma_use_iova(&run->target.state);
	metadata = demo_kept(&run->source) + demo_kept(&run->target);
	if (after.metadata_bytes > run->idle.metadata_bytes)
		metadata += after.metadata_bytes - run->idle.metadata_bytes;
	if (metadata > result->metadata_bytes)
		result->metadata_bytes = metadata;
	return true;
}

static void unmap_sides(struct demo_run *run)
{
	struct dma_stats before, after;
	uint64_t start;

	read_stats(run, &before);
	start = tool_clock_ns();
	demo_unmap(run->dev, &run->source);
	demo_unmap(run->dev, &run->target);
	run->result->unmap_ns += tool_clock_ns() - start;
	read_stats(run, &after);
	count_work(run->result, &before, &after);
}

static bool transfer(struct demo_run *run, uint64_t cookie)
{
	struct ts_copy_result ended = {0};
	int err;

	demo_segments(&run->source);
	demo_segments(&run->target);
	err = ts_copy_submit(run->copy, run->source.seg, run->source.nr_segs, run->target.seg,
			     run->target.nr_segs, cookie);
	if (err) {
		tool_say_dma("the copy engine does not take request %llu",
			     (unsigned long long)cookie);
		return false;
	}
	err = ts_copy_wait(run->copy, &ended, TIMEOUT_MS);
	if (err) {
		tool_say("the copy engine does not end request %llu: %s",
			 (unsigned long long)cookie, strerror(-err));
		return false;
	}
	if (ended.status || ended.cookie != cookie || ended.bytes != run->source.bytes) {
		tool_say("request %llu ended after %llu of %zu bytes: %s, address 0x%llx",
			 (unsigned long long)cookie, (unsigned long long)ended.bytes,
			 run->source.bytes, ts_copy_status_name(ended.code),
			 (unsigned long long)ended.fault_addr);
		return false;
	}
	return true;
}

static bool run_request(struct demo_run *run, uint64_t offset, struct digest *digest)
{
	uint64_t left = run->file->bytes - offset;
	size_t len = left < DEMO_REQUEST ? (size_t)left : DEMO_REQUEST;
	bool good;

	lay_out(&run->source, len);
	lay_out(&run->target, len);
	if (!fill_source(run, offset) || !map_sides(run))
		return false;
	good = transfer(run, offset / DEMO_REQUEST);
	unmap_sides(run);
	for (size_t i = 0; good && i < run->target.nr; i++)
		digest_add(digest, pool_page(&run->target.pool, i), run->target.vec[i].len);
	run->result->requests += good;
	return good;
}

static bool run_requests(struct demo_run *run, uint64_t done_before)
{
	struct digest digest;
	bool good = true;

	digest_begin(&digest);
	for (uint64_t offset = 0; good && offset < run->file->bytes; offset += DEMO_REQUEST) {
		good = run_request(run, offset, &digest);
		if (good)
			progress_step(done_before + offset + DEMO_REQUEST);
	}
	if (!digest_end(&digest, run->result->sha256) && good) {
		tool_say("libcrypto cannot compute a SHA-256");
		return false;
	}
	return good;
}

static bool open_engine(struct demo_run *run, const char *uri)
{
	struct dma_pgtable_info table;

	if (dma_dev_open(uri, &run->dev)) {
		tool_say_dma("cannot open the device '%s'", uri);
		return false;
	}
	if (dma_set_mask_and_coherent(run->dev, DMA_BIT_MASK(64))) {
		tool_say_dma("cannot set the DMA mask of '%s'", uri);
		return false;
	}
	if (ts_copy_open(run->dev, 4, &run->copy)) {
		tool_say_dma("cannot use '%s' as a copy engine", uri);
		return false;
	}
	strcpy(run->result->format, "none");
	if (!dma_space_pgtable(dma_dev_space(run->dev), &table)) {
		snprintf(run->result->format, sizeof(run->result->format), "%s", table.format);
		run->result->levels = table.levels;
	}
	return true;
}

static void close_engine(struct demo_run *run)
{
	ts_copy_close(run->copy);
	dma_dev_close(run->dev);
	pool_close(&run->source.pool);
	pool_close(&run->target.pool);
}

bool demo_mode_run(const struct demo_mode *mode, const char *uri, const struct demo_file *file,
		   uint64_t done_before, struct demo_result *result)
{
	struct demo_run run = {
		.mode = mode,
		.file = file,
		.result = result,
		.source.dir = DMA_TO_DEVICE,
		.target.dir = DMA_FROM_DEVICE,
	};
	uint64_t start = tool_clock_ns();
	struct dma_stats after;
	bool good;

	memset(result, 0, sizeof(*result));
	good = pool_open(&run.source.pool, DEMO_POOL_PAGES, 1) &&
	       pool_open(&run.target.pool, DEMO_POOL_PAGES, 2) && open_engine(&run, uri);
	if (good) {
		read_stats(&run, &run.idle);
		good = run_requests(&run, done_before);
		read_stats(&run, &after);
		result->faults = after.faults - run.idle.faults;
		result->leaks = after.iova_live - run.idle.iova_live;
	}
	close_engine(&run);
	result->total_ns = tool_clock_ns() - start;
	return good;
}
