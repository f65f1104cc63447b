/* SPDX-License-Identifier: MIT */
/* What devices see: accesses at random addresses, compared byte for byte. */
#include "model.h"

#define MAX_TRANSFER (3 * PAGE)
#define SENTINEL 0xa5

/* Somewhere in or near what is or was mapped; rarely anywhere. */
static dma_addr_t any_address(struct run *run)
{
	const struct range *range = NULL;
	uint64_t pick = below(run, 16);

	if (pick == 0)
		return below(run, 1ULL << 49);
	if (pick == 1)
		return below(run, 64 * PAGE);
	if (pick < 5 && run->nr_leaving) {
		range = &run->leaving[below(run, run->nr_leaving)];
	} else {
		uint64_t first = below(run, RANGES);

		for (uint64_t i = 0; i < RANGES; i++) {
			range = &run->range[(first + i) % RANGES];
			if (range->kind != UNUSED)
				break;
		}
		if (range->kind == UNUSED)
			return below(run, 1ULL << 32);
	}
	if (one_in(run, 8))
		return range->pfn * PAGE - PAGE + below(run, (range->pages + 2) * PAGE);
	/* Near the ends, where mistakes are. */
	if (one_in(run, 2))
		return (range->pfn + below(run, range->pages < 4 ? range->pages : 4)) * PAGE +
		       below(run, PAGE);
	return (range->pfn + below(run, range->pages)) * PAGE + below(run, PAGE);
}

static size_t any_length(struct run *run)
{
	switch (below(run, 4)) {
	case 0:
		return 1ULL << below(run, 4);
	case 1:
		return 1 + below(run, 100);
	case 2:
		return 1 + below(run, MAX_TRANSFER);
	default:
		return PAGE;
	}
}

static bool check_page(struct run *run, int page)
{
	const uint8_t *is, *should;

	if (page == NOTHING || !run->touched[page])
		return true;
	is = page_bytes(run, page);
	should = page_shadow(run, page);
	if (likely(!memcmp(is, should, PAGE)))
		return true;
	for (unsigned int i = 0; i < PAGE; i++)
		AGREE(run, is[i] == should[i],
		      "byte %u of page %d of memory is 0x%02x and should be 0x%02x", i, page, is[i],
		      should[i]);
	return true;
}

bool check_memory(struct run *run)
{
	for (int page = 0; page < (int)MEMORY_PAGES; page++)
		if (!check_page(run, page))
			return false;
	return true;
}

/* After the whole transfer: one page of memory may be behind several granules. */
static bool check_written(struct run *run, dma_addr_t addr, size_t len)
{
	struct place place;

	for (uint64_t pfn = addr / PAGE; pfn <= (addr + len - 1) / PAGE; pfn++) {
		reach(run, pfn, 0, &place);
		if (!check_page(run, place.page))
			return false;
	}
	return true;
}

/* What came of a transfer, page by page. EITHER is only allowed for the first. */
static bool check_transfer(struct run *run, unsigned int device, dma_addr_t addr, uint8_t *buf,
			   size_t len, bool write, int err)
{
	const char *what = write ? "write" : "read";
	bool refused = false;
	size_t done = 0;

	AGREE(run, err == 0 || err == -EFAULT, "%s of %zu bytes at 0x%llx answers %d", what, len,
	      ull(addr), err);
	while (done < len && !refused) {
		uint64_t in = (addr + done) & PAGE_MASK;
		size_t part = len - done < PAGE - in ? len - done : PAGE - in;
		struct place place;
		enum reach reached =
			reach(run, (addr + done) / PAGE, write ? PGT_WRITE : PGT_READ, &place);

		refused = reached == REFUSED || (reached == EITHER && err);
		run->met[refused ? MET_REFUSED : reached == EITHER ? MET_GATHERED : MET_REACHED]++;
		if (!refused && write)
			memcpy(place.bytes + in, buf + done, part);
		else if (!refused)
			AGREE(run, !memcmp(place.bytes + in, buf + done, part),
			      "device %u reads other bytes at 0x%llx (%zu) than page %d has",
			      device, ull(addr + done), part, place.page);
		if (!refused)
			done += part;
	}
	AGREE(run, refused == (err == -EFAULT), "%s of %zu bytes at 0x%llx by device %u should %s",
	      what, len, ull(addr), device,
	      refused ? "be refused and is done" : "be done and is refused");
	for (size_t i = done; !write && i < len; i++)
		AGREE(run, buf[i] == SENTINEL, "a refused read at 0x%llx left byte %zu", ull(addr),
		      i);
	run->faults += refused;
	return !write || check_written(run, addr, len);
}

static bool transfer(struct run *run, unsigned int device, dma_addr_t addr, size_t len, bool write)
{
	struct dma_port *port = dma_dev_port(run->dev[device]);
	uint8_t buf[MAX_TRANSFER];
	int err;

	if (write) {
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)(run->random >> (i % 7 * 8)) ^ (uint8_t)(i >> 2);
		err = dma_bus_write(port, addr, buf, len);
	} else {
		memset(buf, SENTINEL, len);
		err = dma_bus_read(port, addr, buf, len);
	}
	return check_transfer(run, device, addr, buf, len, write, err);
}

/* Where it is open whether a granule can be reached, each granule goes by itself. */
static bool transfer_any(struct run *run, unsigned int device, dma_addr_t addr, size_t len,
			 bool write)
{
	bool certain = true;
	struct place place;

	for (uint64_t pfn = addr / PAGE; pfn <= (addr + len - 1) / PAGE; pfn++)
		certain &= reach(run, pfn, write ? PGT_WRITE : PGT_READ, &place) != EITHER;
	if (certain)
		return transfer(run, device, addr, len, write);
	while (len) {
		size_t part = PAGE - (addr & PAGE_MASK);

		if (part > len)
			part = len;
		if (!transfer(run, device, addr, part, write))
			return false;
		addr += part;
		len -= part;
	}
	return true;
}

bool device_read(struct run *run)
{
	unsigned int device = (unsigned int)below(run, DEVICES);
	dma_addr_t addr = any_address(run);
	size_t len = any_length(run);

	tell(run, "device %u reads %zu bytes at 0x%llx", device, len, ull(addr));
	return transfer_any(run, device, addr, len, false);
}

bool device_write(struct run *run)
{
	unsigned int device = (unsigned int)below(run, DEVICES);
	dma_addr_t addr = any_address(run);
	size_t len = any_length(run);

	tell(run, "device %u writes %zu bytes at 0x%llx", device, len, ull(addr));
	return transfer_any(run, device, addr, len, true);
}

bool probe(struct run *run, dma_addr_t addr)
{
	return transfer(run, (unsigned int)below(run, DEVICES), addr, 1 + below(run, 4), false);
}

static bool check_atomic(struct run *run, dma_addr_t addr, size_t size, int err, bool exchange,
			 uint64_t expected, uint64_t operand, uint64_t found)
{
	uint64_t was = 0, now;
	uint8_t *shadow;
	enum reach reached;
	struct place place;

	if (size != 4 && size != 8) {
		AGREE(run, err == -EINVAL, "an atomic of %zu bytes answers %d", size, err);
		return true;
	}
	reached = reach(run, addr / PAGE, PGT_READ | PGT_WRITE, &place);
	if (addr & (size - 1) || reached == REFUSED || (reached == EITHER && err == -EFAULT)) {
		AGREE(run, err == -EFAULT, "an atomic at 0x%llx should be refused and answers %d",
		      ull(addr), err);
		run->faults++;
		return true;
	}
	AGREE(run, err >= 0, "an atomic at 0x%llx should be done and answers %d", ull(addr), err);
	shadow = place.bytes + (addr & PAGE_MASK);
	memcpy(&was, shadow, size);
	now = exchange ? operand : was + operand;
	if (exchange)
		AGREE(run, err == (was == expected), "compare-exchange at 0x%llx answers %d",
		      ull(addr), err);
	AGREE(run, found == was, "an atomic at 0x%llx found 0x%llx and should have found 0x%llx",
	      ull(addr), ull(found), ull(was));
	if (!exchange || was == expected)
		memcpy(shadow, &now, size);
	return check_page(run, place.page);
}

bool device_atomic(struct run *run)
{
	struct dma_port *port = dma_dev_port(run->dev[below(run, DEVICES)]);
	size_t size = one_in(run, 20) ? below(run, 17) : one_in(run, 2) ? 4 : 8;
	dma_addr_t addr = any_address(run);
	uint64_t operand = run->random, expected = 0, found = 0;
	bool exchange = one_in(run, 2);
	struct place place;
	int err;

	if (!one_in(run, 20))
		addr &= ~7ULL;
	if (size == 4)
		operand &= UINT32_MAX;
	/* Half of the exchanges meet what they expect. */
	if (exchange && one_in(run, 2) && size <= 8 && !(addr & 7) &&
	    reach(run, addr / PAGE, PGT_READ, &place) != REFUSED)
		memcpy(&expected, place.bytes + (addr & PAGE_MASK), size);
	tell(run, "%s of %zu bytes at 0x%llx", exchange ? "compare-exchange" : "fetch-add", size,
	     ull(addr));
	if (exchange) {
		uint64_t in_out[3] = {expected}, desired[3] = {operand};

		err = dma_bus_cmpxchg(port, addr, size, in_out, desired);
		found = in_out[0];
	} else {
		err = dma_bus_fetch_add(port, addr, size, operand, &found);
	}
	return check_atomic(run, addr, size, err, exchange, expected, operand, found);
}
