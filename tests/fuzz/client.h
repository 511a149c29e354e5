/*
 * client.h - a client that keeps books: of what it said on one connection, and what it was told.
 * What the broker writes has to be packets, well-formed and allowed at that moment:
 * CONNACK first and once, nothing behind the end, answers only to what was asked, no
 * packet identifier twice, no more at a time than the client can take, aliases that it knows.
 *
 * What the client says may be anything.
 */
#ifndef TESTS_FUZZ_CLIENT_H
#define TESTS_FUZZ_CLIENT_H

#include "tests/fuzz/packet.h"

#define CLIENT_IDS     256u /* books are kept of small packet identifiers only */
#define CLIENT_ALIASES 16u

struct stream {
	uint8_t *at;
	size_t len, room;
};

struct client {
	struct stream said, told; /* not yet whole packets */
	bool said_nonsense;	  /* no more books of what it says */
	bool connecting;	  /* a CONNECT was said */
	bool connected;		  /* CONNACK was told, with success */
	bool method;		  /* CONNECT named one */
	bool ended;		  /* nothing may come any more */
	uint8_t version;	  /* 0: nothing that has one was said */
	uint16_t receive_maximum;
	uint16_t alias_maximum;
	uint32_t packet_maximum;
	uint64_t pings;			  /* not yet answered */
	uint8_t subscribes[CLIENT_IDS];	  /* not answered */
	uint8_t unsubscribes[CLIENT_IDS]; /* likewise */
	uint16_t entries[CLIENT_IDS];	  /* filters, if only one is not answered; else 0 */
	uint8_t published[CLIENT_IDS];	  /* PUBLISHes with QoS 1 and 2, not answered */
	uint8_t released[CLIENT_IDS];	  /* PUBRELs, not answered */
	uint8_t
	    unfinished[UINT16_MAX + 1]; /* QoS of what came and is not acknowledged to its end */
	uint32_t unfinished_count;
	bool aliases[CLIENT_ALIASES + 1];
	uint16_t last_id; /* of the last PUBLISH or PUBREL that came, and its type */
	uint8_t last_type;
	uint8_t last_qos;
};

void client_init(struct client *client);
void client_finish(struct client *client);

/* Bytes that the broker is given to read, and bytes that it writes. */
void client_says(struct client *client, struct slice bytes);
void client_is_told(struct client *client, struct slice bytes);

void stream_append(struct stream *stream, struct slice bytes);
void stream_drop(struct stream *stream, size_t n);

#endif
