/* properties.c - the -D flag: properties of MQTT 5.0 for every packet the command sends. */
#include "cli/options.h"

#include "proto/property.h"
#include "proto/topic.h"
#include "proto/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define IN(packet) (1u << (packet))
#define MESSAGE	   (IN(MQTT_PUBLISH) | IN(PACKET_WILL))
#define ANSWER	   (IN(MQTT_PUBACK) | IN(MQTT_PUBREC) | IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP))

/* The packets by the names that -D knows them. */
static const struct {
	const char *name;
	uint8_t packet;
} commands[] = {
    {"connect", MQTT_CONNECT},	     {"publish", MQTT_PUBLISH},
    {"puback", MQTT_PUBACK},	     {"pubrec", MQTT_PUBREC},
    {"pubrel", MQTT_PUBREL},	     {"pubcomp", MQTT_PUBCOMP},
    {"subscribe", MQTT_SUBSCRIBE},   {"unsubscribe", MQTT_UNSUBSCRIBE},
    {"disconnect", MQTT_DISCONNECT}, {"auth", MQTT_AUTH},
    {"will", PACKET_WILL},
};

/* What a client may send: MQTT 5.0 table 2-4. */
static const struct known_property {
	const char *name;
	enum mqtt_property property;
	enum property_type type;
	size_t field;
	uint32_t packets;
} known[] = {
#define FIELD(name) offsetof(struct mqtt_properties, name)
    {"payload-format-indicator", MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR, TYPE_FLAG,
     FIELD(payload_format), MESSAGE},
    {"message-expiry-interval", MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL, TYPE_U32,
     FIELD(message_expiry_s), MESSAGE},
    {"content-type", MQTT_PROPERTY_CONTENT_TYPE, TYPE_STRING, FIELD(content_type), MESSAGE},
    {"response-topic", MQTT_PROPERTY_RESPONSE_TOPIC, TYPE_TOPIC, FIELD(response_topic), MESSAGE},
    {"correlation-data", MQTT_PROPERTY_CORRELATION_DATA, TYPE_BINARY, FIELD(correlation_data),
     MESSAGE},
    {"topic-alias", MQTT_PROPERTY_TOPIC_ALIAS, TYPE_ALIAS, FIELD(topic_alias), IN(MQTT_PUBLISH)},
    {"subscription-identifier", MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER, TYPE_COUNT,
     FIELD(subscription_identifier), IN(MQTT_SUBSCRIBE)},
    {"session-expiry-interval", MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL, TYPE_U32,
     FIELD(session_expiry_s), IN(MQTT_CONNECT) | IN(MQTT_DISCONNECT)},
    {"authentication-method", MQTT_PROPERTY_AUTHENTICATION_METHOD, TYPE_STRING,
     FIELD(authentication_method), IN(MQTT_CONNECT) | IN(MQTT_AUTH)},
    {"authentication-data", MQTT_PROPERTY_AUTHENTICATION_DATA, TYPE_BINARY,
     FIELD(authentication_data), IN(MQTT_CONNECT) | IN(MQTT_AUTH)},
    {"request-problem-information", MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION, TYPE_FLAG,
     FIELD(request_problem_information), IN(MQTT_CONNECT)},
    {"request-response-information", MQTT_PROPERTY_REQUEST_RESPONSE_INFORMATION, TYPE_FLAG,
     FIELD(request_response_information), IN(MQTT_CONNECT)},
    {"will-delay-interval", MQTT_PROPERTY_WILL_DELAY_INTERVAL, TYPE_U32, FIELD(will_delay_s),
     IN(PACKET_WILL)},
    {"receive-maximum", MQTT_PROPERTY_RECEIVE_MAXIMUM, TYPE_LIMIT16, FIELD(receive_maximum),
     IN(MQTT_CONNECT)},
    {"topic-alias-maximum", MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM, TYPE_U16, FIELD(topic_alias_maximum),
     IN(MQTT_CONNECT)},
    {"maximum-packet-size", MQTT_PROPERTY_MAXIMUM_PACKET_SIZE, TYPE_LIMIT32,
     FIELD(maximum_packet_size), IN(MQTT_CONNECT)},
    {"reason-string", MQTT_PROPERTY_REASON_STRING, TYPE_STRING, FIELD(reason_string),
     ANSWER | IN(MQTT_DISCONNECT) | IN(MQTT_AUTH)},
    {"user-property", MQTT_PROPERTY_USER_PROPERTY, TYPE_PAIR, 0, 0xffff},
#undef FIELD
};

/* The numbers that each numeric type allows. */
static const struct {
	uint64_t minimum, maximum;
} ranges[] = {
    [TYPE_FLAG] = {0, 1},	    [TYPE_U16] = {0, 65535},	  [TYPE_LIMIT16] = {1, 65535},
    [TYPE_ALIAS] = {1, 65535},	    [TYPE_U32] = {0, UINT32_MAX}, [TYPE_LIMIT32] = {1, UINT32_MAX},
    [TYPE_COUNT] = {1, VARINT_MAX},
};

bool options_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *number >= minimum && *number <= maximum;
}

static bool set_number(struct mqtt_properties *p, const struct known_property *k, const char *text,
		       struct failure *failure)
{
	uint8_t *field = (uint8_t *)p + k->field;
	uint64_t number;

	if (!options_number(text, ranges[k->type].minimum, ranges[k->type].maximum, &number))
		return failure_set(failure,
				   "Invalid %s '%.40s' in --property argument: it must be a number "
				   "between %llu and %llu.",
				   k->name, text, (unsigned long long)ranges[k->type].minimum,
				   (unsigned long long)ranges[k->type].maximum);
	if (k->type == TYPE_FLAG)
		*field = (uint8_t)number;
	else if (k->type == TYPE_U16 || k->type == TYPE_LIMIT16 || k->type == TYPE_ALIAS)
		*(uint16_t *)(void *)field = (uint16_t)number;
	else
		*(uint32_t *)(void *)field = (uint32_t)number;
	return true;
}

static bool text_fits(const char *name, struct slice text, bool binary, struct failure *failure)
{
	if (text.len > UINT16_MAX)
		return failure_set(failure,
				   "The value of %s in --property argument is longer than 65535 "
				   "bytes.",
				   name);
	if (!binary && !utf8_string_valid(text))
		return failure_set(failure, "The value of %s in --property argument is not UTF-8.",
				   name);
	return true;
}

static bool set_text(struct mqtt_properties *p, const struct known_property *k, const char *text,
		     struct failure *failure)
{
	const struct slice value = slice_text(text);

	if (!text_fits(k->name, value, k->type == TYPE_BINARY, failure))
		return false;
	if (k->type == TYPE_TOPIC && !topic_name_valid(value))
		return failure_set(failure,
				   "Invalid response-topic '%.80s' in --property argument, does it "
				   "contain '+' or '#'?",
				   text);
	*(struct slice *)(void *)((uint8_t *)p + k->field) = value;
	return true;
}

static void add_user_property(struct buffer *b, struct slice name, struct slice value)
{
	const size_t size = 1 + 2 + name.len + 2 + value.len;
	struct writer w = writer_of(buffer_reserve(b, size), size);

	write_u8(&w, MQTT_PROPERTY_USER_PROPERTY);
	write_binary(&w, name);
	write_binary(&w, value);
	must(!w.full);
	b->len += size;
}

static bool find_command(const char *name, uint8_t *packet)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcasecmp(commands[i].name, name) == 0) {
			*packet = commands[i].packet;
			return true;
		}
	}
	return false;
}

static const struct known_property *find_property(const char *name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcasecmp(known[i].name, name) == 0)
			return &known[i];
	}
	return NULL;
}

bool options_read_property(struct options *o, char *const *words, int count, int *used,
			   struct failure *failure)
{
	const struct known_property *k;
	struct mqtt_properties *p;
	uint8_t packet;

	if (count < 3)
		return failure_set(failure,
				   "--property argument given but not enough arguments specified.");
	if (!find_command(words[0], &packet))
		return failure_set(failure,
				   "Invalid command '%.40s' given in --property argument. It must "
				   "be a packet, such as connect, publish or will.",
				   words[0]);
	k = find_property(words[1]);
	if (k == NULL)
		return failure_set(failure,
				   "Invalid property name '%.40s' given in --property argument.",
				   words[1]);
	if ((k->packets >> packet & 1) == 0)
		return failure_set(failure,
				   "%s property not allowed for %s in --property argument.",
				   k->name, words[0]);
	o->version = MQTT_VERSION_5_0;
	p = &o->properties[packet];
	*used = k->type == TYPE_PAIR ? 4 : 3;
	if (*used > count)
		return failure_set(failure,
				   "--property argument given but not enough arguments specified.");
	if (k->type == TYPE_PAIR) {
		if (!text_fits(k->name, slice_text(words[2]), false, failure) ||
		    !text_fits(k->name, slice_text(words[3]), false, failure))
			return false;
		add_user_property(&o->user_properties[packet], slice_text(words[2]),
				  slice_text(words[3]));
		return true;
	}
	if (mqtt_has(p, k->property))
		return failure_set(failure, "Duplicate %s property for %s in --property argument.",
				   k->name, words[0]);
	mqtt_set(p, k->property);
	if (k->type == TYPE_STRING || k->type == TYPE_TOPIC || k->type == TYPE_BINARY)
		return set_text(p, k, words[2], failure);
	return set_number(p, k, words[2], failure);
}

struct mqtt_properties options_properties(const struct options *o, uint8_t packet)
{
	struct mqtt_properties p = o->properties[packet];

	p.user = buffer_slice(&o->user_properties[packet]);
	return p;
}
