/* SPDX-License-Identifier: MIT */
/*
 * From a URI to a device. Everything that can be opened stands in the tables of
 * this file: a new backend, model or option is a line here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <twostep/device.h>

#include "backend/direct/direct.h"
#include "backend/soft/soft.h"
#include "backend/vfio/vfio.h"
#include "debug/debug.h"
#include "dma/lazy.h"
#include "open/open.h"
#include "softdev/softdev.h"
#include "topology/topology.h"

#define MAX_WINDOWS 8
/* What the kernel keeps for itself of a real device's addresses. */
#define HARDWARE_WINDOWS (VFIO_MAX_RANGES + 1)

/* What a URI asks for, with the defaults of whatever it does not say. */
struct request {
	const struct uri *uri;
	const struct scheme *scheme;
	const struct model *model;
	struct soft_options soft;
	struct port_options port;
	uint64_t bus_limit;
	bool untrusted;
	bool ahead;
	enum dma_bouncing bouncing;
	bool lazy;
	bool debug;
	bool thread;
	const char *pci;
	const char *topology;
	struct iova_window windows[MAX_WINDOWS + DMA_PLACE_WINDOWS + HARDWARE_WINDOWS];
	size_t nr_windows;
};

struct model {
	const char *name;
	int (*create)(struct dma_port *port, bool own_thread, void **model);
	const struct dma_model_ops *stepped;
	const struct dma_model_ops *threaded;
};

enum scope {
	OF_SPACE, /* said once, by the device that makes the space */
	OF_DEVICE,
	OF_MODEL, /* a device of some model */
};

struct option {
	const char *key;
	enum scope scope;
	const char *values; /* for the error text */
	/* 0; -EINVAL or -ERANGE: the value is wrong. */
	int (*read)(struct request *request, const char *value);
};

struct scheme {
	const char *name;
	int (*create)(const struct request *request, struct backend **be);
	bool hardware; /* the first word is a function's address on the PCI bus */
	const struct model *models;
	size_t nr_models;
	const struct option *const *options;
	size_t nr_options;
};

/* Models. */

static const struct model models[] = {
	{"copy", softdev_copy_create, &softdev_copy_ops, &softdev_copy_thread_ops},
};

/* Options. What readers say of a value is replaced by value_error(), which knows more. */

static int read_pgtable(struct request *request, const char *value)
{
	for (size_t i = 0; i < pgt_nr_formats; i++) {
		if (!strcmp(value, pgt_format_name(pgt_formats[i]))) {
			request->soft.format = pgt_formats[i];
			return 0;
		}
	}
	return -EINVAL;
}

static int read_absent(struct request *request, const char *value)
{
	request->soft.absent_cache = !strcmp(value, "cache");
	return request->soft.absent_cache || !strcmp(value, "off") ? 0 : -EINVAL;
}

static int read_inval_ns(struct request *request, const char *value)
{
	uint64_t ns;
	int err = uri_number(value, 0, 1000000000, &ns);

	if (!err)
		request->soft.inval_ns = (uint32_t)ns;
	return err;
}

static int read_inval(struct request *request, const char *value)
{
	for (size_t i = 0; i < soft_nr_inval_presets; i++) {
		if (!strcmp(value, soft_inval_presets[i].name)) {
			request->soft.inval_ns = soft_inval_presets[i].ns;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_tables(struct request *request, const char *value)
{
	return uri_number(value, 4, 16777216, &request->soft.max_tables);
}

static int read_lazy(struct request *request, const char *value)
{
	request->lazy = !strcmp(value, "on");
	return request->lazy || !strcmp(value, "off") ? 0 : -EINVAL;
}

static int read_power_of_two(const char *value, uint64_t max, unsigned int *out)
{
	uint64_t n;
	int err = uri_number(value, 1, max, &n);

	if (err || !is_power_of_two(n))
		return -EINVAL;
	*out = (unsigned int)n;
	return 0;
}

static int read_iotlb(struct request *request, const char *value)
{
	return read_power_of_two(value, 65536, &request->port.iotlb_entries);
}

static int read_ways(struct request *request, const char *value)
{
	return read_power_of_two(value, 16, &request->port.iotlb_ways);
}

static int read_mask(struct request *request, const char *value)
{
	uint64_t bits;
	int err = uri_number(value, 13, 64, &bits);

	if (!err)
		request->bus_limit = DMA_BIT_MASK(bits);
	return err;
}

static int read_untrusted(struct request *request, const char *value)
{
	request->untrusted = true;
	return *value ? -EINVAL : 0;
}

static int read_map(struct request *request, const char *value)
{
	request->ahead = !strcmp(value, "ahead");
	return request->ahead || !strcmp(value, "each") ? 0 : -EINVAL;
}

static int read_bounce(struct request *request, const char *value)
{
	static const struct {
		const char *name;
		enum dma_bouncing bouncing;
	} ways[] = {
		{"auto", BOUNCE_AS_NEEDED},
		{"force", BOUNCE_ALWAYS},
		{"off", BOUNCE_NEVER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!strcmp(value, ways[i].name)) {
			request->bouncing = ways[i].bouncing;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_debug(struct request *request, const char *value)
{
	request->debug = !strcmp(value, "on");
	return request->debug || !strcmp(value, "off") ? 0 : -EINVAL;
}

static int read_coherent(struct request *request, const char *value)
{
	request->port.noncoherent = !strcmp(value, "off");
	return request->port.noncoherent || !strcmp(value, "on") ? 0 : -EINVAL;
}

static int read_thread(struct request *request, const char *value)
{
	request->thread = !strcmp(value, "on");
	return request->thread || !strcmp(value, "off") ? 0 : -EINVAL;
}

static int read_pci(struct request *request, const char *value)
{
	request->pci = value;
	request->port.peers = true;
	return topology_is_name(value) ? 0 : -EINVAL;
}

static int read_topology(struct request *request, const char *value)
{
	request->topology = value;
	return access(value, R_OK) ? -EINVAL : 0;
}

/* FIRST-LAST, more of them joined by '+'. */
static int read_reserved(struct request *request, const char *value)
{
	char text[URI_MAX_LENGTH + 1], *rest = text;
	uint64_t first_addr, last_addr;

	snprintf(text, sizeof(text), "%s", value);
	while (rest) {
		char *window = strsep(&rest, "+"), *last = strchr(window, '-');
		if (!last || request->nr_windows == MAX_WINDOWS)
			return -EINVAL;
		*last++ = '\0';
		if (uri_number(window, 0, UINT64_MAX, &first_addr) ||
		    uri_number(last, first_addr, UINT64_MAX, &last_addr))
			return -EINVAL;
		request->windows[request->nr_windows] = (struct iova_window){
			.first_pfn = first_addr >> GRANULE_SHIFT,
			.last_pfn = last_addr >> GRANULE_SHIFT,
		};
		request->nr_windows++;
	}
	return 0;
}

static const struct option opt_pgtable = {"pgtable", OF_SPACE, NULL, read_pgtable};
static const struct option opt_absent = {"absent", OF_SPACE, "cache or off", read_absent};
static const struct option opt_inval_ns = {
	"inval_ns",
	OF_SPACE,
	"nanoseconds from 0 to 1000000000",
	read_inval_ns,
};
static const struct option opt_inval = {"inval", OF_SPACE, NULL, read_inval};
static const struct option opt_tables = {
	"tables",
	OF_SPACE,
	"a number of table pages from 4 to 16M",
	read_tables,
};
static const struct option opt_lazy = {"lazy", OF_SPACE, "on or off", read_lazy};
static const struct option opt_iotlb = {
	"iotlb",
	OF_DEVICE,
	"a power of two of entries, 1 to 65536",
	read_iotlb,
};
static const struct option opt_ways = {"ways", OF_DEVICE, "a power of two, 1 to 16", read_ways};
static const struct option opt_mask = {
	"mask",
	OF_DEVICE,
	"the bus's address bits, 13 to 64",
	read_mask,
};
static const struct option opt_untrusted = {
	"untrusted",
	OF_DEVICE,
	"no value at all",
	read_untrusted,
};
static const struct option opt_bounce = {
	"bounce",
	OF_DEVICE,
	"auto, force or off",
	read_bounce,
};
static const struct option opt_map = {"map", OF_DEVICE, "each or ahead", read_map};
static const struct option opt_debug = {"debug", OF_SPACE, "on or off", read_debug};
static const struct option opt_coherent = {"coherent", OF_DEVICE, "on or off", read_coherent};
static const struct option opt_reserved = {
	"reserved",
	OF_DEVICE,
	"FIRST-LAST addresses, up to 8 windows joined by +",
	read_reserved,
};
static const struct option opt_pci = {
	"pci",
	OF_DEVICE,
	"the name of an endpoint of the topology",
	read_pci,
};
static const struct option opt_topology = {
	"topology",
	OF_DEVICE,
	"a file that can be read",
	read_topology,
};
static const struct option opt_thread = {"thread", OF_MODEL, "on or off", read_thread};

static const struct option *const soft_scheme_options[] = {
	&opt_pgtable, &opt_absent,   &opt_inval_ns,  &opt_inval,    &opt_tables, &opt_lazy,
	&opt_iotlb,   &opt_ways,     &opt_untrusted, &opt_coherent, &opt_bounce, &opt_map,
	&opt_mask,    &opt_reserved, &opt_pci,	     &opt_topology, &opt_debug,	 &opt_thread,
};

static const struct option *const direct_scheme_options[] = {
	&opt_bounce, &opt_map, &opt_mask, &opt_pci, &opt_topology, &opt_debug, &opt_thread,
};

static const struct option *const vfio_scheme_options[] = {
	&opt_untrusted, &opt_bounce, &opt_map,	    &opt_mask,
	&opt_reserved,	&opt_pci,    &opt_topology, &opt_debug,
};

static const struct option *const noiommu_scheme_options[] = {
	&opt_bounce,
	&opt_mask,
	&opt_debug,
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

#define VFIO_SCHEME(name)                                              \
	{                                                              \
		name, create_vfio, true, NULL, 0, vfio_scheme_options, \
			ARRAY_SIZE(vfio_scheme_options)                \
	}

static const struct scheme schemes[] = {
	{"soft", create_soft, false, models, ARRAY_SIZE(models), soft_scheme_options,
	 ARRAY_SIZE(soft_scheme_options)},
	{"direct", create_direct, false, models, ARRAY_SIZE(models), direct_scheme_options,
	 ARRAY_SIZE(direct_scheme_options)},
	VFIO_SCHEME("vfio"),
	VFIO_SCHEME("vfio-iommufd"),
	VFIO_SCHEME("vfio-type1"),
	{"vfio-noiommu", create_noiommu, true, NULL, 0, noiommu_scheme_options,
	 ARRAY_SIZE(noiommu_scheme_options)},
};

/* Lists for error texts: names separated by commas. */

static void add_name(char *list, size_t size, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static __cold int scheme_error(const char *text, const struct uri *uri)
{
	char list[160] = "";

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		add_name(list, sizeof(list), schemes[i].name);
	return base_error(-EINVAL, "\"%.80s\": there is no scheme \"%.20s\"; there are: %s", text,
			  uri->scheme, list);
}

static void list_options(const struct scheme *scheme, char *list, size_t size)
{
	for (size_t i = 0; i < scheme->nr_options; i++)
		add_name(list, size, scheme->options[i]->key);
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
		add_name(names, sizeof(names), scheme->models[i].name);
	list_options(scheme, options, sizeof(options));
	return base_error(-EINVAL, "%s: has no model or option \"%.60s\"; models: %s; options: %s",
			  scheme->name, name, names, options);
}

static __cold int value_error(const struct request *request, const struct option *option,
			      const char *value)
{
	char list[160] = "";

	if (option->read == read_pgtable)
		for (size_t i = 0; i < pgt_nr_formats; i++)
			add_name(list, sizeof(list), pgt_format_name(pgt_formats[i]));
	else if (option->read == read_inval)
		for (size_t i = 0; i < soft_nr_inval_presets; i++)
			add_name(list, sizeof(list), soft_inval_presets[i].name);
	return base_error(-EINVAL, "%s: option %s cannot be \"%.60s\"; it takes %s",
			  request->scheme->name, option->key, value,
			  option->values ? option->values : list);
}

/* Reading. */

static const struct option *find_option(const struct scheme *scheme, const char *key)
{
	for (size_t i = 0; i < scheme->nr_options; i++)
		if (!strcmp(scheme->options[i]->key, key))
			return scheme->options[i];
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
			return value_error(request, option, value);
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

/* Whether an option of the space says what the space is. */
static bool agrees(const struct option *option, const struct request *request,
		   const struct dma_space *space, const struct soft_options *is)
{
	const struct soft_options *said = &request->soft;

	if (option == &opt_debug)
		return request->debug == (space->be->observer != NULL);
	if (option == &opt_lazy)
		return request->lazy == space->lazy;
	if (option == &opt_pgtable)
		return said->format == is->format;
	if (option == &opt_absent)
		return said->absent_cache == is->absent_cache;
	if (option == &opt_tables)
		return said->max_tables == is->max_tables;
	return said->inval_ns == is->inval_ns;
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

		if (option->scope == OF_SPACE && !agrees(option, request, space, &is))
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
