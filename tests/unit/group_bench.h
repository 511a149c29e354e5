/*
 * group_bench.h - the shard bench for one shared group: its members, by rules of who reads what,
 * and who publishes to it.
 */
#ifndef TESTS_UNIT_GROUP_BENCH_H
#define TESTS_UNIT_GROUP_BENCH_H

#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;
static struct bench_grant grants[4];
static char share[48];
static const char *topic;

#define V5 MQTT_VERSION_5_0

/* `share` is a group whose home is this shard, `topic` its only topic. */
static inline void begin_group(unsigned shards, unsigned home, bool delivered)
{
	bench_init(&bench, shards);
	bench.settings.ack_when_delivered = delivered;
	bench.settings.ack_hold_max_ms = 1000;
	bench_start(&bench);
	snprintf(share, sizeof share, "$share/%s", bench_name(&bench, home, "g/t"));
	topic = share + strlen("$share/g/");
}

/* Rules of who reads this, and writes everything. */
static inline struct auth_grant *rules(unsigned i, const char *read)
{
	grants[i] = (struct bench_grant){
	    .grant = {.restricted = true, .owner = auth_owner(IDENTITY_ACCOUNT, 1 + i)},
	    .bench = &bench,
	    .read = slice_text(read),
	    .write = slice_text("#")};
	return &grants[i].grant;
}

static inline struct mqtt_connect lasting(unsigned home, const char *name)
{
	return connect_lasting(V5, bench_name(&bench, home, name), 100);
}

/* The next client, a member, lives at this shard and reads `read`. */
static inline struct peer *member(unsigned i, unsigned home, const char *read, uint8_t qos)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct mqtt_connect connect = lasting(home, names[i]);

	bench.grant = rules(i, read);
	struct peer *peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, share, qos);
	bench.grant = NULL;
	return peer;
}

static inline struct peer *publisher(unsigned home)
{
	return new_peer(&bench, V5, bench_name(&bench, home, "from"));
}

/* The rules of one of them are others. */
static inline void reload(unsigned i, const char *read)
{
	uint64_t owner = grants[i].grant.owner;

	bench.next_grant = rules(i, read);
	for (unsigned shard = 0; shard < bench.count; shard++)
		bench_event(&bench, shard, &(struct event){.type = EVENT_RIGHTS, .owner = owner});
}

#endif
