/* SPDX-License-Identifier: MIT */
/* A wrong address is a fault, never a crash; also in a child of this process. */
#include <sys/wait.h>
#include <unistd.h>

#include "direct_wrong_address.h"

static void a_forked_child_reaches_its_own_memory(void **state)
{
	char *memory = pages(2, 'p');
	char buf[5000];
	pid_t child;
	int status;
	bool right;

	(void)state;
	child = fork();
	if (!child) {
		memset(buf, 'c', sizeof(buf));
		right = !dma_bus_write(port, at(memory), buf, sizeof(buf)) && memory[0] == 'c' &&
			!dma_bus_read(port, at(memory) + 4000, buf, 2000) && buf[1999] == 'p';
		_exit(!right);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < 8192; i++)
		assert_int_equal(memory[i], 'p');
	munmap(memory, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_forked_child_reaches_its_own_memory, open_direct,
						close_direct),
	};
	int failed = cmocka_run_group_tests(wrong_address_tests, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
