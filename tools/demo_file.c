/* SPDX-License-Identifier: MIT */
/*
 * The file of the demo. A made file has no name from the moment on when it could
 * be seen, so that no interrupt leaves it behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"
#include "tool.h"

/* For file systems that cannot make a file without a name. */
static int open_unlinked(const char *dir)
{
	char *path = NULL;
	sigset_t all, before;
	int fd;

	if (asprintf(&path, "%s/twostep-demo-XXXXXX", dir) < 0)
		return -1;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(path);
	return fd;
}

static int open_nameless(void)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (!dir || !dir[0])
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open_unlinked(dir);
	if (fd < 0)
		fd = memfd_create("twostep-demo", MFD_CLOEXEC);
	return fd;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	const char *at = buf;
	ssize_t written;

	while (len) {
		written = write(fd, at, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		len -= (size_t)written;
	}
	return true;
}

static bool fill_made(int fd, uint64_t *chunk)
{
	uint64_t random = 0x746d6f73746570ull;

	for (size_t done = 0; done < DEMO_MADE_BYTES; done += DEMO_REQUEST) {
		for (size_t i = 0; i < DEMO_REQUEST / sizeof(*chunk); i++)
			chunk[i] = pool_random(&random);
		if (!write_all(fd, chunk, DEMO_REQUEST))
			return false;
	}
	return true;
}

static bool open_given(struct demo_file *file, const char *path)
{
	struct stat status;

	file->name = path;
	/* Opening a pipe must not wait for a writer: it is refused anyhow. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &status)) {
		tool_say("cannot open '%s': %s", path, strerror(errno));
		return false;
	}
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
		tool_say("'%s' cannot be read at an offset: give a regular file or a block device",
			 path);
		return false;
	}
	return true;
}

static bool open_made(struct demo_file *file, void *chunk)
{
	file->name = "the file made for the demo";
	file->fd = open_nameless();
	if (file->fd < 0 || !fill_made(file->fd, chunk)) {
		tool_say("cannot make a file of %u bytes: %s; set TMPDIR to a directory with room",
			 DEMO_MADE_BYTES, strerror(errno));
		return false;
	}
	return true;
}

/* As much as there is, up to @len; negative: a sentence was printed. */
static ssize_t read_some(const struct demo_file *file, uint64_t offset, void *buf, size_t len)
{
	char *at = buf;
	size_t done = 0;
	ssize_t got;

	while (done < len) {
		got = pread(file->fd, at + done, len - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			tool_say("cannot read '%s': %s", file->name, strerror(errno));
			return -1;
		}
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

bool demo_file_read(const struct demo_file *file, uint64_t offset, void *buf, size_t len)
{
	ssize_t got = read_some(file, offset, buf, len);

	if (got >= 0 && (size_t)got < len)
		tool_say("'%s' became shorter while it was read", file->name);
	return got >= 0 && (size_t)got == len;
}

/* Length and digest both come from reading to the end, so that they agree. */
static bool measure(struct demo_file *file, void *chunk)
{
	struct digest digest;
	ssize_t got;

	digest_begin(&digest);
	do {
		got = read_some(file, file->bytes, chunk, DEMO_REQUEST);
		if (got > 0) {
			digest_add(&digest, chunk, (size_t)got);
			file->bytes += (uint64_t)got;
		}
	} while (got == DEMO_REQUEST);
	if (!digest_end(&digest, file->sha256)) {
		tool_say("libcrypto cannot compute a SHA-256");
		return false;
	}
	return got >= 0;
}

bool demo_file_open(struct demo_file *file, const char *path)
{
	void *chunk = malloc(DEMO_REQUEST);
	bool good;

	*file = (struct demo_file){.fd = -1};
	if (!chunk) {
		tool_say("no memory for a buffer of %u bytes", DEMO_REQUEST);
		return false;
	}
	good = path ? open_given(file, path) : open_made(file, chunk);
	good = good && measure(file, chunk);
	free(chunk);
	if (!good)
		demo_file_close(file);
	return good;
}

void demo_file_close(struct demo_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
