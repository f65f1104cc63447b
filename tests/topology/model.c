/* SPDX-License-Identifier: MIT */
/*
 * Random trees, against a reference that writes both ways to the root down and compares
 * them from the root on.
 */
#include <time.h>

#include "topology_tests.h"

#define ROUNDS 300
#define MOST 40

static uint64_t seed;

static unsigned int random_below(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed % n);
}

/* From the root down to @at; returns how many. */
static int way_to(const struct dma_topology *topology, int at, int *way)
{
	int nr = at < 0 ? 0 : way_to(topology, topology->functions[at].is.parent, way);

	if (at >= 0)
		way[nr++] = at;
	return nr;
}

static enum pci_p2pdma_map_type reference(const struct dma_topology *topology, int provider,
					  int client, int *distance)
{
	int p[MOST], c[MOST], common = 0;
	int nr_p = way_to(topology, provider, p), nr_c = way_to(topology, client, c);
	const struct topology_host *a = &topology->hosts[topology->functions[provider].is.host];
	const struct topology_host *b = &topology->hosts[topology->functions[client].is.host];
	bool redirect = false;

	while (common < nr_p && common < nr_c && p[common] == c[common])
		common++;
	*distance = nr_p - common + (nr_c - common);
	/* The provider's way with the common bridge, the client's without. */
	for (int i = common ? common - 1 : 0; i < nr_p; i++)
		redirect |= (topology->functions[p[i]].is.acs & DMA_PCI_ACS_REDIRECT) != 0;
	for (int i = common; i < nr_c; i++)
		redirect |= (topology->functions[c[i]].is.acs & DMA_PCI_ACS_REDIRECT) != 0;
	if (common && !redirect)
		return PCI_P2PDMA_MAP_BUS_ADDR;
	if (topology->zen)
		return PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	if (a == b ? topology_allowed(a) != ALLOWED_NOT
		   : topology_allowed(a) == ALLOWED_ANY && topology_allowed(b) == ALLOWED_ANY)
		return PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	return PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

static struct dma_topology *random_topology(void)
{
	static const uint16_t ids[] = {0x3c00, 0x2030, 0x1234};
	struct dma_topology *topology = topology_create();
	unsigned int nr = 2 + random_below(MOST - 2);

	assert_non_null(topology);
	topology->zen = !random_below(4);
	for (unsigned int i = 0; i < 2; i++) {
		struct topology_host host = {.bus = (uint8_t)(i * 128),
					     .vendor_id = 0x8086,
					     .device_id = ids[random_below(3)]};

		snprintf(host.name, sizeof(host.name), "h%u", i);
		assert_int_equal(topology_add_host(topology, &host), 0);
	}
	for (unsigned int i = 0; i < nr; i++) {
		struct topology_function function = {.is = {.type = DMA_PCI_BRIDGE, .parent = -1}};

		snprintf(function.is.name, sizeof(function.is.name), "f%u", i);
		function.is.bus = (uint8_t)i;
		function.is.host = (int)random_below(2);
		if (i && random_below(6))
			function.is.parent = (int)random_below(i);
		if (function.is.parent >= 0)
			function.is.host = topology->functions[function.is.parent].is.host;
		if (!random_below(6))
			function.is.acs = random_below(128);
		assert_int_equal(topology_add_function(topology, &function), 0);
	}
	return topology;
}

static void as_the_reference_says(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct dma_topology *topology = random_topology();
		int nr = (int)dma_topology_count(topology);

		for (int p = 0; p < nr; p++) {
			for (int c = 0; c < nr; c++) {
				int distance, expected;

				if (dma_topology_decide(topology, (size_t)p, (size_t)c, &distance,
							NULL, 0) !=
					    reference(topology, p, c, &expected) ||
				    distance != expected)
					fail_msg("round %u, f%d and f%d: %d hops, not %d", round, p,
						 c, distance, expected);
			}
		}
		dma_topology_free(topology);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_reference_says)};
	const char *given = getenv("SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u | 1;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
