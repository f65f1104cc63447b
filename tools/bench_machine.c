/* SPDX-License-Identifier: MIT */
/* The machine, and which core runs what. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

static void read_cpu_model(char *model, size_t size)
{
	FILE *info = fopen("/proc/cpuinfo", "re");
	char line[256];
	char *value;

	snprintf(model, size, "unknown");
	if (!info)
		return;
	while (fgets(line, sizeof(line), info)) {
		if (strncmp(line, "model name", 10))
			continue;
		value = strchr(line, ':');
		if (!value)
			continue;
		value += 1 + strspn(value + 1, " \t");
		value[strcspn(value, "\n")] = '\0';
		snprintf(model, size, "%s", value);
		break;
	}
	fclose(info);
}

static void choose_cores(struct bench_machine *machine)
{
	cpu_set_t allowed;

	machine->main_cpu = -1;
	machine->device_cpu = -1;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && machine->device_cpu < 0; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &allowed))
			continue;
		if (machine->main_cpu < 0)
			machine->main_cpu = cpu;
		else
			machine->device_cpu = cpu;
	}
}

void pin_thread(int cpu)
{
	cpu_set_t one;

	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

void machine_open(struct bench_machine *machine)
{
	struct utsname name;

	memset(machine, 0, sizeof(*machine));
	read_cpu_model(machine->cpu, sizeof(machine->cpu));
	machine->cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (uname(&name))
		snprintf(machine->kernel, sizeof(machine->kernel), "unknown");
	else
		snprintf(machine->kernel, sizeof(machine->kernel), "%s %s", name.sysname,
			 name.release);
	choose_cores(machine);
	pin_thread(machine->main_cpu);
}
