/* worker.c - see worker.h. */
#include "broker/worker_internal.h"
#include "broker/auth_thread.h"
#include "broker/census.h"
#include "broker/core/budget.h"
#include "broker/core/crash.h"
#include "broker/core/mail.h"
#include "broker/core/own_request.h"
#include "broker/desk.h"
#include "broker/jobs.h"
#include "broker/log.h"
#include "broker/net/listener.h"
#include "broker/route_thread.h"
#include "broker/store_thread.h"
#include "broker/time_slice.h"
#include "proto/reason.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/* While somebody is pressed we look this often whether it is over. */
#define PRESSED_WAIT_MS 2u

/* Effects of restored rows are carried out when so many have come together. */
#define RESTORE_EFFECTS_MAX 4096u

/* A timer that fires so late is late because we were. */
#define LATE_MS 50u

bool worker_init(struct worker *all, const struct shard_setup *setup, struct failure *failure)
{
	struct worker *worker = &all[setup->party];

	*worker = (struct worker){.party = setup->party, .all = all, .count = setup->parties};
	if (!mailbox_init(&worker->mailbox, failure))
		return false;
	worker->shard = shard_create(setup, moment_now());
	if (!loop_init(&worker->loop, worker->shard, worker->mailbox.bell, failure)) {
		shard_destroy(worker->shard);
		mailbox_finish(&worker->mailbox);
		*worker = (struct worker){0};
		return false;
	}
	worker->trays = calloc(worker->count, sizeof(*worker->trays));
	worker->pressed = calloc(worker->count, sizeof(*worker->pressed));
	must(worker->trays && worker->pressed);
	return true;
}

void worker_add_listener(struct worker *worker, struct listener *listener)
{
	for (size_t i = 0; i < listener->address_count; i++)
		loop_add_door(&worker->loop, listener, listener_socket(listener, i, worker->party));
}

/* ---- effects */

static void put_in_tray(struct worker *worker, const struct effect *effect)
{
	struct mail *mail = effect->mail;

	must(mail->to < worker->count);
	struct tray *tray = &worker->trays[mail->to];
	struct parcel parcel = {.type = PARCEL_MAIL, .mail = mail};

	if (mail->type == MAIL_ANSWERS) {
		parcels_add(&tray->answers, parcel);
		return;
	}
	if (mail->type == MAIL_RETAIN) {
		tray->first_weight += mail_weight(mail);
		parcels_add(&tray->first, parcel);
	} else {
		tray->weight += mail_weight(mail);
		parcels_add(&tray->parcels, parcel);
	}
}

static void send_link(struct worker *worker, const struct effect *effect)
{
	struct moved_link *moved =
	    loop_release(&worker->loop, effect->link, effect->opened_ms, effect->bytes);

	must(effect->party < worker->count && effect->party != worker->party);
	if (moved)
		parcels_add(&worker->trays[effect->party].parcels,
			    (struct parcel){.type = PARCEL_LINK, .link = moved});
}

static void store(struct worker *worker, struct store_batch *batch)
{
	if (worker->store)
		store_thread_submit(worker->store, batch);
	else
		parcels_add(&worker->early, (struct parcel){.type = PARCEL_STORED, .batch = batch});
}

static void tell(const struct effect *effect)
{
	if (effect->on)
		log_write_listener(LOG_LEVEL_INFO, "client", effect->listener,
				   "%016" PRIx64 " connected", effect->pseudonym);
	else
		log_write_listener(LOG_LEVEL_INFO, "client", effect->listener,
				   "%016" PRIx64 " disconnected: %s", effect->pseudonym,
				   effect->reason ? mqtt_reason_text(effect->reason)
						  : "normal disconnection");
}

static void ask_desk(struct worker *worker, struct own_request *request)
{
	const struct slice busy =
	    SLICE_LITERAL("{\"ok\":false,\"error\":\"too many ask just now; again in a minute\"}");

	if (worker->desk && desk_submit(worker->desk, request))
		return;
	own_request_answer(request, busy);
	worker_post_answer(worker, request);
}

static void hand_over_rows(const struct worker *worker, struct route_block *block)
{
	if (worker->routes)
		route_thread_submit(worker->routes, block);
	else /* not yet: a client that could ask is not there either */
		free(block);
}

static void carry_out(struct worker *worker, const struct effect *effect)
{
	switch (effect->type) {
	case EFFECT_OUTPUT:
		loop_output(&worker->loop, effect->link);
		CRASH_AT(link_written);
		break;
	case EFFECT_CLOSE:
		loop_close(&worker->loop, effect->link);
		break;
	case EFFECT_MOVE:
		send_link(worker, effect);
		break;
	case EFFECT_READ:
		loop_read(&worker->loop, effect->link, effect->on);
		break;
	case EFFECT_MAIL:
		put_in_tray(worker, effect);
		break;
	case EFFECT_STORE:
		store(worker, effect->batch);
		break;
	case EFFECT_TELL:
		tell(effect);
		break;
	case EFFECT_REQUEST:
		ask_desk(worker, effect->request);
		break;
	case EFFECT_ROUTES:
		hand_over_rows(worker, effect->block);
		break;
	}
}

/* Writing is a call on the shard, which may move the list: it is looked up each time. */
static bool next_effect(const struct worker *worker, size_t i, struct effect *effect)
{
	size_t count;
	const struct effect *effects = shard_effects(worker->shard, &count);

	if (i < count)
		*effect = effects[i];
	return i < count;
}

static bool goes_to_others(const struct effect *effect)
{
	return effect->type == EFFECT_MAIL || effect->type == EFFECT_MOVE;
}

/* Those for other workers, or the rest; gives how many there are of both. */
static size_t carry_out_those(struct worker *worker, bool others)
{
	struct effect effect;
	size_t i = 0;

	for (; next_effect(worker, i, &effect); i++)
		if (goes_to_others(&effect) == others)
			carry_out(worker, &effect);
	return i;
}

static void post(struct worker *worker, uint16_t to, struct parcels *parcels, uint64_t *weight)
{
	mailbox_post(&worker->all[to].mailbox, parcels->at, parcels->count, *weight);
	parcels_clear(parcels);
	*weight = 0;
}

static void post_mail(struct worker *worker)
{
	for (uint16_t i = 0; i < worker->count; i++)
		post(worker, i, &worker->trays[i].first, &worker->trays[i].first_weight);
	for (uint16_t i = 0; i < worker->count; i++)
		post(worker, i, &worker->trays[i].parcels, &worker->trays[i].weight);
}

static void post_answers(struct worker *worker)
{
	uint64_t none = 0;

	for (uint16_t i = 0; i < worker->count; i++)
		post(worker, i, &worker->trays[i].answers, &none);
}

static void carry_out_all(struct worker *worker)
{
	do {
		size_t count = carry_out_those(worker, true);

		post_mail(worker);
		/* Writing makes no effects: mail among them would be left behind. */
		must(carry_out_those(worker, false) == count);
		CRASH_WRITTEN();
		shard_effects_done(worker->shard);
	} while (loop_settle(&worker->loop));
}

/* Who has too much mail?  One that was pressed stays so until half of it is gone. */
static void feel_pressure(struct worker *worker)
{
	bool any = false;

	for (uint16_t i = 0; i < worker->count; i++) {
		uint64_t weight = mailbox_weight(&worker->all[i].mailbox);

		worker->pressed[i] =
		    weight > (worker->pressed[i] ? WORKER_MAIL_MAX / 2 : WORKER_MAIL_MAX) ||
		    atomic_load_explicit(&worker->all[i].behind, memory_order_relaxed);
		any = any || worker->pressed[i];
	}
	if (worker->loop.pressed && !any)
		loop_resume(&worker->loop);
	worker->loop.pressed = any ? worker->pressed : NULL;
}

void worker_answer_asked(struct worker *worker)
{
	if (worker->asked)
		census_done(worker->asked);
	worker->asked = NULL;
}

static void finish_turn(struct worker *worker)
{
	carry_out_all(worker);
	post_answers(worker);
	atomic_store_explicit(&worker->behind, shard_is_behind(worker->shard),
			      memory_order_relaxed);
	feel_pressure(worker);
	worker_answer_asked(worker);
}

void worker_restore(struct worker *worker, const struct event *event)
{
	size_t count;

	shard_handle(worker->shard, worker->loop.now, event);
	shard_effects(worker->shard, &count);
	if (count >= RESTORE_EFFECTS_MAX)
		finish_turn(worker);
}

static void handle(struct worker *worker, const struct event *event)
{
	shard_handle(worker->shard, worker->loop.now, event);
}

/* ---- the turn */

/* The files may have been read again since it was answered. */
static void open_login(struct worker *worker, struct login *login)
{
	struct event event = {.type = EVENT_AUTHENTICATED,
			      .link = login->link,
			      .serial = login->serial,
			      .reason = login->reason};

	if (login->grant && !login->auth->renew(login->auth, &login->grant))
		event.reason = MQTT_NOT_AUTHORIZED;
	if (event.reason == MQTT_SUCCESS) {
		event.grant = login->grant;
		login->grant = NULL;
	}
	handle(worker, &event);
	login_destroy(login);
}

static void open_parcel(struct worker *worker, const struct parcel *parcel)
{
	switch (parcel->type) {
	case PARCEL_MAIL:
		handle(worker, &(struct event){.type = EVENT_MAIL, .mail = parcel->mail});
		break;
	case PARCEL_STORED:
		handle(worker, &(struct event){.type = EVENT_STORED, .batch = parcel->batch});
		break;
	case PARCEL_LINK:
		parcels_add(&worker->arriving, *parcel);
		break;
	case PARCEL_COMMAND:
		worker_obey(worker, parcel->command);
		command_destroy(parcel->command);
		break;
	case PARCEL_LOGIN:
		open_login(worker, parcel->login);
		break;
	case PARCEL_ANSWER:
		handle(worker, &(struct event){.type = EVENT_ANSWER, .request = parcel->request});
		break;
	}
}

static uint64_t wait_until(const struct worker *worker)
{
	uint64_t until_ms = worker->arriving.count > 0 ? 0 : shard_next_timer(worker->shard);

	if (worker->loop.pressed && until_ms > worker->loop.now.ms + PRESSED_WAIT_MS)
		until_ms = worker->loop.now.ms + PRESSED_WAIT_MS;
	if (worker->stopping && until_ms > worker->stop_until_ms)
		until_ms = worker->stop_until_ms;
	if (until_ms > calm_due_ms(&worker->calm))
		until_ms = calm_due_ms(&worker->calm);
	return until_ms;
}

static size_t open_mailbox(struct worker *worker)
{
	size_t count;
	const struct parcel *parcels = mailbox_take(&worker->mailbox, &count);

	for (size_t i = 0; i < count; i++)
		open_parcel(worker, &parcels[i]);
	return count;
}

static void open_what_waits(void *self)
{
	struct worker *worker = self;

	if (mailbox_filled(&worker->mailbox))
		open_mailbox(worker);
}

static bool look_at_clock(struct worker *worker)
{
	if (shard_next_timer(worker->shard) > worker->loop.now.ms)
		return false;
	handle(worker, &(struct event){.type = EVENT_TIMERS});
	return true;
}

bool worker_settle(struct worker *worker)
{
	worker->loop.now = moment_now();
	finish_turn(worker);
	bool mail = open_mailbox(worker) > 0;
	bool timers = look_at_clock(worker);

	finish_turn(worker);
	return mail || timers;
}

/*
 * Timers cut off who is silent.  When they come late, because the process was stopped or a
 * turn was long, links may have spoken in time: they are looked at again, and read first.  epoll
 * gives each its turn: after so many turns all have had one.
 */
static bool links_come_first(struct worker *worker, size_t ready)
{
	uint64_t due_ms = shard_next_timer(worker->shard);
	bool late =
	    due_ms > 0 && due_ms < UINT64_MAX - LATE_MS && due_ms + LATE_MS <= worker->loop.now.ms;
	bool first = late && (ready > 0 || worker->late_turns == 0) &&
		     worker->late_turns < 2 + worker->loop.links.used / LOOP_READY_MAX;

	worker->late_turns = first ? worker->late_turns + 1 : 0;
	return first;
}

/* Those that were here before this turn looked at the sockets: what a client has said on a
 * connection that it closed is read before its next one takes over. */
static void let_in(struct worker *worker, size_t count)
{
	struct parcels *arriving = &worker->arriving;

	for (size_t i = 0; i < count; i++)
		loop_adopt(&worker->loop, arriving->at[i].link);
	arriving->count -= count;
	if (arriving->count > 0)
		memmove(arriving->at, arriving->at + count,
			arriving->count * sizeof(*arriving->at));
	else
		parcels_clear(arriving);
}

static void turn(struct worker *worker)
{
	uint64_t until_ms = mailbox_sleep(&worker->mailbox) ? wait_until(worker) : 0;
	size_t arrived = worker->arriving.count;

	atomic_store_explicit(&worker->busy_since_ms, 0, memory_order_relaxed);
	loop_wait(&worker->loop, until_ms);
	/* A process that was stopped, or a machine that slept, forgets first. */
	if (worker->jobs && jobs_await(worker->jobs, worker->loop.now.ms))
		worker->loop.now = moment_now();
	atomic_store_explicit(&worker->busy_since_ms, worker->loop.now.ms, memory_order_relaxed);
	size_t ready = worker->loop.ready_count;
	size_t events = ready + open_mailbox(worker);

	loop_serve(&worker->loop, worker, open_what_waits);
	let_in(worker, arrived);
	if (!links_come_first(worker, ready))
		look_at_clock(worker);
	finish_turn(worker);
	calm_turn(&worker->calm, worker->shard, events, worker->loop.now.ms);
}

/* Peers that are to take their last bytes get the time for it: loop.h. */
static bool is_over(const struct worker *worker)
{
	return worker->stopping &&
	       ((shard_stopped(worker->shard) && worker->loop.links.used == 0) ||
		worker->loop.now.ms >= worker->stop_until_ms);
}

static void *run(void *self)
{
	struct worker *worker = self;
	char name[16];

	snprintf(name, sizeof(name), "worker %u", worker->party);
	pthread_setname_np(pthread_self(), name);
	time_slice_shorten();
	finish_turn(worker);
	while (!is_over(worker))
		turn(worker);
	atomic_store_explicit(&worker->busy_since_ms, 0, memory_order_relaxed);
	atomic_store_explicit(&worker->ended, true, memory_order_release);
	must(eventfd_write(worker->end_bell, 1) == 0);
	return NULL;
}

bool worker_start(struct worker *worker, const struct worker_needs *needs, struct failure *failure)
{
	worker->store = needs->store;
	worker->jobs = needs->jobs;
	worker->desk = needs->desk;
	worker->routes = needs->routes;
	worker->end_bell = needs->end_bell;
	for (size_t i = 0; i < worker->early.count; i++)
		store(worker, worker->early.at[i].batch);
	parcels_finish(&worker->early);
	int error = pthread_create(&worker->thread, NULL, run, worker);

	if (error != 0)
		return failure_set(failure, "cannot start a worker thread: %s", strerror(error));
	worker->started = true;
	return true;
}

/* ---- from other threads */

void worker_tell(struct worker *worker, struct command *command)
{
	struct parcel parcel = {.type = PARCEL_COMMAND, .command = command};

	mailbox_post(&worker->mailbox, &parcel, 1, 0);
}

void worker_post_stored(struct worker *worker, struct store_batch *batch)
{
	struct parcel parcel = {.type = PARCEL_STORED, .batch = batch};

	mailbox_post(&worker->mailbox, &parcel, 1, 0);
}

void worker_post_login(struct worker *worker, struct login *login)
{
	struct parcel parcel = {.type = PARCEL_LOGIN, .login = login};

	mailbox_post(&worker->mailbox, &parcel, 1, 0);
}

void worker_post_answer(struct worker *worker, struct own_request *request)
{
	struct parcel parcel = {.type = PARCEL_ANSWER, .request = request};

	mailbox_post(&worker->mailbox, &parcel, 1, 0);
}

uint64_t worker_busy_ms(const struct worker *worker, uint64_t now_ms)
{
	uint64_t since_ms = atomic_load_explicit(&worker->busy_since_ms, memory_order_relaxed);

	return since_ms == 0 || since_ms > now_ms ? 0 : now_ms - since_ms;
}

bool worker_ended(const struct worker *worker)
{
	return atomic_load_explicit(&worker->ended, memory_order_acquire);
}

void worker_join(struct worker *worker)
{
	if (worker->started)
		must(pthread_join(worker->thread, NULL) == 0);
	worker->started = false;
}

/* The shards' purses are of no account any more, so an empty one will do. */
static void discard_mail(struct mail *mail)
{
	struct budget budget;
	struct purse purse;

	budget_init(&budget, 0);
	purse_init(&purse, &budget);
	mail_destroy(mail, &purse);
	budget_finish(&budget);
}

static void discard(struct worker *worker, const struct parcel *parcel)
{
	switch (parcel->type) {
	case PARCEL_MAIL:
		discard_mail(parcel->mail);
		break;
	case PARCEL_STORED:
		free(parcel->batch);
		break;
	case PARCEL_LINK:
		moved_link_destroy(parcel->link, worker->shard);
		break;
	case PARCEL_COMMAND:
		command_destroy(parcel->command);
		break;
	case PARCEL_LOGIN:
		login_destroy(parcel->login);
		break;
	case PARCEL_ANSWER:
		own_request_destroy(parcel->request);
		break;
	}
}

void worker_finish(struct worker *worker)
{
	size_t count;

	if (!worker->shard)
		return;
	const struct parcel *parcels = mailbox_take(&worker->mailbox, &count);

	for (size_t i = 0; i < count; i++)
		discard(worker, &parcels[i]);
	for (size_t i = 0; i < worker->early.count; i++)
		discard(worker, &worker->early.at[i]);
	parcels_finish(&worker->early);
	for (size_t i = 0; i < worker->arriving.count; i++)
		discard(worker, &worker->arriving.at[i]);
	parcels_finish(&worker->arriving);
	worker_answer_asked(worker);
	loop_finish(&worker->loop);
	shard_destroy(worker->shard);
	mailbox_finish(&worker->mailbox);
	for (uint16_t i = 0; i < worker->count; i++) {
		parcels_finish(&worker->trays[i].first);
		parcels_finish(&worker->trays[i].parcels);
		parcels_finish(&worker->trays[i].answers);
	}
	free(worker->trays);
	free(worker->pressed);
	*worker = (struct worker){0};
}
