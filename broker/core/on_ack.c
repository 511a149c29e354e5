/*
 * on_ack.c - PUBACK, PUBREC, PUBREL and PUBCOMP from a client: MQTT 5.0 sections 3.4
 * to 3.7 and 4.3.
 */
#include "broker/core/core.h"
#include "broker/core/crash.h"

struct ack_in {
	struct shard *shard;
	struct client *client;
	struct session *session;
	const struct mqtt_ack *ack;
};

static void mistaken(const struct ack_in *in)
{
	COUNT(in->shard, MALFORMED);
	client_fail(in->shard, in->client, MQTT_PROTOCOL_ERROR,
		    "acknowledgement of another QoS than was sent");
}

/* Of a delivery that a crash left without its message, its PUBCOMP tells what PUBREC did not. */
static enum route_outcome outcome_of(const struct ack_in *in, const struct outbound *entry)
{
	if (entry->delivery.message == NULL && entry->state == INFLIGHT_PUBCOMP) {
		if (in->client->version != MQTT_VERSION_5_0)
			return ROUTE_UNKNOWN;
		if (in->ack->reason == MQTT_PACKET_IDENTIFIER_NOT_FOUND)
			return ROUTE_LOST;
	}
	return mqtt_reason_is_error((uint8_t)in->ack->reason) ? ROUTE_REFUSED : ROUTE_DELIVERED;
}

/* The delivery's one row: at PUBACK or PUBREC, since the message and its publisher are let go then.
 */
static void log_delivery(const struct ack_in *in, struct outbound *entry)
{
	static const struct publisher nobody;
	const struct message *message = entry->delivery.message;
	if (message == NULL && !entry->uncertain)
		return;
	delivery_row(in->shard, in->session, message ? &message->publisher : &nobody,
		     message ? entry->delivery.qos : 2, outcome_of(in, entry));
	entry->uncertain = false;
}

/* The subscriber has the message: nobody waits for this delivery any more. */
static void taken_over(const struct ack_in *in, struct outbound *entry)
{
	log_delivery(in, entry);
	if (entry->delivery.message)
		gates_caught_up(in->session, entry->order);
	gate_detach(in->shard, in->session, &entry->delivery);
	step_queue_changed(in->shard, in->session);
}

/* The delivery is complete: its place in the window is free. */
static void complete(const struct ack_in *in, struct outbound *entry)
{
	taken_over(in, entry);
	deliver_over(in->shard, in->session, entry);
	session_pump(in->shard, in->session);
}

static void received(const struct ack_in *in, struct outbound *entry)
{
	taken_over(in, entry);
	deliver_received(in->shard, in->session, entry);
}

static struct outbound *entry_of(const struct ack_in *in)
{
	return inflight_find(&traffic_of(in->session)->inflight, in->ack->packet_id);
}

/* Any reason code is an acknowledgement. [MQTT-4.4.0-2] */
static void on_puback(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	CRASH_AT(puback_came);
	if (entry == NULL)
		return;
	if (entry->state != INFLIGHT_PUBACK)
		mistaken(in);
	else
		complete(in, entry);
}

/* [MQTT-4.3.3-4] [MQTT3-4.6.0-4]; a PUBREC for nothing we know is answered as section 4.3.3 allows:
 * not found. */
static void on_pubrec(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	CRASH_AT(pubrec_came);
	switch (entry ? (enum inflight_state)entry->state : INFLIGHT_FREE) {
	case INFLIGHT_FREE:
	case INFLIGHT_ENDED:
		if (mqtt_reason_is_error(in->ack->reason))
			return; /* it ends an exchange that has ended already */
		send_ack(in->shard, in->client, MQTT_PUBREL, in->ack->packet_id,
			 MQTT_PACKET_IDENTIFIER_NOT_FOUND);
		return;
	case INFLIGHT_PUBREC:
	case INFLIGHT_AWAITED:
		if (mqtt_reason_is_error(in->ack->reason))
			complete(in, entry);
		else
			received(in, entry);
		return;
	case INFLIGHT_PUBCOMP:
		if (mqtt_reason_is_error(in->ack->reason))
			complete(in, entry);
		else
			send_ack(in->shard, in->client, MQTT_PUBREL, entry->id, MQTT_SUCCESS);
		return;
	case INFLIGHT_RECEIVED: /* said twice; PUBREL is on its way */
		return;
	case INFLIGHT_PUBACK:
	case INFLIGHT_BEGUN:
		mistaken(in);
		return;
	}
}

static void answer_pubrel(struct shard *shard, struct client *client, uint16_t id,
			  enum mqtt_reason reason)
{
	publish_finished(client, id);
	CRASH_AFTER_WRITE(pubcomp_sent);
	send_ack(shard, client, MQTT_PUBCOMP, id, reason);
}

/* The end is recorded first: after that the identifier may stand for another message. */
static void release_later(const struct ack_in *in, bool first)
{
	struct session *session = in->session;
	struct purse *purse = &in->shard->purse;
	uint16_t id = in->ack->packet_id;
	if (first) {
		struct traffic *traffic = traffic_for(in->shard, session);
		if (traffic->releasing == NULL)
			traffic->releasing = idset_create(purse);
		idset_add(traffic->releasing, purse, id);
		step_inbound(in->shard, session, STEP_INBOUND_END, id, 0);
	}
	if (in->client->releases == NULL)
		in->client->releases = idset_create(purse);
	idset_add(in->client->releases, purse, id);
}

/* [MQTT-4.3.3-11] [MQTT-4.3.3-12] */
static void on_pubrel(const struct ack_in *in)
{
	struct session *session = in->session;
	uint16_t id = in->ack->packet_id;
	CRASH_AT(pubrel_came);
	struct held_ack *late = held_find(&traffic_of(session)->held, id);
	if (late && late->qos == 2 && late->gate == 0)
		held_drop(in->shard, session, late); /* its PUBREC was had before */
	bool releasing = idset_has(traffic_of(session)->releasing, id);
	bool known = traffic_of(session)->inbound && idset_remove(traffic_of(session)->inbound, id);
	known = recall_inbound_end(in->shard, session, id) || known;
	if (releasing || (known && session->recorded))
		release_later(in, !releasing);
	else
		answer_pubrel(in->shard, in->client, id,
			      known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND);
}

/* One that came back meanwhile, and has not said PUBREL again, will. */
void publish_released(struct shard *shard, struct session *session, uint16_t packet_id)
{
	struct client *client = session->client;
	if (traffic_of(session)->releasing)
		idset_remove(traffic_of(session)->releasing, packet_id);
	if (client && client->state == CLIENT_UP && client->releases &&
	    idset_remove(client->releases, packet_id))
		answer_pubrel(shard, client, packet_id, MQTT_SUCCESS);
}

/* Of a delivery that no publisher could send again, the answer says whether it was made. */
static void count_uncertain(const struct ack_in *in)
{
	if (in->client->version != MQTT_VERSION_5_0)
		COUNT(in->shard, UNKNOWN_AFTER_CRASH);
	else if (in->ack->reason == MQTT_PACKET_IDENTIFIER_NOT_FOUND)
		COUNT(in->shard, LOST_IN_CRASH);
}

static void on_pubcomp(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	CRASH_AT(pubcomp_came);
	if (entry == NULL || entry->state == INFLIGHT_ENDED)
		return;
	if (entry->state != INFLIGHT_PUBCOMP) {
		mistaken(in);
		return;
	}
	if (entry->uncertain)
		count_uncertain(in);
	complete(in, entry);
}

void on_ack(struct shard *shard, struct client *client, uint8_t type, struct slice body)
{
	static void (*const handlers[])(const struct ack_in *) = {
	    [MQTT_PUBACK] = on_puback,
	    [MQTT_PUBREC] = on_pubrec,
	    [MQTT_PUBREL] = on_pubrel,
	    [MQTT_PUBCOMP] = on_pubcomp,
	};
	struct mqtt_ack ack;
	enum mqtt_reason reason =
	    mqtt_decode_ack(type, body, (enum mqtt_version)client->version, &ack);
	if (reason != MQTT_SUCCESS) {
		COUNT(shard, MALFORMED);
		client_fail(shard, client, reason, mqtt_reason_text((uint8_t)reason));
		return;
	}
	struct ack_in in = {shard, client, session_at(shard, client->session), &ack};
	handlers[type](&in);
}
