/* SPDX-License-Identifier: MIT */
/* The table of figures. */
#include "bench.h"

#define RAW .unit = "ns", .limit = LIMIT_RAW
/* What misuse checks cost: the same operation with them and without. */
#define CHECKED                                                                      \
	.unit = "ns", .device = ON_CHECKED, .limit = LIMIT_UNCHECKED, .plain = true, \
	.target = {[VARIANT_IDLE] = 3}
#define BOUNCED                                                               \
	.unit = "ns", .pages = 1, .run = bench_bounce, .device = ON_BOUNCING, \
	.limit = LIMIT_COPIES, .plain = true, .target = {[VARIANT_IDLE] = 1}

/* Regions of a page, every other page of memory. */
#define PREMAPPED .unit = "ns", .device = ON_AHEAD, .limit = LIMIT_LOOK_UP, .plain = true
#define TRANSLATED PREMAPPED, .run = bench_premap, .target = {[VARIANT_IDLE] = 1.5}

const struct bench_figure bench_figures[] = {
	{.name = "raw_scalar",
	 .unit = "ns",
	 .pages = BENCH_RAW_PAGES,
	 .plain = true,
	 .run = raw_scalar},
	{.name = "raw_vector",
	 .unit = "ns",
	 .pages = BENCH_RAW_PAGES,
	 .plain = true,
	 .run = raw_vector},
	{.name = "clear_256",
	 .unit = "ns",
	 .pages = BENCH_RAW_PAGES,
	 .plain = true,
	 .run = raw_clear},
	{.name = "empty_call", .unit = "ns", .plain = true, .run = raw_call},

	{.name = "link_vec_256",
	 RAW,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_link_vec,
	 .target = {[VARIANT_IDLE] = 2}},
	{.name = "link_page_256",
	 RAW,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_link_page,
	 .target = {[VARIANT_IDLE] = 10}},
	{.name = "destroy_256",
	 .unit = "ns",
	 .limit = LIMIT_CLEAR,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_destroy},
	{.name = "transaction_1", RAW, .pages = 1, .needs_iova = true, .run = bench_transaction},
	{.name = "transaction_16", RAW, .pages = 16, .needs_iova = true, .run = bench_transaction},
	{.name = "transaction_256",
	 RAW,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_transaction,
	 .target = {[VARIANT_IDLE] = 3}},
	{.name = "transaction_512", RAW, .pages = 512, .needs_iova = true, .run = bench_transaction},
	{.name = "map_unmap_4k",
	 RAW,
	 .pages = 1,
	 .run = bench_map_unmap,
	 .target = {[VARIANT_IDLE] = 0.35, [VARIANT_BUSY] = 2.5, [VARIANT_BUSY_GATHER] = 0.6}},
	{.name = "map_sg_256",
	 .unit = "ns",
	 .limit = LIMIT_TWO_STEP,
	 .pages = 256,
	 .plain = true,
	 .needs_iova = true,
	 .run = bench_map_sg,
	 .target = {[VARIANT_IDLE] = 1.5}},
	{.name = "sg_transaction_256",
	 RAW,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_sg_transaction},
	{.name = "iova_alloc_free_1",
	 RAW,
	 .pages = 1,
	 .needs_iova = true,
	 .run = bench_iova_alloc_free,
	 .target = {[VARIANT_IDLE] = 0.08}},

	{.name = "checked_map_unmap_4k", CHECKED, .pages = 1, .run = bench_map_unmap},
	{.name = "checked_link_page_256",
	 CHECKED,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_link_page},
	{.name = "checked_transaction_256",
	 CHECKED,
	 .pages = 256,
	 .needs_iova = true,
	 .run = bench_transaction},

	{.name = "lazy_map_unmap_4k",
	 .unit = "ns",
	 .device = ON_LAZY,
	 .limit = LIMIT_STRICT,
	 .plain = true,
	 .needs_iova = true,
	 .pages = 1,
	 .run = bench_map_unmap,
	 .target = {[VARIANT_IDLE] = 1}},

	{.name = "bounce_map_unmap_4k", BOUNCED, .threads = 1},
	{.name = "bounce_map_unmap_4k_2threads", BOUNCED, .threads = 2},

	{.name = "premap_translate_1k", TRANSLATED, .regions = 1000},
	{.name = "premap_translate_64k", TRANSLATED, .regions = 65536},
	{.name = "premap_translate_1m", TRANSLATED, .regions = 1000000},
	{.name = "premap_map_1k", PREMAPPED, .regions = 1000, .run = bench_premap_map},

	{.name = "unrelated_iotlb_hit_rate",
	 .unit = "ratio",
	 .plain = true,
	 .needs_iova = true,
	 .needs_bus = true,
	 .run = bench_unrelated},
};

const size_t bench_nr_figures = sizeof(bench_figures) / sizeof(bench_figures[0]);

const char *const bench_suffix[NR_VARIANTS] = {
	[VARIANT_IDLE] = "",
	[VARIANT_BUSY] = "_busy",
	[VARIANT_GATHER] = "_gather32",
	[VARIANT_BUSY_GATHER] = "_busy_gather32",
};
