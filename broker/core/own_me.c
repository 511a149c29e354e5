/* own_me.c - requests of the person behind an account: own_request.h. */
#include "broker/core/own_me.h"
#include "broker/core/core.h"
#include "broker/core/own_topic.h"
#include "broker/core/rights.h"

#define ANSWER_TOPIC SLICE_LITERAL(OWN_ANSWER_TOPIC)

static bool gave_password(const struct shard *shard, const struct client *client,
			  const struct session *session)
{
	const struct rights *rights = rights_of(shard, session);
	return rights && rights->own_password &&
	       shard->now.ms <= client->opened_ms + OWN_PASSWORD_MS;
}

enum mqtt_reason own_me_may_subscribe(struct shard *shard, const struct client *client,
				      const struct session *session)
{
	return gave_password(shard, client, session) ? MQTT_SUCCESS : MQTT_NOT_AUTHORIZED;
}

void own_me_subscribed(struct shard *shard, struct session *session)
{
	(void)shard;
	(void)session;
}

/* Correlation data as the one property that there is. */
static bool send_answer(struct shard *shard, struct session *session, struct slice correlation,
			struct slice answer)
{
	enum { HEAD = 3 };
	uint8_t *property = memory_get(HEAD + correlation.len);
	property[0] = MQTT_PROPERTY_CORRELATION_DATA;
	property[1] = (uint8_t)(correlation.len >> 8);
	property[2] = (uint8_t)correlation.len;
	if (correlation.len > 0)
		memcpy(property + HEAD, correlation.at, correlation.len);
	bool fits = own_topic_send(
	    shard, session, ANSWER_TOPIC,
	    slice_of(property, correlation.len > 0 ? HEAD + correlation.len : 0), answer);
	memory_free(property);
	return fits;
}

static enum mqtt_reason refuse(struct shard *shard, struct session *session,
			       struct slice correlation, enum mqtt_reason reason,
			       struct slice sentence)
{
	send_answer(shard, session, correlation, sentence);
	return reason;
}

#define SENTENCE(text) SLICE_LITERAL("{\"ok\":false,\"error\":\"" text "\"}")

enum mqtt_reason own_me_requested(struct shard *shard, struct session *session,
				  const struct publication *publication, struct slice correlation,
				  enum own_action action)
{
	struct client *client = session->client;
	must(client);
	if (!gave_password(shard, client, session))
		return refuse(shard, session, correlation, MQTT_NOT_AUTHORIZED,
			      SENTENCE("only within five minutes after a connection was made "
				       "with the account's own password"));
	if (publication->payload.len > OWN_PAYLOAD_MAX)
		return refuse(shard, session, correlation, MQTT_PAYLOAD_FORMAT_INVALID,
			      SENTENCE("this is longer than any request"));
	if (rights_of(shard, session)->asking)
		return refuse(shard, session, correlation, MQTT_QUOTA_EXCEEDED,
			      SENTENCE("one request after the other, please"));
	struct own_request *request = own_request_create(action, publication->payload, correlation);
	request->party = shard->party;
	request->link = client->link;
	request->serial = client->serial;
	request->owner = rights_owner(shard, session);
	rights_of(shard, session)->asking = true;
	shard_effect(shard, EFFECT_REQUEST, client->link)->request = request;
	return MQTT_SUCCESS;
}

void on_answer(struct shard *shard, const struct event *event)
{
	struct own_request *request = event->request;
	struct client *client = client_of_link(shard, request->link);
	if (client && client->serial == request->serial && client->state == CLIENT_UP) {
		struct session *session = session_at(shard, client->session);
		struct rights *rights = rights_of(shard, session);
		if (rights)
			rights->asking = false;
		struct slice correlation = own_request_correlation(request);
		if (!send_answer(shard, session, correlation,
				 slice_of(request->answer, request->answer_len)))
			send_answer(shard, session, correlation,
				    SENTENCE("the answer is larger than this connection's Maximum "
					     "Packet Size: connect with a larger one, or none"));
	}
	own_request_destroy(request);
}
