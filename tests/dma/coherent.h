/* SPDX-License-Identifier: MIT */
/* What the tests of allocated memory share: every sort of device, and whole ranges. */
#ifndef TESTS_DMA_COHERENT_H
#define TESTS_DMA_COHERENT_H

#include <twostep/coherent.h>
#include <twostep/dmapool.h>

#include "setup.h"
#include "whole_ranges.h"

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

/* The size in granules, rounded up to a power of two: what an allocation is aligned to. */
static inline uint64_t alignment_of(size_t size)
{
	uint64_t alignment = PAGE;

	while (alignment < size)
		alignment *= 2;
	return alignment;
}

#endif
