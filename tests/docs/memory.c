/* SPDX-License-Identifier: MIT */
/*
 * memory MEMORY.md: every kind of memory is linked and mapped for every kind of device with
 * every attribute. Each answer is what the rules below say, has the effect that it should
 * have, and stands in the page's tables word for word. memory --write MEMORY.md puts the
 * tables there.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <twostep/bounce.h>
#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>

#define PAGE 4096u
#define BYTES (2 * PAGE) /* of memory, of which a part is mapped */
#define LINE 64u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define BEGIN "<!-- table -->\n"
#define END "<!-- end of table -->\n"
#define MOST_BYTES (1u << 20) /* of the page */

/* What a device that is not coherent sees where nothing was ever synced. */
#define POISON 0xdb

static const char *page_path;
static bool rewrite;

/* Memory. */

enum access {
	ORDINARY,
	CPU, /* registered with a CPU mapping */
	FD, /* registered with a descriptor only */
	OPS, /* registered with calls only */
	NOTHING, /* not registered any more */
};

struct kind {
	const char *name;
	enum access access;
	enum dma_memory_type type;
	unsigned int flags;
	uint32_t offset, size; /* of what is mapped */
};

static const struct kind kinds[] = {
	{"ordinary, whole pages", ORDINARY, DMA_MEMORY_RAM, 0, 0, BYTES},
	{"ordinary, whole cache lines", ORDINARY, DMA_MEMORY_RAM, 0, LINE, PAGE + 3 * LINE},
	{"ordinary, odd address and size", ORDINARY, DMA_MEMORY_RAM, 0, 13, 5001},
	{"RAM, CPU mapping", CPU, DMA_MEMORY_RAM, 0, 0, BYTES},
	{"RAM, no CPU mapping", FD, DMA_MEMORY_RAM, 0, 0, BYTES},
	{"MMIO, CPU mapping", CPU, DMA_MEMORY_MMIO, 0, 0, BYTES},
	{"MMIO, no CPU mapping", OPS, DMA_MEMORY_MMIO, 0, 0, BYTES},
	{"P2P, no CPU mapping", OPS, DMA_MEMORY_P2P, 0, 0, BYTES},
	{"dma-buf, no CPU mapping", FD, DMA_MEMORY_DMABUF, 0, 0, BYTES},
	{"not pinned, CPU mapping", CPU, DMA_MEMORY_RAM, DMA_MEMORY_NO_PIN, 0, BYTES},
	{"not pinned, no CPU mapping", FD, DMA_MEMORY_RAM, DMA_MEMORY_NO_PIN, 0, BYTES},
	{"nothing registered there", NOTHING, DMA_MEMORY_RAM, 0, 0, BYTES},
};

struct memory {
	const struct kind *kind;
	uint8_t *bytes; /* where the provider has them, if it is not a descriptor */
	int fd;
	phys_addr_t base;
	uint8_t before[BYTES];
};

static int ops_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, (uint8_t *)arg + offset, len);
	return 0;
}

static int ops_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	memcpy((uint8_t *)arg + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops memory_ops = {ops_read, ops_write};

/* Without a hint the kernel maps far above 4 GiB. */
static uint8_t *high_pages(void)
{
	uint8_t *bytes =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_true((uintptr_t)bytes > UINT32_MAX);
	return bytes;
}

static void memory_registered(struct memory *m)
{
	const struct dma_memory_desc desc = {
		.type = m->kind->type,
		.size = BYTES,
		.cpu = m->kind->access == CPU ? m->bytes : NULL,
		.fd = m->fd,
		.ops = m->kind->access == OPS ? &memory_ops : NULL,
		.ops_arg = m->bytes,
		.flags = m->kind->flags,
	};

	assert_int_equal(dma_memory_register(&desc, &m->base), 0);
}

static void memory_open(struct memory *m, const struct kind *kind)
{
	*m = (struct memory){.kind = kind, .fd = -1};
	for (uint32_t i = 0; i < BYTES; i++)
		m->before[i] = (uint8_t)(i * 7 + i / 251 + 1);
	if (kind->access == FD || kind->access == NOTHING) {
		m->fd = memfd_create("memory", MFD_CLOEXEC);
		assert_true(m->fd >= 0);
		assert_int_equal(pwrite(m->fd, m->before, BYTES, 0), BYTES);
	} else {
		m->bytes = high_pages();
		memcpy(m->bytes, m->before, BYTES);
	}
	if (kind->access == ORDINARY)
		m->base = virt_to_phys(m->bytes);
	else
		memory_registered(m);
	if (kind->access == NOTHING)
		assert_int_equal(dma_memory_unregister(m->base), 0);
}

/* What the provider finds there. */
static void memory_read(const struct memory *m, uint8_t *bytes)
{
	if (m->bytes)
		memcpy(bytes, m->bytes, BYTES);
	else
		assert_int_equal(pread(m->fd, bytes, BYTES, 0), BYTES);
}

static void memory_close(struct memory *m)
{
	if (m->kind->access != ORDINARY && m->kind->access != NOTHING)
		assert_int_equal(dma_memory_unregister(m->base), 0);
	if (m->bytes)
		munmap(m->bytes, BYTES);
	if (m->fd >= 0)
		close(m->fd);
}

/* Devices. */

struct device {
	const char *title;
	const char *uri;
	unsigned int mask; /* bits that the driver sets */
	bool translates, noncoherent, untrusted, forced, never;
};

static const struct device devices[] = {
	{"`soft:`", "soft:", 64, .translates = true},
	{"`soft:untrusted`", "soft:untrusted", 64, .translates = true, .untrusted = true},
	{"`soft:,coherent=off`", "soft:,coherent=off", 64, .translates = true, .noncoherent = true},
	{"`soft:,bounce=force`", "soft:,bounce=force", 64, .translates = true, .forced = true},
	{"`soft:untrusted,bounce=off`", "soft:untrusted,bounce=off", 64, .translates = true,
	 .untrusted = true, .never = true},
	{"`direct:`, all addresses within its mask", "direct:", 64, .translates = false},
	{"`direct:`, a mask of 32 bits, memory above it", "direct:", 32, .translates = false},
	{"`direct:,bounce=force`", "direct:,bounce=force", 64, .forced = true},
};

/* Attributes. */

static const struct {
	const char *name;
	unsigned long attrs;
} attributes[] = {
	{"no attribute", 0},
	{"`MMIO`", DMA_ATTR_MMIO},
	{"`REQUIRE_COHERENT`", DMA_ATTR_REQUIRE_COHERENT},
	{"`SKIP_CPU_SYNC`", DMA_ATTR_SKIP_CPU_SYNC},
	{"`NO_WARN`", DMA_ATTR_NO_WARN},
	{"`CC_SHARED`", DMA_ATTR_CC_SHARED},
};

/* The rules. An answer is one of these, or -errno of a link. */

#define OK 0
#define BOUNCED 1
#define FAILED 2 /* DMA_MAPPING_ERROR */

static bool cpu_may_touch(const struct kind *kind)
{
	return kind->access == ORDINARY || kind->access == CPU;
}

/* Where the CPU caches it, so that a device that is not coherent has a copy of its own. */
static bool is_cached(const struct kind *kind)
{
	return cpu_may_touch(kind) &&
	       (kind->type == DMA_MEMORY_RAM || kind->type == DMA_MEMORY_DMABUF);
}

/* Whether the device cannot or must not have the memory itself, whatever its place in pages. */
static bool all_is_bounced(const struct kind *kind, const struct device *device)
{
	return device->forced || (kind->flags & DMA_MEMORY_NO_PIN && kind->access != NOTHING) ||
	       (!device->translates && device->mask < 47);
}

static bool shares_too_much(const struct kind *kind, const struct device *device)
{
	uint32_t bits = kind->offset | kind->size;

	return (device->untrusted && bits % PAGE) || (device->noncoherent && bits % LINE);
}

/* A sync that would be needed and cannot be. */
static bool lacks_sync(const struct kind *kind, const struct device *device, unsigned long attrs)
{
	return device->noncoherent && !cpu_may_touch(kind) &&
	       !(attrs & (DMA_ATTR_MMIO | DMA_ATTR_SKIP_CPU_SYNC));
}

static int link_rule(const struct kind *kind, const struct device *device, unsigned long attrs)
{
	bool bounced = all_is_bounced(kind, device) || shares_too_much(kind, device);

	if (device->noncoherent && attrs & DMA_ATTR_REQUIRE_COHERENT)
		return -EOPNOTSUPP;
	if (bounced &&
	    (attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) || !cpu_may_touch(kind)))
		return -EPERM;
	if (lacks_sync(kind, device, attrs))
		return -EPERM;
	if (kind->access == NOTHING)
		return -EINVAL;
	if (bounced && device->never)
		return -ENOMEM;
	return bounced ? BOUNCED : OK;
}

static int map_rule(const struct kind *kind, const struct device *device, unsigned long attrs)
{
	bool bounced = all_is_bounced(kind, device) ||
		       (!(attrs & DMA_ATTR_MMIO) && shares_too_much(kind, device));

	if (device->translates && attrs & DMA_ATTR_CC_SHARED)
		return FAILED;
	if (device->noncoherent && attrs & DMA_ATTR_REQUIRE_COHERENT)
		return FAILED;
	if (bounced &&
	    (attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) || !cpu_may_touch(kind)))
		return FAILED;
	if (lacks_sync(kind, device, attrs) || kind->access == NOTHING)
		return FAILED;
	if (bounced && device->never)
		return FAILED;
	return bounced ? BOUNCED : OK;
}

/* One case. */

/* For whoever reads the report of a failure. */
static struct doing {
	const char *what; /* NULL: nothing any more */
	const struct kind *kind;
	const struct device *device;
	size_t attribute;
} doing;

static int tell_where(void **state)
{
	(void)state;
	if (doing.what)
		print_message("in %s of %s for %s, %s\n", doing.what, doing.kind->name,
			      doing.device->title, attributes[doing.attribute].name);
	return 0;
}

struct scene {
	const struct device *device;
	struct memory memory;
	unsigned long attrs;
	struct dma_dev *dev;
	struct dma_port *port;
	phys_addr_t phys;
	struct dma_bounce_stats bounce;
};

static struct dma_stats stats_of(struct scene *s)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(dma_dev_space(s->dev), &stats), 0);
	return stats;
}

static void scene_open(struct scene *s, const struct kind *kind, const struct device *device,
		       unsigned long attrs)
{
	*s = (struct scene){.device = device, .attrs = attrs};
	memory_open(&s->memory, kind);
	s->phys = s->memory.base + kind->offset;
	assert_int_equal(dma_dev_open(device->uri, &s->dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(s->dev, DMA_BIT_MASK(device->mask)), 0);
	s->port = dma_dev_port(s->dev);
	dma_bounce_stats(NULL, &s->bounce);
	dma_clear_error();
}

/* Whatever was answered, nothing is left. */
static void scene_close(struct scene *s)
{
	struct dma_stats stats = stats_of(s);
	struct dma_bounce_stats bounce;

	dma_bounce_stats(NULL, &bounce);
	assert_int_equal(bounce.used, s->bounce.used);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, 0);
	dma_dev_close(s->dev);
	memory_close(&s->memory);
}

static bool has_bounced(struct scene *s)
{
	struct dma_bounce_stats now;

	dma_bounce_stats(NULL, &now);
	assert_int_equal(now.used > s->bounce.used, now.maps > s->bounce.maps);
	return now.maps > s->bounce.maps;
}

/* Nothing can be reached, no buffer was lent, no byte of memory is another. */
static void check_refused(struct scene *s, dma_addr_t addr, uint64_t live)
{
	uint8_t now[BYTES], byte;

	assert_string_not_equal(dma_last_error(), "");
	assert_false(has_bounced(s));
	assert_int_equal(stats_of(s).iova_live, live);
	assert_int_equal(stats_of(s).bytes_mapped, 0);
	if (addr)
		assert_int_equal(dma_bus_read(s->port, addr, &byte, 1), -EFAULT);
	if (s->memory.kind->access == NOTHING)
		return;
	memory_read(&s->memory, now);
	assert_memory_equal(now, s->memory.before, BYTES);
}

/* The CPU's bytes and the device's are two copies, of which neither is brought to the other. */
static bool is_left_alone(const struct scene *s, bool bounced)
{
	return s->attrs & DMA_ATTR_SKIP_CPU_SYNC &&
	       (bounced || (s->device->noncoherent && is_cached(s->memory.kind)));
}

static void check_device_reads(struct scene *s, dma_addr_t addr)
{
	const struct kind *kind = s->memory.kind;
	bool poison = s->device->noncoherent && s->attrs & DMA_ATTR_SKIP_CPU_SYNC &&
		      is_cached(kind);
	uint8_t seen[BYTES];

	assert_int_equal(dma_bus_read(s->port, addr, seen, kind->size), 0);
	for (uint32_t i = 0; i < kind->size; i++)
		assert_int_equal(seen[i], poison ? POISON : s->memory.before[kind->offset + i]);
}

static void device_writes(struct scene *s, dma_addr_t addr)
{
	const struct kind *kind = s->memory.kind;
	uint8_t bytes[BYTES];

	for (uint32_t i = 0; i < kind->size; i++)
		bytes[i] = (uint8_t)~s->memory.before[kind->offset + i];
	assert_int_equal(dma_bus_write(s->port, addr, bytes, kind->size), 0);
}

/* What the device has written is there, and nothing beside it is another. */
static void check_written(struct scene *s, bool bounced)
{
	const struct kind *kind = s->memory.kind;
	bool alone = is_left_alone(s, bounced);
	uint8_t now[BYTES];

	memory_read(&s->memory, now);
	for (uint32_t i = 0; i < BYTES; i++) {
		bool inside = i >= kind->offset && i < kind->offset + kind->size;
		uint8_t was = s->memory.before[i];

		assert_int_equal(now[i], inside && !alone ? (uint8_t)~was : was);
	}
}

static int try_link(struct scene *s)
{
	size_t size = s->memory.kind->size;
	struct dma_iova_state state;
	bool bounced;
	int err;

	assert_true(dma_iova_try_alloc(s->dev, &state, s->phys, size));
	err = dma_iova_link(s->dev, &state, s->phys, 0, size, DMA_BIDIRECTIONAL, s->attrs);
	if (err) {
		check_refused(s, state.addr, 1);
		dma_iova_free(s->dev, &state);
		return err;
	}
	assert_int_equal(dma_iova_sync(s->dev, &state, 0, size), 0);
	bounced = has_bounced(s);
	check_device_reads(s, state.addr);
	device_writes(s, state.addr);
	dma_iova_destroy(s->dev, &state, size, DMA_BIDIRECTIONAL, s->attrs);
	check_written(s, bounced);
	return bounced ? BOUNCED : OK;
}

static int try_map(struct scene *s)
{
	size_t size = s->memory.kind->size;
	dma_addr_t addr = dma_map_phys(s->dev, s->phys, size, DMA_BIDIRECTIONAL, s->attrs);
	bool bounced;

	if (dma_mapping_error(s->dev, addr)) {
		check_refused(s, 0, 0);
		return FAILED;
	}
	bounced = has_bounced(s);
	check_device_reads(s, addr);
	device_writes(s, addr);
	dma_unmap_phys(s->dev, addr, size, DMA_BIDIRECTIONAL, s->attrs);
	check_written(s, bounced);
	return bounced ? BOUNCED : OK;
}

/* Without translation nothing can be reserved, so nothing linked. */
static void check_no_reservation(struct scene *s)
{
	struct dma_iova_state state;

	assert_false(dma_iova_try_alloc(s->dev, &state, s->phys, s->memory.kind->size));
	assert_false(dma_use_iova(&state));
}

static int linked(const struct kind *kind, const struct device *device, size_t attribute)
{
	unsigned long attrs = attributes[attribute].attrs;
	struct scene s;
	int answer;

	doing = (struct doing){"link", kind, device, attribute};
	scene_open(&s, kind, device, attrs);
	if (!device->translates) {
		check_no_reservation(&s);
		scene_close(&s);
		return 0;
	}
	answer = try_link(&s);
	assert_int_equal(answer, link_rule(kind, device, attrs));
	scene_close(&s);
	return answer;
}

static int mapped(const struct kind *kind, const struct device *device, size_t attribute)
{
	unsigned long attrs = attributes[attribute].attrs;
	struct scene s;
	int answer;

	doing = (struct doing){"map", kind, device, attribute};
	scene_open(&s, kind, device, attrs);
	answer = try_map(&s);
	assert_int_equal(answer, map_rule(kind, device, attrs));
	scene_close(&s);
	return answer;
}

/* The page. */

static const char *answer_name(int answer)
{
	static const struct {
		int answer;
		const char *name;
	} names[] = {
		{OK, "ok"},
		{BOUNCED, "bounced"},
		{FAILED, "error"},
		{-EPERM, "`-EPERM`"},
		{-EINVAL, "`-EINVAL`"},
		{-ENOMEM, "`-ENOMEM`"},
		{-EOPNOTSUPP, "`-EOPNOTSUPP`"},
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].answer == answer)
			return names[i].name;
	fail_msg("the answer %d has no name", answer);
	return NULL;
}

static void write_cell(FILE *out, const struct kind *kind, const struct device *device,
		       size_t attribute)
{
	int link = linked(kind, device, attribute), map = mapped(kind, device, attribute);

	if (!device->translates || link == map)
		fprintf(out, " %s |", answer_name(map));
	else
		fprintf(out, " %s, %s |", answer_name(link), answer_name(map));
}

static void write_table(FILE *out, const struct device *device)
{
	fprintf(out, "\n### %s\n\n| |", device->title);
	for (size_t a = 0; a < COUNT(attributes); a++)
		fprintf(out, " %s |", attributes[a].name);
	fprintf(out, "\n|---|");
	for (size_t a = 0; a < COUNT(attributes); a++)
		fprintf(out, "---|");
	fprintf(out, "\n");
	for (size_t k = 0; k < COUNT(kinds); k++) {
		fprintf(out, "| %s |", kinds[k].name);
		for (size_t a = 0; a < COUNT(attributes); a++)
			write_cell(out, &kinds[k], device, a);
		fprintf(out, "\n");
	}
}

static char *tables(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	for (size_t d = 0; d < COUNT(devices); d++)
		write_table(out, &devices[d]);
	fprintf(out, "\n");
	assert_int_equal(fclose(out), 0);
	doing.what = NULL;
	return text;
}

static char *read_page(void)
{
	FILE *page = fopen(page_path, "re");
	char *text = calloc(1, MOST_BYTES);

	assert_non_null(page);
	assert_non_null(text);
	assert_in_range(fread(text, 1, MOST_BYTES, page), 1, MOST_BYTES - 1);
	fclose(page);
	return text;
}

static void write_page(const char *before, size_t len, const char *made, const char *behind)
{
	FILE *page = fopen(page_path, "we");

	assert_non_null(page);
	fprintf(page, "%.*s%s%s", (int)len, before, made, behind);
	assert_int_equal(fclose(page), 0);
}

/* The first line that is another, for whoever must find it. */
static void compare(const char *made, const char *page)
{
	while (*made || *page) {
		size_t a = strcspn(made, "\n"), b = strcspn(page, "\n");

		if (a != b || memcmp(made, page, a))
			fail_msg("%s says\n%.*s\nand it is\n%.*s\nrun this test with --write %s",
				 page_path, (int)b, page, (int)a, made, page_path);
		made += a + (made[a] != '\0');
		page += b + (page[b] != '\0');
	}
}

static void tables_are_what_happens(void **state)
{
	char *made = tables(), *page = read_page(), *first = strstr(page, BEGIN), *end;

	(void)state;
	assert_non_null(first);
	first += strlen(BEGIN);
	end = strstr(first, END);
	assert_non_null(end);
	if (rewrite) {
		write_page(page, (size_t)(first - page), made, end);
	} else {
		*end = '\0';
		compare(made, first);
	}
	free(page);
	free(made);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(tables_are_what_happens, tell_where),
	};

	rewrite = argc == 3 && !strcmp(argv[1], "--write");
	if (argc != 2 && !rewrite) {
		fprintf(stderr, "usage: %s [--write] MEMORY.md\n", argv[0]);
		return 2;
	}
	page_path = argv[argc - 1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
