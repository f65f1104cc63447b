/* SPDX-License-Identifier: MIT */
/* URIs are read as documented, and each mistake is told with the byte where it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/error.h>

#include "open/open.h"

static void parse(const char *text, struct uri *uri)
{
	assert_int_equal(uri_parse(text, uri), 0);
}

static void assert_option(const struct uri *uri, unsigned int i, const char *key, const char *value,
			  unsigned int at)
{
	assert_true(i < uri->nr_options);
	assert_string_equal(uri->options[i].key, key);
	assert_string_equal(uri->options[i].value, value);
	assert_int_equal(uri->options[i].at, at);
	assert_ptr_equal(uri_find(uri, key), &uri->options[i]);
}

static void schemes_and_models(void **state)
{
	static const struct {
		const char *text, *scheme, *model;
	} good[] = {
		{"soft:", "soft", ""},
		{"soft:copy", "soft", "copy"},
		{"vfio:0000:01:00.0", "vfio", "0000:01:00.0"},
		{"vfio-type1:0000:01:00.0", "vfio-type1", "0000:01:00.0"},
		{"x2_y:Z \xc3\xa9", "x2_y", "Z \xc3\xa9"},
		{"s::", "s", ":"},
	};
	struct uri uri;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		parse(good[i].text, &uri);
		assert_string_equal(uri.scheme, good[i].scheme);
		assert_string_equal(uri.model, good[i].model);
		assert_int_equal(uri.nr_options, 0);
	}
}

static void options(void **state)
{
	struct uri uri;

	(void)state;
	parse("soft:copy,iotlb=64,thread=off,flag,path=/a=b:c d", &uri);
	assert_string_equal(uri.model, "copy");
	assert_int_equal(uri.nr_options, 4);
	assert_option(&uri, 0, "iotlb", "64", 10);
	assert_option(&uri, 1, "thread", "off", 19);
	assert_option(&uri, 2, "flag", "", 30);
	assert_option(&uri, 3, "path", "/a=b:c d", 35);
	assert_null(uri_find(&uri, "iotl"));
	assert_null(uri_find(&uri, ""));

	parse("direct:,mask=32", &uri);
	assert_string_equal(uri.model, "");
	assert_option(&uri, 0, "mask", "32", 8);

	/* A first word with '=' is no model. */
	parse("soft:pgtable=x86-64,untrusted", &uri);
	assert_string_equal(uri.model, "");
	assert_int_equal(uri.nr_options, 2);
	assert_option(&uri, 0, "pgtable", "x86-64", 5);
	assert_option(&uri, 1, "untrusted", "", 20);
}

static void model_that_is_an_option(void **state)
{
	struct uri uri;

	(void)state;
	parse("soft:untrusted,iotlb=64", &uri);
	assert_string_equal(uri.model, "untrusted");
	assert_int_equal(uri_model_is_option(&uri), 0);
	assert_string_equal(uri.model, "");
	assert_int_equal(uri.nr_options, 2);
	assert_option(&uri, 0, "untrusted", "", 5);
	assert_option(&uri, 1, "iotlb", "64", 15);

	/* Nothing left to move. */
	assert_int_equal(uri_model_is_option(&uri), 0);
	assert_int_equal(uri.nr_options, 2);

	parse("soft:0000:01:00.0", &uri);
	assert_int_equal(uri_model_is_option(&uri), -EINVAL);
	assert_string_equal(uri.model, "0000:01:00.0");
	assert_int_equal(uri.nr_options, 0);

	parse("soft:iotlb,iotlb=64", &uri);
	assert_int_equal(uri_model_is_option(&uri), -EINVAL);
	assert_int_equal(uri.nr_options, 1);
}

static void mistakes(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"", "there is none"},
		{"soft", "no colon"},
		{":", "byte 0 is no scheme"},
		{":copy", "byte 0 is no scheme"},
		{"Soft:", "byte 4 is no scheme"},
		{"so ft:", "byte 5 is no scheme"},
		{"1soft:", "byte 5 is no scheme"},
		{"soft,a=1:b", "byte 8 is no scheme"},
		{"soft:,", "at byte 6"},
		{"soft:copy,", "at byte 10"},
		{"soft:copy,,a=1", "at byte 10"},
		{"soft:a=1,", "at byte 9"},
		{"soft:=1", "without a name at byte 5"},
		{"soft:copy,=1", "without a name at byte 10"},
		{"soft:copy,a=", "\"a\" at byte 10 has no value"},
		{"soft:copy,A=1", "\"A\" at byte 10"},
		{"soft:copy,a b=1", "\"a b\" at byte 10"},
		{"soft:copy,-a=1", "\"-a\" at byte 10"},
		{"soft:copy,a=1,b,a=2", "\"a\" at byte 16 was given at byte 10"},
		{"soft:copy\n", "0x0a at byte 9"},
		{"soft:\x7f", "0x7f at byte 5"},
		{"soft:x,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "the one at byte 39"},
	};
	struct uri uri;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		dma_clear_error();
		assert_int_equal(uri_parse(bad[i].text, &uri), -EINVAL);
		if (!strstr(dma_last_error(), bad[i].says))
			fail_msg("\"%s\": \"%s\" does not say \"%s\"", bad[i].text,
				 dma_last_error(), bad[i].says);
	}
	assert_int_equal(uri_parse(NULL, &uri), -EINVAL);
}

static void limits(void **state)
{
	char text[600];
	struct uri uri;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "s:", 2);
	text[URI_MAX_LENGTH] = '\0';
	parse(text, &uri);
	assert_int_equal(strlen(uri.model), URI_MAX_LENGTH - 2);
	text[URI_MAX_LENGTH] = 'a';
	text[URI_MAX_LENGTH + 1] = '\0';
	assert_int_equal(uri_parse(text, &uri), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "512"));

	/* Sixteen options and a model that is one. */
	parse("soft:x,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", &uri);
	assert_int_equal(uri.nr_options, 16);
	assert_int_equal(uri_model_is_option(&uri), 0);
	assert_int_equal(uri.nr_options, 17);
	assert_option(&uri, 0, "x", "", 5);
	assert_option(&uri, 16, "p", "", 37);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{"0", 0},
		{"007", 7},
		{"18446744073709551615", UINT64_MAX},
		{"0xffffffffffffffff", UINT64_MAX},
		{"0x00000000000000000000AbC", 0xabc},
		{"4K", 4096},
		{"3M", 3145728},
		{"2G", 2147483648},
		{"0x10K", 16384},
		{"17179869183G", 17179869183ULL << 30},
		{"0K", 0},
	};
	static const char *const malformed[] = {
		"",   "K",   "x",  "0x",  "0xK",  "-1",	  "+1",	 " 1",	"1 ",
		"1k", "1KK", "1T", "12a", "0x1g", "0X10", "1.5", "1K1",
	};
	static const char *const too_large[] = {
		"18446744073709551616", "0x10000000000000000",	 "99999999999999999999999999",
		"17179869184G",		"18446744073709551615K",
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		value = 1;
		assert_int_equal(uri_number(good[i].text, 0, UINT64_MAX, &value), 0);
		assert_true(value == good[i].value);
	}
	value = 55;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_int_equal(uri_number(malformed[i], 0, UINT64_MAX, &value), -EINVAL);
	for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++)
		assert_int_equal(uri_number(too_large[i], 0, UINT64_MAX, &value), -ERANGE);
	assert_int_equal(uri_number("9", 10, 20, &value), -ERANGE);
	assert_int_equal(uri_number("21", 10, 20, &value), -ERANGE);
	assert_non_null(strstr(dma_last_error(), "between 10 and 20"));
	assert_int_equal(value, 55);
	assert_int_equal(uri_number("10", 10, 20, &value), 0);
	assert_int_equal(uri_number("20", 10, 20, &value), 0);
	assert_int_equal(value, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schemes_and_models),
		cmocka_unit_test(options),
		cmocka_unit_test(model_that_is_an_option),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(limits),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
