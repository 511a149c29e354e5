/*
 * delivery_log.h - one row for each delivery (storage/route/block.h): when, from whom, to whom,
 * with which QoS, what became of it.  Rows come together in a block, which goes out as
 * EFFECT_ROUTES when it is full, when its epoch is over, when it is DELIVERY_LOG_MS or an epoch
 * old, or when EVENT_ROUTES asks for it.
 *
 * A delivery begins when a publication meets a session (deliver_to_session()), and has its one
 * row when it is over: the message is sent with QoS 0 or had by the client, or it is dropped.  What
 * waits in a queue or for an acknowledgement has none yet; what goes back to its shared
 * subscription is still under way.  A QoS 2 delivery is over when PUBREC comes: from then on the
 * client has the message, and its publisher is not remembered any longer.  A message that is
 * dropped before it is known who would have got it has a row without destination.
 *
 * Names: a session has its pseudonym of the epoch, asked for once an epoch from `struct pseudonyms`
 * of the shell; a message carries that of its publisher.  Whoever has none is in no row.
 *
 * Cost: some nanoseconds a row; one block of memory for each shard, which the purse is charged.
 * Without pseudonyms there are no rows.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_DELIVERY_LOG_H
#define BROKER_CORE_DELIVERY_LOG_H

#include "broker/core/message.h"
#include "broker/core/shard.h"
#include "broker/core/slab.h"
#include "broker/core/timer.h"
#include "storage/route/block.h"

struct session;

/* A restart loses what is in memory anyway, so nothing is gained by writing small blocks. */
#define DELIVERY_LOG_MS 60000u

/* Twice the names of a block: a power of two. */
#define DELIVERY_LOG_SLOTS (2 * ROUTE_NAMES_MAX)

struct delivery_log {
	struct pseudonyms *pseudonyms; /* NULL: no rows */
	struct route_block *block;     /* NULL: no row since the last one went */
	uint32_t serial;	       /* of the block; never 0 */
	uint32_t epoch;		       /* it is this one, of so many seconds */
	uint32_t epoch_s;
	uint64_t last_ms;	    /* of the last row */
	struct publisher publisher; /* the last one that was asked for; session 0: none */
	struct route_name last_source_name;
	uint8_t last_head;	   /* of the last row, without its flags */
	uint16_t last_source;	   /* its place in the block, 0: nobody */
	uint16_t last_destination; /* likewise */
	uint16_t step;		   /* of the run: its destinations are so far apart, 0 or 1 */
	uint32_t run; /* so many rows after the last one that was written are like it */
	uint16_t slots[DELIVERY_LOG_SLOTS]; /* places of names, by their first bytes; 0: free */
	struct slab names;		    /* of struct session_name */
	struct timer timer;
};

/* What a session is called; it has one from the first time that it is asked for. */
struct session_name {
	uint32_t epoch; /* that `name` is of; the slab's while the slot is free */
	uint32_t block; /* serial of the block in which it has `place` */
	uint16_t place;
	bool recorded; /* false: is to be in no row */
	struct route_name name;
	uint64_t client; /* as in struct publisher */
};

void delivery_log_init(struct delivery_log *log, struct pseudonyms *pseudonyms);
void delivery_log_finish(struct delivery_log *log);

/* At the begin of each event: the epoch may be another one. */
void delivery_log_clock(struct shard *shard);

/* Gives the block out, if there is one. */
void delivery_log_flush(struct shard *shard);

/* Who publishes: the session, or the broker itself. */
struct publisher delivery_log_publisher(struct shard *shard, struct session *session);

/* The session ends, or its client is somebody else now. */
void delivery_log_forget(struct shard *shard, struct session *session);

/* A delivery is over.  `to` may be NULL: it is not known who would have got it. */
void delivery_row(struct shard *shard, struct session *to, const struct publisher *from,
		  uint8_t qos, enum route_outcome outcome);

/* Likewise, and it counts as dropped for that reason (happened.def). */
void delivery_dropped(struct shard *shard, struct session *to, const struct publisher *from,
		      uint8_t qos, enum route_outcome outcome);

#endif
