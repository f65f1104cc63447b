/* SPDX-License-Identifier: MIT */
/**
 * DOC: a copy engine
 *
 * The driver of a DMA copy engine: a device that moves bytes between DMA
 * addresses, from scattered to scattered. It is the smallest complete user of the
 * mapping API, and with the engine in software (``soft:copy``) it runs anywhere.
 *
 * The caller maps memory for the engine's device with the mapping API and
 * submits pieces as DMA addresses; the driver never sees the memory. Pieces must
 * stay mapped until the result of their transfer has been polled: until then the
 * engine may use them. The engine reads sources (DMA_TO_DEVICE or
 * DMA_BIDIRECTIONAL) and writes destinations (DMA_FROM_DEVICE or
 * DMA_BIDIRECTIONAL). Where source and destination overlap, the result is
 * undefined.
 *
 * Transfers are done and reported in the order of their submission.
 *
 * A &struct ts_copy belongs to one thread at a time; the caller excludes others.
 * Different ones are independent. One device has at most one.
 *
 * Every call that fails leaves a sentence in dma_last_error(), except for
 * -EAGAIN and -ETIME, which are no failures of the caller's.
 *
 * After fork() an engine is the parent's: in the child, what would use it fails with
 * -EPERM, and ts_copy_close() only frees memory.
 */
#ifndef TWOSTEP_COPY_H
#define TWOSTEP_COPY_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ts_copy; /* a copy engine, seen from its user */

/** Longest ring, in transfers; an engine may allow less. */
#define TS_COPY_MAX_RING 65536

/**
 * struct ts_copy_seg - one piece of a source or a destination
 * @addr: DMA address, not necessarily aligned
 * @len: bytes, not 0; @addr + @len must not wrap
 */
struct ts_copy_seg {
	dma_addr_t addr;
	uint64_t len;
};

/** How a transfer ended, as the engine says it. */
enum ts_copy_status {
	TS_COPY_OK = 0,             /* all bytes are in place */
	TS_COPY_BAD_DESCRIPTOR = 1, /* the engine does not understand the descriptor */
	TS_COPY_BAD_LIST = 2,       /* a piece of a scatter list is empty or wraps */
	TS_COPY_LENGTH = 3,         /* a scatter list is longer or shorter than the transfer */
	TS_COPY_LIST_FAULT = 4,     /* a scatter list could not be read */
	TS_COPY_READ_FAULT = 5,     /* the source could not be read */
	TS_COPY_WRITE_FAULT = 6,    /* the destination could not be written */
	TS_COPY_CANCELLED = 7,      /* dropped by ts_copy_reset() */
};

/**
 * struct ts_copy_result - how a transfer ended
 * @cookie: as submitted
 * @bytes: bytes in place, from the beginning of the destination: all of them if
 *	@status is 0, those before the fault if it is -EFAULT; 0 if
 *	-ECANCELED, although some may have been written
 * @fault_addr: DMA address that was refused, if @status is -EFAULT; else 0
 * @status: 0; -EFAULT (TS_COPY_READ_FAULT, TS_COPY_WRITE_FAULT,
 *	TS_COPY_LIST_FAULT); -ECANCELED (TS_COPY_CANCELLED); -EIO (any other: the
 *	descriptor did not reach the engine as it was written)
 * @code: the same in the engine's words
 */
struct ts_copy_result {
	uint64_t cookie;
	uint64_t bytes;
	dma_addr_t fault_addr;
	int status;
	enum ts_copy_status code;
};

/**
 * ts_copy_open - take hold of a copy engine
 * @dev: a device that is a copy engine, for example ``soft:copy``; must stay
 *	open until ts_copy_close()
 * @ring_entries: transfers that may be unreported at a time, 1..TS_COPY_MAX_RING;
 *	rounded up to a power of two, at least 2
 * @copy: where the engine is stored; untouched on failure
 *
 * Sets both DMA masks of @dev to 64 bits, where they stay even if the rest fails, and
 * maps rings and scatter lists for it.
 *
 * Return: 0; -EINVAL for @ring_entries out of range; -ENODEV if @dev is no copy
 * engine; -EBUSY if the engine is in use; -ENOMEM; -EIO if the engine does not
 * start; or what dma_set_mask_and_coherent() says.
 */
int ts_copy_open(struct dma_dev *dev, unsigned int ring_entries, struct ts_copy **copy);

/**
 * ts_copy_close - let go of a copy engine
 * @copy: the engine, or NULL for nothing
 *
 * Stops the engine; transfers that were not done are dropped, and the caller may
 * unmap their pieces. Does not close the device. Never fails. Not to be called from
 * a fault handler that runs on the engine's own thread.
 */
void ts_copy_close(struct ts_copy *copy);

/**
 * ts_copy_submit - copy
 * @copy: the engine
 * @src: where the bytes come from; used only during the call
 * @nr_src: pieces in @src, at least 1
 * @dst: where they go; used only during the call
 * @nr_dst: pieces in @dst, at least 1; its pieces need not match those of @src
 * @cookie: any number, returned with the result
 *
 * Return: 0; -EAGAIN if the ring or the memory for scatter lists is full: poll and
 * try again; -EINVAL if there is no piece, a piece is empty or wraps, or the lengths
 * of source and destination differ; -E2BIG for more than ts_copy_max_segs()
 * pieces on a side or more than ts_copy_max_bytes() bytes; -EIO if the engine
 * refuses its doorbell. After a halt, submitting goes on until the ring is full;
 * polling tells.
 */
int ts_copy_submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
		   const struct ts_copy_seg *dst, size_t nr_dst, uint64_t cookie);

/**
 * ts_copy_fill - fill with a pattern
 * @copy: the engine
 * @pattern: eight bytes, least significant first, repeated from the first byte of
 *	@dst on, across pieces
 * @dst: where it goes; used only during the call
 * @nr_dst: pieces in @dst, at least 1
 * @cookie: any number, returned with the result
 *
 * Return: as ts_copy_submit().
 */
int ts_copy_fill(struct ts_copy *copy, uint64_t pattern, const struct ts_copy_seg *dst,
		 size_t nr_dst, uint64_t cookie);

/**
 * ts_copy_poll - take results
 * @copy: the engine
 * @results: where they are stored, in order of submission
 * @max: how many fit
 *
 * Does not wait. A device opened with ``thread=off`` works during this call.
 *
 * Return: number of results stored, 0 if nothing has ended; -EIO if nothing
 * has ended and the engine has halted, because it could not reach its rings:
 * ts_copy_reset() makes it work again.
 */
int ts_copy_poll(struct ts_copy *copy, struct ts_copy_result *results, size_t max);

/**
 * ts_copy_wait - wait for the next result
 * @copy: the engine
 * @result: where it is stored; untouched on failure
 * @timeout_ms: milliseconds to wait at most; 0 looks once; negative waits as long
 *	as it takes
 *
 * Looks for a while, then sleeps between looks, longer and longer up to a
 * millisecond.
 *
 * Return: 0; -ETIME; -ENOENT if nothing has been submitted that was not reported;
 * -EIO if the engine has halted.
 */
int ts_copy_wait(struct ts_copy *copy, struct ts_copy_result *result, int timeout_ms);

/**
 * ts_copy_reset - start afresh
 * @copy: the engine
 *
 * Stops the engine and starts it again with empty rings, for example after a
 * halt. Results that are there stay; transfers that were not done are reported
 * as TS_COPY_CANCELLED by the next polls. Until they are polled they take room
 * in the ring. Not to be called from a fault handler that runs on the engine's
 * own thread.
 *
 * Return: 0; -EIO if the engine does not stop or start within a second; then
 * only ts_copy_reset() and ts_copy_close() are of use.
 */
int ts_copy_reset(struct ts_copy *copy);

/** ts_copy_pending - transfers submitted whose results have not been taken */
size_t ts_copy_pending(const struct ts_copy *copy);

/** ts_copy_max_segs - most pieces on a side of one transfer */
size_t ts_copy_max_segs(const struct ts_copy *copy);

/** ts_copy_max_bytes - longest transfer in bytes */
uint64_t ts_copy_max_bytes(const struct ts_copy *copy);

/** ts_copy_status_name - a status in words; a static string, also for unknown ones */
const char *ts_copy_status_name(enum ts_copy_status status);

#ifdef __cplusplus
}
#endif
#endif
