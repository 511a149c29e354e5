/* shard.c - see shard.h: events in, effects out. */
#include "broker/core/core.h"
#include "broker/core/charge.h"
#include "broker/core/answer.h"
#include "broker/core/own_me.h"
#include "broker/core/rights.h"

/* ---- small things that everybody needs ---- */

void *shard_grow(void *at, uint32_t *room, uint32_t need, size_t size)
{
	if (need <= *room)
		return at;
	uint32_t more = *room ? *room : 8;
	while (more < need)
		more *= 2;
	*room = more;
	return memory_resize(at, more * size);
}

struct effect *shard_effect(struct shard *shard, enum effect_type type, uint32_t link)
{
	if (shard->effect_count == shard->effect_room) {
		shard->effect_room = shard->effect_room ? shard->effect_room * 2 : 64;
		shard->effects =
		    memory_resize(shard->effects, shard->effect_room * sizeof *shard->effects);
	}
	struct effect *effect = &shard->effects[shard->effect_count++];
	*effect = (struct effect){.type = type, .link = link};
	return effect;
}

void shard_post(struct shard *shard, struct mail *mail)
{
	mail->sent_ms = shard->now.ms;
	if (mail->to != shard->party) {
		if (mail->bundle == NULL)
			bundle_seal(&shard->bundles, mail->to);
		shard_effect(shard, EFFECT_MAIL, 0)->mail = mail;
		return;
	}
	if (shard->own_last)
		shard->own_last->next = mail;
	else
		shard->own_first = mail;
	shard->own_last = mail;
}

uint64_t shard_random(struct shard *shard)
{
	uint64_t number;
	do
		number = hash_next_random(shard->seed, &shard->random_counter);
	while (number == 0); /* 0 means `none` wherever a row is named */
	return number;
}

party_id shard_home(const struct shard *shard, struct slice client_id)
{
	return (party_id)(hash_keyed(shard->hash_key, client_id) % shard->parties);
}

/* ---- life ---- */

struct shard *shard_create(const struct shard_setup *setup, struct moment now)
{
	struct shard *shard = memory_get_zeroed(sizeof *shard);
	must(setup->parties >= 1 && setup->party < setup->parties);
	shard->party = setup->party;
	shard->parties = setup->parties;
	shard->durable = setup->durable;
	shard->now = now;
	shard->known_ms = now.ms;
	shard->known_s = setup->known_s;
	shard->settings = setup->settings;
	shard->auth = setup->auth;
	shard->address_rates = setup->address_rates;
	memcpy(shard->hash_key, setup->hash_key, sizeof shard->hash_key);
	memcpy(shard->seed, setup->seed, sizeof shard->seed);
	purse_init(&shard->purse, setup->budget);
	slab_init(&shard->sessions, sizeof(struct session));
	slab_init(&shard->rights, sizeof(struct rights));
	subscriptions_init(&shard->subscriptions, shard->hash_key);
	routes_init(&shard->routes, shard->hash_key);
	shares_init(&shard->shares);
	retained_init(&shard->retained, shard->hash_key);
	tokens_init(&shard->tokens);
	gates_init(&shard->gates);
	persist_init(&shard->persist);
	steps_init(&shard->steps);
	recall_init(&shard->recall);
	timer_wheel_init(&shard->timers, now.ms);
	delivery_log_init(&shard->log, setup->pseudonyms);
	bundles_init(&shard->bundles, setup->parties);
	shard->party_turn = memory_get_zeroed(setup->parties * sizeof *shard->party_turn);
	shard->backlog.of = memory_get_zeroed(setup->parties * sizeof *shard->backlog.of);
	return shard;
}

static void free_effect(struct shard *shard, struct effect *effect)
{
	if (effect->mail)
		mail_destroy(effect->mail, &shard->purse);
	if (effect->type == EFFECT_MOVE)
		shard_free_bytes(shard, effect->bytes);
	memory_free(effect->batch);
	memory_wipe_free(effect->block, sizeof *effect->block);
	own_request_destroy(effect->request);
}

static void free_sessions(struct shard *shard)
{
	for (uint32_t slot = 1; slot < shard->sessions.used; slot++) {
		struct session *session = session_at(shard, slot);
		struct changes changes = {0};
		if (session == NULL)
			continue;
		session_drop_subscriptions(shard, session, &changes);
		memory_free(changes.ops);
		session_free(shard, session);
	}
}

static void free_clients(struct shard *shard)
{
	for (uint32_t link = 0; link < shard->client_pages * CLIENT_PAGE; link++) {
		struct client *client = client_of_link(shard, link);
		if (client == NULL)
			continue;
		if (client->session != 0)
			session_at(shard, client->session)->client = NULL;
		client_free(shard, client);
	}
	for (uint32_t i = 0; i < shard->client_pages; i++)
		memory_free(shard->clients[i]);
}

void shard_destroy(struct shard *shard)
{
	shard->log.pseudonyms = NULL; /* what ends now ends with the broker: nobody will read it */
	free_clients(shard);
	free_sessions(shard);
	shares_finish(shard);
	retained_finish(shard);
	answers_finish(shard);
	gates_finish(&shard->gates);
	tokens_finish(shard);
	routes_finish(&shard->routes);
	subscriptions_finish(&shard->subscriptions);
	persist_finish(&shard->persist);
	steps_finish(&shard->steps);
	recall_finish(&shard->recall);
	charge_finish(shard);
	bundles_finish(&shard->bundles);
	delivery_log_flush(shard);
	delivery_log_finish(&shard->log);
	for (size_t i = 0; i < shard->effect_count; i++)
		free_effect(shard, &shard->effects[i]);
	mail_finish(shard);
	own_copies_finish(shard);
	purse_give(&shard->purse, shard->tries_charged);
	purse_finish(&shard->purse);
	slab_finish(&shard->sessions);
	slab_finish(&shard->rights);
	index_finish(&shard->session_index);
	index_finish(&shard->restore_index);
	void *scratch[] = {shard->stale_rows,	shard->clients,	   shard->effects,
			   shard->drained,	shard->matches,	   shard->match_identifiers,
			   shard->match_groups, shard->party_turn, shard->rates,
			   shard->habits,	shard->spent,	   shard->recorded.sessions};
	for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
		memory_free(scratch[i]);
	memory_free(shard);
}

/* ---- events ---- */

static void on_link_bytes(struct shard *shard, const struct event *event)
{
	struct client *client = client_of_link(shard, event->link);
	COUNT_N(shard, BYTES_RECEIVED, event->bytes.len);
	if (client == NULL)
		return;
	shard->identity = event->identity;
	client_bytes(shard, client, event->bytes);
	shard->identity = NULL;
}

static void on_link_expelled(struct shard *shard, const struct event *event)
{
	struct client *client = client_of_link(shard, event->link);
	if (client)
		client_fail(shard, client, MQTT_NOT_AUTHORIZED,
			    "what this client proved itself with is not accepted any more");
}

static void on_link_closed(struct shard *shard, const struct event *event)
{
	struct client *client = client_of_link(shard, event->link);
	if (client)
		client_gone(shard, client);
}

static void on_stored(struct shard *shard, const struct event *event)
{
	persist_answered(shard, event->batch);
}

static void on_auth_answer(struct shard *shard, const struct event *event)
{
	struct client *client = client_of_link(shard, event->link);
	if (client && client->serial == event->serial && client->state == CLIENT_AUTHENTICATING)
		on_authenticated(shard, client, event);
	else /* it has gone, and its number may be another's */
		rights_release(shard, event->grant);
}

static void on_own_publish(struct shard *shard, const struct event *event)
{
	struct publication publication = {
	    .retain = event->retain,
	    .expires_ms = EXPIRES_NEVER,
	    .topic = event->text,
	    .payload = event->bytes,
	};
	publish(shard, &publication);
	publication_finish(shard, &publication);
}

static void on_kick(struct shard *shard, const struct event *event)
{
	struct session *session = session_find(shard, 0, event->text);
	if (session && session->client)
		client_fail(shard, session->client, MQTT_ADMINISTRATIVE_ACTION,
			    "disconnected by the operator");
}

static void on_settings(struct shard *shard, const struct event *event)
{
	struct told_before *told = &shard->told_before;
	told->serial = shard->serial;
	if (shard->settings->max_packet_size > told->max_packet_size)
		told->max_packet_size = shard->settings->max_packet_size;
	told->retain_available |= shard->settings->retain_available;
	shard->settings = event->settings;
}

static void on_routes(struct shard *shard, const struct event *event)
{
	(void)event;
	delivery_log_flush(shard);
}

static void on_timers(struct shard *shard, const struct event *event)
{
	(void)event;
	struct timer *timer;
	while ((timer = timer_next_due(&shard->timers, shard->now.ms)) != NULL) {
		char *at = (char *)timer;
		switch ((enum timer_kind)timer->kind) {
		case TIMER_CLIENT:
			client_timer(shard, (void *)(at - offsetof(struct client, timer)));
			break;
		case TIMER_SESSION:
			session_timer(shard, (void *)(at - offsetof(struct absence, timer)));
			break;
		case TIMER_RETAINED:
			retained_timer(shard, timer);
			break;
		case TIMER_GATES:
			gates_timer(shard);
			break;
		case TIMER_PERSIST:
			persist_retry(shard);
			break;
		case TIMER_STEPS:
			steps_timer(shard);
			break;
		case TIMER_TOKEN:
			token_timer(shard, (void *)(at - offsetof(struct token, timer)));
			break;
		case TIMER_ROUTES:
			delivery_log_flush(shard);
			break;
		}
	}
}

static void on_stop(struct shard *shard, const struct event *event)
{
	(void)event;
	shard->stopping = true;
	steps_note_queues(shard);
	for (uint32_t link = 0; link < shard->client_pages * CLIENT_PAGE; link++) {
		struct client *client = client_of_link(shard, link);
		if (client)
			client_fail(shard, client, MQTT_SERVER_SHUTTING_DOWN,
				    "the broker is stopping");
	}
	sessions_stop(shard);
}

static void on_restore_session(struct shard *shard, const struct event *event)
{
	session_restore(shard, event->row, event->session);
}

static void on_restore_subscription(struct shard *shard, const struct event *event)
{
	session_restore_subscription(shard, event->row, event->subscription);
}

static void on_restore_step(struct shard *shard, const struct event *event)
{
	session_restore_step(shard, event->step);
}

/* Links whose socket has taken what was waiting: more may go. */
static void pump_drained(struct shard *shard)
{
	uint32_t count = shard->drained_count;
	for (uint32_t i = 0; i < count; i++) {
		struct client *client = shard->drained[i];
		if (client == NULL)
			continue;
		client->drained_told = false;
		shard->drained[i] = NULL;
		client_go_on(shard, client);
	}
	/* Going on may have added some: they are for the next call. */
	shard->drained_count -= count;
	memmove(shard->drained, shard->drained + count,
		shard->drained_count * sizeof *shard->drained);
}

void shard_handle(struct shard *shard, struct moment now, const struct event *event)
{
	static void (*const handlers[])(struct shard *, const struct event *) = {
	    [EVENT_LINK_OPEN] = client_open,
	    [EVENT_LINK_BYTES] = on_link_bytes,
	    [EVENT_LINK_EXPELLED] = on_link_expelled,
	    [EVENT_LINK_CLOSED] = on_link_closed,
	    [EVENT_MAIL] = on_mail,
	    [EVENT_STORED] = on_stored,
	    [EVENT_AUTHENTICATED] = on_auth_answer,
	    [EVENT_RIGHTS] = on_rights,
	    [EVENT_PUBLISH] = on_own_publish,
	    [EVENT_KICK] = on_kick,
	    [EVENT_EXPEL] = on_expel,
	    [EVENT_ANSWER] = on_answer,
	    [EVENT_SETTINGS] = on_settings,
	    [EVENT_TIMERS] = on_timers,
	    [EVENT_ROUTES] = on_routes,
	    [EVENT_STOP] = on_stop,
	    [EVENT_RESTORE_SESSION] = on_restore_session,
	    [EVENT_RESTORE_SUBSCRIPTION] = on_restore_subscription,
	    [EVENT_RESTORE_STEP] = on_restore_step,
	};
	shard->now = moment_not_before(now, shard->now.ms);
	bundles_event(&shard->bundles);
	delivery_log_clock(shard);
	if (shard->drained_count > 0)
		pump_drained(shard);
	if (shard->recorded.count > 0)
		arrivals_go_on(shard);
	if (shard->backlog.parties > 0)
		mail_go_on(shard);
	handlers[event->type](shard, event);
	own_copies_deliver(shard);
	if (shard->own_first)
		mail_from_itself(shard);
	if (routes_may_leave(&shard->routes))
		routes_leave(shard);
	charge_tries(shard);
	happened_set(&shard->happened, HAPPENED_MEMORY, (uint64_t)shard->purse.charged);
}

bool shard_published_to(const struct shard *shard, const bool parties[])
{
	for (party_id to = 0; to < shard->parties; to++)
		if (parties[to] && bundles_went(&shard->bundles, to))
			return true;
	return false;
}

uint8_t *shard_payload(struct shard *shard, size_t n)
{
	return purse_payload(&shard->purse, n);
}

struct shelf *shard_shelf(struct shard *shard)
{
	return shard->purse.shelf;
}

void shard_free_bytes(struct shard *shard, struct slice bytes)
{
	purse_payload_free(&shard->purse, (void *)(uintptr_t)bytes.at, bytes.len);
}

void shard_calm(struct shard *shard)
{
	arena_calm(shard->purse.shelf);
}

/* ---- effects ---- */

const struct effect *shard_effects(struct shard *shard, size_t *count)
{
	steps_flush(shard);
	*count = shard->effect_count;
	return shard->effects;
}

void shard_effects_done(struct shard *shard)
{
	for (size_t i = 0; i < shard->effect_count; i++) {
		const struct effect *effect = &shard->effects[i];
		struct client *client = client_of_link(shard, effect->link);
		if (effect->type == EFFECT_OUTPUT && client)
			client->output_told = false;
	}
	shard->effect_count = 0;
	for (uint32_t i = 0; i < shard->spent_count; i++)
		if (shard->spent[i])
			shard_soon(shard, shard->spent[i]);
	shard->spent_count = 0;
	shard->recorded.work = shard->backlog.work = 0;
	bundles_sent(&shard->bundles, shard->parties);
	routes_turn(&shard->routes);
}

size_t shard_output(struct shard *shard, uint32_t link, struct slice *out, size_t room)
{
	struct client *client = client_of_link(shard, link);
	return client ? outbox_peek(&client->outbox, out, room) : 0;
}

bool shard_awaits_connect(const struct shard *shard, uint32_t link)
{
	const struct client *client = client_of_link(shard, link);
	return client == NULL || client->state == CLIENT_LOBBY ||
	       client->state == CLIENT_EXCHANGING;
}

void shard_soon(struct shard *shard, struct client *client)
{
	if (client->drained_told)
		return;
	client->drained_told = true;
	shard->drained = shard_grow(shard->drained, &shard->drained_room, shard->drained_count + 1,
				    sizeof *shard->drained);
	shard->drained[shard->drained_count++] = client;
}

bool shard_written(struct shard *shard, struct moment now, uint32_t link, size_t n)
{
	struct client *client = client_of_link(shard, link);
	shard->now = moment_not_before(now, shard->now.ms);
	if (client == NULL)
		return true;
	COUNT_N(shard, BYTES_SENT, n);
	client_wrote(shard, client, n);
	return client->outbox.bytes == 0;
}

uint64_t shard_next_timer(const struct shard *shard)
{
	if (shard->drained_count > 0 || shard->spent_count > 0 || shard->own_first ||
	    shard->recorded.count > 0 || shard->backlog.parties > 0 ||
	    routes_may_leave(&shard->routes))
		return 0;
	return timer_wheel_next_ms(&shard->timers);
}

bool shard_stopped(const struct shard *shard)
{
	return shard->stopping && shard->link_count == 0 && shard->persist.under_way == 0;
}

const struct happened *shard_happened(const struct shard *shard)
{
	return &shard->happened;
}
