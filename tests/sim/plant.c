/* plant.c - faults on purpose, between core and oracle. */
#include "tests/sim/plant.h"
#include "broker/core/mail.h"
#include "storage/store.h"
#include "tests/sim/device.h"
#include "tests/sim/link.h"

static const struct {
	const char *check;
	const char *what;
} plants[] = {
    {"", "nothing"},
#define PLANT(name, check, what) {check, what},
#include "tests/sim/plant.def"
#undef PLANT
};

const char *plant_what(enum plant plant)
{
	return plants[plant].what;
}

const char *plant_check(enum plant plant)
{
	return plants[plant].check;
}

bool plant_strikes(struct world *world, enum plant plant, uint32_t permille)
{
	if (world->plant != plant || !rng_chance(&world->rng, permille))
		return false;
	if (!world->plant_used)
		world_trace(world, "plant: %s", plants[plant].what);
	world->plant_used = true;
	return true;
}

bool plant_loses_mail(struct world *world, const struct mail *mail)
{
	if (mail->from == mail->to)
		return false;
	switch (mail->type) {
	case MAIL_PUBLISH:
	case MAIL_PUBLICATIONS:
		return plant_strikes(world, PLANT_LOSE_PUBLISH_MAIL, 100);
	case MAIL_RETAIN:
		return plant_strikes(world, PLANT_LOSE_RETAIN_MAIL, 300);
	case MAIL_GATES:
		return plant_strikes(world, PLANT_LOSE_GATE, 100);
	case MAIL_SHARE_DELIVER:
		return plant_strikes(world, PLANT_LOSE_SHARE_MAIL, 200);
	default:
		return false;
	}
}

bool plant_keeps_alive(struct world *world)
{
	return plant_strikes(world, PLANT_KEEP_ALIVE, 800);
}

bool plant_forgets_batch(struct world *world, const struct store_batch *batch)
{
	bool subscription = false, session = false;
	for (size_t i = 0; i < batch->count; i++) {
		subscription = subscription || batch->ops[i].type == STORE_PUT_SUBSCRIPTION;
		session = session || batch->ops[i].type == STORE_PUT_SESSION;
	}
	/* A session that is missing would make orphans of its subscriptions. */
	if (subscription && !session)
		return plant_strikes(world, PLANT_FORGET_SUBSCRIPTION, 300);
	return session && !subscription && batch->count == 1 &&
	       plant_strikes(world, PLANT_FORGET_SESSION, 300);
}

/* ---- packets ---- */

static bool decode(const struct device *client, uint8_t *packet, size_t len,
		   struct mqtt_publish *out)
{
	struct frame frame;
	return frame_cut(slice_of(packet, len), &frame) == FRAME_WHOLE &&
	       frame.type == MQTT_PUBLISH &&
	       mqtt_decode_publish(frame.flags, frame.body, client->version, out) == MQTT_SUCCESS;
}

/* Slices of a decoded packet point into it; here it is ours to spoil. */
static uint8_t *writable(struct slice slice)
{
	return (uint8_t *)(uintptr_t)slice.at;
}

static void change_property(struct world *world, const struct mqtt_publish *publish)
{
	struct slice raw = publish->properties.raw;
	for (size_t i = 0; i + 4 <= raw.len; i++)
		if (memcmp(raw.at + i, "prop", 4) == 0 &&
		    plant_strikes(world, PLANT_CHANGE_PROPERTY, 500)) {
			writable(raw)[i] = 'q';
			return;
		}
}

static void change_identifier(struct world *world, const struct mqtt_publish *publish)
{
	struct slice raw = publish->properties.raw;
	if (!mqtt_has(&publish->properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER))
		return;
	uint8_t last = (uint8_t)publish->properties.subscription_identifier;
	for (size_t i = 0; i + 2 <= raw.len; i++)
		if (raw.at[i] == MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER && raw.at[i + 1] == last &&
		    last < 99 && plant_strikes(world, PLANT_CHANGE_IDENTIFIER, 500)) {
			writable(raw)[i + 1] = 99;
			return;
		}
}

static void change_expiry(struct world *world, const struct mqtt_publish *publish)
{
	struct slice raw = publish->properties.raw;
	if (!mqtt_has(&publish->properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
		return;
	for (size_t i = 0; i + 5 <= raw.len; i++)
		if (raw.at[i] == MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL && raw.at[i + 1] == 0 &&
		    raw.at[i + 4] == (uint8_t)publish->properties.message_expiry_s &&
		    plant_strikes(world, PLANT_CHANGE_EXPIRY, 500)) {
			writable(raw)[i + 4] = 200;
			return;
		}
}

static bool is_will(const struct mqtt_publish *publish)
{
	return publish->topic.len > 2 && memcmp(publish->topic.at, "w/", 2) == 0;
}

static int hold(struct world *world, const struct device *client, const uint8_t *packet, size_t len)
{
	if (world->held.len > 0)
		return 1;
	bytes_append(&world->held, slice_of(packet, len));
	world->held_client = client->index;
	return 0;
}

/* The copy comes behind the next packet, as another exchange. */
static void copy_with_other_id(struct world *world, const struct device *client, uint8_t *packet,
			       size_t len)
{
	struct mqtt_publish publish;
	if (hold(world, client, packet, len) == 1)
		return;
	must(decode(client, world->held.at, len, &publish));
	size_t at = (size_t)(publish.topic.at - world->held.at) + publish.topic.len;
	world->held.at[at] ^= 0x40;
}

static void change_alias(struct world *world, const struct mqtt_publish *publish)
{
	struct slice raw = publish->properties.raw;
	if (!mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS))
		return;
	for (size_t i = 0; i + 3 <= raw.len; i++)
		if (raw.at[i] == MQTT_PROPERTY_TOPIC_ALIAS && raw.at[i + 1] == 0 &&
		    raw.at[i + 2] == publish->properties.topic_alias &&
		    plant_strikes(world, PLANT_CHANGE_ALIAS, 500)) {
			writable(raw)[i + 2] = 99;
			return;
		}
}

static void copy_some(struct world *world, const struct device *client, uint8_t *packet, size_t len,
		      const struct mqtt_publish *publish)
{
	bool shared = client->sharer && publish->topic.len > 0 && publish->topic.at[0] == 's';
	if (publish->qos != 1 || publish->topic.len == 0)
		return;
	if (shared ? plant_strikes(world, PLANT_COPY_SHARED, 300)
		   : !client->sharer && plant_strikes(world, PLANT_COPY, 100))
		copy_with_other_id(world, client, packet, len);
}

/* The place of the packet identifier, which stands behind the topic. */
static uint8_t *place_of_id(const struct mqtt_publish *publish)
{
	return writable(publish->topic) + publish->topic.len;
}

static void reuse_id(struct world *world, const struct device *client,
		     const struct mqtt_publish *publish)
{
	if (publish->qos == 0 || publish->dup || publish->topic.len == 0 ||
	    client->open_count == 0 || !plant_strikes(world, PLANT_REUSE_ID, 50))
		return;
	uint16_t id = client->open[0].packet_id;
	place_of_id(publish)[0] = (uint8_t)(id >> 8);
	place_of_id(publish)[1] = (uint8_t)id;
}

static void release_first(struct world *world, struct device *client, uint16_t packet_id)
{
	uint8_t packet[4] = {MQTT_PUBREL << 4 | 2, 2, (uint8_t)(packet_id >> 8),
			     (uint8_t)packet_id};
	struct frame frame;
	must(frame_cut(slice_of(packet, sizeof(packet)), &frame) == FRAME_WHOLE);
	device_packet(world, client, &frame);
}

static int plant_publish(struct world *world, struct device *client, uint8_t *packet, size_t len,
			 const struct mqtt_publish *publish)
{
	bool witness = client->index == world->oracle->witness;
	change_property(world, publish);
	change_identifier(world, publish);
	change_expiry(world, publish);
	change_alias(world, publish);
	copy_some(world, client, packet, len, publish);
	if (publish->payload.len > 9 && plant_strikes(world, PLANT_CHANGE_PAYLOAD, 100))
		writable(publish->payload)[publish->payload.len - 1] ^= 1;
	if (!publish->retain && plant_strikes(world, PLANT_SET_RETAIN, 200))
		packet[0] |= 1;
	if (publish->qos > 0 && !publish->dup && plant_strikes(world, PLANT_SET_DUP, 200))
		packet[0] |= 8;
	if (publish->dup && publish->qos == 2 && plant_strikes(world, PLANT_CLEAR_DUP, 500))
		packet[0] &= (uint8_t)~8u;
	reuse_id(world, client, publish);
	if (publish->qos == 2 && !publish->dup && plant_strikes(world, PLANT_PUBREL_FIRST, 50)) {
		release_first(world, client, publish->packet_id);
		return 0;
	}
	if (publish->qos == 1 && plant_strikes(world, PLANT_SWALLOW_QOS1, 50))
		return 0;
	if (publish->qos == 1 && publish->topic.len > 0 && plant_strikes(world, PLANT_LATE, 300))
		return hold(world, client, packet, len);
	if (witness && is_will(publish) && plant_strikes(world, PLANT_LOSE_WILL, 500))
		return 0;
	if (witness && is_will(publish) && plant_strikes(world, PLANT_LATE_WILL, 500))
		return hold(world, client, packet, len);
	if (witness && is_will(publish) && publish->qos == 0 &&
	    plant_strikes(world, PLANT_TWICE_WILL, 700))
		return 2;
	if (publish->qos == 0 && !is_will(publish) && plant_strikes(world, PLANT_TWICE_QOS0, 100))
		return 2;
	return publish->qos == 2 && plant_strikes(world, PLANT_TWICE_QOS2, 100) ? 2 : 1;
}

/* The answer to a PUBREL that no client sent. */
static bool is_believed(struct world *world, const struct device *client, const uint8_t *packet)
{
	bool is = packet[0] >> 4 == MQTT_PUBCOMP && world->believed_client == client->index &&
		  world->believed_connection == client->connection &&
		  world->believed_id == (packet[2] << 8 | packet[3]);
	if (is)
		world->believed_id = 0;
	return is;
}

bool plant_believes_dup(struct world *world, const struct device *client, uint16_t packet_id,
			bool dup)
{
	if (dup || !plant_strikes(world, PLANT_BELIEVE_DUP, 500))
		return false;
	world->believed_client = client->index;
	world->believed_connection = client->connection;
	world->believed_id = packet_id;
	return true;
}

int plant_packet(struct world *world, struct device *client, uint8_t *packet, size_t len)
{
	static const struct {
		uint8_t type;
		enum plant plant;
	} swallows[] = {
	    {MQTT_PUBACK, PLANT_SWALLOW_PUBACK},
	    {MQTT_PINGRESP, PLANT_SWALLOW_PINGRESP},
	    {MQTT_SUBACK, PLANT_SWALLOW_SUBACK},
	    {MQTT_PUBREL, PLANT_SWALLOW_PUBREL},
	};
	struct mqtt_publish publish;
	if (world->plant == PLANT_NONE)
		return 1;
	if (plant_strikes(world, PLANT_LEAK_MEMORY, 5))
		atomic_fetch_add(&world->budget.used, 65536);
	for (size_t i = 0; i < sizeof(swallows) / sizeof(swallows[0]); i++)
		if (packet[0] >> 4 == swallows[i].type &&
		    plant_strikes(world, swallows[i].plant, 100))
			return 0;
	if (is_believed(world, client, packet))
		return 0;
	if ((packet[0] >> 4 == MQTT_PUBACK || packet[0] >> 4 == MQTT_PUBREC) &&
	    plant_strikes(world, PLANT_LATE_ACK, 100))
		return hold(world, client, packet, len);
	if (packet[0] >> 4 == MQTT_CONNACK && packet[3] == 0 &&
	    plant_strikes(world, PLANT_SESSION_PRESENT, 200))
		packet[2] ^= 1;
	if (packet[0] >> 4 == MQTT_CONNACK && packet[3] == 0 &&
	    plant_strikes(world, PLANT_CHANGE_CONNACK, 200))
		packet[3] = client->version == MQTT_VERSION_5_0 ? 0x97 : 3;
	if (packet[0] >> 4 == MQTT_SUBACK && packet[len - 1] < 3 &&
	    plant_strikes(world, PLANT_CHANGE_SUBACK, 200))
		packet[len - 1] = (uint8_t)((packet[len - 1] + 1) % 3);
	if (client->phase == DEVICE_ON && plant_strikes(world, PLANT_CLOSE, 10)) {
		struct link *link = client->link;
		link_close(world, link);
		device_gone(world, client, link);
		return 0;
	}
	if (decode(client, packet, len, &publish))
		return plant_publish(world, client, packet, len, &publish);
	return 1;
}

void plant_held(struct world *world, struct device *client)
{
	static const unsigned lateness = 2; /* the packet itself, and one behind it */
	struct frame frame;
	if (world->held.len == 0 || world->held_client % 64 != client->index)
		return;
	world->held_client += 64;
	if (world->held_client / 64 < lateness)
		return;
	must(frame_cut(slice_of(world->held.at, world->held.len), &frame) == FRAME_WHOLE);
	device_packet(world, client, &frame);
	world->held.len = 0;
}
