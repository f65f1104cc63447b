/* SPDX-License-Identifier: MIT */
/* The engine's registers answer as the manual says, whatever is written to them. */
#include <errno.h>

#include "raw.h"

static void identity(void **state)
{
	struct raw raw;
	uint64_t cap;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	assert_int_equal(raw_reg(&raw, COPY_REG_ID, 4), COPY_ID);
	cap = raw_reg(&raw, COPY_REG_CAP, 8);
	assert_int_equal(COPY_CAP_MIN_ORDER(cap), 1);
	assert_int_equal(COPY_CAP_MAX_ORDER(cap), 16);
	assert_int_equal(COPY_CAP_LENGTH_ORDER(cap), 40);
	assert_int_equal(COPY_CAP_MAX_PIECES(cap), 4096);
	raw_close(&raw);
}

static void windows_and_widths(void **state)
{
	static const struct {
		uint64_t offset;
		unsigned int width;
	} registers[] = {
		{COPY_REG_ID, 4},	  {COPY_REG_CONTROL, 4},   {COPY_REG_CAP, 8},
		{COPY_REG_RING_BASE, 8},  {COPY_REG_DONE_BASE, 8}, {COPY_REG_RING_ORDER, 4},
		{COPY_REG_STATUS, 4},	  {COPY_REG_TAIL, 4},	   {COPY_REG_HEAD, 4},
		{COPY_REG_ERROR_ADDR, 8},
	};
	struct raw raw;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	for (uint64_t offset = 0; offset < 0x80; offset += 4) {
		for (unsigned int width = 4; width <= 8; width += 4) {
			uint64_t value = 0x5a5a;
			bool exists = false;

			for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
				exists |= registers[i].offset == offset &&
					  registers[i].width == width;
			if (offset % width)
				continue;
			assert_int_equal(dma_dev_reg_read(raw.dev, 0, offset, &value, width),
					 exists ? 0 : -EINVAL);
			if (exists)
				continue;
			assert_int_equal(value, 0x5a5a);
			assert_int_equal(dma_dev_reg_write(raw.dev, 0, offset, 1, width), -EINVAL);
			assert_int_equal(dma_dev_reg_read(raw.dev, 1, offset, &value, width),
					 -ENODEV);
			assert_int_equal(dma_dev_reg_write(raw.dev, 1, offset, 1, width), -ENODEV);
		}
	}
	assert_int_equal(raw_state(&raw), COPY_STATE_READY);
	raw_close(&raw);
}

static void what_cannot_be_written_stays(void **state)
{
	struct raw raw;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	raw_set(&raw, COPY_REG_ID, 0, 4);
	raw_set(&raw, COPY_REG_CAP, 0, 8);
	raw_set(&raw, COPY_REG_STATUS, COPY_STATE_HALTED, 4);
	raw_set(&raw, COPY_REG_HEAD, 3, 4);
	raw_set(&raw, COPY_REG_ERROR_ADDR, 3, 8);
	/* The rings are fixed while the engine is enabled. */
	raw_set(&raw, COPY_REG_RING_BASE, 0, 8);
	raw_set(&raw, COPY_REG_DONE_BASE, 0, 8);
	raw_set(&raw, COPY_REG_RING_ORDER, 7, 4);
	raw_set(&raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	assert_int_equal(raw_reg(&raw, COPY_REG_ID, 4), COPY_ID);
	assert_int_not_equal(raw_reg(&raw, COPY_REG_CAP, 8), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_STATUS, 4), COPY_STATE_READY);
	assert_int_equal(raw_reg(&raw, COPY_REG_HEAD, 4), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_ERROR_ADDR, 8), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_RING_BASE, 8), raw.ring.addr);
	assert_int_equal(raw_reg(&raw, COPY_REG_DONE_BASE, 8), raw.done.addr);
	assert_int_equal(raw_reg(&raw, COPY_REG_RING_ORDER, 4), RAW_ORDER);
	assert_int_equal(raw_reg(&raw, COPY_REG_CONTROL, 4), COPY_CONTROL_ENABLE);
	raw_close(&raw);
}

static void disabling_resets(void **state)
{
	struct raw raw;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	raw_run(&raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = 9});
	raw_set(&raw, COPY_REG_CONTROL, 0, 4);
	for (uint64_t offset = COPY_REG_RING_ORDER; offset < COPY_REG_ERROR_ADDR; offset += 4)
		assert_int_equal(raw_reg(&raw, offset, 4), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_CONTROL, 4), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_RING_BASE, 8), 0);
	assert_int_equal(raw_reg(&raw, COPY_REG_DONE_BASE, 8), 0);
	/* A doorbell of a disabled engine does nothing. */
	raw_set(&raw, COPY_REG_TAIL, 1, 4);
	assert_int_equal(raw_reg(&raw, COPY_REG_TAIL, 4), 0);
	assert_int_equal(dma_dev_step(raw.dev), 0);
	raw_enable(&raw);
	raw_run(&raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = 10});
	raw_close(&raw);
}

static void bad_rings_halt(void **state)
{
	const uint64_t last = ~(uint64_t)0;
	const struct {
		uint64_t ring, done, order;
	} bad[] = {
		{0x10000, 0x20000, 0},		{0x10000, 0x20000, 17},
		{0x10000, 0x20000, 0x80000001}, {0x10000, 0x20000, 0xffffffff},
		{0x10020, 0x20000, 2},		{0x10000, 0x20010, 2},
		{last - 63 - 128, 0x20000, 2},	{0x10000, last - 31 - 64, 2},
	};
	struct raw raw;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_disable(&raw);
		raw_set(&raw, COPY_REG_RING_BASE, bad[i].ring, 8);
		raw_set(&raw, COPY_REG_DONE_BASE, bad[i].done, 8);
		raw_set(&raw, COPY_REG_RING_ORDER, bad[i].order, 4);
		raw_set(&raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
		assert_int_equal(raw_state(&raw), COPY_STATE_HALTED);
		assert_int_equal(raw_error(&raw), COPY_ERR_CONFIG);
		raw_set(&raw, COPY_REG_TAIL, 1, 4);
		assert_int_equal(dma_dev_step(raw.dev), 0);
	}
	/* The last entry of a ring may end with the last address. */
	raw_disable(&raw);
	raw_set(&raw, COPY_REG_RING_BASE, last - 255, 8);
	raw_set(&raw, COPY_REG_DONE_BASE, last - 127, 8);
	raw_set(&raw, COPY_REG_RING_ORDER, 2, 4);
	raw_set(&raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	assert_int_equal(raw_state(&raw), COPY_STATE_READY);
	raw_close(&raw);
}

static void bad_doorbells_halt(void **state)
{
	static const uint32_t bad[] = {0, 1, RAW_ENTRIES + 3, 0x7fffffff, 0x80000000, 0xffffffff};
	struct raw raw;

	(void)state;
	raw_open(&raw, "soft:copy,thread=off");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_disable(&raw);
		raw_enable(&raw);
		raw_run(&raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = i});
		raw_run(&raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = i});
		raw_set(&raw, COPY_REG_TAIL, bad[i], 4);
		assert_int_equal(raw_state(&raw), COPY_STATE_HALTED);
		assert_int_equal(raw_error(&raw), COPY_ERR_DOORBELL);
		assert_int_equal(raw_reg(&raw, COPY_REG_ERROR_ADDR, 8), bad[i]);
		assert_int_equal(raw_reg(&raw, COPY_REG_TAIL, 4), 2);
		assert_int_equal(dma_dev_step(raw.dev), 0);
	}

	/* Back, to a descriptor that has not been done. */
	raw_disable(&raw);
	raw_enable(&raw);
	for (unsigned int i = 0; i < 3; i++)
		raw_submit(&raw, &(struct raw_desc){.opcode = COPY_OP_NOP});
	raw_set(&raw, COPY_REG_TAIL, 1, 4);
	assert_int_equal(raw_error(&raw), COPY_ERR_DOORBELL);
	/* A full ring, and the same again, are no mistakes. */
	raw_disable(&raw);
	raw_enable(&raw);
	raw_set(&raw, COPY_REG_TAIL, RAW_ENTRIES, 4);
	raw_set(&raw, COPY_REG_TAIL, RAW_ENTRIES, 4);
	assert_int_equal(raw_state(&raw), COPY_STATE_READY);
	raw_set(&raw, COPY_REG_TAIL, RAW_ENTRIES + 1, 4);
	assert_int_equal(raw_error(&raw), COPY_ERR_DOORBELL);
	raw_close(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(windows_and_widths),
		cmocka_unit_test(what_cannot_be_written_stays),
		cmocka_unit_test(disabling_resets),
		cmocka_unit_test(bad_rings_halt),
		cmocka_unit_test(bad_doorbells_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
