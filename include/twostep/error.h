/* SPDX-License-Identifier: MIT */
/**
 * DOC: errors
 *
 * Calls answer as the kernel's do: 0 or a negative errno, a bool, or
 * %DMA_MAPPING_ERROR. The library never prints and never aborts. Each failure,
 * and each misuse of a call that returns nothing, leaves a sentence for the
 * thread that made the call.
 */
#ifndef TWOSTEP_ERROR_H
#define TWOSTEP_ERROR_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_last_error - the calling thread's last failure, as one sentence
 *
 * Says what was asked, what was wrong and what to do about it. A successful
 * call does not clear it.
 *
 * Return: text owned by the library and overwritten by the thread's next
 * failure; "" if the thread has had none. Never NULL. Safe in any thread.
 */
const char *dma_last_error(void);

/**
 * dma_clear_error - forget the calling thread's last failure
 *
 * For callers that want to know whether a call without a result was misused:
 * clear, call, and look at dma_last_error().
 */
void dma_clear_error(void);

#ifdef __cplusplus
}
#endif
#endif
