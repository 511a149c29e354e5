/*
 * household_watch.c - the main thread while the others work: it sleeps until there is
 * a signal, a deadline, or the bell.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include "broker/notify.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define REPORT_MS 60000u
#define DOOR_MS	  1000u

/* A worker ends by itself after WORKER_STOP_MS; one that does not is stuck. */
#define AWAIT_MS (WORKER_STOP_MS + 2000u)

/* ---- $SYS */

static void publish(void *self, const char *topic, const char *payload)
{
	const struct household *house = self;

	worker_tell(&house->workers[0],
		    command_create(COMMAND_PUBLISH, slice_text(topic), slice_text(payload)));
}

void household_update_sys_tree(struct household *house, uint64_t now_ms)
{
	struct metrics metrics;

	if (house->config->sys_interval_s == 0) {
		house->sys_due_ms = UINT64_MAX;
		return;
	}
	household_gather(house, &metrics);
	sys_tree_update(&house->sys_tree, now_ms, &metrics, house, publish);
	house->sys_due_ms = now_ms + (uint64_t)house->config->sys_interval_s * 1000;
}

/* ---- the log's summary, once a minute */

static const struct {
	enum happened_name happened;
	const char *sentence; /* after the number */
} told[] = {
    {HAPPENED_DROPPED_QUEUE_FULL, "deliveries were dropped: the queue was full"},
    {HAPPENED_DROPPED_SLOW, "deliveries were dropped: the client read too slowly"},
    {HAPPENED_DROPPED_MEMORY, "deliveries were dropped: memory_limit was reached"},
    {HAPPENED_DROPPED_RETAIN_LIMIT, "retained messages were not kept: a limit was reached"},
    {HAPPENED_DROPPED_SIZE_LIMIT, "messages were refused: larger than message_size_limit"},
};

static void report_counts(struct household *house)
{
	struct metrics now;

	household_gather(house, &now);
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		uint64_t more =
		    now.happened[told[i].happened] - house->reported.happened[told[i].happened];

		if (more > 0)
			log_write(LOG_LEVEL_NOTICE, "clients", "%" PRIu64 " %s in the last minute",
				  more, told[i].sentence);
	}
	house->reported = now;
}

static uint64_t more_than(uint64_t *reported, const _Atomic uint64_t *counter)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
	uint64_t more = now - *reported;

	*reported = now;
	return more;
}

static void report_listener(struct household *house, size_t i)
{
	struct listener *listener = &house->listeners[i];

	log_count(LOG_LEVEL_WARNING, "refused", listener->number, "max_connections",
		  more_than(&house->refused_reported[i], &listener->limit.refused),
		  REPORT_MS / 1000);
	log_count(LOG_LEVEL_NOTICE, "refused", listener->number, "before MQTT began",
		  more_than(&house->not_opened_reported[i], &listener->not_opened),
		  REPORT_MS / 1000);
	log_count(LOG_LEVEL_WARNING, "refused", listener->number, "rate_connect or max_half_open",
		  more_than(&house->turned_away_reported[i], &listener->turned_away),
		  REPORT_MS / 1000);
}

/* That one is said at the next occasion, then once a minute: it needs somebody's hand. */
static void report_exhaustion(struct household *house, uint64_t now_ms)
{
	uint64_t closed = 0;

	if (now_ms < house->exhaustion_due_ms)
		return;
	for (size_t i = 0; i < house->listener_count; i++)
		closed += more_than(&house->no_descriptor_reported[i],
				    &house->listeners[i].no_descriptor);
	if (closed == 0)
		return;
	log_write(LOG_LEVEL_ERROR, "refused",
		  "out of file descriptors: %" PRIu64 " connections were closed; raise the limit "
		  "(`ulimit -Hn`, or systemd's LimitNOFILE)",
		  closed);
	house->exhaustion_due_ms = now_ms + REPORT_MS;
}

static void report(struct household *house, uint64_t now_ms)
{
	uint64_t all = atomic_load_explicit(&house->all.refused, memory_order_relaxed);

	report_counts(house);
	for (size_t i = 0; i < house->listener_count; i++)
		report_listener(house, i);
	if (all > house->all_refused_reported)
		log_write(LOG_LEVEL_WARNING, "refused",
			  "%" PRIu64 " connections were refused: global_max_connections",
			  all - house->all_refused_reported);
	house->all_refused_reported = all;
	house->report_due_ms = now_ms + REPORT_MS;
}

/* ---- the watchdog */

/* systemd restarts a broker whose workers do not come round. */
static void feed_watchdog(struct household *house, uint64_t now_ms)
{
	uint32_t period_ms = notify_watchdog_period_ms();
	const char *trouble = household_trouble(house);

	house->watchdog_due_ms = period_ms > 0 ? now_ms + period_ms : UINT64_MAX;
	if (period_ms == 0)
		return;
	if (trouble)
		log_write(LOG_LEVEL_ERROR, "watchdog", "%s", trouble);
	else
		notify_watchdog();
}

/* ---- signals */

static void on_usr1(struct household *house)
{
	(void)house;
	log_write(LOG_LEVEL_NOTICE, "signal",
		  "USR1: nothing waits to be written; what is acknowledged is on disk already");
}

static void on_usr2(struct household *house)
{
	(void)house;
	log_write(LOG_LEVEL_NOTICE, "signal", "USR2: a planned restart is not in this version");
}

static const struct {
	int number;
	void (*act)(struct household *house);
} actions[] = {{SIGHUP, household_reload}, {SIGUSR1, on_usr1}, {SIGUSR2, on_usr2}};

static bool next_signal(const struct household *house, int *number)
{
	struct signalfd_siginfo info;

	if (read(house->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	*number = (int)info.ssi_signo;
	return true;
}

/* True when one of them says stop. */
static bool take_signals(struct household *house)
{
	int number;

	while (next_signal(house, &number)) {
		if (number == SIGTERM || number == SIGINT) {
			log_write(LOG_LEVEL_NOTICE, "stop", "%s: stopping",
				  number == SIGTERM ? "TERM" : "INT");
			return true;
		}
		for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
			if (actions[i].number == number)
				actions[i].act(house);
	}
	return false;
}

/* ---- sleeping and waking */

static uint64_t next_deadline(const struct household *house)
{
	uint64_t due_ms = house->report_due_ms;

	if (house->sys_due_ms < due_ms)
		due_ms = house->sys_due_ms;
	if (house->watchdog_due_ms < due_ms)
		due_ms = house->watchdog_due_ms;
	if (house->expiry_count > 0 && house->expiry_due_ms < due_ms)
		due_ms = house->expiry_due_ms;
	if (jobs_next_ms(house->jobs) < due_ms)
		due_ms = jobs_next_ms(house->jobs);
	if (house->door_due_ms < due_ms)
		due_ms = house->door_due_ms;
	return due_ms;
}

static void sleep_until(const struct household *house, uint64_t due_ms)
{
	struct pollfd waits[2] = {{.fd = house->signals, .events = POLLIN},
				  {.fd = house->bell, .events = POLLIN}};
	eventfd_t rings;

	must(poll(waits, 2, moment_wait_ms(due_ms)) >= 0 || errno == EINTR);
	if (waits[1].revents)
		eventfd_read(house->bell, &rings);
}

static void tick_door(struct household *house, uint64_t now_ms)
{
	if (house->door && door_tick(house->door, now_ms))
		household_renew_rights(house);
	house->door_due_ms = house->door ? now_ms + DOOR_MS : UINT64_MAX;
}

static void tend_audit(struct household *house)
{
	audit_tend(house->audit);
	if (house->closed == audit_behind(house->audit))
		return;
	house->closed = !house->closed;
	household_settle_core(house);
}

static void meet_deadlines(struct household *house)
{
	uint64_t now_ms = moment_now().ms;

	if (now_ms >= house->sys_due_ms)
		household_update_sys_tree(house, now_ms);
	tick_door(house, now_ms);
	household_look_at_disk(house, now_ms);
	tend_audit(house);
	report_exhaustion(house, now_ms);
	household_report_refusals(house, now_ms);
	household_warn_of_expiries(house, moment_now());
	if (now_ms >= house->report_due_ms)
		report(house, now_ms);
	if (now_ms >= house->watchdog_due_ms)
		feed_watchdog(house, now_ms);
}

/* Whoever wrote: sessions tell at once, accounts, keys and rows are looked after here. */
static bool store_is_lost(struct household *house)
{
	if (house->vault && vault_poisoned(house->vault))
		atomic_store(&house->store_lost, true);
	return atomic_load(&house->store_lost);
}

int household_watch(struct household *house)
{
	uint64_t now_ms = moment_now().ms;

	house->report_due_ms = now_ms + REPORT_MS;
	feed_watchdog(house, now_ms);
	/* Jobs come first: they may be late, if the process was stopped or the machine slept. */
	for (jobs_run(house->jobs, moment_now()); !take_signals(house);
	     jobs_run(house->jobs, moment_now())) {
		if (store_is_lost(house)) {
			log_write(
			    LOG_LEVEL_ERROR, "store",
			    "the store cannot be trusted any more: stopping; look at the disk, "
			    "then start again");
			return EXIT_FAILURE;
		}
		if (!household_keys_erase(house))
			return EXIT_FAILURE;
		meet_deadlines(house);
		sleep_until(house, next_deadline(house));
	}
	return EXIT_SUCCESS;
}

/* ---- the end */

static bool all_ended(const struct household *house)
{
	for (uint16_t i = 0; i < house->worker_count; i++)
		if (house->workers[i].started && !worker_ended(&house->workers[i]))
			return false;
	return true;
}

/* Who asks twice is in a hurry. */
static void heed_second_signal(const struct household *house)
{
	int number;

	while (next_signal(house, &number))
		if (number == SIGTERM || number == SIGINT) {
			log_write(LOG_LEVEL_WARNING, "stop", "told twice: ending at once");
			_exit(EXIT_FAILURE);
		}
}

bool household_await_workers(struct household *house)
{
	uint64_t until_ms = moment_now().ms + AWAIT_MS;

	while (!all_ended(house)) {
		if (moment_now().ms >= until_ms)
			return false;
		sleep_until(house, until_ms);
		heed_second_signal(house);
	}
	return true;
}
