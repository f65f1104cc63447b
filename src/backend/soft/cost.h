/* SPDX-License-Identifier: MIT */
/*
 * cost: what an invalidation request costs on hardware, spent by the driver's
 * thread as it would be there: polling for the completion.
 */
#ifndef BACKEND_SOFT_COST_H
#define BACKEND_SOFT_COST_H

#include <stdint.h>

/* Find out how fast the clock ticks, so that the first request costs no more. */
void cost_prepare(void);

/* Keep the thread busy for @ns nanoseconds. */
void cost_spend(uint32_t ns);

#endif
