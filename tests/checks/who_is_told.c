/* SPDX-License-Identifier: MIT */
/* Standard error by default, in one piece; or a handler, which may be replaced at any time. */
#include <fcntl.h>
#include <pthread.h>

#include "../race.h"
#include "../slow.h"
#include "calls.h"

/*
 * What a mistake writes to standard error: through a pipe that keeps each write apart, so
 * that one read gives one of them.
 */
static char *written(void (*make)(void))
{
	static char text[32768];
	int saved = dup(STDERR_FILENO), fds[2];
	ssize_t len;

	assert_int_equal(pipe2(fds, O_DIRECT | O_NONBLOCK), 0);
	dup2(fds[1], STDERR_FILENO);
	make();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	len = read(fds[0], text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = 0;
	assert_int_equal(read(fds[0], text + len + 1, 1), 0);
	close(fds[0]);
	return text;
}

static struct dma_iova_state s;

static void use_after_unlink(void)
{
	assert_int_equal(dma_bus_read(d.port, s.addr, &(char){0}, 1), -EFAULT);
}

static void wrong_unlink(void)
{
	second_unlink(d.dev, &s, 0, PAGE, DMA_FROM_DEVICE, 0);
}

/* One line of @text that begins so. */
static const char *line(const char *text, const char *begins)
{
	char key[80];

	snprintf(key, sizeof(key), "\n%s", begins);
	text = strstr(text, key);
	if (!text)
		fail_msg("no line begins with \"%s\"", begins);
	return text + 1;
}

static void printed(void **state)
{
	const char *text;
	char want[200];

	(void)state;
	s = reserved(2 * PAGE);
	linked(&s, 0, 1, DMA_TO_DEVICE);
	synced(&s, 0, 1);
	dma_debug_set_handler(NULL, NULL);
	text = written(wrong_unlink);
	snprintf(want, sizeof(want),
		 "twostep: another direction: unlink of 0x%llx with DMA_FROM_DEVICE, which was "
		 "linked with DMA_TO_DEVICE; ",
		 (unsigned long long)s.addr);
	assert_ptr_equal(strstr(text, want), text);
	snprintf(want, sizeof(want), "  device %s\n", device_uri);
	line(text, want);
	assert_non_null(strstr(line(text, "  caller "), "+0x"));
	assert_non_null(strstr(line(text, "  origin "), "+0x"));
	line(text, "  what happened there before:\n    -");
	snprintf(want, sizeof(want), " linked 0x%llx-0x%llx of 0x%llx by ",
		 (unsigned long long)s.addr, (unsigned long long)(s.addr + PAGE - 1),
		 (unsigned long long)phys_of(0));
	assert_non_null(strstr(text, want));
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_null(strstr(text, "\n\n"));

	/* A device has no call site. */
	text = written(use_after_unlink);
	assert_ptr_equal(strstr(text, "twostep: device access after the end: the device reads at "),
			 text);
	assert_null(strstr(text, "\n  caller "));
	line(text, "  origin ");
	dma_debug_set_handler(keep, NULL);
	third_free(d.dev, &s);
}

/* dma_debug_print() is what a handler may call to do both. */
static void print_too(const struct dma_debug_report *report, void *arg)
{
	keep(report, arg);
	dma_debug_print(report);
}

static void printed_by_a_handler(void **state)
{
	const char *text;

	(void)state;
	s = reserved(2 * PAGE);
	linked(&s, 0, 1, DMA_TO_DEVICE);
	dma_debug_set_handler(print_too, NULL);
	text = written(wrong_unlink);
	assert_ptr_equal(strstr(text, "twostep: another direction: "), text);
	dma_debug_set_handler(keep, NULL);
	only_at(DMA_DEBUG_DIRECTION, second_unlink, first_link);
	third_free(d.dev, &s);
}

/* Handlers that come and go while others report. */

static bool stop;
static uint64_t mistakes;

struct listener {
	bool gone;
	uint64_t calls;
};

static void listen(const struct dma_debug_report *report, void *arg)
{
	struct listener *listener = arg;

	if (report->kind != DMA_DEBUG_UNMAP_UNKNOWN ||
	    __atomic_load_n(&listener->gone, __ATOMIC_RELAXED))
		abort();
	/* One call at a time: no atomics needed. */
	listener->calls++;
}

static void *make_mistakes(void *arg)
{
	uint64_t made = 0;

	while (!flag_is_set(&stop)) {
		dma_unmap_phys(d.dev, 0x5000, 64, DMA_TO_DEVICE, 0);
		made++;
	}
	__atomic_fetch_add(&mistakes, made, __ATOMIC_RELAXED);
	return arg;
}

#define LISTENERS (300 / SLOW)

static void replaced(void **state)
{
	static struct listener listeners[LISTENERS];
	uint64_t before = dma_debug_count(DMA_DEBUG_UNMAP_UNKNOWN), heard = 0;
	pthread_t threads[3];

	(void)state;
	memset(listeners, 0, sizeof(listeners));
	stop = false;
	mistakes = 0;
	dma_debug_set_handler(listen, &listeners[0]);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_mistakes, NULL), 0);
	for (size_t i = 1; i < LISTENERS; i++) {
		dma_debug_set_handler(listen, &listeners[i]);
		__atomic_store_n(&listeners[i - 1].gone, true, __ATOMIC_RELAXED);
		if (!(i % 8))
			usleep(100);
	}
	set_flag(&stop);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	dma_debug_set_handler(keep, NULL);
	for (size_t i = 0; i < LISTENERS; i++)
		heard += listeners[i].calls;
	assert_int_equal(heard, mistakes);
	assert_int_equal(dma_debug_count(DMA_DEBUG_UNMAP_UNKNOWN) - before, mistakes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_SOFT(printed),
		ON(printed_by_a_handler, "soft:pgtable=vtd-ss"),
		ON(replaced, "soft:pgtable=vtd-ss"),
		ON(replaced, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
