/*
 * packet.h - any control packet, decoded and encoded by its type: for the fuzzers that judge
 * packets. Everything borrows; a struct any_packet is large, and static.
 */
#ifndef TESTS_FUZZ_PACKET_H
#define TESTS_FUZZ_PACKET_H

#include "proto/frame.h"
#include "proto/packet.h"

#define PACKET_BYTES_MAX   16384u
#define PACKET_ENTRIES_MAX (PACKET_BYTES_MAX / 2)

struct any_packet {
	uint8_t type;
	enum mqtt_version version;
	union {
		struct mqtt_connect connect;
		struct mqtt_connack connack;
		struct mqtt_publish publish;
		struct mqtt_ack ack;
		struct mqtt_subscribe subscribe;
		struct mqtt_suback suback;
		struct mqtt_disconnect disconnect;
		struct mqtt_auth auth;
	};
	struct mqtt_subscription subscriptions[PACKET_ENTRIES_MAX];
	struct slice filters[PACKET_ENTRIES_MAX];
	size_t entries;
	uint8_t user[2 * PACKET_BYTES_MAX]; /* user properties, encoded */
	size_t user_len;
};

/* The body has at most PACKET_BYTES_MAX bytes.  A CONNECT names its version itself. */
enum mqtt_reason any_decode(struct any_packet *packet, enum mqtt_version v, const struct frame *f);

/* Encodes what any_decode() gave; 0 when it does not fit. */
size_t any_encode(const struct any_packet *packet, uint8_t *out, size_t room);

#endif
