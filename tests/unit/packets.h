/*
 * packets.h - for the tests of proto: bytes written down readably, and tables
 * of packets with the reason that their decoder has to give.
 *
 * All bytes are heap copies of exactly their length, so that AddressSanitizer
 * sees a read of one byte too many.
 */
#ifndef TESTS_UNIT_PACKETS_H
#define TESTS_UNIT_PACKETS_H

#include <check.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/packet.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline struct slice bytes_copy(struct slice from)
{
	uint8_t *copy = malloc(from.len);

	ck_assert_ptr_nonnull(copy);
	if (from.len > 0)
		memcpy(copy, from.at, from.len);
	return slice_of(copy, from.len);
}

static inline void bytes_free(struct slice bytes)
{
	free((void *)(uintptr_t)bytes.at);
}

/* "00 04 'MQTT' 05": hexadecimal bytes and quoted text.  To be freed. */
static inline struct slice bytes_parse(const char *text)
{
	uint8_t buffer[512];
	size_t len = 0;

	while (*text) {
		char digits[3] = {text[0], text[1], 0};
		char *end;

		ck_assert_uint_lt(len, sizeof(buffer));
		if (*text == ' ') {
			text++;
		} else if (*text == '\'') {
			for (text++; *text != '\''; text++)
				buffer[len++] = (uint8_t)*text;
			text++;
		} else {
			buffer[len++] = (uint8_t)strtoul(digits, &end, 16);
			ck_assert_msg(*end == 0, "bad byte in \"%s\"", text);
			text += 2;
		}
	}
	return bytes_copy(slice_of(buffer, len));
}

/* Any packet, decoded. */
union packet {
	struct mqtt_connect connect;
	struct mqtt_connack connack;
	struct mqtt_publish publish;
	struct mqtt_ack ack;
	struct mqtt_subscribe subscribe;
	struct mqtt_suback suback;
	struct mqtt_disconnect disconnect;
	struct mqtt_auth auth;
};

/* What a connection does with a frame: the flags first, then the decoder of its type. */
static inline enum mqtt_reason packet_decode(const struct frame *f, enum mqtt_version v,
					     union packet *out)
{
	if (!mqtt_flags_valid(f->type, f->flags))
		return MQTT_MALFORMED_PACKET;
	switch (f->type) {
	case MQTT_CONNECT:
		return mqtt_decode_connect(f->body, &out->connect);
	case MQTT_CONNACK:
		return mqtt_decode_connack(f->body, v, &out->connack);
	case MQTT_PUBLISH:
		return mqtt_decode_publish(f->flags, f->body, v, &out->publish);
	case MQTT_SUBSCRIBE:
		return mqtt_decode_subscribe(f->body, v, &out->subscribe);
	case MQTT_UNSUBSCRIBE:
		return mqtt_decode_unsubscribe(f->body, v, &out->subscribe);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_decode_suback(f->type, f->body, v, &out->suback);
	case MQTT_DISCONNECT:
		return mqtt_decode_disconnect(f->body, v, &out->disconnect);
	case MQTT_AUTH:
		return mqtt_decode_auth(f->body, &out->auth);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return f->body.len == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
	default:
		return mqtt_decode_ack(f->type, f->body, v, &out->ack);
	}
}

struct packet_case {
	uint8_t first; /* type and flags */
	enum mqtt_version version;
	const char *body;
	enum mqtt_reason reason;
};

/* Decodes each body of the table, and each prefix of the good ones, which must not be read past. */
static inline void packet_cases_check(const struct packet_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct packet_case *c = &cases[i];
		struct slice body = bytes_parse(c->body);
		struct frame f = {c->first >> 4, c->first & 0x0F, body, 0};
		enum mqtt_reason reason;
		union packet out;

		reason = packet_decode(&f, c->version, &out);
		ck_assert_msg(reason == c->reason,
			      "case %zu: %02x %s in version %d gives 0x%02x, not 0x%02x", i,
			      c->first, c->body, (int)c->version, reason, c->reason);
		for (size_t len = 0; len < body.len; len++) {
			f.body = bytes_copy(slice_of(body.at, len));
			packet_decode(&f, c->version, &out);
			bytes_free(f.body);
		}
		bytes_free(body);
	}
}

/* Does the encoded packet consist of these bytes? */
static inline void packet_bytes_check(const uint8_t *packet, size_t size, const char *text)
{
	struct slice expected = bytes_parse(text);

	ck_assert_uint_eq(size, expected.len);
	ck_assert_mem_eq(packet, expected.at, size);
	bytes_free(expected);
}

/* The one-test suites' last step: a suite with one case that holds the tests. */
static inline Suite *suite_of(const char *name, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}

#endif
