/* SPDX-License-Identifier: MIT */
/* Putting a topology together: names, addresses, parents, and whether they make sense. */
#include <inttypes.h>
#include <stdio.h>

#include "topology/topology.h"

struct dma_topology *topology_create(void)
{
	struct dma_topology *topology = base_zalloc(sizeof(*topology));

	if (!topology)
		base_error(-ENOMEM, "no memory for a topology; free some");
	return topology;
}

void topology_destroy(struct dma_topology *topology)
{
	if (topology)
		base_free(topology->functions);
	base_free(topology);
}

bool topology_is_name(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789-_.:");

	return len && len < DMA_PCI_NAME && !text[len];
}

/* @digits hexadecimal digits followed by @end; returns what is behind, or NULL. */
static const char *hex_field(const char *text, unsigned int digits, char end, uint32_t *value)
{
	*value = 0;
	for (unsigned int i = 0; i < digits; i++, text++) {
		char c = *text;

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*value = *value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return NULL;
	}
	return *text == end ? text + (end != '\0') : NULL;
}

bool topology_parse_address(const char *text, struct dma_pci_function *function)
{
	uint32_t domain = 0, bus, device, number;
	const char *at = NULL;

	/* Domains of controllers that make their own have more than four digits. */
	for (unsigned int digits = 4; digits <= 8 && !at; digits++)
		at = hex_field(text, digits, ':', &domain);
	if (!at) {
		domain = 0;
		at = text;
	}
	at = hex_field(at, 2, ':', &bus);
	at = at ? hex_field(at, 2, '.', &device) : NULL;
	at = at ? hex_field(at, 1, '\0', &number) : NULL;
	if (!at || device > 31 || number > 7)
		return false;
	function->domain = domain;
	function->bus = (uint8_t)bus;
	function->device = (uint8_t)device;
	function->function = (uint8_t)number;
	return true;
}

int topology_find_host(const struct dma_topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->nr_hosts; i++)
		if (!strcmp(topology->hosts[i].name, name))
			return (int)i;
	return -1;
}

static bool same_address(const struct dma_pci_function *a, const struct dma_pci_function *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->device == b->device &&
	       a->function == b->function;
}

int topology_find_function(const struct dma_topology *topology, const char *name)
{
	struct dma_pci_function sought;
	bool by_address = topology_parse_address(name, &sought);

	for (size_t i = 0; i < topology->nr_functions; i++) {
		const struct dma_pci_function *is = &topology->functions[i].is;

		if (by_address ? same_address(is, &sought) : !strcmp(is->name, name))
			return (int)i;
	}
	return -1;
}

int topology_add_host(struct dma_topology *topology, const struct topology_host *host)
{
	if (topology->nr_hosts == TOPOLOGY_HOSTS)
		return base_error(-EINVAL, "a topology has at most %d host bridges",
				  TOPOLOGY_HOSTS);
	if (topology_find_host(topology, host->name) >= 0 ||
	    topology_find_function(topology, host->name) >= 0)
		return base_error(-EINVAL, "\"%s\" is there already; give another name",
				  host->name);
	for (size_t i = 0; i < topology->nr_hosts; i++) {
		const struct topology_host *other = &topology->hosts[i];

		if (other->domain == host->domain && other->bus == host->bus)
			return base_error(-EINVAL,
					  "host bridges \"%s\" and \"%s\" have the same root bus "
					  "%04x:%02x",
					  other->name, host->name, host->domain, host->bus);
	}
	topology->hosts[topology->nr_hosts++] = *host;
	return 0;
}

static int make_room(struct dma_topology *topology)
{
	size_t room = topology->room ? 2 * topology->room : 16;
	struct topology_function *functions;

	if (topology->nr_functions < topology->room)
		return 0;
	if (topology->nr_functions == TOPOLOGY_FUNCTIONS)
		return base_error(-EINVAL, "a topology has at most %d functions",
				  TOPOLOGY_FUNCTIONS);
	functions = base_alloc(room * sizeof(*functions));
	if (!functions)
		return base_error(-ENOMEM, "no memory for %zu PCI functions; free some", room);
	if (topology->nr_functions)
		memcpy(functions, topology->functions, topology->nr_functions * sizeof(*functions));
	base_free(topology->functions);
	topology->functions = functions;
	topology->room = room;
	return 0;
}

static int check_parent(const struct dma_topology *topology, const struct dma_pci_function *is)
{
	const struct topology_function *parent;
	unsigned int depth = 0;

	if (is->parent < 0)
		return 0;
	parent = &topology->functions[is->parent];
	if (!topology_is_bridge(parent))
		return base_error(-EINVAL, "\"%s\" is below \"%s\", which is no bridge", is->name,
				  parent->is.name);
	for (int at = is->parent; at >= 0; at = topology->functions[at].is.parent)
		if (++depth > TOPOLOGY_DEPTH)
			return base_error(-EINVAL, "\"%s\" has more than %d bridges above it",
					  is->name, TOPOLOGY_DEPTH);
	return 0;
}

int topology_add_function(struct dma_topology *topology, const struct topology_function *function)
{
	const struct dma_pci_function *is = &function->is;
	struct dma_pci_function by_name;
	char address[DMA_PCI_NAME];
	int err;

	snprintf(address, sizeof(address), "%04x:%02x:%02x.%x", is->domain, is->bus, is->device,
		 is->function);
	if (topology_find_function(topology, address) >= 0)
		return base_error(-EINVAL, "the address %s is taken already", address);
	if (topology_find_function(topology, is->name) >= 0 ||
	    topology_find_host(topology, is->name) >= 0)
		return base_error(-EINVAL, "\"%s\" is there already; give another name", is->name);
	if (topology_parse_address(is->name, &by_name) && !same_address(&by_name, is))
		return base_error(-EINVAL, "\"%s\" is the name of a function at another address",
				  is->name);
	err = check_parent(topology, is);
	if (!err)
		err = make_room(topology);
	if (!err)
		topology->functions[topology->nr_functions++] = *function;
	return err;
}

static bool overlap(const struct topology_window *a, const struct topology_window *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static const struct topology_function *bar_in_the_way(const struct dma_topology *topology,
						      const struct topology_window *bar)
{
	for (size_t i = 0; i < topology->nr_functions; i++) {
		const struct topology_function *other = &topology->functions[i];

		for (unsigned int n = 0; n < DMA_PCI_BARS; n++)
			if (other->bars[n].last && overlap(&other->bars[n], bar))
				return other;
	}
	return NULL;
}

int topology_add_bar(struct dma_topology *topology, struct topology_function *function,
		     unsigned int bar, uint64_t first, uint64_t size)
{
	const struct topology_host *host = &topology->hosts[function->is.host];
	const struct topology_window window = {first, first + size - 1};
	const struct topology_function *other;
	bool inside = false;

	if (bar >= DMA_PCI_BARS || function->bars[bar].last)
		return base_error(-EINVAL, "\"%s\": there is no bar%u, or it is there already",
				  function->is.name, bar);
	if (!is_power_of_two(size) || size < 4096 || first & (size - 1) || window.last < first)
		return base_error(-EINVAL,
				  "bar%u of \"%s\": 0x%" PRIx64 " bytes at 0x%" PRIx64
				  ": the size must be a power of two from 4K on, and the address "
				  "a multiple of it",
				  bar, function->is.name, size, first);
	for (size_t i = 0; i < host->nr_windows; i++)
		inside |= first >= host->windows[i].first && window.last <= host->windows[i].last;
	if (!inside)
		return base_error(-EINVAL,
				  "bar%u of \"%s\" at 0x%" PRIx64
				  " is in no window of its host bridge \"%s\"",
				  bar, function->is.name, first, host->name);
	other = bar_in_the_way(topology, &window);
	for (unsigned int n = 0; n < DMA_PCI_BARS && !other; n++)
		if (function->bars[n].last && overlap(&function->bars[n], &window))
			other = function;
	if (other)
		return base_error(-EINVAL,
				  "bar%u of \"%s\" at 0x%" PRIx64 " overlaps a BAR of \"%s\"", bar,
				  function->is.name, first, other->is.name);
	function->bars[bar] = window;
	return 0;
}

void dma_topology_free(struct dma_topology *topology)
{
	topology_destroy(topology);
}

size_t dma_topology_count(const struct dma_topology *topology)
{
	return topology->nr_functions;
}

int dma_topology_function(const struct dma_topology *topology, size_t number,
			  struct dma_pci_function *function)
{
	if (number >= topology->nr_functions)
		return base_error(-EINVAL, "PCI function %zu: the topology has %zu", number,
				  topology->nr_functions);
	*function = topology->functions[number].is;
	return 0;
}

int dma_topology_find(const struct dma_topology *topology, const char *name)
{
	int number = topology_find_function(topology, name);

	if (number < 0)
		return base_error(-ENOENT,
				  "\"%.40s\" is no function of the topology; `twostep devices` "
				  "lists them",
				  name);
	return number;
}

const char *dma_pci_type_name(enum dma_pci_type type)
{
	switch (type) {
	case DMA_PCI_ENDPOINT:
		return "endpoint";
	case DMA_PCI_ROOT_PORT:
		return "root port";
	case DMA_PCI_UPSTREAM:
		return "upstream port";
	case DMA_PCI_DOWNSTREAM:
		return "downstream port";
	case DMA_PCI_BRIDGE:
		return "bridge";
	}
	return "unknown";
}
