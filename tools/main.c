/* SPDX-License-Identifier: MIT */
/* The table of verbs. */
#include <string.h>

#include "json.h"
#include "tool.h"

static int help_run(const struct tool_verb *verb, int argc, char **argv);
static int version_run(const struct tool_verb *verb, int argc, char **argv);

static const struct tool_verb verbs[] = {
	{"help", "[VERB]", "list the verbs, or explain one", NULL, help_run},
	{"version", NULL, "print version, commit and build", NULL, version_run},
	{"demo", "[FILE]", "run a file through a DMA engine, from memory mapped in two steps",
	 "FILE, or 64 MiB made for the purpose, goes through the copy engine in requests of\n"
	 "1 MiB. Source and destination of a request are 256 pages each, scattered over\n"
	 "buffers 16 times as large. Three ways to map them are compared: one map call a page\n"
	 "(per-page), one dma_iova_link() a page (link), one dma_iova_link_vec() (vec). What\n"
	 "comes out is compared with the file by SHA-256.\n",
	 demo_run},
	{"bench", NULL, "measure the mapping calls against what the machine can do",
	 "Each figure is the median of interleaved runs on one core. Its limit is measured\n"
	 "beside it, run by run; raw_scalar is a loop that stores 256 scattered entries.\n"
	 "_busy: a device reads without pause meanwhile. _gather32: one invalidation for 32.\n"
	 "checked_: with misuse checks, beside the same without. bounce_: through bounce buffers.\n"
	 "Targets are shown, never enforced.\n",
	 bench_run},
	{"devices", "[DEVICE]", "list the PCI devices, and which may reach which's memory",
	 "Which way a device would take to another's memory: B by bus address, H through the host\n"
	 "bridge, - not at all. Rows provide the memory, columns use it. With DEVICE, an address or\n"
	 "a name, the reasons for that one; without, for all where they are few. Access control\n"
	 "(ACS) of real devices can be read by root only; unknown, it is taken as redirecting.\n"
	 "For one device of this machine also what it and the kernel can do: its driver and IOMMU\n"
	 "group, the files that give it out, BARs, interrupts, resets. Nothing is changed; --open\n"
	 "opens it, which resets it, and tells what can be known only then.\n",
	 devices_run},
	{"bind", "DEVICE", "give a PCI device to VFIO, for programs to drive",
	 "Takes the device from its driver and gives it to vfio-pci. Takes root. Refused if it is\n"
	 "in use: mounted file systems, swap, volumes of dm or md, a network interface that is up,\n"
	 "a console, the first screen; and for bridges. Until the next boot, or `twostep unbind`.\n",
	 bind_run},
	{"unbind", "DEVICE", "give a PCI device back to the kernel's own driver",
	 "Undoes `twostep bind`. Refused while a program has the device open; with --force it waits\n"
	 "until the program, which is asked to, has closed it.\n",
	 unbind_run},
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct tool_verb *find_verb(const char *name)
{
	for (size_t i = 0; i < NR_VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static void print_verbs(FILE *out)
{
	fputs("usage: twostep VERB [OPTION]... [OPERAND]\n\nverbs:\n", out);
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(out, "  %-8s %-8s %s\n", verbs[i].name,
			verbs[i].operand ? verbs[i].operand : "", verbs[i].summary);
	fputs("\n`twostep VERB --help` tells the options of a verb.\n"
	      "Exit codes: 0 done, 1 failed, 2 misused.\n",
	      out);
}

static int help_run(const struct tool_verb *verb, int argc, char **argv)
{
	const struct tool_verb *about;
	const char *name = NULL;

	switch (tool_parse(verb, NULL, 0, argc, argv, &name)) {
	case TOOL_PARSED_HELP:
		return TOOL_DONE;
	case TOOL_PARSED_MISUSED:
		return TOOL_MISUSED;
	case TOOL_PARSED:
		break;
	}
	if (!name) {
		print_verbs(stdout);
		return TOOL_DONE;
	}
	about = find_verb(name);
	if (!about) {
		tool_say("there is no verb '%s'; `twostep help` lists them", name);
		return TOOL_MISUSED;
	}
	return about->run(about, 1, (char *[]){(char[]){"--help"}, NULL});
}

static int version_run(const struct tool_verb *verb, int argc, char **argv)
{
	bool as_json = false;
	const struct tool_option options[] = {
		{"json", NULL, "print one JSON object", &as_json, NULL},
	};
	struct json json;

	switch (tool_parse(verb, options, 1, argc, argv, NULL)) {
	case TOOL_PARSED_HELP:
		return TOOL_DONE;
	case TOOL_PARSED_MISUSED:
		return TOOL_MISUSED;
	case TOOL_PARSED:
		break;
	}
	if (!as_json) {
		printf("twostep %s (commit %s, %s build, %s)\n", build_version(), build_commit(),
		       build_type(), build_compiler());
		return TOOL_DONE;
	}
	json_begin(&json, stdout);
	json_object(&json, NULL);
	json_string(&json, "version", build_version());
	json_string(&json, "commit", build_commit());
	json_string(&json, "build", build_type());
	json_string(&json, "compiler", build_compiler());
	json_end(&json);
	return TOOL_DONE;
}

int main(int argc, char **argv)
{
	const struct tool_verb *verb;
	const char *name;

	if (argc < 2) {
		tool_say("a verb is missing; `twostep help` lists them");
		return TOOL_MISUSED;
	}
	name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	else if (!strcmp(name, "--version"))
		name = "version";
	verb = find_verb(name);
	if (!verb) {
		tool_say("there is no %s '%s'; `twostep help` lists the verbs",
			 name[0] == '-' ? "option" : "verb", name);
		return TOOL_MISUSED;
	}
	return tool_flush(verb->run(verb, argc - 2, argv + 2));
}
