/*
 * gate.h - holds the acknowledgement of an inbound QoS 1 or 2 message until its
 * deliveries are done: `ack_when delivered` (docs/delivery.md).
 *
 * A gate counts what still holds it: each gated delivery of this shard, and each
 * other party that was given the message.  That party has a gate of its own for its
 * deliveries, and answers once (MAIL_GATES) when it opens.  A delivery is done when
 * it is acknowledged (any reason code), dropped, expired, or when its session
 * ends, goes away or falls behind.  One that goes back to a shared group is not done: its hold
 * goes along, to whichever member has it next, and is released where none is connected.
 *
 * Behind: a session with a delivery that nobody acknowledged for ack_hold_max gates
 * nothing, for anyone, until everything that was outstanding at that moment is
 * acknowledged.  So a slow, sleepy or hostile subscriber costs its publishers one
 * ack_hold_max, not one for each message.
 *
 * When memory_limit is near, all that hold gates count as behind at once.
 *
 * Ownership: the shard's slab.  Every hold has exactly one release.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_GATE_H
#define BROKER_CORE_GATE_H

#include "broker/core/mail.h"
#include "broker/core/slab.h"
#include "broker/core/timer.h"

struct shard;
struct session;
struct delivery;
struct publication;

struct gates {
	struct slab slab;   /* of struct gate */
	struct timer timer; /* looks for sessions that fall behind */
	uint32_t *sessions; /* slots of those that hold gates */
	uint32_t session_count;
	uint32_t session_room;
};

void gates_init(struct gates *gates);
void gates_finish(struct gates *gates);

/* For a message of a session here; held once, by whoever makes it. */
uint32_t gate_for_session(struct shard *shard, const struct session *session, uint16_t packet_id);

/* For a message that came by mail with a ticket; 0 for ticket 0. Held once, likewise. */
uint32_t gate_for_party(struct shard *shard, party_id party, uint64_t ticket);

/* 0 is no gate, for all of these. */
void gate_hold(struct shard *shard, uint32_t number);
void gate_release(struct shard *shard, uint32_t number);

/* Does anybody but its maker hold it? */
bool gate_is_held(const struct shard *shard, uint32_t number);

/* Makes the delivery hold the publication's gate, if this session gates this publication. */
void gate_attach(struct shard *shard, struct session *session,
		 const struct publication *publication, struct delivery *delivery);

/* The delivery is done. */
void gate_detach(struct shard *shard, struct session *session, struct delivery *delivery);

/*
 * Likewise, but it goes back to its group: the gate at the group's home that is held by now, as the
 * ticket of the mail that takes it there; 0 for none.
 */
uint64_t gate_give_back(struct shard *shard, struct session *session, struct delivery *delivery,
			party_id home);

/*
 * Takes a hold, and gives one of a gate that is as old as now: whoever gets the message next has
 * its ack_hold_max from now on, and those that hold the gate as well do not.
 */
uint32_t gate_anew(struct shard *shard, uint32_t number);

/* All deliveries of the session hold nothing any more: it goes away, ends, or falls behind. */
void gates_let_go(struct shard *shard, struct session *session);

/* A delivery was taken off the session: acknowledged or dropped; `order` as in inflight.h. */
void gates_caught_up(struct session *session, uint32_t order);

/* TIMER_GATES */
void gates_timer(struct shard *shard);

#endif
