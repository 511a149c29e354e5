/*
 * mailbox.h - where other threads put things for a worker: many writers, one
 * reader, one queue in order of arrival.
 *
 * Posting never blocks (but for the lock, held for a copy of a few pointers) and
 * never drops.  The reader is woken by an eventfd, and only when it said that it
 * goes to sleep: a busy worker looks here once a turn anyway.
 *
 * Two arrays of parcels change places between writers and reader, so that a steady
 * state allocates nothing; after a flood they shrink again.
 *
 * Ownership: a parcel's content belongs to the mailbox from posting to taking.
 * Failure: mailbox_init() only; without memory the process ends.
 * Thread: mailbox_post(), _weight() and _filled() from any; the rest is the reader's.
 */
#ifndef BROKER_MAILBOX_H
#define BROKER_MAILBOX_H

#include "proto/base.h"
#include <pthread.h>
#include <stdatomic.h>

struct mail;
struct store_batch;
struct moved_link;
struct command;
struct login;
struct own_request;

enum parcel_type {
	PARCEL_MAIL,	/* of another shard */
	PARCEL_STORED,	/* a batch with its answer */
	PARCEL_LINK,	/* a link that found its home here */
	PARCEL_COMMAND, /* of the household */
	PARCEL_LOGIN,	/* a login with its answer */
	PARCEL_ANSWER,	/* a request with its answer */
};

struct parcel {
	enum parcel_type type;
	union {
		struct mail *mail;
		struct store_batch *batch;
		struct moved_link *link;
		struct command *command;
		struct login *login;
		struct own_request *request;
	};
};

/* A growing list of parcels. */
struct parcels {
	struct parcel *at;
	size_t count;
	size_t room;
};

void parcels_add(struct parcels *list, struct parcel parcel);

/* Empties the list; keeps its memory unless it is far more than was needed. */
void parcels_clear(struct parcels *list);

void parcels_finish(struct parcels *list);

struct mailbox {
	pthread_mutex_t lock;
	struct parcels waiting;	 /* under lock */
	bool asleep;		 /* under lock: the reader needs a wake-up */
	_Atomic bool filled;	 /* something waits */
	_Atomic uint64_t rings;	 /* of the bell, announced and not yet silenced */
	_Atomic uint64_t weight; /* bytes of what waits */
	int bell;		 /* eventfd */
	struct parcels taken;	 /* the reader's */
};

bool mailbox_init(struct mailbox *mailbox, struct failure *failure);

/* What still waits must have been taken and dealt with. */
void mailbox_finish(struct mailbox *mailbox);

/* Puts parcels behind all others, in their order; `weight` is their mail's together. */
void mailbox_post(struct mailbox *mailbox, const struct parcel *parcels, size_t count,
		  uint64_t weight);

/* Bytes of mail waiting here (mail_weight). */
uint64_t mailbox_weight(const struct mailbox *mailbox);

/* Does something wait?  Cheap, to be asked often. */
bool mailbox_filled(const struct mailbox *mailbox);

/* The reader is about to wait for the bell.  False when there is something to take first. */
bool mailbox_sleep(struct mailbox *mailbox);

/*
 * Everything that waits; valid until the next call.  The reader is awake from now
 * on: no bell is rung until mailbox_sleep().
 */
const struct parcel *mailbox_take(struct mailbox *mailbox, size_t *count);

#endif
