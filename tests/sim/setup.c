/* setup.c - which world and which clients a seed makes. */
#include "tests/sim/setup.h"
#include "tests/sim/device.h"

#define SESSION_EXPIRY_MAX_S 3600u
/* Session expiries that are short enough to pass in a run. */
#define EXPIRY_SHORT_MAX_S 6

static const char *const topics[] = {"a/1", "a/2", "a/b/1", "a/b/2", "b/1", "b", "a", "s/1", "s/2"};
static const char *const filters[] = {"a/1",   "a/+",	 "a/#", "a/b/1", "a/b/+", "b/1",
				      "a/b/#", "b/#",	 "#",	"+/1",	 "+/+",	  "+",
				      "+/b/#", "$SYS/#", "s/1", "s/#"};
#define SHARER_FILTERS 8 /* the first so many do not touch s/ */
static const char *const shared_filters[] = {"$share/g1/s/+", "$share/g2/s/#", "$share/g3/s/1"};

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *pick(struct rng *rng, const char *const *texts, size_t count)
{
	return texts[rng_below(rng, (uint32_t)count)];
}

static void setup_profile(struct world *world)
{
	struct rng *rng = &world->rng;
	struct profile *profile = &world->profile;
	bool calm = rng_chance(rng, 150);
	profile->steps = rng_between(rng, 150, 500);
	profile->stall = rng_chance(rng, 500) ? 20 : 0;
	profile->delay_ms = rng_chance(rng, 500) ? 8 : 60;
	profile->durable = !rng_chance(rng, 150);
	profile->auth_wait = rng_chance(rng, 250) ? 400 : 0;
	profile->refuse = !calm && profile->durable && rng_chance(rng, 200) ? 100 : 0;
	profile->cuts = !calm && rng_chance(rng, 700);
	profile->half_opens = !calm && rng_chance(rng, 400);
	profile->takeovers = !calm && rng_chance(rng, 500);
	profile->restarts = !calm && rng_chance(rng, 350);
	profile->hostile = !calm && rng_chance(rng, 300);
	profile->slow_readers = !calm && rng_chance(rng, 300);
	profile->tight_queues = !calm && rng_chance(rng, 200);
	world->shard_count = (uint16_t)rng_between(rng, 1, WORLD_SHARDS_MAX);
}

static void setup_settings(struct world *world)
{
	struct rng *rng = &world->rng;
	bool tight = world->profile.tight_queues;
	world->settings = (struct core_settings){
	    .connect_timeout_ms = 10000,
	    .connect_bytes_max = 65536,
	    .session_expiry_max_s = SESSION_EXPIRY_MAX_S,
	    .sessions_max = 1000,
	    .max_inflight_messages = rng_chance(rng, 300) ? rng_between(rng, 1, 10) : 512,
	    .max_inflight_bytes = UINT32_MAX,
	    .max_queued_messages = tight ? rng_between(rng, 2, 20) : 10000,
	    .max_queued_bytes = tight ? rng_between(rng, 8192, 65536) : 16u << 20,
	    .queue_policy = rng_chance(rng, 500) ? QUEUE_DROP_NEW : QUEUE_DROP_OLD,
	    .queue_qos0_messages = rng_chance(rng, 300),
	    .ack_hold_max_ms = 1000,
	    .restart_grace_ms = 30000,
	    .receive_maximum = (uint16_t)(rng_chance(rng, 300) ? rng_between(rng, 1, 5) : 1024),
	    .retain_available = true,
	    .rate_publish_messages = UINT32_MAX,
	    .rate_publish_bytes = UINT32_MAX,
	    .rate_address_messages = UINT32_MAX,
	    .rate_address_bytes = UINT32_MAX,
	    .rate_reconnect = UINT32_MAX,
	    .message_size_limit = UINT32_MAX,
	    .max_retained_messages = 10000,
	    .max_retained_bytes = tight ? 600 : 64u << 20,
	    .max_packet_size = 1u << 20,
	    .max_subscriptions = 1000,
	    .memory_limit = tight ? 2u << 20 : 256u << 20,
	    .route_epoch_s = rng_chance(rng, 500) ? 3600 : 2,
	};
	world->settings.ack_when_delivered = rng_chance(rng, 600);
	if (world->settings.ack_when_delivered) {
		world->settings.ack_hold_max_ms = rng_chance(rng, 600) ? 120000 : 1000;
		world->settings.restart_grace_ms = rng_chance(rng, 200) ? 1500 : 30000;
	}
	world->listener = (struct listener_settings){
	    .number = 1,
	    .accept_3_1 = true,
	    .accept_3_1_1 = true,
	    .accept_5_0 = true,
	    .max_qos = 2,
	    .max_topic_alias = (uint16_t)(rng_chance(rng, 700) ? 10 : 0),
	    .max_topic_alias_broker = (uint16_t)(rng_chance(rng, 700) ? 10 : 0),
	    .allow_anonymous = true,
	    .allow_zero_length_client_id = true,
	};
}

static void setup_client(struct world *world, struct device *client, unsigned index)
{
	struct rng *rng = &world->rng;
	device_init(client, index, rng_chance(rng, 600) ? MQTT_VERSION_5_0 : MQTT_VERSION_3_1_1);
	bool v5 = client->version == MQTT_VERSION_5_0;
	client->sharer = v5 && rng_chance(rng, 400);
	client->ack_delay_ms = rng_chance(rng, 300) ? 300 : 0;
	client->keep_alive_s = (uint16_t)rng_between(rng, 3, 20);
	client->want_will = rng_chance(rng, 400);
	client->lowest_id = rng_chance(rng, 400);
	client->dup_first = rng_chance(rng, 100);
	client->dup_never = rng_chance(rng, 250);
	uint32_t kind = rng_below(rng, 10);
	client->expiry_s = kind < 3 ? 0 : SESSION_EXPIRY_MAX_S;
	if (v5 && kind >= 8)
		client->expiry_s = rng_between(rng, 1, EXPIRY_SHORT_MAX_S);
	if (client->sharer)
		client->expiry_s = SESSION_EXPIRY_MAX_S;
	if (!v5)
		return;
	if (rng_chance(rng, 400))
		client->receive_maximum = (uint16_t)rng_between(rng, 1, 8);
	if (rng_chance(rng, 500))
		client->alias_maximum = (uint16_t)rng_between(rng, 1, DEVICE_ALIASES);
	if (rng_chance(rng, 150))
		client->packet_maximum = rng_between(rng, 200, 2000);
}

/* The witness of wills and the checker of retained messages: nothing bad happens to them. */
static void setup_steady(struct device *client, unsigned index)
{
	device_init(client, index, MQTT_VERSION_5_0);
	client->steady = client->clean = true;
}

void setup_world(struct world *world, struct device *clients)
{
	setup_profile(world);
	setup_settings(world);
	unsigned ordinary = rng_between(&world->rng, 3, WORLD_CLIENTS_MAX - 2);
	world->clients = clients;
	world->client_count = ordinary + 2;
	for (unsigned i = 0; i < ordinary; i++)
		setup_client(world, &clients[i], i);
	world->oracle->witness = ordinary;
	world->oracle->checker = ordinary + 1;
	setup_steady(&clients[ordinary], ordinary);
	setup_steady(&clients[ordinary + 1], ordinary + 1);
}

/* ---- connections ---- */

static void setup_will(struct world *world, struct device *client)
{
	struct rng *rng = &world->rng;
	struct oracle_message *m = oracle_new_message(world, client->index);
	struct oracle_will *will = calloc(1, sizeof(*will));
	must(will != NULL);
	memcpy(m->topic, "w/?", 4);
	m->topic[2] = (char)('a' + client->index);
	m->qos = (uint8_t)rng_below(rng, 3);
	m->retain = rng_chance(rng, 200);
	m->will = true;
	m->payload_len = rng_between(rng, 9, 40);
	m->sent_seq = world_next_seq(world);
	m->sent_ms = world->now_ms;
	m->sends = 1;
	will->message = m;
	will->client = client->index;
	if (client->version == MQTT_VERSION_5_0 && rng_chance(rng, 500))
		will->delay_s = rng_between(rng, 1, 4);
	will->next = world->oracle->wills;
	world->oracle->wills = will;
	client->will = will;
}

void setup_connection(struct world *world, struct device *client)
{
	struct rng *rng = &world->rng;
	client->refused_user = !client->drained && !client->steady && rng_chance(rng, 20);
	if (client->steady)
		return;
	client->clean =
	    client->expiry_s == 0 && (client->version != MQTT_VERSION_5_0 || rng_chance(rng, 500));
	if (client->version == MQTT_VERSION_5_0 && !client->drained && !client->sharer &&
	    rng_chance(rng, 50))
		client->clean = true;
	if (client->start_anew) {
		client->clean = true;
		if (client->version != MQTT_VERSION_5_0)
			client->expiry_s = 0;
	}
	client->will = NULL;
	if (client->want_will && !client->drained)
		setup_will(world, client);
}

/* ---- messages ---- */

static size_t property(uint8_t *out, uint8_t id, const char *text)
{
	size_t len = strlen(text);
	out[0] = id;
	out[1] = 0;
	out[2] = (uint8_t)len;
	memcpy(out + 3, text, len);
	return len + 3;
}

static void setup_properties(struct world *world, struct oracle_message *m)
{
	struct rng *rng = &world->rng;
	if (rng_chance(rng, 150))
		m->props_len += property(m->props + m->props_len, 0x03, "text/sim");
	if (rng_chance(rng, 150))
		m->props_len += property(m->props + m->props_len, 0x08, "reply/to");
	if (rng_chance(rng, 150))
		m->props_len += property(m->props + m->props_len, 0x09, "\x01\x02");
	for (uint32_t n = rng_below(rng, 3); n > 0; n--) {
		m->props_len += property(m->props + m->props_len, 0x26, "name");
		m->props[m->props_len++] = 0;
		m->props[m->props_len++] = 4;
		memcpy(m->props + m->props_len, "prop", 4);
		m->props_len += 4;
	}
}

struct oracle_message *setup_message(struct world *world, const struct device *client)
{
	struct rng *rng = &world->rng;
	struct oracle_message *m = oracle_new_message(world, client->index);
	const char *topic = pick(rng, topics, LENGTH_OF(topics));
	if (rng_chance(rng, 10)) {
		topic = "$own/1";
		m->dollar = true;
	}
	memcpy(m->topic, topic, strlen(topic));
	m->qos = (uint8_t)rng_below(rng, 3);
	m->retain = rng_chance(rng, 200);
	m->payload_len = rng_chance(rng, 30) ? rng_between(rng, 60, ORACLE_PAYLOAD_MAX)
					     : rng_between(rng, 9, 60);
	if (m->retain && rng_chance(rng, 150))
		m->payload_len = 0;
	if (client->version != MQTT_VERSION_5_0)
		return m;
	if (rng_chance(rng, 100))
		m->expiry_s = rng_between(rng, 1, 6);
	if (rng_chance(rng, 300))
		setup_properties(world, m);
	return m;
}

struct oracle_message *setup_last_word(struct world *world, const struct device *client)
{
	const struct oracle_message *will = client->will->message;
	struct oracle_message *m = setup_message(world, client);
	memcpy(m->topic, will->topic, sizeof(m->topic));
	m->qos = will->qos;
	m->dollar = false;
	return m;
}

unsigned setup_subscription(struct world *world, const struct device *client,
			    struct mqtt_subscription *entries, uint32_t *identifier)
{
	struct rng *rng = &world->rng;
	bool v5 = client->version == MQTT_VERSION_5_0;
	bool shared = client->sharer && rng_chance(rng, 500);
	unsigned count = shared ? 1 : rng_between(rng, 1, DEVICE_ENTRIES_MAX);
	*identifier = rng_chance(rng, 600) ? rng_between(rng, 1, 40) : 0;
	for (unsigned i = 0; i < count; i++) {
		const char *filter =
		    pick(rng, filters, client->sharer ? SHARER_FILTERS : LENGTH_OF(filters));
		if (shared) {
			uint32_t group = rng_below(rng, LENGTH_OF(shared_filters));
			filter = shared_filters[group];
			*identifier = ORACLE_GROUP_IDENTIFIER + group + 1;
		}
		entries[i] = (struct mqtt_subscription){
		    .filter = slice_text(filter),
		    .qos = (uint8_t)(shared ? rng_between(rng, 1, 2) : rng_below(rng, 3)),
		    .no_local = v5 && !shared && rng_chance(rng, 150),
		    .retain_as_published = v5 && rng_chance(rng, 300),
		    .retain_handling = (uint8_t)(v5 ? rng_below(rng, 3) : 0),
		};
		for (unsigned n = 0; n < i; n++)
			if (slice_equal(entries[n].filter, entries[i].filter))
				return i;
	}
	return count;
}
