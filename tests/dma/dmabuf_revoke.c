/* SPDX-License-Identifier: MIT */
/* Pinning, moving, revoking. */
#include <pthread.h>
#include <unistd.h>

#include "../race.h"
#include "sharing.h"

static void pins(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_buf_attachment *plain;
	struct sg_table *sgt;
	struct importer i;
	struct exporter e;

	exporter_open(&e, &pinning_ops, 0);
	plain = dma_buf_attach(e.buf, d.dev);
	importer_attach(&i, e.buf, &d);
	/* An importer without operations is pinned while it is mapped, one with them is not. */
	sgt = dma_buf_map_attachment_unlocked(plain, DMA_TO_DEVICE);
	assert_false(IS_ERR(sgt));
	assert_int_equal(e.pinned, 1);
	dma_buf_unmap_attachment_unlocked(plain, sgt, DMA_TO_DEVICE);
	assert_int_equal(e.pinned, 0);
	importer_map(&i);
	assert_int_equal(e.pinned, 0);
	importer_unmap(&i);

	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_errno(dma_buf_pin(plain), -EINVAL);
	assert_int_equal(dma_buf_pin(i.attach), 0);
	assert_int_equal(e.pinned, 1);
	dma_buf_unpin(i.attach);
	assert_int_equal(e.pinned, 0);
	dma_buf_unpin(i.attach);
	assert_int_equal(e.pinned, 0);
	assert_int_equal(stats_of(&d).misuse, 1);
	e.pin_err = -EBUSY;
	assert_errno(dma_buf_pin(i.attach), -EBUSY);
	assert_error(dma_buf_map_attachment(plain, DMA_TO_DEVICE), -EBUSY);
	e.pin_err = 0;
	/* What fails after the pin unpins. */
	e.map_err = -EIO;
	assert_error(dma_buf_map_attachment(plain, DMA_TO_DEVICE), -EIO);
	assert_int_equal(e.pinned, 0);
	dma_buf_unlock(e.buf);
	importer_detach(&i);
	dma_buf_detach(e.buf, plain);
	exporter_close(&e);
	device_close(&d, 1);
}

/* Nothing to do where the memory never moves. */
static void pins_of_what_never_moves(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_int_equal(dma_buf_pin(i.attach), 0);
	dma_buf_unpin(i.attach);
	dma_buf_unlock(e.buf);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

/* The exporter takes the memory back, puts it elsewhere, and lets it be mapped again. */
static void moving(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i, lazy;
	struct exporter e;
	dma_addr_t addr, kept;
	uint8_t *moved;

	exporter_open(&e, &pinning_ops, 0);
	importer_attach(&i, e.buf, &d);
	importer_attach(&lazy, e.buf, &d);
	lazy.keeps = true;
	addr = importer_map(&i);
	kept = importer_map(&lazy);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	dma_buf_invalidate_mappings(e.buf);
	assert_int_equal(i.invalidated, 1);
	assert_int_equal(lazy.invalidated, 1);
	assert_refused_pages(&d, addr, EXPORTED);
	/* One has not let go yet: too early to move. */
	assert_int_equal(dma_buf_nr_mapped(e.buf), 1);
	assert_reads_pages(&d, kept, EXPORTED, 0x10);
	dma_buf_unlock(e.buf);
	importer_unmap(&lazy);
	assert_int_equal(dma_buf_nr_mapped(e.buf), 0);

	moved = pages_new(EXPORTED, 0x60);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	e.vec[0] = (struct phys_vec){virt_to_phys(moved), EXPORTED * PAGE};
	e.nr_vecs = 1;
	dma_buf_unlock(e.buf);
	importer_map(&i);
	assert_table(&d, i.sgt, EXPORTED, 0x60);
	importer_unmap(&i);
	importer_detach(&i);
	importer_detach(&lazy);
	exporter_close(&e);
	free(moved);
	device_close(&d, 0);
}

static void revoking(void **state)
{
	static const struct dma_buf_attach_ops deaf = {.allow_peer2peer = true};
	struct device d = soft_open(state, ""), other = soft_open(state, ",untrusted");
	struct importer i, j;
	struct exporter e;
	dma_addr_t addr, also;

	exporter_open(&e, &exporter_ops, DMA_BUF_REVOCABLE);
	assert_error(dma_buf_attach(e.buf, d.dev), -EOPNOTSUPP);
	assert_error(dma_buf_dynamic_attach(e.buf, d.dev, &deaf, NULL), -EOPNOTSUPP);
	importer_attach(&i, e.buf, &d);
	importer_attach(&j, e.buf, &other);
	addr = importer_map(&i);
	also = importer_map(&j);
	assert_false(dma_buf_is_revoked(e.buf));
	assert_int_equal(dma_buf_revoke(e.buf, 0), 0);
	assert_true(dma_buf_is_revoked(e.buf));
	assert_refused_pages(&d, addr, EXPORTED);
	assert_refused_pages(&other, also, EXPORTED);
	assert_int_equal(i.invalidated + j.invalidated, 2);
	assert_int_equal(stats_of(&d).iova_live, 0);

	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -ENODEV);
	assert_error(dma_buf_dynamic_attach(e.buf, d.dev, &importer_ops, NULL), -ENODEV);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_errno(dma_buf_pin(i.attach), -ENODEV);
	assert_errno(dma_buf_fence_begin(i.attach), -ENODEV);
	assert_errno(dma_buf_revoke(e.buf, 0), -EDEADLK);
	assert_errno(dma_buf_unrevoke(e.buf), -EDEADLK);
	dma_buf_unlock(e.buf);
	assert_int_equal(dma_buf_revoke(e.buf, -1), 0);

	assert_int_equal(dma_buf_unrevoke(e.buf), 0);
	assert_int_equal(i.invalidated, 3);
	assert_false(dma_buf_is_revoked(e.buf));
	assert_int_equal(dma_buf_unrevoke(e.buf), 0);
	assert_int_equal(i.invalidated, 3);
	importer_map(&i);
	assert_table(&d, i.sgt, EXPORTED, 0x10);
	importer_unmap(&i);
	importer_detach(&i);
	importer_detach(&j);
	exporter_close(&e);
	device_close(&d, 0);
	device_close(&other, 0);
}

static void revoking_what_cannot_be(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_buf_attachment *attach;
	struct exporter e;
	struct sg_table *sgt;

	exporter_open(&e, &exporter_ops, 0);
	attach = dma_buf_attach(e.buf, d.dev);
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
	assert_false(IS_ERR(sgt));
	assert_errno(dma_buf_revoke(e.buf, 0), -EOPNOTSUPP);
	assert_table(&d, sgt, EXPORTED, 0x10);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_TO_DEVICE);
	dma_buf_detach(e.buf, attach);
	exporter_close(&e);
	device_close(&d, 0);
}

/* An importer that keeps what it was told to unmap, or never ends a fence, is not forgotten. */
static void an_importer_that_does_not_let_go(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, DMA_BUF_REVOCABLE);
	importer_attach(&i, e.buf, &d);
	addr = importer_map(&i);
	i.keeps = true;
	assert_errno(dma_buf_revoke(e.buf, 20), -ETIMEDOUT);
	assert_true(dma_buf_is_revoked(e.buf));
	assert_reads_pages(&d, addr, EXPORTED, 0x10);
	importer_unmap(&i);
	assert_int_equal(dma_buf_revoke(e.buf, 0), 0);
	assert_refused_pages(&d, addr, EXPORTED);

	assert_int_equal(dma_buf_unrevoke(e.buf), 0);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_int_equal(dma_buf_fence_begin(i.attach), 0);
	dma_buf_unlock(e.buf);
	assert_errno(dma_buf_revoke(e.buf, 1), -ETIMEDOUT);
	dma_buf_fence_end(i.attach);
	assert_int_equal(dma_buf_revoke(e.buf, 0), 0);
	dma_buf_fence_end(i.attach);
	assert_int_equal(stats_of(&d).misuse, 1);

	/* One that its attachment does not live to end. */
	assert_int_equal(dma_buf_unrevoke(e.buf), 0);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_int_equal(dma_buf_fence_begin(i.attach), 0);
	dma_buf_unlock(e.buf);
	importer_detach(&i);
	assert_int_equal(stats_of(&d).misuse, 2);
	assert_int_equal(dma_buf_revoke(e.buf, 0), 0);
	exporter_close(&e);
	device_close(&d, 2);
}

struct late {
	struct importer importer;
	bool told;
	bool done;
	int err;
	struct dma_buf *buf;
};

static void tell_late(struct dma_buf_attachment *attach)
{
	struct late *late = attach->importer_priv;

	set_flag(&late->told);
}

static void *revoke_it(void *arg)
{
	struct late *late = arg;

	late->err = dma_buf_revoke(late->buf, -1);
	set_flag(&late->done);
	return NULL;
}

/* It waits for who ends a fence and unmaps later, and is not undone meanwhile. */
static void waiting_for_importers(void **state)
{
	static const struct dma_buf_attach_ops ops = {.invalidate_mappings = tell_late};
	struct device d = soft_open(state, "");
	struct late late = {0};
	struct exporter e;
	pthread_t thread;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, DMA_BUF_REVOCABLE);
	late.buf = e.buf;
	late.importer.attach = dma_buf_dynamic_attach(e.buf, d.dev, &ops, &late);
	assert_false(IS_ERR(late.importer.attach));
	addr = importer_map(&late.importer);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_int_equal(dma_buf_fence_begin(late.importer.attach), 0);
	dma_buf_unlock(e.buf);
	assert_int_equal(pthread_create(&thread, NULL, revoke_it, &late), 0);
	wait_for_flag(&late.told);
	assert_errno(dma_buf_unrevoke(e.buf), -EBUSY);
	usleep(5000);
	assert_false(flag_is_set(&late.done));
	assert_reads_pages(&d, addr, EXPORTED, 0x10);
	dma_buf_fence_end(late.importer.attach);
	usleep(5000);
	assert_false(flag_is_set(&late.done));
	importer_unmap(&late.importer);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(late.err, 0);
	assert_refused_pages(&d, addr, EXPORTED);
	assert_int_equal(dma_buf_unrevoke(e.buf), 0);
	importer_detach(&late.importer);
	exporter_close(&e);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(pins),
		EACH_FORMAT(pins_of_what_never_moves),
		EACH_FORMAT(moving),
		EACH_FORMAT(revoking),
		EACH_FORMAT(revoking_what_cannot_be),
		EACH_FORMAT(an_importer_that_does_not_let_go),
		EACH_FORMAT(waiting_for_importers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
