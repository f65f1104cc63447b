/* SPDX-License-Identifier: MIT */
/* Every rule by which one function may reach another's memory, with its distance and reason. */
#include "topology_tests.h"

#define BUS PCI_P2PDMA_MAP_BUS_ADDR
#define HOST PCI_P2PDMA_MAP_THRU_HOST_BRIDGE
#define NO PCI_P2PDMA_MAP_NOT_SUPPORTED

/* Two root ports; a switch with two ports below the first; %s: access control of each. */
#define PLAN                                    \
	"cpu %s\n"                              \
	"host pc0 0000:00 id=%s\n"              \
	"host pc1 0000:80 id=%s\n"              \
	"root-port rp0 00:1c.0 on pc0 acs=%s\n" \
	"root-port rp1 00:1d.0 on pc0\n"        \
	"upstream up 01:00.0 on rp0 acs=%s\n"   \
	"downstream dn0 02:00.0 on up acs=%s\n" \
	"downstream dn1 02:01.0 on up acs=%s\n" \
	"endpoint a 03:00.0 on dn0 acs=%s\n"    \
	"endpoint a1 03:00.1 on dn0\n"          \
	"endpoint b 04:00.0 on dn1 acs=%s\n"    \
	"endpoint c 05:00.0 on rp1\n"           \
	"endpoint inside 00:02.0 on pc0\n"      \
	"endpoint d 80:02.0 on pc1\n"

struct rule {
	const char *cpu, *host0, *host1;
	const char *rp0, *up, *dn0, *dn1, *a, *b;
	const char *provider, *client;
	enum pci_p2pdma_map_type map;
	int distance;
	const char *why;
};

#define OLD "intel 6", "8086:1234", "8086:1234"
#define OPEN "none", "none", "none", "none", "none", "none"

static const struct rule rules[] = {
	/* A common bridge, and nothing that redirects. */
	{OLD, OPEN, "a", "a", BUS, 0, "by bus address: its own memory"},
	{OLD, OPEN, "a", "a1", BUS, 2, "by bus address: below dn0, 2 hops"},
	{OLD, OPEN, "a", "b", BUS, 4, "by bus address: below up, 4 hops"},
	{OLD, OPEN, "b", "a", BUS, 4, "by bus address: below up, 4 hops"},
	/* No common bridge: only the host bridge is left. */
	{OLD, OPEN, "a", "c", NO, 6,
	 "not supported: no common bridge; host bridge pc0 (8086:1234) is not on the list of those "
	 "that pass it on"},
	{OLD, OPEN, "a", "inside", NO, 5, NULL},
	{OLD, OPEN, "inside", "d", NO, 2, NULL},
	/* Redirection, on each port of the way, and which ports are not on it. */
	{OLD, "none", "none", "rr", "none", "none", "none", "a", "b", NO, 4,
	 "not supported: ACS redirect at dn0; host bridge pc0 (8086:1234) is not on the list of "
	 "those that pass it on"},
	{OLD, "none", "none", "cr", "none", "none", "none", "a", "b", NO, 4, NULL},
	{OLD, "none", "none", "ec", "none", "none", "none", "a", "b", NO, 4, NULL},
	{OLD, "none", "none", "none", "rr", "none", "none", "a", "b", NO, 4, NULL},
	{OLD, "none", "rr", "none", "none", "none", "none", "a", "b", NO, 4, NULL},
	{OLD, "rr", "none", "none", "none", "none", "none", "a", "b", BUS, 4, NULL},
	{OLD, "none", "none", "none", "none", "rr", "none", "a", "b", NO, 4, NULL},
	{OLD, "none", "none", "none", "none", "none", "rr", "a", "b", NO, 4, NULL},
	{OLD, "none", "none", "rr", "none", "none", "none", "a", "a1", NO, 2, NULL},
	{OLD, "none", "none", "none", "rr", "none", "none", "a", "a1", BUS, 2, NULL},
	{OLD, "none", "none", "none", "none", "rr", "none", "a", "a", NO, 0, NULL},
	/* The other bits do not redirect. */
	{OLD, "sv+tb+uf+dt", "sv+tb+uf+dt", "sv+tb+uf+dt", "sv+tb+uf+dt", "sv+tb+uf+dt",
	 "sv+tb+uf+dt", "a", "b", BUS, 4, NULL},
	/* The processor: AMD's since family 17h. */
	{"amd 0x17", "8086:1234", "8086:1234", OPEN, "a", "c", HOST, 6,
	 "through the host bridge: no common bridge; the processor passes it on (amd family 17h)"},
	{"AuthenticAMD 25", "8086:1234", "8086:1234", OPEN, "inside", "d", HOST, 2, NULL},
	{"amd 0x16", "8086:1234", "8086:1234", OPEN, "a", "c", NO, 6, NULL},
	{"intel 0x17", "8086:1234", "8086:1234", OPEN, "a", "c", NO, 6, NULL},
	{"amd 0x17", "8086:1234", "8086:1234", "none", "none", "rr", "none", "none", "none", "a",
	 "b", HOST, 4,
	 "through the host bridge: ACS redirect at dn0; the processor passes it on "
	 "(amd family 17h)"},
	/* The list: anywhere; below one host bridge only; by vendor. */
	{"intel 6", "8086:2030", "8086:1234", OPEN, "a", "c", HOST, 6,
	 "through the host bridge: no common bridge; host bridge pc0 (8086:2030) passes it on"},
	{"intel 6", "8086:2030", "8086:1234", OPEN, "inside", "d", NO, 2,
	 "not supported: no common bridge; host bridge pc1 (8086:1234) is not on the list of those "
	 "that pass it on"},
	{"intel 6", "8086:1234", "8086:2030", OPEN, "inside", "d", NO, 2, NULL},
	{"intel 6", "8086:2030", "8086:09a2", OPEN, "inside", "d", HOST, 2,
	 "through the host bridge: no common bridge; both host bridges pass it on"},
	{"intel 6", "8086:3c00", "8086:2030", OPEN, "a", "c", HOST, 6, NULL},
	{"intel 6", "8086:3c00", "8086:2030", OPEN, "inside", "d", NO, 2,
	 "not supported: no common bridge; host bridge pc0 (8086:3c00) passes it on below itself "
	 "only"},
	{"intel 6", "8086:2030", "8086:2f01", OPEN, "inside", "d", NO, 2, NULL},
	{"intel 6", "1ae0:0001", "10de:2f97", OPEN, "inside", "d", HOST, 2, NULL},
	{"intel 6", "10de:2f94", "10de:2f97", OPEN, "inside", "d", NO, 2, NULL},
};

static void every_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++) {
		const struct rule *rule = &rules[i];
		struct dma_topology *topology;
		char plan[2048], why[256];
		int distance;

		snprintf(plan, sizeof(plan), PLAN, rule->cpu, rule->host0, rule->host1, rule->rp0,
			 rule->up, rule->dn0, rule->dn1, rule->a, rule->b);
		topology = parsed(plan);
		if (decided(topology, rule->provider, rule->client, &distance, why, sizeof(why)) !=
			    rule->map ||
		    distance != rule->distance || (rule->why && strcmp(why, rule->why)))
			fail_msg("rule %zu: %d hops, %s", i, distance, why);
		assert_string_not_equal(why, "");
		dma_topology_free(topology);
	}
}

/* What sysfs did not show might redirect. */
static void unknown_is_expected(void **state)
{
	struct dma_topology *topology =
		parsed("cpu amd 0x17\nhost h 00\nroot-port r 00:01.0 on h\n"
		       "endpoint a 01:00.0 on r\nendpoint b 01:00.1 on r\n");
	char why[256];

	(void)state;
	assert_int_equal(decided(topology, "a", "b", NULL, NULL, 0), BUS);
	topology->functions[0].is.acs_unknown = true;
	assert_int_equal(decided(topology, "a", "b", NULL, why, sizeof(why)), HOST);
	assert_non_null(strstr(why, "ACS unknown without root at r"));
	/* A short buffer is filled as far as it goes. */
	decided(topology, "a", "b", NULL, why, 8);
	assert_string_equal(why, "through");
	assert_int_equal(dma_topology_decide(topology, 0, 3, NULL, why, sizeof(why)), NO);
	assert_int_equal(dma_topology_decide(topology, 3, 0, NULL, NULL, 0), NO);
	dma_topology_free(topology);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule),
		cmocka_unit_test(unknown_is_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
