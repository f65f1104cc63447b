/* SPDX-License-Identifier: MIT */
/*
 * From a URI to a device. Every backend and every model stands in the tables of this file,
 * every option in those of options.c: a new one is a line there.
 */
#include <stdio.h>
#include <stdlib.h>

#include <twostep/device.h>

#include "backend/direct/direct.h"
#include "backend/soft/soft.h"
#include "backend/vfio/vfio.h"
#include "debug/debug.h"
#include "dma/lazy.h"
#include "open/options.h"
#include "softdev/softdev.h"

/* Models. */

static const struct model models[] = {
	{"copy", softdev_copy_create, &softdev_copy_ops, &softdev_copy_thread_ops},
};

/* Schemes. */

static int create_soft(const struct request *request, struct backend **be)
{
	return soft_backend_create(&request->soft, be);
}

static int create_direct(const struct request *request, struct backend **be)
{
	(void)request;
	return direct_backend_create(be);
}

static int create_vfio(const struct request *request, struct backend **be)
{
	const struct vfio_options options = {
		.way = request->scheme->name,
		.bdf = request->port.bdf,
	};

	return vfio_backend_create(&options, be);
}

static int create_noiommu(const struct request *request, struct backend **be)
{
	(void)request;
	return noiommu_backend_create(be);
}

#define VFIO_SCHEME(name)                                          \
	{                                                          \
		name, create_vfio, true, NULL, 0, &options_of_vfio \
	}

static const struct scheme schemes[] = {
	{"soft", create_soft, false, models, ARRAY_SIZE(models), &options_of_soft},
	{"direct", create_direct, false, models, ARRAY_SIZE(models), &options_of_direct},
	VFIO_SCHEME("vfio"),
	VFIO_SCHEME("vfio-iommufd"),
	VFIO_SCHEME("vfio-type1"),
	{"vfio-noiommu", create_noiommu, true, NULL, 0, &options_of_noiommu},
};

static __cold int scheme_error(const char *text, const struct uri *uri)
{
	char list[160] = "";

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		option_add_name(list, sizeof(list), schemes[i].name);
	return base_error(-EINVAL, "\"%.80s\": there is no scheme \"%.20s\"; there are: %s", text,
			  uri->scheme, list);
}

static void list_options(const struct scheme *scheme, char *list, size_t size)
{
	for (size_t i = 0; i < scheme->options->nr; i++)
		option_add_name(list, size, scheme->options->list[i]->key);
}

static __cold int key_error(const struct request *request, const char *key)
{
	char options[240] = "";

	list_options(request->scheme, options, sizeof(options));
	return base_error(-EINVAL, "%s: has no option \"%.60s\"; it has: %s", request->scheme->name,
			  key, options);
}

static __cold int model_error(const struct scheme *scheme, const char *name)
{
	char names[80] = "", options[240] = "";

	for (size_t i = 0; i < scheme->nr_models; i++)
		option_add_name(names, sizeof(names), scheme->models[i].name);
	list_options(scheme, options, sizeof(options));
	return base_error(-EINVAL, "%s: has no model or option \"%.60s\"; models: %s; options: %s",
			  scheme->name, name, names, options);
}

/* Reading. */

static const struct option *find_option(const struct scheme *scheme, const char *key)
{
	for (size_t i = 0; i < scheme->options->nr; i++)
		if (!strcmp(scheme->options->list[i]->key, key))
			return scheme->options->list[i];
	return NULL;
}

static int find_model(struct request *request, struct uri *uri)
{
	const struct scheme *scheme = request->scheme;

	if (scheme->hardware)
		request->port.bdf = uri->model;
	if (scheme->hardware || !*uri->model)
		return 0;
	for (size_t i = 0; i < scheme->nr_models; i++) {
		if (!strcmp(scheme->models[i].name, uri->model)) {
			request->model = &scheme->models[i];
			return 0;
		}
	}
	if (!find_option(scheme, uri->model))
		return model_error(scheme, uri->model);
	return uri_model_is_option(uri);
}

static int read_options(struct request *request, const struct uri *uri)
{
	for (unsigned int i = 0; i < uri->nr_options; i++) {
		const char *value = uri->options[i].value;
		const struct option *option = find_option(request->scheme, uri->options[i].key);

		if (!option)
			return key_error(request, uri->options[i].key);
		if (option->scope == OF_MODEL && !request->model)
			return base_error(-EINVAL,
					  "%s: option %s is for a device of some model, such as "
					  "%s:copy",
					  request->scheme->name, option->key,
					  request->scheme->name);
		if (option->read(request, value))
			return option_value_error(request, option, value);
	}
	if (request->scheme->hardware && !*uri->model)
		return base_error(
			-EINVAL,
			"%s: which device? Say %s:DDDD:BB:DD.F; twostep devices lists them",
			request->scheme->name, request->scheme->name);
	if (uri_find(uri, "inval") && uri_find(uri, "inval_ns"))
		return base_error(-EINVAL, "%s: inval and inval_ns say the same thing; give one",
				  request->scheme->name);
	if (request->port.iotlb_ways > request->port.iotlb_entries) {
		if (uri_find(uri, "ways"))
			return base_error(-EINVAL,
					  "%s: %u ways do not fit into an IOTLB of %u entries",
					  request->scheme->name, request->port.iotlb_ways,
					  request->port.iotlb_entries);
		request->port.iotlb_ways = request->port.iotlb_entries;
	}
	return 0;
}

/* What the environment says of every device, unless its URI says otherwise. */
static int read_environment(struct request *request)
{
	const char *debug = secure_getenv("TWOSTEP_DEBUG");

	if (!debug || !*debug || !strcmp(debug, "0"))
		return 0;
	if (strcmp(debug, "1"))
		return base_error(-EINVAL,
				  "TWOSTEP_DEBUG is \"%.40s\" in the environment; it takes 1 for "
				  "misuse checks, or 0",
				  debug);
	request->debug = true;
	return 0;
}

static int read_request(const char *text, struct uri *uri, struct request *request)
{
	int err = uri_parse(text, uri);

	if (err)
		return err;
	*request = (struct request){
		.uri = uri,
		.soft = {.format = pgt_formats[0]},
		.port = {.iotlb_entries = 64, .iotlb_ways = 4},
		.bus_limit = UINT64_MAX,
		.thread = true,
	};
	err = read_environment(request);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (!strcmp(schemes[i].name, uri->scheme))
			request->scheme = &schemes[i];
	if (!request->scheme)
		return scheme_error(text, uri);
	err = find_model(request, uri);
	return err ? err : read_options(request, uri);
}

/* Opening. */

/* The addresses that the kernel does not let the device have. */
static size_t hardware_windows(struct dma_dev *dev, struct iova_window *windows)
{
	struct backend_range ranges[HARDWARE_WINDOWS];
	size_t nr = 0;

	if (dev->be->ops->port_windows)
		nr = dev->be->ops->port_windows(dev->be, dev->port, ranges, ARRAY_SIZE(ranges));
	for (size_t i = 0; i < nr; i++)
		windows[i] = (struct iova_window){
			.first_pfn = ranges[i].first >> GRANULE_SHIFT,
			.last_pfn = ranges[i].last >> GRANULE_SHIFT,
		};
	return nr;
}

static int attach(const char *text, struct request *request, struct dma_space *space,
		  struct dma_dev **dev)
{
	const struct dma_dev_options options = {
		.uri = text,
		.port = request->port,
		.bus_limit = request->bus_limit,
		.untrusted = request->untrusted,
		.ahead = request->ahead,
		.bouncing = request->bouncing,
		.pci = request->pci,
	};
	const struct model *model = request->model;
	struct dma_dev *attached;
	void *instance;
	int err = request->topology ? dma_place_use(request->topology) : 0;

	if (!err)
		err = dma_dev_attach(space, &options, &attached);
	if (err)
		return err;
	if (model) {
		/* A model gets its memory from libc: this stands for it in tests. */
		err = base_alloc_denied()
			      ? -ENOMEM
			      : model->create(dma_dev_port(attached), request->thread, &instance);
		if (err) {
			dma_dev_detach(attached);
			return base_error(err, "%.80s: cannot start the device: %s", text,
					  strerror(-err));
		}
		dma_dev_set_model(attached, request->thread ? model->threaded : model->stepped,
				  instance);
	}
	if (space->be->hardware)
		dma_dev_set_model(attached, &vfio_device_regs,
				  &vfio_port_of(attached->port)->device);
	/* Last, because there is no way back. */
	request->nr_windows += hardware_windows(attached, &request->windows[request->nr_windows]);
	request->nr_windows += dma_place_windows(attached, &request->windows[request->nr_windows]);
	err = dma_dev_reserve(attached, request->windows, request->nr_windows);
	if (err) {
		dma_dev_detach(attached);
		return err;
	}
	*dev = attached;
	return 0;
}

static int let_observe(struct dma_space *space)
{
	struct base_observer *observer;
	int err = debug_create(space->be->translates, &observer);

	if (!err)
		dma_space_observe(space, observer);
	return err;
}

int dma_dev_open(const char *text, struct dma_dev **dev)
{
	struct request request;
	struct dma_space *space;
	struct backend *be;
	struct uri uri;
	int err = read_request(text, &uri, &request);

	if (!err)
		err = request.scheme->create(&request, &be);
	if (!err)
		err = dma_space_create(be, &space);
	if (err)
		return err;
	if (request.lazy)
		err = dma_lazy_begin(space);
	if (!err && request.debug)
		err = let_observe(space);
	if (!err)
		err = attach(text, &request, space, dev);
	if (err)
		dma_space_discard(space);
	return err;
}

/* vfio: is any of the ways to an IOMMU. */
static bool is_of(const struct scheme *scheme, const struct backend *be)
{
	return !strcmp(be->ops->name, scheme->name) ||
	       (be->hardware && be->translates && !strcmp(scheme->name, "vfio"));
}

static int check_space_options(const char *text, const struct request *request,
			       struct dma_space *space)
{
	const struct uri *uri = request->uri;
	struct soft_options is = {0};

	if (!is_of(request->scheme, space->be))
		return base_error(-EINVAL, "\"%.80s\" cannot share a space of the %s backend", text,
				  space->be->ops->name);
	if (space->be->translates && !space->be->hardware)
		soft_backend_options(space->be, &is);
	for (unsigned int i = 0; i < uri->nr_options; i++) {
		const struct option *option = find_option(request->scheme, uri->options[i].key);

		if (option->scope == OF_SPACE && !option_agrees(option, request, space, &is))
			return base_error(-EINVAL,
					  "%s: option %s belongs to the address space, which "
					  "exists and is another; leave it out",
					  request->scheme->name, option->key);
	}
	return 0;
}

int dma_dev_open_in(const char *text, struct dma_space *space, struct dma_dev **dev)
{
	struct request request;
	struct uri uri;
	int err = dma_space_check(space);

	if (!err)
		err = read_request(text, &uri, &request);
	if (!err)
		err = check_space_options(text, &request, space);
	return err ? err : attach(text, &request, space, dev);
}
