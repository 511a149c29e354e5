/*
 * The codec: a body that decodes is encoded, decoded and encoded again.  The second bytes are the
 * first; and the first hold the very bytes that came, in another order at most (properties are
 * written by their identifiers), but for the forms that may be shorter.
 *
 * The input: version, first byte of the fixed header, body.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/packet.h"

#define BODY_MAX 4096u

static void walk_publish(const struct mqtt_publish *publish)
{
	struct slice left = publish->properties.raw;
	uint8_t *out = malloc(left.len + 1);
	uint32_t identifier;

	must(out != NULL);
	claim(mqtt_forward_properties(left, out) <= left.len);
	while (mqtt_next_subscription_identifier(&left, &identifier))
		claim(identifier > 0);
	free(out);
}

static unsigned subscription_identifiers(const struct any_packet *packet)
{
	struct slice left = packet->publish.properties.raw;
	unsigned count = 0;

	for (uint32_t identifier; mqtt_next_subscription_identifier(&left, &identifier);)
		count++;
	return count;
}

/* Encoded it may be shorter than it came, or lack what means nothing. */
static bool has_other_form(const struct any_packet *packet)
{
	switch (packet->type) {
	case MQTT_CONNECT: /* 3.1 has bits that are 'not used' */
	case MQTT_CONNACK:
	case MQTT_SUBSCRIBE:
		return packet->version == MQTT_VERSION_3_1;
	case MQTT_PUBLISH: /* of several identifiers the struct keeps one */
		return subscription_identifiers(packet) > 1;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
	case MQTT_DISCONNECT:
	case MQTT_AUTH: /* reason 0 and no properties */
		return true;
	default:
		return false;
	}
}

/* How often each byte occurs. */
static void check_same_bytes(struct slice a, struct slice b)
{
	int count[256] = {0};

	claim(a.len == b.len);
	for (size_t i = 0; i < a.len; i++) {
		count[a.at[i]]++;
		count[b.at[i]]--;
	}
	for (size_t i = 0; i < 256; i++)
		claim(count[i] == 0);
}

/* Encodes into exactly the room it needs; one byte less is not enough. */
static struct slice encoded(const struct any_packet *packet)
{
	static uint8_t large[4 * BODY_MAX];
	size_t size = any_encode(packet, large, sizeof(large)), again;
	uint8_t *out = malloc(size);

	claim(size > 0 && out != NULL);
	claim(any_encode(packet, out, size - 1) == 0);
	again = any_encode(packet, out, size);
	claim(again == size && memcmp(out, large, size) == 0);
	return slice_of(out, size);
}

static void round_trip(enum mqtt_version v, const struct frame *f)
{
	static struct any_packet packet;
	struct slice first, second;
	struct frame again;

	if (any_decode(&packet, v, f) != MQTT_SUCCESS)
		return;
	if (packet.type == MQTT_PUBLISH)
		walk_publish(&packet.publish);
	first = encoded(&packet);
	claim(frame_cut(first, &again) == FRAME_WHOLE && again.size == first.len);
	claim(again.type == f->type && again.flags == f->flags);
	claim(again.body.len <= f->body.len);
	if (!has_other_form(&packet))
		check_same_bytes(f->body, again.body);
	claim(any_decode(&packet, v, &again) == MQTT_SUCCESS);
	second = encoded(&packet);
	claim(slice_equal(first, second));
	exact_free(first);
	exact_free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	enum mqtt_version v = (enum mqtt_version)(3 + take_u8(&input) % 3);
	uint8_t first = take_u8(&input);
	struct slice body = exact_copy(take_bytes(&input, BODY_MAX));
	struct frame f = {first >> 4, first & 15, body, 0};

	round_trip(v, &f);
	exact_free(body);
	return 0;
}
