/* answer.c - see answer.h. */
#include "broker/core/answer.h"
#include "broker/core/core.h"
#include "broker/core/crash.h"
#include "broker/core/own_topic.h"

struct pending_answer *answer_create(struct shard *shard, struct client *client, uint8_t type,
				     uint16_t packet_id, uint32_t count)
{
	size_t size = sizeof(struct pending_answer) + count * sizeof(struct answer_entry);
	struct pending_answer *answer = memory_get_zeroed(size);
	purse_force(&shard->purse, size);
	answer->type = type;
	answer->packet_id = packet_id;
	answer->link = client->link;
	answer->serial = client->serial;
	answer->session = session_at(shard, client->session)->number;
	answer->count = count;
	answer->waits = 1; /* for answer_ready() */
	client->unanswered += count;
	answer->next = shard->pending_answers;
	if (answer->next)
		answer->next->previous = answer;
	shard->pending_answers = answer;
	return answer;
}

static void free_answer(struct shard *shard, struct pending_answer *answer)
{
	if (answer->previous)
		answer->previous->next = answer->next;
	else
		shard->pending_answers = answer->next;
	if (answer->next)
		answer->next->previous = answer->previous;
	purse_give(&shard->purse, sizeof *answer + answer->count * sizeof(struct answer_entry) +
				      answer->text_len + index_size(&answer->by_text));
	index_finish(&answer->by_text);
	memory_free(answer->text);
	memory_free(answer);
}

void answer_keep_text(struct shard *shard, struct pending_answer *answer,
		      struct answer_entry *entry, struct slice text)
{
	purse_force(&shard->purse, text.len);
	entry->text_at = answer->text_len;
	entry->text_len = (uint32_t)text.len;
	answer->text =
	    shard_grow(answer->text, &answer->text_room, answer->text_len + (uint32_t)text.len, 1);
	memcpy(answer->text + answer->text_len, text.at, text.len);
	answer->text_len += (uint32_t)text.len;
}

static struct slice entry_text(const struct pending_answer *answer,
			       const struct answer_entry *entry)
{
	return slice_of(answer->text + entry->text_at, entry->text_len);
}

/* ---- what the store refused is undone ---- */

static void undo_plain(struct shard *shard, struct session *session, struct slice filter,
		       const struct answer_entry *entry)
{
	uint32_t n = subscription_find(&shard->subscriptions, session->realm, filter,
				       (uint32_t)session->number);
	if (n == 0)
		return;
	if (entry->made) {
		unsubscribe_plain(shard, session, filter, n);
		return;
	}
	struct subscription *s = subscription_at(&shard->subscriptions, n);
	subscription_set(s, entry->old_options, entry->old_identifier);
}

static void undo_shared(struct shard *shard, struct session *session, struct slice text,
			const struct answer_entry *entry)
{
	struct shared_subscription *shared = shared_find(shard, session, text);
	if (shared == NULL)
		return;
	if (entry->made) {
		shared_leave(shard, session, shared);
		return;
	}
	shared->options = entry->old_options;
	shared->identifier = entry->old_identifier;
	shared_join(shard, session, shared); /* nobody waits for it */
}

static struct answer_entry *find(struct pending_answer *answer, uint64_t hash, bool shared,
				 struct slice text)
{
	struct index_probe probe;
	uint32_t n = index_first(&answer->by_text, hash, &probe);
	for (; n != 0; n = index_next(&answer->by_text, &probe)) {
		struct answer_entry *entry = &answer->entries[n - 1];
		if (entry->shared == shared && slice_equal(entry_text(answer, entry), text))
			return entry;
	}
	return NULL;
}

/* The first entry of each filter that was granted: there may be as many as a packet holds. */
static void make_index(struct shard *shard, struct pending_answer *answer)
{
	for (uint32_t i = 0; i < answer->count; i++) {
		const struct answer_entry *entry = &answer->entries[i];
		struct slice text = entry_text(answer, entry);
		uint64_t hash = hash_keyed(shard->hash_key, text);
		if (!mqtt_reason_is_error(entry->reason) &&
		    find(answer, hash, entry->shared, text) == NULL)
			index_add(&answer->by_text, hash, i + 1);
	}
	answer->indexed = true;
	purse_force(&shard->purse, index_size(&answer->by_text));
}

static struct answer_entry *entry_for(struct shard *shard, struct pending_answer *answer,
				      uint64_t session, bool shared, struct slice text)
{
	if (answer->type != MQTT_SUBACK || answer->session != session)
		return NULL;
	if (!answer->indexed)
		make_index(shard, answer);
	return find(answer, hash_keyed(shard->hash_key, text), shared, text);
}

bool answer_pending(struct shard *shard, const struct pending_answer *except,
		    const struct session *session, bool shared, struct slice text)
{
	for (struct pending_answer *a = shard->pending_answers; a; a = a->next)
		if (a != except && entry_for(shard, a, session->number, shared, text))
			return true;
	return false;
}

/*
 * The client has asked for the same filter again meanwhile: that stays, and what to
 * go back to is now its business.
 */
static bool handed_on(struct shard *shard, const struct pending_answer *answer,
		      const struct answer_entry *entry)
{
	struct answer_entry *later = NULL;
	for (struct pending_answer *a = answer->previous; a && later == NULL; a = a->previous)
		later =
		    entry_for(shard, a, answer->session, entry->shared, entry_text(answer, entry));
	if (later == NULL)
		return false;
	if (!later->made) {
		later->made = entry->made;
		later->old_options = entry->old_options;
		later->old_identifier = entry->old_identifier;
	}
	return true;
}

static void undo(struct shard *shard, struct session *session, struct pending_answer *answer)
{
	/* Backwards: a filter may stand in one packet twice. */
	for (uint32_t i = answer->count; i-- > 0;) {
		struct answer_entry *entry = &answer->entries[i];
		if (mqtt_reason_is_error(entry->reason))
			continue;
		if (answer->type == MQTT_UNSUBACK) {
			/* It is gone here, and will be from the store: persist.h tries again. */
			entry->reason = MQTT_UNSPECIFIED_ERROR;
			continue;
		}
		entry->reason = MQTT_QUOTA_EXCEEDED;
		entry->send_retained = false;
		if (entry->retained)
			retain_cancel(shard, session, entry_text(answer, entry), entry->retained);
		entry->retained = 0;
		if (handed_on(shard, answer, entry))
			continue;
		if (entry->shared)
			undo_shared(shard, session, entry_text(answer, entry), entry);
		else
			undo_plain(shard, session, entry_text(answer, entry), entry);
	}
}

/* ---- leaving ---- */

/* 3.1.1 has one failure code for SUBACK, and none for UNSUBACK. */
static uint8_t reason_for(const struct client *client, uint8_t reason)
{
	return client->version != MQTT_VERSION_5_0 && mqtt_reason_is_error(reason) ? 0x80 : reason;
}

/* One packet, its identifier, a code for each filter in their order, and no properties.
 * [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.9.3-1] [MQTT-3.9.2-1]
 * [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.11.3-1] [MQTT3-2.3.1-7] [MQTT3-3.8.4-1]
 * [MQTT3-3.8.4-2] [MQTT3-3.8.4-5] [MQTT3-3.9.3-1] [MQTT3-3.10.4-4] */
static void send(struct shard *shard, struct client *client, const struct pending_answer *answer)
{
	bool codes = client->version == MQTT_VERSION_5_0 || answer->type == MQTT_SUBACK;
	size_t room = 16 + answer->count;
	uint8_t *packet = memory_get(room + answer->count);
	uint8_t *reasons = packet + room;
	for (uint32_t i = 0; i < answer->count; i++)
		reasons[i] = reason_for(client, answer->entries[i].reason);
	struct mqtt_suback suback = {
	    .type = answer->type,
	    .packet_id = answer->packet_id,
	    .reasons = slice_of(reasons, codes ? answer->count : 0),
	};
	size_t n = mqtt_encode_suback(packet, room, (enum mqtt_version)client->version, &suback);
	must(n != 0);
	if (client_fits(client, n))
		client_send(shard, client, packet, n);
	else
		client_fail(shard, client, MQTT_PACKET_TOO_LARGE,
			    "the answer is larger than the maximum packet size");
	memory_free(packet);
}

/* The client that asked; NULL when it has gone, or is on its way. */
static struct client *asked_by(const struct session *session, const struct pending_answer *answer)
{
	struct client *client = session ? session->client : NULL;
	bool here = client && client->serial == answer->serial && client->state == CLIENT_UP;
	return here ? client : NULL;
}

/* Of a filter that stands in the packet more than once, the first. */
static bool is_first(struct shard *shard, struct pending_answer *answer,
		     const struct answer_entry *entry)
{
	return entry_for(shard, answer, answer->session, entry->shared,
			 entry_text(answer, entry)) == entry;
}

/*
 * What is there already for whom has subscribed to it: for the session, should its connection have
 * ended in between.  The broker's own topics answer the connection. [MQTT-3.3.1-9] [MQTT-3.3.1-10]
 */
static void ask_for_retained(struct shard *shard, struct session *session,
			     struct pending_answer *answer)
{
	for (uint32_t i = 0; i < answer->count; i++) {
		const struct answer_entry *entry = &answer->entries[i];
		if (entry->retained)
			retain_begin(shard, session, entry_text(answer, entry), entry->retained);
		if (entry->send_retained && asked_by(session, answer) != NULL &&
		    is_first(shard, answer, entry))
			own_topic_subscribed(shard, session, entry_text(answer, entry));
	}
}

static void leave(struct shard *shard, struct pending_answer *answer)
{
	struct session *session = session_by_number(shard, answer->session);
	if (session && answer->refused)
		undo(shard, session, answer);
	struct client *client = asked_by(session, answer);
	if (client) {
		client_answered(shard, client, answer->count);
		if (answer->refused && answer->type == MQTT_UNSUBACK &&
		    client->version != MQTT_VERSION_5_0)
			client_fail(shard, client, MQTT_UNSPECIFIED_ERROR, NULL);
		else
			send(shard, client, answer);
		session = session_by_number(shard, answer->session); /* it may have ended it */
	}
	if (session)
		ask_for_retained(shard, session, answer);
	free_answer(shard, answer);
}

void answer_arrived(struct shard *shard, struct pending_answer *answer)
{
	if (--answer->waits == 0)
		leave(shard, answer);
}

void answer_stored(struct shard *shard, struct pending_answer *answer, bool committed)
{
	if (committed && answer->type == MQTT_SUBACK)
		CRASH_AT(suback_stored);
	answer->refused |= !committed;
	answer_arrived(shard, answer);
}

void answer_ready(struct shard *shard, struct pending_answer *answer)
{
	answer_arrived(shard, answer);
}

void answer_wait_barrier(struct shard *shard, struct pending_answer *answer, uint32_t barrier)
{
	if (barrier == 0)
		return;
	answer->waits++;
	barrier_wait(shard, barrier, (struct barrier_waiter){.answer = answer});
}

void answer_wait_store(struct shard *shard, struct pending_answer *answer, struct changes *changes)
{
	if (persist_send(shard, changes, (struct waiter){.answer = answer}))
		answer->waits++;
}

void answers_finish(struct shard *shard)
{
	while (shard->pending_answers)
		free_answer(shard, shard->pending_answers);
}
