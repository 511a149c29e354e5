/*
 * route_thread.h - keeps what became of deliveries (broker/core/delivery_log.h): the one thread
 * that seals blocks of rows under their epoch's key and writes them, and who is asked for them.
 *
 * Nothing here makes a delivery wait.  At most ROUTE_WAITING_MAX blocks wait to be written; what
 * comes beyond, because the disk is slow, is dropped and counted.  Blocks are written together,
 * once a second at most.  Above `max_bytes` the oldest go.
 *
 * What is kept where is known in RAM alone: a row of the table has a random number, and a restart
 * forgets them all.
 *
 * Ownership: borrows the vault and the keys; a submitted block is the thread's.
 * Failure: what cannot be written is dropped, counted, and said in the log once a minute.
 * Thread: create and destroy the main thread; the rest any.
 */
#ifndef BROKER_ROUTE_THREAD_H
#define BROKER_ROUTE_THREAD_H

#include "storage/route/block.h"
#include "storage/route/hour_keys.h"
#include "storage/vault.h"

struct route_thread;

/* 8 MiB of them. */
#define ROUTE_WAITING_MAX 512u

/* Since the start, or now. */
struct route_counters {
	uint64_t rows;	       /* written */
	uint64_t rows_dropped; /* not written */
	uint64_t rows_damaged; /* written, and found to be unreadable */
	uint64_t blocks;       /* kept now */
	uint64_t bytes;	       /* of those */
	uint64_t rows_kept;    /* in those */
};

/* NULL when no thread can be had. */
struct route_thread *route_thread_create(struct vault *vault, struct hour_keys *keys,
					 uint64_t max_bytes, struct failure *failure);

/* What waits is dropped: its keys end with the process.  NULL is allowed. */
void route_thread_destroy(struct route_thread *thread);

/* Takes the block.  Never waits. */
void route_thread_submit(struct route_thread *thread, struct route_block *block);

void route_thread_set_max_bytes(struct route_thread *thread, uint64_t max_bytes);

/* Keys were destroyed: deletes the rows that nobody can read any more, soon. */
void route_thread_sweep(struct route_thread *thread);

struct route_counters route_thread_counters(struct route_thread *thread);

/* Waits until what was submitted before is written or dropped; false after `timeout_ms`. */
bool route_thread_settle(struct route_thread *thread, uint32_t timeout_ms);

/*
 * Gives each block that is kept and can be opened, epoch by epoch, the oldest first.  What is
 * deleted meanwhile, and what has no key any more, is passed over.  *damaged: rows of blocks that
 * do not open though their key is there, because something has changed the file; the log says so
 * once for each block.
 */
struct route_reader {
	void *self;
	void (*block)(void *self, const struct route_block *block);
};
bool route_thread_read(struct route_thread *thread, const struct route_reader *reader,
		       uint64_t *damaged, struct failure *failure);

#endif
