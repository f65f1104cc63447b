/* SPDX-License-Identifier: MIT */
/* Taking buffers back from importers: invalidation, fences, revocation. */
#include <time.h>

#include "dma/dmabuf.h"

void dmabuf_count_mapped(struct dmabuf *b, int by)
{
	pthread_mutex_lock(&b->wait_lock);
	b->nr_mapped += (size_t)by;
	if (!b->nr_mapped)
		pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->wait_lock);
}

size_t dma_buf_nr_mapped(struct dma_buf *dmabuf)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	size_t nr;

	pthread_mutex_lock(&b->wait_lock);
	nr = b->nr_mapped;
	pthread_mutex_unlock(&b->wait_lock);
	return nr;
}

int dma_buf_fence_begin(struct dma_buf_attachment *attach)
{
	struct dmabuf *b = dmabuf_of(attach->dmabuf);
	int err = dmabuf_need_lock(attach->dmabuf, "beginning a fence");

	if (!err)
		err = dmabuf_check_revoked(b, "beginning a fence of");
	if (err)
		return err;
	pthread_mutex_lock(&b->wait_lock);
	b->nr_fences++;
	dmabuf_attachment_of(attach)->nr_fences++;
	pthread_mutex_unlock(&b->wait_lock);
	return 0;
}

size_t dmabuf_end_fences(struct dmabuf_attachment *a, size_t max)
{
	struct dmabuf *b = dmabuf_of(a->public.dmabuf);
	size_t ended;

	pthread_mutex_lock(&b->wait_lock);
	ended = a->nr_fences < max ? a->nr_fences : max;
	a->nr_fences -= ended;
	b->nr_fences -= ended;
	if (!b->nr_fences)
		pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->wait_lock);
	return ended;
}

void dma_buf_fence_end(struct dma_buf_attachment *attach)
{
	if (!dmabuf_end_fences(dmabuf_attachment_of(attach), 1))
		dma_misuse(attach->dev->space,
			   "ending a fence of %s that was not begun; call dma_buf_fence_begin() "
			   "with the lock held first",
			   attach->dev->name);
}

static void invalidate(struct dmabuf *b)
{
	for (struct dmabuf_attachment *a = b->attachments; a; a = a->next)
		if (dma_buf_attach_revocable(&a->public))
			a->public.importer_ops->invalidate_mappings(&a->public);
}

void dma_buf_invalidate_mappings(struct dma_buf *dmabuf)
{
	if (!dmabuf_need_lock(dmabuf, "invalidating mappings"))
		invalidate(dmabuf_of(dmabuf));
}

static struct timespec in_ms(int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

/* Until no device uses the buffer and none can reach it. */
static int wait_until_idle(struct dmabuf *b, int timeout_ms)
{
	struct timespec until = in_ms(timeout_ms < 0 ? 0 : timeout_ms);
	size_t fences, mapped;
	int err = 0;

	pthread_mutex_lock(&b->wait_lock);
	while ((b->nr_fences || b->nr_mapped) && !err) {
		if (timeout_ms < 0)
			pthread_cond_wait(&b->changed, &b->wait_lock);
		else
			err = pthread_cond_timedwait(&b->changed, &b->wait_lock, &until);
	}
	fences = b->nr_fences;
	mapped = b->nr_mapped;
	pthread_mutex_unlock(&b->wait_lock);
	if (!fences && !mapped)
		return 0;
	return base_error(-ETIMEDOUT,
			  "revoking a buffer of %s: after %d ms importers still have %zu fences "
			  "and %zu mappings; they must unmap when they are invalidated",
			  dmabuf_name(&b->public), timeout_ms, fences, mapped);
}

int dma_buf_revoke(struct dma_buf *dmabuf, int timeout_ms)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	int err = dmabuf_need_no_lock(dmabuf, "revoking");

	if (err)
		return err;
	if (!(b->flags & DMA_BUF_REVOCABLE))
		return base_error(-EOPNOTSUPP,
				  "revoking a buffer of %s that importers need not let go; export "
				  "it with DMA_BUF_REVOCABLE",
				  dmabuf_name(dmabuf));
	dmabuf_take(b);
	__atomic_store_n(&b->revoked, true, __ATOMIC_RELAXED);
	b->revoking++;
	invalidate(b);
	dmabuf_leave(b);
	err = wait_until_idle(b, timeout_ms);
	dmabuf_take(b);
	b->revoking--;
	dmabuf_leave(b);
	return err;
}

int dma_buf_unrevoke(struct dma_buf *dmabuf)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	int err = dmabuf_need_no_lock(dmabuf, "ending a revocation");

	if (err)
		return err;
	dmabuf_take(b);
	if (b->revoking) {
		err = base_error(-EBUSY,
				 "ending the revocation of a buffer of %s while it is waited for; "
				 "do so when dma_buf_revoke() has returned",
				 dmabuf_name(dmabuf));
	} else if (b->revoked) {
		invalidate(b);
		__atomic_store_n(&b->revoked, false, __ATOMIC_RELAXED);
	}
	dmabuf_leave(b);
	return err;
}

bool dma_buf_is_revoked(const struct dma_buf *dmabuf)
{
	return __atomic_load_n(&dmabuf_of(dmabuf)->revoked, __ATOMIC_RELAXED);
}
