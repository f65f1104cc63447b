/* SPDX-License-Identifier: MIT */
/*
 * A machine made up for tests of real devices: sysfs, /proc and /dev as files of a temporary
 * folder, where a write to bind, unbind, driver_override or drivers_probe does what it would
 * do in the kernel; and a VFIO device, whose regions are a memfd.
 */
#ifndef TESTS_PCI_FAKE_H
#define TESTS_PCI_FAKE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

#include <twostep.h>

#include "backend/vfio/vfio.h"

/* The machine. */

void fake_machine_new(void);
void fake_machine_free(void);
/* Run a shell command at its root. */
void fake_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A file, with its folders. */
void fake_file(const char *path, const char *text);
/* A machine with a drive that its own driver has, for a test to begin with, and its end. */
int fake_drive_setup(void **state);
int fake_machine_teardown(void **state);
/* What a file of one line says; "" if it is not there. */
const char *fake_read(const char *path);
/* A function on the root bus, with a driver ("" for none) and an IOMMU group (-1 for none). */
void fake_function(const char *bdf, const char *class, const char *driver, int group);
/* Its driver now, "" for none. */
const char *fake_driver(const char *bdf);
/* Whatever opens or writes a path that ends like this gets @err; NULL: nothing is refused. */
void fake_refuse(const char *end, int err);
/* The driver that takes a device by itself when the kernel is asked to look for one. */
void fake_takes(const char *driver);
/* Writes to files of drivers, as "unbind vfio-pci ...", in order; forgets them. */
const char *fake_writes(void);

/* The device. Regions, in the descriptor, are 1 MiB apart. */

#define FAKE_REGION(index) ((uint64_t)(index) << 20)
#define FAKE_IRQS 5

struct fake_device {
	int fd;
	uint32_t flags; /* of the device */
	uint32_t nr_regions;
	struct {
		uint32_t flags;
		uint64_t size;
		unsigned int nr_areas; /* sparse; 0: no such capability */
		struct {
			uint64_t offset, size;
		} areas[12];
		int err;
	} regions[9];
	struct {
		unsigned int count;
		uint32_t flags;
		int fds[64]; /* what is signalled; -1 for none */
		unsigned int nr; /* how many are on */
		bool masked;
	} irqs[FAKE_IRQS];
	unsigned int vectors; /* the machine has so many */
	unsigned int resets, bus_resets;
	int reset_err;
	unsigned int on_bus; /* functions that a reset of the bus reaches; 0: no such reset */
	uint32_t bus_flags;
	uint32_t features; /* bits of those it has */
	unsigned int asked; /* how often the kernel was asked for a region */
	bool closed;
	int map_err;
	unsigned int maps; /* mappings that there are */
	uint64_t dmabuf_offset, dmabuf_size; /* of the last one */
};

extern struct fake_device fake_device;

/* A device with config space, BAR 0 of 64 KiB, BAR 2 of 16 KiB with a hole, BAR 4 of ports. */
void fake_device_new(void);
/* Bytes of its region. */
void fake_put(unsigned int region, uint64_t offset, const void *bytes, size_t len);
uint64_t fake_get(unsigned int region, uint64_t offset, unsigned int width);

/* The device as the API has it, in a space without translation; close it by dma_dev_close(). */
struct dma_dev *fake_open(const char *pci);

#define assert_said(what)                                                               \
	do {                                                                            \
		if (!strstr(dma_last_error(), what))                                    \
			fail_msg("\"%s\" does not say \"%s\"", dma_last_error(), what); \
	} while (0)

#endif
