/*
 * answer.h - a SUBACK or UNSUBACK that may have to wait: for other shards to know the
 * filter (route.h), for the store to have the row (persist.h).
 *
 * Ownership: an answer lives until everything it waits for has come, also when
 * its client has gone meanwhile.  Thread: the shard's.
 */
#ifndef BROKER_CORE_ANSWER_H
#define BROKER_CORE_ANSWER_H

#include "proto/base.h"
#include "broker/core/index.h"

struct shard;
struct client;
struct session;
struct changes;

/* Retained messages to ask for, or a change to undo, once the outcome is known. */
struct answer_entry {
	uint8_t reason;	    /* of the SUBACK */
	bool send_retained; /* of an own topic */
	bool made;	    /* the subscription is new: to be removed if the store refuses */
	bool shared;
	uint8_t options;
	uint8_t old_options;
	uint32_t old_identifier;
	uint32_t text_at; /* of the filter (for a shared one "group/filter"), in `text` */
	uint32_t text_len;
	uint64_t retained; /* number of retain_expect(), 0 for none */
};

struct pending_answer {
	struct pending_answer *next, *previous;
	uint8_t type; /* MQTT_SUBACK or MQTT_UNSUBACK */
	bool refused; /* by the store */
	uint16_t packet_id;
	uint32_t link;
	uint64_t serial;  /* of the client */
	uint64_t session; /* number */
	uint32_t waits;	  /* barriers and commits still to come */
	uint32_t count;
	uint32_t text_len, text_room;
	uint8_t *text;
	struct index by_text; /* entries + 1; made when first looked for, `indexed` */
	bool indexed;
	struct answer_entry entries[];
};

struct pending_answer *answer_create(struct shard *shard, struct client *client, uint8_t type,
				     uint16_t packet_id, uint32_t count);

/* Keeps the filter of an entry. */
void answer_keep_text(struct shard *shard, struct pending_answer *answer,
		      struct answer_entry *entry, struct slice text);

/* Does another SUBSCRIBE of this session for the same filter still wait for its outcome? */
bool answer_pending(struct shard *shard, const struct pending_answer *except,
		    const struct session *session, bool shared, struct slice text);

/* Waits for a barrier; 0 is none. */
void answer_wait_barrier(struct shard *shard, struct pending_answer *answer, uint32_t barrier);

/* Sends the changes to the store and waits for them, if there are any. */
void answer_wait_store(struct shard *shard, struct pending_answer *answer, struct changes *changes);

/* All that it waits for is known: leaves at once if that is nothing. */
void answer_ready(struct shard *shard, struct pending_answer *answer);

#endif
