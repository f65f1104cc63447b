/* SPDX-License-Identifier: MIT */
/*
 * The register manual of the copy engine: all that the device (copy.c) and its
 * driver share besides the bus. Every multi-byte value in memory is
 * little-endian.
 *
 * Life. The engine is DISABLED after power-on. The driver sets RING_BASE, DONE_BASE
 * and RING_ORDER, then CONTROL.ENABLE; the engine is READY, or HALTED with
 * COPY_ERR_CONFIG. Clearing ENABLE resets: the transfer in flight stops within one
 * burst, or when the scatter list being read has come, and writes no completion;
 * while it does, the state is STOPPING; then it is DISABLED and every register has
 * its first value. An engine that cannot reach its rings is HALTED, with a reason
 * and an address, until it is reset; what goes wrong after that does not change
 * them.
 *
 * Rings. Both have 2^RING_ORDER entries; entry n of a ring is at n modulo its size, and
 * the completion of descriptor n is entry n of the completion ring. TAIL counts the
 * descriptors that the driver has written, HEAD those that the engine has done, of
 * which the last one's completion may still be on its way, both modulo 2^32. A
 * descriptor and its scatter lists belong to the engine from the doorbell until its
 * completion is valid. The driver must not ring for descriptor n before it has read the
 * completion of n - 2^RING_ORDER; the engine checks what it can, that TAIL only grows
 * and is at most a ring ahead of HEAD, and halts otherwise.
 *
 * Bus. A request of the engine never crosses a 4096-byte boundary, as PCI
 * Express demands, so an address reported with a fault is the address refused.
 */
#ifndef SOFTDEV_COPY_REGS_H
#define SOFTDEV_COPY_REGS_H

/* Registers of BAR 0: offset, width in bytes, access. Others do not exist. */
#define COPY_REG_ID 0x00         /* 4, RO: COPY_ID */
#define COPY_REG_CONTROL 0x04    /* 4, RW */
#define COPY_REG_CAP 0x08        /* 8, RO */
#define COPY_REG_RING_BASE 0x10  /* 8, RW while DISABLED: multiple of 64 */
#define COPY_REG_DONE_BASE 0x18  /* 8, RW while DISABLED: multiple of 32 */
#define COPY_REG_RING_ORDER 0x20 /* 4, RW while DISABLED */
#define COPY_REG_STATUS 0x24     /* 4, RO */
#define COPY_REG_TAIL 0x28       /* 4, RW: the doorbell; ignored unless READY */
#define COPY_REG_HEAD 0x2c       /* 4, RO */
#define COPY_REG_ERROR_ADDR 0x30 /* 8, RO: valid while HALTED */

#define COPY_ID 0x2c0b0100u /* engine, version 1.0 */

#define COPY_CONTROL_ENABLE 0x1u

/* CAP */
#define COPY_CAP_MIN_ORDER(cap) ((unsigned int)((cap) & 0xff))
#define COPY_CAP_MAX_ORDER(cap) ((unsigned int)((cap) >> 8 & 0xff))
#define COPY_CAP_LENGTH_ORDER(cap) ((unsigned int)((cap) >> 16 & 0xff)) /* log2 of the longest */
#define COPY_CAP_MAX_PIECES(cap) ((unsigned int)((cap) >> 32))          /* in a scatter list */

/* STATUS */
#define COPY_STATUS_STATE(status) ((unsigned int)((status) & 0xff))
#define COPY_STATE_DISABLED 0u
#define COPY_STATE_READY 1u
#define COPY_STATE_HALTED 2u
#define COPY_STATE_STOPPING 3u
#define COPY_STATUS_ERROR(status) ((unsigned int)((status) >> 8 & 0xff))
#define COPY_ERR_NONE 0u
#define COPY_ERR_CONFIG 1u     /* a base or the order is not valid */
#define COPY_ERR_DOORBELL 2u   /* TAIL went back or too far; ERROR_ADDR holds its value */
#define COPY_ERR_RING_FAULT 3u /* a descriptor could not be read */
#define COPY_ERR_DONE_FAULT 4u /* a completion could not be written */

/* Descriptor, 64 bytes. Reserved bytes must be zero. */
#define COPY_DESC_SIZE 64u
#define COPY_DESC_OPCODE 0     /* 1 byte */
#define COPY_DESC_FLAGS 1      /* 1 byte */
#define COPY_DESC_RESERVED0 2  /* 6 bytes */
#define COPY_DESC_COOKIE 8     /* 8 bytes, returned in the completion */
#define COPY_DESC_LENGTH 16    /* 8 bytes; 0 for NOP, else 1..2^LENGTH_ORDER */
#define COPY_DESC_SRC 24       /* 8 bytes: address, list address, or FILL's pattern */
#define COPY_DESC_DST 32       /* 8 bytes: address or list address */
#define COPY_DESC_NR_SRC 40    /* 4 bytes: pieces in the source list; 0 without one */
#define COPY_DESC_NR_DST 44    /* 4 bytes: pieces in the destination list; 0 without one */
#define COPY_DESC_RESERVED1 48 /* 16 bytes */

#define COPY_OP_NOP 0u  /* completes; all fields but the cookie are 0 */
#define COPY_OP_COPY 1u /* source to destination */
#define COPY_OP_FILL 2u /* eight bytes of pattern to destination, again and again */

#define COPY_FLAG_SRC_LIST 0x1u
#define COPY_FLAG_DST_LIST 0x2u

/* A piece of a scatter list, 16 bytes; lists begin at a multiple of 16. */
#define COPY_PIECE_SIZE 16u
#define COPY_PIECE_ADDR 0 /* 8 bytes */
#define COPY_PIECE_LEN 8  /* 8 bytes, not 0 */

/*
 * Completion, 32 bytes. The engine writes the first 24, then the last eight with one
 * write. It is valid once PHASE differs from what the pass before left: 1 in the
 * first pass over the ring, 0 in the second, and so on; the driver clears the ring
 * before it enables the engine.
 */
#define COPY_DONE_SIZE 32u
#define COPY_DONE_COOKIE 0 /* 8 bytes */
#define COPY_DONE_BYTES 8  /* 8 bytes in place, from the start of the destination */
#define COPY_DONE_ADDR 16  /* 8 bytes: the address refused, for the faults */
#define COPY_DONE_WORD 24  /* 8 bytes */

#define COPY_WORD_CODE(word) ((unsigned int)((word) & 0xff))
#define COPY_WORD_PHASE 0x100u
#define COPY_WORD_INDEX_SHIFT 32 /* the count of its descriptor, above this bit */

#define COPY_CODE_OK 0u
#define COPY_CODE_BAD_DESCRIPTOR 1u
#define COPY_CODE_BAD_LIST 2u
#define COPY_CODE_LENGTH 3u
#define COPY_CODE_LIST_FAULT 4u
#define COPY_CODE_READ_FAULT 5u
#define COPY_CODE_WRITE_FAULT 6u

#endif
