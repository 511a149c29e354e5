/*
 * held.h - the messages of QoS 2 that came and are not yet released, between PUBLISH and PUBREL:
 * they keep their topic, because by then an alias may stand for another one.
 *
 * Ownership: the list owns; held_take() gives, and free() is enough.  Thread: one.
 */
#ifndef CLI_HELD_H
#define CLI_HELD_H

#include "proto/base.h"

struct held {
	struct held *next;
	uint16_t packet_id;
	uint8_t flags; /* of the packet's first byte */
	size_t topic_len, body_len;
	uint8_t bytes[]; /* the topic, and the body of the packet */
};

/* A second PUBLISH with an identifier that is held is the same message. [MQTT-4.3.3-10] */
void held_add(struct held **list, uint16_t packet_id, uint8_t flags, struct slice topic,
	      struct slice body);

/* NULL: there is none. */
struct held *held_take(struct held **list, uint16_t packet_id);

void held_finish(struct held **list);

static inline struct slice held_topic(const struct held *h)
{
	return slice_of(h->bytes, h->topic_len);
}

static inline struct slice held_body(const struct held *h)
{
	return slice_of(h->bytes + h->topic_len, h->body_len);
}

#endif
