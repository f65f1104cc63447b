/* SPDX-License-Identifier: MIT */
/* Whether the machine, or a program, would miss a device. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pci/pci.h"

#define IFF_UP 1U
#define SUBSYSTEMS "/nvme-subsystem/"

struct look {
	const struct vfio_place *place;
	char below[VFIO_BDF + 2]; /* /DDDD:BB:DD.F/ in the path of what is below */
	char *mounts, *swaps;
	char said[PATH_MAX]; /* why it is in use */
	bool unknown; /* whether it is, cannot be told */
	const char *name; /* the block device that is looked at */
};

static bool holds(struct look *look, const char *name, const char *what)
{
	snprintf(look->said, sizeof(look->said), "%.60s %s", name, what);
	return true;
}

/* Block devices. Those of controllers with several paths are below a subsystem, not a device. */

struct subsystem {
	const struct look *look;
	char path[128];
	bool ours;
};

static int has_controller(void *arg, const char *name)
{
	struct subsystem *subsystem = arg;
	char path[160], to[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/class/nvme/%.32s", name);
	if (strncmp(name, "nvme", 4) || vfio_read_link(path, to, sizeof(to)))
		return 0;
	subsystem->ours = strstr(to, subsystem->look->below) != NULL;
	return subsystem->ours;
}

static bool is_below(const struct look *look, const char *class, const char *name)
{
	struct subsystem subsystem = {.look = look};
	char path[128], to[PATH_MAX];
	const char *part;

	snprintf(path, sizeof(path), "/sys/class/%s/%.64s", class, name);
	if (vfio_read_link(path, to, sizeof(to)))
		return false;
	if (strstr(to, look->below))
		return true;
	part = strstr(to, SUBSYSTEMS);
	if (!part)
		return false;
	part += strlen(SUBSYSTEMS);
	snprintf(subsystem.path, sizeof(subsystem.path), "/sys/class" SUBSYSTEMS "%.*s",
		 (int)strcspn(part, "/"), part);
	vfio_list(subsystem.path, has_controller, &subsystem);
	return subsystem.ours;
}

/* Whether @word is one of the words of a line that ends at a line's end or a blank. */
static bool is_word(const char *text, const char *word, const char *end)
{
	size_t len = strlen(word);

	return (size_t)(end - text) >= len && !strncmp(text, word, len) &&
	       (text + len == end || text[len] == ' ' || text[len] == '\t');
}

static const char *skip_words(const char *at, const char *end, unsigned int words)
{
	for (; words && at < end; at++)
		if (*at == ' ')
			words--;
	return at;
}

/* Lines: number parent MAJOR:MINOR root MOUNT-POINT options ... - type SOURCE options. */
static bool is_mounted(struct look *look, const char *name, const char *number, const char *node)
{
	const char *line = look->mounts, *end;

	for (; line && *line; line = *end ? end + 1 : end) {
		const char *source;
		bool found;

		end = line + strcspn(line, "\n");
		source = memmem(line, (size_t)(end - line), " - ", 3);
		found = is_word(skip_words(line, end, 2), number, end) ||
			(source && is_word(skip_words(source + 3, end, 1), node, end));
		if (found) {
			const char *where = skip_words(line, end, 4);

			snprintf(look->said, sizeof(look->said), "%.60s is mounted on %.*s", name,
				 (int)strcspn(where, " \n") < 200 ? (int)strcspn(where, " \n")
								  : 200,
				 where);
			return true;
		}
	}
	return false;
}

static bool is_swap(struct look *look, const char *name, const char *node)
{
	const char *line = look->swaps, *end;

	for (; line && *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if (is_word(line, node, end))
			return holds(look, name, "is swap space");
	}
	return false;
}

static int take_holder(void *arg, const char *name)
{
	struct look *look = arg;

	snprintf(look->said, sizeof(look->said), "%.60s is held by %.60s", look->name, name);
	return 1;
}

static void node_of(const char *name, char *node, size_t size)
{
	snprintf(node, size, "/dev/%.64s", name);
	for (char *at = node; *at; at++)
		if (*at == '!')
			*at = '/';
}

static int look_at_block(void *arg, const char *name)
{
	struct look *look = arg;
	char path[160], number[32], node[80];

	if (!is_below(look, "block", name))
		return 0;
	node_of(name, node, sizeof(node));
	snprintf(path, sizeof(path), "/sys/class/block/%.64s/dev", name);
	if (vfio_read_line(path, number, sizeof(number)))
		*number = '\0';
	if ((*number && is_mounted(look, name, number, node)) || is_swap(look, name, node))
		return 1;
	look->name = name;
	snprintf(path, sizeof(path), "/sys/class/block/%.64s/holders", name);
	return vfio_list(path, take_holder, look) == 1;
}

/* Whoever has opened it exclusively: file systems of other mount namespaces, and others. */
static int open_block(void *arg, const char *name)
{
	struct look *look = arg;
	char node[80];
	int fd;

	if (!is_below(look, "block", name))
		return 0;
	node_of(name, node, sizeof(node));
	fd = vfio_open(node, O_RDONLY | O_EXCL | O_NONBLOCK);
	if (fd >= 0)
		vfio_kernel->close(fd);
	if (fd == -EBUSY)
		return holds(look, name, "is in use: somebody has it open exclusively");
	if (fd == -EACCES || fd == -EPERM) {
		look->unknown = true;
		return holds(look, name, "cannot be opened, to see whether it is in use");
	}
	return 0;
}

/* The others. */

static int look_at_net(void *arg, const char *name)
{
	struct look *look = arg;
	char path[160], flags[32];

	if (!is_below(look, "net", name))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%.64s/flags", name);
	if (vfio_read_line(path, flags, sizeof(flags)) || !(strtoul(flags, NULL, 16) & IFF_UP))
		return 0;
	return holds(look, name, "is a network interface that is up");
}

static int look_at_tty(void *arg, const char *name)
{
	struct look *look = arg;
	char path[160], text[8];

	if (!is_below(look, "tty", name))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/tty/%.64s/console", name);
	if (vfio_read_line(path, text, sizeof(text)) || *text != 'Y')
		return 0;
	return holds(look, name, "is a console of the kernel");
}

static bool look_at_function(struct look *look)
{
	char path[128], text[8];

	if (look->place->class_code >> 16 == 0x06)
		return holds(look, "it", "is a bridge, which others are behind");
	pci_path(look->place, "boot_vga", path, sizeof(path));
	if (!vfio_read_line(path, text, sizeof(text)) && *text == '1')
		return holds(look, "it", "has the screen that the machine started with");
	return false;
}

int pci_in_use(const struct vfio_place *place)
{
	struct look look = {.place = place};
	bool busy;

	snprintf(look.below, sizeof(look.below), "/%s/", place->bdf);
	/* Without these there is nothing mounted that could be seen. */
	vfio_read_all("/proc/self/mountinfo", &look.mounts);
	vfio_read_all("/proc/swaps", &look.swaps);
	busy = look_at_function(&look) ||
	       vfio_list("/sys/class/block", look_at_block, &look) == 1 ||
	       vfio_list("/sys/class/net", look_at_net, &look) == 1 ||
	       vfio_list("/sys/class/tty", look_at_tty, &look) == 1 ||
	       vfio_list("/sys/class/block", open_block, &look) == 1;
	base_free(look.mounts);
	base_free(look.swaps);
	if (!busy)
		return 0;
	return base_error(
		look.unknown ? -EACCES : -EBUSY,
		"%s is not taken from %s: %.200s; %s, or force it (--force, TS_PCI_FORCE)",
		place->bdf, *place->driver ? place->driver : "the kernel", look.said,
		look.unknown ? "be root" : "end that first");
}

/* Who has it open. */

struct search {
	const struct vfio_place *place;
	char dir[32]; /* /proc/N/fd */
	long pid;
};

static int compare_file(void *arg, const char *name)
{
	struct search *search = arg;
	char path[64], to[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%.16s", search->dir, name);
	if (vfio_read_link(path, to, sizeof(to)))
		return 0;
	return (*search->place->group_file && !strcmp(to, search->place->group_file)) ||
	       (*search->place->cdev_file && !strcmp(to, search->place->cdev_file));
}

static int search_process(void *arg, const char *name)
{
	struct search *search = arg;
	char *end;
	long pid = strtol(name, &end, 10);

	if (*end || pid <= 0)
		return 0;
	snprintf(search->dir, sizeof(search->dir), "/proc/%ld/fd", pid);
	if (vfio_list(search->dir, compare_file, search) != 1)
		return 0;
	search->pid = pid;
	return 1;
}

long pci_holder(const struct vfio_place *place)
{
	struct search search = {.place = place};

	vfio_list("/proc", search_process, &search);
	return search.pid;
}
