/*
 * inflight.h - QoS 1 and 2 deliveries that were sent and are not complete: a ring
 * indexed by packet identifier, so that an acknowledgement costs one look.
 * MQTT 5.0 sections 4.3, 4.4, 2.2.1; outbound only.
 *
 * Identifiers are given in rising order, those in use are skipped. [MQTT-2.2.1-4]
 * Ownership: an entry owns its delivery until PUBREC came; the message of a
 * QoS 2 delivery is let go then, since it is not sent again. [MQTT-4.3.3-6]
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_INFLIGHT_H
#define BROKER_CORE_INFLIGHT_H

#include "proto/base.h"
#include "broker/core/queue.h"

#define INFLIGHT_MAX 65535u /* identifiers that there are */

enum inflight_state {
	INFLIGHT_FREE,
	INFLIGHT_PUBACK,  /* QoS 1, awaits PUBACK */
	INFLIGHT_PUBREC,  /* QoS 2, awaits PUBREC */
	INFLIGHT_PUBCOMP, /* QoS 2, PUBREL sent, awaits PUBCOMP; no message any more */
};

struct outbound {
	struct delivery delivery; /* message NULL in INFLIGHT_PUBCOMP */
	uint32_t order;		  /* rises with each delivery: the order of sending again */
	uint16_t id;		  /* packet identifier */
	uint8_t state;
	bool resend; /* not yet sent on this connection */
};

struct inflight {
	struct outbound *ring;
	uint32_t room; /* a power of two, or 0 */
	uint32_t count;
	uint32_t next_order;
	uint32_t to_resend;   /* entries with `resend` */
	uint16_t *resend_ids; /* their identifiers in order, from inflight_next_resend() on */
	uint32_t resend_at;   /* the next of them */
	uint64_t bytes;	      /* sum of weights of deliveries held */
	uint16_t last_id;
};

/* Takes the delivery and gives it a free identifier; count < INFLIGHT_MAX. */
struct outbound *inflight_add(struct inflight *inflight, struct purse *purse,
			      struct delivery delivery);

/* Takes a delivery that was under way before, with its identifier, which is free. */
void inflight_restore(struct inflight *inflight, struct purse *purse, struct delivery delivery,
		      uint16_t id, enum inflight_state state);

/* The entry with this identifier, or NULL. Valid until the next add or remove. */
struct outbound *inflight_find(const struct inflight *inflight, uint16_t id);

/* PUBREC came: lets the message go, now awaits PUBCOMP. */
void inflight_received(struct inflight *inflight, struct purse *purse, struct outbound *entry);

/* The delivery is complete. */
void inflight_remove(struct inflight *inflight, struct purse *purse, struct outbound *entry);

void inflight_clear(struct inflight *inflight, struct purse *purse);

/* Marks all as to be sent again, on a new connection. */
void inflight_mark_resend(struct inflight *inflight);

/* The entry to send again next, in the order of first sending [MQTT-4.6.0-1]; NULL for none. */
struct outbound *inflight_next_resend(struct inflight *inflight);

#endif
