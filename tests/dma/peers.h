/* SPDX-License-Identifier: MIT */
/* What the tests of peer-to-peer memory share: a switch, and a device whose BAR is bytes. */
#ifndef TESTS_DMA_PEERS_H
#define TESTS_DMA_PEERS_H

#include <unistd.h>

#include <twostep/p2pdma.h>
#include <twostep/topology.h>

#include "base/base.h"
#include "setup.h"

#define BAR_PAGES 16
#define BAR_BUS 0xe0000000ULL
#define BAR2_BUS 0xe0100000ULL

/*
 * Provider, near and sibling below one switch; far below another root port of a host
 * bridge that passes on what peers want; lost below one that does not.
 */
#define PLAN                                                                         \
	"cpu intel 6\n"                                                              \
	"host pc0 0000:00 id=8086:3c00 window=0xe0000000-0xefffffff\n"               \
	"host pc1 0000:80 id=8086:1234 window=0xd0000000-0xdfffffff\n"               \
	"root-port rp0 00:1c.0 on pc0\n"                                             \
	"root-port rp1 00:1d.0 on pc0\n"                                             \
	"upstream up 01:00.0 on rp0\n"                                               \
	"downstream dn0 02:00.0 on up\n"                                             \
	"downstream dn1 02:01.0 on up\n"                                             \
	"endpoint provider 03:00.0 on dn0 bar0=0xe0000000+64K bar2=0xe0100000+64K\n" \
	"endpoint near 04:00.0 on dn1 bar0=0xe0200000+64K\n"                         \
	"endpoint far 05:00.0 on rp1 bar0=0xe0300000+64K\n"                          \
	"endpoint lost 80:02.0 on pc1\n"                                             \
	"endpoint shy 06:00.0 on rp1 bar0=0xe0400000+64K unmappable\n"

static char plan_path[64];

static inline void plan_write(const char *text)
{
	FILE *file = fopen(plan_path, "we");

	assert_non_null(file);
	assert_int_not_equal(fputs(text, file), EOF);
	assert_int_equal(fclose(file), 0);
}

static inline int plan_setup(void **state)
{
	int fd;

	(void)state;
	strcpy(plan_path, "/tmp/twostep-plan-XXXXXX");
	fd = mkstemp(plan_path);
	if (fd < 0)
		return -1;
	close(fd);
	plan_write(PLAN);
	return dma_topology_load(plan_path);
}

static inline int plan_teardown(void **state)
{
	(void)state;
	unlink(plan_path);
	return dma_topology_load(NULL);
}

struct bar {
	uint8_t bytes[BAR_PAGES * 4096];
};

static inline int bar_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, ((struct bar *)arg)->bytes + offset, len);
	return 0;
}

static inline int bar_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	memcpy(((struct bar *)arg)->bytes + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops bar_ops = {bar_read, bar_write};

static inline struct dma_memory_desc bar_desc(struct bar *bar)
{
	return (struct dma_memory_desc){
		.type = DMA_MEMORY_P2P,
		.size = sizeof(bar->bytes),
		.fd = -1,
		.ops = &bar_ops,
		.ops_arg = bar,
	};
}

/* Page i of the BAR holds 0x40 + i. */
static inline phys_addr_t bar_add(const struct device *d, unsigned int number, struct bar *bar)
{
	const struct dma_memory_desc desc = bar_desc(bar);
	phys_addr_t base = 0;

	for (size_t i = 0; i < BAR_PAGES; i++)
		memset(bar->bytes + i * PAGE, (int)(0x40 + i), PAGE);
	assert_int_equal(pci_p2pdma_add_resource(d->dev, number, &desc, 0, &base), 0);
	assert_int_not_equal(base, 0);
	return base;
}

static inline enum pci_p2pdma_map_type state_of(const struct device *d, phys_addr_t phys)
{
	struct pci_p2pdma_map_state state = {0};

	return pci_p2pdma_state(&state, d->dev, phys);
}

#endif
