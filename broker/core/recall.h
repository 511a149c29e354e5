/*
 * recall.h - what the store remembers of QoS 2 exchanges that were open when the last
 * broker died, until they are over (docs/delivery.md, "After a crash").
 *
 * A publisher that sends a message again is known by its packet identifier; the message
 * then goes
 *	to a subscriber whose delivery is open, with the packet identifier of then and DUP;
 *	also when it has unsubscribed since [MQTT-3.10.4-3], then with RETAIN 0 and no identifiers;
 *	not to one that has had it, whether it said so with PUBREC or PUBCOMP;
 *	not with QoS 0, which is at most once;
 *	as a new delivery to whoever matches and has not begun it.
 * A publisher that comes with PUBREL, or whose session ends, cannot send it again.
 * Then whoever has an open delivery gets PUBREL: one that holds the message completes
 * it, one of 5.0 that does not says so (0x92).
 *
 * Which shared subscription's member has a message is known at the group's home.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_RECALL_H
#define BROKER_CORE_RECALL_H

#include "broker/core/index.h"
#include "broker/core/mail.h"
#include "broker/core/slab.h"
#include "storage/store.h"

struct identifier_list;
struct outbound;
struct publication;
struct session;
struct shard;

/* Who has, or had, a message that may come again. */
struct recall {
	struct slab holders; /* of struct holder */
	struct index index;  /* by envelope */
};

/* What one session published and had no PUBCOMP for. */
struct recalled {
	uint64_t envelope; /* 0: over */
	uint16_t packet_id;
};

struct recalls {
	struct recalled *at;
	uint32_t count;
	uint32_t room;
	uint32_t live;
	bool sorted;
};

void recall_init(struct recall *recall);
void recall_finish(struct recall *recall);

/* At start; of a session that lives on another shard: nothing. */
void recall_step(struct shard *shard, struct session *session, const struct store_step *step);

/* The envelope of a PUBLISH with this packet identifier, 0 for none. */
uint64_t recall_inbound(struct session *session, uint16_t packet_id);

/* That exchange is over: its publisher cannot send it again.  False when there is none. */
bool recall_inbound_end(struct shard *shard, struct session *session, uint16_t packet_id);

/* Likewise, all of them: the session ends. */
void recall_session_end(struct shard *shard, struct session *session);

/* A publication that comes again: true when this session gets no new copy of it. */
bool recall_takes(struct shard *shard, struct session *session, struct publication *publication,
		  uint8_t qos, bool retain, struct identifier_list identifiers);

/* A publication that came again went to all that match: completes what is open of it beside them.
 */
void recall_complete(struct shard *shard, struct publication *publication);

/*
 * The member of the group that has it, into *member; false when nobody has.  A group is known by
 * the keyed hash of its name: it may end, and begin again, while its members of then hold messages.
 */
bool recall_holder(const struct shard *shard, uint64_t envelope, uint64_t group,
		   struct share_member *member);

/* MAIL_ENVELOPE_END, and MAIL_SHARE_HOLDS for a group. */
void recall_envelope_end(struct shard *shard, uint64_t envelope);
void recall_share_holds(struct shard *shard, uint64_t group, const struct mail *mail);

#endif
