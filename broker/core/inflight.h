/*
 * inflight.h - QoS 1 and 2 deliveries that were begun and are not complete: a ring
 * indexed by packet identifier, so that an acknowledgement costs one look.
 * MQTT 5.0 sections 4.3, 4.4, 2.2.1; outbound only.
 *
 * Identifiers are given in rising order, those in use are skipped: [MQTT-2.2.1-4]
 * [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT3-2.3.1-4].  What was sent does not expire any
 * more: [MQTT-4.3.3-7] [MQTT-4.3.3-13].
 * Having one is not the same as occupying a place in the client's window: a delivery
 * that waits for its publisher, or for the record of its end, has one and does not.
 *
 * A QoS 2 delivery of a session that outlives the broker is `recorded`: each of its
 * steps is in the store before the packet that depends on it (steps.h).
 *
 * Ownership: an entry owns its delivery until PUBREC came; the message of a
 * QoS 2 delivery is let go then, since it is not sent again. [MQTT-4.3.3-6]
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_INFLIGHT_H
#define BROKER_CORE_INFLIGHT_H

#include "proto/base.h"
#include "broker/core/queue.h"

#define INFLIGHT_MAX 65535u /* identifiers that there are */

enum inflight_state {
	INFLIGHT_FREE,
	INFLIGHT_PUBACK,  /* QoS 1, awaits PUBACK [MQTT-4.3.2-3] [MQTT3-4.3.2-1] */
	INFLIGHT_PUBREC,  /* QoS 2, awaits PUBREC [MQTT-4.3.3-3] [MQTT3-4.3.3-1] */
	INFLIGHT_PUBCOMP, /* QoS 2, PUBREL sent, awaits PUBCOMP; no message any more [MQTT-4.3.3-5]
			   */
	/* recorded ones only: */
	INFLIGHT_BEGUN,	   /* awaits its record, before PUBLISH */
	INFLIGHT_RECEIVED, /* PUBREC came; awaits the record of that, before PUBREL; no message */
	INFLIGHT_ENDED,	   /* over; the identifier awaits the record of that; no message */
	INFLIGHT_AWAITED,  /* sent before a restart; awaits its publisher; no message */
};

struct outbound {
	struct delivery delivery; /* message NULL in INFLIGHT_PUBCOMP */
	uint64_t envelope;	  /* of a recorded one; 0: nobody can send it again */
	uint64_t group;		  /* likewise, row of the shared subscription; 0 for none */
	uint32_t order;		  /* of sending again: rises with each delivery, or PUBREC */
	uint16_t id;		  /* packet identifier */
	uint8_t state;
	bool recorded : 1;
	bool sent : 1;	    /* ever: the next time it goes with DUP */
	bool counted : 1;   /* in the window of the connection that is there now */
	bool resend : 1;    /* to be sent on this connection, in its turn */
	bool uncertain : 1; /* whether the client has the message, only its PUBCOMP can tell */
};

struct inflight {
	struct outbound *ring;
	uint32_t room; /* a power of two, or 0 */
	uint32_t count;
	uint32_t ended;	  /* of them, in INFLIGHT_ENDED */
	uint32_t begun;	  /* likewise, in INFLIGHT_BEGUN: a count of deliver.c */
	uint32_t holding; /* of them, with a message */
	uint32_t next_order;
	uint32_t next_received; /* likewise, of PUBRECs: not before next_order */
	uint32_t to_resend;	/* entries with `resend` */
	uint16_t *resend_ids;	/* their identifiers in order, from inflight_next_resend() on */
	uint32_t resend_at;	/* the next of them */
	uint64_t bytes;		/* sum of weights of deliveries held */
	bool recalled;		/* the order of some is that of the store, not of sending */
	uint16_t last_id;
};

/* Did PUBREC come?  Then what it sends again is PUBREL. */
static inline bool inflight_is_received(const struct outbound *entry)
{
	return entry->state == INFLIGHT_PUBCOMP || entry->state == INFLIGHT_RECEIVED;
}

/* May another member of its shared subscription have it?  Not what may be there with QoS 2.
 * [MQTT-4.8.2-5] */
static inline bool inflight_may_go_elsewhere(const struct outbound *entry)
{
	return entry->state == INFLIGHT_PUBACK || !entry->sent;
}

/* Takes the delivery and gives it a free identifier; count < INFLIGHT_MAX. */
struct outbound *inflight_add(struct inflight *inflight, struct purse *purse,
			      struct delivery delivery);

/* Takes a delivery that was under way before, with its identifier, which is free. */
void inflight_restore(struct inflight *inflight, struct purse *purse, struct delivery delivery,
		      uint16_t id, enum inflight_state state);

/* An entry without a message that the store remembers: AWAITED or PUBCOMP; its identifier is free.
 */
struct outbound *inflight_recall(struct inflight *inflight, struct purse *purse, uint16_t id,
				 enum inflight_state state);

/*
 * Likewise, for an entry that the store remembers; true when it takes the delivery, which
 * it does once.
 */
bool inflight_rejoin(struct inflight *inflight, struct outbound *entry, struct delivery delivery,
		     enum inflight_state state);

/* All that the store remembers is there: puts it into the order of first sending. */
void inflight_settle(struct inflight *inflight);

/* The publisher sent it again: takes the delivery, which goes out in its turn. */
void inflight_revive(struct inflight *inflight, struct outbound *entry, struct delivery delivery);

/* The entry with this identifier, or NULL. Valid until the next add or remove. */
struct outbound *inflight_find(const struct inflight *inflight, uint16_t id);

/* Lets the message go: PUBREC came, or the delivery is over. */
void inflight_let_go(struct inflight *inflight, struct purse *purse, struct outbound *entry);

/* PUBREC came, or counts as that: lets the message go; PUBREL has its place behind the others. */
void inflight_received(struct inflight *inflight, struct purse *purse, struct outbound *entry);

/* The delivery is over, its identifier is not free yet. */
void inflight_end(struct inflight *inflight, struct purse *purse, struct outbound *entry);

/* The delivery is complete, its identifier free. */
void inflight_remove(struct inflight *inflight, struct purse *purse, struct outbound *entry);

void inflight_clear(struct inflight *inflight, struct purse *purse);

/* The connection is gone: marks all that the next one has to send again. */
void inflight_mark_resend(struct inflight *inflight);

/* Marks one, behind those that are marked already. */
void inflight_mark_one(struct inflight *inflight, struct outbound *entry);

/* It went out, or need not any more. */
void inflight_resent(struct inflight *inflight, struct outbound *entry);

/* The entry to send again next; NULL for none.  PUBREL goes first, since no window holds it back,
 * in the order of the PUBRECs [MQTT3-4.6.0-4]; then PUBLISH, in that of first sending
 * [MQTT-4.6.0-1] [MQTT3-4.6.0-1]. */
struct outbound *inflight_next_resend(struct inflight *inflight);

#endif
