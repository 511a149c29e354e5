/*
 * household_routes.c - what became of deliveries: who clients are in rows, where rows go, and the
 * answers for `metrino traffic`.
 *
 * Thread: as each function says.
 */
#include "broker/household_internal.h"

#include "broker/log.h"
#include "broker/net/moment.h"
#include "storage/route/route_file.h"
#include <inttypes.h>
#include <stdlib.h>

#define FLUSH_MS 5000u

struct household_routes {
	struct pseudonyms pseudonyms; /* first: shards have its address */
	const struct household *house;
	struct hour_keys *keys;
	struct route_thread *thread;
	_Atomic uint32_t expiry_s; /* the control socket's thread shows it */
	pthread_mutex_t asking;	   /* one at a time has the workers give up their rows */
};

/* By the secret of its account, or of this process.  False: no row is to be about it. */
static bool identify(const struct household_routes *routes, uint64_t owner, struct slice client_id,
		     uint8_t identity[SEAL_KEY_LEN])
{
	struct accounts *accounts = routes->house->accounts;

	if (auth_owner_kind(owner) == IDENTITY_ACCOUNT)
		return accounts &&
		       accounts_identify(accounts, auth_owner_number(owner), client_id, identity);
	hour_keys_nobody(routes->keys, client_id, identity);
	return true;
}

/* Any worker's thread. */
static bool name_client(struct pseudonyms *pseudonyms, uint64_t owner, struct slice client_id,
			uint32_t epoch, struct route_name *name)
{
	const struct household_routes *routes = (const struct household_routes *)pseudonyms;
	uint8_t identity[SEAL_KEY_LEN];

	if (!identify(routes, owner, client_id, identity))
		return false;
	const bool named = hour_keys_name(routes->keys, epoch, moment_now().wall_s, identity, name);

	explicit_bzero(identity, sizeof(identity));
	return named;
}

/* ---- life: the main thread */

bool household_open_routes(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	if (!house->vault)
		return true;
	/* Nobody can read what an earlier process left: its keys ended with it. */
	if (!route_file_clear(house->vault, failure))
		return false;
	if (config->route_max_bytes == 0)
		return true;
	struct household_routes *routes = calloc(1, sizeof(*routes));

	must(routes);
	house->routes = routes;
	routes->pseudonyms.of = name_client;
	routes->house = house;
	routes->expiry_s = config->route_expiry_s;
	routes->keys = hour_keys_create(config->route_expiry_s);
	must(pthread_mutex_init(&routes->asking, NULL) == 0);
	return true;
}

bool household_start_routes(struct household *house, struct failure *failure)
{
	struct household_routes *routes = house->routes;

	if (routes)
		routes->thread = route_thread_create(house->vault, routes->keys,
						     house->config->route_max_bytes, failure);
	return !routes || routes->thread;
}

void household_close_routes(struct household *house)
{
	if (!house->routes)
		return;
	route_thread_destroy(house->routes->thread);
	hour_keys_destroy(house->routes->keys);
	pthread_mutex_destroy(&house->routes->asking);
	free(house->routes);
	house->routes = NULL;
}

struct pseudonyms *household_pseudonyms(struct household *house)
{
	return house->routes ? &house->routes->pseudonyms : NULL;
}

struct route_thread *household_route_thread(const struct household *house)
{
	return house->routes ? house->routes->thread : NULL;
}

void household_settle_routes(struct household *house)
{
	struct household_routes *routes = house->routes;
	const struct config *config = house->config;

	if (!routes)
		return;
	if (config->route_expiry_s != routes->expiry_s)
		log_write(LOG_LEVEL_NOTICE, "route",
			  "another route_expiry: the route rows of before are gone");
	routes->expiry_s = config->route_expiry_s;
	hour_keys_set_expiry(routes->keys, config->route_expiry_s);
	/* To 0 needs a restart, as the log says: until then all stays as it was. */
	if (config->route_max_bytes > 0)
		route_thread_set_max_bytes(routes->thread, config->route_max_bytes);
}

/* ---- the job */

uint64_t household_routes_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	(void)last_s;
	return house->routes ? hour_keys_due_s(house->routes->keys) : JOB_NEVER;
}

enum job_result household_routes_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	(void)failure;
	if (house->routes && hour_keys_expire(house->routes->keys, now_s) > 0)
		route_thread_sweep(house->routes->thread);
	return JOB_DONE;
}

/* ---- for the metrics: any thread */

void household_count_routes(const struct household *house, struct metrics *metrics)
{
	if (house->routes && house->routes->thread)
		metrics->routes = route_thread_counters(house->routes->thread);
}

void household_tell_routes(const struct household *house, struct ledger_row *row)
{
	const struct household_routes *routes = house->routes;

	row->rows = row->bytes = 0;
	row->limit_s = house->config->route_expiry_s;
	if (!routes || !routes->thread)
		return;
	const struct route_counters counters = route_thread_counters(routes->thread);
	const uint64_t due_s = hour_keys_due_s(routes->keys);

	row->rows = counters.rows_kept;
	row->bytes = counters.bytes;
	if (due_s == UINT64_MAX)
		return;
	row->oldest_s = due_s - row->limit_s;
	row->next_s = due_s;
}

/* ---- answers: the control thread */

static const char too_busy[] = "the broker is too busy to answer: try again";

/* What happened before the question is to be in the answer. */
static bool flush(const struct household *house, struct failure *failure)
{
	struct census *census = census_create(house->worker_count);

	must(pthread_mutex_lock(&house->routes->asking) == 0);
	for (uint16_t i = 0; i < house->worker_count; i++) {
		struct command *command = command_create(COMMAND_ROUTES, SLICE_NONE, SLICE_NONE);

		command->census = census;
		worker_tell(&house->workers[i], command);
	}
	bool flushed = census_wait(census, FLUSH_MS);

	must(pthread_mutex_unlock(&house->routes->asking) == 0);
	census_release(census);
	return (flushed && route_thread_settle(house->routes->thread, FLUSH_MS)) ||
	       failure_set(failure, "%s", too_busy);
}

/* What a client may be called: of an account, of the one that its session belongs to, or of none.
 */
struct called {
	struct hour_name names[3 * HOUR_KEYS_MAX];
	size_t count;
};

static void call_it(const struct household_routes *routes, uint64_t owner, struct slice client_id,
		    struct called *called)
{
	uint8_t identity[SEAL_KEY_LEN];

	if (identify(routes, owner, client_id, identity))
		called->count +=
		    hour_keys_names(routes->keys, identity, called->names + called->count);
	explicit_bzero(identity, sizeof(identity));
}

static void take_row(void *self, const struct account *account)
{
	*(uint64_t *)self = auth_owner(IDENTITY_ACCOUNT, account->row);
}

static bool call_by_account(const struct household_routes *routes,
			    const struct control_traffic *asked, struct called *called,
			    struct failure *failure)
{
	struct accounts *accounts = routes->house->accounts;
	uint64_t owner = 0;

	if (!asked->account.at)
		return true;
	if (!accounts)
		return failure_set(failure, "there are no accounts");
	if (!accounts_tell(accounts, asked->account, &owner, take_row, failure))
		return false;
	call_it(routes, owner, asked->client_id, called);
	return true;
}

static bool call_by_session(const struct household_routes *routes, struct slice client_id,
			    struct called *called, struct failure *failure)
{
	const struct household *house = routes->house;
	struct census *census = census_create(1);
	party_id home = shard_home(house->workers[0].shard, client_id);
	struct command *command = command_create(COMMAND_FIND, client_id, SLICE_NONE);
	size_t count = 0;

	command->census = census;
	worker_tell(&house->workers[home], command);
	bool answered = census_wait(census, FLUSH_MS);

	if (answered) {
		const struct client_info *clients = census_clients(census, &count);

		if (count > 0 && auth_owner_kind(clients[0].owner) == IDENTITY_ACCOUNT)
			call_it(routes, clients[0].owner, client_id, called);
	}
	census_release(census);
	return answered || failure_set(failure, "%s", too_busy);
}

static bool find_names(const struct household_routes *routes, const struct control_traffic *asked,
		       struct called *called, struct failure *failure)
{
	call_it(routes, 0, asked->client_id, called);
	return call_by_account(routes, asked, called, failure) &&
	       call_by_session(routes, asked->client_id, called, failure);
}

/* ---- for an export: the desk's thread, or the control thread */

/* Of all that are asked about, with their place behind each name; to be freed. */
static struct route_own_name *name_all(const struct household_routes *routes,
				       const struct subject_deliveries *asked, size_t *count)
{
	struct route_own_name *names = calloc(asked->count * HOUR_KEYS_MAX + 1, sizeof(*names));

	must(names);
	*count = 0;
	for (size_t i = 0; i < asked->count; i++) {
		struct hour_name called[HOUR_KEYS_MAX];
		uint8_t identity[SEAL_KEY_LEN];

		if (!accounts_recognise(routes->house->accounts, auth_owner_number(asked->owner),
					asked->clients[i], identity))
			break;
		const size_t n = hour_keys_names(routes->keys, identity, called);

		for (size_t k = 0; k < n; k++)
			names[(*count)++] =
			    (struct route_own_name){called[k].name, (uint32_t)i + 1};
		explicit_bzero(identity, sizeof(identity));
	}
	return names;
}

static void take_own(void *self, const struct route_block *block)
{
	route_own_block(self, block);
}

bool household_deliveries(void *self, const struct subject_deliveries *asked,
			  struct subject_rows *rows, struct failure *failure)
{
	const struct household *house = self;
	const struct household_routes *routes = house->routes;
	size_t name_count;

	*rows = (struct subject_rows){0};
	if (!routes)
		return true;
	if (!flush(house, failure))
		return false;
	struct route_own_name *names = name_all(routes, asked, &name_count);
	struct route_own *own = route_own_create(names, name_count, SUBJECT_DELIVERIES_MAX);
	const bool good = route_thread_read(routes->thread, &(struct route_reader){own, take_own},
					    &rows->damaged, failure);

	rows->count = route_own_finish(own, asked->self, asked->row);
	explicit_bzero(names, name_count * sizeof(*names));
	free(names);
	return good;
}

/* ---- for `metrino traffic`: the control thread */

static void take_block(void *self, const struct route_block *block)
{
	route_traffic_block(self, block);
}

static bool tell(const struct household_routes *routes, const struct control_traffic *asked,
		 const struct called *called, struct failure *failure)
{
	struct traffic_question question = asked->question;

	if (asked->client_id.at) {
		question.names = called->names;
		question.name_count = called->count;
	}
	struct route_traffic *traffic = route_traffic_create(&question);
	bool good = route_thread_read(routes->thread, &(struct route_reader){traffic, take_block},
				      &asked->facts->rows_damaged, failure);

	route_traffic_finish(traffic, asked->row);
	return good;
}

bool household_traffic(void *self, const struct control_traffic *asked, struct failure *failure)
{
	const struct household *house = self;
	const struct household_routes *routes = house->routes;
	struct called called = {.count = 0};

	if (!routes)
		return failure_set(failure, "deliveries are not recorded: route_max_bytes is 0, or "
					    "was when the broker started");
	const uint32_t expiry_s = routes->expiry_s;

	*asked->facts = (struct control_traffic_facts){
	    .epoch_s = hour_keys_epoch_s(expiry_s),
	    .expiry_s = expiry_s,
	    .started_s = house->started_s,
	    .rows_dropped = route_thread_counters(routes->thread).rows_dropped};
	bool good = flush(house, failure) &&
		    (!asked->client_id.at || find_names(routes, asked, &called, failure)) &&
		    tell(routes, asked, &called, failure);

	explicit_bzero(&called, sizeof(called));
	return good;
}
