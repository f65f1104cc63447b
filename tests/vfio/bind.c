/* SPDX-License-Identifier: MIT */
/*
 * The command: `twostep bind` and `unbind` of a drive whose file system is in use, or not, and
 * what `twostep devices` says of it.
 */
#include <ctype.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "setup.h"

/* What the last program has printed, both streams. */
static char output[1 << 20];

/* Its exit status; -1 if it was killed. */
static int run(const char *const *arguments)
{
	size_t used = 0;
	int pipes[2], status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execvp(arguments[0], (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], output + used, sizeof(output) - 1 - used)) > 0)
		used += (size_t)got;
	output[used] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void assert_says(const char *words)
{
	if (!strstr(output, words))
		fail_msg("\"%s\" is not in: %s", words, output);
}

static void driver_of(const char *device, char *driver, size_t size)
{
	char path[128], target[256] = "", *name;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", device);
	*driver = '\0';
	if (readlink(path, target, sizeof(target) - 1) < 0)
		return;
	name = strrchr(target, '/');
	snprintf(driver, size, "%s", name ? name + 1 : target);
}

static void assert_driver(const char *device, const char *expected)
{
	char driver[64];

	driver_of(device, driver, sizeof(driver));
	assert_string_equal(driver, expected);
}

/* The block device of a drive of nvme's, when it has come: false if it does not within @ms. */
static bool find_block(const char *device, char *name, size_t size, unsigned int ms)
{
	for (unsigned int waited = 0;; waited += 20) {
		for (unsigned int i = 0; i < 8; i++) {
			char path[128], target[256] = "", node[32];

			snprintf(path, sizeof(path), "/sys/class/nvme/nvme%u", i);
			if (readlink(path, target, sizeof(target) - 1) < 0 ||
			    !strstr(target, device))
				continue;
			snprintf(node, sizeof(node), "/dev/nvme%un1", i);
			if (!access(node, R_OK | W_OK)) {
				snprintf(name, size, "%s", node);
				return true;
			}
		}
		if (waited >= ms)
			return false;
		sleep_ms(20);
	}
}

static void make_file_system(char *node, size_t size)
{
	if (!find_block(row_of("NVME2"), node, size, 10000))
		fail_msg("%s has no block device", row_of("NVME2"));
	if (RUN("mke2fs", "-F", node))
		fail_msg("mke2fs: %s", output);
	mkdir("/mnt/drive", 0755);
}

static void test_mounted(void **state)
{
	const char *device = row_of("NVME2");
	char node[32];

	(void)state;
	make_file_system(node, sizeof(node));
	assert_int_equal(mount(node, "/mnt/drive", "ext2", 0, NULL), 0);
	assert_int_equal(RUN("twostep", "bind", device), 1);
	assert_says("/mnt/drive");
	assert_says("is mounted on");
	assert_says(device);
	assert_driver(device, "nvme");
	/* And it is as it was. */
	assert_int_equal(RUN("touch", "/mnt/drive/file"), 0);
	assert_int_equal(umount("/mnt/drive"), 0);
}

static void test_bind_and_back(void **state)
{
	const char *device = row_of("NVME2");
	char node[32], words[64];
	struct nvme nvme;

	(void)state;
	make_file_system(node, sizeof(node));
	assert_int_equal(mount(node, "/mnt/drive", "ext2", 0, NULL), 0);
	assert_int_equal(umount("/mnt/drive"), 0);
	if (RUN("twostep", "bind", device))
		fail_msg("bind: %s", output);
	assert_says("has vfio-pci now; before: nvme");
	snprintf(words, sizeof(words), "open it as vfio%s:%s", has_iommu() ? "" : "-noiommu",
		 device);
	assert_says(words);
	assert_driver(device, "vfio-pci");
	assert_int_equal(access(node, F_OK), -1);
	assert_int_equal(RUN("twostep", "bind", device), 0);
	assert_says("already");

	nvme_start(&nvme, device_open("NVME2"));
	/* A program has it, this one. */
	assert_int_equal(RUN("twostep", "unbind", device), 1);
	assert_says("is open in process");
	assert_driver(device, "vfio-pci");
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);

	if (RUN("twostep", "unbind", device))
		fail_msg("unbind: %s", output);
	assert_says("has nvme now; before: vfio-pci");
	assert_driver(device, "nvme");
	assert_true(find_block(device, node, sizeof(node), 10000));
	/* The file system is still on it. */
	assert_int_equal(mount(node, "/mnt/drive", "ext2", 0, NULL), 0);
	assert_int_equal(umount("/mnt/drive"), 0);
	assert_int_equal(RUN("twostep", "unbind", device), 1);
	assert_says("VFIO does not have");
}

/* What is in use is lost to who uses it, where that is wanted. */
static void test_force(void **state)
{
	const char *device = row_of("NVME2");
	char node[32];

	(void)state;
	make_file_system(node, sizeof(node));
	/* Opened by somebody exclusively, with nothing mounted. */
	int fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(RUN("twostep", "bind", device), 1);
	assert_says("open exclusively");
	assert_says("--force");
	if (RUN("twostep", "bind", "--force", device))
		fail_msg("bind --force: %s", output);
	assert_driver(device, "vfio-pci");
	close(fd);
	assert_int_equal(RUN("twostep", "unbind", device), 0);
	assert_driver(device, "nvme");
	assert_true(find_block(device, node, sizeof(node), 10000));
}

static void test_wrong(void **state)
{
	(void)state;
	assert_int_equal(RUN("twostep", "bind"), 2);
	assert_says("which device?");
	assert_int_equal(RUN("twostep", "bind", "nonsense"), 1);
	assert_says("is no PCI address");
	assert_int_equal(RUN("twostep", "bind", "0000:00:1e.7"), 1);
	assert_says("there is no PCI device");
}

/* The end of one value of JSON (RFC 8259) at @at, or NULL. */
static const char *skip_value(const char *at);

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')
		at++;
	return at;
}

static const char *skip_string(const char *at)
{
	if (*at++ != '"')
		return NULL;
	for (; *at != '"'; at++) {
		if ((unsigned char)*at < ' ')
			return NULL;
		if (*at == '\\' && !strchr("\"\\/bfnrtu", *++at))
			return NULL;
	}
	return at + 1;
}

static const char *skip_members(const char *at, char end)
{
	at = skip_blanks(at + 1);
	if (*at == end)
		return at + 1;
	for (;;) {
		if (end == '}') {
			at = skip_string(skip_blanks(at));
			at = at ? skip_blanks(at) : NULL;
			if (!at || *at++ != ':')
				return NULL;
		}
		at = skip_value(at);
		if (!at || (*at != ',' && *at != end))
			return NULL;
		if (*at++ == end)
			return at;
	}
}

static const char *skip_value(const char *at)
{
	static const char *const words[] = {"true", "false", "null"};
	const char *end = NULL;

	at = skip_blanks(at);
	if (*at == '{' || *at == '[') {
		end = skip_members(at, *at == '{' ? '}' : ']');
	} else if (*at == '"') {
		end = skip_string(at);
	} else if (isdigit((unsigned char)*at) || *at == '-') {
		end = at + 1 + strspn(at + 1, "0123456789.eE+-");
	} else {
		for (size_t i = 0; i < COUNT(words); i++)
			if (!strncmp(at, words[i], strlen(words[i])))
				end = at + strlen(words[i]);
	}
	return end ? skip_blanks(end) : NULL;
}

static void test_devices(void **state)
{
	const char *device = row_of("NVME"), *end;
	char path[128], group[256] = "", words[300];

	(void)state;
	if (RUN("twostep", "devices", device))
		fail_msg("devices: %s", output);
	assert_says(device);
	assert_says("vfio-pci, of VFIO");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	assert_true(readlink(path, group, sizeof(group) - 1) > 0);
	snprintf(words, sizeof(words), "/dev/vfio/%s%s: may be opened",
		 has_iommu() ? "" : "noiommu-", strrchr(group, '/') + 1);
	assert_says(words);
	assert_says("BAR 0");

	if (RUN("twostep", "devices", "--json", device))
		fail_msg("devices --json: %s", output);
	end = skip_value(output);
	if (!end || *end)
		fail_msg("no JSON: %s", output);
	assert_says("\"abilities\"");
	snprintf(words, sizeof(words), "\"%s\"", device);
	assert_says(words);
	/* All of them, with what it takes to open one. */
	assert_int_equal(RUN("twostep", "devices", "--json"), 0);
	end = skip_value(output);
	if (!end || *end)
		fail_msg("no JSON: %s", output);
	if (has_iommu()) {
		assert_int_equal(RUN("twostep", "devices", "--open", "--json", device), 0);
		end = skip_value(output);
		assert_true(end && !*end);
	}
	assert_int_equal(RUN("twostep", "devices", "0000:00:1e.7"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounted), cmocka_unit_test(test_bind_and_back),
		cmocka_unit_test(test_force),	cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
