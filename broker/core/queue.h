/*
 * queue.h - deliveries that wait: for room in a window, for a member, for a session
 * to come back.  A growing ring, first in, first out.
 *
 * Ownership: a delivery in the queue owns one reference to its message and its
 * list of subscription identifiers.  Thread: the shard's.
 */
#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

#include "proto/base.h"
#include "broker/core/message.h"

/* Subscription identifiers of one delivery. */
struct identifiers {
	uint32_t count;
	uint32_t one[]; /* `count` of them */
};

static inline size_t identifiers_size(uint32_t count)
{
	return sizeof(struct identifiers) + count * sizeof(uint32_t);
}

/* One message on its way to one session. */
struct delivery {
	struct message *message;
	struct identifiers *many; /* more than one identifier; NULL otherwise */
	uint64_t came;		  /* when it was put into a session's queue: shard->serial */
	uint32_t identifier;	  /* the only one, or 0 for none */
	uint32_t gate;		  /* that it holds, 0 for none (gate.h) */
	uint16_t share;		  /* the membership it came by, 0 for none (share.h) */
	uint8_t qos;		  /* of this delivery */
	bool retain : 1;	  /* the RETAIN flag that the subscriber sees */
	bool found_retained : 1;  /* nobody can send it again: its envelope means nothing */
	bool given_back : 1;	  /* another member of the group gets it: share.h */
	bool goes_behind : 1;	  /* as in struct publication */
};

/* Room for more than one identifier, to be filled in. */
void delivery_make_many(struct delivery *delivery, struct purse *purse, uint32_t count);

/* Gives back what a delivery owns; its message may be missing. */
void delivery_finish(struct delivery *delivery, struct purse *purse);

/* What a delivery counts for against max_queued_bytes and max_inflight_bytes. */
static inline size_t delivery_weight(const struct delivery *d)
{
	return d->message->topic_len + d->message->properties_len + d->message->payload_len +
	       (d->many ? identifiers_size(d->many->count) : 0);
}

struct queue {
	struct delivery *ring;
	uint32_t room; /* a power of two, or 0 */
	uint32_t head;
	uint32_t count;
	uint32_t at_most_once; /* of them, those of QoS 0 */
	uint64_t bytes;	       /* sum of weights */
	uint64_t expires_ms;   /* none of them expires before */
	uint64_t walked_ms;    /* when those that had expired left it last */
};

/* Takes the delivery over. */
void queue_push(struct queue *queue, struct purse *purse, struct delivery delivery);

/* The first one, borrowed; count > 0. */
static inline struct delivery *queue_first(const struct queue *queue)
{
	return &queue->ring[queue->head];
}

/* The i-th one, borrowed, of `count`. */
static inline struct delivery *queue_at(const struct queue *queue, uint32_t i)
{
	return &queue->ring[(queue->head + i) & (queue->room - 1)];
}

/* Gives the first one; count > 0. */
struct delivery queue_pop(struct queue *queue, struct purse *purse);

/*
 * Those that have expired leave for another queue; the others keep their order.  It takes a walk
 * through all of them, which is made only when one may have expired, and the less often the longer
 * it is: whoever has no room for one more may ask each time.
 */
void queue_take_expired(struct queue *queue, struct purse *purse, uint64_t now_ms,
			struct queue *expired);

/* Gives all back. */
void queue_clear(struct queue *queue, struct purse *purse);

#endif
