/*
 * publish.c - from one publication to every subscriber: here (match.c, deliver.c) and by mail to
 * the other shards; and to the home of its topic.
 */
#include "broker/core/core.h"
#include "broker/core/rights.h"

struct message *publication_message(struct shard *shard, struct publication *publication)
{
	if (publication->message == NULL) {
		publication->message = message_create(&shard->purse, publication);
		if (publication->message == NULL)
			COUNT(shard, DROPPED_MEMORY);
		else
			publication->made = true;
	}
	return publication->message;
}

void publication_finish(struct shard *shard, struct publication *publication)
{
	if (publication->made)
		message_release(publication->message, &shard->purse);
	publication->made = false;
}

struct mailing {
	struct shard *shard;
	struct publication *publication;
};

static void mail_to_party(void *self, party_id party)
{
	struct mailing *m = self;
	const struct publication *p = m->publication;
	bundles_note(&m->shard->bundles, party);
	if (bundle_takes(p)) {
		if (bundle_publication(m->shard, party, p, p->gate))
			gate_hold(m->shard, p->gate);
		else
			delivery_dropped(m->shard, NULL, &p->publisher, p->qos, ROUTE_MEMORY);
		return;
	}
	struct message *message = publication_message(m->shard, m->publication);
	if (message == NULL) {
		delivery_row(m->shard, NULL, &p->publisher, p->qos, ROUTE_MEMORY);
		return;
	}
	struct mail *mail = mail_create(MAIL_PUBLISH, m->shard->party, party, SLICE_NONE);
	mail->message = message_share(message);
	mail->ticket = m->publication->gate;
	gate_hold(m->shard, m->publication->gate);
	shard_post(m->shard, mail);
}

/* Whose it is; 0: the broker's own, or nobody's. */
static uint64_t owner_of(const struct shard *shard, const struct publisher *publisher)
{
	const struct session *session =
	    publisher->party == shard->party ? session_by_number(shard, publisher->session) : NULL;
	return session ? rights_owner(shard, session) : 0;
}

void publish_retained(struct shard *shard, struct publication *publication)
{
	uint64_t owner = owner_of(shard, &publication->publisher);
	party_id home = retained_home(shard, publication->topic);
	if (home == shard->party) {
		retained_set(shard, publication, owner);
		return;
	}
	bool clears = publication_clears(publication); /* no memory is too short for that */
	struct message *message = clears ? NULL : publication_message(shard, publication);
	bundles_note(&shard->bundles, home);
	struct mail *mail =
	    mail_create(MAIL_RETAIN, shard->party, home, message ? SLICE_NONE : publication->topic);
	mail->realm = publication->realm;
	mail->message = message ? message_share(message) : NULL;
	mail->ticket = owner;
	shard_post(shard, mail);
}

static void mail_to_none(void *self, party_id party)
{
	(void)self;
	(void)party;
}

/* Who has an open delivery of it may have unsubscribed since: recall_complete(). */
static void mail_to_all(struct mailing *m)
{
	for (party_id party = 0; party < m->shard->parties; party++)
		if (party != m->shard->party)
			mail_to_party(m, party);
}

bool publish(struct shard *shard, struct publication *publication)
{
	struct mailing m = {shard, publication};
	/* First: whoever has had it live does not find an older one at the home. */
	if (publication->retain)
		publish_retained(shard, publication);
	bool matched = deliver_here(shard, publication);
	struct trie_name name = publication_name(shard, publication);
	void (*mail)(void *, party_id) = publication->again ? mail_to_none : mail_to_party;
	matched |= route_match(shard, &name, &m, mail) > 0;
	if (publication->again)
		mail_to_all(&m);
	return matched;
}
