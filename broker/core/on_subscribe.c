/*
 * on_subscribe.c - SUBSCRIBE and UNSUBSCRIBE, MQTT 5.0 sections 3.8 to 3.11.
 *
 * A filter is in force here at once and everywhere by the time of the SUBACK
 * (answer.h).  An entry that is refused does not touch the others.
 */
#include "broker/core/answer.h"
#include "broker/core/charge.h"
#include "broker/core/core.h"
#include "broker/core/own_topic.h"
#include "proto/topic.h"

/* Filters in one packet: each costs memory until it is answered. */
#define ENTRIES_MAX 65536u

/* Levels of all filters of one packet: each may be a node to be made, here and elsewhere. */
#define LEVELS_MAX 524288u

#define SHARE_PREFIX SLICE_LITERAL("$share/")

struct subscribing {
	struct shard *shard;
	struct client *client;
	struct session *session;
	struct pending_answer *answer;
	struct changes changes;
	uint32_t identifier;
	size_t levels; /* of the filters so far */
};

/* Before 5.0 "$share/..." is special only where it is a whole shared subscription. */
static bool parse(const struct client *client, struct slice text, struct topic_filter *out)
{
	return topic_filter_parse(text, true, out) ||
	       (client->version != MQTT_VERSION_5_0 && topic_filter_parse(text, false, out));
}

static uint8_t options_of(const struct mqtt_subscription *s)
{
	unsigned handling = s->retain_handling;
	return (uint8_t)(s->qos | (s->no_local ? OPTION_NO_LOCAL : 0) |
			 (s->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0) | handling << 4);
}

static uint64_t new_row(struct shard *shard, const struct session *session)
{
	return session->stored ? shard_random(shard) : 0;
}

static void store_row(struct subscribing *in, uint64_t row, uint8_t options, struct slice text)
{
	struct store_subscription stored = {
	    .session = in->session->row,
	    .identifier = in->identifier,
	    .options = options,
	    .filter = text,
	};
	if (row != 0)
		changes_put_subscription(&in->changes, row, &stored);
}

/* ---- plain filters ---- */

uint32_t subscribe_plain(struct shard *shard, struct session *session, struct slice filter,
			 uint8_t options, uint32_t identifier, uint64_t row)
{
	bool first = false;
	uint32_t owner = (uint32_t)session->number;
	struct subscriptions *table = &shard->subscriptions;
	uint32_t n = subscription_find(table, session->realm, filter, owner);
	if (n == 0) {
		n = subscription_add(table, session->realm, filter, false, owner,
				     &session->subscriptions, &first);
		session->subscription_count++;
		purse_force(&shard->purse, SUBSCRIPTION_COST);
		COUNT(shard, SUBSCRIPTIONS);
	}
	struct subscription *s = subscription_at(table, n);
	subscription_set(s, options, identifier);
	if (subscription_row(table, n) == 0)
		subscription_set_row(table, n, row);
	return route_announce(shard, s->node, first);
}

/* What is under way or queued stays. [MQTT-3.10.4-2] [MQTT-3.10.4-3] [MQTT3-3.10.4-2]
 * [MQTT3-3.10.4-3] */
void unsubscribe_plain(struct shard *shard, struct session *session, struct slice filter,
		       uint32_t n)
{
	retain_stop(shard, session, filter); /* what is not subscribed to waits for nothing */
	route_unsubscribe(shard, n, &session->subscriptions);
	session->subscription_count--;
	purse_give(&shard->purse, SUBSCRIPTION_COST);
	UNCOUNT(shard, SUBSCRIPTIONS);
}

/* [MQTT-3.8.4-3] [MQTT3-3.8.4-3]: the same filter again replaces the old subscription. */
static void plain(struct subscribing *in, struct answer_entry *entry, struct slice filter)
{
	struct shard *shard = in->shard;
	struct session *session = in->session;
	uint32_t n = subscription_find(&shard->subscriptions, session->realm, filter,
				       (uint32_t)session->number);
	uint64_t row = 0;
	bool same = false;
	entry->made = n == 0;
	if (n != 0) {
		const struct subscription *s = subscription_at(&shard->subscriptions, n);
		entry->old_options = s->options;
		entry->old_identifier = s->identifier;
		row = subscription_row(&shard->subscriptions, n);
		same = row != 0 && s->options == (entry->options & OPTIONS_KEPT) &&
		       s->identifier == in->identifier &&
		       !answer_pending(shard, in->answer, session, false, filter);
	}
	if (row == 0)
		row = new_row(shard, session);
	uint32_t barrier =
	    subscribe_plain(shard, session, filter, entry->options, in->identifier, row);
	answer_wait_barrier(shard, in->answer, barrier);
	if (!same)
		store_row(in, row, entry->options, filter);
	/* [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4] [MQTT3-3.3.1-6] */
	uint8_t handling = entry->options >> 4 & 3;
	bool wanted = handling == 0 || (handling == 1 && entry->made);
	entry->send_retained = wanted && own_topic(filter);
	if (wanted && !own_topic(filter))
		entry->retained = retain_expect(shard, session, filter);
}

/* ---- shared filters ---- */

static void shared(struct subscribing *in, struct answer_entry *entry, struct slice whole,
		   struct slice text)
{
	struct shared_subscription *s = shared_find(in->shard, in->session, text);
	entry->shared = true;
	entry->made = s == NULL;
	bool same = false;
	if (s == NULL) {
		s = shared_create(in->shard, in->session, text);
	} else {
		entry->old_options = s->options;
		entry->old_identifier = s->identifier;
		same = s->row != 0 && s->options == entry->options &&
		       s->identifier == in->identifier &&
		       !answer_pending(in->shard, in->answer, in->session, true, text);
	}
	if (s->row == 0)
		s->row = new_row(in->shard, in->session);
	s->options = entry->options;
	s->identifier = in->identifier;
	answer_wait_barrier(in->shard, in->answer, shared_join(in->shard, in->session, s));
	if (!same)
		store_row(in, s->row, entry->options, whole);
}

/* ---- SUBSCRIBE ---- */

static bool subscribed(const struct subscribing *in, bool is_shared, struct slice text)
{
	const struct session *session = in->session;
	if (is_shared)
		return shared_find(in->shard, session, text) != NULL;
	return subscription_find(&in->shard->subscriptions, session->realm, text,
				 (uint32_t)session->number) != 0;
}

/* What this filter may not be granted for; MQTT_SUCCESS otherwise. */
static enum mqtt_reason refusal(struct subscribing *in, bool is_shared, struct slice text)
{
	size_t levels = topic_levels(text);
	in->levels += levels;
	if (levels > TRIE_LEVELS_MAX + is_shared || in->levels > LEVELS_MAX)
		return MQTT_QUOTA_EXCEEDED;
	bool shares_left = !is_shared || in->session->shared_count < SHARED_MAX;
	if (shares_left &&
	    in->session->subscription_count < in->shard->settings->max_subscriptions &&
	    purse_allows(&in->shard->purse, SUBSCRIPTION_COST + 4 * text.len))
		return MQTT_SUCCESS;
	return subscribed(in, is_shared, text) ? MQTT_SUCCESS : MQTT_QUOTA_EXCEEDED;
}

/*
 * What a bridge asks for, which before 5.0 has no way to say it, as mosquitto understands it: it
 * brings messages of another broker, and what it gets it passes on there.
 */
static void as_bridge(struct mqtt_subscription *asked, bool is_shared)
{
	asked->no_local = !is_shared; /* or each of its messages would come back to it */
	asked->retain_as_published = true;
}

static void one_filter(struct subscribing *in, const struct mqtt_subscription *asked,
		       struct answer_entry *entry)
{
	struct topic_filter parsed;
	if (!parse(in->client, asked->filter, &parsed)) {
		entry->reason = MQTT_TOPIC_FILTER_INVALID;
		return;
	}
	bool is_shared = parsed.share.len > 0;
	struct slice text =
	    is_shared ? slice_after(asked->filter, SHARE_PREFIX.len) : parsed.filter;
	entry->reason = (uint8_t)refusal(in, is_shared, text);
	if (entry->reason == MQTT_SUCCESS && own_topic(parsed.filter))
		entry->reason = (uint8_t)own_topic_subscribe(in->shard, in->client, in->session,
							     parsed.filter, is_shared);
	if (entry->reason != MQTT_SUCCESS)
		return;
	struct mqtt_subscription granted = *asked;
	if (own_topic(parsed.filter))
		granted.qos = 0;
	if (granted.qos > in->client->listener->max_qos)
		granted.qos = in->client->listener->max_qos;
	if (in->client->bridge)
		as_bridge(&granted, is_shared);
	entry->reason = granted.qos; /* [MQTT-3.8.4-7] [MQTT-3.2.2-10] */
	entry->options = options_of(&granted);
	answer_keep_text(in->shard, in->answer, entry, text);
	if (is_shared)
		shared(in, entry, asked->filter, text);
	else
		plain(in, entry, text);
}

/* Faults for which the whole packet is refused, before any of it is carried out. */
static enum mqtt_reason check_entries(const struct client *client, struct slice entries)
{
	struct mqtt_subscription s;
	struct topic_filter parsed;
	while (mqtt_next_subscription(&entries, (enum mqtt_version)client->version, &s)) {
		bool valid = parse(client, s.filter, &parsed);
		if (valid && s.no_local && parsed.share.len > 0)
			return MQTT_PROTOCOL_ERROR; /* [MQTT-3.8.3-4] */
		if (!valid && client->version != MQTT_VERSION_5_0)
			return MQTT_TOPIC_FILTER_INVALID;
	}
	return MQTT_SUCCESS;
}

static void violation(struct shard *shard, struct client *client, enum mqtt_reason reason)
{
	COUNT(shard, MALFORMED);
	client_fail(shard, client, reason, mqtt_reason_text((uint8_t)reason));
}

void on_subscribe(struct shard *shard, struct client *client, struct slice body)
{
	struct mqtt_subscribe packet;
	enum mqtt_version version = (enum mqtt_version)client->version;
	enum mqtt_reason reason = mqtt_decode_subscribe(body, version, &packet);
	if (reason == MQTT_SUCCESS && packet.count > ENTRIES_MAX)
		reason = MQTT_QUOTA_EXCEEDED;
	if (reason == MQTT_SUCCESS)
		reason = check_entries(client, packet.entries);
	if (reason != MQTT_SUCCESS) {
		violation(shard, client, reason);
		return;
	}
	struct subscribing in = {
	    .shard = shard, .client = client, .session = session_at(shard, client->session)};
	if (mqtt_has(&packet.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER))
		in.identifier = packet.properties.subscription_identifier;
	own_copies_deliver(shard); /* with what they were published to */
	in.answer =
	    answer_create(shard, client, MQTT_SUBACK, packet.packet_id, (uint32_t)packet.count);
	struct mqtt_subscription asked;
	/* [MQTT-3.8.4-5] [MQTT3-3.8.4-4] */
	for (uint32_t i = 0; mqtt_next_subscription(&packet.entries, version, &asked); i++) {
		one_filter(&in, &asked, &in.answer->entries[i]);
		charge_tries(shard);
	}
	answer_wait_store(shard, in.answer, &in.changes);
	answer_ready(shard, in.answer);
}

/* ---- UNSUBSCRIBE ---- */

static bool leave_shared(struct subscribing *in, struct slice text)
{
	struct shared_subscription *s = shared_find(in->shard, in->session, text);
	if (s == NULL)
		return false;
	if (s->row != 0)
		changes_delete(&in->changes, STORE_DELETE_SUBSCRIPTION, s->row);
	shared_leave(in->shard, in->session, s);
	return true;
}

static bool leave_plain(struct subscribing *in, struct slice filter)
{
	struct subscriptions *table = &in->shard->subscriptions;
	uint32_t n =
	    subscription_find(table, in->session->realm, filter, (uint32_t)in->session->number);
	if (n == 0)
		return false;
	uint64_t row = subscription_row(table, n);
	if (row != 0)
		changes_delete(&in->changes, STORE_DELETE_SUBSCRIPTION, row);
	unsubscribe_plain(in->shard, in->session, filter, n);
	return true;
}

/* [MQTT-3.10.4-1] [MQTT3-3.10.4-1]: compared byte by byte. */
static uint8_t leave_one(struct subscribing *in, struct slice filter)
{
	struct topic_filter parsed;
	if (!parse(in->client, filter, &parsed))
		return MQTT_TOPIC_FILTER_INVALID;
	bool found = parsed.share.len > 0 ? leave_shared(in, slice_after(filter, SHARE_PREFIX.len))
					  : leave_plain(in, filter);
	return found ? MQTT_SUCCESS : MQTT_NO_SUBSCRIPTION_EXISTED;
}

/* Before 5.0 a filter that is none cannot be told of: it ends the connection, as in SUBSCRIBE. */
static enum mqtt_reason check_filters(const struct client *client, struct slice entries)
{
	struct topic_filter parsed;
	struct slice filter;
	while (client->version != MQTT_VERSION_5_0 && mqtt_next_filter(&entries, &filter)) {
		if (!parse(client, filter, &parsed))
			return MQTT_TOPIC_FILTER_INVALID; /* [MQTT3-4.7.3-1] [MQTT3-4.7.1-2] */
	}
	return MQTT_SUCCESS;
}

void on_unsubscribe(struct shard *shard, struct client *client, struct slice body)
{
	struct mqtt_subscribe packet;
	enum mqtt_version version = (enum mqtt_version)client->version;
	enum mqtt_reason reason = mqtt_decode_unsubscribe(body, version, &packet);
	if (reason == MQTT_SUCCESS && packet.count > ENTRIES_MAX)
		reason = MQTT_QUOTA_EXCEEDED;
	if (reason == MQTT_SUCCESS)
		reason = check_filters(client, packet.entries);
	if (reason != MQTT_SUCCESS) {
		violation(shard, client, reason);
		return;
	}
	struct subscribing in = {
	    .shard = shard, .client = client, .session = session_at(shard, client->session)};
	own_copies_deliver(shard); /* not behind its answer [MQTT-3.10.4-2] */
	in.answer =
	    answer_create(shard, client, MQTT_UNSUBACK, packet.packet_id, (uint32_t)packet.count);
	struct slice filter;
	for (uint32_t i = 0; mqtt_next_filter(&packet.entries, &filter); i++)
		in.answer->entries[i].reason = leave_one(&in, filter);
	answer_wait_store(shard, in.answer, &in.changes);
	answer_ready(shard, in.answer); /* [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
					   [MQTT3-3.10.4-5] [MQTT3-3.10.4-6] */
}
