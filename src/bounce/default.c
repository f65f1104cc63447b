/* SPDX-License-Identifier: MIT */
/* The pools that devices have by themselves: one for each class of reach. */
#include <inttypes.h>

#include "bounce/pool.h"

static const struct bounce_class {
	uint64_t last; /* the least that a device must reach to use it */
	uint64_t size; /* 0: as the program says */
	uint64_t max_size;
} classes[] = {
	{0, 0, 0}, /* base_user_last() */
	{DMA_BIT_MASK(32), 16ULL << 20, 256ULL << 20},
	{DMA_BIT_MASK(30), 16ULL << 20, 256ULL << 20},
	{DMA_BIT_MASK(24), 2ULL << 20, 4ULL << 20},
};

/* A pool at low addresses that has less is not worth having. */
#define LEAST_SIZE (1ULL << 20)

/* And one in huge pages, for devices whose memory must not move. */
#define HUGE_CLASS ARRAY_SIZE(classes)

static struct dma_bounce *defaults[HUGE_CLASS + 1]; /* read without the lock */
static struct dma_bounce_desc described;
static uint64_t user_last = UINT64_MAX;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void find_user_last(void)
{
	user_last = base_user_last();
}

void bounce_forget_defaults(void)
{
	pthread_mutex_init(&lock, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(defaults); i++)
		__atomic_store_n(&defaults[i], NULL, __ATOMIC_RELAXED);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the program says of the unlimited pool is the most that the others have. */
static void plan_low(const struct bounce_class *class, struct bounce_plan *plan)
{
	plan->last = class->last;
	plan->segments = lesser(plan->segments, class->size >> BOUNCE_SEGMENT_SHIFT);
	plan->max_segments = lesser(plan->max_segments, class->max_size >> BOUNCE_SEGMENT_SHIFT);
	while (plan->areas > plan->segments)
		plan->areas /= 2;
}

/* Huge pages are few: one to begin with, unless the program says more. */
static int make_huge(struct dma_bounce **bounce)
{
	struct dma_bounce_desc desc = described;
	struct bounce_plan plan;
	int err;

	desc.hugepages = true;
	if (!desc.size)
		desc.size = desc.max_size ? lesser(desc.max_size, BASE_HUGE) : BASE_HUGE;
	err = bounce_plan(&desc, &plan);
	plan.is_default = true;
	return err ? err : bounce_make(&plan, bounce);
}

static int make(const struct bounce_class *class, struct dma_bounce **bounce)
{
	struct bounce_plan plan;
	int err = bounce_plan(&described, &plan);

	if (err)
		return err;
	plan.is_default = true;
	if (!class->size)
		return bounce_make(&plan, bounce);
	plan_low(class, &plan);
	for (;;) {
		err = bounce_make(&plan, bounce);
		if (err != -ENOSPC || plan.segments / 2 < LEAST_SIZE >> BOUNCE_SEGMENT_SHIFT)
			return err;
		plan.segments /= 2;
		while (plan.areas > plan.segments)
			plan.areas /= 2;
	}
}

__cold static struct dma_bounce *make_default(unsigned int class)
{
	struct dma_bounce *bounce;

	pthread_mutex_lock(&lock);
	bounce = defaults[class];
	if (!bounce &&
	    !(class == HUGE_CLASS ? make_huge(&bounce) : make(&classes[class], &bounce)))
		__atomic_store_n(&defaults[class], bounce, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return bounce;
}

struct dma_bounce *bounce_default_huge(void)
{
	struct dma_bounce *bounce = __atomic_load_n(&defaults[HUGE_CLASS], __ATOMIC_ACQUIRE);

	return likely(bounce) ? bounce : make_default(HUGE_CLASS);
}

struct dma_bounce *bounce_default(uint64_t last)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(classes); i++) {
		struct dma_bounce *bounce;

		if (last < (i ? classes[i].last : user_last))
			continue;
		bounce = __atomic_load_n(&defaults[i], __ATOMIC_ACQUIRE);
		return likely(bounce) ? bounce : make_default(i);
	}
	base_error(
		-ENOMEM,
		"bouncing for a device that reaches addresses up to %#" PRIx64 ": bounce buffers "
		"are made for devices that reach %#llx; give it a wider mask or a pool of its own",
		last, DMA_BIT_MASK(24));
	return NULL;
}

int dma_bounce_set_defaults(const struct dma_bounce_desc *desc)
{
	struct bounce_plan plan;
	int err = bounce_plan(desc, &plan);

	if (err)
		return err;
	if (desc && desc->last)
		return base_error(-EINVAL,
				  "default pools of bounce buffers at addresses up to %#" PRIx64
				  ": they are made for each reach by themselves; last must be 0",
				  desc->last);
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(defaults); i++)
		if (defaults[i])
			err = -EBUSY;
	if (!err)
		described = desc ? *desc : (struct dma_bounce_desc){0};
	pthread_mutex_unlock(&lock);
	if (err)
		return base_error(err, "describing the default pools of bounce buffers: one is in "
				       "use already; describe them before the first mapping");
	return 0;
}

void dma_bounce_stats(const struct dma_bounce *bounce, struct dma_bounce_stats *stats)
{
	*stats = (struct dma_bounce_stats){0};
	if (bounce) {
		bounce_add_stats(bounce, stats);
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(defaults); i++) {
		bounce = __atomic_load_n(&defaults[i], __ATOMIC_ACQUIRE);
		if (bounce)
			bounce_add_stats(bounce, stats);
	}
}
