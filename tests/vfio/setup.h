/* SPDX-License-Identifier: MIT */
/*
 * What programs in the guest share: the row of the matrix that they run in, and an NVMe drive
 * as a bus master: its admin queue, which makes transfers to where it is told.
 */
#ifndef TESTS_VFIO_SETUP_H
#define TESTS_VFIO_SETUP_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <twostep.h>

#define PAGE 4096UL
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What init has found and set. */
static inline const char *row_of(const char *name)
{
	char variable[64];
	const char *value;

	snprintf(variable, sizeof(variable), "TWOSTEP_TEST_%s", name);
	value = getenv(variable);
	if (!value || !*value)
		fail_msg("%s is not set: this program runs in the guest of make check-vm",
			 variable);
	return value;
}

static inline bool is_scheme(const char *scheme)
{
	return !strcmp(row_of("SCHEME"), scheme);
}

static inline bool has_iommu(void)
{
	return strcmp(row_of("IOMMU"), "none") != 0;
}

static inline void uri_of(const char *device, char *uri, size_t size)
{
	snprintf(uri, size, "%s:%s", row_of("SCHEME"), row_of(device));
}

static inline struct dma_dev *device_open_in(const char *device, struct dma_space *space)
{
	struct dma_dev *dev = NULL;
	char uri[128];
	int err;

	uri_of(device, uri, sizeof(uri));
	err = space ? dma_dev_open_in(uri, space, &dev) : dma_dev_open(uri, &dev);
	if (err)
		fail_msg("%s: %d: %s", uri, err, dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	return dev;
}

static inline struct dma_dev *device_open(const char *device)
{
	return device_open_in(device, NULL);
}

/* Pages that are there, each full of @byte. */
static inline uint8_t *pages_new(size_t pages, int byte)
{
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	assert_true(memory != MAP_FAILED);
	memset(memory, byte, pages * PAGE);
	return memory;
}

static inline void pages_free(uint8_t *memory, size_t pages)
{
	munmap(memory, pages * PAGE);
}

/*
 * To the kernel's log, which the host reads: one write a line. Where faults are not in that log,
 * also to a serial line, and on only when it has gone out.
 */
static inline void tell_host(const char *text)
{
	const char *const paths[] = {"/dev/kmsg", getenv("TWOSTEP_TEST_HOST")};
	char line[128];
	int length = snprintf(line, sizeof(line), "twostep: %s\n", text);

	for (size_t i = 0; i < COUNT(paths) && paths[i]; i++) {
		int fd = open(paths[i], O_WRONLY | O_NOCTTY);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, line, (size_t)length), length);
		assert_true(!isatty(fd) || !tcdrain(fd));
		close(fd);
	}
}

static inline void sleep_ms(unsigned int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&time, NULL);
}

/* The drive (NVM Express Base Specification 1.4, chapters 3 and 4). */

#define NVME_CAP 0x00
#define NVME_CC 0x14
#define NVME_CSTS 0x1c
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30
#define NVME_DOORBELLS 0x1000
#define NVME_IDENTIFY 0x06
#define NVME_ENTRIES 16U

struct nvme {
	struct dma_dev *dev;
	uint32_t *submission; /* 16 words a command */
	uint32_t *completion; /* 4 words each */
	dma_addr_t submission_addr, completion_addr;
	unsigned int tail, head, stride;
	unsigned int phase;
	uint16_t id;
};

static inline uint32_t nvme_reg(const struct nvme *nvme, uint64_t offset)
{
	uint64_t value = 0;

	assert_int_equal(dma_dev_reg_read(nvme->dev, 0, offset, &value, 4), 0);
	return (uint32_t)value;
}

static inline void nvme_set(const struct nvme *nvme, uint64_t offset, uint32_t value)
{
	assert_int_equal(dma_dev_reg_write(nvme->dev, 0, offset, value, 4), 0);
}

static inline void nvme_set_addr(const struct nvme *nvme, uint64_t offset, uint64_t value)
{
	nvme_set(nvme, offset, (uint32_t)value);
	nvme_set(nvme, offset + 4, (uint32_t)(value >> 32));
}

static inline void nvme_wait_ready(const struct nvme *nvme, uint32_t ready)
{
	for (int i = 0; (nvme_reg(nvme, NVME_CSTS) & 1) != ready; i++) {
		if (i == 500)
			fail_msg("the drive does not become %sready", ready ? "" : "un");
		sleep_ms(10);
	}
}

/* Admin queues in memory that is allocated for the device. */
static inline void nvme_start(struct nvme *nvme, struct dma_dev *dev)
{
	*nvme = (struct nvme){.dev = dev, .phase = 1};
	assert_int_equal(ts_pci_set_master(dev), 0);
	nvme_set(nvme, NVME_CC, 0);
	nvme_wait_ready(nvme, 0);
	nvme->stride = 4U << (nvme_reg(nvme, NVME_CAP + 4) & 15);
	nvme->submission = dma_alloc_coherent(dev, PAGE, &nvme->submission_addr);
	nvme->completion = dma_alloc_coherent(dev, PAGE, &nvme->completion_addr);
	if (!nvme->submission || !nvme->completion)
		fail_msg("queues: %s", dma_last_error());
	memset(nvme->submission, 0, PAGE);
	memset(nvme->completion, 0, PAGE);
	nvme_set(nvme, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	nvme_set_addr(nvme, NVME_ASQ, nvme->submission_addr);
	nvme_set_addr(nvme, NVME_ACQ, nvme->completion_addr);
	nvme_set(nvme, NVME_CC, 6U << 16 | 4U << 20 | 1);
	nvme_wait_ready(nvme, 1);
}

static inline void nvme_stop(struct nvme *nvme)
{
	nvme_set(nvme, NVME_CC, 0);
	nvme_wait_ready(nvme, 0);
	dma_free_coherent(nvme->dev, PAGE, nvme->submission, nvme->submission_addr);
	dma_free_coherent(nvme->dev, PAGE, nvme->completion, nvme->completion_addr);
}

/*
 * Let it write what the drive is, 4096 bytes, to @first, and from the next page on to
 * @second. The command's status, or -ETIMEDOUT.
 */
static inline int nvme_identify(struct nvme *nvme, dma_addr_t first, dma_addr_t second)
{
	uint32_t *command = &nvme->submission[16 * nvme->tail];
	volatile uint32_t *done = &nvme->completion[4 * nvme->head];

	memset(command, 0, 64);
	command[0] = NVME_IDENTIFY | (uint32_t)++nvme->id << 16;
	command[6] = (uint32_t)first;
	command[7] = (uint32_t)(first >> 32);
	command[8] = (uint32_t)second;
	command[9] = (uint32_t)(second >> 32);
	command[10] = 1; /* the controller */
	nvme->tail = (nvme->tail + 1) % NVME_ENTRIES;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	nvme_set(nvme, NVME_DOORBELLS, nvme->tail);
	for (int i = 0; (done[3] >> 16 & 1) != nvme->phase; i++) {
		if (i == 2000)
			return -ETIMEDOUT;
		sleep_ms(1);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	nvme->head = (nvme->head + 1) % NVME_ENTRIES;
	if (!nvme->head)
		nvme->phase = !nvme->phase;
	nvme_set(nvme, NVME_DOORBELLS + nvme->stride, nvme->head);
	return (int)(done[3] >> 17);
}

/* Where the serial number is in what Identify writes; run.sh gives drives these. */
#define NVME_SERIAL 4
static inline bool is_identity(const uint8_t *bytes)
{
	return !memcmp(bytes + NVME_SERIAL, "twostep", 7);
}

#endif
