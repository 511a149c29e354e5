/*
 * packet.h - one plain struct per MQTT control packet, and their codecs.
 * MQTT 5.0 chapter 3; MQTT 3.1.1 chapter 3; MQTT V3.1 (IBM, 2010).
 *
 * Decoders fill a struct whose slices point into the caller's bytes; encoders
 * write a whole packet, fixed header included.  No heap, no state, no I/O.
 *
 * Decoding errors are the reason code to send: MQTT_MALFORMED_PACKET,
 * MQTT_PROTOCOL_ERROR or the more exact one the specification names for the
 * fault.  On an error *out is undefined.  A decoder that was successful has
 * used every byte of the body.
 *
 * Encoders return the size of the packet, or 0 when it does not fit in `room`.
 */
#ifndef PROTO_PACKET_H
#define PROTO_PACKET_H

#include "proto/base.h"
#include "proto/reason.h"

enum mqtt_packet_type {
	MQTT_CONNECT = 1,
	MQTT_CONNACK = 2,
	MQTT_PUBLISH = 3,
	MQTT_PUBACK = 4,
	MQTT_PUBREC = 5,
	MQTT_PUBREL = 6,
	MQTT_PUBCOMP = 7,
	MQTT_SUBSCRIBE = 8,
	MQTT_SUBACK = 9,
	MQTT_UNSUBSCRIBE = 10,
	MQTT_UNSUBACK = 11,
	MQTT_PINGREQ = 12,
	MQTT_PINGRESP = 13,
	MQTT_DISCONNECT = 14,
	MQTT_AUTH = 15,
};

enum mqtt_version {
	MQTT_VERSION_3_1 = 3,
	MQTT_VERSION_3_1_1 = 4,
	MQTT_VERSION_5_0 = 5,
};

/* "PUBLISH" and so on; "reserved" for 0. */
const char *mqtt_packet_name(uint8_t type);

/* ---- properties (MQTT 5.0 section 2.2.2), one line each in property.def ---- */

enum mqtt_property {
#define PROPERTY(id, name, field, type, packets, repeats) MQTT_PROPERTY_##name = id,
#include "proto/property.def"
#undef PROPERTY
};

/*
 * The properties of one packet.  A field means something only where its bit is
 * set in `present` (bit number = property identifier); the others hold nothing
 * in particular, because clearing them all would cost more than decoding does.
 */
struct mqtt_properties {
	uint64_t present;
	uint32_t session_expiry_s;
	uint32_t message_expiry_s;
	uint32_t will_delay_s;
	uint32_t maximum_packet_size;
	uint32_t
	    subscription_identifier; /* the last one where several stand (PUBLISH to a client) */
	uint16_t receive_maximum;
	uint16_t topic_alias_maximum;
	uint16_t topic_alias;
	uint16_t server_keep_alive_s;
	uint8_t payload_format;
	uint8_t maximum_qos;
	uint8_t retain_available;
	uint8_t wildcard_available;
	uint8_t subscription_identifiers_available;
	uint8_t shared_available;
	uint8_t request_problem_information;
	uint8_t request_response_information;
	struct slice content_type;
	struct slice response_topic;
	struct slice correlation_data;
	struct slice assigned_client_identifier;
	struct slice authentication_method;
	struct slice authentication_data;
	struct slice response_information;
	struct slice server_reference;
	struct slice reason_string;
	struct slice user_property; /* decode: the last one's name; encode: see `user` */
	struct slice raw;	    /* decode only: the whole property block without its length */
	struct slice user; /* encode only: user properties, already encoded one after the other */
};

static inline bool mqtt_has(const struct mqtt_properties *p, enum mqtt_property property)
{
	return (p->present >> property & 1) != 0;
}

static inline void mqtt_set(struct mqtt_properties *p, enum mqtt_property property)
{
	p->present |= (uint64_t)1 << property;
}

/* What the peer says in words, empty for nothing. */
static inline struct slice mqtt_reason_words(const struct mqtt_properties *p)
{
	return mqtt_has(p, MQTT_PROPERTY_REASON_STRING) ? p->reason_string : SLICE_NONE;
}

/*
 * Walks the user properties in a decoded block in their order: takes them off
 * the front of *raw (which starts as properties.raw).  False when none is left.
 */
bool mqtt_next_user_property(struct slice *raw, struct slice *name, struct slice *value);

/*
 * Walks the subscription identifiers of a PUBLISH to a client, likewise (metrino sub shows them).
 */
bool mqtt_next_subscription_identifier(struct slice *raw, uint32_t *identifier);

/*
 * The properties of a PUBLISH (or will) that go on unchanged to subscribers, in
 * the order they came: payload format, content type, response topic,
 * correlation data, user properties. [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-4] [MQTT-3.3.2-15]
 * [MQTT-3.3.2-16] [MQTT-3.3.2-20] [MQTT-3.1.3-10] Copies them from the decoded block `raw` to
 * `out`, which has room for raw.len bytes; returns how many were written.
 */
size_t mqtt_forward_properties(struct slice raw, uint8_t *out);

/* ---- packets ---- */

struct mqtt_will {
	uint8_t qos;
	bool retain;
	struct slice topic;
	struct slice payload;
	struct mqtt_properties properties;
};

struct mqtt_connect {
	enum mqtt_version version;
	bool bridge;	  /* bit 7 of the protocol level: mosquitto's bridges to 3.1.1 brokers */
	bool clean_start; /* "clean session" before 5.0 */
	bool has_will;
	bool has_user_name;
	bool has_password;
	uint16_t keep_alive_s;
	struct slice client_id;
	struct slice user_name;
	struct slice password;
	struct mqtt_properties properties;
	struct mqtt_will will;
};

struct mqtt_connack {
	bool session_present;
	uint8_t reason; /* a reason code for 5.0, else a return code 0 to 5 */
	struct mqtt_properties properties;
};

struct mqtt_publish {
	uint8_t qos;
	bool dup;
	bool retain;
	uint16_t packet_id; /* 0 with QoS 0 */
	struct slice topic; /* may be empty when an alias stands for it */
	struct slice payload;
	struct mqtt_properties properties; /* present == 0 and raw empty before 5.0 */
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP */
struct mqtt_ack {
	uint8_t type; /* enum mqtt_packet_type */
	uint16_t packet_id;
	uint8_t reason;
	struct mqtt_properties properties;
};

/* One entry of a SUBSCRIBE, in the specification's words (5.0 section 3.8.3.1). */
struct mqtt_subscription {
	struct slice filter;
	uint8_t qos;
	bool no_local;
	bool retain_as_published;
	uint8_t retain_handling; /* 0 send, 1 send if new, 2 do not send */
};

/* SUBSCRIBE and UNSUBSCRIBE: entries are walked, not copied. */
struct mqtt_subscribe {
	uint16_t packet_id;
	size_t count;	      /* entries, at least 1 */
	struct slice entries; /* what mqtt_next_subscription / mqtt_next_filter walk */
	struct mqtt_properties properties;
};

/* SUBACK and UNSUBACK */
struct mqtt_suback {
	uint8_t type;
	uint16_t packet_id;
	struct slice reasons; /* one byte an entry; empty for an UNSUBACK before 5.0 */
	struct mqtt_properties properties;
};

struct mqtt_disconnect {
	uint8_t reason;
	struct mqtt_properties properties;
};

struct mqtt_auth {
	uint8_t reason;
	struct mqtt_properties properties;
};

/*
 * CONNECT.  On an error *out is undefined, but `version` tells in which form a
 * refusal may be sent: 3, 4 or 5; 0 where there is nobody to understand it.  That is
 * so when the packet ends before the level, or when neither name nor level is one of
 * ours.  A wrong name or level gives MQTT_UNSUPPORTED_PROTOCOL_VERSION.
 * [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.1.2-3] [MQTT-3.1.4-1] [MQTT3-3.1.4-1]
 */
enum mqtt_reason mqtt_decode_connect(struct slice body, struct mqtt_connect *out);

/* Is this the body of a CONNECT of MQTT V3.1, in which the flags of the fixed header say nothing?
 */
bool mqtt_connect_is_3_1(struct slice body);
enum mqtt_reason mqtt_decode_connack(struct slice body, enum mqtt_version v,
				     struct mqtt_connack *out);
enum mqtt_reason mqtt_decode_publish(uint8_t flags, struct slice body, enum mqtt_version v,
				     struct mqtt_publish *out);
/* type: one of the four acknowledgements. */
enum mqtt_reason mqtt_decode_ack(uint8_t type, struct slice body, enum mqtt_version v,
				 struct mqtt_ack *out);
/*
 * A filter that is not valid UTF-8 is malformed; whether a filter is a valid
 * one, topic.h decides, entry by entry.
 */
enum mqtt_reason mqtt_decode_subscribe(struct slice body, enum mqtt_version v,
				       struct mqtt_subscribe *out);
enum mqtt_reason mqtt_decode_unsubscribe(struct slice body, enum mqtt_version v,
					 struct mqtt_subscribe *out);
enum mqtt_reason mqtt_decode_suback(uint8_t type, struct slice body, enum mqtt_version v,
				    struct mqtt_suback *out);
enum mqtt_reason mqtt_decode_disconnect(struct slice body, enum mqtt_version v,
					struct mqtt_disconnect *out);
enum mqtt_reason mqtt_decode_auth(struct slice body, struct mqtt_auth *out);

/*
 * Are the four flag bits of the fixed header the ones this packet type must
 * have?  PUBLISH always passes here; its decoder judges. [MQTT-2.1.3-1]
 */
bool mqtt_flags_valid(uint8_t type, uint8_t flags);

/* Take the next entry off the front of *entries; false when none is left.  The
 * bytes were checked by the decoder of the whole packet. */
bool mqtt_next_subscription(struct slice *entries, enum mqtt_version v,
			    struct mqtt_subscription *out);
bool mqtt_next_filter(struct slice *entries, struct slice *filter);

size_t mqtt_encode_connect(uint8_t *out, size_t room, const struct mqtt_connect *p);
size_t mqtt_encode_connack(uint8_t *out, size_t room, enum mqtt_version v,
			   const struct mqtt_connack *p);
size_t mqtt_encode_publish(uint8_t *out, size_t room, enum mqtt_version v,
			   const struct mqtt_publish *p);
size_t mqtt_encode_ack(uint8_t *out, size_t room, enum mqtt_version v, const struct mqtt_ack *p);
/* Entries come as an array; p->entries and p->count are not looked at. */
size_t mqtt_encode_subscribe(uint8_t *out, size_t room, enum mqtt_version v,
			     const struct mqtt_subscribe *p,
			     const struct mqtt_subscription *entries, size_t count);
size_t mqtt_encode_unsubscribe(uint8_t *out, size_t room, enum mqtt_version v,
			       const struct mqtt_subscribe *p, const struct slice *filters,
			       size_t count);
size_t mqtt_encode_suback(uint8_t *out, size_t room, enum mqtt_version v,
			  const struct mqtt_suback *p);
/* DISCONNECT before 5.0 has no body: reason and properties are left out. */
size_t mqtt_encode_disconnect(uint8_t *out, size_t room, enum mqtt_version v,
			      const struct mqtt_disconnect *p);
size_t mqtt_encode_auth(uint8_t *out, size_t room, const struct mqtt_auth *p);
/* PINGREQ, PINGRESP: two bytes. */
size_t mqtt_encode_empty(uint8_t *out, size_t room, uint8_t type);

#endif
