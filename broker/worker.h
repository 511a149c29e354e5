/*
 * worker.h - a thread with its shard, its epoll and its mailbox: the shell that
 * turns sockets, mail and time into the shard's events and its effects into deeds.
 *
 * One turn: wait; ready links, the mailbox and timers become events; mail for others
 * is posted, one lock and at most one wake-up for each of them; the other effects are
 * carried out.  Answers (MAIL_ANSWERS) are posted last, after all other mail to
 * everybody: mail.h says why.
 *
 * Cause before effect: mail leaves before any byte of the turn is written, and the
 * mailbox is emptied between reading bytes and handling them.  So what a client does
 * because it saw an acknowledgement meets, on every worker, what the acknowledged
 * packet did.
 *
 * Too much mail waiting for a worker (WORKER_MAIL_MAX) makes the others stop
 * reading the links that make more of it, until it falls, for 1 s at most.
 *
 * Before the start the main thread plays the worker's part: worker_restore() and
 * worker_settle().  What is to be stored meanwhile is kept until there is a storage
 * thread.
 *
 * Ownership: the worker owns its shard, loop and mailbox.
 * Failure: worker_init() and worker_start().
 * Thread: init, add_listener, restore, settle, start, finish: the main thread.
 * worker_tell(), worker_post_stored(), worker_post_login(), worker_post_answer() and the
 * readings: any.
 */
#ifndef BROKER_WORKER_H
#define BROKER_WORKER_H

#include "broker/calm.h"
#include "broker/command.h"
#include "broker/mailbox.h"
#include "broker/net/loop.h"
#include "broker/core/shard.h"

#define WORKER_MAIL_MAX (UINT64_C(8) << 20)
#define WORKER_STOP_MS	10000u

struct jobs;
struct listener;
struct login;
struct route_thread;
struct store_thread;
struct desk;
struct own_request;

/* What is to be posted to one worker at the end of the turn. */
struct tray {
	struct parcels first;  /* MAIL_RETAIN: mail.h says why */
	uint64_t first_weight; /* of its mail */
	struct parcels parcels;
	uint64_t weight;
	struct parcels answers;
};

struct worker {
	struct shard *shard;
	struct loop loop;
	struct mailbox mailbox;
	party_id party;
	struct worker *all; /* every worker, by party */
	uint16_t count;
	struct store_thread *store;  /* NULL before the start, and when nothing is durable */
	struct jobs *jobs;	     /* NULL for none */
	struct desk *desk;	     /* NULL: nobody answers requests */
	struct route_thread *routes; /* NULL before the start, or when nothing is recorded */
	struct census *asked;	 /* of COMMAND_ROUTES, until the end of the turn; NULL for none */
	struct parcels early;	 /* batches from before the start */
	struct parcels arriving; /* links that come in at the end of the next turn */
	struct tray *trays;	 /* by party */
	bool *pressed;		 /* by party: WORKER_MAIL_MAX waits there */
	struct calm calm;
	uint32_t late_turns; /* in a row, in which timers were due and links came first */
	bool stopping;
	uint64_t stop_until_ms;
	int end_bell; /* eventfd of the household: rung when the thread ends */
	pthread_t thread;
	bool started;
	_Atomic uint64_t busy_since_ms; /* of this turn; 0: waits */
	_Atomic bool behind;		/* with what others have sent it: shard_is_behind() */
	_Atomic bool ended;
};

/* Makes the worker of setup->party; `all` has room for setup->parties of them. */
bool worker_init(struct worker *all, const struct shard_setup *setup, struct failure *failure);

/* Before the start: accept connections on the listener's sockets of this worker. */
void worker_add_listener(struct worker *worker, struct listener *listener);

/* Before the start: a row of the store, for the shard (EVENT_RESTORE_*). */
void worker_restore(struct worker *worker, const struct event *event);

/* Before the start: handles what other shards sent; true when there was something to do. */
bool worker_settle(struct worker *worker);

/* What is needed to run; borrowed until the worker has ended. */
struct worker_needs {
	struct store_thread *store;  /* NULL when nothing is durable */
	struct jobs *jobs;	     /* whose destructions go before us; NULL for none */
	struct desk *desk;	     /* NULL for none */
	struct route_thread *routes; /* NULL when deliveries are not recorded */
	int end_bell;		     /* an eventfd: rung when the worker's thread ends */
};

/* All workers are made, restored and settled. */
bool worker_start(struct worker *worker, const struct worker_needs *needs, struct failure *failure);

/* Takes the command. */
void worker_tell(struct worker *worker, struct command *command);

/* Takes a batch that the storage thread answered. */
void worker_post_stored(struct worker *worker, struct store_batch *batch);

/* Takes a login that has its answer. */
void worker_post_login(struct worker *worker, struct login *login);

/* Takes the request, which the worker gave to the desk, with its answer. */
void worker_post_answer(struct worker *worker, struct own_request *request);

/* For how long its turn has gone on: more than some seconds means that it is stuck. */
uint64_t worker_busy_ms(const struct worker *worker, uint64_t now_ms);

/* True when the thread has nothing more to do after COMMAND_STOP. */
bool worker_ended(const struct worker *worker);

/* Waits for the thread. */
void worker_join(struct worker *worker);

/* Destroys what waits in the mailbox, closes what is open.  All workers are joined. */
void worker_finish(struct worker *worker);

#endif
