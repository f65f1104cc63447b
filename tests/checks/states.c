/* SPDX-License-Identifier: MIT */
/* States that are reserved again, copied, moved, and used with other devices. */
#include "calls.h"

#define SIZE (4 * PAGE)

/* On the heap: what a stack holds may be what a call before left there. */
static struct dma_iova_state *states;

static void begin(void)
{
	states = calloc(4, sizeof(*states));
	assert_non_null(states);
}

static void reserved_again(void **state)
{
	struct dma_iova_state was;
	const struct kept *k;

	(void)state;
	begin();
	assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
	was = states[0];
	assert_true(second_try_alloc(d.dev, &states[0], 0, SIZE));
	k = only_at(DMA_DEBUG_STATE_LIVE, second_try_alloc, first_try_alloc);
	concerns(k, was.addr, SIZE, 0);
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED));
	/* The call has done what it does. */
	assert_int_not_equal(states[0].addr, was.addr);
	third_free(d.dev, &states[0]);
	silent();
	third_free(d.dev, &was);
	silent();
	assert_true(first_try_alloc_flags(d.dev, &states[1], 0, SIZE, 0, DMA_IOVA_WHOLE));
	was = states[1];
	assert_true(second_try_alloc_flags(d.dev, &states[1], 0, SIZE, 0, 0));
	concerns(only_at(DMA_DEBUG_STATE_LIVE, second_try_alloc_flags, first_try_alloc_flags),
		 was.addr, SIZE, 0);
	third_free(d.dev, &states[1]);
	third_free(d.dev, &was);
	free(states);
}

static void reserved_again_with_links(void **state)
{
	struct dma_iova_state was;

	(void)state;
	begin();
	assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
	linked(&states[0], 0, 2, DMA_TO_DEVICE);
	was = states[0];
	assert_true(second_try_alloc(d.dev, &states[0], 0, PAGE));
	ends_with(only_at(DMA_DEBUG_STATE_LIVE, second_try_alloc, first_try_alloc),
		  ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED));
	third_free(d.dev, &states[0]);
	destroyed(&was, 2, DMA_TO_DEVICE);
	free(states);
}

/* Freed, zeroed or used for the first time, a state may be reserved. */
static void reserved_rightly(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 10; i++) {
		assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
		linked(&states[0], 0, 1, DMA_TO_DEVICE);
		if (i & 1) {
			third_unlink(d.dev, &states[0], 0, PAGE, DMA_TO_DEVICE, 0);
			third_free(d.dev, &states[0]);
		} else {
			destroyed(&states[0], 1, DMA_TO_DEVICE);
		}
	}
	memset(states, 0xa5, sizeof(*states));
	assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
	third_free(d.dev, &states[0]);
	silent();
	free(states);
}

/* Handed on by copy: once the copy has been used, the original is nobody's. */
static void copied(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 3; i++) {
		assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
		linked(&states[0], 0, 1, DMA_TO_DEVICE);
		states[1] = states[0];
		synced(&states[1], 0, 1);
		assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
		silent();
		destroyed(&states[1], 1, DMA_TO_DEVICE);
		third_free(d.dev, &states[0]);
	}
	silent();
	/* The one that was used last is the one that counts. */
	assert_true(first_try_alloc(d.dev, &states[0], 0, SIZE));
	states[1] = states[0];
	linked(&states[1], 0, 1, DMA_TO_DEVICE);
	states[2] = states[1];
	assert_true(second_try_alloc(d.dev, &states[1], 0, SIZE));
	only_at(DMA_DEBUG_STATE_LIVE, second_try_alloc, first_try_alloc);
	third_free(d.dev, &states[1]);
	destroyed(&states[2], 1, DMA_TO_DEVICE);
	free(states);
}

static void __attribute__((__noinline__)) reserve_on_the_stack(struct dma_iova_state *out)
{
	struct dma_iova_state s;

	assert_true(first_try_alloc(d.dev, &s, 0, PAGE));
	*out = s;
}

/* The same stack is used again and again, with what was there before. */
static void on_the_stack(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 4; i++)
		reserve_on_the_stack(&states[i]);
	silent();
	for (int i = 0; i < 4; i++)
		third_free(d.dev, &states[i]);
	free(states);
}

static void another_device(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	struct dma_dev *other;
	const struct kept *k;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_dev_open_in("soft:iotlb=32", d.space, &other), 0);
	assert_int_equal(dma_set_mask_and_coherent(other, DMA_BIT_MASK(64)), 0);
	assert_int_equal(second_link(other, &s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0), 0);
	k = only_at(DMA_DEBUG_WRONG_DEVICE, second_link, first_try_alloc);
	assert_string_equal(k->device, "soft:iotlb=32");
	concerns(k, s.addr, SIZE, 0);
	assert_int_equal(second_link_vec(other, &s, &(struct phys_vec){phys_of(1), PAGE}, 1, PAGE,
					 DMA_TO_DEVICE, 0),
			 0);
	only_at(DMA_DEBUG_WRONG_DEVICE, second_link_vec, first_try_alloc);
	assert_int_equal(second_sync(other, &s, 0, PAGE), 0);
	only_at(DMA_DEBUG_WRONG_DEVICE, second_sync, first_try_alloc);
	second_unlink(other, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_WRONG_DEVICE, second_unlink, first_try_alloc);
	second_destroy(other, &s, 0, DMA_TO_DEVICE, 0);
	assert_int_equal(nr_kept, 2); /* and the length was wrong */
	among(DMA_DEBUG_WRONG_DEVICE, PLACE(second_destroy), PLACE(first_try_alloc));
	among(DMA_DEBUG_DESTROY_LENGTH, PLACE(second_destroy), PLACE(second_link_vec));
	nr_kept = 0;
	s = reserved(SIZE);
	second_free(other, &s);
	only_at(DMA_DEBUG_WRONG_DEVICE, second_free, first_try_alloc);

	addr = mapped(phys_of(0), PAGE, DMA_BIDIRECTIONAL);
	second_for_cpu(other, addr, PAGE, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_WRONG_DEVICE, second_for_cpu, first_map_phys), addr, PAGE,
		 phys_of(0));
	second_unmap_phys(other, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	k = only_at(DMA_DEBUG_WRONG_DEVICE, second_unmap_phys, first_map_phys);
	assert_string_equal(k->device, "soft:iotlb=32");
	concerns(k, addr, PAGE, phys_of(0));
	dma_dev_close(other);
}

/* Without translation a mapping of another device is not told apart by its address alone. */
static void another_device_without_translation(void **state)
{
	dma_addr_t addr = mapped(phys_of(0), PAGE, DMA_BIDIRECTIONAL);
	struct dma_dev *other;

	(void)state;
	assert_int_equal(dma_dev_open_in("direct:", d.space, &other), 0);
	assert_int_equal(dma_set_mask_and_coherent(other, DMA_BIT_MASK(64)), 0);
	second_unmap_phys(other, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	only_at(DMA_DEBUG_WRONG_DEVICE, second_unmap_phys, first_map_phys);
	unmapped(addr, PAGE, DMA_BIDIRECTIONAL);
	silent();
	dma_dev_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_SOFT(reserved_again),
		EACH_SOFT(reserved_again_with_links),
		EACH_SOFT(reserved_rightly),
		EACH_SOFT(copied),
		EACH_SOFT(on_the_stack),
		ON(another_device, "soft:pgtable=vtd-ss"),
		ON(another_device, "soft:pgtable=x86-64"),
		ON(another_device_without_translation, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
