/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a topology or refused with a line number and a reason; what was
 * read holds what the model promises, and every pair can be decided.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <twostep/error.h>

#include "topology/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_function(const struct dma_topology *topology, size_t number)
{
	const struct topology_function *function = &topology->functions[number];

	require(function->is.parent < (int)number);
	require(function->is.host >= 0 && (size_t)function->is.host < topology->nr_hosts);
	require(dma_topology_find(topology, function->is.name) == (int)number);
	if (function->is.parent >= 0) {
		require(topology->functions[function->is.parent].is.type != DMA_PCI_ENDPOINT);
		require(topology->functions[function->is.parent].is.host == function->is.host);
	}
	for (unsigned int bar = 0; bar < DMA_PCI_BARS; bar++)
		require(!function->bars[bar].last ||
			function->bars[bar].last > function->bars[bar].first);
}

static void check_pair(const struct dma_topology *topology, size_t provider, size_t client)
{
	int there = -1, back = -1;
	char why[64];
	enum pci_p2pdma_map_type map =
		dma_topology_decide(topology, provider, client, &there, why, sizeof(why));

	dma_topology_decide(topology, client, provider, &back, NULL, 0);
	require(map >= PCI_P2PDMA_MAP_NOT_SUPPORTED && map <= PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	require(there == back && there >= 0 && *why);
	require(provider != client || !there);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dma_topology *topology = NULL;
	size_t nr;
	int err;

	if (size > 65536)
		return 0;
	dma_clear_error();
	err = topology_parse((const char *)data, size, "plan", &topology);
	require(err ? err == -EINVAL && !topology : topology != NULL);
	if (err) {
		require(!strncmp(dma_last_error(), "plan, line ", 11));
		return 0;
	}
	nr = dma_topology_count(topology);
	for (size_t i = 0; i < nr; i++)
		check_function(topology, i);
	for (size_t i = 0; i < nr && i < 16; i++)
		for (size_t n = 0; n < nr && n < 16; n++)
			check_pair(topology, i, n);
	dma_topology_free(topology);
	return 0;
}
