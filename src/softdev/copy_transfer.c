/* SPDX-License-Identifier: MIT */
/*
 * The transfers of the copy engine. Descriptors and scatter lists are untrusted:
 * each is read once into the engine's own memory and checked there.
 */
#include "softdev/copy_regs.h"
#include "softdev/copy_transfer.h"

#define BUS_BOUNDARY 4096u

/* One side of a transfer: pieces, and how far it has come. */
struct side {
	const struct copy_piece *pieces;
	uint32_t at;
	uint64_t offset;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Moves up to @want bytes between @buf and the side's memory, in requests that cross
 * no boundary. Returns how many went; less than @want after a fault at *@fault.
 */
static size_t bus_move(struct copy_mover *mover, struct side *side, uint8_t *buf, size_t want,
		       bool write, uint64_t *fault)
{
	size_t done = 0;

	while (done < want) {
		const struct copy_piece *piece = &side->pieces[side->at];
		uint64_t addr = piece->addr + side->offset;
		size_t len = (size_t)min_u64(min_u64(want - done, piece->len - side->offset),
					     BUS_BOUNDARY - (addr & (BUS_BOUNDARY - 1)));
		int err = write ? dma_bus_write(mover->port, addr, buf + done, len)
				: dma_bus_read(mover->port, addr, buf + done, len);

		if (err) {
			*fault = addr;
			break;
		}
		done += len;
		side->offset += len;
		if (side->offset == piece->len) {
			side->at++;
			side->offset = 0;
		}
	}
	return done;
}

bool copy_bus_move(struct copy_mover *mover, uint64_t addr, void *buf, size_t len, bool write,
		   uint64_t *fault)
{
	struct copy_piece piece = {addr, len};
	struct side side = {&piece, 0, 0};

	return bus_move(mover, &side, buf, len, write, fault) == len;
}

/*
 * Fills @pieces with one side of a transfer, from the descriptor or from a list in
 * memory, which is read once: what is checked here is what is used. Returns a code.
 */
static unsigned int fetch_side(struct copy_mover *mover, struct copy_piece *pieces, bool list,
			       uint64_t addr, uint32_t nr, uint64_t length, uint64_t *fault)
{
	uint64_t total = 0;

	if (!list) {
		if (nr || copy_wraps(addr, length))
			return COPY_CODE_BAD_DESCRIPTOR;
		pieces[0] = (struct copy_piece){addr, length};
		return COPY_CODE_OK;
	}
	if (!nr || nr > COPY_MAX_PIECES || addr % COPY_PIECE_SIZE ||
	    copy_wraps(addr, (uint64_t)nr * COPY_PIECE_SIZE))
		return COPY_CODE_BAD_DESCRIPTOR;
	if (!copy_bus_move(mover, addr, pieces, nr * COPY_PIECE_SIZE, false, fault))
		return COPY_CODE_LIST_FAULT;
	for (uint32_t i = 0; i < nr; i++) {
		struct copy_piece *piece = &pieces[i];

		piece->addr = le64toh(piece->addr);
		piece->len = le64toh(piece->len);
		if (!piece->len || copy_wraps(piece->addr, piece->len))
			return COPY_CODE_BAD_LIST;
		if (piece->len > length - total)
			return COPY_CODE_LENGTH;
		total += piece->len;
	}
	return total == length ? COPY_CODE_OK : COPY_CODE_LENGTH;
}

/*
 * Moves @length bytes from @src, or the pattern that fills the burst buffer if it is
 * NULL, to @dst. What was read before a fault of the source is still written, so
 * that the bytes reported are the bytes before the fault.
 */
static void move_bytes(struct copy_mover *mover, struct side *src, struct side *dst,
		       uint64_t length, struct copy_outcome *outcome)
{
	while (outcome->bytes < length) {
		size_t want = (size_t)min_u64(length - outcome->bytes, COPY_BURST_SIZE);
		size_t got = want, put;
		uint64_t read_fault = 0;

		if (__atomic_load_n(&mover->stop, __ATOMIC_RELAXED)) {
			outcome->how = COPY_STOPPED;
			return;
		}
		if (src)
			got = bus_move(mover, src, mover->burst, want, false, &read_fault);
		put = bus_move(mover, dst, mover->burst, got, true, &outcome->addr);
		outcome->bytes += put;
		if (put < got) {
			outcome->code = COPY_CODE_WRITE_FAULT;
			return;
		}
		if (got < want) {
			outcome->code = COPY_CODE_READ_FAULT;
			outcome->addr = read_fault;
			return;
		}
	}
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

static bool descriptor_valid(const uint8_t *desc)
{
	uint8_t opcode = desc[COPY_DESC_OPCODE], flags = desc[COPY_DESC_FLAGS];
	uint64_t length = get_le64(desc + COPY_DESC_LENGTH);

	if (!all_zero(desc + COPY_DESC_RESERVED0, COPY_DESC_COOKIE - COPY_DESC_RESERVED0) ||
	    !all_zero(desc + COPY_DESC_RESERVED1, COPY_DESC_SIZE - COPY_DESC_RESERVED1))
		return false;
	switch (opcode) {
	case COPY_OP_NOP:
		return !flags &&
		       all_zero(desc + COPY_DESC_LENGTH, COPY_DESC_RESERVED1 - COPY_DESC_LENGTH);
	case COPY_OP_COPY:
		if (flags & ~(COPY_FLAG_SRC_LIST | COPY_FLAG_DST_LIST))
			return false;
		break;
	case COPY_OP_FILL:
		if (flags & ~COPY_FLAG_DST_LIST || get_le32(desc + COPY_DESC_NR_SRC))
			return false;
		break;
	default:
		return false;
	}
	return length && length <= 1ULL << COPY_LENGTH_ORDER;
}

void copy_transfer(struct copy_mover *mover, const uint8_t *desc, struct copy_outcome *outcome)
{
	struct side src = {mover->src, 0, 0}, dst = {mover->dst, 0, 0};
	uint8_t flags = desc[COPY_DESC_FLAGS];
	uint64_t length = get_le64(desc + COPY_DESC_LENGTH);
	bool copy = desc[COPY_DESC_OPCODE] == COPY_OP_COPY;

	if (!descriptor_valid(desc)) {
		outcome->code = COPY_CODE_BAD_DESCRIPTOR;
		return;
	}
	if (desc[COPY_DESC_OPCODE] == COPY_OP_NOP)
		return;
	outcome->code = fetch_side(mover, mover->dst, flags & COPY_FLAG_DST_LIST,
				   get_le64(desc + COPY_DESC_DST),
				   get_le32(desc + COPY_DESC_NR_DST), length, &outcome->addr);
	if (outcome->code == COPY_CODE_OK && copy)
		outcome->code = fetch_side(mover, mover->src, flags & COPY_FLAG_SRC_LIST,
					   get_le64(desc + COPY_DESC_SRC),
					   get_le32(desc + COPY_DESC_NR_SRC), length,
					   &outcome->addr);
	if (outcome->code != COPY_CODE_OK)
		return;
	if (!copy)
		for (size_t i = 0; i < min_u64(length, COPY_BURST_SIZE); i += 8)
			memcpy(mover->burst + i, desc + COPY_DESC_SRC, 8);
	move_bytes(mover, copy ? &src : NULL, &dst, length, outcome);
}
