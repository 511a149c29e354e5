/* reason.c - see reason.h. */
#include "proto/reason.h"
#include "proto/packet.h"

/* Groups of packets, in which the codes of reason.def may stand. */
#define IN(packet) (1u << MQTT_##packet)
#define REPLY	   (IN(PUBACK) | IN(PUBREC))
#define REQUEST	   (IN(SUBACK) | IN(UNSUBACK))
#define CLOSE	   (IN(CONNACK) | IN(DISCONNECT))
#define REFUSAL	   (CLOSE | REPLY | REQUEST)
#define DONE	   (REFUSAL | IN(PUBREL) | IN(PUBCOMP) | IN(AUTH))

struct reason_row {
	const char *text;
	uint16_t packets; /* bit number = packet type */
};

static const struct reason_row rows[256] = {
#define REASON(code, name, text, packets) [code] = {text, packets},
#include "proto/reason.def"
#undef REASON
};

const char *mqtt_reason_text(uint8_t code)
{
	return rows[code].text ? rows[code].text : "unknown reason";
}

bool mqtt_reason_allowed(uint8_t code, uint8_t packet_type)
{
	return packet_type <= MQTT_AUTH && (rows[code].packets >> packet_type & 1) != 0;
}

/* Return codes of MQTT 3.1.1, table 3.1. */
enum {
	UNACCEPTABLE_PROTOCOL_VERSION = 1,
	IDENTIFIER_REJECTED = 2,
	UNAVAILABLE = 3,
	BAD_CREDENTIALS = 4,
	UNAUTHORIZED = 5,
};

static const uint8_t return_codes[256] = {
    [MQTT_UNSUPPORTED_PROTOCOL_VERSION] = UNACCEPTABLE_PROTOCOL_VERSION,
    [MQTT_CLIENT_IDENTIFIER_NOT_VALID] = IDENTIFIER_REJECTED,
    [MQTT_SERVER_UNAVAILABLE] = UNAVAILABLE,
    [MQTT_SERVER_BUSY] = UNAVAILABLE,
    [MQTT_QUOTA_EXCEEDED] = UNAVAILABLE,
    [MQTT_USE_ANOTHER_SERVER] = UNAVAILABLE,
    [MQTT_SERVER_MOVED] = UNAVAILABLE,
    [MQTT_CONNECTION_RATE_EXCEEDED] = UNAVAILABLE,
    [MQTT_BAD_USER_NAME_OR_PASSWORD] = BAD_CREDENTIALS,
    [MQTT_NOT_AUTHORIZED] = UNAUTHORIZED,
    /* a will that is not taken here */
    [MQTT_PACKET_TOO_LARGE] = UNAUTHORIZED,
    [MQTT_RETAIN_NOT_SUPPORTED] = UNAUTHORIZED,
    [MQTT_QOS_NOT_SUPPORTED] = UNAUTHORIZED,
    [MQTT_BANNED] = UNAUTHORIZED,
    [MQTT_BAD_AUTHENTICATION_METHOD] = UNAUTHORIZED,
};

uint8_t mqtt_connack_return_code(enum mqtt_reason reason)
{
	return return_codes[(uint8_t)reason];
}
