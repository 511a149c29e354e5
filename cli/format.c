#include "cli/format.h"

#include "cli/jsonout.h"
#include "proto/wire.h"

#include <stdlib.h>

/* One sequence that begins with '%': flags, width, precision, letter. */
struct sequence {
	bool left;
	bool zero;
	size_t width;
	bool has_precision;
	size_t precision;
	char letter;
};

/* Widths beyond this serve nobody; printed messages stay bounded. */
#define WIDTH_MAX 65535u

static const char sequence_letters[] = "%ACDEFIJPRSUXjlmpqrtx";

/* What '\' and a letter stand for. */
static const struct {
	char letter;
	char byte;
} escapes[] = {{'0', '\0'}, {'\\', '\\'}, {'a', '\a'}, {'e', '\033'},
	       {'n', '\n'}, {'r', '\r'},  {'t', '\t'}, {'v', '\v'}};

static const char *read_number(const char *at, size_t *number)
{
	*number = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*number = *number * 10 + (size_t)(*at - '0');
		if (*number > WIDTH_MAX)
			*number = WIDTH_MAX;
	}
	return at;
}

/* Reads a sequence after its '%'; returns what follows its letter.  letter is 0 at the text's end.
 */
static const char *read_sequence(const char *at, struct sequence *s)
{
	*s = (struct sequence){0};
	if (*at == '-') {
		s->left = true;
		at++;
	}
	if (*at == '0') {
		s->zero = !s->left;
		at++;
	}
	at = read_number(at, &s->width);
	if (*at == '.') {
		s->has_precision = true;
		at = read_number(at + 1, &s->precision);
	}
	s->letter = *at;
	return *at == '\0' ? at : at + 1;
}

static const char *find_escape(char letter)
{
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		if (escapes[i].letter == letter)
			return &escapes[i].byte;
	}
	return NULL;
}

bool format_check(const char *format, struct failure *failure)
{
	for (const char *at = format; *at != '\0';) {
		const char start = *at++;
		struct sequence s;

		if (start == '%') {
			at = read_sequence(at, &s);
			if (s.letter == '\0')
				return failure_set(failure, "Incomplete format specifier.");
			if (strchr(sequence_letters, s.letter) == NULL)
				return failure_set(failure, "Invalid format specifier '%c'.",
						   s.letter);
		} else if (start == '@') {
			if (*at == '\0')
				return failure_set(failure, "Incomplete format specifier.");
			at++;
		} else if (start == '\\') {
			if (*at == '\0')
				return failure_set(failure, "Incomplete escape specifier.");
			if (find_escape(*at) == NULL)
				return failure_set(failure, "Invalid escape specifier '%c'.", *at);
			at++;
		}
	}
	return true;
}

/* A text in its field; pad is what stands left of it. */
static void add_field(struct buffer *out, const struct sequence *s, struct slice text, char pad)
{
	const size_t padding = s->width > text.len ? s->width - text.len : 0;

	if (!s->left)
		buffer_add_byte(out, pad, padding);
	buffer_add(out, text);
	if (s->left)
		buffer_add_byte(out, ' ', padding);
}

/* A topic or another text: cut to its precision, never padded with zeroes. */
static void add_text(struct buffer *out, const struct sequence *s, struct slice text)
{
	if (s->has_precision && text.len > s->precision)
		text.len = s->precision;
	add_field(out, s, text, ' ');
}

/* A number, or an empty field where the message has none. */
static void add_number(struct buffer *out, const struct sequence *s, bool there, uint32_t number)
{
	struct buffer digits = {0};

	if (there)
		buffer_add_format(&digits, "%u", (unsigned)number);
	add_field(out, s, buffer_slice(&digits), s->zero ? '0' : ' ');
	buffer_finish(&digits);
}

/*
 * mosquitto_sub cuts a payload to the field's width, and one in hexadecimal to
 * half of its own bytes; scripts have come to depend on it, so it is kept.
 */
static void add_payload(struct buffer *out, const struct sequence *s, struct slice payload)
{
	if (s->width > 0 && payload.len > s->width)
		payload.len = s->width;
	add_field(out, s, payload, s->zero ? '0' : ' ');
}

static void add_hexadecimal(struct buffer *out, const struct sequence *s, struct slice payload)
{
	struct buffer digits = {0};

	if (s->width > 0)
		payload.len = (payload.len > s->width ? s->width : payload.len) / 2;
	for (size_t i = 0; i < payload.len; i++)
		buffer_add_format(&digits, s->letter == 'X' ? "%02X" : "%02x", payload.at[i]);
	add_field(out, s, buffer_slice(&digits), s->zero ? '0' : ' ');
	buffer_finish(&digits);
}

static void add_user_properties(struct buffer *out, struct slice raw)
{
	struct slice name, value;
	const size_t start = out->len;

	while (mqtt_next_user_property(&raw, &name, &value)) {
		if (out->len > start)
			buffer_add_byte(out, ' ', 1);
		buffer_add(out, name);
		buffer_add_byte(out, ':', 1);
		buffer_add(out, value);
	}
}

/* All subscription identifiers of a message, one field with a blank between them. */
static void add_identifiers(struct buffer *out, const struct sequence *s, struct slice raw)
{
	struct buffer digits = {0};
	uint32_t identifier;

	while (mqtt_next_subscription_identifier(&raw, &identifier))
		buffer_add_format(&digits, digits.len > 0 ? " %u" : "%u", (unsigned)identifier);
	add_field(out, s, buffer_slice(&digits), s->zero ? '0' : ' ');
	buffer_finish(&digits);
}

static void add_time(struct buffer *out, const char *pattern, time_t at)
{
	char text[256];
	struct tm local;

	if (localtime_r(&at, &local) != NULL)
		buffer_add(out, slice_of(text, strftime(text, sizeof(text), pattern, &local)));
}

static void add_iso_time(struct buffer *out, const struct sequence *s, time_t at)
{
	struct buffer text = {0};

	add_time(&text, "%Y-%m-%dT%H:%M:%S%z", at);
	add_text(out, s, buffer_slice(&text));
	buffer_finish(&text);
}

/* mosquitto_sub writes a "Z" before the offset whatever the time zone; its readers know it so. */
static void write_time(struct jsonout_writer *w, const struct timespec *at)
{
	struct buffer text = {0};

	add_time(&text, "%Y-%m-%dT%H:%M:%S", at->tv_sec);
	buffer_add_format(&text, ".%06ldZ", at->tv_nsec / 1000);
	add_time(&text, "%z", at->tv_sec);
	jsonout_string(w, buffer_slice(&text));
	buffer_finish(&text);
}

static void write_user_properties(struct jsonout_writer *w, struct slice raw)
{
	struct slice name, value;

	jsonout_name(w, SLICE_LITERAL("user-properties"));
	jsonout_open(w);
	while (mqtt_next_user_property(&raw, &name, &value)) {
		jsonout_name(w, name);
		jsonout_string(w, value);
	}
	jsonout_close(w);
}

static void write_identifiers(struct jsonout_writer *w, struct slice raw)
{
	struct buffer found = {0};
	uint32_t identifier;
	size_t count = 0;

	while (mqtt_next_subscription_identifier(&raw, &identifier)) {
		buffer_add(&found, slice_of(&identifier, sizeof(identifier)));
		count++;
	}
	jsonout_name(w, SLICE_LITERAL("subscription-identifier"));
	if (count == 1)
		jsonout_integer(w, identifier);
	else
		jsonout_integers(w, (const uint32_t *)(const void *)found.at, count);
	buffer_finish(&found);
}

/* Steps over the value of a property that may stand in a PUBLISH. */
static void skip_value(struct reader *r, uint32_t property)
{
	switch (property) {
	case MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR:
		read_u8(r);
		break;
	case MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL:
		read_u32(r);
		break;
	case MQTT_PROPERTY_TOPIC_ALIAS:
		read_u16(r);
		break;
	case MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER:
		read_varint(r);
		break;
	case MQTT_PROPERTY_USER_PROPERTY:
		read_binary(r);
		read_binary(r);
		break;
	default:
		read_binary(r);
	}
}

static void write_property(struct jsonout_writer *w, uint32_t property,
			   const struct mqtt_properties *p)
{
	const struct {
		const char *name;
		const struct slice *text;
		uint32_t number;
	} values[] = {
	    [MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR] = {"payload-format-indicator", NULL,
							p->payload_format},
	    [MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL] = {"message-expiry-interval", NULL,
						       p->message_expiry_s},
	    [MQTT_PROPERTY_CONTENT_TYPE] = {"content-type", &p->content_type, 0},
	    [MQTT_PROPERTY_RESPONSE_TOPIC] = {"response-topic", &p->response_topic, 0},
	    [MQTT_PROPERTY_CORRELATION_DATA] = {"correlation-data", &p->correlation_data, 0},
	    [MQTT_PROPERTY_TOPIC_ALIAS] = {"topic-alias", NULL, p->topic_alias},
	};

	if (property >= sizeof(values) / sizeof(values[0]) || values[property].name == NULL)
		return;
	jsonout_name(w, slice_text(values[property].name));
	if (values[property].text != NULL)
		jsonout_string(w, *values[property].text);
	else
		jsonout_integer(w, values[property].number);
}

/* In the order they came, but those that repeat together where the first one stood. */
static void write_properties(struct jsonout_writer *w, const struct mqtt_properties *p)
{
	struct reader r = reader_of(p->raw);
	uint64_t seen = 0;

	jsonout_name(w, SLICE_LITERAL("properties"));
	jsonout_open(w);
	while (reader_left(&r) > 0) {
		const uint32_t property = read_varint(&r) & 63;

		if ((seen >> property & 1) == 0) {
			if (property == MQTT_PROPERTY_USER_PROPERTY)
				write_user_properties(w, p->raw);
			else if (property == MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER)
				write_identifiers(w, p->raw);
			else
				write_property(w, property, p);
		}
		seen |= (uint64_t)1 << property;
		skip_value(&r, property);
	}
	jsonout_close(w);
}

/* %j and %J; nothing at all is written when %J finds that the payload is not JSON. */
static bool add_json(struct buffer *out, const struct format_message *m, bool payload_is_json)
{
	const struct mqtt_publish *p = m->publish;
	const size_t start = out->len;
	struct jsonout_writer w = {.out = out, .pretty = m->pretty};
	bool valid = true;

	jsonout_open(&w);
	jsonout_name(&w, SLICE_LITERAL("tst"));
	write_time(&w, &m->at);
	jsonout_name(&w, SLICE_LITERAL("topic"));
	jsonout_string(&w, p->topic);
	jsonout_name(&w, SLICE_LITERAL("qos"));
	jsonout_integer(&w, p->qos);
	jsonout_name(&w, SLICE_LITERAL("retain"));
	jsonout_integer(&w, p->retain);
	jsonout_name(&w, SLICE_LITERAL("payloadlen"));
	jsonout_integer(&w, (long long)p->payload.len);
	if (p->qos > 0) {
		jsonout_name(&w, SLICE_LITERAL("mid"));
		jsonout_integer(&w, p->packet_id);
	}
	if (p->properties.present != 0)
		write_properties(&w, &p->properties);
	jsonout_name(&w, SLICE_LITERAL("payload"));
	if (p->payload.len == 0)
		jsonout_null_value(&w);
	else if (payload_is_json)
		valid = jsonout_text(&w, p->payload);
	else
		jsonout_string(&w, p->payload);
	jsonout_close(&w);
	if (!valid)
		out->len = start;
	return valid;
}

/* The sequences that show a property of the message; false for the others. */
static bool add_property(struct buffer *out, const struct sequence *s,
			 const struct mqtt_properties *p)
{
	switch (s->letter) {
	case 'A':
		add_number(out, s, mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS), p->topic_alias);
		return true;
	case 'C':
		add_text(out, s,
			 mqtt_has(p, MQTT_PROPERTY_CONTENT_TYPE) ? p->content_type : SLICE_NONE);
		return true;
	case 'D':
		if (mqtt_has(p, MQTT_PROPERTY_CORRELATION_DATA))
			buffer_add(out, p->correlation_data);
		return true;
	case 'E':
		add_number(out, s, mqtt_has(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL),
			   p->message_expiry_s);
		return true;
	case 'F':
		add_number(out, s, mqtt_has(p, MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR),
			   p->payload_format);
		return true;
	case 'P':
		if (mqtt_has(p, MQTT_PROPERTY_USER_PROPERTY))
			add_user_properties(out, p->raw);
		return true;
	case 'R': /* alone among them, no field when there is none */
		if (mqtt_has(p, MQTT_PROPERTY_RESPONSE_TOPIC))
			add_text(out, s, p->response_topic);
		return true;
	case 'S':
		add_identifiers(out, s,
				mqtt_has(p, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) ? p->raw
										   : SLICE_NONE);
		return true;
	default:
		return false;
	}
}

static bool add_sequence(struct buffer *out, const struct sequence *s,
			 const struct format_message *m)
{
	const struct mqtt_publish *p = m->publish;

	if (add_property(out, s, &p->properties))
		return true;
	switch (s->letter) {
	case 'I':
		add_iso_time(out, s, m->at.tv_sec);
		break;
	case 'J':
		return add_json(out, m, true);
	case 'U':
		buffer_add_format(out, "%lld.%09ld", (long long)m->at.tv_sec, m->at.tv_nsec);
		break;
	case 'X':
	case 'x':
		add_hexadecimal(out, s, p->payload);
		break;
	case 'j':
		return add_json(out, m, false);
	case 'l':
		add_number(out, s, true, (uint32_t)p->payload.len);
		break;
	case 'm':
		add_number(out, s, true, p->packet_id);
		break;
	case 'p':
		add_payload(out, s, p->payload);
		break;
	case 'q':
		buffer_add_format(out, "%u", p->qos);
		break;
	case 'r':
		buffer_add_format(out, "%u", p->retain);
		break;
	case 't':
		add_text(out, s, p->topic);
		break;
	default:
		must(s->letter == '%');
		buffer_add_byte(out, '%', 1);
	}
	return true;
}

bool format_write(struct buffer *out, const char *format, const struct format_message *message)
{
	bool valid = true;

	for (const char *at = format; *at != '\0';) {
		const char start = *at++;
		struct sequence s;

		if (start == '%') {
			at = read_sequence(at, &s);
			valid = add_sequence(out, &s, message) && valid;
		} else if (start == '@') {
			if (*at == 'N')
				buffer_add_format(out, "%09ld", message->at.tv_nsec);
			else if (*at == '@')
				buffer_add_byte(out, '@', 1);
			else
				add_time(out, (const char[]){'%', *at, '\0'}, message->at.tv_sec);
			at++;
		} else if (start == '\\') {
			buffer_add_byte(out, *find_escape(*at++), 1);
		} else {
			buffer_add_byte(out, start, 1);
		}
	}
	return valid;
}
