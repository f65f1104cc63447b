/* SPDX-License-Identifier: MIT */
/* Transfers of a copy engine: submitting them and taking their results. */
#include <endian.h>

#include "copy/copy.h"

#define SPINS 256
#define FIRST_NAP_NS 2000
#define LAST_NAP_NS 1000000

static void put_le64(uint8_t *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

static void put_le32(uint8_t *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

static uint64_t get_le64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static int side_check(const struct ts_copy *copy, const char *what, const struct ts_copy_seg *segs,
		      size_t nr, uint64_t *total)
{
	*total = 0;
	if (!segs || !nr)
		return base_error(-EINVAL, "copy: the %s has no piece; give at least one", what);
	if (nr > copy->max_pieces)
		return base_error(-E2BIG,
				  "copy: the %s has %zu pieces, at most %u are possible; "
				  "split the transfer",
				  what, nr, copy->max_pieces);
	for (size_t i = 0; i < nr; i++) {
		if (!segs[i].len || segs[i].addr + (segs[i].len - 1) < segs[i].addr)
			return base_error(-EINVAL,
					  "copy: piece %zu of the %s, %llu bytes at 0x%llx, "
					  "is %s; a piece must have bytes and not wrap",
					  i, what, (unsigned long long)segs[i].len,
					  (unsigned long long)segs[i].addr,
					  segs[i].len ? "past the last address" : "empty");
		if (segs[i].len > copy->max_bytes - *total)
			return base_error(-E2BIG,
					  "copy: the %s is longer than %llu bytes; split the "
					  "transfer",
					  what, (unsigned long long)copy->max_bytes);
		*total += segs[i].len;
	}
	return 0;
}

/*
 * Where @nr pieces go in the pool. Lists do not wrap: with too little room before the
 * pool's end they begin at its start. False if they must wait; else *@taken is what
 * they cost, the skipped end included.
 */
static bool pool_place(const struct ts_copy *copy, uint32_t nr, uint32_t *at, uint32_t *taken)
{
	uint32_t to_end = copy->pool_pieces - copy->pool_next;

	*at = nr > to_end ? 0 : copy->pool_next;
	*taken = nr > to_end ? to_end + nr : nr;
	return copy->pool_used + *taken <= copy->pool_pieces;
}

/* Writes one side's list at @at; returns its DMA address. */
static dma_addr_t list_write(struct ts_copy *copy, uint32_t at, const struct ts_copy_seg *segs,
			     size_t nr)
{
	size_t offset = (size_t)at * COPY_PIECE_SIZE;

	for (size_t i = 0; i < nr; i++) {
		uint8_t *piece = copy->pool.mem + offset + i * COPY_PIECE_SIZE;

		put_le64(piece + COPY_PIECE_ADDR, segs[i].addr);
		put_le64(piece + COPY_PIECE_LEN, segs[i].len);
	}
	copy_area_to_device(copy, &copy->pool, offset, nr * COPY_PIECE_SIZE);
	return copy->pool.addr + offset;
}

/* Puts a side into the descriptor: itself if it is one piece, else its list. */
static uint8_t side_write(struct ts_copy *copy, uint8_t *desc, unsigned int addr_field,
			  unsigned int nr_field, uint8_t flag, const struct ts_copy_seg *segs,
			  size_t nr, uint32_t *at)
{
	if (nr == 1) {
		put_le64(desc + addr_field, segs[0].addr);
		return 0;
	}
	put_le64(desc + addr_field, list_write(copy, *at, segs, nr));
	put_le32(desc + nr_field, (uint32_t)nr);
	*at += (uint32_t)nr;
	return flag;
}

/* @src NULL: fill with @pattern. The sides have been checked and are @length long. */
static int submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
		  uint64_t pattern, const struct ts_copy_seg *dst, size_t nr_dst, uint64_t length,
		  uint64_t cookie)
{
	uint32_t nr = (uint32_t)((nr_src > 1 ? nr_src : 0) + (nr_dst > 1 ? nr_dst : 0));
	uint32_t slot = copy_slot(copy, copy->tail), at, taken;
	uint8_t *desc = copy->ring.mem + (size_t)slot * COPY_DESC_SIZE;
	int err;

	if (copy->broken)
		return base_error(-EIO, "copy: the engine did not come back from a reset; call "
					"ts_copy_reset() again, or ts_copy_close()");
	if (copy->tail - copy->reaped + copy->nr_kept >= copy_ring_size(copy) ||
	    !pool_place(copy, nr, &at, &taken))
		return -EAGAIN;

	memset(desc, 0, COPY_DESC_SIZE);
	put_le64(desc + COPY_DESC_COOKIE, cookie);
	put_le64(desc + COPY_DESC_LENGTH, length);
	if (src) {
		desc[COPY_DESC_OPCODE] = COPY_OP_COPY;
		desc[COPY_DESC_FLAGS] |= side_write(copy, desc, COPY_DESC_SRC, COPY_DESC_NR_SRC,
						    COPY_FLAG_SRC_LIST, src, nr_src, &at);
	} else {
		desc[COPY_DESC_OPCODE] = COPY_OP_FILL;
		put_le64(desc + COPY_DESC_SRC, pattern);
	}
	desc[COPY_DESC_FLAGS] |= side_write(copy, desc, COPY_DESC_DST, COPY_DESC_NR_DST,
					    COPY_FLAG_DST_LIST, dst, nr_dst, &at);
	copy_area_to_device(copy, &copy->ring, (size_t)slot * COPY_DESC_SIZE, COPY_DESC_SIZE);

	err = dma_dev_reg_write(copy->dev, 0, COPY_REG_TAIL, copy->tail + 1, 4);
	if (err == -EPERM)
		return err;
	if (err)
		return base_error(-EIO,
				  "copy: the engine's doorbell cannot be written (error %d); "
				  "close the device",
				  -err);
	copy->pool_next = at;
	copy->pool_used += taken;
	copy->lists[slot] = taken;
	copy->cookies[slot] = cookie;
	copy->tail++;
	return 0;
}

int ts_copy_submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
		   const struct ts_copy_seg *dst, size_t nr_dst, uint64_t cookie)
{
	uint64_t src_bytes, dst_bytes;
	int err = side_check(copy, "source", src, nr_src, &src_bytes);

	if (!err)
		err = side_check(copy, "destination", dst, nr_dst, &dst_bytes);
	if (err)
		return err;
	if (src_bytes != dst_bytes)
		return base_error(-EINVAL,
				  "copy: the source has %llu bytes and the destination %llu; "
				  "both must be as long",
				  (unsigned long long)src_bytes, (unsigned long long)dst_bytes);
	return submit(copy, src, nr_src, 0, dst, nr_dst, dst_bytes, cookie);
}

int ts_copy_fill(struct ts_copy *copy, uint64_t pattern, const struct ts_copy_seg *dst,
		 size_t nr_dst, uint64_t cookie)
{
	uint64_t bytes;
	int err = side_check(copy, "destination", dst, nr_dst, &bytes);

	if (err)
		return err;
	return submit(copy, NULL, 0, pattern, dst, nr_dst, bytes, cookie);
}

static int status_of(unsigned int code)
{
	switch (code) {
	case TS_COPY_OK:
		return 0;
	case TS_COPY_LIST_FAULT:
	case TS_COPY_READ_FAULT:
	case TS_COPY_WRITE_FAULT:
		return -EFAULT;
	case TS_COPY_CANCELLED:
		return -ECANCELED;
	default:
		return -EIO;
	}
}

void copy_retire(struct ts_copy *copy)
{
	uint32_t slot = copy_slot(copy, copy->reaped);

	copy->pool_used -= copy->lists[slot];
	copy->reaped++;
}

/*
 * The next completion, if it is there. Its word is read with acquire, which pairs with
 * the engine's last write; where bytes must be synced for the CPU, the body is
 * synced after the word was seen, as it may have been written since the first time.
 */
bool copy_reap(struct ts_copy *copy, struct ts_copy_result *result)
{
	size_t offset = (size_t)copy_slot(copy, copy->reaped) * COPY_DONE_SIZE;
	const uint8_t *done = copy->done.mem + offset;
	bool phase = !(copy->reaped >> copy->order & 1);
	uint64_t word;

	if (copy->reaped == copy->tail)
		return false;
	copy_area_to_cpu(copy, &copy->done, offset, COPY_DONE_SIZE);
	word = le64toh(
		__atomic_load_n((const uint64_t *)(done + COPY_DONE_WORD), __ATOMIC_ACQUIRE));
	if (!!(word & COPY_WORD_PHASE) != phase)
		return false;
	copy_area_to_cpu(copy, &copy->done, offset, COPY_DONE_SIZE);
	*result = (struct ts_copy_result){
		.cookie = get_le64(done + COPY_DONE_COOKIE),
		.bytes = get_le64(done + COPY_DONE_BYTES),
		.fault_addr = get_le64(done + COPY_DONE_ADDR),
		.status = status_of(COPY_WORD_CODE(word)),
		.code = (enum ts_copy_status)COPY_WORD_CODE(word),
	};
	copy_retire(copy);
	return true;
}

/* The next result: kept from before a reset, or new. */
static bool next_result(struct ts_copy *copy, struct ts_copy_result *result)
{
	if (!copy->nr_kept)
		return copy_reap(copy, result);
	*result = copy->kept[copy->kept_first++];
	copy->nr_kept--;
	return true;
}

/* 0 while it works, else what a poll without a result answers. */
static int halted(struct ts_copy *copy)
{
	uint64_t status;
	int err = dma_dev_reg_read(copy->dev, 0, COPY_REG_STATUS, &status, 4);

	if (err == -EPERM)
		return err;
	if (!err && !copy->broken && COPY_STATUS_STATE(status) == COPY_STATE_READY)
		return 0;
	return base_error(-EIO,
			  "copy: the engine has halted with error %u and %zu transfers have no "
			  "result; call ts_copy_reset()",
			  err ? 0 : COPY_STATUS_ERROR(status), ts_copy_pending(copy));
}

int ts_copy_poll(struct ts_copy *copy, struct ts_copy_result *results, size_t max)
{
	size_t nr = 0;
	int err;

	if (copy->stepped && copy->reaped != copy->tail)
		dma_dev_step(copy->dev);
	while (nr < max && nr < INT32_MAX && next_result(copy, &results[nr]))
		nr++;
	if (nr || !max)
		return (int)nr;
	/* A transfer may have ended just before the halt was seen: look again after it. */
	err = copy->reaped != copy->tail ? halted(copy) : 0;
	return err && next_result(copy, &results[0]) ? 1 : err;
}

int ts_copy_wait(struct ts_copy *copy, struct ts_copy_result *result, int timeout_ms)
{
	uint64_t deadline = copy_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
	uint64_t length = FIRST_NAP_NS;

	if (!ts_copy_pending(copy))
		return base_error(-ENOENT,
				  "ts_copy_wait: no transfer was submitted that has not been "
				  "reported");
	for (unsigned int looks = 0;; looks++) {
		uint64_t now;
		int polled;

		if (looks < SPINS && looks % 64) {
			if (next_result(copy, result))
				return 0;
			cpu_relax();
			continue;
		}
		polled = ts_copy_poll(copy, result, 1);
		if (polled)
			return polled < 0 ? polled : 0;
		now = copy_now_ns();
		if (timeout_ms >= 0 && now >= deadline)
			return -ETIME;
		if (looks < SPINS)
			continue;
		if (timeout_ms >= 0 && length > deadline - now)
			length = deadline - now;
		copy_nap(length);
		length = length * 2 > LAST_NAP_NS ? LAST_NAP_NS : length * 2;
	}
}

size_t ts_copy_pending(const struct ts_copy *copy)
{
	return copy->tail - copy->reaped + copy->nr_kept;
}

size_t ts_copy_max_segs(const struct ts_copy *copy)
{
	return copy->max_pieces;
}

uint64_t ts_copy_max_bytes(const struct ts_copy *copy)
{
	return copy->max_bytes;
}

const char *ts_copy_status_name(enum ts_copy_status status)
{
	static const char *const names[] = {
		[TS_COPY_OK] = "done",
		[TS_COPY_BAD_DESCRIPTOR] = "bad descriptor",
		[TS_COPY_BAD_LIST] = "bad scatter list",
		[TS_COPY_LENGTH] = "scatter list of another length",
		[TS_COPY_LIST_FAULT] = "scatter list not readable",
		[TS_COPY_READ_FAULT] = "source not readable",
		[TS_COPY_WRITE_FAULT] = "destination not writable",
		[TS_COPY_CANCELLED] = "cancelled by a reset",
	};

	return (unsigned int)status < ARRAY_SIZE(names) ? names[status] : "unknown status";
}
