/*
 * session.c - session state, MQTT 5.0 section 4.1: made, attached to a connection,
 * detached, restored from the store, ended.
 */
#include "broker/core/core.h"
#include "broker/core/charge.h"
#include "broker/core/rights.h"
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

/* That of a slot which is known to be taken. */
static struct session *session_in(const struct shard *shard, uint32_t slot)
{
	return slab_at(&shard->sessions, slot);
}

struct session *session_at(const struct shard *shard, uint32_t slot)
{
	struct session *session = session_in(shard, slot);
	return session->number ? session : NULL;
}

uint64_t session_hash_of(const struct shard *shard, uint32_t realm, struct slice client_id)
{
	return hash_mix(hash_keyed(shard->hash_key, client_id) + realm);
}

uint64_t session_hash(const struct shard *shard, const struct session *session)
{
	return session_hash_of(shard, session->realm, session_client_id(session));
}

bool session_same_client(const struct shard *shard, const struct session *session,
			 const struct publisher *publisher)
{
	return (publisher->session == session->number && publisher->party == shard->party) ||
	       publisher->client == session_hash(shard, session);
}

struct session *session_find(const struct shard *shard, uint32_t realm, struct slice client_id)
{
	struct index_probe probe;
	uint32_t n =
	    index_first(&shard->session_index, session_hash_of(shard, realm, client_id), &probe);
	while (n != 0) {
		struct session *session = session_in(shard, n);
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

struct client_info session_describe(const struct shard *shard, const struct session *session)
{
	const struct client *client = session->client;
	bool up = client && client->state == CLIENT_UP;
	return (struct client_info){
	    .client_id = session_client_id(session),
	    .connected = up,
	    .version = up ? client->version : 0,
	    .subscriptions = session->subscription_count,
	    .queued = traffic_of(session)->queue.count + traffic_of(session)->after_records.count,
	    .inflight = traffic_of(session)->inflight.count,
	    .connected_s = up ? client->connected_s : 0,
	    .expiry_s = session->expiry_s,
	    .owner = rights_owner(shard, session),
	    .has_will = (client && client->will) || (session->absence && session->absence->will),
	    .row = session->stored ? session->row : 0,
	};
}

void shard_each_client(const struct shard *shard, void *self,
		       void (*call)(void *self, const struct client_info *client))
{
	for (uint32_t slot = 1; slot < shard->sessions.used; slot++) {
		const struct session *session = session_at(shard, slot);
		if (session == NULL)
			continue;
		struct client_info info = session_describe(shard, session);
		call(self, &info);
	}
}

void shard_find_client(const struct shard *shard, struct slice client_id, void *self,
		       void (*call)(void *self, const struct client_info *client))
{
	const struct session *session = session_find(shard, 0, client_id);
	if (session == NULL)
		return;
	struct client_info info = session_describe(shard, session);
	call(self, &info);
}

uint32_t shard_subscription_rows(const struct shard *shard, const struct client_info *client,
				 uint64_t *rows)
{
	const struct session *session = session_find(shard, 0, client->client_id);
	const struct subscriptions *table = &shard->subscriptions;
	uint32_t count = 0;
	must(session && session->subscription_count == client->subscriptions);
	for (uint32_t n = session->subscriptions; n; n = subscription_at(table, n)->session_next) {
		rows[count] = subscription_row(table, n);
		count += rows[count] != 0;
	}
	for (const struct shared_subscription *s = session->shared; s; s = s->next) {
		rows[count] = s->row;
		count += rows[count] != 0;
	}
	return count;
}

/* ---- making and freeing ---- */

struct session *session_create(struct shard *shard, uint32_t realm, struct slice client_id)
{
	uint32_t slot = slab_add(&shard->sessions);
	struct session *session = slab_at(&shard->sessions, slot);
	session->number = (uint64_t)++shard->generation << 32 | slot;
	session->realm = realm;
	session->client_id = memory_get(client_id.len);
	session->client_id_len = (uint16_t)client_id.len;
	memcpy(session->client_id, client_id.at, client_id.len);
	index_add(&shard->session_index, session_hash(shard, session), slot);
	purse_force(&shard->purse, session_cost(session));
	atomic_fetch_add_explicit(&shard->purse.budget->sessions, 1, memory_order_relaxed);
	COUNT(shard, SESSIONS);
	return session;
}

/* Leaves all groups and filters; the rows go along when there are any. */
void session_drop_subscriptions(struct shard *shard, struct session *session,
				struct changes *changes)
{
	retain_stop(shard, session, SLICE_NONE);
	while (session->subscriptions) {
		uint32_t n = session->subscriptions;
		uint64_t row = subscription_row(&shard->subscriptions, n);
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

static struct absence *absence_begin(struct shard *shard, struct session *session)
{
	struct absence *absence = memory_get_zeroed(sizeof *absence);
	purse_force(&shard->purse, sizeof *absence);
	absence->timer.kind = TIMER_SESSION;
	absence->session = (uint32_t)session->number;
	session->absence = absence;
	return absence;
}

static void absence_end(struct shard *shard, struct session *session)
{
	struct absence *absence = session->absence;
	if (absence == NULL)
		return;
	session->absence = NULL;
	timer_cancel(&shard->timers, &absence->timer);
	will_free(shard, absence->will);
	purse_give(&shard->purse, sizeof *absence);
	memory_free(absence);
}

void session_free(struct shard *shard, struct session *session)
{
	uint32_t slot = (uint32_t)session->number;
	traffic_finish(shard, session);
	delivery_log_forget(shard, session);
	absence_end(shard, session);
	rights_take(shard, session, NULL);
	index_remove(&shard->session_index, session_hash(shard, session), slot);
	purse_give(&shard->purse, session_cost(session));
	atomic_fetch_sub_explicit(&shard->purse.budget->sessions, 1, memory_order_relaxed);
	UNCOUNT(shard, SESSIONS);
	memory_free(session->client_id);
	*session = (struct session){0};
	slab_remove(&shard->sessions, slot);
}

/* The will that waits, for the caller to publish, keep or free; NULL for none. */
static struct will *take_will(struct session *session)
{
	struct will *will = session->absence ? session->absence->will : NULL;
	if (will)
		session->absence->will = NULL;
	return will;
}

/* [MQTT-4.1.0-2]; a will that still waits goes out first, MQTT 5.0 section 3.1.2.5. */
void session_end_with(struct shard *shard, struct session *session, struct changes *changes)
{
	struct will *will = take_will(session);
	recall_session_end(shard, session);
	session_drop_subscriptions(shard, session, changes);
	if (session->stored)
		changes_delete(changes, STORE_DELETE_SESSION, session->row);
	arrivals_end(shard, session); /* the will is later than they are */
	if (will)
		will_publish(shard, session, will);
	token_session_ended(shard, session);
	session_free(shard, session);
}

void session_end(struct shard *shard, struct session *session)
{
	struct changes changes = {0};
	session_end_with(shard, session, &changes);
	persist_send(shard, &changes, (struct waiter){0});
}

/* ---- connection and session ---- */

uint64_t session_now_s(const struct shard *shard)
{
	uint64_t known_s = shard->known_s + (shard->now.ms - shard->known_ms) / 1000;
	return known_s > shard->now.wall_s ? known_s : shard->now.wall_s;
}

/* Until CONNACK: nobody_came().  NULL: the session is new. */
static void remember_absence(struct absence *absence, struct connecting *connecting)
{
	if (absence == NULL)
		return;
	connecting->will_before = absence->will;
	absence->will = NULL;
	connecting->detached_before_ms = absence->detached_ms;
	connecting->detached_before_s = absence->detached_s;
	connecting->grace_before_ms = absence->grace_until_ms;
}

void session_attach(struct shard *shard, struct session *session, struct client *client)
{
	must(session->client == NULL);
	session->client = client;
	if (session->traffic)
		inflight_settle(&session->traffic->inflight); /* [MQTT-4.6.0-4] */
	client->session = (uint32_t)session->number;
	remember_absence(session->absence, client->connecting);
	absence_end(shard, session);
}

static uint64_t due_after(const struct absence *absence, uint64_t ms)
{
	int64_t due = absence->detached_ms + (int64_t)ms;
	return due < 0 ? 0 : (uint64_t)due;
}

/* When it ends if nobody comes back; UINT64_MAX for never. */
static uint64_t expiry_due(const struct shard *shard, const struct session *session)
{
	uint32_t expiry_s = session->expiry_s;
	if (expiry_s > shard->settings->session_expiry_max_s)
		expiry_s = shard->settings->session_expiry_max_s;
	return expiry_s == UINT32_MAX ? UINT64_MAX
				      : due_after(session->absence, expiry_s * 1000ull);
}

static uint64_t will_due(const struct absence *absence)
{
	return absence->will ? due_after(absence, absence->will->delay_s * 1000ull) : UINT64_MAX;
}

static uint64_t grace_due(const struct absence *absence)
{
	return absence->grace_until_ms ? absence->grace_until_ms : UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Does its row say that somebody is connected, as far as we know? */
static bool row_connected(const struct session *session)
{
	return session->stored && (session->stored_connected || session->row_doubtful);
}

/* When the store has to know that nobody is. */
static uint64_t row_due(const struct session *session)
{
	const struct absence *absence = session->absence;
	if (!row_connected(session) || session_grace_ms(session) != 0)
		return UINT64_MAX;
	uint64_t due = due_after(absence, LAZY_MS);
	return due > absence->row_again_ms ? due : absence->row_again_ms;
}

/* Arms the session's timer for the next thing that its absence brings. */
void session_arm(struct shard *shard, struct session *session)
{
	struct absence *absence = session->absence;
	uint64_t due = earlier(earlier(expiry_due(shard, session), will_due(absence)),
			       earlier(grace_due(absence), row_due(session)));
	if (due != UINT64_MAX)
		timer_arm(&shard->timers, &absence->timer, due);
}

/* A CONNECT that had no CONNACK changes nothing, and began no session. [MQTT-3.1.3-9] */
static void nobody_came(const struct shard *shard, struct session *session,
			struct connecting *connecting)
{
	struct absence *absence = session->absence;
	absence->will = connecting->will_before;
	connecting->will_before = NULL;
	absence->detached_ms = connecting->detached_before_ms;
	absence->detached_s = connecting->detached_before_s;
	absence->grace_until_ms = connecting->grace_before_ms;
	absence->row_again_ms = shard->now.ms + LAZY_MS; /* it may come back at once */
	session->expiry_s = connecting->expiry_before_s;
}

void session_detach(struct shard *shard, struct session *session, bool publish_will)
{
	struct client *client = session->client;
	struct will *will = client->will;
	charge_session(shard, session);
	client->will = NULL;
	client->session = 0;
	session->client = NULL;
	struct absence *absence = absence_begin(shard, session);
	absence->detached_ms = (int64_t)shard->now.ms;
	absence->detached_s = session_now_s(shard);
	if (!publish_will) { /* [MQTT-3.14.4-3] */
		will_free(shard, will);
		will = NULL;
	}
	absence->will = will;
	if (!client->answered)
		nobody_came(shard, session, client->connecting);
	shared_state(shard, session, false);
	if (session->traffic) {
		held_disconnected(shard, &session->traffic->held);
		session->traffic->behind = false;
		session->traffic->unsent = 0; /* its outbox goes with it */
	}
	if (session->expiry_s == 0) {
		session_end(shard, session);
		return;
	}
	/* What goes back to a group at its end holds its gate until then. */
	if (session_grace_ms(session) == 0 && !session->ends)
		gates_let_go(shard, session);
	if (will && will->delay_s == 0)
		will_publish(shard, session, take_will(session));
	if (session->traffic)
		inflight_mark_resend(&session->traffic->inflight);
	session_arm(shard, session);
}

/* It is put again: by the next CONNECT, or when nobody has come for a while. */
static void refused(struct shard *shard, struct session *session)
{
	session->row_doubtful = true;
	if (!session->row_committed && session->storing == 0)
		session->stored = false;
	if (session->absence == NULL)
		return;
	session->absence->row_again_ms = shard->now.ms + LAZY_MS;
	session_arm(shard, session);
}

void session_stored(struct shard *shard, uint64_t number, bool committed)
{
	struct session *session = session_by_number(shard, number);
	if (session == NULL)
		return;
	session->storing--;
	session->row_committed |= committed;
	if (!committed)
		refused(shard, session);
	else if (session->storing == 0)
		session->row_doubtful = false;
	token_stored(shard, session);
}

void session_store_absence(struct shard *shard, struct session *session, uint64_t since_s)
{
	struct changes changes = {0};
	session->storing++;
	session->stored_connected = session->row_doubtful = false;
	session->stored_expiry_s = session->expiry_s;
	changes_put_session(shard, &changes, session, false, since_s);
	persist_send(shard, &changes, (struct waiter){.session = session->number});
}

void sessions_stop(struct shard *shard)
{
	struct changes changes = {0};
	for (uint32_t slot = 1; slot < shard->sessions.used; slot++) {
		struct session *session = session_at(shard, slot);
		if (session == NULL || !row_connected(session))
			continue;
		session->stored_connected = session->row_doubtful = false;
		changes_put_session(shard, &changes, session, false, session->absence->detached_s);
	}
	/* What was to be deleted in a while goes along, or alone. */
	if (!persist_send(shard, &changes, (struct waiter){0}))
		persist_retry(shard);
}

void session_timer(struct shard *shard, const struct absence *absence)
{
	struct session *session = session_in(shard, absence->session);
	uint64_t now = shard->now.ms;
	if (expiry_due(shard, session) <= now) {
		COUNT(shard, SESSIONS_EXPIRED);
		session_end(shard, session);
		return;
	}
	if (will_due(absence) <= now)
		will_publish(shard, session, take_will(session));
	if (grace_due(absence) <= now) {
		session->absence->grace_until_ms = 0;
		shared_state(shard, session, false);
		gates_let_go(shard, session);
	}
	if (row_due(session) <= now)
		session_store_absence(shard, session, session->absence->detached_s);
	session_arm(shard, session);
	traffic_rest(shard, session);
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
	if (session == NULL) {
		session = session_create(shard, stored->realm, stored->client_id);
		absence_begin(shard, session);
		return session;
	}
	if (session->absence->restored_since_s > stored->since_s) {
		forget_stale(shard, row);
		return NULL;
	}
	forget_stale(shard, session->row);
	index_remove(&shard->restore_index, hash_mix(session->row), (uint32_t)session->number);
	return session;
}

/*
 * Expiry runs from the recorded disconnect; a session that was connected when the
 * broker died counts from now.  A clock that was set back while there was no broker keeps nothing
 * longer.
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
	rights_restore(shard, session, stored->owner);
	uint64_t now_s = session_now_s(shard);
	uint64_t away_s = 0;
	if (!stored->connected && stored->since_s < now_s)
		away_s = now_s - stored->since_s;
	struct absence *absence = session->absence;
	absence->detached_ms = (int64_t)shard->now.ms - (int64_t)away_s * 1000;
	absence->detached_s = now_s - away_s;
	absence->restored_since_s = stored->since_s;
	/* A time that is still to come is written anew: else it would begin with each start. */
	session->row_doubtful = !stored->connected && stored->since_s > now_s;
	token_restore(shard, session, stored->tokens);
	if (stored->connected && shard->settings->ack_when_delivered)
		absence->grace_until_ms = shard->now.ms + shard->settings->restart_grace_ms;
	index_add(&shard->restore_index, hash_mix(row), (uint32_t)session->number);
	session_arm(shard, session);
}

static struct session *find_by_row(const struct shard *shard, uint64_t row)
{
	struct index_probe probe;
	uint32_t n = index_first(&shard->restore_index, hash_mix(row), &probe);
	while (n != 0 && session_in(shard, n)->row != row)
		n = index_next(&shard->restore_index, &probe);
	return n ? session_in(shard, n) : NULL;
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
