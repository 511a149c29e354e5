/* retain_wait.c - see retain.h: the session's side. */
#include "broker/core/core.h"
#include "proto/topic.h"

#define uthash_malloc(size)   memory_get(size)
#define uthash_free(at, size) memory_free(at)
#define uthash_fatal(text)    must_fail(text, __FILE__, __LINE__)
#include <uthash.h>

/* One subscription whose retained messages are still coming. */
struct retain_wait {
	UT_hash_handle hh;
	uint64_t since;	 /* of the same count as tickets */
	uint64_t ticket; /* of the scan under way */
	party_id party;	 /* whom we ask now */
	party_id last;	 /* the last one to ask */
	bool asked;	 /* an answer is on its way */
	bool begun;	 /* this party has the filter */
	bool found;	 /* something has come */
	uint8_t options;
	uint32_t identifier;
	size_t filter_len;
	uint8_t filter[];
};

/* The topic of live retained publishes. */
struct live {
	uint64_t topic; /* hashed */
	uint64_t last;	/* when the latest came, of the same count as `since` */
};

/*
 * All of a session: a hash table by their filters, walked in the order in which they were added.
 * There may be very many, so that nothing that a publish does walks through them.
 */
struct retain_waits {
	struct retain_wait *first;
	struct live *live; /* since the first one, each topic once */
	uint32_t live_count;
	uint32_t live_room;
	struct index by_topic; /* places in `live`, plus 1 */
};

/* What each is charged. */
#define LIVE_COST (sizeof(struct live) + 2 * sizeof(struct index_slot))

/* Beyond this a subscriber may see an older message after a newer one. */
#define LIVE_MAX 65536u

/* A session takes more while it has less than this waiting. */
#define QUEUE_LOW  256u
#define OUTBOX_LOW (128u * 1024)

static struct slice filter_of(const struct retain_wait *wait)
{
	return slice_of(wait->filter, wait->filter_len);
}

static bool has_room(const struct shard *shard, const struct session *session)
{
	uint32_t low = shard->settings->max_queued_messages / 2;
	if (traffic_of(session)->queue.count >= (low < QUEUE_LOW ? low + 1 : QUEUE_LOW) ||
	    traffic_of(session)->queue.bytes > shard->settings->max_queued_bytes / 2)
		return false;
	return session->client == NULL || session->client->outbox.bytes < OUTBOX_LOW;
}

static void ask(struct shard *shard, const struct session *session, struct retain_wait *wait)
{
	struct slice text = wait->begun ? SLICE_NONE : filter_of(wait);
	struct mail *mail = mail_create(MAIL_RETAIN_SCAN, shard->party, wait->party, text);
	if (!wait->begun)
		wait->ticket = ++shard->serial;
	mail->realm = session->realm;
	mail->ticket = wait->ticket;
	mail->member.session = session->number;
	mail->wanted = shard->settings->max_queued_messages - traffic_of(session)->queue.count;
	wait->begun = true;
	wait->asked = true;
	shard_post(shard, mail);
}

static unsigned hash_of(const struct shard *shard, struct slice filter)
{
	return (unsigned)hash_keyed(shard->hash_key, filter);
}

static struct retain_wait *wait_for(const struct shard *shard, const struct session *session,
				    struct slice filter)
{
	struct retain_wait *wait = NULL;
	if (session->scans == NULL)
		return NULL;
	HASH_FIND_BYHASHVALUE(hh, session->scans->first, filter.at, (unsigned)filter.len,
			      hash_of(shard, filter), wait);
	return wait;
}

static struct retain_waits *waits_of(struct shard *shard, struct session *session)
{
	if (session->scans == NULL) {
		session->scans = memory_get_zeroed(sizeof *session->scans);
		purse_force(&shard->purse, sizeof *session->scans);
	}
	return session->scans;
}

void retain_begin(struct shard *shard, struct session *session, struct slice filter,
		  uint8_t options, uint32_t identifier)
{
	struct retain_wait *wait = wait_for(shard, session, filter);
	if (wait && !wait->found) { /* asked for again, and still at the start */
		wait->options = options;
		wait->identifier = identifier;
		return;
	}
	if (wait)
		retain_stop(shard, session, filter); /* from the start */
	wait = memory_get_zeroed(sizeof *wait + filter.len);
	wait->since = ++shard->serial;
	wait->options = options;
	wait->identifier = identifier;
	wait->filter_len = filter.len;
	memcpy(wait->filter, filter.at, filter.len);
	wait->last = (party_id)(shard->parties - 1);
	if (!topic_filter_wild(filter))
		wait->party = wait->last = retained_home(shard, filter);
	purse_force(&shard->purse, sizeof *wait + filter.len);
	struct retain_waits *waits = waits_of(shard, session);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, waits->first, wait->filter, (unsigned)filter.len,
				    hash_of(shard, filter), wait);
	retain_continue(shard, session);
}

static void free_wait(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	struct retain_waits *waits = session->scans;
	HASH_DEL(waits->first, wait);
	purse_give(&shard->purse, sizeof *wait + wait->filter_len);
	memory_free(wait);
	if (waits->first)
		return;
	purse_give(&shard->purse, sizeof *waits + waits->live_count * LIVE_COST);
	index_finish(&waits->by_topic);
	memory_free(waits->live);
	memory_free(waits);
	session->scans = NULL;
}

static struct retain_wait *first_of(const struct session *session)
{
	return session->scans ? session->scans->first : NULL;
}

/* One after the other, so that a session occupies the homes with one walk at a time. */
void retain_continue(struct shard *shard, struct session *session)
{
	struct retain_wait *wait = first_of(session);
	if (wait && !wait->asked && has_room(shard, session))
		ask(shard, session, wait);
}

static struct live *find_live(const struct retain_waits *waits, uint64_t topic)
{
	struct index_probe probe;
	uint32_t n = index_first(&waits->by_topic, topic, &probe);
	while (n != 0 && waits->live[n - 1].topic != topic)
		n = index_next(&waits->by_topic, &probe);
	return n ? &waits->live[n - 1] : NULL;
}

void retain_note_live(struct shard *shard, struct session *session, struct slice topic)
{
	struct retain_waits *waits = session->scans;
	uint64_t hash = hash_keyed(shard->hash_key, topic);
	struct live *live = find_live(waits, hash);
	if (live == NULL) {
		if (waits->live_count >= LIVE_MAX || !purse_take(&shard->purse, LIVE_COST))
			return;
		waits->live = shard_grow(waits->live, &waits->live_room, waits->live_count + 1,
					 sizeof *waits->live);
		live = &waits->live[waits->live_count++];
		live->topic = hash;
		index_add(&waits->by_topic, hash, waits->live_count);
	}
	live->last = ++shard->serial;
}

/* Since this wait began? */
static bool was_live(const struct shard *shard, const struct session *session,
		     const struct retain_wait *wait, struct slice topic)
{
	if (session->scans->live_count == 0)
		return false;
	const struct live *live = find_live(session->scans, hash_keyed(shard->hash_key, topic));
	return live && live->last > wait->since;
}

static void stop(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	if (wait->begun) {
		struct mail *mail =
		    mail_create(MAIL_RETAIN_STOP, shard->party, wait->party, SLICE_NONE);
		mail->ticket = wait->ticket;
		shard_post(shard, mail);
	}
	free_wait(shard, session, wait);
}

void retain_stop(struct shard *shard, struct session *session, struct slice filter)
{
	struct retain_wait *wait;
	if (filter.len == 0)
		while (session->scans)
			stop(shard, session, session->scans->first);
	else if ((wait = wait_for(shard, session, filter)) != NULL)
		stop(shard, session, wait);
}

static void deliver_found(struct shard *shard, struct session *session,
			  const struct retain_wait *wait, struct message *message)
{
	struct publication publication = message_publication(message);
	uint8_t granted = wait->options & OPTION_QOS;
	struct identifier_list identifiers = {&wait->identifier, wait->identifier != 0};
	/* With RETAIN. [MQTT3-3.3.1-8] */
	publication.found_retained = true;
	publication.again = false; /* whoever asks for it has not had it by asking */
	deliver_to_session(shard, session, &publication,
			   message->qos < granted ? message->qos : granted, true, identifiers);
}

/* This party is done with it. */
static void next_party(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	wait->begun = false;
	if (wait->party++ == wait->last)
		free_wait(shard, session, wait);
}

/*
 * The home has nothing for any of the filters that waited when it was asked: what was
 * retained before they were in force came to it before the question.
 */
static void pass_over(struct shard *shard, struct session *session, const struct mail *mail)
{
	struct retain_wait *wait = first_of(session);
	while (wait && wait->since < mail->ticket) {
		struct retain_wait *next = wait->hh.next;
		if (wait->party == mail->from && !wait->begun && wait->filter[0] != '$')
			next_party(shard, session, wait);
		wait = next;
	}
}

void retain_found(struct shard *shard, struct mail *mail)
{
	struct session *session = session_by_number(shard, mail->member.session);
	struct retain_wait *wait = session ? first_of(session) : NULL;
	/* Not asked for: the home has ended the walk early. */
	while (wait && (wait->ticket != mail->ticket || wait->party != mail->from))
		wait = wait->hh.next;
	if (wait == NULL)
		return;
	wait->asked = false;
	wait->found = true;
	for (uint32_t i = 0; i < mail->count; i++)
		if (!was_live(shard, session, wait, message_topic(mail->messages[i])))
			deliver_found(shard, session, wait, mail->messages[i]);
	if (mail->last)
		next_party(shard, session, wait);
	if (mail->none)
		pass_over(shard, session, mail);
	retain_continue(shard, session);
}
