/* share.c - see share.h: the home's side. */
#include "broker/core/core.h"

struct member {
	struct share_member who;
	bool online;
	bool awaited; /* as in mail.h */
};

struct share_group {
	uint32_t realm;
	uint32_t slot;
	uint32_t subscription; /* on behalf of all */
	uint32_t count;
	uint32_t room;
	uint32_t online;	/* so many, the first ones of `members` */
	uint32_t awaited;	/* so many of them are */
	uint32_t turn;		/* place of the one whose turn it is */
	uint32_t changes;	/* goes up when one comes online or goes, and others may change
				 * places; or when one may read more */
	struct member *members; /* there may be thousands: nothing here walks through all */
	struct index by_who;	/* places in `members`, plus 1 */
	struct queue queue;	/* while nobody is online */
	uint64_t hash;
	size_t text_len;
	uint8_t text[];
};

void shares_init(struct shares *shares)
{
	*shares = (struct shares){0};
	slab_init(&shares->groups, sizeof(struct share_group *));
}

static struct share_group *group_at(const struct shard *shard, uint32_t slot)
{
	return *(struct share_group **)slab_at(&shard->shares.groups, slot);
}

static struct slice group_text(const struct share_group *group)
{
	return slice_of(group->text, group->text_len);
}

static struct share_group *find_group(const struct shard *shard, uint32_t realm, struct slice text)
{
	const struct index *index = &shard->shares.index;
	struct index_probe probe;
	uint32_t n = index_first(index, hash_keyed(shard->hash_key, text) + realm, &probe);
	while (n != 0) {
		struct share_group *group = group_at(shard, n);
		if (group->realm == realm && slice_equal(group_text(group), text))
			return group;
		n = index_next(index, &probe);
	}
	return NULL;
}

/* "group/filter" without the group. */
static struct slice filter_of(struct slice text)
{
	const uint8_t *slash = memchr(text.at, '/', text.len);
	return slice_after(text, (size_t)(slash - text.at) + 1);
}

static struct share_group *make_group(struct shard *shard, uint32_t realm, struct slice text,
				      bool *first)
{
	size_t size = sizeof(struct share_group) + text.len;
	purse_force(&shard->purse, size);
	struct share_group *group = memory_get_zeroed(size);
	group->realm = realm;
	group->text_len = text.len;
	memcpy(group->text, text.at, text.len);
	group->hash = hash_keyed(shard->hash_key, text) + realm;
	group->slot = slab_add(&shard->shares.groups);
	*(struct share_group **)slab_at(&shard->shares.groups, group->slot) = group;
	index_add(&shard->shares.index, group->hash, group->slot);
	group->subscription = subscription_add(&shard->subscriptions, realm, filter_of(text), true,
					       group->slot, NULL, first);
	return group;
}

static void free_group(struct shard *shard, struct share_group *group)
{
	const struct queue *queue = &group->queue;
	for (uint32_t i = 0; i < queue->count; i++) {
		const struct delivery *d = queue_at(queue, i);
		delivery_dropped(shard, NULL, &d->message->publisher, d->qos, ROUTE_SESSION_ENDED);
	}
	UNCOUNT_N(shard, QUEUED, group->queue.count);
	UNCOUNT_N(shard, QUEUED_BYTES, group->queue.bytes);
	queue_clear(&group->queue, &shard->purse);
	purse_give(&shard->purse, sizeof *group + group->text_len);
	index_finish(&group->by_who);
	memory_free(group->members);
	memory_free(group);
}

/* Nobody is awaited any more: what waits is in memory alone. */
static void let_go(struct shard *shard, struct share_group *group)
{
	struct queue *queue = &group->queue;
	for (uint32_t i = 0; i < queue->count; i++) {
		struct delivery *delivery = queue_at(queue, i);
		gate_release(shard, delivery->gate);
		delivery->gate = 0;
	}
}

static void drop_group(struct shard *shard, struct share_group *group)
{
	let_go(shard, group);
	route_unsubscribe(shard, group->subscription, NULL);
	index_remove(&shard->shares.index, group->hash, group->slot);
	slab_remove(&shard->shares.groups, group->slot);
	free_group(shard, group);
}

void shares_finish(struct shard *shard)
{
	struct slab *groups = &shard->shares.groups;
	struct index *index = &shard->shares.index;
	for (uint32_t at = 0, slot; (slot = index_each(index, &at)) != 0;)
		free_group(shard, group_at(shard, slot));
	slab_finish(groups);
	index_finish(index);
}

/* ---- members ---- */

static uint64_t hash_of(struct share_member who)
{
	return hash_mix(who.session + who.party * 0x9e3779b97f4a7c15u);
}

static struct member *find_member(const struct share_group *group, struct share_member who)
{
	struct index_probe probe;
	uint32_t n = index_first(&group->by_who, hash_of(who), &probe);
	for (; n != 0; n = index_next(&group->by_who, &probe)) {
		struct member *member = &group->members[n - 1];
		if (member->who.party == who.party && member->who.session == who.session)
			return member;
	}
	return NULL;
}

/* Exchanges the places of two. */
static void exchange(struct share_group *group, uint32_t a, uint32_t b)
{
	struct member first = group->members[a], second = group->members[b];
	if (a == b)
		return;
	index_remove(&group->by_who, hash_of(first.who), a + 1);
	index_remove(&group->by_who, hash_of(second.who), b + 1);
	group->members[a] = second;
	group->members[b] = first;
	index_add(&group->by_who, hash_of(second.who), a + 1);
	index_add(&group->by_who, hash_of(first.who), b + 1);
}

/* It may stand elsewhere afterwards. */
static void set_state(struct share_group *group, struct member *member, bool online, bool awaited)
{
	uint32_t at = (uint32_t)(member - group->members);
	group->awaited = group->awaited - member->awaited + awaited;
	member->awaited = awaited;
	if (member->online == online)
		return;
	member->online = online;
	group->changes++;
	exchange(group, at, online ? group->online++ : --group->online);
}

static void add_member(struct share_group *group, const struct mail *mail)
{
	struct member *member = find_member(group, mail->member);
	if (member == NULL) {
		group->members = shard_grow(group->members, &group->room, group->count + 1,
					    sizeof *group->members);
		member = &group->members[group->count++];
		*member = (struct member){0};
		index_add(&group->by_who, hash_of(mail->member), group->count);
	}
	member->who = mail->member;
	set_state(group, member, mail->online, mail->awaited);
}

static void remove_member(struct share_group *group, struct member *member)
{
	struct share_member who = member->who;
	set_state(group, member, false, false);
	member = find_member(group, who);
	exchange(group, (uint32_t)(member - group->members), group->count - 1);
	index_remove(&group->by_who, hash_of(who), group->count--);
}

/* ---- giving messages out ---- */

static struct member *next_online(struct share_group *group, uint32_t *at)
{
	uint32_t place = *at % group->online;
	*at = place + 1;
	return &group->members[place];
}

static struct share_round first_round(const struct share_group *group)
{
	return (struct share_round){.changes = group->changes};
}

/* Of what was kept each that is online has been asked, but for one that has just come. */
static struct share_round last_round(const struct share_group *group)
{
	uint32_t others = group->online > 0 ? group->online - 1 : 0;
	return (struct share_round){.asked = others, .changes = group->changes};
}

static bool is_awaited(const struct share_group *group)
{
	return group->awaited > 0;
}

static void push(struct shard *shard, struct share_group *group, struct delivery delivery)
{
	COUNT(shard, QUEUED);
	COUNT_N(shard, QUEUED_BYTES, delivery_weight(&delivery));
	queue_push(&group->queue, &shard->purse, delivery);
}

static struct delivery pop(struct shard *shard, struct queue *queue)
{
	struct delivery delivery = queue_pop(queue, &shard->purse);
	UNCOUNT(shard, QUEUED);
	UNCOUNT_N(shard, QUEUED_BYTES, delivery_weight(&delivery));
	return delivery;
}

static void drop_first(struct shard *shard, struct queue *queue, enum route_outcome why)
{
	struct delivery delivery = pop(shard, queue);
	delivery_dropped(shard, NULL, &delivery.message->publisher, delivery.qos, why);
	gate_release(shard, delivery.gate);
	delivery_finish(&delivery, &shard->purse);
}

/* [MQTT-3.3.2-5] */
static void drop_expired(struct shard *shard, struct share_group *group)
{
	struct queue expired = {0};
	queue_take_expired(&group->queue, &shard->purse, shard->now.ms, &expired);
	while (expired.count > 0)
		drop_first(shard, &expired, ROUTE_EXPIRED);
}

static bool has_room(const struct shard *shard, const struct share_group *group)
{
	const struct core_settings *settings = shard->settings;
	return group->queue.count < settings->max_queued_messages &&
	       group->queue.bytes < settings->max_queued_bytes;
}

/* Is there room for one more?  Makes some: of what nobody may have any more, or as the policy says.
 */
static bool make_room(struct shard *shard, struct share_group *group)
{
	if (!has_room(shard, group))
		drop_expired(shard, group);
	while (!has_room(shard, group)) {
		if (shard->settings->queue_policy == QUEUE_DROP_NEW || group->queue.count == 0)
			return false;
		drop_first(shard, &group->queue, ROUTE_QUEUE_FULL);
	}
	return true;
}

static void keep(struct shard *shard, struct share_group *group, struct publication *publication)
{
	const struct publisher *from = &publication->publisher;
	if (publication->qos == 0 && !shard->settings->queue_qos0_messages) {
		delivery_dropped(shard, NULL, from, 0, ROUTE_AWAY);
		return;
	}
	if (!make_room(shard, group)) {
		delivery_dropped(shard, NULL, from, publication->qos, ROUTE_QUEUE_FULL);
		return;
	}
	struct message *message = publication_message(shard, publication);
	if (message == NULL) {
		delivery_row(shard, NULL, from, publication->qos, ROUTE_MEMORY);
		return;
	}
	struct delivery delivery = {.message = message_share(message), .qos = publication->qos};
	if (publication->qos > 0 && is_awaited(group)) {
		delivery.gate = publication->gate;
		gate_hold(shard, delivery.gate);
	}
	push(shard, group, delivery);
}

/* NULL: there is no memory for the message. */
static struct mail *member_mail(struct shard *shard, const struct share_group *group,
				const struct share_member *who, struct publication *publication,
				struct share_round round)
{
	struct message *message = publication_message(shard, publication);
	if (message == NULL) {
		delivery_row(shard, NULL, &publication->publisher, publication->qos, ROUTE_MEMORY);
		return NULL;
	}
	struct mail *mail =
	    mail_create(MAIL_SHARE_DELIVER, shard->party, who->party, group_text(group));
	mail->realm = group->realm;
	mail->member = *who;
	mail->round = round;
	mail->message = message_share(message);
	return mail;
}

static void mail_member(struct shard *shard, const struct share_group *group,
			const struct share_member *who, struct publication *publication,
			struct share_round round, bool holder)
{
	struct mail *mail = member_mail(shard, group, who, publication, round);
	if (mail == NULL)
		return;
	bundles_note(&shard->bundles, who->party);
	mail->holder = holder;
	mail->ticket = publication->gate;
	gate_hold(shard, publication->gate);
	shard_post(shard, mail);
}

/* To a member on this shard that takes it. */
static void give_here(struct shard *shard, const struct share_group *group,
		      const struct share_member *who, struct publication *publication,
		      struct share_round round)
{
	if (!own_copy_waits(publication, shard->party, who->session)) {
		shared_hand_over(shard, who, publication);
		return;
	}
	struct mail *mail = member_mail(shard, group, who, publication, round);
	if (mail == NULL)
		return;
	mail->own = true;
	own_copy_put_off_mail(shard, mail);
}

/* One that a member had before a crash stays with it, also when it has left. [MQTT-4.8.2-5] */
static bool give_holder(struct shard *shard, struct share_group *group,
			struct publication *publication)
{
	struct share_member who;
	if (!publication->again || !recall_holder(shard, publication->envelope, group->hash, &who))
		return false;
	const struct member *member = find_member(group, who);
	if (member && member->who.membership == who.membership)
		who = member->who; /* as it is now; else it has left, and perhaps joined again */
	if (who.party == shard->party)
		shared_hand_over(shard, &who, publication);
	else
		mail_member(shard, group, &who, publication, first_round(group), true);
	return true;
}

/*
 * Asks the members that are online, from this place on and each once, until one takes it.  Who may
 * not read the topic is passed over: one on another shard says so by MAIL_SHARE_RETURN, and the
 * round goes on.  False: nobody takes it.
 */
static bool give(struct shard *shard, struct share_group *group, struct publication *publication,
		 uint32_t *at, struct share_round round)
{
	if (give_holder(shard, group, publication))
		return true;
	for (;;) {
		if (round.changes != group->changes) /* who was asked may stand anywhere */
			round = first_round(group);
		if (round.asked++ >= group->online)
			return false;
		struct member *member = next_online(group, at);
		if (member->who.party != shard->party) {
			mail_member(shard, group, &member->who, publication, round, false);
			return true;
		}
		enum member_answer answer = shared_ask(shard, &member->who, publication->topic);
		if (answer == MEMBER_TAKES) {
			give_here(shard, group, &member->who, publication, round);
			return true;
		}
		if (answer == MEMBER_AWAY)
			set_state(group, member, false, member->awaited);
	}
}

/* Of one that may have gone meanwhile: then of whoever is next. */
static uint32_t place_of(const struct share_group *group, struct share_member who)
{
	const struct member *member = find_member(group, who);
	return member && member->online ? (uint32_t)(member - group->members) : group->turn;
}

/*
 * Nobody took it.  Where one is away the group keeps it: that one may be the one that may read it.
 * Where all are there it is denied, as to any subscriber.
 */
static bool all_said_no(struct shard *shard, const struct share_group *group,
			const struct publisher *from, uint8_t qos)
{
	if (group->online < group->count)
		return false;
	COUNT(shard, DROPPED_DENIED);
	delivery_row(shard, NULL, from, qos, ROUTE_DENIED);
	return true;
}

static void keep_or_drop(struct shard *shard, struct share_group *group,
			 struct publication *publication)
{
	if (!all_said_no(shard, group, &publication->publisher, publication->qos))
		keep(shard, group, publication);
}

void share_deliver(struct shard *shard, uint32_t slot, struct publication *publication)
{
	struct share_group *group = group_at(shard, slot);
	if (!give(shard, group, publication, &group->turn, first_round(group)))
		keep_or_drop(shard, group, publication);
}

/* What was kept already stays, whatever the limits say: those behind it follow, in their order. */
static void keep_on(struct shard *shard, struct share_group *group, struct delivery delivery)
{
	if (!is_awaited(group)) {
		gate_release(shard, delivery.gate);
		delivery.gate = 0;
	}
	push(shard, group, delivery);
}

/* Whoever has come, or may read more, is asked: it gets all of it in its order. */
static void give_queue(struct shard *shard, struct share_group *group, struct share_member who)
{
	uint32_t waiting = group->queue.count; /* what comes back is not tried again here */
	while (waiting-- > 0) {
		struct delivery delivery = pop(shard, &group->queue);
		delivery.gate = gate_anew(shard, delivery.gate);
		struct publication publication = message_publication(delivery.message);
		publication.gate = delivery.gate;
		uint32_t at = place_of(group, who);
		if (publication.expires_ms <= shard->now.ms) {
			delivery_dropped(shard, NULL, &publication.publisher, delivery.qos,
					 ROUTE_EXPIRED);
		} else if (!give(shard, group, &publication, &at, last_round(group)) &&
			   !all_said_no(shard, group, &publication.publisher, delivery.qos)) {
			keep_on(shard, group, delivery);
			continue;
		}
		gate_release(shard, delivery.gate);
		delivery_finish(&delivery, &shard->purse);
	}
}

/* ---- mail ---- */

/* Who is there and joins again has been asked about all that is kept: one packet can do so
 * thousands of times. */
static bool comes(const struct share_group *group, const struct mail *mail)
{
	const struct member *member = find_member(group, mail->member);
	return mail->online && (member == NULL || !member->online);
}

static void join(struct shard *shard, const struct mail *mail)
{
	bool first = false;
	struct share_group *group = find_group(shard, mail->realm, mail->text);
	if (group == NULL)
		group = make_group(shard, mail->realm, mail->text, &first);
	bool came = comes(group, mail);
	add_member(group, mail);
	uint32_t node = subscription_at(&shard->subscriptions, group->subscription)->node;
	uint32_t barrier = route_announce(shard, node, first);
	struct barrier_waiter waiter = {.party = mail->from, .ticket = mail->ticket};
	if (barrier == 0)
		bundle_answer(shard, mail->from, mail->ticket);
	else
		barrier_wait(shard, barrier, waiter);
	if (came)
		give_queue(shard, group, mail->member);
}

static void leave(struct shard *shard, const struct mail *mail)
{
	struct share_group *group = find_group(shard, mail->realm, mail->text);
	struct member *member = group ? find_member(group, mail->member) : NULL;
	if (member == NULL)
		return;
	remove_member(group, member);
	if (group->count == 0)
		drop_group(shard, group);
	else if (!is_awaited(group))
		let_go(shard, group);
}

static void state(struct shard *shard, const struct mail *mail)
{
	struct share_group *group = find_group(shard, mail->realm, mail->text);
	struct member *member = group ? find_member(group, mail->member) : NULL;
	if (member == NULL)
		return;
	set_state(group, member, mail->online, mail->awaited);
	group->changes += mail->online; /* it may read more */
	if (mail->online)
		give_queue(shard, group, mail->member);
	if (!is_awaited(group))
		let_go(shard, group);
}

/*
 * A round goes on behind the member that said no, where the places are still the same; what comes
 * back otherwise is for whose turn it is.
 */
static void give_on(struct shard *shard, struct share_group *group, const struct mail *mail,
		    struct publication *publication)
{
	if (mail->round.asked > 0 && mail->round.changes == group->changes)
		group->turn = place_of(group, mail->member) + 1;
	if (!give(shard, group, publication, &group->turn, mail->round))
		keep_or_drop(shard, group, publication);
}

/*
 * The ticket of what comes back is the gate here that it left with, and still holds.  A member may
 * have had it for long; the next one has not.
 */
static void returned(struct shard *shard, struct mail *mail)
{
	struct share_group *group = find_group(shard, mail->realm, mail->text);
	struct publication publication = message_publication(mail->message);
	publication.gate = gate_anew(shard, (uint32_t)mail->ticket);
	if (group == NULL)
		delivery_dropped(shard, NULL, &publication.publisher, publication.qos,
				 ROUTE_SESSION_ENDED);
	else
		give_on(shard, group, mail, &publication);
	gate_release(shard, publication.gate);
}

static void holds(struct shard *shard, const struct mail *mail)
{
	const struct share_group *group = find_group(shard, mail->realm, mail->text);
	if (group)
		recall_share_holds(shard, group->hash, mail);
}

void share_mail(struct shard *shard, struct mail *mail)
{
	switch (mail->type) {
	case MAIL_SHARE_HOLDS:
		holds(shard, mail);
		return;
	case MAIL_SHARE_JOIN:
		join(shard, mail);
		return;
	case MAIL_SHARE_LEAVE:
		leave(shard, mail);
		return;
	case MAIL_SHARE_STATE:
		state(shard, mail);
		return;
	case MAIL_SHARE_DELIVER:
		shared_delivered(shard, mail);
		return;
	default:
		returned(shard, mail);
	}
}
