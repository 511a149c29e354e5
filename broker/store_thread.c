/* store_thread.c - see store_thread.h. */
#include "broker/store_thread.h"
#include "broker/core/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* One group.  More would only make each batch wait longer for its answer. */
#define GROUP_MAX 1024

struct store_thread {
	struct store *store;
	struct store_thread_sink sink;
	pthread_t thread;

	pthread_mutex_t mutex; /* guards the four below */
	pthread_cond_t filled;
	struct store_batch *first;
	struct store_batch **last; /* where the next one is hung */
	bool ending;

	atomic_uint_fast64_t commits;
	atomic_uint_fast64_t batches;
	atomic_uint_fast64_t failed;
	atomic_uint_fast64_t commit_us;

	struct store_batch *group[GROUP_MAX]; /* the storage thread's own */
	uint64_t last_commit_us;
};

/*
 * The answers of one commit bring the batches of the next: those that come a little
 * later than the first should not wait for a whole commit more.  So there is a pause,
 * small beside the commit, before a group is taken.
 */
#define GATHER_PART   4u
#define GATHER_MIN_US 60u
#define GATHER_MAX_US 2500u

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void gather(const struct store_thread *thread)
{
	uint64_t us = thread->last_commit_us / GATHER_PART;

	us = us < GATHER_MIN_US ? GATHER_MIN_US : us > GATHER_MAX_US ? GATHER_MAX_US : us;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void wait_for_batch(struct store_thread *thread)
{
	pthread_mutex_lock(&thread->mutex);
	while (thread->first == NULL && !thread->ending)
		pthread_cond_wait(&thread->filled, &thread->mutex);
	pthread_mutex_unlock(&thread->mutex);
}

/* Waits for batches and takes up to GROUP_MAX; 0 when all is done and the end has come. */
static size_t take_group(struct store_thread *thread)
{
	size_t count = 0;

	wait_for_batch(thread);
	gather(thread);
	pthread_mutex_lock(&thread->mutex);
	while (thread->first != NULL && count < GROUP_MAX) {
		struct store_batch *batch = thread->first;

		thread->first = batch->next;
		batch->next = NULL;
		thread->group[count++] = batch;
	}
	if (thread->first == NULL)
		thread->last = &thread->first;
	pthread_mutex_unlock(&thread->mutex);
	return count;
}

static bool commit(struct store_thread *thread, struct store_batch *const *batches, size_t count,
		   struct failure *failure)
{
	CRASH_AT(commit_begun);
	uint64_t begin_us = now_us();

	if (!store_commit(thread->store, batches, count, failure))
		return false;
	thread->last_commit_us = now_us() - begin_us;
	atomic_fetch_add_explicit(&thread->commit_us, thread->last_commit_us, memory_order_relaxed);
	CRASH_AT(commit_done);
	atomic_fetch_add_explicit(&thread->commits, 1, memory_order_relaxed);
	return true;
}

/* The batch belongs to its shard again, which may free it, once done() was called. */
static void answer(struct store_thread *thread, struct store_batch *batch, bool committed)
{
	batch->committed = committed;
	atomic_fetch_add_explicit(&thread->batches, 1, memory_order_relaxed);
	if (!committed)
		atomic_fetch_add_explicit(&thread->failed, 1, memory_order_relaxed);
	thread->sink.done(thread->sink.self, batch);
}

/*
 * A group that fails is tried again one by one, so that one batch cannot spoil the
 * others.  That is right on a full disk too: a small batch may still fit, and a
 * commit that does not fit fails before anything is synced, which is cheap.
 */
static void commit_group(struct store_thread *thread, size_t count)
{
	struct store_batch **group = thread->group;
	bool together = count > 1 && commit(thread, group, count, &group[0]->failure);

	for (size_t i = 0; i < count; i++)
		answer(thread, group[i],
		       together || commit(thread, &group[i], 1, &group[i]->failure));
}

static void *run(void *self)
{
	struct store_thread *thread = self;
	size_t count;

	pthread_setname_np(pthread_self(), "storage");
	while ((count = take_group(thread)) > 0)
		commit_group(thread, count);
	return NULL;
}

/* Signals are the main thread's business: this one is started with all of them blocked. */
static int start(struct store_thread *thread)
{
	sigset_t all;
	sigset_t before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread->thread, NULL, run, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static void thread_free(struct store_thread *thread)
{
	pthread_cond_destroy(&thread->filled);
	pthread_mutex_destroy(&thread->mutex);
	free(thread);
}

struct store_thread *store_thread_create(struct store *store, const struct store_thread_sink *sink,
					 struct failure *failure)
{
	struct store_thread *thread = calloc(1, sizeof(*thread));
	int error;

	must(thread != NULL);
	thread->store = store;
	thread->sink = *sink;
	thread->last = &thread->first;
	must(pthread_mutex_init(&thread->mutex, NULL) == 0);
	must(pthread_cond_init(&thread->filled, NULL) == 0);
	error = start(thread);
	if (error != 0) {
		thread_free(thread);
		failure_set(failure, "the storage thread cannot be started: %s", strerror(error));
		return NULL;
	}
	return thread;
}

void store_thread_submit(struct store_thread *thread, struct store_batch *batch)
{
	bool was_empty;

	batch->next = NULL;
	pthread_mutex_lock(&thread->mutex);
	must(!thread->ending);
	was_empty = thread->first == NULL;
	*thread->last = batch;
	thread->last = &batch->next;
	pthread_mutex_unlock(&thread->mutex);
	if (was_empty)
		pthread_cond_signal(&thread->filled);
}

struct store_thread_counters store_thread_counters(const struct store_thread *thread)
{
	return (struct store_thread_counters){
	    .commits = atomic_load_explicit(&thread->commits, memory_order_relaxed),
	    .batches = atomic_load_explicit(&thread->batches, memory_order_relaxed),
	    .failed = atomic_load_explicit(&thread->failed, memory_order_relaxed),
	    .commit_us = atomic_load_explicit(&thread->commit_us, memory_order_relaxed),
	};
}

void store_thread_destroy(struct store_thread *thread)
{
	pthread_mutex_lock(&thread->mutex);
	thread->ending = true;
	pthread_mutex_unlock(&thread->mutex);
	pthread_cond_signal(&thread->filled);
	must(pthread_join(thread->thread, NULL) == 0);
	thread_free(thread);
}
