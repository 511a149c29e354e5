/*
 * send.c - encodes deliveries and acknowledgements into a client's outbox: the hot
 * end of the broker.  Layout: MQTT 5.0 sections 3.3, 3.4 to 3.7; 3.1.1 likewise.
 */
#include "broker/core/core.h"
#include "proto/wire.h"

/* What a PUBLISH to one client consists of, worked out before a byte is written. */
struct layout {
	struct slice topic; /* empty where an alias stands for it */
	uint16_t alias;	    /* 0: none */
	uint32_t properties_len;
	uint32_t remaining_len;
	bool expires;
	uint32_t expiry_s;
	uint16_t packet_id;
};

/* [MQTT-3.3.2-6]: what is left, rounded up, so that a message in force never says 0. */
static uint32_t expiry_left_s(const struct shard *shard, uint64_t expires_ms)
{
	uint64_t now = shard->now.ms;
	return expires_ms <= now ? 1 : (uint32_t)((expires_ms - now + 999) / 1000);
}

static uint32_t identifiers_len(struct identifier_list identifiers)
{
	uint32_t len = 0;
	for (uint32_t i = 0; i < identifiers.count; i++)
		len += 1 + (uint32_t)varint_size(identifiers.at[i]);
	return len;
}

static void measure(const struct client *client, const struct publication *publication,
		    struct identifier_list identifiers, struct layout *l)
{
	size_t len = 2 + l->topic.len + (l->packet_id ? 2 : 0) + publication->payload.len;
	if (client->version == MQTT_VERSION_5_0) {
		l->properties_len = (uint32_t)publication->properties.len +
				    identifiers_len(identifiers) + (l->expires ? 5 : 0) +
				    (l->alias ? 3 : 0);
		len += varint_size(l->properties_len) + l->properties_len;
	}
	l->remaining_len = (uint32_t)len;
}

static size_t packet_size(const struct layout *l)
{
	return 1 + varint_size(l->remaining_len) + l->remaining_len;
}

/* A new alias stands beside its topic: one property more, and both lengths may grow by a byte. */
#define ALIAS_ROOM 5u

static bool alias_fits(const struct client *client, const struct layout *l)
{
	return packet_size(l) + ALIAS_ROOM <= client->maximum_packet_size &&
	       l->remaining_len + ALIAS_ROOM <= VARINT_MAX;
}

/* Puts an alias in the topic's place, where the client takes them. [MQTT-3.1.2-26] [MQTT-3.1.2-27]
 */
static void use_alias(struct shard *shard, struct client *client, struct layout *l)
{
	if (client->aliases_out == NULL)
		client->aliases_out = alias_create(&shard->purse, client->topic_alias_maximum);
	bool fresh;
	uint64_t hash = hash_keyed(shard->hash_key, l->topic);
	l->alias = alias_of(client->aliases_out, &shard->purse, hash, l->topic, &fresh);
	if (l->alias && !fresh)
		l->topic = SLICE_NONE;
}

static void write_properties(struct writer *w, const struct layout *l,
			     const struct publication *publication,
			     struct identifier_list identifiers)
{
	write_varint(w, l->properties_len);
	if (l->alias) {
		write_u8(w, MQTT_PROPERTY_TOPIC_ALIAS);
		write_u16(w, l->alias);
	}
	for (uint32_t i = 0; i < identifiers.count; i++) {
		write_u8(w, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
		write_varint(w, identifiers.at[i]);
	}
	write_bytes(w, publication->properties);
	if (l->expires) {
		write_u8(w, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
		write_u32(w, l->expiry_s);
	}
}

static void count_sent(struct shard *shard, size_t payload_len)
{
	COUNT(shard, PACKETS_SENT);
	COUNT(shard, PUBLISH_SENT);
	COUNT_N(shard, PUBLISH_BYTES_SENT, payload_len);
}

enum sent send_publish(struct shard *shard, struct client *client, struct publication *publication,
		       uint8_t qos, bool dup, bool retain, uint16_t packet_id,
		       struct identifier_list identifiers)
{
	bool v5 = client->version == MQTT_VERSION_5_0;
	struct layout l = {.topic = publication->topic, .packet_id = packet_id};
	if (v5 && publication->expires_ms != EXPIRES_NEVER) {
		l.expires = true;
		l.expiry_s = expiry_left_s(shard, publication->expires_ms);
	}
	measure(client, publication, identifiers, &l);
	if (packet_size(&l) > client->maximum_packet_size || l.remaining_len > VARINT_MAX)
		return SENT_TOO_LARGE; /* [MQTT-3.1.2-24] */
	bool borrow = publication->payload.len >= OUTBOX_BORROW_MIN;
	if (borrow && publication_message(shard, publication) == NULL)
		return SENT_NO_MEMORY;
	/* Last of all: what the client is not sent teaches it no alias. */
	if (v5 && client->topic_alias_maximum > 0 && alias_fits(client, &l)) {
		use_alias(shard, client, &l);
		measure(client, publication, identifiers, &l);
	}
	size_t n = packet_size(&l) - (borrow ? publication->payload.len : 0);
	struct writer w = writer_of(client_reserve(shard, client, n), n);
	write_u8(&w, (uint8_t)(MQTT_PUBLISH << 4 | dup << 3 | qos << 1 | retain));
	write_varint(&w, l.remaining_len);
	write_binary(&w, l.topic);
	if (packet_id)
		write_u16(&w, packet_id);
	if (v5)
		write_properties(&w, &l, publication, identifiers);
	if (borrow)
		outbox_borrow(&client->outbox, &shard->purse, publication->message,
			      message_payload(publication->message));
	else
		write_bytes(&w, publication->payload);
	must(!w.full && w.at == w.end);
	count_sent(shard, publication->payload.len);
	return SENT;
}

/*
 * No Reason String and no User Property ever: with or without them wanted, and within any limit.
 * [MQTT-3.1.2-29] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2]
 * [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] */
void send_ack(struct shard *shard, struct client *client, uint8_t type, uint16_t packet_id,
	      enum mqtt_reason reason)
{
	bool with_reason = client->version == MQTT_VERSION_5_0 && reason != MQTT_SUCCESS;
	uint8_t n = with_reason ? 3 : 2;
	struct writer w = writer_of(client_reserve(shard, client, 2u + n), 2u + n);
	write_u8(&w, (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)));
	write_u8(&w, n);
	write_u16(&w, packet_id);
	client->reply_bytes += 2u + n;
	if (with_reason)
		write_u8(&w, (uint8_t)reason);
	COUNT(shard, PACKETS_SENT);
}
