/* SPDX-License-Identifier: MIT */
/* Ranges of bytes that all have one value: looked at, and written by a device. */
#ifndef TESTS_DMA_WHOLE_RANGES_H
#define TESTS_DMA_WHOLE_RANGES_H

#include "setup.h"

static inline void assert_holds(const uint8_t *memory, size_t len, unsigned int value)
{
	for (size_t i = 0; i < len; i++)
		if (memory[i] != (uint8_t)value)
			fail_msg("byte %zu of %zu is 0x%02x and not 0x%02x", i, len, memory[i],
				 value);
}

static inline void assert_device_sees(const struct device *d, dma_addr_t addr, size_t len,
				      unsigned int value)
{
	uint8_t *seen = malloc(len);

	assert_non_null(seen);
	assert_int_equal(dma_bus_read(d->port, addr, seen, len), 0);
	assert_holds(seen, len, value);
	free(seen);
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

#endif
