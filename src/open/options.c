/* SPDX-License-Identifier: MIT */
/* Options: what each takes, and of which scheme it is. */
#include <stdio.h>
#include <unistd.h>

#include "open/options.h"
#include "topology/topology.h"

/* What readers say of a value is replaced by option_value_error(), which knows more. */

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

static const struct option *const list_of_soft[] = {
	&opt_pgtable, &opt_absent,   &opt_inval_ns,  &opt_inval,    &opt_tables, &opt_lazy,
	&opt_iotlb,   &opt_ways,     &opt_untrusted, &opt_coherent, &opt_bounce, &opt_map,
	&opt_mask,    &opt_reserved, &opt_pci,	     &opt_topology, &opt_debug,	 &opt_thread,
};

static const struct option *const list_of_direct[] = {
	&opt_bounce, &opt_map, &opt_mask, &opt_pci, &opt_topology, &opt_debug, &opt_thread,
};

static const struct option *const list_of_vfio[] = {
	&opt_untrusted, &opt_bounce, &opt_map,	    &opt_mask,
	&opt_reserved,	&opt_pci,    &opt_topology, &opt_debug,
};

static const struct option *const list_of_noiommu[] = {
	&opt_bounce,
	&opt_mask,
	&opt_debug,
};

const struct options options_of_soft = {list_of_soft, ARRAY_SIZE(list_of_soft)};
const struct options options_of_direct = {list_of_direct, ARRAY_SIZE(list_of_direct)};
const struct options options_of_vfio = {list_of_vfio, ARRAY_SIZE(list_of_vfio)};
const struct options options_of_noiommu = {list_of_noiommu, ARRAY_SIZE(list_of_noiommu)};

void option_add_name(char *list, size_t size, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

int option_value_error(const struct request *request, const struct option *option,
		       const char *value)
{
	char list[160] = "";

	if (option->read == read_pgtable)
		for (size_t i = 0; i < pgt_nr_formats; i++)
			option_add_name(list, sizeof(list), pgt_format_name(pgt_formats[i]));
	else if (option->read == read_inval)
		for (size_t i = 0; i < soft_nr_inval_presets; i++)
			option_add_name(list, sizeof(list), soft_inval_presets[i].name);
	return base_error(-EINVAL, "%s: option %s cannot be \"%.60s\"; it takes %s",
			  request->scheme->name, option->key, value,
			  option->values ? option->values : list);
}

bool option_agrees(const struct option *option, const struct request *request,
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
