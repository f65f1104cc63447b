/* SPDX-License-Identifier: MIT */
/* The asymmetric lock keeps owner and revokers apart, with membarrier and without. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

#define REVOKERS 2
#define REVOCATIONS 1500

static struct base_asym lock;
static pthread_mutex_t revokers = PTHREAD_MUTEX_INITIALIZER;

/* Two plain words that agree whenever nobody is inside; a race would tear them. */
static uint64_t left;
static uint64_t right;
static uint64_t disagreed;
static uint64_t entered;
static uint64_t refused;
static bool stop;

static void *own(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (!base_asym_enter(&lock)) {
			refused++;
			continue;
		}
		disagreed += left != right;
		left++;
		right++;
		__atomic_store_n(&entered, entered + 1, __ATOMIC_RELAXED);
		base_asym_leave(&lock);
	}
	return NULL;
}

static uint64_t revoked_total;

static void *revoke_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < REVOCATIONS; i++) {
		pthread_mutex_lock(&revokers);
		base_asym_revoke(&lock);
		disagreed += left != right;
		left += 2;
		right += 2;
		revoked_total++;
		base_asym_restore(&lock);
		pthread_mutex_unlock(&revokers);
	}
	return NULL;
}

static void contend(void)
{
	pthread_t owner;
	pthread_t threads[REVOKERS];

	left = right = disagreed = entered = refused = revoked_total = 0;
	stop = false;
	assert_int_equal(pthread_create(&owner, NULL, own, NULL), 0);
	for (size_t i = 0; i < REVOKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, revoke_often, NULL), 0);
	for (size_t i = 0; i < REVOKERS; i++)
		pthread_join(threads[i], NULL);
	/* On a busy machine the owner may not have had its turn. */
	while (base_asym_works && !__atomic_load_n(&entered, __ATOMIC_RELAXED))
		sched_yield();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(owner, NULL);
	assert_int_equal(disagreed, 0);
	assert_int_equal(revoked_total, REVOKERS * REVOCATIONS);
	assert_int_equal(left, entered + 2 * revoked_total);
	assert_int_equal(left, right);
}

static void with_membarrier(void **state)
{
	(void)state;
	if (!base_asym_works)
		skip();
	base_asym_init(&lock);
	contend();
}

/* Without a membarrier the owner never enters, so nobody has to wait for it. */
static void without_membarrier(void **state)
{
	bool works = base_asym_works;

	(void)state;
	base_asym_works = false;
	base_asym_init(&lock);
	contend();
	assert_int_equal(entered, 0);
	assert_false(base_asym_enter(&lock));
	base_asym_works = works;
}

/* A system call filter that came after the library was loaded: the owner goes on. */
static void the_kernel_says_no(void **state)
{
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(filter), filter};
	struct base_asym own_lock;
	int status;
	pid_t child;

	(void)state;
	if (!base_asym_works)
		skip();
	base_asym_init(&own_lock);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			_exit(77);
		if (base_asym_revoke(&own_lock) || !base_asym_enter(&own_lock))
			_exit(1);
		base_asym_leave(&own_lock);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void revoked_means_out(void **state)
{
	struct base_asym own_lock = {0};

	(void)state;
	assert_true(base_asym_enter(&own_lock));
	base_asym_leave(&own_lock);
	base_asym_revoke(&own_lock);
	assert_false(base_asym_enter(&own_lock));
	assert_int_equal(own_lock.busy, 0);
	base_asym_restore(&own_lock);
	assert_true(base_asym_enter(&own_lock));
	base_asym_leave(&own_lock);
}

static struct base_asym waited_for;
static bool inside;
static bool was_inside;

static void *revoke_once(void *arg)
{
	(void)arg;
	base_asym_revoke(&waited_for);
	was_inside = __atomic_load_n(&inside, __ATOMIC_RELAXED);
	base_asym_restore(&waited_for);
	return NULL;
}

/* The revoker has announced itself, and the owner takes its time. */
static void a_revoker_waits_for_the_owner(void **state)
{
	pthread_t thread;

	(void)state;
	assert_true(base_asym_enter(&waited_for));
	inside = true;
	assert_int_equal(pthread_create(&thread, NULL, revoke_once, NULL), 0);
	while (!__atomic_load_n(&waited_for.revoked, __ATOMIC_RELAXED))
		cpu_relax();
	for (int i = 0; i < 10000; i++)
		cpu_relax();
	assert_int_equal(__atomic_load_n(&waited_for.revoked, __ATOMIC_RELAXED), 1);
	__atomic_store_n(&inside, false, __ATOMIC_RELAXED);
	base_asym_leave(&waited_for);
	pthread_join(thread, NULL);
	assert_false(was_inside);
	assert_true(base_asym_enter(&waited_for));
	base_asym_leave(&waited_for);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_says_no),
		cmocka_unit_test(revoked_means_out),
		cmocka_unit_test(a_revoker_waits_for_the_owner),
		cmocka_unit_test(with_membarrier),
		cmocka_unit_test(without_membarrier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
