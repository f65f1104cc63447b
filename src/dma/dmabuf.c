/* SPDX-License-Identifier: MIT */
/* Buffers: their lives, their locks, who is attached, and what is mapped. */
#include "dma/dmabuf.h"

static pthread_mutex_t lives = PTHREAD_MUTEX_INITIALIZER;
static struct dmabuf *with_files;

static void before_fork(void)
{
	pthread_mutex_lock(&lives);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lives);
}

__attribute__((constructor)) static void expect_forks(void)
{
	pthread_atfork(before_fork, after_fork, after_fork);
}

/* The reservation lock. */

static thread_local_ie char this_thread;

bool dmabuf_holds(const struct dmabuf *b)
{
	return __atomic_load_n(&b->holder, __ATOMIC_RELAXED) == &this_thread;
}

void dmabuf_take(struct dmabuf *b)
{
	pthread_mutex_lock(&b->lock);
	__atomic_store_n(&b->holder, &this_thread, __ATOMIC_RELAXED);
}

void dmabuf_leave(struct dmabuf *b)
{
	__atomic_store_n(&b->holder, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&b->lock);
}

int dmabuf_need_lock(const struct dma_buf *buf, const char *what)
{
	if (dmabuf_holds(dmabuf_of(buf)))
		return 0;
	return base_error(
		-EINVAL, "%s without the reservation lock of the buffer; call dma_buf_lock() first",
		what);
}

int dmabuf_need_no_lock(const struct dma_buf *buf, const char *what)
{
	if (!dmabuf_holds(dmabuf_of(buf)))
		return 0;
	return base_error(
		-EDEADLK,
		"%s with the reservation lock of the buffer held by the same thread; call "
		"dma_buf_unlock() first",
		what);
}

int dma_buf_lock(struct dma_buf *dmabuf)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	int err = dmabuf_need_no_lock(dmabuf, "taking the lock");

	if (!err)
		dmabuf_take(b);
	return err;
}

void dma_buf_unlock(struct dma_buf *dmabuf)
{
	if (!dmabuf_need_lock(dmabuf, "unlocking"))
		dmabuf_leave(dmabuf_of(dmabuf));
}

bool dma_buf_is_locked(const struct dma_buf *dmabuf)
{
	return dmabuf_holds(dmabuf_of(dmabuf));
}

/* Lives. */

static int check_info(const struct dma_buf_export_info *info)
{
	if (!info || !info->ops || !info->ops->map_dma_buf || !info->ops->unmap_dma_buf)
		return base_error(-EINVAL,
				  "exporting a buffer without map_dma_buf and unmap_dma_buf; an "
				  "exporter needs both");
	if (!info->ops->pin != !info->ops->unpin || (info->ops->vunmap && !info->ops->vmap))
		return base_error(-EINVAL,
				  "exporting a buffer with one of pin and unpin, or vunmap alone; "
				  "each needs its other");
	if (!info->size || info->size % GRANULE || info->size >> 63)
		return base_error(-EINVAL,
				  "exporting a buffer of 0x%zx bytes: the size must be a multiple "
				  "of 4096, not 0 and below 2^63",
				  info->size);
	if (info->flags & ~DMA_BUF_REVOCABLE)
		return base_error(-EINVAL,
				  "exporting a buffer with the flags 0x%x: the only one is "
				  "DMA_BUF_REVOCABLE",
				  info->flags);
	return 0;
}

struct dma_buf *dma_buf_export(const struct dma_buf_export_info *info)
{
	pthread_condattr_t monotonic;
	struct dmabuf *b;
	int err = check_info(info);

	if (err)
		return ERR_PTR(err);
	b = base_zalloc(sizeof(*b));
	if (!b)
		return ERR_PTR(base_error(-ENOMEM, "no memory for a buffer object; free some"));
	b->public = (struct dma_buf){info->size, info->ops, info->exp_name, info->priv};
	b->flags = info->flags;
	b->users = 1;
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->wait_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return &b->public;
}

static void release(struct dmabuf *b)
{
	if (b->public.ops->release)
		b->public.ops->release(&b->public);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->wait_lock);
	pthread_mutex_destroy(&b->lock);
	base_free(b);
}

/* Whether the buffer has nobody left; then it is known to nobody either. With `lives`. */
static bool is_over(struct dmabuf *b)
{
	struct dmabuf **at = &with_files;

	if (b->users || b->nr_attachments)
		return false;
	while (*at && *at != b)
		at = &(*at)->next;
	if (*at)
		*at = b->next;
	return true;
}

void dma_buf_ref(struct dma_buf *dmabuf)
{
	pthread_mutex_lock(&lives);
	dmabuf_of(dmabuf)->users++;
	pthread_mutex_unlock(&lives);
}

/* Somebody holds on to it, by whose space the misuse is counted. */
static __cold void put_attached(struct dmabuf *b, bool underflow)
{
	bool entered = dmabuf_enter(b);
	struct dmabuf_attachment *a = b->attachments;

	if (a)
		dma_misuse(a->public.dev->space,
			   underflow ? "put of a buffer of %s that has no reference left, only "
				       "attachments; call dma_buf_put() once a reference"
				     : "put of the last reference to a buffer of %s with devices "
				       "attached: it stays until they are detached; detach first",
			   dmabuf_name(&b->public));
	if (entered)
		dmabuf_leave(b);
}

void dma_buf_put(struct dma_buf *dmabuf)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	bool attached, underflow, over;

	if (!dmabuf)
		return;
	pthread_mutex_lock(&lives);
	if (b->users == 1 && !b->nr_attachments && dmabuf_holds(b)) {
		pthread_mutex_unlock(&lives);
		dmabuf_need_no_lock(dmabuf, "putting the last reference to a buffer");
		return;
	}
	/* Kept for the sentence; an attachment that leaves meanwhile is not the last then. */
	underflow = !b->users;
	attached = b->nr_attachments && b->users <= 1;
	if (!underflow && !attached)
		b->users--;
	over = is_over(b);
	pthread_mutex_unlock(&lives);
	if (attached)
		put_attached(b, underflow);
	if (attached && !underflow) {
		pthread_mutex_lock(&lives);
		b->users--;
		over = is_over(b);
		pthread_mutex_unlock(&lives);
	}
	if (over)
		release(b);
}

static void hold_attached(struct dmabuf *b)
{
	pthread_mutex_lock(&lives);
	b->nr_attachments++;
	pthread_mutex_unlock(&lives);
}

static void let_go_attached(struct dmabuf *b)
{
	bool over;

	pthread_mutex_lock(&lives);
	b->nr_attachments--;
	over = is_over(b);
	pthread_mutex_unlock(&lives);
	if (over)
		release(b);
}

static struct dmabuf *find_known(const struct dmabuf_file *file)
{
	struct dmabuf *b;

	for (b = with_files; b; b = b->next)
		if (b->file->dev == file->dev && b->file->ino == file->ino &&
		    b->file->offset == file->offset && b->file->size == file->size)
			break;
	if (b)
		b->users++;
	return b;
}

struct dmabuf *dmabuf_known(const struct dmabuf_file *file)
{
	struct dmabuf *b;

	pthread_mutex_lock(&lives);
	b = find_known(file);
	pthread_mutex_unlock(&lives);
	return b;
}

struct dmabuf *dmabuf_publish(struct dmabuf *b, const struct dmabuf_file *file)
{
	struct dmabuf *known;

	pthread_mutex_lock(&lives);
	known = find_known(file);
	if (!known) {
		b->file = file;
		b->next = with_files;
		with_files = b;
	}
	pthread_mutex_unlock(&lives);
	return known ? known : b;
}

/* Attachments. */

int dmabuf_check_revoked(const struct dmabuf *b, const char *what)
{
	if (!b->revoked)
		return 0;
	return base_error(-ENODEV,
			  "%s a buffer of %s: its exporter has revoked it; try again once it is "
			  "there again, or detach",
			  what, dmabuf_name(&b->public));
}

bool dma_buf_attach_revocable(const struct dma_buf_attachment *attach)
{
	return attach->importer_ops && attach->importer_ops->invalidate_mappings;
}

static int check_attach(struct dmabuf *b, const struct dma_buf_attachment *attach)
{
	int err = dma_space_check(attach->dev->space);

	if (!err)
		err = dmabuf_need_no_lock(&b->public, "attaching");
	if (err)
		return err;
	if (b->flags & DMA_BUF_REVOCABLE && !dma_buf_attach_revocable(attach))
		return base_error(-EOPNOTSUPP,
				  "attaching %s to a buffer of %s, which can be revoked: the "
				  "importer has no invalidate_mappings; attach with "
				  "dma_buf_dynamic_attach() and one",
				  attach->dev->name, dmabuf_name(&b->public));
	dmabuf_take(b);
	err = dmabuf_check_revoked(b, "attaching to");
	dmabuf_leave(b);
	return err;
}

/* An exporter need not say why it refuses. */
static bool has_said(int err)
{
	return base_error_code() == err && *dma_last_error();
}

static int refused(int err, const char *what, const struct dma_buf_attachment *attach)
{
	if (has_said(err))
		return err;
	return base_error(err, "%s %s: the exporter of the buffer, %s, refuses: %s", what,
			  attach->dev->name, dmabuf_name(attach->dmabuf), strerror(-err));
}

struct dma_buf_attachment *dma_buf_dynamic_attach(struct dma_buf *dmabuf, struct dma_dev *dev,
						  const struct dma_buf_attach_ops *importer_ops,
						  void *importer_priv)
{
	struct dmabuf *b = dmabuf_of(dmabuf);
	struct dmabuf_attachment *a;
	int err;

	if (!dmabuf || !dev)
		return ERR_PTR(base_error(-EINVAL, "attaching without a buffer or a device"));
	a = base_zalloc(sizeof(*a));
	if (!a)
		return ERR_PTR(base_error(-ENOMEM, "no memory to attach %s to a buffer; free some",
					  dev->name));
	a->public = (struct dma_buf_attachment){
		.dmabuf = dmabuf,
		.dev = dev,
		.peer2peer = importer_ops && importer_ops->allow_peer2peer,
		.importer_ops = importer_ops,
		.importer_priv = importer_priv,
	};
	err = check_attach(b, &a->public);
	if (!err && dmabuf->ops->attach) {
		err = dmabuf->ops->attach(dmabuf, &a->public);
		if (err)
			err = refused(err, "attaching", &a->public);
	}
	if (err) {
		base_free(a);
		return ERR_PTR(err);
	}
	hold_attached(b);
	dmabuf_take(b);
	a->next = b->attachments;
	b->attachments = a;
	dmabuf_leave(b);
	return &a->public;
}

struct dma_buf_attachment *dma_buf_attach(struct dma_buf *dmabuf, struct dma_dev *dev)
{
	return dma_buf_dynamic_attach(dmabuf, dev, NULL, NULL);
}

int dma_buf_pin(struct dma_buf_attachment *attach)
{
	struct dmabuf_attachment *a = dmabuf_attachment_of(attach);
	int err = dmabuf_need_lock(attach->dmabuf, "pinning");

	if (err)
		return err;
	if (!attach->importer_ops)
		return base_error(
			-EINVAL,
			"pinning for %s: the importer has no operations, so mapping pins; "
			"attach with dma_buf_dynamic_attach()",
			attach->dev->name);
	err = dmabuf_check_revoked(dmabuf_of(attach->dmabuf), "pinning");
	if (!err && attach->dmabuf->ops->pin) {
		err = attach->dmabuf->ops->pin(attach);
		if (err)
			err = refused(err, "pinning for", attach);
	}
	if (!err)
		a->pins++;
	return err;
}

static void unpin(struct dma_buf_attachment *attach)
{
	if (attach->dmabuf->ops->unpin)
		attach->dmabuf->ops->unpin(attach);
}

/* As misuse, if the thread does not have the lock; whether it must be left again. */
static bool enter_misused(struct dma_buf_attachment *attach, const char *what)
{
	if (dmabuf_holds(dmabuf_of(attach->dmabuf)))
		return false;
	dma_misuse(attach->dev->space,
		   "%s without the reservation lock of the buffer; call dma_buf_lock() first, or "
		   "the call that ends in _unlocked",
		   what);
	dmabuf_take(dmabuf_of(attach->dmabuf));
	return true;
}

void dma_buf_unpin(struct dma_buf_attachment *attach)
{
	struct dmabuf_attachment *a = dmabuf_attachment_of(attach);
	bool entered = enter_misused(attach, "unpinning");

	if (a->pins) {
		a->pins--;
		unpin(attach);
	} else {
		dma_misuse(attach->dev->space,
			   "unpinning for %s, which has nothing pinned; call dma_buf_unpin() once "
			   "a pin",
			   attach->dev->name);
	}
	if (entered)
		dmabuf_leave(dmabuf_of(attach->dmabuf));
}

/* Mappings. */

static int check_map(const struct dma_buf_attachment *attach, enum dma_data_direction dir)
{
	int err = dma_space_check(attach->dev->space);

	if (!err)
		err = dmabuf_need_lock(attach->dmabuf, "mapping");
	if (err)
		return err;
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(
			-EINVAL,
			"mapping a buffer for %s without a direction; say what the device "
			"will do with it",
			attach->dev->name);
	return dmabuf_check_revoked(dmabuf_of(attach->dmabuf), "mapping");
}

static int check_table(const struct dma_buf_attachment *attach, const struct sg_table *sgt)
{
	if (!sgt->nents)
		return base_error(-EINVAL,
				  "mapping a buffer for %s: its exporter, %s, gave a table without "
				  "entries",
				  attach->dev->name, dmabuf_name(attach->dmabuf));
	for (unsigned int i = 0; i < sgt->nents; i++) {
		const struct scatterlist *sg = &sgt->sgl[i];

		if (!sg->dma_length || (sg->dma_address | sg->dma_length) & GRANULE_MASK)
			return base_error(
				-EINVAL,
				"mapping a buffer for %s: its exporter, %s, gave 0x%x bytes at the "
				"DMA address 0x%llx; whole pages of 4096 bytes are needed",
				attach->dev->name, dmabuf_name(attach->dmabuf), sg->dma_length,
				(unsigned long long)sg->dma_address);
	}
	return 0;
}

/* The importer's own table: it sees no more than its device does. */
static struct dmabuf_mapping *wrap(struct sg_table *exported)
{
	struct dmabuf_mapping *mapping =
		base_zalloc(sizeof(*mapping) + exported->nents * sizeof(mapping->entries[0]));

	if (!mapping) {
		base_error(-ENOMEM, "no memory for a table of %u DMA entries; free some",
			   exported->nents);
		return NULL;
	}
	mapping->table.sgl = mapping->entries;
	mapping->table.nents = exported->nents;
	mapping->exported = exported;
	for (unsigned int i = 0; i < exported->nents; i++) {
		mapping->entries[i].dma_flags = exported->sgl[i].dma_flags;
		mapping->entries[i].dma_address = exported->sgl[i].dma_address;
		mapping->entries[i].dma_length = exported->sgl[i].dma_length;
	}
	return mapping;
}

static int map_exported(struct dma_buf_attachment *attach, enum dma_data_direction dir,
			struct dmabuf_mapping **mapping)
{
	const struct dma_buf_ops *ops = attach->dmabuf->ops;
	struct sg_table *exported = ops->map_dma_buf(attach, dir);
	int err;

	if (!exported && !has_said(-ENOMEM))
		base_error(-ENOMEM, "mapping a buffer for %s: its exporter, %s, gave nothing",
			   attach->dev->name, dmabuf_name(attach->dmabuf));
	if (!exported)
		return -ENOMEM;
	if (IS_ERR(exported))
		return refused(PTR_ERR(exported), "mapping for", attach);
	err = check_table(attach, exported);
	if (!err) {
		*mapping = wrap(exported);
		err = *mapping ? 0 : -ENOMEM;
	}
	if (err)
		ops->unmap_dma_buf(attach, exported, dir);
	return err;
}

struct sg_table *dma_buf_map_attachment(struct dma_buf_attachment *attach,
					enum dma_data_direction dir)
{
	struct dmabuf_attachment *a = dmabuf_attachment_of(attach);
	struct dmabuf_mapping *mapping = NULL;
	bool pinned = false;
	int err;

	if (!attach)
		return ERR_PTR(base_error(-EINVAL, "mapping a buffer without an attachment"));
	err = check_map(attach, dir);
	if (!err && !attach->importer_ops && attach->dmabuf->ops->pin) {
		err = attach->dmabuf->ops->pin(attach);
		if (err)
			err = refused(err, "pinning for", attach);
		pinned = !err;
	}
	if (!err)
		err = map_exported(attach, dir, &mapping);
	if (err) {
		if (pinned)
			unpin(attach);
		return ERR_PTR(err);
	}
	mapping->dir = dir;
	mapping->pinned = pinned;
	mapping->next = a->mappings;
	a->mappings = mapping;
	dmabuf_count_mapped(dmabuf_of(attach->dmabuf), 1);
	return &mapping->table;
}

/* Takes it off the list at @at. */
static void end_mapping(struct dmabuf_attachment *a, struct dmabuf_mapping **at)
{
	struct dmabuf_mapping *mapping = *at;

	*at = mapping->next;
	a->public.dmabuf->ops->unmap_dma_buf(&a->public, mapping->exported, mapping->dir);
	if (mapping->pinned)
		unpin(&a->public);
	base_free(mapping);
	dmabuf_count_mapped(dmabuf_of(a->public.dmabuf), -1);
}

static void unmap_locked(struct dmabuf_attachment *a, struct sg_table *sgt,
			 enum dma_data_direction dir)
{
	struct dmabuf_mapping **at = &a->mappings;

	while (*at && &(*at)->table != sgt)
		at = &(*at)->next;
	if (!*at) {
		dma_misuse(a->public.dev->space,
			   "unmapping for %s a table that its attachment does not have; was it "
			   "unmapped before?",
			   a->public.dev->name);
		return;
	}
	if ((*at)->dir != dir)
		dma_misuse(a->public.dev->space,
			   "unmapping for %s with direction %d what was mapped with %d; it was "
			   "unmapped as mapped",
			   a->public.dev->name, (int)dir, (int)(*at)->dir);
	end_mapping(a, at);
}

void dma_buf_unmap_attachment(struct dma_buf_attachment *attach, struct sg_table *sgt,
			      enum dma_data_direction dir)
{
	bool entered = enter_misused(attach, "unmapping");

	unmap_locked(dmabuf_attachment_of(attach), sgt, dir);
	if (entered)
		dmabuf_leave(dmabuf_of(attach->dmabuf));
}

struct sg_table *dma_buf_map_attachment_unlocked(struct dma_buf_attachment *attach,
						 enum dma_data_direction dir)
{
	struct sg_table *sgt;
	int err;

	if (!attach)
		return ERR_PTR(base_error(-EINVAL, "mapping a buffer without an attachment"));
	err = dma_buf_lock(attach->dmabuf);
	if (err)
		return ERR_PTR(err);
	sgt = dma_buf_map_attachment(attach, dir);
	dma_buf_unlock(attach->dmabuf);
	return sgt;
}

void dma_buf_unmap_attachment_unlocked(struct dma_buf_attachment *attach, struct sg_table *sgt,
				       enum dma_data_direction dir)
{
	struct dmabuf *b = dmabuf_of(attach->dmabuf);
	bool entered = dmabuf_enter(b);

	unmap_locked(dmabuf_attachment_of(attach), sgt, dir);
	if (entered)
		dmabuf_leave(b);
}

/* What an attachment that ends must not have any more; lock held. */
static void end_all(struct dmabuf_attachment *a)
{
	size_t fences = dmabuf_end_fences(a, SIZE_MAX);

	if (!a->mappings && !a->pins && !fences)
		return;
	dma_misuse(a->public.dev->space,
		   "detaching %s with the buffer mapped or pinned, or with fences: all of it was "
		   "ended; do so first",
		   a->public.dev->name);
	while (a->mappings)
		end_mapping(a, &a->mappings);
	for (; a->pins; a->pins--)
		unpin(&a->public);
}

void dma_buf_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct dmabuf *b = dmabuf_of(attach->dmabuf);
	struct dmabuf_attachment *a = dmabuf_attachment_of(attach), **at = &b->attachments;

	if (dmabuf != attach->dmabuf)
		dma_misuse(attach->dev->space,
			   "detaching %s from a buffer that it is not attached to; it was "
			   "detached from its own",
			   attach->dev->name);
	if (dmabuf_holds(b)) {
		end_all(a);
		dma_misuse(attach->dev->space,
			   "detaching %s with the reservation lock of the buffer held: it stays "
			   "attached; call dma_buf_unlock() first",
			   attach->dev->name);
		return;
	}
	dmabuf_take(b);
	end_all(a);
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	dmabuf_leave(b);
	if (b->public.ops->detach)
		b->public.ops->detach(&b->public, attach);
	base_free(a);
	let_go_attached(b);
}
