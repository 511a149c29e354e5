/*
 * records_bench.h - the shard bench for sessions that outlive the broker, whose QoS 2
 * exchanges are recorded (steps.h).
 */
#ifndef TESTS_UNIT_RECORDS_BENCH_H
#define TESTS_UNIT_RECORDS_BENCH_H

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0
#define V3 MQTT_VERSION_3_1_1

static inline void begin(unsigned shards)
{
	bench_init(&bench, shards);
	bench.durable = true;
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 30000;
	bench_start(&bench);
}

static inline struct mqtt_connect lasting_in(enum mqtt_version version, const char *id)
{
	struct mqtt_connect connect = connect_of(version, id, false);

	if (version == V5) {
		mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
		connect.properties.session_expiry_s = 1000;
	}
	return connect;
}

static inline struct mqtt_connect lasting(const char *id)
{
	return lasting_in(V5, id);
}

/* Sessions that outlive the broker: new, or back again. */
static inline struct peer *new_in(enum mqtt_version version, const char *id, int line)
{
	struct mqtt_connect connect = lasting_in(version, id);

	return peer_up(&bench, 0, &connect, false, line);
}

static inline struct peer *back_in(enum mqtt_version version, const char *id, int line)
{
	struct mqtt_connect connect = lasting_in(version, id);

	return peer_up(&bench, 0, &connect, true, line);
}
#define new_lasting(id) new_in(V5, id, __LINE__)
#define back(id)	back_in(V5, id, __LINE__)

/* The user property metrino-lost of the CONNACK that comes, as a number; 0 for none. */
static inline unsigned lost_of(struct peer *peer, int line)
{
	struct mqtt_connack connack = peer_expect_connack(peer, 0, line);
	struct slice rest = connack.properties.raw;
	struct slice name, value;
	unsigned lost = 0;

	while (mqtt_next_user_property(&rest, &name, &value)) {
		ck_assert(slice_equal(name, SLICE_LITERAL("metrino-lost")));
		ck_assert_uint_eq(lost, 0);
		for (size_t i = 0; i < value.len; i++)
			lost = lost * 10 + value.at[i] - '0';
		ck_assert_uint_gt(lost, 0);
	}
	return lost;
}

static inline struct peer *back_with_lost(const char *id, unsigned lost, int line)
{
	struct peer *peer = peer_open(&bench, 0, V5);
	struct mqtt_connect connect = lasting(id);

	peer_connect(peer, &connect);
	unsigned told = lost_of(peer, line);
	ck_assert_msg(told == lost, "line %d: %u lost, not %u", line, told, lost);
	return peer;
}
#define back_lost(id, lost) back_with_lost(id, lost, __LINE__)

#endif
