/* SPDX-License-Identifier: MIT */
/*
 * The transfers of the copy engine: from a descriptor's 64 bytes to bytes in place
 * and a completion code. Registers, rings and threads are copy.c's.
 */
#ifndef SOFTDEV_COPY_TRANSFER_H
#define SOFTDEV_COPY_TRANSFER_H

#include <endian.h>
#include <string.h>

#include <twostep/bus.h>

#define COPY_LENGTH_ORDER 40u
#define COPY_MAX_PIECES 4096u
#define COPY_BURST_SIZE 16384u /* a multiple of 8: every burst begins with a whole pattern */

struct copy_piece {
	uint64_t addr;
	uint64_t len;
};

/* The memory that a transfer works with. One transfer at a time. */
struct copy_mover {
	struct dma_port *port;
	uint32_t stop; /* atomic: set by anyone, looked at before every burst */
	struct copy_piece src[COPY_MAX_PIECES];
	struct copy_piece dst[COPY_MAX_PIECES];
	uint8_t burst[COPY_BURST_SIZE];
};

/* How a descriptor ended: with a completion, or in one of the other ways. */
struct copy_outcome {
	enum { COPY_ENDED, COPY_STOPPED, COPY_RING_FAULT, COPY_DONE_FAULT } how;
	unsigned int code; /* COPY_CODE_* */
	uint64_t bytes;
	uint64_t addr;
};

static inline uint64_t get_le64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static inline uint32_t get_le32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static inline void put_le64(uint8_t *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

/* A range is valid if its last byte has an address; [2^64 - 1, 2^64) is. */
static inline bool copy_wraps(uint64_t addr, uint64_t len)
{
	return len && addr + (len - 1) < addr;
}

/*
 * Moves @len bytes between @buf and memory, in requests that cross no 4096-byte
 * boundary. False after a fault, at *@fault.
 */
bool copy_bus_move(struct copy_mover *mover, uint64_t addr, void *buf, size_t len, bool write,
		   uint64_t *fault);

/* Does what @desc says. @outcome is COPY_ENDED or COPY_STOPPED. */
void copy_transfer(struct copy_mover *mover, const uint8_t *desc, struct copy_outcome *outcome);

#endif
