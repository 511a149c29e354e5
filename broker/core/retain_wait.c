/* retain_wait.c - see retain.h: the session's side. */
#include "broker/core/core.h"
#include "proto/topic.h"

#define uthash_malloc(size)   memory_get(size)
#define uthash_free(at, size) memory_free(at)
#define uthash_fatal(text)    must_fail(text, __FILE__, __LINE__)
#include <uthash.h>

/*
 * What a walk passes over is known by what was delivered live, by two instants.  Each is told by
 * shard->serial from what came before and behind it: what waits in the queue knows when it came.
 */
struct moments {
	uint64_t from;	/* the SUBSCRIBE is in force here, and perhaps elsewhere */
	uint64_t since; /* it is everywhere: the SUBACK leaves */
};

/*
 * One subscription whose retained messages are still to come.  It is here from its SUBSCRIBE on;
 * nothing is asked for before the SUBACK.  What to send them with is looked up when they come: it
 * may have been subscribed to again.
 */
struct retain_wait {
	UT_hash_handle hh;
	struct retain_wait *next, *previous; /* in the line of those that are asked for */
	uint64_t number;		     /* whose SUBACKs are waited for */
	struct moments latest;		     /* of the latest SUBSCRIBE and SUBACK */
	struct moments walk;		     /* of the walk under way */
	uint64_t ticket;		     /* likewise */
	uint32_t pending;		     /* SUBACKs that have not left yet */
	uint16_t walks;			     /* to be made, with the one under way */
	party_id party;			     /* whom we ask now */
	party_id last;			     /* the last one to ask */
	bool asked;			     /* an answer is on its way */
	bool begun;			     /* this party has the filter */
	bool over;			     /* and has no more */
	size_t filter_len;
	uint8_t filter[];
};

/* The one that came last. */
struct latest {
	uint64_t came;
	uint64_t content; /* hashed; of one that was sent if it came while a SUBACK was to leave */
};

/* The live retained publishes of a topic: those that were sent, and those that could not be. */
struct live {
	uint64_t topic; /* hashed */
	struct latest sent;
	struct latest dropped;
};

/*
 * What a home has sent and there was no room for yet.  It waits here and not in the queue: so that
 * it is never dropped, and that what comes live meanwhile and is sent is known to be newer.
 */
struct found {
	struct message **messages; /* owned, from `at` on; NULL for none */
	uint32_t at;
	uint32_t count;
	uint64_t after; /* all that came into the queue before */
};

/*
 * All of a session: a hash table by their filters, and those whose SUBACK has left in the order in
 * which they are asked for.  There may be very many, so that nothing that a publish does walks
 * through them.
 */
struct retain_waits {
	struct retain_wait *first; /* of the table */
	struct retain_wait *ready, *last;
	struct found found; /* for the first one of them */
	uint64_t suback;    /* when the last SUBACK left */
	uint32_t pending;   /* SUBACKs that have not left yet, of all */
	struct live *live;  /* since the first one, each topic once */
	uint32_t live_count;
	uint32_t live_room;
	struct index by_topic; /* places in `live`, plus 1 */
};

/* What each is charged. */
#define LIVE_COST (sizeof(struct live) + 2 * sizeof(struct index_slot))

/* Beyond this a subscriber may see an older message after a newer one. */
#define LIVE_MAX 65536u

/*
 * Whoever subscribes again before all has come gets it again [MQTT-3.8.4-4], but a filter may
 * stand in a packet thousands of times.
 */
#define WALKS_MAX 16u

static struct slice filter_of(const struct retain_wait *wait)
{
	return slice_of(wait->filter, wait->filter_len);
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
	session->scans->found.after = ++shard->serial;
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

static struct retain_wait *make_wait(struct shard *shard, struct session *session,
				     struct slice filter)
{
	struct retain_waits *waits = waits_of(shard, session);
	struct retain_wait *wait = memory_get_zeroed(sizeof *wait + filter.len);
	wait->number = ++shard->serial;
	wait->filter_len = filter.len;
	memcpy(wait->filter, filter.at, filter.len);
	purse_force(&shard->purse, sizeof *wait + filter.len);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, waits->first, wait->filter, (unsigned)filter.len,
				    hash_of(shard, filter), wait);
	return wait;
}

uint64_t retain_expect(struct shard *shard, struct session *session, struct slice filter)
{
	struct retain_wait *wait = wait_for(shard, session, filter);
	if (wait == NULL)
		wait = make_wait(shard, session, filter);
	wait->latest.from = ++shard->serial;
	wait->pending++;
	session->scans->pending++;
	return wait->number;
}

static void free_wait(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	struct retain_waits *waits = session->scans;
	HASH_DEL(waits->first, wait);
	waits->pending -= wait->pending;
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

/* A wait is among those of its session. */
static void line_up(struct retain_waits *waits, struct retain_wait *wait)
{
	must(waits != NULL);
	wait->next = NULL;
	wait->previous = waits->last;
	if (wait->previous)
		wait->previous->next = wait;
	else
		waits->ready = wait;
	waits->last = wait;
}

static void step_out(struct retain_waits *waits, struct retain_wait *wait)
{
	must(waits != NULL);
	if (wait->next)
		wait->next->previous = wait->previous;
	else
		waits->last = wait->previous;
	if (wait->previous)
		wait->previous->next = wait->next;
	else
		waits->ready = wait->next;
}

/* From the first home on, behind the other filters. */
static void start(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	bool wild = topic_filter_wild(filter_of(wait));
	wait->party = wild ? 0 : retained_home(shard, filter_of(wait));
	wait->last = wild ? (party_id)(shard->parties - 1) : wait->party;
	wait->walk = wait->latest;
	line_up(session->scans, wait);
}

/* A SUBACK that the wait was made for, or held up by, is no longer to come.  NULL: the client has
 * unsubscribed meanwhile. */
static struct retain_wait *answered(struct shard *shard, struct session *session,
				    struct slice filter, uint64_t number)
{
	struct retain_wait *wait = wait_for(shard, session, filter);
	if (wait == NULL || wait->number != number)
		return NULL;
	wait->pending--;
	session->scans->pending--;
	return wait;
}

void retain_begin(struct shard *shard, struct session *session, struct slice filter,
		  uint64_t number)
{
	struct retain_wait *wait = answered(shard, session, filter, number);
	if (wait == NULL)
		return;
	wait->latest.since = session->scans->suback = ++shard->serial;
	if (wait->walks < WALKS_MAX && wait->walks++ == 0)
		start(shard, session, wait);
	retain_continue(shard, session);
}

void retain_cancel(struct shard *shard, struct session *session, struct slice filter,
		   uint64_t number)
{
	struct retain_wait *wait = answered(shard, session, filter, number);
	if (wait && wait->pending == 0 && wait->walks == 0)
		free_wait(shard, session, wait);
}

static struct retain_wait *first_of(const struct session *session)
{
	return session->scans ? session->scans->ready : NULL;
}

static struct live *find_live(const struct retain_waits *waits, uint64_t topic)
{
	struct index_probe probe;
	uint32_t n = index_first(&waits->by_topic, topic, &probe);
	while (n != 0 && waits->live[n - 1].topic != topic)
		n = index_next(&waits->by_topic, &probe);
	return n ? &waits->live[n - 1] : NULL;
}

/* Worked out once for all sessions that one copy comes to. */
static uint64_t content_of(const struct shard *shard, struct publication *publication)
{
	const struct publisher *publisher = &publication->publisher;
	if (publication->payload_hash == 0)
		publication->payload_hash = hash_keyed(shard->hash_key, publication->payload);
	return publication->payload_hash ^ publisher->session ^ (uint64_t)publisher->party << 56;
}

static uint64_t content_of_found(const struct shard *shard, struct message *message)
{
	struct publication publication = message_publication(message);
	return content_of(shard, &publication);
}

static struct live *live_of(struct shard *shard, struct retain_waits *waits, uint64_t topic)
{
	struct live *live = find_live(waits, topic);
	if (live)
		return live;
	if (waits->live_count >= LIVE_MAX || !purse_take(&shard->purse, LIVE_COST))
		return NULL;
	waits->live =
	    shard_grow(waits->live, &waits->live_room, waits->live_count + 1, sizeof *waits->live);
	live = &waits->live[waits->live_count++];
	*live = (struct live){.topic = topic};
	index_add(&waits->by_topic, topic, waits->live_count);
	return live;
}

void retain_note_live(struct shard *shard, struct session *session, struct publication *publication,
		      uint64_t came)
{
	struct retain_waits *waits = session->scans;
	struct live *live = live_of(shard, waits, hash_keyed(shard->hash_key, publication->topic));
	if (live == NULL || came < live->sent.came)
		return;
	live->sent.came = came;
	if (waits->pending > 0 || came < waits->suback)
		live->sent.content = content_of(shard, publication);
}

/* Is something in the queue that came before? */
static bool older_waits(const struct session *session, uint64_t came)
{
	const struct queue *queue = &traffic_of(session)->queue;
	return queue->count > 0 && queue_first(queue)->came < came;
}

/* Likewise, another one of this topic: it is not to be sent behind a newer one. */
static bool older_of_topic_waits(const struct session *session, struct slice topic, uint64_t came)
{
	const struct queue *queue = &traffic_of(session)->queue;
	for (uint32_t i = 0; i < queue->count; i++) {
		const struct delivery *d = queue_at(queue, i);
		if (d->came >= came)
			return false;
		if (d->goes_behind && d->message->retain &&
		    slice_equal(message_topic(d->message), topic))
			return true;
	}
	return false;
}

static void take_place(struct shard *shard, struct found *found, struct publication *publication)
{
	bool clears = publication_clears(publication);
	uint32_t i = found->at;
	while (i < found->count &&
	       !slice_equal(message_topic(found->messages[i]), publication->topic))
		i++;
	if (i == found->count || (!clears && publication_message(shard, publication) == NULL))
		return;
	message_release(found->messages[i], &shard->purse);
	found->messages[i] =
	    clears ? found->messages[found->at++] : message_share(publication->message);
}

/*
 * What was found is as new as all that came before the SUBACK.  What is still to be found has to
 * stand against the others of its topic only: those that were sent, or wait to be.
 */
void retain_missed(struct shard *shard, struct session *session, struct publication *publication,
		   uint64_t came)
{
	struct retain_waits *waits = session->scans;
	uint64_t topic = hash_keyed(shard->hash_key, publication->topic);
	struct live *live =
	    older_waits(session, came) ? live_of(shard, waits, topic) : find_live(waits, topic);
	if (live && came < live->dropped.came)
		return;
	if (live)
		live->dropped = (struct latest){came, content_of(shard, publication)};
	if (waits->found.messages && came > waits->ready->walk.since &&
	    !older_of_topic_waits(session, publication->topic, came))
		take_place(shard, &waits->found, publication);
}

/*
 * Was it sent live since the SUBSCRIBE, it or a newer one?  What came since the SUBACK is newer or
 * the same, unless this one was dropped after it.  Before that not every shard knew the filter, so
 * what came may be older: only the very same message counts.
 */
static bool was_live(const struct shard *shard, const struct session *session,
		     const struct retain_wait *wait, struct message *message)
{
	if (session->scans->live_count == 0)
		return false;
	const struct moments *walk = &wait->walk;
	const struct live *live =
	    find_live(session->scans, hash_keyed(shard->hash_key, message_topic(message)));
	if (live == NULL || live->sent.came < walk->from)
		return false;
	if (live->dropped.came > live->sent.came &&
	    live->dropped.content == content_of_found(shard, message))
		return false;
	return live->sent.came > walk->since ||
	       live->sent.content == content_of_found(shard, message);
}

static void let_go_of_found(struct shard *shard, struct session *session)
{
	struct found *found = &session->scans->found;
	if (found->messages == NULL)
		return;
	while (found->at < found->count)
		message_release(found->messages[found->at++], &shard->purse);
	purse_give(&shard->purse, found->count * sizeof(struct message *));
	memory_free(found->messages);
	*found = (struct found){0};
}

static void stop(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	if (wait->begun) {
		struct mail *mail =
		    mail_create(MAIL_RETAIN_STOP, shard->party, wait->party, SLICE_NONE);
		mail->ticket = wait->ticket;
		shard_post(shard, mail);
	}
	if (wait == session->scans->ready)
		let_go_of_found(shard, session);
	if (wait->walks > 0)
		step_out(session->scans, wait);
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

static uint8_t granted_qos(const struct subscription *s, const struct message *message)
{
	uint8_t granted = s->options & OPTION_QOS;
	return message->qos < granted ? message->qos : granted;
}

static void send_one(struct shard *shard, struct session *session, const struct subscription *s,
		     struct message *message)
{
	struct publication publication = message_publication(message);
	uint32_t identifier = s->identifier;
	struct identifier_list identifiers = {&identifier, identifier != 0};
	/* With RETAIN. [MQTT3-3.3.1-8] */
	publication.found_retained = true;
	publication.again = false;	 /* whoever asks for it has not had it by asking */
	publication.goes_behind = false; /* it is older than what was delivered live */
	deliver_found(shard, session, &publication, granted_qos(s, message), identifiers);
}

/* The client's own, where it does not want these. [MQTT-3.8.3-3] */
static bool unwanted(const struct shard *shard, const struct session *session,
		     const struct subscription *s, const struct message *message)
{
	return s->options & OPTION_NO_LOCAL &&
	       session_same_client(shard, session, &message->publisher);
}

/* Sends what was found, as far as there is room for it; false: some of it waits.  Until its turn
 * comes a newer one that is dropped may take its place, whatever was sent before. */
static bool send_found(struct shard *shard, struct session *session, const struct retain_wait *wait)
{
	struct found *found = &session->scans->found;
	if (found->messages == NULL)
		return true;
	if (older_waits(session, found->after))
		return false;
	uint32_t n = subscription_find(&shard->subscriptions, session->realm, filter_of(wait),
				       (uint32_t)session->number);
	must(n != 0); /* who unsubscribes waits for nothing */
	const struct subscription s = *subscription_at(&shard->subscriptions, n);
	while (found->at < found->count) {
		struct message *message = found->messages[found->at];
		if (!deliver_takes_found(shard, session, granted_qos(&s, message)))
			return false;
		if (message->expires_ms > shard->now.ms && /* [MQTT-3.3.2-5] */
		    !was_live(shard, session, wait, message) &&
		    !unwanted(shard, session, &s, message))
			send_one(shard, session, &s, message);
		message_release(message, &shard->purse);
		found->at++;
	}
	let_go_of_found(shard, session);
	return true;
}

/* This party is done with it. */
static void next_party(struct shard *shard, struct session *session, struct retain_wait *wait)
{
	wait->begun = wait->over = false;
	if (wait->party++ != wait->last)
		return;
	step_out(session->scans, wait);
	if (--wait->walks > 0)
		start(shard, session, wait);
	else if (wait->pending == 0)
		free_wait(shard, session, wait);
}

/*
 * The home has nothing for any of the filters that waited when it was asked: what was
 * retained before they were in force came to it before the question.
 */
static void pass_over(struct shard *shard, struct session *session, const struct mail *mail)
{
	struct retain_wait *wait = first_of(session);
	while (wait && wait->walk.since < mail->ticket) {
		struct retain_wait *next = wait->next;
		if (wait->party == mail->from && !wait->begun && wait->filter[0] != '$')
			next_party(shard, session, wait);
		wait = next;
	}
}

/* One after the other, so that a session occupies the homes with one walk at a time.  They wait for
 * who is away: it has no room for any. */
void retain_continue(struct shard *shard, struct session *session)
{
	struct retain_wait *wait;
	if (!session_is_up(session))
		return;
	while ((wait = first_of(session)) != NULL && !wait->asked &&
	       send_found(shard, session, wait)) {
		if (wait->over)
			next_party(shard, session, wait);
		else
			ask(shard, session, wait);
	}
}

static void hold(struct shard *shard, struct found *found, struct mail *mail)
{
	must(found->messages == NULL);
	found->messages = mail->messages;
	found->count = mail->messages ? mail->count : 0;
	purse_force(&shard->purse, found->count * sizeof(struct message *));
	mail->messages = NULL;
}

void retain_found(struct shard *shard, struct mail *mail)
{
	struct session *session = session_by_number(shard, mail->member.session);
	struct retain_wait *wait = session ? first_of(session) : NULL;
	if (wait == NULL || wait->ticket != mail->ticket || wait->party != mail->from)
		return; /* nobody waits for it any more */
	wait->asked = false;
	wait->over = mail->last;
	hold(shard, &session->scans->found, mail);
	if (mail->none)
		pass_over(shard, session, mail);
	retain_continue(shard, session);
}
