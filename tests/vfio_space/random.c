/* SPDX-License-Identifier: MIT */
/* Random calls of one thread: the device reaches what the reference says, after each of them. */
#include <time.h>

#include "model.h"

#define CALLS (20000 / SLOW)

static void test_random(void **state)
{
	struct card card = card_open(state, NULL);
	struct model m = {.card = &card, .alone = true, .random = model_seed()};

	m.memory = pages_new(MEMORY_PAGES);
	for (unsigned int i = 0; i < CALLS; i++) {
		model_call(&m);
		check(&m);
	}
	assert_true(m.failed > 0);
	model_end(&m);
	check(&m);
	assert_int_equal(stats_of(&card).ioctls, fake_maps() + fake_unmaps());
	card_close(&card, m.misuse);
	pages_free(m.memory, MEMORY_PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
