/* SPDX-License-Identifier: MIT */
/* Devices: attaching to a space, registers, detaching. */
#include <stdio.h>

#include "dma/lazy.h"

int dma_dev_reserve(struct dma_dev *dev, const struct iova_window *windows, size_t nr)
{
	struct dma_space *space = dev->space;
	int err = dev->be->translates ? iova_reserve_all(&space->iova, windows, nr) : 0;

	if (err == -EADDRINUSE && dma_lazy_flush(space))
		err = iova_reserve_all(&space->iova, windows, nr);
	if (err == -EADDRINUSE)
		base_error(err,
			   "a reserved window of %s holds addresses that the space already uses; "
			   "attach the device before mapping",
			   dev->name);
	return err;
}

static int attach_locked(struct dma_space *space, const struct dma_dev_options *options,
			 struct dma_dev *dev)
{
	struct backend *be = space->be;
	int err = be->ops->port_open(be, &options->port, space->next_number, &dev->port);

	if (err)
		return err;
	dev->number = space->next_number++;
	dev->next = space->devices;
	space->devices = dev;
	return 0;
}

/* Take the device off the list; true if it was the last. */
static bool detach(struct dma_dev *dev, bool opened)
{
	struct dma_space *space = dev->space;
	bool last;

	pthread_mutex_lock(&space->lock);
	for (struct dma_dev **at = &space->devices; *at; at = &(*at)->next) {
		if (*at == dev) {
			*at = dev->next;
			break;
		}
	}
	last = !space->devices;
	/* A device that was never handed out leaves no gap in the numbers. */
	if (!opened && dev->number == space->next_number - 1)
		space->next_number--;
	pthread_mutex_unlock(&space->lock);
	return last;
}

int dma_dev_attach(struct dma_space *space, const struct dma_dev_options *options,
		   struct dma_dev **attached)
{
	size_t uri_size = strlen(options->uri) + 1;
	struct dma_dev *dev;
	int err = dma_space_check(space);

	if (err)
		return err;
	dev = base_zalloc_aligned(sizeof(*dev) + uri_size, 64);
	if (!dev)
		return base_error(-ENOMEM, "no memory for device %s; free some", options->uri);
	dev->space = space;
	dev->be = space->be;
	dev->bus_limit = options->bus_limit;
	dev->untrusted = options->untrusted;
	dev->ahead = options->ahead;
	dev->noncoherent = options->port.noncoherent;
	dev->bouncing = options->bouncing;
	dev->observed = space->be->observer;
	/* What an untrusted device has cached it could use on purpose. */
	dev->lazy = space->lazy && !dev->untrusted;
	dev->uri = memcpy(dev + 1, options->uri, uri_size);
	snprintf(dev->name, sizeof(dev->name), "%s", options->uri);
	dma_limits_init(dev);

	pthread_mutex_lock(&space->lock);
	err = attach_locked(space, options, dev);
	pthread_mutex_unlock(&space->lock);
	if (err) {
		base_free(dev);
		return err;
	}
	if (options->pci) {
		err = dma_place_enter(dev, options->pci);
		if (err) {
			space->be->ops->port_close(space->be, dev->port);
			detach(dev, false);
			base_free(dev);
			return err;
		}
	}
	if (space->be->observer)
		space->be->observer->ops->attached(space->be->observer, dev, dev->number, dev->uri,
						   !dev->noncoherent);
	*attached = dev;
	return 0;
}

void dma_dev_set_model(struct dma_dev *dev, const struct dma_model_ops *ops, void *model)
{
	dev->model_ops = ops;
	dev->model = model;
}

/* Where nothing is translated, the buffers that were lent are all there is to leak. */
static void reclaim_buffers(struct dma_dev *dev)
{
	struct bounce_list list = {NULL};
	size_t left;

	if (dev->be->translates || !dev->bounced)
		return;
	left = bounce_list_add_owned(&list, dev);
	for (const struct bounce_mapping *lent = list.first; lent && dma_is_taken(dev->be);
	     lent = bounce_list_next(lent))
		dev->be->ops->release(dev->be, bounce_start(lent), bounce_size(lent));
	bounce_list_finish(&list);
	if (left)
		dma_count_leaks(dev->space, left);
}

/* Stop the device and free it; true if it was the last of its space. */
static bool take_apart(struct dma_dev *dev, bool opened)
{
	bool last;

	if (dev->model_ops)
		dev->model_ops->close(dev->model);
	dma_place_leave(dev);
	dev->be->ops->port_close(dev->be, dev->port);
	if (dev->be->observer)
		dev->be->observer->ops->detached(dev->be->observer, dev->number);
	reclaim_buffers(dev);
	dma_dev_set_bounce(dev, NULL);
	last = detach(dev, opened);
	base_free(dev);
	return last;
}

void dma_dev_detach(struct dma_dev *dev)
{
	take_apart(dev, false);
}

/* In a child of fork() there is one thread and nothing to stop: only memory. */
static void close_forked(struct dma_dev *dev)
{
	struct dma_space *space = dev->space;
	struct dma_dev **at = &space->devices;

	while (*at != dev)
		at = &(*at)->next;
	*at = dev->next;
	if (dev->model_ops)
		dev->model_ops->close(dev->model);
	dma_place_free_forked(dev);
	if (!space->devices)
		dma_space_discard(space);
	base_free(dev);
}

void dma_dev_close(struct dma_dev *dev)
{
	struct dma_space *space;

	if (!dev)
		return;
	space = dev->space;
	if (dma_gen_watch(dev->be) & WATCH_FORKED) {
		close_forked(dev);
		return;
	}
	if (take_apart(dev, true))
		dma_space_discard(space);
}

int dma_dev_set_bounce(struct dma_dev *dev, struct dma_bounce *bounce)
{
	struct dma_bounce *former;
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (bounce && dma_is_taken(dev->be) && !bounce_is_huge(bounce))
		return base_error(
			-EINVAL,
			"device %s is behind no IOMMU, and a bounce pool in ordinary memory "
			"is of no use to it; make one with .hugepages",
			dev->name);
	if (bounce)
		bounce_get(bounce);
	former = __atomic_exchange_n(&dev->bounce, bounce, __ATOMIC_ACQ_REL);
	if (former)
		bounce_put(former);
	return 0;
}

struct dma_space *dma_dev_space(struct dma_dev *dev)
{
	return dev->space;
}

struct dma_port *dma_dev_port(struct dma_dev *dev)
{
	return dev->be->hardware ? NULL : dev->port;
}

const char *dma_dev_uri(struct dma_dev *dev)
{
	return dev->uri;
}

/* What both register calls refuse. */
static int check_register(struct dma_dev *dev, uint64_t offset, unsigned int width)
{
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (!dev->model_ops || !dev->model_ops->reg_read || !dev->model_ops->reg_write)
		return base_error(-ENODEV, "device %s has no registers", dev->name);
	if ((width != 4 && width != 8) || offset % width)
		return base_error(-EINVAL,
				  "register access of %u bytes at 0x%llx: 4 or 8 bytes, naturally "
				  "aligned, are possible",
				  width, (unsigned long long)offset);
	return 0;
}

int dma_dev_reg_read(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t *value,
		     unsigned int width)
{
	int err = check_register(dev, offset, width);

	if (!err) {
		err = dev->model_ops->reg_read(dev->model, bar, offset, value, width);
		if (err)
			base_error(
				err,
				"device %s has no %u-byte register at 0x%llx of window %u to read",
				dev->name, width, (unsigned long long)offset, bar);
	}
	return err;
}

int dma_dev_reg_write(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int width)
{
	int err = check_register(dev, offset, width);

	if (!err) {
		err = dev->model_ops->reg_write(dev->model, bar, offset, value, width);
		if (err)
			base_error(
				err,
				"device %s refuses 0x%llx in its %u-byte register 0x%llx of window %u",
				dev->name, (unsigned long long)value, width,
				(unsigned long long)offset, bar);
	}
	return err;
}

int dma_dev_step(struct dma_dev *dev)
{
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (!dev->model_ops)
		return base_error(-EOPNOTSUPP, "device %s has no model that could work", dev->name);
	if (!dev->model_ops->step)
		return base_error(-EOPNOTSUPP,
				  "device %s works by itself; open it with thread=off to step it",
				  dev->name);
	return dev->model_ops->step(dev->model);
}
