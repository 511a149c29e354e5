/*
 * hostile.c - connections that send garbage, or packets that were right until a
 * byte was changed.  The oracle knows nothing of them, and ignores what they
 * publish under x/; the broker has to live on, and others must not notice.
 */
#include "tests/sim/hostile.h"
#include "proto/packet.h"
#include "tests/sim/link.h"

#define PACKET_ROOM	 512
#define CONNECT_FLAGS_AT 9 /* behind a fixed header of two bytes */
#define CONNECT_CLEAN	 2u

static size_t good_connect(struct rng *rng, uint8_t *out)
{
	struct mqtt_connect connect = {.version = rng_chance(rng, 500) ? MQTT_VERSION_5_0
								       : MQTT_VERSION_3_1_1,
				       .clean_start = true,
				       .keep_alive_s = 5,
				       .client_id = SLICE_LITERAL("hostile")};
	return mqtt_encode_connect(out, PACKET_ROOM, &connect);
}

static size_t good_packet(struct rng *rng, uint8_t *out)
{
	struct mqtt_publish publish = {.qos = (uint8_t)rng_below(rng, 3),
				       .packet_id = 7,
				       .topic = SLICE_LITERAL("x/hostile"),
				       .payload = SLICE_LITERAL("hostile")};
	struct mqtt_subscription entry = {.filter = SLICE_LITERAL("x/#"), .qos = 2};
	struct mqtt_subscribe subscribe = {.packet_id = 9};
	struct mqtt_ack ack = {.type = (uint8_t)rng_between(rng, MQTT_PUBACK, MQTT_PUBCOMP),
			       .packet_id = (uint16_t)rng_below(rng, 10)};
	switch (rng_below(rng, 4)) {
	case 0:
		return mqtt_encode_publish(out, PACKET_ROOM, MQTT_VERSION_3_1_1, &publish);
	case 1:
		return mqtt_encode_subscribe(out, PACKET_ROOM, MQTT_VERSION_3_1_1, &subscribe,
					     &entry, 1);
	case 2:
		return mqtt_encode_ack(out, PACKET_ROOM, MQTT_VERSION_3_1_1, &ack);
	default:
		return good_connect(rng, out);
	}
}

static size_t garbage(struct rng *rng, uint8_t *out)
{
	size_t len = rng_between(rng, 1, 60);
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)rng_next(rng);
	return len;
}

/* A CONNECT keeps its clean start: a session that lasts would be one that the oracle does not know.
 */
static void spoil(struct rng *rng, uint8_t *packet, size_t len)
{
	bool connect = packet[0] >> 4 == MQTT_CONNECT && len > CONNECT_FLAGS_AT;
	if (!rng_chance(rng, 600))
		return;
	packet[rng_below(rng, (uint32_t)len)] ^= (uint8_t)(1u << rng_below(rng, 8));
	if (connect)
		packet[CONNECT_FLAGS_AT] |= CONNECT_CLEAN;
}

static void hang_up(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	link_close(world, world->links[id]);
}

void hostile_attack(struct world *world)
{
	struct rng *rng = &world->rng;
	uint8_t packet[PACKET_ROOM];
	struct link *link = link_open(world, NULL, false);
	if (rng_chance(rng, 700)) {
		size_t len = good_connect(rng, packet);
		link_send(world, link, slice_of(packet, len));
	}
	for (uint32_t n = rng_below(rng, 5); n > 0; n--) {
		size_t len = rng_chance(rng, 700) ? good_packet(rng, packet) : garbage(rng, packet);
		spoil(rng, packet, len);
		link_send(world, link, slice_of(packet, len));
	}
	world_trace(world, "hostile link %u", link->id);
	world_at(world, rng_below(rng, 3000), hang_up, link->id, NULL);
}
