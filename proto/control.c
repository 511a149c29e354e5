/*
 * control.c - DISCONNECT, AUTH and the two PINGs, MQTT 5.0 sections 3.12 to
 * 3.15, and what is known of every packet type; see packet.h.
 */
#include "proto/frame.h"
#include "proto/packet.h"
#include "proto/property.h"
#include "proto/wire.h"

#define FLAGS_OWN 0xFF /* the flags say something: left to the decoder */
#define FLAGS_BAD 0xFE /* no flags make this a packet */

struct packet_row {
	const char *name;
	uint8_t flags; /* MQTT 5.0, table 2-2 */
};

static const struct packet_row rows[16] = {
    [0] = {"reserved", FLAGS_BAD},
    [MQTT_CONNECT] = {"CONNECT", 0x00},
    [MQTT_CONNACK] = {"CONNACK", 0x00},
    [MQTT_PUBLISH] = {"PUBLISH", FLAGS_OWN},
    [MQTT_PUBACK] = {"PUBACK", 0x00},
    [MQTT_PUBREC] = {"PUBREC", 0x00},
    [MQTT_PUBREL] = {"PUBREL", 0x02}, /* [MQTT-3.6.1-1] [MQTT3-3.6.1-1] */
    [MQTT_PUBCOMP] = {"PUBCOMP", 0x00},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", 0x02}, /* [MQTT-3.8.1-1] */
    [MQTT_SUBACK] = {"SUBACK", 0x00},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", 0x02}, /* [MQTT-3.10.1-1] */
    [MQTT_UNSUBACK] = {"UNSUBACK", 0x00},
    [MQTT_PINGREQ] = {"PINGREQ", 0x00},
    [MQTT_PINGRESP] = {"PINGRESP", 0x00},
    [MQTT_DISCONNECT] = {"DISCONNECT", 0x00}, /* [MQTT-3.14.1-1] [MQTT3-3.14.1-1] */
    [MQTT_AUTH] = {"AUTH", 0x00},	      /* [MQTT-3.15.1-1] */
};

const char *mqtt_packet_name(uint8_t type)
{
	return type <= MQTT_AUTH ? rows[type].name : rows[0].name;
}

bool mqtt_flags_valid(uint8_t type, uint8_t flags)
{
	if (type > MQTT_AUTH)
		return false;
	return rows[type].flags == FLAGS_OWN || rows[type].flags == flags;
}

/* A reason code not of the packet's list can be read but is not allowed: section 1.2, Protocol
 * Error. */
static enum mqtt_reason check_reason(uint8_t code, uint8_t type)
{
	return mqtt_reason_allowed(code, type) ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

enum mqtt_reason mqtt_decode_disconnect(struct slice body, enum mqtt_version v,
					struct mqtt_disconnect *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->reason = MQTT_NORMAL_DISCONNECTION;
	property_none(&out->properties);
	if (v == MQTT_VERSION_5_0) { /* both may be left out from the end, section 3.14.2 */
		if (reader_left(&r) > 0)
			out->reason = read_u8(&r);
		if (reader_left(&r) > 0) {
			reason = property_decode(&r, MQTT_DISCONNECT, &out->properties);
			if (reason != MQTT_SUCCESS)
				return reason;
		}
	}
	if (!reader_done(&r))
		return MQTT_MALFORMED_PACKET;
	return check_reason(out->reason, MQTT_DISCONNECT); /* [MQTT-3.14.2-1] */
}

enum mqtt_reason mqtt_decode_auth(struct slice body, struct mqtt_auth *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->reason = MQTT_SUCCESS;
	property_none(&out->properties);
	if (body.len == 0) /* reason and properties are left out together, section 3.15.2.1 */
		return MQTT_SUCCESS;
	out->reason = read_u8(&r);
	reason = property_decode(&r, MQTT_AUTH, &out->properties);
	if (reason != MQTT_SUCCESS)
		return reason;
	if (!reader_done(&r))
		return MQTT_MALFORMED_PACKET;
	if (!mqtt_has(&out->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD))
		return MQTT_PROTOCOL_ERROR;	     /* section 3.15.2.2.2 */
	return check_reason(out->reason, MQTT_AUTH); /* [MQTT-3.15.2-1] */
}

size_t mqtt_encode_disconnect(uint8_t *out, size_t room, enum mqtt_version v,
			      const struct mqtt_disconnect *p)
{
	size_t properties = property_size(v, &p->properties);
	bool with_properties = properties > 0;
	bool with_reason = v == MQTT_VERSION_5_0 && (p->reason != MQTT_SUCCESS || with_properties);
	size_t body =
	    (with_reason ? 1u : 0u) + (with_properties ? property_block_size(v, properties) : 0);
	struct writer w;

	if (!frame_begin(&w, out, room, MQTT_DISCONNECT << 4, body))
		return 0;
	if (with_reason)
		write_u8(&w, p->reason);
	if (with_properties)
		property_encode(&w, v, &p->properties, properties);
	return frame_end(&w, out);
}

size_t mqtt_encode_auth(uint8_t *out, size_t room, const struct mqtt_auth *p)
{
	size_t properties = property_size(MQTT_VERSION_5_0, &p->properties);
	bool empty = p->reason == MQTT_SUCCESS && properties == 0;
	size_t body = empty ? 0 : 1 + property_block_size(MQTT_VERSION_5_0, properties);
	struct writer w;

	if (!frame_begin(&w, out, room, MQTT_AUTH << 4, body))
		return 0;
	if (!empty) {
		write_u8(&w, p->reason);
		property_encode(&w, MQTT_VERSION_5_0, &p->properties, properties);
	}
	return frame_end(&w, out);
}

size_t mqtt_encode_empty(uint8_t *out, size_t room, uint8_t type)
{
	struct writer w;

	must(type == MQTT_PINGREQ || type == MQTT_PINGRESP);
	if (!frame_begin(&w, out, room, (uint8_t)(type << 4), 0))
		return 0;
	return frame_end(&w, out);
}
