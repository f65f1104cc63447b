/* SPDX-License-Identifier: MIT */
/* No bounce buffer where one is needed: told, unless the driver expects it. */
#include <twostep/bounce.h>

#include "calls.h"

static struct dma_bounce *pool;

#define LENT (PAGE * 32 - 64)

/* From a pool of one segment, so much that there is no room for another. */
static void lend(dma_addr_t *addr, size_t nr)
{
	const struct dma_bounce_desc desc = {.size = DMA_BOUNCE_SEGMENT,
					     .max_size = DMA_BOUNCE_SEGMENT};

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	for (size_t i = 0; i < nr; i++) {
		addr[i] = first_map_phys(d.dev, phys_of(0) + 32, LENT, DMA_TO_DEVICE, 0);
		assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
	}
	silent();
}

static void no_buffer(void **state)
{
	struct dma_bounce_stats stats;
	struct dma_iova_state s;
	const struct kept *k;
	dma_addr_t addr[2];

	(void)state;
	lend(addr, 2);
	assert_int_equal(second_map_phys(d.dev, phys_of(0) + 32, LENT, DMA_TO_DEVICE, 0),
			 DMA_MAPPING_ERROR);
	k = only(DMA_DEBUG_NO_BOUNCE, PLACE(second_map_phys), NOWHERE);
	assert_int_equal(k->report.size, LENT);
	assert_int_equal(k->report.phys, phys_of(0) + 32);
	assert_string_equal(k->device, device_uri);
	assert_int_equal(second_map_single(d.dev, memory + 32, LENT, DMA_TO_DEVICE),
			 DMA_MAPPING_ERROR);
	only(DMA_DEBUG_NO_BOUNCE, PLACE(second_map_single), NOWHERE);
	assert_int_equal(
		second_map_phys(d.dev, phys_of(0) + 32, LENT, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
		DMA_MAPPING_ERROR);
	silent();
	if (has("bounce=force") && translates()) {
		assert_true(first_try_alloc(d.dev, &s, 32, LENT));
		assert_int_equal(second_link(d.dev, &s, phys_of(0) + 32, 0, LENT, DMA_TO_DEVICE, 0),
				 -ENOMEM);
		only(DMA_DEBUG_NO_BOUNCE, PLACE(second_link), NOWHERE);
		assert_int_equal(second_link_vec(d.dev, &s,
						 &(struct phys_vec){phys_of(0) + 32, LENT}, 1, 0,
						 DMA_TO_DEVICE, 0),
				 -ENOMEM);
		only(DMA_DEBUG_NO_BOUNCE, PLACE(second_link_vec), NOWHERE);
		assert_int_equal(second_link(d.dev, &s, phys_of(0) + 32, 0, LENT, DMA_TO_DEVICE,
					     DMA_ATTR_NO_WARN),
				 -ENOMEM);
		silent();
		third_free(d.dev, &s);
	}
	for (size_t i = 0; i < 2; i++)
		unmapped(addr[i], LENT, DMA_TO_DEVICE);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.used, 0);
	assert_int_equal(dma_dev_set_bounce(d.dev, NULL), 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(no_buffer, "soft:untrusted"),
		ON(no_buffer, "soft:bounce=force"),
		ON(no_buffer, "soft:bounce=force,coherent=off"),
		ON(no_buffer, "direct:bounce=force"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
