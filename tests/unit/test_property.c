#include "proto/property.h"
#include "tests/unit/packets.h"

/* One property, from MQTT 5.0 table 2-4: a valid value, and the packets it may stand in. */
struct property_case {
	uint8_t id;
	const char *value;
	const char *packets; /* types in hexadecimal; 0 is the will */
};

static const struct property_case cases[] = {
    {1, "01", "30"},
    {2, "00 00 00 00", "30"},
    {3, "00 00", "30"},
    {8, "00 01 't'", "30"},
    {9, "00 02 00 FF", "30"},
    {11, "80 01", "38"},
    {17, "FF FF FF FF", "12E"},
    {18, "00 01 'c'", "2"},
    {19, "00 00", "2"},
    {21, "00 01 'm'", "12F"},
    {22, "00 01 00", "12F"},
    {23, "00", "1"},
    {24, "00 00 00 01", "0"},
    {25, "01", "1"},
    {26, "00 01 'i'", "2"},
    {28, "00 01 's'", "2E"},
    {31, "00 01 'r'", "245679BEF"},
    {33, "00 01", "12"},
    {34, "00 00", "12"},
    {35, "00 01", "3"},
    {36, "01", "2"},
    {37, "00", "2"},
    {38, "00 01 'n' 00 01 'v'", "0123456789ABEF"},
    {39, "00 00 00 01", "12"},
    {40, "01", "2"},
    {41, "01", "2"},
    {42, "00", "2"},
};

static const struct property_case *find(unsigned id)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (cases[i].id == id)
			return &cases[i];
	return NULL;
}

/* Decodes a block of a method (authentication data needs one) and `times` the property. */
static enum mqtt_reason decode(uint8_t packet, unsigned id, const char *value_text, int times)
{
	struct slice value = bytes_parse(value_text), all;
	struct slice method = bytes_parse(id == 22 ? "15 00 01 'm'" : "");
	size_t len = method.len + (size_t)times * (1 + value.len);
	struct mqtt_properties out;
	enum mqtt_reason reason;
	uint8_t block[64];
	struct writer w = writer_of(block, sizeof(block));
	struct reader r;

	write_varint(&w, (uint32_t)len);
	write_bytes(&w, method);
	for (int i = 0; i < times; i++) {
		write_u8(&w, (uint8_t)id);
		write_bytes(&w, value);
	}
	ck_assert(!w.full);
	all = bytes_copy(slice_of(block, (size_t)(w.at - block)));
	r = reader_of(all);
	reason = property_decode(&r, packet, &out);
	if (reason == MQTT_SUCCESS) {
		ck_assert(reader_done(&r));
		ck_assert(mqtt_has(&out, id));
		ck_assert_uint_eq(out.raw.len, len);
	}
	bytes_free(all);
	bytes_free(method);
	bytes_free(value);
	return reason;
}

START_TEST(properties_stand_where_they_may)
{
	for (uint8_t packet = 0; packet < 16; packet++) {
		for (unsigned id = 0; id < 128; id++) {
			const struct property_case *c = find(id);
			bool allowed = c && strchr(c->packets, "0123456789ABCDEF"[packet]);
			bool repeats = id == 38 || (id == 11 && packet == MQTT_PUBLISH);
			enum mqtt_reason once = decode(packet, id, c ? c->value : "00", 1);
			enum mqtt_reason twice = decode(packet, id, c ? c->value : "00", 2);
			enum mqtt_reason refusal =
			    allowed ? MQTT_PROTOCOL_ERROR : MQTT_MALFORMED_PACKET;

			ck_assert_msg(once == (allowed ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET),
				      "property %u in packet %u gives 0x%02x", id, packet, once);
			ck_assert_msg(twice == (allowed && repeats ? MQTT_SUCCESS : refusal),
				      "property %u twice in packet %u gives 0x%02x", id, packet,
				      twice);
		}
	}
}
END_TEST

/* Values that are no values, for the properties that have such. */
static const struct {
	uint8_t packet;
	unsigned id;
	const char *value;
	enum mqtt_reason reason;
} refused[] = {
    {MQTT_PUBLISH, 1, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNECT, 23, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNECT, 25, "FF", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNACK, 36, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNACK, 37, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNACK, 40, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNACK, 41, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNACK, 42, "02", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNECT, 33, "00 00", MQTT_PROTOCOL_ERROR},
    {MQTT_CONNECT, 39, "00 00 00 00", MQTT_PROTOCOL_ERROR},
    {MQTT_SUBSCRIBE, 11, "00", MQTT_PROTOCOL_ERROR},
    {MQTT_SUBSCRIBE, 11, "80 00", MQTT_MALFORMED_PACKET},
    {MQTT_PUBLISH, 35, "00 00", MQTT_TOPIC_ALIAS_INVALID},
    {MQTT_PUBLISH, 8, "00 01 '+'", MQTT_PROTOCOL_ERROR},
    {MQTT_PUBLISH, 8, "00 00", MQTT_PROTOCOL_ERROR},
    {MQTT_PUBLISH, 8, "00 01 00", MQTT_MALFORMED_PACKET},
    {MQTT_CONNACK, 18, "00 01 00", MQTT_MALFORMED_PACKET},
    {MQTT_CONNECT, 21, "00 01 FF", MQTT_MALFORMED_PACKET},
    {MQTT_CONNACK, 26, "00 01 FF", MQTT_MALFORMED_PACKET},
    {MQTT_CONNACK, 28, "00 01 FF", MQTT_MALFORMED_PACKET},
    {MQTT_PUBACK, 31, "00 01 FF", MQTT_MALFORMED_PACKET},
    {MQTT_PUBACK, 38, "00 01 FF 00 00", MQTT_MALFORMED_PACKET},
    {MQTT_PUBACK, 38, "00 00 00 01 FF", MQTT_MALFORMED_PACKET}, /* [MQTT-1.5.7-1] */
    {MQTT_PUBLISH, 35, "00", MQTT_MALFORMED_PACKET},		/* cut short */
    {MQTT_CONNECT, 33, "00", MQTT_MALFORMED_PACKET},
    {MQTT_CONNECT, 39, "00 00 00", MQTT_MALFORMED_PACKET},
    {MQTT_PUBLISH, 1, "", MQTT_MALFORMED_PACKET},
};

START_TEST(values_out_of_range)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		enum mqtt_reason reason =
		    decode(refused[i].packet, refused[i].id, refused[i].value, 1);

		ck_assert_msg(reason == refused[i].reason, "property %u, %s: 0x%02x", refused[i].id,
			      refused[i].value, reason);
	}
}
END_TEST

Suite *property_suite(void)
{
	const TTest *const tests[] = {properties_stand_where_they_may, values_out_of_range};

	return suite_of("property", tests, COUNT_OF(tests));
}
