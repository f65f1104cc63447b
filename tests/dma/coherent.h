/* SPDX-License-Identifier: MIT */
/* What the tests of allocated memory share: every sort of device, and whole ranges. */
#ifndef TESTS_DMA_COHERENT_H
#define TESTS_DMA_COHERENT_H

#include <twostep/coherent.h>
#include <twostep/dmapool.h>

#include "setup.h"

/* Devices of which each gets its memory in another way; the mask is that of the test. */
static const char *const every_device[] = {
	"soft:pgtable=vtd-ss", "soft:pgtable=x86-64",
	"soft:untrusted",      "soft:pgtable=x86-64,untrusted",
	"soft:coherent=off",   "soft:coherent=off,pgtable=x86-64",
	"soft:bounce=force",   "soft:coherent=off,untrusted,bounce=force",
	"soft:absent=cache",   "direct:",
	"direct:bounce=force",
};

static inline bool is_direct(const char *uri)
{
	return !strncmp(uri, "direct:", 7);
}

static inline void assert_all(const uint8_t *memory, size_t len, unsigned int value)
{
	for (size_t i = 0; i < len; i++)
		if (memory[i] != (uint8_t)value)
			fail_msg("byte %zu of %zu is 0x%02x and not 0x%02x", i, len, memory[i],
				 value);
}

static inline void device_fills(const struct device *d, dma_addr_t addr, size_t len,
				unsigned int value)
{
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	memset(bytes, (int)value, len);
	assert_int_equal(dma_bus_write(d->port, addr, bytes, len), 0);
	free(bytes);
}

static inline void assert_device_sees(const struct device *d, dma_addr_t addr, size_t len,
				      unsigned int value)
{
	uint8_t *seen = malloc(len);

	assert_non_null(seen);
	assert_int_equal(dma_bus_read(d->port, addr, seen, len), 0);
	assert_all(seen, len, value);
	free(seen);
}

/* The size in granules, rounded up to a power of two: what an allocation is aligned to. */
static inline uint64_t alignment_of(size_t size)
{
	uint64_t alignment = PAGE;

	while (alignment < size)
		alignment *= 2;
	return alignment;
}

#endif
