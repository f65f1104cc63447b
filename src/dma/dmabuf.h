/* SPDX-License-Identifier: MIT */
/*
 * dma-buf: buffers that one driver exports and others import.
 *
 * Nouns
 *	struct dmabuf             a buffer; what the public sees of it comes first
 *	struct dmabuf_attachment  one device's use of it, likewise; in the buffer's list
 *	struct dmabuf_mapping     what an importer was given: a copy of the exporter's table, with
 *	                          DMA entries only; in the attachment's list
 *	struct dmabuf_ranges      what the library's own exporters export
 *
 * A buffer lives as long as it has users (references) or attachments.
 *
 * Locking
 *  - buffer->lock, the reservation lock: the lists, pins, `revoked`. It is the callers', and
 *    callbacks run with it held; `holder` tells whether the calling thread has it.
 *  - buffer->wait_lock: how many mappings and fences there are, also
 *    of each attachment, and who waits for them. Innermost.
 *  - `lives` (dmabuf.c): users and attachments of all buffers, and the list of those with a
 *    descriptor. Innermost. Held over fork().
 * So a revocation waits without the reservation lock, which importers need to unmap.
 */
#ifndef DMA_DMABUF_H
#define DMA_DMABUF_H

#include <pthread.h>
#include <sys/types.h>

#include <twostep/dmabuf.h>
#include <twostep/p2pdma.h>

#include "dma/dma.h"

struct dmabuf_mapping {
	struct sg_table table;
	struct sg_table *exported;
	enum dma_data_direction dir;
	bool pinned; /* for it alone */
	struct dmabuf_mapping *next;
	struct scatterlist entries[];
};

struct dmabuf_attachment {
	struct dma_buf_attachment public;
	struct dmabuf_mapping *mappings;
	size_t pins;
	size_t nr_fences; /* its part of the buffer's */
	struct dmabuf_attachment *next;
};

struct dmabuf {
	struct dma_buf public;
	unsigned int flags;
	pthread_mutex_t lock;
	const void *holder; /* something of the thread that has the lock */
	struct dmabuf_attachment *attachments;
	bool revoked;
	unsigned int revoking; /* how many are waiting */
	pthread_mutex_t wait_lock;
	pthread_cond_t changed;
	size_t nr_mapped;
	size_t nr_fences;
	uint64_t users;
	uint64_t nr_attachments;
	const struct dmabuf_file *file; /* NULL without a descriptor */
	struct dmabuf *next; /* in the list of those with one */
};

/* NULL of NULL. */
static inline struct dmabuf *dmabuf_of(const struct dma_buf *public)
{
	return public ? container_of(public, struct dmabuf, public) : NULL;
}

static inline struct dmabuf_attachment *
dmabuf_attachment_of(const struct dma_buf_attachment *public)
{
	return public ? container_of(public, struct dmabuf_attachment, public) : NULL;
}

/* What the exporter is called in a sentence. */
static inline const char *dmabuf_name(const struct dma_buf *buf)
{
	return buf->exp_name ? buf->exp_name : "without a name";
}

bool dmabuf_holds(const struct dmabuf *b);
void dmabuf_take(struct dmabuf *b);
void dmabuf_leave(struct dmabuf *b);

/* Take the lock unless the thread has it already; whether it must be left again. */
static inline bool dmabuf_enter(struct dmabuf *b)
{
	if (dmabuf_holds(b))
		return false;
	dmabuf_take(b);
	return true;
}

/* -EINVAL with the error text if the thread does not have the lock. */
int dmabuf_need_lock(const struct dma_buf *buf, const char *what);
/* -EDEADLK with the error text if it has. */
int dmabuf_need_no_lock(const struct dma_buf *buf, const char *what);
/* -ENODEV with the error text if the buffer is revoked; lock held. */
int dmabuf_check_revoked(const struct dmabuf *b, const char *what);

/* dmabuf_revoke.c: one more or less, and whoever waits is told. */
void dmabuf_count_mapped(struct dmabuf *b, int by);
/* End up to @max fences of an attachment; how many there were. */
size_t dmabuf_end_fences(struct dmabuf_attachment *a, size_t max);

/* dmabuf_file.c */

/* Which bytes of which file a buffer is. */
struct dmabuf_file {
	int fd;
	bool kernels; /* a dma-buf of the kernel */
	dev_t dev;
	ino_t ino;
	uint64_t offset;
	uint64_t size;
};

/*
 * A buffer with a descriptor becomes known; if another one of the same bytes is known, it is
 * returned instead, with one more reference.
 */
struct dmabuf *dmabuf_publish(struct dmabuf *b, const struct dmabuf_file *file);
/* One that is known, with one more reference, or NULL. */
struct dmabuf *dmabuf_known(const struct dmabuf_file *file);

/* dmabuf_export.c: the library's own exporters. */

struct dmabuf_ranges {
	struct p2pdma_provider *provider; /* NULL: not a peer's */
	const struct phys_vec *vec;
	size_t nr_vecs;
	void (*release)(struct dmabuf_ranges *ranges);
	const struct dmabuf_file *file; /* NULL without a descriptor */
};

/* Sizes and alignment of ranges, and their sum; -EINVAL with the error text. */
int dmabuf_check_ranges(const struct phys_vec *vec, size_t nr_vecs, size_t *size);

/* A buffer of @ranges, which it releases in the end; on failure it does not. */
struct dma_buf *dmabuf_export_ranges(struct dmabuf_ranges *ranges, const char *name, size_t size,
				     unsigned int flags);

/* dmabuf_file.c: tell the kernel of an access; 0 or -errno with the error text. */
int dmabuf_file_access(const struct dmabuf_file *file, enum dma_data_direction dir, bool end);

#endif
