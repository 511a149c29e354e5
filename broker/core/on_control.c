/* on_control.c - PINGREQ and DISCONNECT from a client: MQTT 5.0 sections 3.12 and 3.14. */
#include "broker/core/core.h"

static void violation(struct shard *shard, struct client *client, enum mqtt_reason reason,
		      const char *text)
{
	COUNT(shard, MALFORMED);
	client_fail(shard, client, reason, text);
}

void on_pingreq(struct shard *shard, struct client *client, struct slice body)
{
	uint8_t packet[2];
	if (body.len != 0) {
		violation(shard, client, MQTT_MALFORMED_PACKET, "PINGREQ has no body");
		return;
	}
	/* [MQTT-3.12.4-1] [MQTT3-3.12.4-1] */
	size_t n = mqtt_encode_empty(packet, sizeof packet, MQTT_PINGRESP);
	if (client_fits(client, n))
		client_send(shard, client, packet, n);
}

/* The client may change its session's expiry on leaving, but not from 0: section 3.14.2.2.2. */
static bool change_expiry(struct shard *shard, struct session *session, uint32_t expiry_s)
{
	uint32_t max_s = shard->settings->session_expiry_max_s;
	if (session->expiry_s == 0)
		return expiry_s == 0;
	session->expiry_s = expiry_s < max_s ? expiry_s : max_s;
	if (session->stored && session->expiry_s != 0 &&
	    session->expiry_s != session->stored_expiry_s)
		session_store_absence(shard, session, session_now_s(shard));
	return true;
}

/* What a DISCONNECT of a server alone may say: MQTT 5.0 section 3.14.2.1. */
static bool for_servers(uint8_t reason)
{
	static const uint8_t codes[] = {
	    MQTT_NOT_AUTHORIZED,       MQTT_SERVER_BUSY,
	    MQTT_SERVER_SHUTTING_DOWN, MQTT_BAD_AUTHENTICATION_METHOD,
	    MQTT_KEEP_ALIVE_TIMEOUT,   MQTT_SESSION_TAKEN_OVER,
	    MQTT_TOPIC_FILTER_INVALID,
	};
	return reason >= MQTT_RETAIN_NOT_SUPPORTED || memchr(codes, reason, sizeof codes) != NULL;
}

void on_disconnect(struct shard *shard, struct client *client, struct slice body)
{
	struct mqtt_disconnect packet;
	struct session *session = session_at(shard, client->session);
	enum mqtt_reason reason =
	    mqtt_decode_disconnect(body, (enum mqtt_version)client->version, &packet);
	if (reason == MQTT_SUCCESS && for_servers(packet.reason))
		reason = MQTT_PROTOCOL_ERROR;
	if (reason != MQTT_SUCCESS) {
		violation(shard, client, reason, mqtt_reason_text((uint8_t)reason));
		return;
	}
	if (mqtt_has(&packet.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL) &&
	    !change_expiry(shard, session, packet.properties.session_expiry_s)) {
		violation(shard, client, MQTT_PROTOCOL_ERROR,
			  "session expiry 0 cannot be raised by DISCONNECT");
		return;
	}
	/* Only a normal disconnection forgets the will. [MQTT-3.1.2-10] [MQTT-3.14.4-3]
	 * [MQTT3-3.1.2-10] [MQTT3-3.14.4-3] */
	client->end_reason = packet.reason;
	client_close(shard, client, packet.reason != MQTT_NORMAL_DISCONNECTION);
}
