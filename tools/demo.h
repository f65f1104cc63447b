/* SPDX-License-Identifier: MIT */
/*
 * The demo: a file goes through a DMA engine, request by request, in several
 * modes of mapping.
 *
 * demo.c	the verb: options, modes in turn, what is printed
 * demo_file.c	the file: given or made, read at an offset, its digest
 * demo_map.c	the modes: how the pages of one side of a request are mapped
 * demo_mode.c	one mode from open to close: requests, figures, digest of what came out
 *
 * Each mode opens the device anew, so that no mode finds tables or addresses
 * that another one left.
 */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <twostep.h>

#include "digest.h"
#include "pool.h"

#define DEMO_PAGES 256u
#define DEMO_REQUEST (DEMO_PAGES * POOL_PAGE)
#define DEMO_POOL_PAGES (16u * DEMO_PAGES)
#define DEMO_MADE_BYTES (64u << 20)

struct demo_file {
	int fd;
	const char *name; /* as sentences call it */
	uint64_t bytes;
	char sha256[DIGEST_TEXT];
};

/* Open @path, or make a file if it is NULL, and read it once. False: a sentence was printed. */
bool demo_file_open(struct demo_file *file, const char *path);
void demo_file_close(struct demo_file *file);
/* Read exactly @len bytes at @offset. False: a sentence was printed. */
bool demo_file_read(const struct demo_file *file, uint64_t offset, void *buf, size_t len);

/* One side of a request: what is mapped, and what its mapping gave. */
struct demo_side {
	enum dma_data_direction dir;
	struct pool pool;
	struct phys_vec vec[DEMO_PAGES];
	size_t nr;
	size_t bytes;

	struct dma_iova_state state; /* in use: two-step, else the addresses below */
	dma_addr_t addr[DEMO_PAGES];

	struct ts_copy_seg seg[DEMO_PAGES];
	size_t nr_segs;
};

/* A way to put the pages of a side into its reservation; NULL maps page by page. */
struct demo_mode {
	const char *name;
	int (*link)(struct dma_dev *dev, struct demo_side *side, size_t *linked);
};

extern const struct demo_mode demo_modes[];
#define DEMO_NR_MODES 3u

/* All or nothing. False: dma_last_error() says why. */
bool demo_map(struct dma_dev *dev, const struct demo_mode *mode, struct demo_side *side);
void demo_unmap(struct dma_dev *dev, struct demo_side *side);
/* What the device is told: one segment, or one a page. */
void demo_segments(struct demo_side *side);
/* Bytes that the caller keeps from map to unmap. */
size_t demo_kept(const struct demo_side *side);

/* What one mode did. */
struct demo_result {
	uint64_t iova_allocs;
	uint64_t pte_writes;
	uint64_t iotlb_invalidations;
	uint64_t metadata_bytes; /* at the peak */
	uint64_t map_ns;
	uint64_t unmap_ns;
	uint64_t pages; /* mapped, on both sides */
	uint64_t requests;
	uint64_t fallbacks; /* sides mapped page by page for want of a reservation */
	uint64_t faults;
	uint64_t leaks;
	uint64_t total_ns;
	char sha256[DIGEST_TEXT];
	char format[32]; /* of the page table */
	unsigned int levels;
};

/* False: a sentence was printed. A wrong digest is no failure here. */
bool demo_mode_run(const struct demo_mode *mode, const char *uri, const struct demo_file *file,
		   uint64_t done_before, struct demo_result *result);

#endif
