/*
 * own_request.h - what the person behind an account asks of the broker over MQTT, and the answer.
 *
 *	$metrino/me/export     all that is kept of the account; empty payload
 *	$metrino/me/rectify    payload = another e-mail address
 *	$metrino/me/restrict   payload = on or off: no rows of its deliveries are kept
 *	$metrino/me/object     payload = on or off: it is in no statistics
 *	$metrino/me/erase      payload = the account's name, so that nobody does it by mistake
 *	$metrino/me/answer     where the answers come, as JSON, each with the correlation data of
 *	                       its request; to be subscribed to before
 *
 * Only on a connection that gave the account's own password at most OWN_PASSWORD_MS ago: device
 * keys, tokens, certificates and PSK may not (0x87).  One request at a time (0x97).
 *
 * The core checks that, and gives the request away (EFFECT_REQUEST); somebody else answers it, who
 * may take time, and it comes back as EVENT_ANSWER.  A connection that is gone by then gets
 *nothing.
 *
 * Ownership: one allocation, that of the answer apart; whoever has the request destroys it, which
 * wipes both.
 * Thread: made and given back on the shard's, answered on any.
 */
#ifndef BROKER_CORE_OWN_REQUEST_H
#define BROKER_CORE_OWN_REQUEST_H

#include "broker/core/mail.h"

#define OWN_PASSWORD_MS 300000u

/* The longest payload of a request. */
#define OWN_PAYLOAD_MAX 512u

enum own_action { OWN_EXPORT, OWN_RECTIFY, OWN_RESTRICT, OWN_OBJECT, OWN_ERASE, OWN_ACTIONS };

struct own_request {
	enum own_action action;
	party_id party; /* who asks: its shard, */
	uint32_t link;	/* link, */
	uint64_t serial;
	uint64_t owner; /* and account: auth_owner() */
	size_t payload_len, correlation_len;
	size_t answer_len;
	uint8_t *answer; /* NULL until there is one */
	uint8_t bytes[]; /* payload, correlation data */
};

struct own_request *own_request_create(enum own_action action, struct slice payload,
				       struct slice correlation);

/* Copies the answer. */
void own_request_answer(struct own_request *request, struct slice answer);

void own_request_destroy(struct own_request *request); /* NULL is allowed */

static inline struct slice own_request_payload(const struct own_request *request)
{
	return slice_of(request->bytes, request->payload_len);
}

static inline struct slice own_request_correlation(const struct own_request *request)
{
	return slice_of(request->bytes + request->payload_len, request->correlation_len);
}

#endif
