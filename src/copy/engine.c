/* SPDX-License-Identifier: MIT */
/* Taking hold of a copy engine, letting go of it, and starting it afresh. */
#include "copy/copy.h"

#define PAGE 4096u
#define MOST_ORDER 16u /* of 2, entries in a ring: TS_COPY_MAX_RING */
#define MOST_PIECES 65536u /* in a list */
#define STATE_WAIT_NS 1000000000u /* for the engine to stop */

static int area_open(struct dma_dev *dev, struct copy_area *area, size_t size,
		     enum dma_data_direction dir)
{
	area->size = align_up(size, PAGE);
	area->dir = dir;
	area->mem = base_zalloc_aligned(area->size, PAGE);
	if (!area->mem)
		return base_error(-ENOMEM,
				  "ts_copy_open: no memory for %zu bytes of rings; free some",
				  area->size);
	area->addr = dma_map_single(dev, area->mem, area->size, dir);
	if (dma_mapping_error(dev, area->addr)) {
		base_free(area->mem);
		area->mem = NULL;
		return -ENOMEM;
	}
	area->sync = dma_need_sync(dev, area->addr);
	return 0;
}

static void area_close(struct dma_dev *dev, struct copy_area *area)
{
	if (!area->mem)
		return;
	dma_unmap_single(dev, area->addr, area->size, area->dir);
	base_free(area->mem);
}

uint32_t copy_engine_status(struct ts_copy *copy)
{
	uint64_t status;

	if (dma_dev_reg_read(copy->dev, 0, COPY_REG_STATUS, &status, 4))
		return 0xff;
	return (uint32_t)status;
}

/* Stop the engine: when it is DISABLED it uses the bus no more. */
static int engine_disable(struct ts_copy *copy)
{
	uint64_t deadline = copy_now_ns() + STATE_WAIT_NS;
	int err = dma_dev_reg_write(copy->dev, 0, COPY_REG_CONTROL, 0, 4);

	while (!err && COPY_STATUS_STATE(copy_engine_status(copy)) != COPY_STATE_DISABLED) {
		if (copy_now_ns() > deadline)
			err = -EIO;
		else
			copy_nap(10000);
	}
	if (err == -EPERM)
		return err;
	if (err)
		return base_error(-EIO, "copy engine: it was told to stop and has not; "
					"close the device");
	return 0;
}

static int engine_enable(struct ts_copy *copy)
{
	const struct {
		uint64_t offset, value;
		unsigned int width;
	} writes[] = {
		{COPY_REG_RING_BASE, copy->ring.addr, 8},
		{COPY_REG_DONE_BASE, copy->done.addr, 8},
		{COPY_REG_RING_ORDER, copy->order, 4},
		{COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4},
	};
	uint32_t status;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(writes) && !err; i++)
		err = dma_dev_reg_write(copy->dev, 0, writes[i].offset, writes[i].value,
					writes[i].width);
	status = copy_engine_status(copy);
	if (err || COPY_STATUS_STATE(status) != COPY_STATE_READY)
		return base_error(-EIO,
				  "copy engine: it was started and reports state %u, error %u; "
				  "close the device and open it again",
				  COPY_STATUS_STATE(status), COPY_STATUS_ERROR(status));
	return 0;
}

/* Find out whether the device is a copy engine that nobody uses, and what it can do. */
static int engine_identify(struct ts_copy *copy, unsigned int ring_entries)
{
	unsigned int min_order, max_order;
	uint64_t id, cap, status;
	int err = dma_dev_reg_read(copy->dev, 0, COPY_REG_ID, &id, 4);

	if (err == -EPERM)
		return err;
	if (err || id != COPY_ID || dma_dev_reg_read(copy->dev, 0, COPY_REG_CAP, &cap, 8) ||
	    dma_dev_reg_read(copy->dev, 0, COPY_REG_STATUS, &status, 4))
		return base_error(-ENODEV,
				  "ts_copy_open: %s is not a copy engine; open one, for "
				  "example soft:copy",
				  dma_dev_uri(copy->dev));
	if (COPY_STATUS_STATE(status) != COPY_STATE_DISABLED)
		return base_error(-EBUSY,
				  "ts_copy_open: the engine of %s is in use; close its other "
				  "user first",
				  dma_dev_uri(copy->dev));
	min_order = COPY_CAP_MIN_ORDER(cap);
	max_order = COPY_CAP_MAX_ORDER(cap);
	copy->order = order_of(ring_entries) > min_order ? order_of(ring_entries) : min_order;
	if (copy->order > max_order || copy->order > MOST_ORDER)
		return base_error(-EINVAL,
				  "ts_copy_open: %u ring entries asked, the engine has rings "
				  "of 2^%u to 2^%u",
				  ring_entries, min_order, max_order);
	copy->max_pieces = COPY_CAP_MAX_PIECES(cap) < MOST_PIECES ? COPY_CAP_MAX_PIECES(cap)
								  : MOST_PIECES;
	copy->max_bytes = 1ULL << (COPY_CAP_LENGTH_ORDER(cap) & 63);
	return 0;
}

/*
 * Room for two transfers of the longest lists whatever the pool's end cuts off, and
 * sixteen pieces a slot for the many with short ones.
 */
static int rings_open(struct ts_copy *copy)
{
	uint32_t size = copy_ring_size(copy);
	int err;

	copy->pool_pieces = copy->max_pieces * 4 > size * 16 ? copy->max_pieces * 4 : size * 16;
	err = area_open(copy->dev, &copy->ring, (size_t)size * COPY_DESC_SIZE, DMA_TO_DEVICE);
	if (!err)
		err = area_open(copy->dev, &copy->done, (size_t)size * COPY_DONE_SIZE,
				DMA_BIDIRECTIONAL); /* the driver clears it */
	if (!err)
		err = area_open(copy->dev, &copy->pool, (size_t)copy->pool_pieces * COPY_PIECE_SIZE,
				DMA_TO_DEVICE);
	if (err)
		return err;
	copy->lists = base_zalloc(size * sizeof(*copy->lists));
	copy->cookies = base_zalloc(size * sizeof(*copy->cookies));
	copy->kept = base_zalloc(size * sizeof(*copy->kept));
	if (!copy->lists || !copy->cookies || !copy->kept)
		return base_error(-ENOMEM,
				  "ts_copy_open: no memory for a ring of %u entries; free some",
				  size);
	return 0;
}

static void copy_free(struct ts_copy *copy)
{
	area_close(copy->dev, &copy->ring);
	area_close(copy->dev, &copy->done);
	area_close(copy->dev, &copy->pool);
	base_free(copy->lists);
	base_free(copy->cookies);
	base_free(copy->kept);
	base_free(copy);
}

int ts_copy_open(struct dma_dev *dev, unsigned int ring_entries, struct ts_copy **copy)
{
	struct ts_copy *new;
	int err;

	if (!ring_entries || ring_entries > TS_COPY_MAX_RING)
		return base_error(-EINVAL,
				  "ts_copy_open: %u ring entries asked; 1 to %u are possible",
				  ring_entries, TS_COPY_MAX_RING);
	new = base_zalloc(sizeof(*new));
	if (!new)
		return base_error(-ENOMEM, "ts_copy_open: no memory for an engine; free some");
	new->dev = dev;
	err = engine_identify(new, ring_entries);
	if (!err)
		err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (!err)
		err = rings_open(new);
	if (!err) {
		new->stepped = dma_dev_step(dev) >= 0;
		err = engine_enable(new);
		if (err)
			engine_disable(new);
	}
	if (err) {
		copy_free(new);
		return err;
	}
	*copy = new;
	return 0;
}

void ts_copy_close(struct ts_copy *copy)
{
	if (!copy)
		return;
	/* Where nothing cuts its access, an engine that goes on may still use the memory. */
	if (engine_disable(copy) && !dma_get_merge_boundary(copy->dev))
		return;
	copy_free(copy);
}

/* Everything in flight becomes a kept result; the engine is stopped. */
static void keep_results(struct ts_copy *copy)
{
	memmove(copy->kept, copy->kept + copy->kept_first, copy->nr_kept * sizeof(*copy->kept));
	copy->kept_first = 0;
	while (copy->reaped != copy->tail) {
		struct ts_copy_result *result = &copy->kept[copy->nr_kept];

		if (!copy_reap(copy, result)) {
			*result = (struct ts_copy_result){
				.cookie = copy->cookies[copy_slot(copy, copy->reaped)],
				.status = -ECANCELED,
				.code = TS_COPY_CANCELLED,
			};
			copy_retire(copy);
		}
		copy->nr_kept++;
	}
}

int ts_copy_reset(struct ts_copy *copy)
{
	int err = engine_disable(copy);

	copy->broken = true;
	if (err)
		return err;
	keep_results(copy);
	copy->tail = copy->reaped = 0;
	copy->pool_next = copy->pool_used = 0;
	memset(copy->done.mem, 0, copy->done.size);
	copy_area_to_device(copy, &copy->done, 0, copy->done.size);
	err = engine_enable(copy);
	copy->broken = err;
	return err;
}
