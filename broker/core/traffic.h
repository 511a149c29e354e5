/*
 * traffic.h - what messages make of a session: deliveries under way and in the queue,
 * acknowledgements that are held, exchanges as a publisher.
 *
 * Most sessions of a large broker are quiet: they send QoS 0, or nothing for minutes.
 * All this is more than the rest of a session and its connection together, so a session
 * has it only while it has something to say.  Reading asks traffic_of(), which for a
 * quiet session is one constant for all; the compiler sees who wants to write, and that
 * is traffic_for().
 *
 * Ownership: the session's; charged to the shard's purse.  Thread: the shard's.
 */
#ifndef BROKER_CORE_TRAFFIC_H
#define BROKER_CORE_TRAFFIC_H

#include "broker/core/arrival.h"
#include "broker/core/held.h"
#include "broker/core/idset.h"
#include "broker/core/inflight.h"
#include "broker/core/queue.h"
#include "broker/core/recall.h"

/* Deliveries wait in the queue while the socket has this much of them to take. */
#define UNSENT_HIGH (256u * 1024)

/* Retained messages of QoS 0 wait with this much. */
#define UNSENT_LOW (UNSENT_HIGH / 2)

struct traffic {
	struct inflight inflight;
	struct queue queue;
	struct queue after_records;	  /* QoS 0 that is not to overtake QoS 2: no window holds
					     it back */
	struct held held;		  /* acknowledgements for what it published */
	struct arrivals arrivals;	  /* PUBLISHes that wait for their record */
	struct recalls recalls;		  /* exchanges as a publisher that were open at a crash */
	struct shared_subscription *left; /* memberships of before, that deliveries came by */
	struct idset *inbound;	 /* QoS 2 received, not released; NULL when there never was one */
	struct idset *releasing; /* released, the record of that is on its way; likewise */
	uint32_t gated;		 /* deliveries that hold gates */
	uint32_t gated_at;	 /* its place in shard->gates.sessions */
	uint32_t behind_left;	 /* deliveries to catch up with */
	uint32_t behind_order;	 /* those before this one */
	uint32_t lost;		 /* deliveries that a crash took, until the client is told */
	uint32_t queue_told;	 /* what the store says that waits in RAM only */
	uint32_t left_count;
	uint32_t open_inbound; /* exchanges as a publisher that are recorded: STEP_COST each */
	size_t unsent;	    /* bytes in the outbox of what may wait in the queue: outbox_left() */
	bool behind;	    /* gate.h */
	bool queue_changed; /* listed in shard->steps.changed */
};

/* That of a quiet session. */
extern const struct traffic traffic_none;

/* To write: made if need be. */
struct traffic *traffic_for(struct shard *shard, struct session *session);

/* Gives it back if there is nothing in it: the session may be quiet for long. */
void traffic_rest(struct shard *shard, struct session *session);

/* The session ends: gives back whatever is in it. */
void traffic_finish(struct shard *shard, struct session *session);

#endif
