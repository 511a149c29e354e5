/* household.c - see household.h. */
#include "proto/version.h"
#include "broker/household.h"
#include "broker/household_internal.h"
#include "broker/log.h"
#include "broker/notify.h"
#include "broker/privileges.h"
#include "storage/lmdb_store.h"
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Signals come as bytes of a descriptor; threads inherit that they are blocked. */
static bool take_signals(struct household *house, struct failure *failure)
{
	static const int ours[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCONT};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigaddset(&set, ours[i]);
	signal(SIGPIPE, SIG_IGN);
	/* A limit on file sizes is an error of write(2), for the store and for the log. */
	signal(SIGXFSZ, SIG_IGN);
	must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	house->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	house->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (house->signals >= 0 && house->bell >= 0)
		return true;
	return failure_set(failure, "cannot make a signalfd: %s", strerror(errno));
}

static bool read_config(struct household *house)
{
	char *problems = NULL;
	struct config *config = options_read_config(house->options, &problems);

	if (config)
		household_adopt_config(house, config);
	else
		fputs(problems ? problems : "out of memory\n", stderr);
	free(problems);
	return config != NULL;
}

/* ---- the storage thread's answers */

/* Said once a minute at most, for on a full disk every batch fails. */
static void tell_store_failure(struct household *house, const struct store_batch *batch)
{
	uint64_t now_ms = moment_now().ms;
	uint64_t failures =
	    atomic_fetch_add_explicit(&house->store_failures, 1, memory_order_relaxed) + 1;

	if (house->store_told_ms != 0 && now_ms < house->store_told_ms + 60000)
		return;
	house->store_told_ms = now_ms;
	log_write(LOG_LEVEL_ERROR, "store", "%s (%" PRIu64 " failures so far)", batch->failure.text,
		  failures);
}

static void take_answer(void *self, struct store_batch *batch)
{
	struct household *house = self;

	if (!batch->committed) {
		tell_store_failure(house, batch);
		audit_alert(house->audit, AUDIT_WORD_ALERT_STORE_FAILED);
		if (lmdb_store_poisoned(house->store) && !atomic_exchange(&house->store_lost, true))
			must(eventfd_write(house->bell, 1) == 0);
	}
	worker_post_stored(&house->workers[batch->party], batch);
}

/* ---- the threads */

static bool start_store_thread(struct household *house, struct failure *failure)
{
	struct store_thread_sink sink = {.self = house, .done = take_answer};

	if (!house->store)
		return true;
	house->store_thread = store_thread_create(house->store, &sink, failure);
	return house->store_thread != NULL;
}

static bool start_admin(struct household *house, struct failure *failure)
{
	struct admin_source source = household_admin_source(house);

	return (!house->admin || admin_start(house->admin, &source, failure)) &&
	       (!house->log_server ||
		log_server_start(house->log_server, house->directory, failure));
}

static bool start_control(struct household *house, struct failure *failure)
{
	struct control_source source = household_control_source(house);

	/* Without a data directory there is no place for the socket. */
	if (house->directory < 0)
		return true;
	house->control = control_create(house->data_way.path, &source, failure);
	return house->control != NULL;
}

static bool start_door(struct household *house, struct failure *failure)
{
	return !house->door || door_start(house->door, failure);
}

static bool start_workers(struct household *house, struct failure *failure)
{
	struct worker_needs needs = {.store = house->store_thread,
				     .jobs = house->jobs,
				     .desk = house->desk,
				     .routes = household_route_thread(house),
				     .end_bell = house->bell};

	for (uint16_t i = 0; i < house->worker_count; i++)
		if (!worker_start(&house->workers[i], &needs, failure))
			return false;
	/* Whose line of password_file went while the broker did not run: its tokens go, too. */
	household_renew_rights(house);
	return true;
}

/*
 * Who asks comes before who serves, so that a failure here meets no client; but the first account,
 * which the control socket may be asked for at once, finds the door as it is.
 */
static bool start_threads(struct household *house, struct failure *failure)
{
	return start_store_thread(house, failure) && household_start_routes(house, failure) &&
	       start_admin(house, failure) && household_start_desk(house, failure) &&
	       start_door(house, failure) && start_control(house, failure) &&
	       start_workers(house, failure);
}

/* ---- the order of life */

/* What is past its time goes before anybody is served. */
static bool begin_jobs(struct household *house)
{
	household_begin_jobs(house);
	jobs_run(house->jobs, moment_now());
	return true;
}

static bool begin(struct household *house, struct failure *failure)
{
	struct config *config = house->config;

	/* The background comes first: no thread, lock or map survives fork(2). */
	if (house->options->daemon && !privileges_become_daemon(failure))
		return false;
	if (!log_open(config, failure))
		return false;
	/* Each worker has an arena of its own; more would only scatter free memory. */
	mallopt(M_ARENA_MAX, (int)config->workers + 2);
	return household_open(house, failure) && household_make_workers(house, failure) &&
	       household_restore(house, failure) && begin_jobs(house) &&
	       start_threads(house, failure);
}

static int serve(struct household *house)
{
	household_note_expiries(house);
	household_update_sys_tree(house, moment_now().ms);
	atomic_store(&house->state, HOUSEHOLD_SERVING);
	log_write(LOG_LEVEL_NOTICE, "start", "metrinod " METRINO_VERSION " is ready");
	notify_ready();
	privileges_daemon_ready();
	int code = household_watch(house);

	house->cause = code == EXIT_SUCCESS ? AUDIT_WORD_CAUSE_ASKED : AUDIT_WORD_CAUSE_STORE_LOST;
	notify_stopping();
	return code;
}

/* What is kept in memory only goes with us: that is said, in numbers. */
static void tell_loss(const struct household *house, const struct metrics *metrics)
{
	uint64_t retained = metrics_level(metrics, HAPPENED_RETAINED);
	uint64_t own = house->sys_tree.published ? SYS_TREE_TOPICS : 0;
	uint64_t queued =
	    metrics_level(metrics, HAPPENED_QUEUED) + metrics_level(metrics, HAPPENED_INFLIGHT);

	log_write(LOG_LEVEL_NOTICE, "stop",
		  "stopped; let go: %" PRIu64 " retained messages, %" PRIu64 " wills, %" PRIu64
		  " deliveries that waited",
		  retained > own ? retained - own : 0, metrics_level(metrics, HAPPENED_WILLS),
		  queued);
}

static bool any_worker_started(const struct household *house)
{
	return house->worker_count > 0 && house->workers[0].started;
}

/*
 * Queues and wills end with the sessions, so they are counted before.  Retained messages stay, and
 * the last acknowledged ones may still be on their way to their home: they are counted after.
 */
static void stop_workers(struct household *house)
{
	struct metrics metrics;
	struct metrics at_the_end;

	household_gather(house, &metrics);
	for (uint16_t i = 0; i < house->worker_count; i++)
		if (house->workers[i].started)
			worker_tell(&house->workers[i],
				    command_create(COMMAND_STOP, SLICE_NONE, SLICE_NONE));
	if (!household_await_workers(house)) {
		log_write(LOG_LEVEL_ERROR, "stop", "a worker does not end; ending without it");
		_exit(EXIT_FAILURE);
	}
	for (uint16_t i = 0; i < house->worker_count; i++)
		worker_join(&house->workers[i]);
	household_gather(house, &at_the_end);
	metrics.happened[HAPPENED_RETAINED] = at_the_end.happened[HAPPENED_RETAINED];
	tell_loss(house, &metrics);
}

static void end(struct household *house)
{
	const bool served = any_worker_started(house);

	atomic_store(&house->state, HOUSEHOLD_STOPPING);
	if (house->jobs)
		jobs_end(house->jobs);
	/* The control thread waits for workers, so it ends while they still answer. */
	control_destroy(house->control);
	desk_end(house->desk);
	if (served)
		stop_workers(house);
	admin_destroy(house->admin);
	log_server_destroy(house->log_server);
	if (house->store_thread)
		store_thread_destroy(house->store_thread);
	door_stop(house->door);
	if (served)
		household_keep_last_logins(house);
	for (uint16_t i = 0; i < house->worker_count; i++)
		worker_finish(&house->workers[i]);
	desk_destroy(house->desk);
	door_destroy(house->door);
	household_close_routes(house);
	if (!budget_finish(&house->budget))
		log_write(LOG_LEVEL_WARNING, "stop", "messages were left over at the end");
	payload_memory_finish(&house->payload_memory);
	free(house->workers);
	jobs_destroy(house->jobs);
	household_close(house);
	log_close();
	for (size_t i = 0; i < house->config_count; i++)
		config_destroy(house->configs[i]);
	free(house->configs);
}

void household_tell_failure(const struct failure *failure)
{
	log_write(LOG_LEVEL_ERROR, "start", "%s", failure->text);
	if (!log_wanted(LOG_LEVEL_ERROR) || !log_to_stderr())
		fprintf(stderr, "metrinod: %s\n", failure->text);
}

int household_run(const struct options *options)
{
	struct household house = {.options = options,
				  .expiry_lock = PTHREAD_MUTEX_INITIALIZER,
				  .state = HOUSEHOLD_STARTING,
				  .signals = -1,
				  .bell = -1,
				  .directory = -1,
				  .keys_prepared = {.directory = -1},
				  .cause = AUDIT_WORD_CAUSE_FAILED};
	struct failure failure;
	int code = EXIT_FAILURE;

	if (!read_config(&house))
		return OPTIONS_EXIT_WRONG;
	if (take_signals(&house, &failure) && begin(&house, &failure))
		code = serve(&house);
	else
		household_tell_failure(&failure);
	end(&house);
	return code;
}
