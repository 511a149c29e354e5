/* workload.c - a run: steps of chance, then quiet, then the checks. */
#include "tests/sim/workload.h"
#include "storage/mem_store.h"
#include "tests/sim/device.h"
#include "tests/sim/hostile.h"
#include "tests/sim/link.h"
#include "tests/sim/setup.h"
#include "tests/sim/rows.h"
#include <stdio.h>

#define STEP_MS_MAX	    120
#define KEEP_ALIVE_SLACK_MS 800
#define QUIET_MS	    8000
#define DRAIN_MS_MAX	    900000
/* Memory that may stay charged when all sessions are gone: tables and quanta of the shards. */
#define MEMORY_REST (1024 * 1024)

/* ---- single actions ---- */

static bool witness_listens(const struct world *world)
{
	const struct device *witness = &world->clients[world->oracle->witness];
	return witness->phase == DEVICE_ON && witness->request_count == 0;
}

static void connect_client(struct world *world, struct device *client)
{
	setup_connection(world, client);
	device_connect(world, client);
}

/* A second connection with the same client identifier, while the first is open. */
static void take_over(struct world *world, struct device *client)
{
	world_trace(world, "client %u: takes over link %u", client->index, client->link->id);
	struct link *link = client->link;
	device_abandon(world, client);
	link_abandon(world, link);
	connect_client(world, client);
}

static void publish(struct world *world, struct device *client)
{
	struct oracle_message *message = setup_message(world, client);
	if (device_may_publish(client, message->qos))
		device_publish(world, client, message);
}

/* So that its will, if it has one, has something to come after. */
static void last_word(struct world *world, struct device *client)
{
	if (client->will != NULL && rng_chance(&world->rng, 500) &&
	    device_may_publish(client, client->will->message->qos))
		device_publish(world, client, setup_last_word(world, client));
}

static void subscribe(struct world *world, struct device *client)
{
	struct mqtt_subscription entries[DEVICE_ENTRIES_MAX];
	uint32_t identifier;
	unsigned count = setup_subscription(world, client, entries, &identifier);
	device_subscribe(world, client, entries, count, identifier);
}

static void unsubscribe(struct world *world, struct device *client)
{
	struct oracle *oracle = world->oracle;
	for (size_t i = oracle->sub_count; i-- > 0;) {
		struct oracle_sub *sub = oracle->subs[i];
		if (sub->client == client->index && sub->acked_seq != NEVER &&
		    sub->must_end_seq == NEVER && rng_chance(&world->rng, 300)) {
			device_unsubscribe(world, client, sub);
			return;
		}
	}
}

static void act(struct world *world, struct device *client)
{
	struct rng *rng = &world->rng;
	const struct profile *profile = &world->profile;
	uint32_t die = rng_below(rng, 1000);
	if (die >= 880 && die < 970)
		last_word(world, client);
	if (die < 700)
		publish(world, client);
	else if (die < 850)
		subscribe(world, client);
	else if (die < 880)
		unsubscribe(world, client);
	else if (die < 900 && !client->sharer)
		device_leave(world, client, rng_chance(rng, 200), rng_chance(rng, 100));
	else if (die < 940 && profile->cuts)
		link_cut(world, client->link);
	else if (die < 950 && profile->half_opens)
		link_half_open(world, client->link);
	else if (die < 970 && profile->takeovers)
		take_over(world, client);
	else if (die < 985 && profile->slow_readers)
		link_pause(world, client->link, rng_between(rng, 100, 3000));
}

static void publish_sys(struct world *world)
{
	uint8_t payload[16];
	struct oracle_message *m = oracle_new_message(world, ORACLE_BROKER);
	memcpy(m->topic, "$SYS/broker/sim", 16);
	m->payload_len = 9;
	oracle_payload(m->number, m->payload_len, payload);
	oracle_sent(world, m, NULL);
	uint16_t shard = 0; /* always the same, so that order holds */
	struct event event = {.type = EVENT_PUBLISH,
			      .text = slice_text(m->topic),
			      .bytes = slice_of(payload, m->payload_len)};
	shard_handle(world->shards[shard].core, world_moment(world), &event);
	broker_wake(world, shard);
}

/* ---- the broker goes ---- */

/* So that it dies with something under way. */
static void publish_much(struct world *world)
{
	for (uint32_t n = rng_below(&world->rng, 8); n > 0; n--) {
		struct device *client =
		    &world->clients[rng_below(&world->rng, world->oracle->witness)];
		if (client->phase == DEVICE_ON)
			publish(world, client);
	}
}

static void go_away(struct world *world)
{
	bool recorded = oracle_records(world);
	if (!rng_chance(&world->rng, recorded ? 800 : 500)) {
		broker_pause(world);
		return;
	}
	if (recorded)
		publish_much(world);
	broker_kill_soon(world, recorded ? rng_below(&world->rng, 150) : 0);
}

/* ---- steps ---- */

/* The witness subscribes again after each connection; it is of Clean Start. */
static void steady_tick(struct world *world, uint64_t index, void *arg)
{
	(void)arg;
	struct device *client = &world->clients[index];
	const struct oracle_session *session = &world->oracle->sessions[index];
	struct mqtt_subscription entry = {.filter = SLICE_LITERAL("w/#"), .qos = 2};
	if (index == world->oracle->checker)
		entry.filter = SLICE_LITERAL("#");
	else
		entry.retain_handling = 2;
	if (client->phase == DEVICE_OFF && world->up && !world->stopping)
		device_connect(world, client);
	else if (client->phase == DEVICE_ON && client->subscribed_epoch != session->epoch) {
		client->subscribed_epoch = session->epoch;
		device_subscribe(world, client, &entry, 1, 0);
	}
	if (!client->drained)
		world_at(world, 20, steady_tick, index, NULL);
}

static void step(struct world *world, uint64_t left, void *arg)
{
	(void)arg;
	struct rng *rng = &world->rng;
	if (left == 0)
		return;
	struct device *client = &world->clients[rng_below(rng, world->oracle->witness)];
	if (world->up && !world->stopping && witness_listens(world)) {
		if (world->profile.restarts && rng_chance(rng, oracle_records(world) ? 20 : 8))
			go_away(world);
		else if (world->profile.hostile && rng_chance(rng, 30))
			hostile_attack(world);
		else if (rng_chance(rng, 10))
			publish_sys(world);
		else if (client->phase == DEVICE_OFF && rng_chance(rng, 700))
			connect_client(world, client);
		else if (client->phase == DEVICE_ON)
			act(world, client);
	}
	uint32_t delay = rng_chance(rng, 500) ? rng_below(rng, 3) : rng_below(rng, STEP_MS_MAX);
	if (rng_chance(rng, 10))
		delay += rng_below(rng, 5000);
	world_at(world, delay, step, left - 1, NULL);
}

/* ---- the end ---- */

static bool quiet(struct world *world, uint64_t delivered)
{
	bool all = world->up && world->oracle->delivered == delivered;
	for (unsigned i = 0; i < world->oracle->witness; i++) {
		const struct device *client = &world->clients[i];
		all = all && client->phase == DEVICE_ON && client->out_count == 0 &&
		      client->request_count == 0 && client->open_count == 0;
	}
	return all;
}

static void everybody_connects(struct world *world)
{
	world->quiet = true;
	for (unsigned i = 0; i < world->oracle->witness; i++) {
		struct device *client = &world->clients[i];
		client->drained = true;
		client->ack_delay_ms = 0;
		if (client->phase == DEVICE_OFF && world->up && !world->stopping)
			connect_client(world, client);
	}
}

/* Everybody connected, nothing under way any more. */
static void drain(struct world *world)
{
	uint64_t begin = world->now_ms, delivered;
	do {
		everybody_connects(world);
		delivered = world->oracle->delivered;
		world_run(world, world->now_ms + QUIET_MS);
	} while (!world->failed && !quiet(world, delivered) &&
		 world->now_ms < begin + DRAIN_MS_MAX);
	if (!quiet(world, world->oracle->delivered))
		world_fault(world, "unanswered", "it does not become quiet");
}

/* One and a half times the keep alive, and the way of the last packet. [MQTT-3.1.2-22] */
static void check_keep_alive(struct world *world, const struct link *link)
{
	uint64_t due_ms = link->ended_ms + link->keep_alive_s * 1500u + KEEP_ALIVE_SLACK_MS;
	if (link->half_open && link->keep_alive_s > 0 && link->gone_ms > due_ms)
		world_fault(world, "keep-alive", "link %u was dead at %llu and ended at %llu",
			    link->id, (unsigned long long)link->ended_ms,
			    (unsigned long long)link->gone_ms);
}

static void check_links(struct world *world)
{
	for (size_t i = 0; i < world->link_count; i++) {
		const struct link *link = world->links[i];
		check_keep_alive(world, link);
		if (link->broker_open)
			world_fault(world, "link", "link %u is still open at the broker", link->id);
	}
}

/* All sessions end, by Clean Start and expiry 0. */
static void everybody_leaves(struct world *world)
{
	world->clients[world->oracle->witness].drained = true;
	world->clients[world->oracle->checker].drained = true;
	for (unsigned i = 0; i < world->client_count; i++)
		device_leave(world, &world->clients[i], false, false);
	world_run(world, world->now_ms + 3000);
	for (unsigned i = 0; i < world->client_count; i++) {
		world->clients[i].clean = true;
		world->clients[i].expiry_s = 0;
		device_connect(world, &world->clients[i]);
	}
	world_run(world, world->now_ms + 3000);
	for (unsigned i = 0; i < world->client_count; i++)
		device_leave(world, &world->clients[i], false, false);
	world_run(world, world->now_ms + 95000); /* half-open links are given up, too */
}

static void check_empty(struct world *world)
{
	static const struct {
		enum happened_name name;
		const char *text;
	} levels[] = {
	    {HAPPENED_CLIENTS_CONNECTED, "clients"},
	    {HAPPENED_SESSIONS, "sessions"},
	    {HAPPENED_LINKS, "links"},
	    {HAPPENED_SUBSCRIPTIONS, "subscriptions"},
	    {HAPPENED_QUEUED, "queued messages"},
	    {HAPPENED_QUEUED_BYTES, "queued bytes"},
	    {HAPPENED_INFLIGHT, "messages in flight"},
	    {HAPPENED_SHARED_SUBSCRIPTIONS, "shared subscriptions"},
	};
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (broker_level(world, levels[i].name) != 0)
			world_fault(world, "level", "%llu %s are counted when all is gone",
				    (unsigned long long)broker_level(world, levels[i].name),
				    levels[i].text);
	int64_t used = atomic_load(&world->budget.used);
	if (used > MEMORY_REST)
		world_fault(world, "memory", "%lld bytes are charged when all is gone",
			    (long long)used);
}

static void finish(struct world *world)
{
	drain(world);
	world_at(world, 0, steady_tick, world->oracle->checker, NULL);
	world_run(world, world->now_ms + QUIET_MS);
	if (world->failed)
		return;
	oracle_check_lost(world);
	oracle_check_shared(world);
	oracle_check_retained(world);
	oracle_check_exchanges(world);
	oracle_check_told(world);
	everybody_leaves(world);
	check_links(world);
	oracle_check_wills(world);
	check_empty(world);
}

static void print_trace(const struct world *world)
{
	uint64_t first =
	    world->trace_count > WORLD_TRACE_LINES ? world->trace_count - WORLD_TRACE_LINES : 0;
	for (uint64_t i = first; i < world->trace_count && !world->verbose; i++)
		puts(world->trace[i % WORLD_TRACE_LINES]);
}

struct workload_result workload_run(const struct workload_options *options)
{
	struct world *world = malloc(sizeof(*world));
	struct device *clients = calloc(WORLD_CLIENTS_MAX, sizeof(*clients));
	must(world != NULL && clients != NULL);
	world_init(world, options->seed);
	world->verbose = options->verbose;
	world->plant = options->plant;
	oracle_init(world);
	setup_world(world, clients);
	if (options->steps > 0)
		world->profile.steps = options->steps;
	disk_init(world);
	broker_start(world);
	world_at(world, 0, steady_tick, world->oracle->witness, NULL);
	world_at(world, 200, step, world->profile.steps, NULL);
	/* Steps take 120 ms at most and 5 s now and then: run until the last one is done. */
	world_run(world, world->now_ms + (uint64_t)world->profile.steps * 160 + 20000);
	if (!world->failed)
		finish(world);
	if (!world->failed)
		broker_kill(world);
	if (!world->failed)
		rows_check(world);
	if (world->failed && options->plant == PLANT_NONE)
		print_trace(world);
	struct workload_result result = {.failed = world->failed,
					 .plant_used = world->plant_used,
					 .delivered = world->oracle->delivered,
					 .messages = world->oracle->message_count,
					 .virtual_ms = world->now_ms};
	world->tally.worlds++;
	world->tally.recorded += oracle_records(world);
	world->tally.rewritten += mem_store_rewritten(world->disk.store);
	result.tally = world->tally;
	memcpy(result.check, world->check, sizeof(result.check));
	memcpy(result.fault, world->fault, sizeof(result.fault));
	world_finish(world);
	oracle_finish(world);
	for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++)
		device_finish(&clients[i]);
	free(clients);
	free(world);
	return result;
}
