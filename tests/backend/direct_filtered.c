/* SPDX-License-Identifier: MIT */
/*
 * Wrong addresses are faults also where the process may not use process_vm_readv(),
 * and where the kernel does not know MADV_POPULATE_READ: a filter of system calls
 * plays both. Each case runs in a process of its own, because a filter stays.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "direct_wrong_address.h"

#define ARGUMENT(n) (uint32_t) offsetof(struct seccomp_data, args[n])

static bool filter(struct sock_filter *program, size_t len)
{
	struct sock_fprog fprog = {.len = (unsigned short)len, .filter = program};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog);
}

static bool refuse_process_vm(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	char byte = 1;
	struct iovec piece = {&byte, 1};

	return filter(program, ARRAY_SIZE(program)) &&
	       process_vm_readv(getpid(), &piece, 1, &piece, 1, 0) == -1 && errno == EPERM;
}

static bool refuse_populate(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 22, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter(program, ARRAY_SIZE(program)) && madvise(NULL, 0, 22) == -1;
}

static void wrong_addresses_in_a_child(bool vm, bool populate)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (!child) {
		if ((!vm && !refuse_process_vm()) || (!populate && !refuse_populate()))
			_exit(77);
		_exit(cmocka_run_group_tests(wrong_address_tests, NULL, NULL) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void without_process_vm(void **state)
{
	(void)state;
	wrong_addresses_in_a_child(false, true);
}

static void without_populate(void **state)
{
	(void)state;
	wrong_addresses_in_a_child(true, false);
}

static void without_both(void **state)
{
	(void)state;
	wrong_addresses_in_a_child(false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_process_vm),
		cmocka_unit_test(without_populate),
		cmocka_unit_test(without_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
