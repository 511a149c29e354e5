/*
 * ack.c - PUBACK, PUBREC, PUBREL and PUBCOMP, which have one form: MQTT 5.0
 * sections 3.4 to 3.7; see packet.h.
 */
#include "proto/frame.h"
#include "proto/packet.h"
#include "proto/property.h"
#include "proto/wire.h"

enum mqtt_reason mqtt_decode_ack(uint8_t type, struct slice body, enum mqtt_version v,
				 struct mqtt_ack *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->type = type;
	out->packet_id = read_u16(&r);
	out->reason = MQTT_SUCCESS;
	property_none(&out->properties);
	if (v == MQTT_VERSION_5_0) { /* both may be left out from the end, section 3.4.2.1 */
		if (reader_left(&r) > 0)
			out->reason = read_u8(&r);
		if (reader_left(&r) > 0) {
			reason = property_decode(&r, type, &out->properties);
			if (reason != MQTT_SUCCESS)
				return reason;
		}
	}
	if (!reader_done(&r))
		return MQTT_MALFORMED_PACKET;
	if (out->packet_id == 0) /* no packet it could belong to [MQTT-2.2.1-5] [MQTT3-2.3.1-6] */
		return MQTT_PROTOCOL_ERROR;
	/*
	 * The packet can be read, but says what the protocol does not allow, which
	 * section 1.2 calls a Protocol Error. [MQTT-3.4.2-1] [MQTT-3.5.2-1]
	 * [MQTT-3.6.2-1] [MQTT-3.7.2-1]
	 */
	return mqtt_reason_allowed(out->reason, type) ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

size_t mqtt_encode_ack(uint8_t *out, size_t room, enum mqtt_version v, const struct mqtt_ack *p)
{
	size_t properties = property_size(v, &p->properties);
	bool with_properties = properties > 0;
	bool with_reason = v == MQTT_VERSION_5_0 && (p->reason != MQTT_SUCCESS || with_properties);
	size_t body = 2u + with_reason + (with_properties ? property_block_size(v, properties) : 0);
	uint8_t flags = p->type == MQTT_PUBREL ? 0x02 : 0; /* [MQTT-3.6.1-1] */
	struct writer w;

	must(p->type >= MQTT_PUBACK && p->type <= MQTT_PUBCOMP);
	if (!frame_begin(&w, out, room, (uint8_t)(p->type << 4 | flags), body))
		return 0;
	write_u16(&w, p->packet_id);
	if (with_reason)
		write_u8(&w, p->reason);
	if (with_properties)
		property_encode(&w, v, &p->properties, properties);
	return frame_end(&w, out);
}
