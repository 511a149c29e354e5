/* shared.c - see share.h: the member's side of a shared subscription. */
#include "broker/core/core.h"
#include "broker/core/rights.h"

/* What a membership is charged, above its text: here, and as a member at the group's home. */
#define MEMBERSHIP_COST 160u

static struct slice text_of(const struct shared_subscription *shared)
{
	return slice_of(shared->text, shared->text_len);
}

/* There may be 1,024, which differ in their last bytes alone: one SUBSCRIBE may look for 65,536. */
struct shared_subscription *shared_find(const struct shard *shard, const struct session *session,
					struct slice text)
{
	struct shared_subscription *shared = session->shared;
	uint64_t hash = shared ? hash_keyed(shard->hash_key, text) : 0;
	while (shared && (shared->hash != hash || !slice_equal(text_of(shared), text)))
		shared = shared->next;
	return shared;
}

/* The one with this number; NULL: it is not in this list. */
static const struct shared_subscription *with_id(const struct shared_subscription *list,
						 uint16_t id)
{
	while (list && list->id != id)
		list = list->next;
	return list;
}

bool shared_has(const struct session *session, uint16_t id)
{
	return with_id(session->shared, id) != NULL;
}

/* Likewise, or was there one, that its deliveries still name? */
static const struct shared_subscription *came_by(const struct session *session, uint16_t id)
{
	const struct shared_subscription *shared = with_id(session->shared, id);
	return shared ? shared : with_id(traffic_of(session)->left, id);
}

static uint16_t free_id(struct session *session)
{
	do
		session->last_share++;
	while (session->last_share == 0 || came_by(session, session->last_share));
	return session->last_share;
}

struct shared_subscription *shared_create(struct shard *shard, struct session *session,
					  struct slice text)
{
	struct shared_subscription *shared = memory_get_zeroed(sizeof *shared + text.len);
	shared->text_len = text.len;
	memcpy(shared->text, text.at, text.len);
	shared->hash = hash_keyed(shard->hash_key, text);
	shared->home = (party_id)((shared->hash + session->realm) % shard->parties);
	shared->id = free_id(session);
	shared->next = session->shared;
	session->shared = shared;
	session->shared_count++;
	purse_force(&shard->purse, MEMBERSHIP_COST + text.len);
	COUNT(shard, SUBSCRIPTIONS);
	COUNT(shard, SHARED_SUBSCRIPTIONS);
	session->subscription_count++;
	return shared;
}

static struct mail *mail_home(struct shard *shard, const struct session *session,
			      const struct shared_subscription *shared, enum mail_type type)
{
	struct mail *mail = mail_create(type, shard->party, shared->home, text_of(shared));
	mail->realm = session->realm;
	mail->online = session_is_up(session);
	mail->awaited = session->client == NULL && session_grace_ms(session) != 0;
	mail->member = (struct share_member){
	    .party = shard->party,
	    .session = session->number,
	    .identifier = shared->identifier,
	    .options = shared->options,
	    .membership = shared->id,
	};
	return mail;
}

uint32_t shared_join(struct shard *shard, struct session *session,
		     struct shared_subscription *shared)
{
	struct mail *mail = mail_home(shard, session, shared, MAIL_SHARE_JOIN);
	uint32_t barrier = barrier_create(shard, 1);
	mail->ticket = barrier;
	shard_post(shard, mail);
	return barrier;
}

static void forget(struct shard *shard, struct shared_subscription *shared)
{
	purse_give(&shard->purse, MEMBERSHIP_COST + shared->text_len);
	memory_free(shared);
}

static void take_out(struct shard *shard, struct session *session,
		     struct shared_subscription *shared)
{
	struct shared_subscription **link = &session->shared;
	while (*link != shared)
		link = &(*link)->next;
	*link = shared->next;
	UNCOUNT(shard, SUBSCRIPTIONS);
	UNCOUNT(shard, SHARED_SUBSCRIPTIONS);
	session->shared_count--;
	session->subscription_count--;
}

static void forget_oldest(struct shard *shard, struct traffic *traffic)
{
	struct shared_subscription **link = &traffic->left;
	while ((*link)->next)
		link = &(*link)->next;
	forget(shard, *link);
	*link = NULL;
	traffic->left_count--;
}

/* What came by more than SHARED_MAX of them ends with the session. */
static void remember(struct shard *shard, struct traffic *traffic,
		     struct shared_subscription *shared)
{
	if (traffic->left_count == SHARED_MAX)
		forget_oldest(shard, traffic);
	shared->next = traffic->left;
	traffic->left = shared;
	traffic->left_count++;
}

void shared_leave(struct shard *shard, struct session *session, struct shared_subscription *shared)
{
	const struct traffic *traffic = traffic_of(session);
	shard_post(shard, mail_home(shard, session, shared, MAIL_SHARE_LEAVE));
	take_out(shard, session, shared);
	if (traffic->queue.count + traffic->after_records.count + traffic->inflight.count > 0)
		remember(shard, session->traffic, shared);
	else
		forget(shard, shared);
}

void shared_forget_left(struct shard *shard, struct session *session)
{
	struct traffic *traffic = traffic_for(shard, session);
	while (traffic->left) {
		struct shared_subscription *next = traffic->left->next;
		forget(shard, traffic->left);
		traffic->left = next;
	}
	traffic->left_count = 0;
}

bool shared_give_back(struct shard *shard, struct session *session, struct delivery *delivery)
{
	if (delivery->share == 0 || delivery->message == NULL)
		return false;
	const struct shared_subscription *shared = came_by(session, delivery->share);
	if (shared == NULL)
		return false;
	struct mail *mail = mail_home(shard, session, shared, MAIL_SHARE_RETURN);
	mail->message = message_share(delivery->message);
	mail->ticket = gate_give_back(shard, session, delivery, shared->home);
	delivery->given_back = true;
	shard_post(shard, mail);
	return true;
}

static void give_back_all(struct shard *shard, struct session *session, const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++)
		shared_give_back(shard, session, queue_at(queue, i));
}

void shared_end(struct shard *shard, struct session *session)
{
	struct outbound *entry;
	if (session->shared == NULL && traffic_of(session)->left == NULL)
		return;
	/* First of all the groups must know that this member takes nothing more. */
	for (const struct shared_subscription *s = session->shared; s; s = s->next)
		shard_post(shard, mail_home(shard, session, s, MAIL_SHARE_LEAVE));
	struct traffic *traffic = traffic_for(shard, session);
	struct inflight *inflight = &traffic->inflight;
	inflight_mark_resend(inflight);
	while ((entry = inflight_next_resend(inflight)) != NULL) { /* in their order */
		inflight_resent(inflight, entry);
		if (inflight_may_go_elsewhere(entry))
			shared_give_back(shard, session, &entry->delivery);
	}
	give_back_all(shard, session, &traffic->after_records);
	give_back_all(shard, session, &traffic->queue);
	while (session->shared) {
		struct shared_subscription *shared = session->shared;
		take_out(shard, session, shared);
		forget(shard, shared);
	}
}

void shared_state(struct shard *shard, const struct session *session, bool online)
{
	for (const struct shared_subscription *s = session->shared; s; s = s->next) {
		struct mail *mail = mail_home(shard, session, s, MAIL_SHARE_STATE);
		mail->online = online;
		shard_post(shard, mail);
	}
}

/* ---- what the group gives it ---- */

/*
 * Away is one that waits for its CONNACK, too: what comes with QoS 0 would find no queue.  And one
 * that is a member no more. [MQTT-3.10.4-2]
 */
enum member_answer shared_ask(struct shard *shard, const struct share_member *who,
			      struct slice topic)
{
	const struct session *session = session_by_number(shard, who->session);
	if (session == NULL || !session_is_up(session) || !shared_has(session, who->membership))
		return MEMBER_AWAY;
	return rights_would_allow(shard, session, AUTH_READ, topic) ? MEMBER_TAKES : MEMBER_MAY_NOT;
}

void shared_hand_over(struct shard *shard, const struct share_member *who,
		      struct publication *publication)
{
	struct session *session = session_by_number(shard, who->session);
	if (session == NULL) { /* it had the message, and nobody else gets it */
		delivery_dropped(shard, NULL, &publication->publisher, publication->qos,
				 ROUTE_SESSION_ENDED);
		return;
	}
	uint8_t granted = who->options & OPTION_QOS;
	bool retain = publication->retain && who->options & OPTION_RETAIN_AS_PUBLISHED;
	struct identifier_list identifiers = {&who->identifier, who->identifier != 0};
	publication->share = who->membership;
	deliver_to_session(shard, session, publication,
			   publication->qos < granted ? publication->qos : granted, retain,
			   identifiers);
	publication->share = 0;
}

/* The same mail goes on, without what it holds. */
static struct mail *mail_on(const struct shard *shard, const struct mail *mail, enum mail_type type,
			    party_id to)
{
	struct mail *on = mail_create(type, shard->party, to, mail->text);
	on->realm = mail->realm;
	on->member = mail->member;
	on->round = mail->round;
	on->message = message_share(mail->message);
	return on;
}

static bool takes(struct shard *shard, const struct mail *mail)
{
	const struct session *session = session_by_number(shard, mail->member.session);
	if (mail->holder)
		return true;
	if (mail->own) /* it has said so: then also while it is away */
		return session && shared_has(session, mail->member.membership);
	return shared_ask(shard, &mail->member, message_topic(mail->message)) == MEMBER_TAKES;
}

/* At its home the gate of this member is open by now, and so is that of its PUBREC when the mail is
 * back. */
static void round_by_home(struct shard *shard, const struct mail *mail)
{
	struct mail *own = mail_on(shard, mail, MAIL_SHARE_DELIVER, mail->from);
	own->own = true;
	own_copy_put_off_mail(shard, own);
}

static void taken(struct shard *shard, const struct mail *mail)
{
	struct publication publication = message_publication(mail->message);
	publication.gate = gate_for_party(shard, mail->from, mail->ticket);
	if (own_copy_waits(&publication, shard->party, mail->member.session) && !mail->own)
		round_by_home(shard, mail);
	else
		shared_hand_over(shard, &mail->member, &publication);
	gate_release(shard, publication.gate);
}

void shared_delivered(struct shard *shard, const struct mail *mail)
{
	if (mail->member.party != shard->party) { /* the home: round_by_home() */
		struct mail *own = mail_on(shard, mail, MAIL_SHARE_DELIVER, mail->member.party);
		own->own = true;
		shard_post(shard, own);
		return;
	}
	if (takes(shard, mail)) {
		taken(shard, mail);
		return;
	}
	struct mail *back = mail_on(shard, mail, MAIL_SHARE_RETURN, mail->from);
	back->ticket = mail->ticket;
	shard_post(shard, back);
}

/* ---- rows ---- */

uint64_t shared_row(const struct session *session, uint16_t id)
{
	const struct shared_subscription *shared = id ? with_id(session->shared, id) : NULL;
	return shared ? shared->row : 0;
}

static const struct shared_subscription *find_row(const struct session *session, uint64_t row)
{
	const struct shared_subscription *shared = session->shared;
	while (shared && shared->row != row)
		shared = shared->next;
	return shared;
}

bool shared_has_row(const struct session *session, uint64_t row)
{
	return row != 0 && find_row(session, row) != NULL;
}

void shared_holds(struct shard *shard, const struct session *session, uint64_t row,
		  uint64_t envelope)
{
	const struct shared_subscription *shared = find_row(session, row);
	if (shared == NULL)
		return; /* it has left that group since */
	struct mail *mail = mail_home(shard, session, shared, MAIL_SHARE_HOLDS);
	mail->ticket = envelope;
	shard_post(shard, mail);
}
