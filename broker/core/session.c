/*
 * session.c - session state, MQTT 5.0 section 4.1: made, attached to a connection,
 * detached, restored from the store, ended.
 */
#include "broker/core/core.h"
#include "proto/topic.h"

/* After a disconnect the row is told so late, so that a client that comes right back costs no
 * commit. */
#define LAZY_MS 5000

/* What a session is charged, above its lists and queues. */
static size_t session_cost(const struct session *session)
{
	return sizeof *session + session->client_id_len + 32;
}

/* ---- finding ---- */

struct session *session_at(const struct shard *shard, uint32_t slot)
{
	return ((struct session_slot *)slab_at(&shard->sessions, slot))->session;
}

static uint64_t id_hash(const struct shard *shard, uint32_t realm, struct slice client_id)
{
	return hash_mix(hash_keyed(shard->hash_key, client_id) + realm);
}

struct session *session_find(const struct shard *shard, uint32_t realm, struct slice client_id)
{
	struct index_probe probe;
	uint32_t n = index_first(&shard->session_index, id_hash(shard, realm, client_id), &probe);
	while (n != 0) {
		struct session *session = session_at(shard, n);
		if (session->realm == realm && slice_equal(session_client_id(session), client_id))
			return session;
		n = index_next(&shard->session_index, &probe);
	}
	return NULL;
}

struct session *session_by_number(const struct shard *shard, uint64_t number)
{
	uint32_t slot = (uint32_t)number;
	if (slot == 0 || slot >= shard->sessions.used)
		return NULL;
	struct session *session = session_at(shard, slot);
	return session && session->number == number ? session : NULL;
}

/* ---- making and freeing ---- */

struct session *session_create(struct shard *shard, uint32_t realm, struct slice client_id)
{
	struct session *session = memory_get_zeroed(sizeof *session);
	uint32_t slot = slab_add(&shard->sessions);
	((struct session_slot *)slab_at(&shard->sessions, slot))->session = session;
	session->number = (uint64_t)++shard->generation << 32 | slot;
	session->realm = realm;
	session->client_id = memory_get(client_id.len);
	session->client_id_len = (uint16_t)client_id.len;
	memcpy(session->client_id, client_id.at, client_id.len);
	session->id_hash = id_hash(shard, realm, client_id);
	session->timer.kind = TIMER_SESSION;
	index_add(&shard->session_index, session->id_hash, slot);
	purse_force(&shard->purse, session_cost(session));
	atomic_fetch_add_explicit(&shard->purse.budget->sessions, 1, memory_order_relaxed);
	COUNT(shard, SESSIONS);
	return session;
}

static void drop_queues(struct shard *shard, struct session *session)
{
	COUNT_N(shard, DROPPED_SESSION_END, session->queue.count);
	UNCOUNT_N(shard, QUEUED, session->queue.count);
	UNCOUNT_N(shard, QUEUED_BYTES, session->queue.bytes);
	UNCOUNT_N(shard, INFLIGHT, session->inflight.count - session->inflight.ended);
	gates_let_go(shard, session);
	held_clear(&session->held, &shard->purse);
	arrivals_clear(shard, session);
	queue_clear(&session->queue, &shard->purse);
	inflight_clear(&session->inflight, &shard->purse);
	idset_destroy(session->inbound, &shard->purse);
	idset_destroy(session->releasing, &shard->purse);
	purse_give(&shard->purse, session->open_inbound * (size_t)STEP_COST);
	session->open_inbound = 0;
	session->inbound = session->releasing = NULL;
}

/* Leaves all groups and filters; the rows go along when there are any. */
void session_drop_subscriptions(struct shard *shard, struct session *session,
				struct changes *changes)
{
	retain_stop(shard, session, SLICE_NONE);
	while (session->subscriptions) {
		uint32_t n = session->subscriptions;
		uint64_t row = subscription_at(&shard->subscriptions, n)->row;
		if (row)
			changes_delete(changes, STORE_DELETE_SUBSCRIPTION, row);
		route_unsubscribe(shard, n, &session->subscriptions);
		purse_give(&shard->purse, SUBSCRIPTION_COST);
		UNCOUNT(shard, SUBSCRIPTIONS);
	}
	for (const struct shared_subscription *s = session->shared; s; s = s->next)
		if (s->row)
			changes_delete(changes, STORE_DELETE_SUBSCRIPTION, s->row);
	shared_end(shard, session);
	session->subscription_count = 0;
}

void session_free(struct shard *shard, struct session *session)
{
	uint32_t slot = (uint32_t)session->number;
	timer_cancel(&shard->timers, &session->timer);
	drop_queues(shard, session);
	memory_free(session->recalls.at);
	will_free(shard, session->will);
	index_remove(&shard->session_index, session->id_hash, slot);
	((struct session_slot *)slab_at(&shard->sessions, slot))->session = NULL;
	slab_remove(&shard->sessions, slot);
	purse_give(&shard->purse, session_cost(session));
	atomic_fetch_sub_explicit(&shard->purse.budget->sessions, 1, memory_order_relaxed);
	UNCOUNT(shard, SESSIONS);
	memory_free(session->client_id);
	memory_free(session);
}

/* [MQTT-4.1.0-2]; a will that still waits goes out first, MQTT 5.0 section 3.1.2.5. */
void session_end_with(struct shard *shard, struct session *session, struct changes *changes)
{
	struct will *will = session->will;
	session->will = NULL;
	recall_session_end(shard, session);
	session_drop_subscriptions(shard, session, changes);
	if (session->stored)
		changes_delete(changes, STORE_DELETE_SESSION, session->row);
	if (will)
		will_publish(shard, session, will);
	session_free(shard, session);
}

void session_end(struct shard *shard, struct session *session)
{
	struct changes changes = {0};
	session_end_with(shard, session, &changes);
	persist_send(shard, &changes, (struct waiter){0});
}

/* ---- connection and session ---- */

void session_attach(struct shard *shard, struct session *session, struct client *client)
{
	must(session->client == NULL);
	session->grace_until_ms = 0;
	session->client = client;
	inflight_settle(&session->inflight); /* [MQTT-4.6.0-4] */
	client->session = (uint32_t)session->number;
	timer_cancel(&shard->timers, &session->timer);
	will_free(shard, session->will); /* [MQTT-3.1.3-9] */
	session->will = NULL;
	shared_state(shard, session, true);
}

static uint64_t due_after(const struct session *session, int64_t ms)
{
	int64_t due = session->detached_ms + ms;
	return due < 0 ? 0 : (uint64_t)due;
}

/* Arms the session's timer for the next thing that its absence brings. */
void session_arm(struct shard *shard, struct session *session)
{
	uint64_t due = UINT64_MAX;
	uint32_t expiry_s = session->expiry_s;
	if (expiry_s > shard->settings->session_expiry_max_s)
		expiry_s = shard->settings->session_expiry_max_s;
	if (expiry_s != UINT32_MAX)
		due = due_after(session, (int64_t)expiry_s * 1000);
	if (session->will && due_after(session, (int64_t)session->will->delay_s * 1000) < due)
		due = due_after(session, (int64_t)session->will->delay_s * 1000);
	if (session->stored && session->stored_connected && session->grace_until_ms == 0 &&
	    due_after(session, LAZY_MS) < due)
		due = due_after(session, LAZY_MS);
	if (session->grace_until_ms != 0 && session->grace_until_ms < due)
		due = session->grace_until_ms;
	if (due != UINT64_MAX)
		timer_arm(&shard->timers, &session->timer, due);
}

void session_detach(struct shard *shard, struct session *session, bool publish_will)
{
	struct client *client = session->client;
	struct will *will = client->will;
	client->will = NULL;
	client->session = 0;
	session->client = NULL;
	session->detached_ms = (int64_t)shard->now.ms;
	session->detached_s = shard->now.wall_s;
	shared_state(shard, session, false);
	held_disconnected(&session->held);
	session->behind = false;
	gates_let_go(shard, session);
	if (!publish_will) { /* [MQTT-3.14.4-3] */
		will_free(shard, will);
		will = NULL;
	}
	session->will = will;
	if (session->expiry_s == 0) {
		session_end(shard, session);
		return;
	}
	if (will && will->delay_s == 0) {
		session->will = NULL;
		will_publish(shard, session, will);
	}
	inflight_mark_resend(&session->inflight);
	session_arm(shard, session);
}

void session_stored(struct shard *shard, uint64_t number, bool committed)
{
	struct session *session = session_by_number(shard, number);
	if (session == NULL)
		return;
	session->storing--;
	session->row_committed |= committed;
	if (committed)
		return;
	session->stored_connected = false; /* so that the next CONNECT puts it again */
	if (!session->row_committed && session->storing == 0)
		session->stored = false;
}

static void store_absence(struct shard *shard, struct session *session)
{
	struct changes changes = {0};
	session->stored_connected = false;
	changes_put_session(&changes, session, false, session->detached_s);
	persist_send(shard, &changes, (struct waiter){0});
}

void session_timer(struct shard *shard, struct session *session)
{
	uint64_t now = shard->now.ms;
	uint32_t expiry_s = session->expiry_s;
	if (expiry_s > shard->settings->session_expiry_max_s)
		expiry_s = shard->settings->session_expiry_max_s;
	if (expiry_s != UINT32_MAX && due_after(session, (int64_t)expiry_s * 1000) <= now) {
		COUNT(shard, SESSIONS_EXPIRED);
		session_end(shard, session);
		return;
	}
	if (session->will && due_after(session, (int64_t)session->will->delay_s * 1000) <= now) {
		struct will *will = session->will;
		session->will = NULL;
		will_publish(shard, session, will);
	}
	if (session->grace_until_ms != 0 && session->grace_until_ms <= now) {
		session->grace_until_ms = 0;
		shared_state(shard, session, false);
		gates_let_go(shard, session);
	}
	if (session->stored && session->stored_connected && session->grace_until_ms == 0 &&
	    due_after(session, LAZY_MS) <= now)
		store_absence(shard, session);
	session_arm(shard, session);
}

/* ---- at start ---- */

/*
 * Two rows of one client identifier: a Clean Start whose deletion the disk had
 * refused, and a kill before it could be tried again.  The later one counts.
 */
static void forget_stale(struct shard *shard, uint64_t row)
{
	shard->stale_rows = shard_grow(shard->stale_rows, &shard->stale_room,
				       shard->stale_count + 1, sizeof *shard->stale_rows);
	shard->stale_rows[shard->stale_count++] = row;
	persist_delete(shard, STORE_DELETE_SESSION, row);
}

static bool is_stale(const struct shard *shard, uint64_t row)
{
	for (uint32_t i = 0; i < shard->stale_count; i++)
		if (shard->stale_rows[i] == row)
			return true;
	return false;
}

/* The session that a row belongs to: new, or the one that it outdates.  NULL for a stale row. */
static struct session *session_for_row(struct shard *shard, uint64_t row,
				       const struct store_session *stored)
{
	struct session *session = session_find(shard, stored->realm, stored->client_id);
	if (session == NULL)
		return session_create(shard, stored->realm, stored->client_id);
	if (session->restored_since_s > stored->since_s) {
		forget_stale(shard, row);
		return NULL;
	}
	forget_stale(shard, session->row);
	index_remove(&shard->restore_index, hash_mix(session->row), (uint32_t)session->number);
	return session;
}

/*
 * Expiry runs from the recorded disconnect; a session that was connected when the
 * broker died counts from now.
 */
void session_restore(struct shard *shard, uint64_t row, const struct store_session *stored)
{
	struct session *session = session_for_row(shard, row, stored);
	if (session == NULL)
		return;
	session->row = row;
	session->stored = session->row_committed = true;
	session->expiry_s = session->stored_expiry_s = stored->expiry_s;
	session->stored_connected = stored->connected;
	uint64_t away_s = 0;
	if (!stored->connected && stored->since_s < shard->now.wall_s)
		away_s = shard->now.wall_s - stored->since_s;
	session->detached_ms = (int64_t)shard->now.ms - (int64_t)away_s * 1000;
	session->detached_s = shard->now.wall_s - away_s;
	session->restored_since_s = stored->since_s;
	if (stored->connected && shard->settings->ack_when_delivered)
		session->grace_until_ms = shard->now.ms + shard->settings->restart_grace_ms;
	index_add(&shard->restore_index, hash_mix(row), (uint32_t)session->number);
	session_arm(shard, session);
}

static struct session *find_by_row(const struct shard *shard, uint64_t row)
{
	struct index_probe probe;
	uint32_t n = index_first(&shard->restore_index, hash_mix(row), &probe);
	while (n != 0 && session_at(shard, n)->row != row)
		n = index_next(&shard->restore_index, &probe);
	return n ? session_at(shard, n) : NULL;
}

void session_restore_step(struct shard *shard, const struct store_step *step)
{
	struct session *session = find_by_row(shard, step->row);
	if (session)
		recall_step(shard, session, step);
}

void session_restore_subscription(struct shard *shard, uint64_t row,
				  const struct store_subscription *stored)
{
	struct session *session = find_by_row(shard, stored->session);
	struct topic_filter parsed;
	if (session == NULL && is_stale(shard, stored->session))
		persist_delete(shard, STORE_DELETE_SUBSCRIPTION, row);
	if (session == NULL)
		return; /* it lives on another shard */
	/* As on_subscribe.c took it: before 5.0 "$share/..." may be an ordinary filter. */
	must(topic_filter_parse(stored->filter, true, &parsed) ||
	     topic_filter_parse(stored->filter, false, &parsed));
	if (parsed.share.len > 0) {
		struct slice text = slice_after(stored->filter, sizeof "$share/" - 1);
		struct shared_subscription *shared = shared_create(shard, session, text);
		shared->identifier = stored->identifier;
		shared->options = stored->options;
		shared->row = row;
		shared_join(shard, session, shared); /* nobody waits for it */
		return;
	}
	subscribe_plain(shard, session, stored->filter, stored->options, stored->identifier, row);
}
