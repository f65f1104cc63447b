/* SPDX-License-Identifier: MIT */
/* What switches checks on and off: the environment, URIs, and a space that is there already. */
#include "checks.h"

/* 0 or an errno; then *@on says whether the space has checks. */
static int try_open(const char *uri, bool *on)
{
	struct dma_dev *dev;
	int err;

	dma_clear_error();
	err = dma_dev_open(uri, &dev);
	if (err)
		return err;
	*on = dma_debug_enabled(dma_dev_space(dev));
	assert_int_equal(dma_debug_check(dma_dev_space(dev)), *on ? 0 : -EOPNOTSUPP);
	dma_dev_close(dev);
	return 0;
}

static void expect(const char *environment, const char *uri, bool on)
{
	bool is = !on;

	if (environment)
		setenv("TWOSTEP_DEBUG", environment, 1);
	else
		unsetenv("TWOSTEP_DEBUG");
	assert_int_equal(try_open(uri, &is), 0);
	assert_int_equal(is, on);
	unsetenv("TWOSTEP_DEBUG");
}

static void environment(void **state)
{
	static const char *const plain[] = {"soft:", "direct:", "soft:copy", "soft:untrusted"};

	(void)state;
	for (size_t i = 0; i < COUNT(plain); i++) {
		expect(NULL, plain[i], false);
		expect("", plain[i], false);
		expect("0", plain[i], false);
		expect("1", plain[i], true);
	}
}

static void uri_says_more(void **state)
{
	(void)state;
	expect("1", "soft:,debug=off", false);
	expect("1", "direct:debug=off", false);
	expect("0", "soft:debug=on", true);
	expect(NULL, "soft:debug=on", true);
	expect(NULL, "direct:,debug=on", true);
	expect("1", "soft:debug=on", true);
	expect("", "soft:copy,debug=on", true);
}

static void nonsense(void **state)
{
	static const char *const values[] = {"2", "yes", "on", "01", " 1", "1 ", "-1", "debug=on"};
	bool on;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		setenv("TWOSTEP_DEBUG", values[i], 1);
		assert_int_equal(try_open("soft:", &on), -EINVAL);
		assert_non_null(strstr(dma_last_error(), "TWOSTEP_DEBUG"));
		assert_non_null(strstr(dma_last_error(), values[i]));
		assert_int_equal(try_open("direct:", &on), -EINVAL);
	}
	unsetenv("TWOSTEP_DEBUG");
	assert_int_equal(try_open("soft:debug=yes", &on), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "debug"));
	assert_int_equal(try_open("soft:debug=", &on), -EINVAL);
}

/* A space was opened with checks, or without: later devices may only say so too. */
static void shared(void **state)
{
	static const char *const spaces[] = {"soft:debug=on", "soft:debug=off", "soft:"};
	struct dma_dev *dev, *more;

	(void)state;
	for (size_t i = 0; i < COUNT(spaces); i++) {
		struct dma_space *space;
		bool on = i == 0;

		assert_int_equal(dma_dev_open(spaces[i], &dev), 0);
		space = dma_dev_space(dev);
		assert_int_equal(dma_dev_open_in("soft:", space, &more), 0);
		dma_dev_close(more);
		dma_clear_error();
		assert_int_equal(dma_dev_open_in("soft:debug=on", space, &more), on ? 0 : -EINVAL);
		if (on)
			dma_dev_close(more);
		else
			assert_non_null(strstr(dma_last_error(), "debug"));
		assert_int_equal(dma_dev_open_in("soft:debug=off", space, &more), on ? -EINVAL : 0);
		if (!on)
			dma_dev_close(more);
		/* The environment speaks of spaces that are made, not of those that are there. */
		setenv("TWOSTEP_DEBUG", on ? "0" : "1", 1);
		assert_int_equal(dma_dev_open_in("soft:", space, &more), 0);
		assert_int_equal(dma_debug_enabled(space), on);
		dma_dev_close(more);
		unsetenv("TWOSTEP_DEBUG");
		dma_dev_close(dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environment),
		cmocka_unit_test(uri_says_more),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(shared),
	};

	unsetenv("TWOSTEP_DEBUG");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
