/* SPDX-License-Identifier: MIT */
/* Misuse checks, asked for by space: the front door knows both. */
#include "debug/debug.h"
#include "dma/dma.h"

bool dma_debug_enabled(struct dma_space *space)
{
	return space->be->observer;
}

int dma_debug_check(struct dma_space *space)
{
	int err = dma_space_check(space);

	if (err)
		return err;
	if (!space->be->observer)
		return base_error(
			-EOPNOTSUPP,
			"the space has no misuse checks; open its device with debug=on, or "
			"with TWOSTEP_DEBUG=1 in the environment");
	return debug_check(space->be->observer);
}
