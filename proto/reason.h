/*
 * reason.h - MQTT 5.0 reason codes (section 2.4), one line each in reason.def.
 * The peer's errors travel through the broker as the very code that is sent.
 */
#ifndef PROTO_REASON_H
#define PROTO_REASON_H

#include "proto/base.h"

enum mqtt_reason {
#define REASON(code, name, text, packets) MQTT_##name = code,
#include "proto/reason.def"
#undef REASON
	/* The same codes under their other names. */
	MQTT_NORMAL_DISCONNECTION = 0x00,
	MQTT_GRANTED_QOS_0 = 0x00,
};

/* The specification's name of a code, for people; "unknown reason" for others. */
const char *mqtt_reason_text(uint8_t code);

static inline bool mqtt_reason_is_error(uint8_t code)
{
	return code >= 0x80;
}

/* May this code stand in this packet type (enum mqtt_packet_type)? Table 2-6 of MQTT 5.0. */
bool mqtt_reason_allowed(uint8_t code, uint8_t packet_type);

/*
 * CONNACK return code of 3.1 and 3.1.1 (section 3.2.2.3, 1 to 5) for a 5.0
 * reason, or 0 where no return code says it and the connection is just closed.
 */
uint8_t mqtt_connack_return_code(enum mqtt_reason reason);

#endif
