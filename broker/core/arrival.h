/*
 * arrival.h - PUBLISHes that came and go on later: of QoS 2, until the store has their
 * record (steps.h); and retained ones of any QoS behind such a one, so that the last
 * one published is the one that is kept, and the will, which is the last that its connection
 * publishes; and any behind one of its own QoS.
 *
 * Their acknowledgements are held meanwhile (held.h) by a gate of theirs, so that the
 * packet identifier stands for this message and no other.
 *
 * Ownership: by the session; an arrival owns a reference to its message and a hold of
 * its gate.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_ARRIVAL_H
#define BROKER_CORE_ARRIVAL_H

#include "broker/core/message.h"

struct session;
struct shard;

struct arrivals {
	struct arrival *first, *last;
	uint32_t of_qos[3]; /* how many */
	bool listed;	    /* in struct recorded */
};

/* What has been recorded, and had no room in a turn: TURN_WORK_MAX for all of it together. */
struct recorded {
	uint64_t *sessions; /* whose arrivals go on next, by number; some may have ended */
	uint32_t count, room;
	uint64_t work; /* done in this turn */
};

static inline bool arrivals_wait(const struct arrivals *arrivals)
{
	return arrivals->first != NULL;
}

/* Does one of them go on before this one does? [MQTT-4.6.0-5] */
static inline bool arrivals_before(const struct arrivals *arrivals, const struct publication *p)
{
	return arrivals->of_qos[p->qos] > 0 || (p->goes_behind && arrivals_wait(arrivals));
}

/* Is the PUBLISH with this packet identifier one of them? */
bool arrivals_have(const struct arrivals *arrivals, uint16_t packet_id);

/*
 * Takes the hold of the publication's gate and shares its message, which was made.
 * With an envelope it waits for publish_recorded(), else for its turn alone.  Packet
 * identifier 0: of QoS 0, or a will; nobody sends it again.
 */
void arrival_add(struct shard *shard, struct session *session,
		 const struct publication *publication, uint16_t packet_id);

/* The record of this arrival is committed, or refused: it goes on, or is. */
void publish_recorded(struct shard *shard, struct session *session, uint16_t packet_id,
		      uint64_t envelope, bool committed);

/* A new turn begins: they go on. */
void arrivals_go_on(struct shard *shard);

/* The session ends: what nobody sends again goes on, the rest was never acknowledged. */
void arrivals_end(struct shard *shard, struct session *session);

/* Likewise, but nothing of it may go on when the session ends, which is next. */
void arrivals_forget(const struct session *session);

/* The shard ends: they go nowhere. */
void arrivals_clear(struct shard *shard, struct session *session);

#endif
