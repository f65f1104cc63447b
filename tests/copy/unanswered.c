/* SPDX-License-Identifier: MIT */
/* An engine that does not answer: its driver says so, and comes back when the engine does. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <twostep/bounce.h>

#include "setup.h"

struct scene {
	struct setup setup;
	struct buffer dst;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool ended, go_on;
	int reset, submit;
	size_t pending;
};

static int fill(struct scene *scene, uint64_t pattern, dma_addr_t addr)
{
	return fill_one(&scene->setup, pattern, addr, 8, pattern);
}

/*
 * Runs on the engine's thread, inside its transfer: it cannot stop. The lock makes the
 * driver this thread's meanwhile.
 */
static void reset_in_handler(const struct dma_fault *fault, void *arg)
{
	struct scene *scene = arg;

	(void)fault;
	pthread_mutex_lock(&scene->lock);
	scene->reset = ts_copy_reset(scene->setup.copy);
	scene->submit = fill(scene, 3, scene->dst.addr);
	scene->pending = ts_copy_pending(scene->setup.copy);
	scene->ended = true;
	pthread_cond_signal(&scene->done);
	pthread_mutex_unlock(&scene->lock);
}

static void engine_that_does_not_stop(void **state)
{
	struct scene scene = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
	struct setup *setup = &scene.setup;
	struct ts_copy_result result;
	struct buffer gone;

	(void)state;
	setup_open(setup, THREADED, 4);
	buffer_open(setup->dev, &scene.dst, PAGE, DMA_FROM_DEVICE);
	buffer_open(setup->dev, &gone, PAGE, DMA_FROM_DEVICE);
	buffer_close(setup->dev, &gone);
	assert_int_equal(
		dma_space_set_fault_handler(dma_dev_space(setup->dev), reset_in_handler, &scene),
		0);
	pthread_mutex_lock(&scene.lock);
	assert_int_equal(fill(&scene, 1, gone.addr), 0);
	while (!scene.ended)
		pthread_cond_wait(&scene.done, &scene.lock);
	pthread_mutex_unlock(&scene.lock);
	assert_int_equal(scene.reset, -EIO);
	assert_int_equal(scene.submit, -EIO);
	assert_int_equal(scene.pending, 1);
	assert_int_equal(ts_copy_poll(setup->copy, &result, 1), -EIO);
	assert_int_equal(ts_copy_wait(setup->copy, &result, -1), -EIO);

	assert_int_equal(ts_copy_reset(setup->copy), 0);
	result = next_result(setup);
	assert_int_equal(result.cookie, 1);
	assert_int_equal(result.status, -ECANCELED);
	assert_int_equal(fill(&scene, 2, scene.dst.addr), 0);
	assert_int_equal(next_result(setup).status, 0);
	assert_int_equal(scene.dst.mem[0], 2);
	assert_int_equal(dma_space_set_fault_handler(dma_dev_space(setup->dev), NULL, NULL), 0);
	buffer_close(setup->dev, &scene.dst);
	setup_close(setup);
}

static void wait_in_handler(const struct dma_fault *fault, void *arg)
{
	struct scene *scene = arg;

	(void)fault;
	pthread_mutex_lock(&scene->lock);
	scene->ended = true;
	pthread_cond_broadcast(&scene->done);
	while (!scene->go_on)
		pthread_cond_wait(&scene->done, &scene->lock);
	pthread_mutex_unlock(&scene->lock);
}

/*
 * Where nothing cuts an engine's access, the rings of one that does not stop stay its
 * own, and so do the buffers that stand for them: others must not be given them.
 */
static void engine_that_goes_on(void **state)
{
	/* Not freed, and not lost either. */
	static struct scene scene = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER,
	};
	struct dma_bounce_stats before, after;
	struct setup *setup = &scene.setup;
	void *gone = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(gone, MAP_FAILED);
	setup_open(setup, "direct:copy,bounce=force", 4);
	assert_int_equal(
		dma_space_set_fault_handler(dma_dev_space(setup->dev), wait_in_handler, &scene), 0);
	pthread_mutex_lock(&scene.lock);
	assert_int_equal(fill(&scene, 1, (uintptr_t)gone), 0);
	while (!scene.ended)
		pthread_cond_wait(&scene.done, &scene.lock);
	pthread_mutex_unlock(&scene.lock);
	dma_bounce_stats(NULL, &before);
	assert_true(before.used > 0);
	ts_copy_close(setup->copy);
	dma_bounce_stats(NULL, &after);
	assert_int_equal(after.used, before.used);
	pthread_mutex_lock(&scene.lock);
	scene.go_on = true;
	pthread_cond_broadcast(&scene.done);
	pthread_mutex_unlock(&scene.lock);
	dma_dev_close(setup->dev);
	munmap(gone, PAGE);
}

static int in_child(struct scene *scene)
{
	struct ts_copy_result result;
	struct ts_copy *other;

	if (fill(scene, 1, scene->dst.addr) != -EPERM)
		return 1;
	if (ts_copy_pending(scene->setup.copy) != scene->pending)
		return 2;
	if (ts_copy_poll(scene->setup.copy, &result, 1) != (scene->pending ? -EPERM : 0))
		return 3;
	if (ts_copy_wait(scene->setup.copy, &result, -1) != (scene->pending ? -EPERM : -ENOENT))
		return 4;
	if (ts_copy_open(scene->setup.dev, 4, &other) != -EPERM)
		return 5;
	if (ts_copy_reset(scene->setup.copy) != -EPERM)
		return 6;
	ts_copy_close(scene->setup.copy);
	dma_dev_close(scene->setup.dev);
	return 0;
}

/* The engine is the parent's: the child can do nothing with it but forget it. */
static void forked_child(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		struct scene scene = {0};
		pid_t child;
		int status;

		setup_open(&scene.setup, engines[engine], 4);
		buffer_open(scene.setup.dev, &scene.dst, PAGE, DMA_FROM_DEVICE);
		/* Only an engine that nobody steps has surely not done it yet. */
		scene.pending = is_stepped(engines[engine]);
		for (size_t i = 0; i < scene.pending; i++)
			assert_int_equal(fill(&scene, 8, scene.dst.addr), 0);
		child = fork();
		if (!child)
			_exit(in_child(&scene));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_int_equal(fill(&scene, 9, scene.dst.addr), 0);
		for (size_t i = 0; i < scene.pending + 1; i++)
			assert_int_equal(next_result(&scene.setup).status, 0);
		buffer_to_cpu(scene.setup.dev, &scene.dst);
		assert_int_equal(scene.dst.mem[0], 9);
		buffer_close(scene.setup.dev, &scene.dst);
		setup_close(&scene.setup);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engine_that_does_not_stop), cmocka_unit_test(forked_child),
		cmocka_unit_test(engine_that_goes_on), /* last: it leaves buffers lent */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
