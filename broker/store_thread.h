/*
 * store_thread.h - the one thread that commits, for all workers.
 *
 * It owns the use of a store from store_thread_create() to store_thread_destroy();
 * the store itself stays its creator's.  What waits is committed together in one
 * transaction, so that one write to disk serves all shards.
 *
 * Ownership: a submitted batch is the thread's until it is given to the sink, which
 * passes it back to its shard.  Batches of one submitter come back in its order.
 * Failure: a commit that fails is the batch's answer: committed false, and why.
 * Thread: store_thread_submit() and store_thread_counters() from any; create and
 * destroy from the one that owns the store.
 */
#ifndef BROKER_STORE_THREAD_H
#define BROKER_STORE_THREAD_H

#include "storage/store.h"

struct store_thread;

/* Who gets the answers.  done() is called on the storage thread and must not block. */
struct store_thread_sink {
	void *self;
	void (*done)(void *self, struct store_batch *batch);
};

/* Since the start. */
struct store_thread_counters {
	uint64_t commits;   /* transactions that succeeded */
	uint64_t batches;   /* batches answered */
	uint64_t failed;    /* of those, not committed */
	uint64_t commit_us; /* that the transactions took, together */
};

/* Borrows the store and copies the sink.  NULL when no thread can be had. */
struct store_thread *store_thread_create(struct store *store, const struct store_thread_sink *sink,
					 struct failure *failure);

/* Takes a batch.  Never waits for the disk. */
void store_thread_submit(struct store_thread *thread, struct store_batch *batch);

struct store_thread_counters store_thread_counters(const struct store_thread *thread);

/* Commits and answers all that was submitted, then ends the thread and frees. */
void store_thread_destroy(struct store_thread *thread);

#endif
