/* SPDX-License-Identifier: MIT */
/* Wherever memory for a shadow runs out, the call says so and no device sees a difference. */
#include <twostep/error.h>

#include "backend/soft/space.h"
#include "soft_shadow.h"

static void port_fails_whole(void **state)
{
	struct port_options options = {.iotlb_entries = 16, .iotlb_ways = 4, .noncoherent = true};
	unsigned int failed = 0, said = 0;
	struct dma_port *port;
	struct fixture fx;
	uint64_t bytes;

	(void)state;
	fixture_open(&fx);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	for (uint64_t nth = 1;; nth++) {
		int err;

		port = NULL;
		base_alloc_fail(nth);
		err = fx.be->ops->port_open(fx.be, &options, 1, &port);
		base_alloc_fail(0);
		if (!err)
			break;
		failed++;
		said += strstr(dma_last_error(), "(coherent=on)") != NULL;
		assert_int_equal(err, -ENOMEM);
		assert_null(port);
		assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
		assert_null(((struct soft_space *)fx.be)->shadow);
	}
	/* The shadow; the port, its lane and IOTLB. */
	assert_int_equal(failed, 4);
	assert_int_equal(said, 1);
	assert_true(fx.be->ops->metadata_bytes(fx.be) > bytes);
	fx.be->ops->port_close(fx.be, port);
	/* The next one needs no other shadow, and failing leaves the one that there is. */
	base_alloc_fail(2);
	assert_int_equal(fx.be->ops->port_open(fx.be, &options, 1, &port), -ENOMEM);
	base_alloc_fail(0);
	port = open_noncoherent(fx.be, 1);
	prepare(fx.be, phys_of(fx.memory), PAGE);
	shadow_fixture_close(&fx, port);
}

/* Five nodes and four pages, each with what the CPU had; what has been made when one fails is not seen. */
static void prepare_shows_all_or_nothing(void **state)
{
	uint64_t nth = 0;
	bool failed;

	(void)state;
	do {
		struct dma_port *port;
		struct fixture fx;
		uint64_t bytes;

		fixture_open(&fx);
		port = open_noncoherent(fx.be, 1);
		link_memory(fx.be, IOVA, fx.memory, 4 * PAGE, DMA_BIDIRECTIONAL);
		memset(fx.memory, 0x11, 4 * PAGE);
		bytes = fx.be->ops->metadata_bytes(fx.be);
		base_alloc_fail(++nth);
		failed = fx.be->ops->cache_prepare(fx.be, phys_of(fx.memory), 4 * PAGE);
		base_alloc_fail(0);
		assert_sees(port, 0, 4 * PAGE, failed ? 0x11 : SHADOW_POISON);
		if (failed) {
			assert_non_null(strstr(dma_last_error(), "wanted"));
			device_writes(port, PAGE, "x", 1);
			assert_int_equal(fx.memory[PAGE], 'x');
			clean(fx.be, fx.memory, 4 * PAGE);
			cache_invalidate(fx.be, fx.memory, 4 * PAGE);
			assert_int_equal(fx.memory[PAGE], 'x');
		}
		prepare(fx.be, phys_of(fx.memory), 4 * PAGE);
		assert_sees(port, 0, 4 * PAGE, SHADOW_POISON);
		assert_int_equal(fx.be->ops->metadata_bytes(fx.be) - bytes, (5 + 2 * 4) * PAGE);
		shadow_fixture_close(&fx, port);
	} while (failed);
	assert_int_equal(nth, 5 + 4 + 1);
}

/* Pages that are there already are not touched by a prepare that fails. */
static void a_failed_prepare_keeps_what_was_synced(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	memset(fx.memory, 0x22, PAGE);
	clean(fx.be, fx.memory, PAGE);
	base_alloc_fail(2);
	assert_int_equal(fx.be->ops->cache_prepare(fx.be, phys_of(fx.memory), 3 * PAGE), -ENOMEM);
	base_alloc_fail(0);
	assert_sees(port, 0, PAGE, 0x22);
	/* And a sync needs no memory. */
	base_alloc_fail_from(1);
	memset(fx.memory, 0x33, PAGE);
	clean(fx.be, fx.memory, 3 * PAGE);
	cache_invalidate(fx.be, fx.memory, 3 * PAGE);
	assert_int_equal(base_alloc_fail(0), 0);
	assert_sees(port, 0, PAGE, 0x33);
	shadow_fixture_close(&fx, port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_fails_whole),
		cmocka_unit_test(prepare_shows_all_or_nothing),
		cmocka_unit_test(a_failed_prepare_keeps_what_was_synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
