/* SPDX-License-Identifier: MIT */
/* Buffers, references, attachments, the lock: who may do what, and what is left. */
#include <sys/wait.h>
#include <unistd.h>

#include "sharing.h"

static void exports_that_are_refused(void **state)
{
	static const struct dma_buf_ops no_unmap = {.map_dma_buf = exporter_map};
	static const struct dma_buf_ops half_pin = {
		.map_dma_buf = exporter_map, .unmap_dma_buf = exporter_unmap, .pin = exporter_pin};
	const struct dma_buf_export_info bad[] = {
		{.ops = NULL, .size = PAGE},
		{.ops = &no_unmap, .size = PAGE},
		{.ops = &half_pin, .size = PAGE},
		{.ops = &exporter_ops, .size = 0},
		{.ops = &exporter_ops, .size = PAGE + 1},
		{.ops = &exporter_ops, .size = 1ULL << 63},
		{.ops = &exporter_ops, .size = PAGE, .flags = 2},
	};

	(void)state;
	assert_error(dma_buf_export(NULL), -EINVAL);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_error(dma_buf_export(&bad[i]), -EINVAL);
}

static void ranges_that_are_refused(void **state)
{
	const struct phys_vec unaligned[] = {{0x10000, PAGE}, {0x20800, PAGE}};
	const struct phys_vec odd[] = {{0x10000, PAGE + 512}};
	const struct phys_vec empty[] = {{0x10000, PAGE}, {0x20000, 0}};
	const struct phys_vec wraps[] = {{0x10000, 1ULL << 62}, {0x20000, 1ULL << 62}};
	const struct phys_vec over[] = {{0x10000, SIZE_MAX - 4095}, {0x20000, 2 * PAGE}};

	(void)state;
	assert_error(dma_buf_export_phys(NULL, odd, 0, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, NULL, 1, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, unaligned, 2, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, odd, 1, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, empty, 2, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, wraps, 2, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, over, 2, 0), -EINVAL);
	assert_error(dma_buf_export_phys(NULL, unaligned, 1, 4), -EINVAL);
}

static void references(void **state)
{
	struct exporter e;

	(void)state;
	exporter_open(&e, &exporter_ops, 0);
	get_dma_buf(e.buf);
	get_dma_buf(e.buf);
	dma_buf_put(e.buf);
	dma_buf_put(e.buf);
	assert_int_equal(e.released, 0);
	/* The last one is not given back with the lock held. */
	assert_int_equal(dma_buf_lock(e.buf), 0);
	dma_clear_error();
	dma_buf_put(e.buf);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(e.released, 0);
	dma_buf_unlock(e.buf);
	exporter_close(&e);
	dma_buf_put(NULL);
}

static void attachments(void **state)
{
	struct device d = soft_open(state, ""), other = soft_open(state, "");
	struct dma_buf_attachment *plain;
	struct importer i;
	struct exporter e;

	exporter_open(&e, &exporter_ops, 0);
	assert_error(dma_buf_attach(NULL, d.dev), -EINVAL);
	assert_error(dma_buf_attach(e.buf, NULL), -EINVAL);
	plain = dma_buf_attach(e.buf, d.dev);
	assert_false(IS_ERR(plain));
	assert_ptr_equal(plain->dmabuf, e.buf);
	assert_ptr_equal(plain->dev, d.dev);
	assert_false(plain->peer2peer);
	assert_false(dma_buf_attach_revocable(plain));
	importer_attach(&i, e.buf, &other);
	assert_true(i.attach->peer2peer);
	assert_true(dma_buf_attach_revocable(i.attach));
	assert_ptr_equal(i.attach->importer_priv, &i);
	assert_int_equal(e.attached, 2);

	e.attach_err = -EXDEV;
	assert_error(dma_buf_attach(e.buf, d.dev), -EXDEV);
	assert_int_equal(e.attached, 2);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_error(dma_buf_attach(e.buf, d.dev), -EDEADLK);
	dma_buf_unlock(e.buf);

	importer_detach(&i);
	dma_buf_detach(e.buf, plain);
	assert_int_equal(e.attached, 0);
	exporter_close(&e);
	device_close(&d, 0);
	device_close(&other, 0);
}

static void putting_what_is_attached(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	addr = importer_map(&i);
	dma_clear_error();
	dma_buf_put(e.buf);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(stats_of(&d).misuse, 1);
	assert_reads_pages(&d, addr, EXPORTED, 0x10);
	/* One that there is no reference for. */
	dma_buf_put(e.buf);
	assert_int_equal(stats_of(&d).misuse, 2);
	assert_int_equal(e.released, 0);
	importer_unmap(&i);
	assert_refused_pages(&d, addr, EXPORTED);
	importer_detach(&i);
	assert_int_equal(e.released, 1);
	device_close(&d, 2);
}

static void detaching_what_is_mapped(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e, foreign;
	dma_addr_t addr;

	exporter_open(&e, &pinning_ops, 0);
	exporter_open(&foreign, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	addr = importer_map(&i);
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_int_equal(dma_buf_pin(i.attach), 0);
	assert_int_equal(dma_buf_pin(i.attach), 0);
	/* With the lock held: the device loses it, the attachment stays. */
	dma_buf_detach(e.buf, i.attach);
	assert_refused_pages(&d, addr, EXPORTED);
	assert_int_equal(stats_of(&d).misuse, 2);
	assert_int_equal(e.pinned, 0);
	assert_int_equal(e.attached, 1);
	dma_buf_unlock(e.buf);

	addr = importer_map(&i);
	dma_buf_detach(foreign.buf, i.attach);
	assert_refused_pages(&d, addr, EXPORTED);
	assert_int_equal(stats_of(&d).misuse, 4);
	assert_int_equal(e.attached, 0);
	exporter_close(&e);
	exporter_close(&foreign);
	device_close(&d, 4);
}

static void the_lock(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;
	struct sg_table *sgt;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	assert_false(dma_buf_is_locked(e.buf));
	assert_error(dma_buf_map_attachment(i.attach, DMA_BIDIRECTIONAL), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(i.attach, e.vec, 3, e.buf->size, DMA_BIDIRECTIONAL),
		     -EINVAL);
	assert_errno(dma_buf_pin(i.attach), -EINVAL);
	assert_errno(dma_buf_fence_begin(i.attach), -EINVAL);
	dma_clear_error();
	dma_buf_unlock(e.buf);
	assert_string_not_equal(dma_last_error(), "");
	dma_clear_error();
	dma_buf_invalidate_mappings(e.buf);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(i.invalidated, 0);

	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_true(dma_buf_is_locked(e.buf));
	assert_errno(dma_buf_lock(e.buf), -EDEADLK);
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_BIDIRECTIONAL), -EDEADLK);
	sgt = dma_buf_map_attachment(i.attach, DMA_BIDIRECTIONAL);
	assert_false(IS_ERR(sgt));
	dma_buf_unlock(e.buf);
	/* Without the lock: done, and misuse. */
	dma_buf_unmap_attachment(i.attach, sgt, DMA_BIDIRECTIONAL);
	assert_int_equal(e.mapped, 0);
	assert_int_equal(stats_of(&d).misuse, 1);
	assert_false(dma_buf_is_locked(e.buf));
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 1);
}

static void a_child_has_nothing(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;
	pid_t child;
	int status;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	importer_map(&i);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		void *attached = dma_buf_attach(e.buf, d.dev);
		void *mapped = dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE);

		if (PTR_ERR(attached) != -EPERM || PTR_ERR(mapped) != -EPERM)
			_exit(1);
		importer_unmap(&i);
		importer_detach(&i);
		dma_buf_put(e.buf);
		dma_dev_close(d.dev);
		_exit(e.released == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_table(&d, i.sgt, EXPORTED, 0x10);
	importer_unmap(&i);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exports_that_are_refused),
		cmocka_unit_test(ranges_that_are_refused),
		cmocka_unit_test(references),
		EACH_FORMAT(attachments),
		EACH_FORMAT(putting_what_is_attached),
		EACH_FORMAT(detaching_what_is_mapped),
		EACH_FORMAT(the_lock),
		EACH_FORMAT(a_child_has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
