/* SPDX-License-Identifier: MIT */
/* Gathers that are open, by where they are. */
#include "debug/parts.h"

static struct debug_gather **find(struct debug *debug, const struct dma_gather *gather)
{
	struct debug_gather **link = &debug->gathers;

	while (*link && (*link)->gather != gather)
		link = &(*link)->next;
	return link;
}

static void tell(struct debug *debug, const void *caller, const void *origin, const char *text)
{
	const struct debug_finding finding = {
		.kind = DMA_DEBUG_GATHER_OPEN,
		.caller = caller,
		.origin = origin,
		.brief = true,
	};

	debug_report(debug, &finding, "%s", text);
}

/* Make one that has ended before, or the fresh one, known as open. False: there is neither. */
static bool open_gather(struct debug *debug, struct debug_gather **fresh, const void *caller,
			const struct dma_gather *gather)
{
	struct debug_gather *opened = debug->spare_gathers;

	if (opened)
		store(&debug->spare_gathers, opened->next);
	else if ((opened = *fresh))
		*fresh = NULL;
	else
		return false;
	*opened = (struct debug_gather){debug->gathers, gather, caller};
	debug->gathers = opened;
	return true;
}

void debug_gather_begun(struct base_observer *observer, const void *caller,
			const struct dma_gather *gather)
{
	struct debug *debug = debug_of(observer);
	struct debug_gather *fresh = NULL, *open;
	const void *origin = NULL;
	bool known;

	if (unlikely(!__atomic_load_n(&debug->spare_gathers, __ATOMIC_RELAXED)))
		fresh = base_alloc(sizeof(*fresh));
	pthread_mutex_lock(&debug->lock);
	open = *find(debug, gather);
	known = open || open_gather(debug, &fresh, caller, gather);
	if (open) {
		origin = open->caller;
		open->caller = caller;
	}
	pthread_mutex_unlock(&debug->lock);
	base_free(fresh);
	if (!known)
		debug_incomplete(debug, caller, NULL, "a gather");
	if (open)
		tell(debug, caller, origin,
		     "dma_gather_begin() of a gather that was begun before and not ended: what it "
		     "has gathered is lost; call dma_gather_end() first");
}

void debug_gather_ended(struct base_observer *observer, const struct dma_gather *gather)
{
	struct debug *debug = debug_of(observer);
	struct debug_gather **link, *open;

	pthread_mutex_lock(&debug->lock);
	link = find(debug, gather);
	open = *link;
	if (open) {
		*link = open->next;
		open->next = debug->spare_gathers;
		store(&debug->spare_gathers, open);
	}
	pthread_mutex_unlock(&debug->lock);
}

int debug_gathers_open(struct debug *debug)
{
	const struct debug_gather *open;
	const void *caller = NULL;
	int nr, i;

	for (nr = 0;; nr++) {
		pthread_mutex_lock(&debug->lock);
		open = debug->gathers;
		for (i = 0; open && i < nr; i++)
			open = open->next;
		if (open)
			caller = open->caller;
		pthread_mutex_unlock(&debug->lock);
		if (!open)
			return nr;
		tell(debug, caller, caller,
		     "a gather is open: what it has gathered is not final, and its addresses are "
		     "not free; call dma_gather_end()");
	}
}
