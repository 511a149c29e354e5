/*
 * household_count.c - numbers and clients for whoever asks: /metrics and /health,
 * $SYS, the log, the control socket.
 *
 * Thread: any; everything read here is atomic or does not change.
 */
#include "auth/password.h"
#include "broker/household_internal.h"
#include "broker/log.h"
#include <dirent.h>

static void raise_maximum(struct household *house, uint64_t connected)
{
	uint64_t maximum = atomic_load_explicit(&house->clients_maximum, memory_order_relaxed);

	while (connected > maximum &&
	       !atomic_compare_exchange_weak(&house->clients_maximum, &maximum, connected))
		;
}

static void count_listeners(const struct household *house, struct metrics *metrics)
{
	metrics->connections_refused =
	    atomic_load_explicit(&house->all.refused, memory_order_relaxed);
	for (size_t i = 0; i < house->listener_count; i++) {
		const struct listener *listener = &house->listeners[i];

		metrics->connections_refused +=
		    atomic_load_explicit(&listener->limit.refused, memory_order_relaxed);
		metrics->not_opened +=
		    atomic_load_explicit(&listener->not_opened, memory_order_relaxed);
		metrics->no_descriptor +=
		    atomic_load_explicit(&listener->no_descriptor, memory_order_relaxed);
	}
}

void household_gather(struct household *house, struct metrics *metrics)
{
	struct moment now = moment_now();
	int64_t limit = atomic_load_explicit(&house->budget.limit, memory_order_relaxed);

	*metrics = (struct metrics){.started_s = house->started_s,
				    .uptime_s = (now.ms - house->started_ms) / 1000,
				    .workers = house->worker_count,
				    .log_lost = log_lost(),
				    .argon2_runs = password_argon2_runs(),
				    .memory_limit = (uint64_t)limit};
	for (uint16_t i = 0; i < house->worker_count; i++)
		metrics_add_shard(metrics, shard_happened(house->workers[i].shard));
	count_listeners(house, metrics);
	if (house->store_thread) {
		struct store_thread_counters store = store_thread_counters(house->store_thread);

		metrics->store_commits = store.commits;
		metrics->store_batches = store.batches;
		metrics->store_commit_us = store.commit_us;
	}
	household_count_routes(house, metrics);
	raise_maximum(house, metrics_level(metrics, HAPPENED_CLIENTS_CONNECTED));
	metrics->clients_maximum =
	    atomic_load_explicit(&house->clients_maximum, memory_order_relaxed);
}

const char *household_trouble(const struct household *house)
{
	uint64_t now_ms = moment_now().ms;
	int state = atomic_load(&house->state);

	if (state != HOUSEHOLD_SERVING)
		return state == HOUSEHOLD_STARTING ? "the broker starts" : "the broker stops";
	if (atomic_load(&house->store_lost))
		return "the store cannot be used any more";
	for (uint16_t i = 0; i < house->worker_count; i++)
		if (worker_busy_ms(&house->workers[i], now_ms) > HOUSEHOLD_STUCK_MS)
			return "a worker does not answer";
	return NULL;
}

/* ---- the admin listener */

static uint64_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 3; /* ".", ".." and the one that reads */
}

/* Swap comes and goes while we run: it is looked for each time. */
bool household_memory_protected(const struct household *house, struct failure *failure)
{
	const struct payload_memory *memory = &house->payload_memory;
	struct memory_powers powers = house->memory_powers;

	powers.swap = atomic_load_explicit(&memory->locked_bytes, memory_order_relaxed) <
			  atomic_load_explicit(&memory->bytes, memory_order_relaxed) &&
		      memory_swap_reachable("");
	return memory_protected(&powers, failure);
}

static void count_payload_memory(const struct household *house, struct metrics *metrics)
{
	const struct payload_memory *memory = &house->payload_memory;
	struct failure failure;

	metrics->payload_locked_bytes =
	    atomic_load_explicit(&memory->locked_bytes, memory_order_relaxed);
	metrics->payload_bytes = atomic_load_explicit(&memory->bytes, memory_order_relaxed);
	metrics->payload_protected = household_memory_protected(house, &failure);
}

static void gather_for_admin(void *self, struct metrics *metrics)
{
	const struct household *house = self;

	household_gather(self, metrics);
	metrics->open_descriptors = count_descriptors();
	metrics->certificate_count =
	    household_expiries(self, metrics->certificates, METRICS_CERTIFICATES_MAX);
	count_payload_memory(self, metrics);
	household_count_keys(self, metrics);
	household_count_jobs(self, metrics);
	auth_log_count(((struct household *)self)->auth_log, &metrics->logins);
	metrics->disk_full = atomic_load_explicit(&house->disk_full, memory_order_relaxed);
	metrics->files_restricted = house->files_restricted;
	metrics->calls_restricted = house->calls_restricted;
}

static const char *trouble_for_admin(void *self)
{
	return household_trouble(self);
}

struct admin_source household_admin_source(struct household *house)
{
	return (struct admin_source){.self = house,
				     .metrics = gather_for_admin,
				     .ledger = household_fill_ledger,
				     .trouble = trouble_for_admin,
				     .listeners = house->listeners,
				     .listener_count = house->listener_count};
}

/* ---- the control socket */

static void count_clients(void *self, uint64_t *connected, uint64_t *sessions)
{
	struct metrics metrics;

	household_gather(self, &metrics);
	*connected = metrics_level(&metrics, HAPPENED_CLIENTS_CONNECTED);
	*sessions = metrics_level(&metrics, HAPPENED_SESSIONS);
}

static void ask(struct worker *worker, enum command_type type, struct slice text,
		struct census *census)
{
	struct command *command = command_create(type, text, SLICE_NONE);

	command->census = census;
	worker_tell(worker, command);
}

static bool record_use(void *self, enum audit_word right, struct failure *failure)
{
	const struct household *house = self;

	return audit_admin(house->audit, right, failure);
}

static struct census *list_clients(void *self)
{
	const struct household *house = self;
	struct census *census = census_create(house->worker_count);

	for (uint16_t i = 0; i < house->worker_count; i++)
		ask(&house->workers[i], COMMAND_CENSUS, SLICE_NONE, census);
	return census;
}

static struct census *kick_client(void *self, struct slice client_id)
{
	const struct household *house = self;
	struct census *census = census_create(1);
	party_id home = shard_home(house->workers[0].shard, client_id);

	ask(&house->workers[home], COMMAND_KICK, client_id, census);
	return census;
}

static void list_bans(void *self, void *caller, control_ban *call)
{
	const struct household *house = self;

	if (house->door)
		door_each_ban(house->door, caller, call);
}

static bool lift_ban(void *self, const char *address, struct failure *failure)
{
	const struct household *house = self;

	return house->door ? door_lift_ban(house->door, address, failure)
			   : failure_set(failure, "nobody logs in here, so nobody is banned");
}

static bool lift_client_ban(void *self, struct slice client_id)
{
	const struct household *house = self;

	return house->door && door_lift_client_ban(house->door, client_id);
}

struct control_source household_control_source(struct household *house)
{
	struct control_source source = {.self = house,
					.record = record_use,
					.count = count_clients,
					.list = list_clients,
					.kick = kick_client,
					.bans = list_bans,
					.lift = lift_ban,
					.lift_client = lift_client_ban,
					.traffic = household_traffic};

	household_add_accounts(house, &source);
	return source;
}
