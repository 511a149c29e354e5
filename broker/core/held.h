/*
 * held.h - acknowledgements of a publisher's messages that are not due yet, or due
 * but not in their turn: PUBACK and PUBREC leave in the order in which the
 * PUBLISHes came, for each of the two.  MQTT 5.0 section 4.6. [MQTT3-4.6.0-2] [MQTT3-4.6.0-3]
 *
 * The packet identifier decides, never DUP: while an acknowledgement is held, the
 * same identifier is the same message.  Only for QoS 1 is a message that is
 * plainly another one taken as such, from a device that lost its memory.
 *
 * An acknowledgement leaves only on a connection that carried the PUBLISH; what
 * opens while the publisher is away is remembered until it sends again.
 *
 * A refusal ends with its connection: the message was not taken, so it is tried again.
 *
 * Ownership: by the session; holds a reference to each message of QoS 1, and of one that is
 * acknowledged while its publisher is away a keyed hash: who may never come back does not keep
 * payload in memory that nobody else needs any more.  A hash table of packet identifiers, as large
 * as what is held asks for, whichever the client chose.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_HELD_H
#define BROKER_CORE_HELD_H

#include "proto/base.h"
#include "proto/reason.h"

struct shard;
struct session;
struct message;
struct publication;
struct purse;

struct held_ack {
	union {				 /* of QoS 1, to compare with */
		struct message *message; /* NULL when it was refused */
		uint64_t hash;		 /* `hashed` */
	};
	uint32_t gate;	   /* 0: open, waits for its turn or its connection */
	uint16_t id;	   /* packet identifier; 0 for an empty place */
	uint16_t next;	   /* identifier behind it in the order, 0 for none */
	uint16_t previous; /* before it; says nothing in the first one */
	uint16_t more;	   /* came so often again: each is acknowledged [MQTT-4.3.3-10] */
	uint8_t qos;
	uint8_t reason;
	bool in_order; /* came on the connection that is there now */
	bool hashed;
};

struct held {
	struct held_ack *ring;
	uint32_t room; /* a power of two, or 0 */
	uint32_t count;
	uint16_t first[2], last[2]; /* the order of QoS 1 and of QoS 2; identifiers, 0 for none */
	uint32_t absent[2];	    /* of an earlier connection, not sent again yet */
	bool overtaken; /* on this connection a QoS 1 message was taken as new before those */
};

/* Valid until the next one is held or leaves; NULL for none. */
struct held_ack *held_find(const struct held *held, uint16_t id);

/*
 * A QoS 1 message is taken as new.  When some of an earlier connection are still to be
 * sent again, its acknowledgement was lost with that connection and it goes out
 * twice; those behind it then have to, too, or the order would end with an old one.
 */
static inline void held_overtake(struct held *held)
{
	held->overtaken = held->overtaken || held->absent[0] > 0;
}

/* Is it that of a QoS 1 message with this topic and payload? */
bool held_compares(const struct shard *shard, const struct held_ack *ack, struct slice topic,
		   struct slice payload);

/* The message came again: another acknowledgement, or in order again on a new connection. */
void held_again(struct shard *shard, struct session *session, struct held_ack *ack);

/* Holds an acknowledgement; there is none of this identifier. */
void held_add(struct shard *shard, struct session *session, uint16_t id, uint8_t qos, uint32_t gate,
	      enum mqtt_reason reason, struct message *message);

/* It will never be wanted: the identifier now stands for another message. */
void held_drop(struct shard *shard, struct session *session, struct held_ack *ack);

/* What its PUBLISH came to, if that is still the one with this gate. */
void held_decide(const struct held *held, uint16_t id, uint32_t gate, enum mqtt_reason reason);

/* The gate of this identifier is open; says nothing when somebody else has the identifier. */
void held_open(struct shard *shard, uint64_t number, uint16_t id, uint32_t gate);

/* The connection is gone: nothing is in order any more. */
void held_disconnected(struct shard *shard, struct held *held);

void held_clear(struct held *held, struct purse *purse);

/* May an acknowledgement of this QoS leave at once? */
static inline bool held_nothing_before(const struct held *held, uint8_t qos)
{
	return held->first[qos - 1] == 0;
}

#endif
