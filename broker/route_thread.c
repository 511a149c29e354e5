/* route_thread.c - see route_thread.h: takes, seals, writes, deletes. */
#include "broker/route_thread_internal.h"

#include "broker/log.h"
#include "storage/route/route_file.h"
#include "storage/route/route_record.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* Blocks of one transaction. */
#define GROUP_MAX 256u

#define GATHER_MS 1000u
#define TELL_S	  60u

/* ---- what waits ---- */

static void discard(struct route_block *block)
{
	explicit_bzero(block, sizeof(*block));
	free(block);
}

void route_thread_submit(struct route_thread *thread, struct route_block *block)
{
	pthread_mutex_lock(&thread->mutex);
	bool takes = thread->waiting < ROUTE_WAITING_MAX;

	if (takes) {
		block->next = NULL;
		*thread->last = block;
		thread->last = &block->next;
		thread->waiting++;
		thread->submitted++;
		pthread_cond_signal(&thread->wanted);
	} else {
		thread->counters.rows_dropped += block->row_count;
	}
	pthread_mutex_unlock(&thread->mutex);
	if (!takes)
		discard(block);
}

static struct timespec in_ms(uint32_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

/* Under the mutex.  Blocks wait a moment for others, unless somebody waits for them. */
static void wait_for_work(struct route_thread *thread)
{
	while (!thread->ending && !thread->sweep && thread->waiting == 0)
		pthread_cond_wait(&thread->wanted, &thread->mutex);
	struct timespec until = in_ms(GATHER_MS);
	int error = 0;

	while (!thread->ending && !thread->sweep && !thread->hurry && error == 0 &&
	       thread->waiting < GROUP_MAX)
		error = pthread_cond_timedwait(&thread->wanted, &thread->mutex, &until);
}

/* Under the mutex: up to GROUP_MAX. */
static size_t take_group(struct route_thread *thread)
{
	size_t count = 0;

	while (thread->first && count < GROUP_MAX) {
		struct route_block *block = thread->first;

		thread->first = block->next;
		thread->group[count++] = block;
	}
	if (!thread->first)
		thread->last = &thread->first;
	thread->waiting -= count;
	return count;
}

/* ---- writing ---- */

/* Seals those whose epoch has its key; *rows_lost: those of the others. */
static size_t seal_group(struct route_thread *thread, size_t count, uint64_t *rows_lost)
{
	size_t sealed = 0;

	for (size_t i = 0; i < count; i++) {
		struct route_block *block = thread->group[i];
		struct route_entry *entry = &thread->entries[sealed];
		uint8_t key[SEAL_KEY_LEN];

		if (hour_keys_find(thread->keys, block->epoch, key)) {
			seal_random(&entry->row, sizeof(entry->row));
			entry->epoch = block->epoch;
			entry->rows = block->row_count;
			entry->damaged = false;
			entry->len = (uint32_t)route_record_seal(block, entry->row, key,
								 thread->records[sealed]);
			explicit_bzero(key, sizeof(key));
			sealed++;
		} else {
			*rows_lost += block->row_count;
		}
		discard(block);
	}
	return sealed;
}

/* Says so once a minute. */
static void tell_failure(struct route_thread *thread, const struct failure *failure)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (thread->told && now.tv_sec < thread->told_s + (time_t)TELL_S)
		return;
	thread->told = true;
	thread->told_s = now.tv_sec;
	log_write(LOG_LEVEL_ERROR, "route", "route rows are not kept: %s", failure->text);
}

static bool change_file(struct route_thread *thread, const struct route_change *change)
{
	struct failure failure;

	if (route_file_change(thread->vault, change, &failure))
		return true;
	tell_failure(thread, &failure);
	return false;
}

/*
 * What goes may be all that there is: others commit between groups of that, too.  Where one fails
 * those before it are gone already, and to delete them once more does no harm.
 */
static bool write_group(struct route_thread *thread, size_t sealed, const struct route_rows *gone)
{
	struct route_put puts[GROUP_MAX];
	struct route_change change = {.deletes = gone->at, .delete_count = gone->count};

	for (; change.delete_count > GROUP_MAX; change.delete_count -= GROUP_MAX) {
		const struct route_change part = {.deletes = change.deletes,
						  .delete_count = GROUP_MAX};

		if (!change_file(thread, &part))
			return false;
		change.deletes += GROUP_MAX;
	}
	for (size_t i = 0; i < sealed; i++)
		puts[i] = (struct route_put){thread->entries[i].row,
					     slice_of(thread->records[i], thread->entries[i].len)};
	change.puts = puts;
	change.put_count = sealed;
	return (sealed == 0 && change.delete_count == 0) || change_file(thread, &change);
}

/* More came at once than there may be. */
static void trim(struct route_thread *thread)
{
	struct route_rows gone = {0};

	pthread_mutex_lock(&thread->mutex);
	if (thread->shelf.bytes > thread->max_bytes)
		route_shelf_choose(&thread->shelf, thread->keys, thread->max_bytes, 0, &gone);
	pthread_mutex_unlock(&thread->mutex);
	if (gone.count > 0 && write_group(thread, 0, &gone)) {
		pthread_mutex_lock(&thread->mutex);
		route_shelf_remove(&thread->shelf, &gone);
		pthread_mutex_unlock(&thread->mutex);
	}
	free(gone.at);
}

/* One round: what waits is written, what is over or too much is deleted. */
static void work(struct route_thread *thread, size_t count)
{
	uint64_t rows = 0, lost = 0, bytes = 0;
	struct route_rows gone = {0};
	size_t sealed = seal_group(thread, count, &lost);

	for (size_t i = 0; i < sealed; i++) {
		rows += thread->entries[i].rows;
		bytes += thread->entries[i].len;
	}
	pthread_mutex_lock(&thread->mutex);
	route_shelf_choose(&thread->shelf, thread->keys, thread->max_bytes, bytes, &gone);
	pthread_mutex_unlock(&thread->mutex);
	bool written = write_group(thread, sealed, &gone);

	pthread_mutex_lock(&thread->mutex);
	if (written) {
		route_shelf_remove(&thread->shelf, &gone);
		for (size_t i = 0; i < sealed; i++)
			route_shelf_add(&thread->shelf, &thread->entries[i]);
		thread->counters.rows += rows;
	} else {
		lost += rows;
	}
	thread->counters.rows_dropped += lost;
	pthread_mutex_unlock(&thread->mutex);
	trim(thread);
	pthread_mutex_lock(&thread->mutex);
	thread->done += count;
	pthread_cond_broadcast(&thread->settled);
	pthread_mutex_unlock(&thread->mutex);
	free(gone.at);
}

static void *run(void *self)
{
	struct route_thread *thread = self;

	for (;;) {
		pthread_mutex_lock(&thread->mutex);
		wait_for_work(thread);
		bool ending = thread->ending;
		size_t count = ending ? 0 : take_group(thread);

		thread->sweep = false;
		thread->hurry = thread->hurry && thread->waiting > 0;
		pthread_mutex_unlock(&thread->mutex);
		if (ending)
			return NULL;
		work(thread, count);
	}
}

/* ---- life ---- */

static void init_waits(struct route_thread *thread)
{
	pthread_condattr_t monotonic;

	must(pthread_mutex_init(&thread->mutex, NULL) == 0);
	must(pthread_condattr_init(&monotonic) == 0);
	must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&thread->wanted, &monotonic) == 0);
	must(pthread_cond_init(&thread->settled, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
}

static void thread_free(struct route_thread *thread)
{
	while (thread->first) {
		struct route_block *block = thread->first;

		thread->first = block->next;
		discard(block);
	}
	route_shelf_finish(&thread->shelf);
	pthread_cond_destroy(&thread->settled);
	pthread_cond_destroy(&thread->wanted);
	pthread_mutex_destroy(&thread->mutex);
	free(thread->entries);
	free(thread->records);
	free(thread->group);
	free(thread);
}

/* Signals are the main thread's business. */
static int start(struct route_thread *thread)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&thread->thread, NULL, run, thread);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct route_thread *route_thread_create(struct vault *vault, struct hour_keys *keys,
					 uint64_t max_bytes, struct failure *failure)
{
	struct route_thread *thread = calloc(1, sizeof(*thread));

	must(thread);
	thread->vault = vault;
	thread->keys = keys;
	thread->max_bytes = max_bytes;
	thread->last = &thread->first;
	thread->group = calloc(GROUP_MAX, sizeof(*thread->group));
	thread->entries = calloc(GROUP_MAX, sizeof(*thread->entries));
	thread->records = calloc(GROUP_MAX, sizeof(*thread->records));
	must(thread->group && thread->entries && thread->records);
	init_waits(thread);
	int error = start(thread);

	if (error == 0) {
		pthread_setname_np(thread->thread, "route");
		return thread;
	}
	failure_set(failure, "cannot start the thread of route rows: %s", strerror(error));
	thread_free(thread);
	return NULL;
}

void route_thread_destroy(struct route_thread *thread)
{
	if (!thread)
		return;
	pthread_mutex_lock(&thread->mutex);
	thread->ending = true;
	pthread_cond_signal(&thread->wanted);
	pthread_mutex_unlock(&thread->mutex);
	must(pthread_join(thread->thread, NULL) == 0);
	thread_free(thread);
}

/* ---- from other threads ---- */

static void ask_for_sweep(struct route_thread *thread)
{
	thread->sweep = true;
	pthread_cond_signal(&thread->wanted);
}

void route_thread_set_max_bytes(struct route_thread *thread, uint64_t max_bytes)
{
	pthread_mutex_lock(&thread->mutex);
	thread->max_bytes = max_bytes;
	ask_for_sweep(thread);
	pthread_mutex_unlock(&thread->mutex);
}

void route_thread_sweep(struct route_thread *thread)
{
	pthread_mutex_lock(&thread->mutex);
	ask_for_sweep(thread);
	pthread_mutex_unlock(&thread->mutex);
}

struct route_counters route_thread_counters(struct route_thread *thread)
{
	pthread_mutex_lock(&thread->mutex);
	struct route_counters counters = thread->counters;

	counters.blocks = thread->shelf.count;
	counters.bytes = thread->shelf.bytes;
	counters.rows_kept = thread->shelf.rows;
	pthread_mutex_unlock(&thread->mutex);
	return counters;
}

bool route_thread_settle(struct route_thread *thread, uint32_t timeout_ms)
{
	struct timespec until = in_ms(timeout_ms);
	int error = 0;

	pthread_mutex_lock(&thread->mutex);
	uint64_t wanted = thread->submitted;

	while (thread->done < wanted && error == 0) {
		thread->hurry = true;
		pthread_cond_signal(&thread->wanted);
		error = pthread_cond_timedwait(&thread->settled, &thread->mutex, &until);
	}
	bool settled = thread->done >= wanted;

	pthread_mutex_unlock(&thread->mutex);
	return settled;
}
