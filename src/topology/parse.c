/* SPDX-License-Identifier: MIT */
/*
 * A topology from a file of lines: docs/topology.md. Each line is cut into words and
 * names a bridge or a device below something that a line before it has named.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <twostep/error.h>

#include "topology/topology.h"

#define MOST_WORDS 24
#define LONGEST_LINE 512

/* One line, cut into words. */
struct line {
	struct dma_topology *topology;
	char text[LONGEST_LINE];
	char *words[MOST_WORDS];
	unsigned int nr_words;
};

static int number(const char *text, uint64_t *value)
{
	char *end;
	unsigned int shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno)
		return -EINVAL;
	switch (*end) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	default:
		break;
	}
	end += shift != 0;
	if (*end || *value > UINT64_MAX >> shift)
		return -EINVAL;
	*value <<= shift;
	return 0;
}

/* FIRST and second number, with @between them. */
static int two_numbers(char *text, char between, uint64_t *first, uint64_t *second)
{
	char *at = strchr(text, between);
	int err;

	if (!at)
		return -EINVAL;
	*at = '\0';
	err = number(text, first);
	if (!err)
		err = number(at + 1, second);
	*at = between;
	return err;
}

static int read_id(const char *value, uint16_t *vendor, uint16_t *device)
{
	char *end;
	unsigned long ids[2];

	if (strlen(value) != 9 || value[4] != ':' ||
	    strspn(value, "0123456789abcdef:") != strlen(value))
		return -EINVAL;
	ids[0] = strtoul(value, &end, 16);
	if (end != value + 4)
		return -EINVAL;
	ids[1] = strtoul(value + 5, &end, 16);
	if (*end)
		return -EINVAL;
	*vendor = (uint16_t)ids[0];
	*device = (uint16_t)ids[1];
	return 0;
}

static int read_acs(char *value, unsigned int *acs)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} bits[] = {
		{"none", 0},
		{"sv", DMA_PCI_ACS_SV},
		{"tb", DMA_PCI_ACS_TB},
		{"rr", DMA_PCI_ACS_RR},
		{"cr", DMA_PCI_ACS_CR},
		{"uf", DMA_PCI_ACS_UF},
		{"ec", DMA_PCI_ACS_EC},
		{"dt", DMA_PCI_ACS_DT},
	};
	char *word;

	*acs = 0;
	while ((word = strsep(&value, "+"))) {
		size_t i = 0;

		while (i < ARRAY_SIZE(bits) && strcmp(word, bits[i].name))
			i++;
		if (i == ARRAY_SIZE(bits))
			return -EINVAL;
		*acs |= bits[i].bit;
	}
	return 0;
}

/* The value of a word "key=value", or NULL. */
static char *value_of(char *word, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(word, key, len) && word[len] == '=' ? word + len + 1 : NULL;
}

static int bad_value(const char *word, const char *takes)
{
	return base_error(-EINVAL, "\"%.60s\" is not understood; it takes %s", word, takes);
}

static int read_cpu(struct line *line)
{
	uint64_t family;

	if (line->nr_words != 3 || strlen(line->words[1]) > 15 || number(line->words[2], &family) ||
	    family > UINT16_MAX)
		return base_error(-EINVAL, "write: cpu VENDOR FAMILY, for example cpu amd 0x17");
	topology_set_cpu(line->topology, line->words[1], (unsigned int)family);
	return 0;
}

static int read_window(struct topology_host *host, char *value)
{
	struct topology_window window;

	if (two_numbers(value, '-', &window.first, &window.last) || window.first > window.last ||
	    !window.first || window.first % 4096 || (window.last + 1) % 4096)
		return bad_value(value, "FIRST-LAST bus addresses of whole pages of 4096 bytes");
	if (host->nr_windows == TOPOLOGY_WINDOWS)
		return base_error(-EINVAL, "a host bridge has at most %d windows",
				  TOPOLOGY_WINDOWS);
	host->windows[host->nr_windows++] = window;
	return 0;
}

/* host NAME BUS [id=VVVV:DDDD] [window=FIRST-LAST]... */
static int read_host(struct line *line)
{
	struct topology_host host = {0};
	struct dma_pci_function at;
	char address[DMA_PCI_NAME], *value;
	int err = 0;

	if (line->nr_words < 3 || !topology_is_name(line->words[1]))
		return base_error(-EINVAL, "write: host NAME BUS [id=VENDOR:DEVICE] "
					   "[window=FIRST-LAST]..., for example host pc0 0000:00");
	snprintf(host.name, sizeof(host.name), "%s", line->words[1]);
	snprintf(address, sizeof(address), "%.16s:00.0", line->words[2]);
	if (strlen(line->words[2]) > 11 || !topology_parse_address(address, &at))
		return bad_value(line->words[2], "a root bus, for example 0000:00");
	host.domain = at.domain;
	host.bus = at.bus;
	for (unsigned int i = 3; i < line->nr_words && !err; i++) {
		char *word = line->words[i];

		if ((value = value_of(word, "id"))) {
			if (read_id(value, &host.vendor_id, &host.device_id))
				err = bad_value(word, "ids of four hexadecimal digits, 8086:2030");
		} else if ((value = value_of(word, "window"))) {
			err = read_window(&host, value);
		} else {
			err = base_error(
				-EINVAL,
				"a host bridge has no \"%.40s\"; it has id= and window=", word);
		}
	}
	return err ? err : topology_add_host(line->topology, &host);
}

static int read_bar(const struct line *line, struct topology_function *function, char *word)
{
	unsigned int bar = (unsigned int)(word[3] - '0');
	uint64_t first, size;

	if (bar >= DMA_PCI_BARS || word[4] != '=' || two_numbers(word + 5, '+', &first, &size))
		return bad_value(word, "bar0= to bar5=, ADDRESS+SIZE, for example "
				       "bar0=0xe0000000+16M");
	return topology_add_bar(line->topology, function, bar, first, size);
}

static int read_property(const struct line *line, struct topology_function *function, char *word)
{
	struct dma_pci_function *is = &function->is;
	uint64_t n;
	char *value;

	if ((value = value_of(word, "id")))
		return read_id(value, &is->vendor_id, &is->device_id)
			       ? bad_value(word, "ids of four hexadecimal digits, 8086:2030")
			       : 0;
	if ((value = value_of(word, "acs")))
		return read_acs(value, &is->acs)
			       ? bad_value("acs=",
					   "sv, tb, rr, cr, uf, ec, dt joined by +, or none")
			       : 0;
	if ((value = value_of(word, "class"))) {
		if (number(value, &n) || n > 0xffffff)
			return bad_value(word, "a class code of 24 bits, 0x010802");
		is->class_code = (uint32_t)n;
		return 0;
	}
	if ((value = value_of(word, "group"))) {
		if (number(value, &n) || n > INT32_MAX)
			return bad_value(word, "the number of an IOMMU group");
		is->iommu_group = (int)n;
		return 0;
	}
	if (!strcmp(word, "unmappable")) {
		function->unmappable = true;
		return 0;
	}
	if (!strncmp(word, "bar", 3) && word[3])
		return read_bar(line, function, word);
	return base_error(-EINVAL,
			  "there is no \"%.40s\"; there are: id=, class=, acs=, group=, bar0= to "
			  "bar5=, unmappable",
			  word);
}

/* What may stand above a function of a type: the kernel does not ask, but the file is a plan. */
static bool fits_below(enum dma_pci_type type, const struct topology_function *parent)
{
	switch (type) {
	case DMA_PCI_ROOT_PORT:
		return !parent;
	case DMA_PCI_UPSTREAM:
		return parent && (parent->is.type == DMA_PCI_ROOT_PORT ||
				  parent->is.type == DMA_PCI_DOWNSTREAM);
	case DMA_PCI_DOWNSTREAM:
		return parent && parent->is.type == DMA_PCI_UPSTREAM;
	case DMA_PCI_ENDPOINT:
	case DMA_PCI_BRIDGE:
		break;
	}
	return !parent || parent->is.type != DMA_PCI_UPSTREAM;
}

static int find_above(const struct line *line, struct dma_pci_function *is)
{
	const struct dma_topology *topology = line->topology;
	const char *name = line->words[4];

	is->host = topology_find_host(topology, name);
	is->parent = is->host >= 0 ? -1 : topology_find_function(topology, name);
	if (is->host < 0 && is->parent < 0)
		return base_error(-EINVAL,
				  "\"%.40s\" is below \"%.40s\", which no line before it names",
				  is->name, name);
	if (is->parent >= 0)
		is->host = topology->functions[is->parent].is.host;
	if (is->domain != topology->hosts[is->host].domain)
		return base_error(-EINVAL, "\"%.40s\" is in another domain than its host bridge",
				  is->name);
	if (!fits_below(is->type, is->parent < 0 ? NULL : &topology->functions[is->parent]))
		return base_error(-EINVAL, "a%s %s cannot be directly below \"%.40s\"",
				  is->type == DMA_PCI_ENDPOINT || is->type == DMA_PCI_UPSTREAM ? "n"
											       : "",
				  dma_pci_type_name(is->type), name);
	return 0;
}

/* TYPE NAME ADDRESS on PARENT [PROPERTY]... */
static int read_function(struct line *line, enum dma_pci_type type)
{
	struct topology_function function = {.is = {.type = type, .iommu_group = -1}};
	int err;

	if (line->nr_words < 5 || strcmp(line->words[3], "on") || !topology_is_name(line->words[1]))
		return base_error(-EINVAL,
				  "write: %s NAME ADDRESS on PARENT [PROPERTY]..., for example "
				  "%s x 0000:01:00.0 on y",
				  line->words[0], line->words[0]);
	if (!topology_parse_address(line->words[2], &function.is))
		return bad_value(line->words[2], "an address, for example 0000:01:00.0");
	snprintf(function.is.name, sizeof(function.is.name), "%s", line->words[1]);
	err = find_above(line, &function.is);
	for (unsigned int i = 5; i < line->nr_words && !err; i++)
		err = read_property(line, &function, line->words[i]);
	return err ? err : topology_add_function(line->topology, &function);
}

static int cut(struct line *line)
{
	char *rest = line->text, *word;

	line->nr_words = 0;
	line->text[strcspn(line->text, "#")] = '\0';
	while ((word = strsep(&rest, " \t\r"))) {
		if (!*word)
			continue;
		if (line->nr_words == MOST_WORDS)
			return base_error(-EINVAL, "a line has at most %d words", MOST_WORDS);
		line->words[line->nr_words++] = word;
	}
	return 0;
}

static int read_line(struct line *line)
{
	static const struct {
		const char *word;
		enum dma_pci_type type;
	} types[] = {
		{"root-port", DMA_PCI_ROOT_PORT},   {"upstream", DMA_PCI_UPSTREAM},
		{"downstream", DMA_PCI_DOWNSTREAM}, {"bridge", DMA_PCI_BRIDGE},
		{"endpoint", DMA_PCI_ENDPOINT},
	};
	int err = cut(line);

	if (err || !line->nr_words)
		return err;
	if (!strcmp(line->words[0], "cpu"))
		return read_cpu(line);
	if (!strcmp(line->words[0], "host"))
		return read_host(line);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(line->words[0], types[i].word))
			return read_function(line, types[i].type);
	return base_error(-EINVAL,
			  "\"%.40s\" begins no line; these do: cpu, host, root-port, upstream, "
			  "downstream, bridge, endpoint",
			  line->words[0]);
}

/* Put where it happened before what happened. */
static int at_line(int err, const char *path, unsigned int nr)
{
	char said[256];

	snprintf(said, sizeof(said), "%s", dma_last_error());
	return base_error(err, "%.80s, line %u: %s", path, nr, said);
}

static int read_lines(struct line *line, const char *text, size_t size, const char *path)
{
	unsigned int nr = 0;
	int err = 0;

	while (size && !err) {
		const char *end = memchr(text, '\n', size);
		size_t len = end ? (size_t)(end - text) : size;

		nr++;
		if (len >= LONGEST_LINE || memchr(text, '\0', len)) {
			err = base_error(-EINVAL, "lines are text, of at most %d bytes",
					 LONGEST_LINE - 1);
		} else {
			memcpy(line->text, text, len);
			line->text[len] = '\0';
			err = read_line(line);
		}
		if (err)
			return at_line(err, path, nr);
		len += end != NULL;
		text += len;
		size -= len;
	}
	return 0;
}

int topology_parse(const char *text, size_t size, const char *path, struct dma_topology **result)
{
	struct line line = {.topology = topology_create()};
	int err;

	if (!line.topology)
		return -ENOMEM;
	topology_read_cpu(line.topology, "/proc/cpuinfo");
	err = read_lines(&line, text, size, path);
	if (err) {
		topology_destroy(line.topology);
		return err;
	}
	*result = line.topology;
	return 0;
}

/* All of a file: 0 and how many bytes; -errno. */
static int read_all(int fd, char *text, size_t room, size_t *size)
{
	ssize_t got;

	*size = 0;
	do {
		got = read(fd, text + *size, room - *size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		*size += (size_t)got;
	} while (got && *size < room);
	return 0;
}

int dma_topology_read(const char *path, struct dma_topology **topology)
{
	size_t room = TOPOLOGY_FILE + 1, size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	int err;

	if (fd < 0)
		return base_error(-errno, "the topology file %.120s cannot be opened: %s", path,
				  strerror(errno));
	text = base_alloc(room);
	err = text ? read_all(fd, text, room, &size) : -ENOMEM;
	close(fd);
	if (err)
		base_error(err, "the topology file %.120s cannot be read: %s", path,
			   strerror(-err));
	else if (size == room)
		err = base_error(-EINVAL, "the topology file %.120s is longer than %u bytes", path,
				 TOPOLOGY_FILE);
	else
		err = topology_parse(text, size, path, topology);
	base_free(text);
	return err;
}
