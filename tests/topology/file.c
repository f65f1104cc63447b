/* SPDX-License-Identifier: MIT */
/* What a topology file may say, and what is refused, with the line and a reason. */
#include <unistd.h>

#include "topology_tests.h"

#define HOST "host pc0 0000:00 window=0xe0000000-0xefffffff\n"

static const struct {
	const char *text;
	const char *said;
} refused[] = {
	{"nonsense", "plan, line 1: \"nonsense\" begins no line"},
	{"\n# a comment\nhost", "plan, line 3: write: host NAME BUS"},
	{"cpu amd", "write: cpu VENDOR FAMILY"},
	{"cpu amd x", "write: cpu VENDOR FAMILY"},
	{"cpu amd 0x10000", "write: cpu VENDOR FAMILY"},
	{"host pc0 0", "\"0\" is not understood; it takes a root bus"},
	{"host pc0 0000:00:00.0", "a root bus"},
	{"host p,c 0000:00", "write: host"},
	{"host pc0 0000:00 id=8086", "ids of four hexadecimal digits"},
	{"host pc0 0000:00 id=8086:20zz", "ids of four hexadecimal digits"},
	{"host pc0 0000:00 window=1-2", "whole pages"},
	{"host pc0 0000:00 window=0x2000-0xfff", "whole pages"},
	{"host pc0 0000:00 window=0-0xfff", "whole pages"},
	{"host pc0 0000:00 window=99999999999999999999999-1", "whole pages"},
	{"host pc0 0000:00 shape=round", "has no \"shape=round\""},
	{"host pc0 00\nhost pc0 01", "plan, line 2: \"pc0\" is there already"},
	{"host pc0 00\nhost pc1 00", "the same root bus 0000:00"},
	{HOST "endpoint", "write: endpoint NAME ADDRESS on PARENT"},
	{HOST "endpoint a 01:00.0 below pc0", "write: endpoint"},
	{HOST "endpoint a 01:00.8 on pc0", "an address"},
	{HOST "endpoint a 01:20.0 on pc0", "an address"},
	{HOST "endpoint a 1:00.0 on pc0", "an address"},
	{HOST "endpoint a 01:00.0 on b", "which no line before it names"},
	{HOST "endpoint a 01:00.0 on a", "which no line before it names"},
	{HOST "endpoint a 0001:01:00.0 on pc0", "in another domain"},
	{HOST "endpoint pc0 01:00.0 on pc0", "\"pc0\" is there already"},
	{HOST "endpoint a 01:00.0 on pc0\nendpoint b 01:00.0 on pc0", "line 3: the address"},
	{HOST "endpoint a 01:00.0 on pc0\nendpoint b 02:00.0 on a", "which is no bridge"},
	{HOST "endpoint 02:00.0 01:00.0 on pc0", "the name of a function at another address"},
	{HOST "root-port a 00:01.0 on pc0\nroot-port b 01:00.0 on a", "a root port cannot be"},
	{HOST "upstream a 00:01.0 on pc0", "an upstream port cannot be directly below \"pc0\""},
	{HOST "downstream a 00:01.0 on pc0", "a downstream port cannot be"},
	{HOST "root-port r 00:01.0 on pc0\nupstream u 01:00.0 on r\nendpoint a 02:00.0 on u",
	 "an endpoint cannot be directly below \"u\""},
	{HOST "endpoint a 01:00.0 on pc0 acs=rr+xx", "sv, tb, rr, cr, uf, ec, dt"},
	{HOST "endpoint a 01:00.0 on pc0 acs=", "sv, tb"},
	{HOST "endpoint a 01:00.0 on pc0 class=0x1000000", "a class code"},
	{HOST "endpoint a 01:00.0 on pc0 group=x", "an IOMMU group"},
	{HOST "endpoint a 01:00.0 on pc0 id=1", "ids of four"},
	{HOST "endpoint a 01:00.0 on pc0 colour=red", "there is no \"colour=red\""},
	{HOST "endpoint a 01:00.0 on pc0 bar6=0xe0000000+4K", "bar0= to bar5="},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000", "ADDRESS+SIZE"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+4K bar0=0xe1000000+4K", "there already"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+2K", "a power of two from 4K on"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0001000+8K", "a multiple of it"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+0", "a power of two"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xf0000000+4K", "in no window"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+512M", "in no window"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+8K bar1=0xe0001000+4K", "overlaps a BAR"},
	{HOST "endpoint a 01:00.0 on pc0 bar0=0xe0000000+8K\n"
	      "endpoint b 02:00.0 on pc0 bar0=0xe0001000+4K",
	 "line 3: bar0 of \"b\" at 0xe0001000 overlaps a BAR of \"a\""},
	{HOST "endpoint a 01:00.0 on pc0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5",
	 "at most 24 words"},
};

static void what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct dma_topology *topology = NULL;

		dma_clear_error();
		assert_int_equal(
			topology_parse(refused[i].text, strlen(refused[i].text), "plan", &topology),
			-EINVAL);
		assert_null(topology);
		if (!strstr(dma_last_error(), refused[i].said) ||
		    strncmp(dma_last_error(), "plan, line ", 11))
			fail_msg("%zu: %s", i, dma_last_error());
	}
}

static void bounds(void **state)
{
	char *text = calloc(1, 2 * TOPOLOGY_FILE), *at = text;
	struct dma_topology *topology;

	(void)state;
	assert_non_null(text);
	memset(text, 'a', 600);
	assert_int_equal(topology_parse(text, 600, "plan", &topology), -EINVAL);
	assert_int_equal(topology_parse("host\0pc0 00", 11, "plan", &topology), -EINVAL);
	for (unsigned int i = 0; i < 65; i++)
		at += sprintf(at, "host h%u %04x:00\n", i, i);
	assert_int_equal(topology_parse(text, strlen(text), "plan", &topology), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "line 65: a topology has at most 64"));
	at = text + sprintf(text, "host h 00\nbridge b0 00:00.0 on h\n");
	for (unsigned int i = 1; i < 70; i++)
		at += sprintf(at, "bridge b%u %02x:00.0 on b%u\n", i, i, i - 1);
	assert_int_equal(topology_parse(text, strlen(text), "plan", &topology), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "more than 64 bridges above it"));
	at = text + sprintf(text, "host h 00\n");
	for (unsigned int i = 0; i < 4097; i++)
		at += sprintf(at, "endpoint e%u %02x:%02x.%x on h\n", i, i >> 8, i >> 3 & 31,
			      i & 7);
	assert_int_equal(topology_parse(text, strlen(text), "plan", &topology), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "line 4098: a topology has at most 4096"));
	free(text);
}

static void everything_that_it_may_say(void **state)
{
	struct dma_topology *topology = parsed(
		"# a machine\n\ncpu amd 0x19 # Zen 3\r\n"
		"host pc0 10000:00 id=1022:1480 window=0xe0000000-0xefffffff window=64G-0x107fffffff\n"
		"\troot-port rp 10000:00:01.0 on pc0 id=1022:1483 acs=sv+rr+cr+uf group=1\n"
		"  endpoint 10000:01:00.0 10000:01:00.0 on rp class=0x010802 bar0=0xe0000000+16K "
		"bar4=64G+2G unmappable");
	struct dma_pci_function function;

	(void)state;
	assert_int_equal(dma_topology_count(topology), 2);
	assert_int_equal(dma_topology_find(topology, "10000:00:01.0"), 0);
	assert_int_equal(dma_topology_find(topology, "10000:01:00.0"), 1);
	assert_int_equal(dma_topology_find(topology, "01:00.0"), -ENOENT);
	assert_int_equal(dma_topology_function(topology, 2, &function), -EINVAL);
	assert_int_equal(dma_topology_function(topology, 0, &function), 0);
	assert_int_equal(function.acs,
			 DMA_PCI_ACS_SV | DMA_PCI_ACS_RR | DMA_PCI_ACS_CR | DMA_PCI_ACS_UF);
	assert_int_equal(function.iommu_group, 1);
	assert_int_equal(function.type, DMA_PCI_ROOT_PORT);
	assert_int_equal(function.vendor_id, 0x1022);
	assert_int_equal(dma_topology_function(topology, 1, &function), 0);
	assert_int_equal(function.parent, 0);
	assert_int_equal(function.class_code, 0x010802);
	assert_int_equal(function.iommu_group, -1);
	assert_true(topology->zen);
	assert_true(topology->functions[1].unmappable);
	assert_int_equal(topology->functions[1].bars[4].last, (64ULL << 30) + (2ULL << 30) - 1);
	assert_int_equal(topology->hosts[0].nr_windows, 2);
	dma_topology_free(topology);
	/* Nothing is something too. */
	topology = parsed("");
	assert_int_equal(dma_topology_count(topology), 0);
	dma_topology_free(topology);
	for (int type = 0; type <= DMA_PCI_BRIDGE + 1; type++)
		assert_string_not_equal(dma_pci_type_name((enum dma_pci_type)type), "");
	for (int map = 0; map <= PCI_P2PDMA_MAP_THRU_HOST_BRIDGE + 1; map++)
		assert_string_not_equal(pci_p2pdma_map_type_name((enum pci_p2pdma_map_type)map),
					"");
}

static void files(void **state)
{
	struct dma_topology *topology;
	char path[] = "/tmp/twostep-topology-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, HOST, strlen(HOST)), (ssize_t)strlen(HOST));
	for (uint64_t nth = 1; nth <= 2; nth++) {
		base_alloc_fail(nth);
		assert_int_equal(dma_topology_read(path, &topology), -ENOMEM);
		base_alloc_fail(0);
	}
	assert_int_equal(dma_topology_read(path, &topology), 0);
	dma_topology_free(topology);
	assert_int_equal(ftruncate(fd, TOPOLOGY_FILE + 1), 0);
	assert_int_equal(dma_topology_read(path, &topology), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "longer than"));
	close(fd);
	unlink(path);
	assert_int_equal(dma_topology_read(path, &topology), -ENOENT);
	assert_int_equal(dma_topology_read("/tmp", &topology), -EISDIR);
	dma_topology_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(everything_that_it_may_say),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
