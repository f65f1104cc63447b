/* SPDX-License-Identifier: MIT */
/*
 * What tests of the spaces of real devices share: a machine that is a stand-in, a device in
 * it, memory, and what the device reaches.
 */
#ifndef TESTS_VFIO_SPACE_SETUP_H
#define TESTS_VFIO_SPACE_SETUP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>

#include "../vfio_kernel/vfio_kernel.h"

#define PAGE FAKE_PAGE
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BDF "0000:01:00.0"
#define SECOND_BDF "0000:02:00.0"

/* A test for each way to the kernel, whose scheme is its state. */
#define EACH_WAY(test)                                                 \
	{#test " iommufd", test, NULL, NULL, (void *)"vfio-iommufd"},  \
	{                                                              \
#test " type1", test, NULL, NULL, (void *)"vfio-type1" \
	}
#define IOMMUFD_ONLY(test)                                                 \
	{                                                                  \
#test " iommufd", test, NULL, NULL, (void *)"vfio-iommufd" \
	}
#define TYPE1_ONLY(test)                                               \
	{                                                              \
#test " type1", test, NULL, NULL, (void *)"vfio-type1" \
	}

struct card {
	const char *scheme;
	struct dma_dev *dev;
	struct dma_space *space;
	int function;
	uint64_t leaks;
};

static inline bool is_iommufd(const struct card *card)
{
	return !strcmp(card->scheme, "vfio-iommufd");
}

/* The ioctl that maps memory of the process. */
static inline unsigned long map_request(const struct card *card)
{
	return is_iommufd(card) ? UAPI_IOAS_MAP : VFIO_IOMMU_MAP_DMA;
}

static inline unsigned long unmap_request(const struct card *card)
{
	return is_iommufd(card) ? UAPI_IOAS_UNMAP : VFIO_IOMMU_UNMAP_DMA;
}

/* Interrupts have a window of the addresses below 4 GiB, as on a PC. */
static inline int plug(const char *bdf, int group)
{
	static const struct fake_window msi = {0xfee00000, 0xfeefffff};

	return fake_plug(&(struct fake_function){
		.bdf = bdf, .group = group, .reserved = &msi, .nr_reserved = 1});
}

/* A machine, and a device opened in it; @more are options of the URI, with their comma. */
static inline struct card card_open_with(void **state, const struct fake_options *options,
					 const char *more)
{
	struct card card = {.scheme = *state, .leaks = dma_leak_count()};
	char uri[128];

	if (!fake_start(options))
		exit(77);
	card.function = plug(BDF, 7);
	snprintf(uri, sizeof(uri), "%s:" BDF "%s", card.scheme, more);
	if (dma_dev_open(uri, &card.dev))
		fail_msg("%s: %s", uri, dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(card.dev, DMA_BIT_MASK(64)), 0);
	card.space = dma_dev_space(card.dev);
	fake_forget();
	return card;
}

static inline struct card card_open(void **state, const struct fake_options *options)
{
	return card_open_with(state, options, "");
}

static inline struct dma_stats stats_of(const struct card *card)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(card->space, &stats), 0);
	return stats;
}

/* The kernel has everything back, and was never asked to cut a map. */
static inline void machine_stop(void)
{
	assert_int_equal(fake_cuts(), 0);
	assert_int_equal(fake_open_files(), 0);
	assert_int_equal(fake_locked(), 0);
	fake_stop();
}

/* Nothing is left, and exactly @misuse calls have been wrong. */
static inline void card_close(struct card *card, uint64_t misuse)
{
	struct dma_stats stats = stats_of(card);

	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, misuse);
	assert_int_equal(fake_mapped(card->function), 0);
	dma_dev_close(card->dev);
	assert_int_equal(dma_leak_count(), card->leaks);
	machine_stop();
}

/* Memory. Every byte of page i is i. */
static inline uint8_t *pages_new(size_t pages)
{
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	for (size_t i = 0; i < pages; i++)
		memset(memory + i * PAGE, (int)(i & 0xff), PAGE);
	return memory;
}

static inline void pages_free(uint8_t *memory, size_t pages)
{
	munmap(memory, pages * PAGE);
}

/* What the device reaches. */

static inline void assert_reaches(const struct card *card, dma_addr_t addr, const void *memory,
				  size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		assert_ptr_equal(fake_reach(card->function, addr + at,
					    size - at < PAGE ? size - at : PAGE, true),
				 (const uint8_t *)memory + at);
}

static inline void assert_refused(const struct card *card, dma_addr_t addr, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		assert_null(fake_reach(card->function, addr + at, 1, false));
}

/* The driver's steps. */

static inline struct dma_iova_state reserve(const struct card *card, size_t size)
{
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc(card->dev, &iova, 0, size));
	return iova;
}

static inline int try_link(const struct card *card, struct dma_iova_state *iova, size_t offset,
			   const void *memory, size_t size)
{
	return dma_iova_link(card->dev, iova, virt_to_phys(memory), offset, size, DMA_BIDIRECTIONAL,
			     0);
}

static inline void link_at(const struct card *card, struct dma_iova_state *iova, size_t offset,
			   const void *memory, size_t size)
{
	int err = try_link(card, iova, offset, memory, size);

	if (err)
		fail_msg("link: %d: %s", err, dma_last_error());
}

static inline void sync_at(const struct card *card, struct dma_iova_state *iova, size_t offset,
			   size_t size)
{
	int err = dma_iova_sync(card->dev, iova, offset, size);

	if (err)
		fail_msg("sync: %d: %s", err, dma_last_error());
}

static inline void unlink_at(const struct card *card, struct dma_iova_state *iova, size_t offset,
			     size_t size)
{
	dma_iova_unlink(card->dev, iova, offset, size, DMA_BIDIRECTIONAL, 0);
}

static inline void destroy(const struct card *card, struct dma_iova_state *iova, size_t mapped)
{
	dma_iova_destroy(card->dev, iova, mapped, DMA_BIDIRECTIONAL, 0);
}

#endif
