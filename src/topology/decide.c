/* SPDX-License-Identifier: MIT */
/*
 * Which way a request of one function for another's memory goes, and whether the
 * hardware is known to carry it: the kernel's calc_map_type_and_dist().
 */
#include <stdarg.h>
#include <stdio.h>

#include "topology/topology.h"

struct reasons {
	char *text;
	size_t size;
};

static __attribute__((__format__(__printf__, 2, 3))) void explain(struct reasons *why,
								  const char *format, ...)
{
	size_t used = why->size ? strlen(why->text) : 0;
	va_list args;

	if (!why->size)
		return;
	va_start(args, format);
	vsnprintf(why->text + used, why->size - used, format, args);
	va_end(args);
}

/* What is not known must be expected. */
static bool redirects(const struct dma_pci_function *is)
{
	return is->acs_unknown || is->acs & DMA_PCI_ACS_REDIRECT;
}

/* The first common bridge, or function, and how far it is from both; -1: there is none. */
static int common_bridge(const struct dma_topology *topology, int provider, int client, int *up,
			 int *down)
{
	*up = 0;
	for (int a = provider; a >= 0; a = topology->functions[a].is.parent, (*up)++) {
		*down = 0;
		for (int b = client; b >= 0; b = topology->functions[b].is.parent, (*down)++)
			if (a == b)
				return a;
	}
	return -1;
}

/* The first port that redirects on [from, last], the provider's side, or [from, last). */
static const struct dma_pci_function *redirecting(const struct dma_topology *topology, int from,
						  int last, bool with_last)
{
	for (int at = from; at >= 0; at = topology->functions[at].is.parent) {
		const struct dma_pci_function *is = &topology->functions[at].is;

		if (at == last && !with_last)
			return NULL;
		if (redirects(is))
			return is;
		if (at == last)
			return NULL;
	}
	return NULL;
}

static const char *host_id(const struct topology_host *host, char *text, size_t size)
{
	snprintf(text, size, "host bridge %s", host->name);
	if (host->vendor_id)
		snprintf(text, size, "host bridge %s (%04x:%04x)", host->name, host->vendor_id,
			 host->device_id);
	return text;
}

/* Whether what goes up to the host bridges comes down again. */
static bool host_passes(const struct dma_topology *topology, const struct topology_host *a,
			const struct topology_host *b, struct reasons *why)
{
	char text[64];

	if (topology->zen) {
		explain(why, "; the processor passes it on (%s)", topology->cpu);
		return true;
	}
	if (topology_allowed(a) == ALLOWED_NOT) {
		explain(why, "; %s is not on the list of those that pass it on",
			host_id(a, text, sizeof(text)));
		return false;
	}
	if (a == b) {
		explain(why, "; %s passes it on", host_id(a, text, sizeof(text)));
		return true;
	}
	if (topology_allowed(b) == ALLOWED_NOT) {
		explain(why, "; %s is not on the list of those that pass it on",
			host_id(b, text, sizeof(text)));
		return false;
	}
	if (topology_allowed(a) == ALLOWED_SAME || topology_allowed(b) == ALLOWED_SAME) {
		explain(why, "; %s passes it on below itself only",
			host_id(topology_allowed(a) == ALLOWED_SAME ? a : b, text, sizeof(text)));
		return false;
	}
	explain(why, "; both host bridges pass it on");
	return true;
}

enum pci_p2pdma_map_type dma_topology_decide(const struct dma_topology *topology, size_t provider,
					     size_t client, int *distance, char *text, size_t size)
{
	char host_text[160] = "";
	struct reasons why = {text, text ? size : 0}, host = {host_text, sizeof(host_text)};
	const struct topology_function *functions = topology->functions;
	const struct dma_pci_function *port = NULL;
	int up, down = 0, common;
	bool passes;

	if (why.size)
		*text = '\0';
	if (provider >= topology->nr_functions || client >= topology->nr_functions) {
		explain(&why, "not in the topology");
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	}
	common = common_bridge(topology, (int)provider, (int)client, &up, &down);
	if (distance)
		*distance = up + down;
	if (common >= 0)
		port = redirecting(topology, (int)provider, common, true);
	if (common >= 0 && !port)
		port = redirecting(topology, (int)client, common, false);
	if (common >= 0 && !port) {
		if (provider == client)
			explain(&why, "by bus address: its own memory");
		else
			explain(&why, "by bus address: below %s, %d hops",
				functions[common].is.name, up + down);
		return PCI_P2PDMA_MAP_BUS_ADDR;
	}
	passes = host_passes(topology, &topology->hosts[functions[provider].is.host],
			     &topology->hosts[functions[client].is.host], &host);
	explain(&why, "%s: ", passes ? "through the host bridge" : "not supported");
	if (port)
		explain(&why, "%s at %s",
			port->acs_unknown ? "ACS unknown without root" : "ACS redirect",
			port->name);
	else
		explain(&why, "no common bridge");
	explain(&why, "%s", host_text);
	if (passes)
		return PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

const char *pci_p2pdma_map_type_name(enum pci_p2pdma_map_type type)
{
	switch (type) {
	case PCI_P2PDMA_MAP_UNKNOWN:
		break;
	case PCI_P2PDMA_MAP_NONE:
		return "not peer-to-peer";
	case PCI_P2PDMA_MAP_NOT_SUPPORTED:
		return "not supported";
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return "bus address";
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return "host bridge";
	}
	return "unknown";
}
