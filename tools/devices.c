/* SPDX-License-Identifier: MIT */
/* The PCI devices of the machine, or of a topology file, and which may reach which. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <twostep/error.h>
#include <twostep/topology.h>

#include "abilities.h"
#include "json.h"
#include "pci_names.h"
#include "tool.h"

/* Up to here every pair is explained. */
#define FEW_ENDPOINTS 4

struct listing {
	struct dma_topology *topology;
	struct pci_names *names;
	struct dma_pci_function *functions;
	size_t nr;
	size_t nr_endpoints;
	int about; /* the function that was asked for, or -1 */
	const struct abilities *abilities; /* of that function; NULL: it is no real device here */
};

static void address_of(const struct dma_pci_function *function, char *text, size_t size)
{
	snprintf(text, size, "%04x:%02x:%02x.%x", function->domain, function->bus, function->device,
		 function->function);
}

static bool is_endpoint(const struct dma_pci_function *function)
{
	return function->type == DMA_PCI_ENDPOINT;
}

/* Host bridges and the like are endpoints to their bus, and nobody's peers. */
static bool is_peer(const struct dma_pci_function *function)
{
	return is_endpoint(function) && function->class_code >> 16 != 0x06;
}

static bool collect(struct listing *listing)
{
	listing->nr = dma_topology_count(listing->topology);
	listing->functions = calloc(listing->nr ? listing->nr : 1, sizeof(*listing->functions));
	if (!listing->functions) {
		tool_say("devices: no memory for %zu devices", listing->nr);
		return false;
	}
	for (size_t i = 0; i < listing->nr; i++) {
		dma_topology_function(listing->topology, i, &listing->functions[i]);
		listing->nr_endpoints += is_peer(&listing->functions[i]);
	}
	return true;
}

static void group_text(const struct dma_pci_function *function, char *text, size_t size)
{
	if (function->iommu_group < 0)
		snprintf(text, size, "-");
	else
		snprintf(text, size, "%d", function->iommu_group);
}

static void print_function(const struct listing *listing, const struct dma_pci_function *function)
{
	char address[DMA_PCI_NAME], group[16], words[128];

	address_of(function, address, sizeof(address));
	group_text(function, group, sizeof(group));
	pci_names_find(listing->names, function->vendor_id, function->device_id, words,
		       sizeof(words));
	printf("%-13s%-15s %-10s %-12s %5s  %04x:%04x%s%s\n", address,
	       strcmp(function->name, address) ? function->name : "",
	       function->type == DMA_PCI_DOWNSTREAM ? "downstream"
	       : function->type == DMA_PCI_UPSTREAM ? "upstream"
						    : dma_pci_type_name(function->type),
	       *function->driver ? function->driver : "-", group, function->vendor_id,
	       function->device_id, *words ? "  " : "", words);
}

static char letter_of(enum pci_p2pdma_map_type map)
{
	switch (map) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return 'B';
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return 'H';
	default:
		return '-';
	}
}

static void print_matrix(const struct listing *listing)
{
	size_t column = 0, row = 0;

	printf("\n%-20s", "memory of, used by");
	for (size_t i = 0; i < listing->nr; i++)
		if (is_peer(&listing->functions[i]))
			printf(" %3zu", ++column);
	putchar('\n');
	for (size_t i = 0; i < listing->nr; i++) {
		if (!is_peer(&listing->functions[i]))
			continue;
		printf("%3zu %-16s", ++row, listing->functions[i].name);
		for (size_t n = 0; n < listing->nr; n++)
			if (is_peer(&listing->functions[n]))
				printf("   %c", letter_of(dma_topology_decide(listing->topology, i,
									      n, NULL, NULL, 0)));
		putchar('\n');
	}
	puts("B by bus address, H through the host bridge, - not supported");
}

/* Whether a pair is to be told: two peers, one of them the one that was asked for. */
static bool is_wanted(const struct listing *listing, size_t provider, size_t client)
{
	int about = listing->about;

	if (provider == client)
		return false;
	if (about >= 0)
		return ((int)provider == about && is_peer(&listing->functions[client])) ||
		       ((int)client == about && is_peer(&listing->functions[provider]));
	return is_peer(&listing->functions[provider]) && is_peer(&listing->functions[client]);
}

static void print_reasons(const struct listing *listing)
{
	char why[256];

	putchar('\n');
	for (size_t i = 0; i < listing->nr; i++)
		for (size_t n = 0; n < listing->nr; n++) {
			if (!is_wanted(listing, i, n))
				continue;
			dma_topology_decide(listing->topology, i, n, NULL, why, sizeof(why));
			printf("memory of %s, used by %s: %s\n", listing->functions[i].name,
			       listing->functions[n].name, why);
		}
}

static bool acs_is_unknown(const struct listing *listing)
{
	for (size_t i = 0; i < listing->nr; i++)
		if (listing->functions[i].acs_unknown)
			return true;
	return false;
}

static void print_text(const struct listing *listing)
{
	if (!listing->nr) {
		puts("there are no PCI devices here");
		return;
	}
	printf("%-13s%-15s %-10s %-12s %5s  %s\n", "address", "name", "type", "driver", "group",
	       "device");
	for (size_t i = 0; i < listing->nr; i++)
		if (listing->about < 0 || listing->about == (int)i)
			print_function(listing, &listing->functions[i]);
	if (listing->about < 0 && listing->nr_endpoints)
		print_matrix(listing);
	if (listing->about >= 0 || listing->nr_endpoints <= FEW_ENDPOINTS)
		print_reasons(listing);
	else
		puts("name one of them for the reasons: twostep devices DEVICE");
	if (acs_is_unknown(listing))
		puts("\naccess control (ACS) is not shown without root, and is taken as redirecting");
	if (listing->abilities)
		abilities_print(listing->abilities);
}

static void json_function(struct json *json, const struct listing *listing,
			  const struct dma_pci_function *function)
{
	char text[128];

	json_object(json, NULL);
	address_of(function, text, sizeof(text));
	json_string(json, "address", text);
	json_string(json, "name", function->name);
	json_string(json, "type", dma_pci_type_name(function->type));
	json_string(json, "parent",
		    function->parent < 0 ? NULL : listing->functions[function->parent].name);
	json_unsigned(json, "vendor", function->vendor_id);
	json_unsigned(json, "device", function->device_id);
	json_unsigned(json, "class", function->class_code);
	pci_names_find(listing->names, function->vendor_id, function->device_id, text,
		       sizeof(text));
	json_string(json, "text", *text ? text : NULL);
	json_string(json, "driver", *function->driver ? function->driver : NULL);
	if (function->iommu_group < 0)
		json_null(json, "iommu_group");
	else
		json_unsigned(json, "iommu_group", (uint64_t)function->iommu_group);
	if (function->acs_unknown)
		json_null(json, "acs");
	else
		json_unsigned(json, "acs", function->acs);
	json_end(json);
}

static void json_reach(struct json *json, const struct listing *listing, size_t provider,
		       size_t client)
{
	int distance;
	char why[256];
	enum pci_p2pdma_map_type map = dma_topology_decide(listing->topology, provider, client,
							   &distance, why, sizeof(why));

	json_object(json, NULL);
	json_string(json, "provider", listing->functions[provider].name);
	json_string(json, "client", listing->functions[client].name);
	json_string(json, "map", pci_p2pdma_map_type_name(map));
	json_unsigned(json, "distance", (uint64_t)distance);
	json_string(json, "why", why);
	json_end(json);
}

static void print_json(const struct listing *listing)
{
	struct json json;

	json_begin(&json, stdout);
	json_object(&json, NULL);
	json_list(&json, "devices");
	for (size_t i = 0; i < listing->nr; i++)
		if (listing->about < 0 || listing->about == (int)i)
			json_function(&json, listing, &listing->functions[i]);
	json_end(&json);
	json_list(&json, "reach");
	for (size_t i = 0; i < listing->nr; i++)
		for (size_t n = 0; n < listing->nr; n++)
			if (is_wanted(listing, i, n))
				json_reach(&json, listing, i, n);
	json_end(&json);
	if (listing->abilities)
		abilities_json(listing->abilities, &json, "abilities");
	json_end(&json);
}

/* What it and the kernel can do. */
static bool look_at(struct listing *listing, struct abilities *abilities, bool open)
{
	char address[DMA_PCI_NAME];

	address_of(&listing->functions[listing->about], address, sizeof(address));
	if (!abilities_find(abilities, address, open))
		return false;
	listing->abilities = abilities;
	return true;
}

static int print_listing(struct listing *listing, bool as_json)
{
	listing->names = pci_names_open();
	if (as_json)
		print_json(listing);
	else
		print_text(listing);
	pci_names_close(listing->names);
	if (listing->abilities && *listing->abilities->why_not) {
		tool_say("devices: %s", listing->abilities->why_not);
		return TOOL_FAILED;
	}
	return TOOL_DONE;
}

/* @real: the devices are this machine's. */
static int list_devices(struct listing *listing, const char *about, bool as_json, bool real,
			bool open)
{
	struct abilities abilities;
	int code = TOOL_FAILED;

	if (about) {
		listing->about = dma_topology_find(listing->topology, about);
		if (listing->about < 0) {
			tool_say_dma("devices");
			return TOOL_FAILED;
		}
	}
	if (!collect(listing))
		return TOOL_FAILED;
	if (!about || !real || look_at(listing, &abilities, open))
		code = print_listing(listing, as_json);
	free(listing->functions);
	return code;
}

int devices_run(const struct tool_verb *verb, int argc, char **argv)
{
	const char *file = NULL, *sysfs = NULL, *cpuinfo = NULL, *about = NULL;
	struct listing listing = {.about = -1};
	bool as_json = false, open = false;
	const struct tool_option options[] = {
		{"topology", "FILE", "the devices of a file, docs/topology.md", NULL, &file},
		{"sysfs", "DIR", "where sysfs is, if not in /sys", NULL, &sysfs},
		{"cpuinfo", "FILE", "which processor, if not /proc/cpuinfo", NULL, &cpuinfo},
		{"open", NULL, "open DEVICE, for what can be known only then", &open, NULL},
		{"json", NULL, "print one JSON object", &as_json, NULL},
	};
	int err, code;

	switch (tool_parse(verb, options, sizeof(options) / sizeof(options[0]), argc, argv,
			   &about)) {
	case TOOL_PARSED_HELP:
		return TOOL_DONE;
	case TOOL_PARSED_MISUSED:
		return TOOL_MISUSED;
	case TOOL_PARSED:
		break;
	}
	if (file && (sysfs || cpuinfo)) {
		tool_say("devices: --topology, and --sysfs or --cpuinfo, exclude each other");
		return TOOL_MISUSED;
	}
	if (open && (!about || file || sysfs)) {
		tool_say("devices: --open is for one DEVICE of this machine");
		return TOOL_MISUSED;
	}
	err = file ? dma_topology_read(file, &listing.topology)
		   : dma_topology_read_sysfs(sysfs, cpuinfo, &listing.topology);
	if (err) {
		tool_say_dma("devices");
		return TOOL_FAILED;
	}
	code = list_devices(&listing, about, as_json, !file && !sysfs, open);
	dma_topology_free(listing.topology);
	return code;
}
