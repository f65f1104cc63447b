/* SPDX-License-Identifier: MIT */
/* What the tests of topologies share. */
#ifndef TESTS_TOPOLOGY_TESTS_H
#define TESTS_TOPOLOGY_TESTS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/error.h>

#include "topology/topology.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline struct dma_topology *parsed(const char *text)
{
	struct dma_topology *topology;

	if (topology_parse(text, strlen(text), "plan", &topology))
		fail_msg("%s", dma_last_error());
	return topology;
}

static inline enum pci_p2pdma_map_type decided(const struct dma_topology *topology,
					       const char *provider, const char *client,
					       int *distance, char *why, size_t size)
{
	int from = dma_topology_find(topology, provider), to = dma_topology_find(topology, client);

	assert_true(from >= 0 && to >= 0);
	return dma_topology_decide(topology, (size_t)from, (size_t)to, distance, why, size);
}

#endif
