/*
 * household_restore.c - the shards are made, learn the sessions and subscriptions
 * that the store kept, and tell each other about them, all before a client is served:
 * so no publish can miss a subscription of before the restart.
 */
#include "broker/household_internal.h"
#include "broker/core/address_rate.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

static bool fill_random(void *at, size_t len, struct failure *failure)
{
	/* Up to 256 bytes come whole or not at all: getrandom(2). */
	if (getrandom(at, len, 0) == (ssize_t)len)
		return true;
	return failure_set(failure, "the system gives no random numbers: %s", strerror(errno));
}

bool household_refuse(struct problems *problems, struct failure *failure)
{
	char *rest = problems->text;

	for (char *line; (line = strsep(&rest, "\n")) && rest;) {
		failure_set(failure, "%s", line);
		if (*rest)
			household_tell_failure(failure);
	}
	problems_free(problems);
	return false;
}

/* Also where nothing asks for one: a HUP may bring limits. */
static bool make_door(struct household *house, struct failure *failure)
{
	const struct door_setup setup = {house->workers, house->accounts, house->keys,
					 house->auth_log};

	struct problems problems;

	house->door = door_create(house->config, &setup, &problems);
	return house->door || household_refuse(&problems, failure);
}

/* Before there are workers, so that every connection is asked about. */
static void watch_door(struct household *house)
{
	for (size_t i = 0; i < house->listener_count; i++) {
		house->listeners[i].door = house->door;
		house->listeners[i].admit = door_admit;
		atomic_init(&house->listeners[i].asks, true);
	}
}

/* The table is allocated lazily by the system: without a limit nothing is written to it. */
static void count_half_open(struct household *house, const uint8_t key[HASH_KEY_SIZE])
{
	house->half_open = calloc(1, sizeof(*house->half_open));
	must(house->half_open);
	half_open_init(house->half_open, key, house->config->max_half_open);
	for (size_t i = 0; i < house->listener_count; i++)
		house->listeners[i].half_open = house->half_open;
}

static void add_listeners(struct household *house, struct worker *worker)
{
	for (size_t i = 0; i < house->listener_count; i++)
		worker_add_listener(worker, &house->listeners[i]);
}

bool household_make_workers(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;
	struct shard_setup setup = {.parties = (uint16_t)config->workers,
				    .durable = house->store != NULL,
				    .known_s = household_known_time_s(house),
				    .settings = &config->core,
				    .pseudonyms = household_pseudonyms(house),
				    .budget = &house->budget};

	/* Given by the system when it is written to: without a limit it never is. */
	setup.address_rates = house->address_rates = calloc(1, sizeof(*house->address_rates));
	must(house->address_rates);
	budget_init(&house->budget, config->core.memory_limit);
	arena_set_source(&house->budget.arena, payload_memory_source(&house->payload_memory));
	house->workers = calloc(config->workers, sizeof(*house->workers));
	must(house->workers);
	if (!make_door(house, failure))
		return false;
	watch_door(house);
	if (!fill_random(setup.hash_key, sizeof(setup.hash_key), failure))
		return false;
	count_half_open(house, setup.hash_key);
	while (house->worker_count < setup.parties) {
		setup.party = house->worker_count;
		setup.auth = door_auth(house->door, setup.party);
		if (!fill_random(setup.seed, sizeof(setup.seed), failure) ||
		    !worker_init(house->workers, &setup, failure))
			return false;
		add_listeners(house, &house->workers[house->worker_count++]);
	}
	return true;
}

struct restoring {
	struct household *house;
	uint64_t sessions;
	uint64_t subscriptions;
	uint64_t exchanges;
	uint64_t losers; /* sessions that lost... */
	uint64_t lost;	 /* ...so many queued deliveries */
	uint64_t *gone;	 /* owners whose account was deleted, and the broker ended before their
			    sessions had */
	size_t gone_count;
};

static void note_owner(struct restoring *restoring, uint64_t owner)
{
	const struct door *door = restoring->house->door;

	if (owner == 0 || !door || door_knows_owner(door, owner))
		return;
	for (size_t i = 0; i < restoring->gone_count; i++)
		if (restoring->gone[i] == owner)
			return;
	restoring->gone =
	    realloc(restoring->gone, (restoring->gone_count + 1) * sizeof(*restoring->gone));
	must(restoring->gone);
	restoring->gone[restoring->gone_count++] = owner;
}

static void expel_gone(struct restoring *restoring)
{
	const struct household *house = restoring->house;

	for (size_t n = 0; n < restoring->gone_count; n++)
		for (uint16_t i = 0; i < house->worker_count; i++)
			worker_restore(
			    &house->workers[i],
			    &(struct event){.type = EVENT_EXPEL, .owner = restoring->gone[n]});
	free(restoring->gone);
}

static void restore_session(void *self, uint64_t row, const struct store_session *session)
{
	struct restoring *restoring = self;
	struct worker *workers = restoring->house->workers;
	party_id home = shard_home(workers[0].shard, session->client_id);

	worker_restore(
	    &workers[home],
	    &(struct event){.type = EVENT_RESTORE_SESSION, .row = row, .session = session});
	note_owner(restoring, session->owner);
	restoring->sessions++;
}

/* Only the shard that has the session takes the row. */
static void restore_subscription(void *self, uint64_t row,
				 const struct store_subscription *subscription)
{
	struct restoring *restoring = self;

	for (uint16_t i = 0; i < restoring->house->worker_count; i++)
		worker_restore(&restoring->house->workers[i],
			       &(struct event){.type = EVENT_RESTORE_SUBSCRIPTION,
					       .row = row,
					       .subscription = subscription});
	restoring->subscriptions++;
}

static void restore_step(void *self, const struct store_step *step)
{
	struct restoring *restoring = self;

	for (uint16_t i = 0; i < restoring->house->worker_count; i++)
		worker_restore(&restoring->house->workers[i],
			       &(struct event){.type = EVENT_RESTORE_STEP, .step = step});
	restoring->losers += step->type == STEP_QUEUED;
	restoring->lost += step->count;
	restoring->exchanges += step->type == STEP_INBOUND_OPEN ||
				step->type == STEP_OUTBOUND_SENT ||
				step->type == STEP_OUTBOUND_RECEIVED;
}

static void settle(struct household *house)
{
	bool more;

	do {
		more = false;
		for (uint16_t i = 0; i < house->worker_count; i++)
			more = worker_settle(&house->workers[i]) || more;
	} while (more);
}

bool household_restore(struct household *house, struct failure *failure)
{
	struct restoring restoring = {.house = house};
	struct store_visitor visitor = {.self = &restoring,
					.session = restore_session,
					.subscription = restore_subscription,
					.step = restore_step};

	if (!house->store)
		return true;
	if (household_known_time_s(house) > moment_now().wall_s)
		log_write(LOG_LEVEL_WARNING, "restore",
			  "the clock says less than it did: what is kept grows old by the time "
			  "that it was already; set the clock right");
	bool loaded = store_load(house->store, &visitor, failure);

	expel_gone(&restoring);
	if (!loaded)
		return false;
	settle(house);
	log_write(LOG_LEVEL_INFO, "restore",
		  "%" PRIu64 " sessions with %" PRIu64 " subscriptions and %" PRIu64
		  " open QoS 2 exchanges are back",
		  restoring.sessions, restoring.subscriptions, restoring.exchanges);
	if (restoring.lost > 0)
		log_write(LOG_LEVEL_WARNING, "restore",
			  "%" PRIu64 " queued deliveries to %" PRIu64
			  " sessions were lost with the last broker: they were in memory only",
			  restoring.lost, restoring.losers);
	return true;
}
