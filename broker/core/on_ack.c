/*
 * on_ack.c - PUBACK, PUBREC, PUBREL and PUBCOMP from a client: MQTT 5.0 sections 3.4
 * to 3.7 and 4.3.
 */
#include "broker/core/core.h"

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

/* The subscriber has the message: nobody waits for this delivery any more. */
static void taken_over(const struct ack_in *in, struct outbound *entry)
{
	if (entry->state != INFLIGHT_PUBCOMP)
		gates_caught_up(in->session, entry->order);
	gate_detach(in->shard, in->session, &entry->delivery);
}

/* The delivery is complete: its place in the window is free. */
static void complete(const struct ack_in *in, struct outbound *entry)
{
	if (!entry->resend)
		in->client->sent_unfinished--;
	UNCOUNT(in->shard, INFLIGHT);
	taken_over(in, entry);
	inflight_remove(&in->session->inflight, &in->shard->purse, entry);
	session_pump(in->shard, in->session);
}

static struct outbound *entry_of(const struct ack_in *in)
{
	return inflight_find(&in->session->inflight, in->ack->packet_id);
}

/* Any reason code is an acknowledgement. [MQTT-4.4.0-2] */
static void on_puback(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	if (entry == NULL)
		return;
	if (entry->state != INFLIGHT_PUBACK)
		mistaken(in);
	else
		complete(in, entry);
}

/* [MQTT-4.3.3-4]; a PUBREC for nothing we know is answered as section 4.3.3 allows: not found. */
static void on_pubrec(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	if (entry == NULL) {
		send_ack(in->shard, in->client, MQTT_PUBREL, in->ack->packet_id,
			 MQTT_PACKET_IDENTIFIER_NOT_FOUND);
	} else if (entry->state == INFLIGHT_PUBACK) {
		mistaken(in);
	} else if (mqtt_reason_is_error(in->ack->reason)) {
		complete(in, entry);
	} else {
		if (entry->state == INFLIGHT_PUBREC) {
			taken_over(in, entry);
			inflight_received(&in->session->inflight, &in->shard->purse, entry);
		}
		send_ack(in->shard, in->client, MQTT_PUBREL, in->ack->packet_id, MQTT_SUCCESS);
	}
}

/* [MQTT-4.3.3-11] [MQTT-4.3.3-12] */
static void on_pubrel(const struct ack_in *in)
{
	uint16_t id = in->ack->packet_id;
	bool known = in->session->inbound && idset_remove(in->session->inbound, id);
	publish_finished(in->client, id);
	send_ack(in->shard, in->client, MQTT_PUBCOMP, id,
		 known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND);
}

static void on_pubcomp(const struct ack_in *in)
{
	struct outbound *entry = entry_of(in);
	if (entry == NULL)
		return;
	if (entry->state == INFLIGHT_PUBCOMP)
		complete(in, entry);
	else
		mistaken(in);
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
