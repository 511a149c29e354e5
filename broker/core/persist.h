/*
 * persist.h - what the core asks of the store, and what waits for its answer.
 *
 * Changes are gathered in a struct changes and go out as one batch; a waiter is
 * told when it is committed or refused.  Deletions that were refused are tried
 * again, once a second, until they succeed: what a client was told is gone must
 * not come back after a restart.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_PERSIST_H
#define BROKER_CORE_PERSIST_H

#include "broker/core/index.h"
#include "broker/core/slab.h"
#include "broker/core/timer.h"
#include "storage/store.h"

struct shard;
struct session;
struct pending_answer;

struct changes {
	struct store_op *ops; /* slices borrow from sessions and packets until persist_send() */
	uint32_t count;
	uint32_t room;
};

/* Who is told: a connection that waits for CONNACK, an answer, or nobody (all zero). */
struct waiter {
	uint64_t serial; /* of the client; 0: no connection waits */
	uint32_t link;
	uint64_t session; /* number, of the session whose row is put; 0: none */
	struct pending_answer *answer;
};

struct persist {
	struct slab waiters;   /* of struct waiter; the ticket is its number */
	uint32_t under_way;    /* batches not answered */
	struct changes undone; /* deletions to try again */
	struct timer timer;
};

void persist_init(struct persist *persist);
void persist_finish(struct persist *persist);

/* Its owner and its tokens go with it. */
void changes_put_session(const struct shard *shard, struct changes *changes,
			 const struct session *session, bool connected, uint64_t since_s);
void changes_put_subscription(struct changes *changes, uint64_t row,
			      const struct store_subscription *subscription);
void changes_delete(struct changes *changes, enum store_op_type type, uint64_t row);

/* Sends the changes as one batch, if there are any, and empties them.  False: there were none. */
bool persist_send(struct shard *shard, struct changes *changes, struct waiter waiter);

/* Deletes a row soon, with nobody waiting; tried until it succeeds. */
void persist_delete(struct shard *shard, enum store_op_type type, uint64_t row);

/* EVENT_STORED; takes the batch. */
void persist_answered(struct shard *shard, struct store_batch *batch);

/* TIMER_PERSIST */
void persist_retry(struct shard *shard);

#endif
