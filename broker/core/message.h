/*
 * message.h - an application message: topic, properties and payload of one PUBLISH,
 * immutable once made and counted by reference.  In RAM only; wiped when the last
 * reference goes.
 *
 * The one domain type that shards share: `refs` is atomic, everything else never
 * changes.  A struct publication is the same message before there is a need to
 * keep it: slices into a read buffer, on the stack of one call.
 */
#ifndef BROKER_CORE_MESSAGE_H
#define BROKER_CORE_MESSAGE_H

#include "proto/base.h"
#include "broker/core/budget.h"
#include "broker/core/mail.h"
#include "storage/route/block.h"
#include <stdatomic.h>

#define EXPIRES_NEVER UINT64_MAX

/* Who published: a session, named across shards; number 0 for the broker itself. */
struct publisher {
	party_id party;
	bool unrecorded; /* is to be in no row of delivery_log.h */
	uint64_t session;
	uint64_t client;	/* session_hash() of it, which outlives the session */
	struct route_name name; /* in the epoch in which it published */
};

struct message {
	_Atomic uint32_t refs;
	uint32_t realm;
	uint32_t properties_len;
	uint32_t payload_len;
	uint16_t topic_len;
	uint8_t qos;
	bool retain;	   /* as it was published */
	bool again;	   /* its publisher sent it before, to a broker that has died since */
	bool goes_behind;  /* all of its publisher, of any QoS: retained, or a will */
	uint64_t envelope; /* of an inbound QoS 2 exchange that is recorded (steps.h); else 0 */
	struct publisher publisher;
	uint64_t expires_ms; /* in the milliseconds of struct moment, or EXPIRES_NEVER */
	uint8_t bytes[];     /* topic, properties that go on (encoded), payload */
};

struct publication {
	uint32_t realm;
	uint8_t qos;
	bool retain;
	uint32_t gate;	     /* of its acknowledgement, 0 for none (gate.h) */
	uint16_t share;	     /* on its way to a member of a shared subscription: its membership */
	bool found_retained; /* sent because of a subscription, from the retained messages */
	bool again;	     /* as in struct message */
	bool goes_behind;    /* likewise */
	uint64_t envelope;   /* likewise */
	struct publisher publisher;
	uint64_t expires_ms;
	uint64_t topic_hash;   /* by the key of all shards; 0: not worked out yet */
	uint64_t payload_hash; /* likewise; of retained ones that are compared */
	struct slice topic;
	struct slice properties;
	struct slice payload;
	struct message *message; /* NULL as long as none was made */
	bool made;		 /* by publication_message(): one reference is ours */
};

/* What the message of a publication takes, and is charged. */
static inline size_t message_cost(const struct publication *p)
{
	return sizeof(struct message) + p->topic.len + p->properties.len + p->payload.len;
}

/* Does it leave its topic without a retained message? */
static inline bool publication_clears(const struct publication *p)
{
	return p->retain && p->payload.len == 0;
}

/* A message with one reference; NULL when the purse does not allow it. */
struct message *message_create(struct purse *purse, const struct publication *publication);

/* The publication that a message is; it borrows the message. */
struct publication message_publication(struct message *message);

static inline struct message *message_share(struct message *message)
{
	atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
	return message;
}

/* Gives one reference back; the last one wipes and frees, and credits this shard's purse. */
void message_release(struct message *message, struct purse *purse);

static inline struct slice message_topic(const struct message *m)
{
	return slice_of(m->bytes, m->topic_len);
}

static inline struct slice message_properties(const struct message *m)
{
	return slice_of(m->bytes + m->topic_len, m->properties_len);
}

static inline struct slice message_payload(const struct message *m)
{
	return slice_of(m->bytes + m->topic_len + m->properties_len, m->payload_len);
}

static inline size_t message_size(const struct message *m)
{
	return sizeof *m + m->topic_len + m->properties_len + m->payload_len;
}

#endif
