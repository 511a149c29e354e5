/*
 * on_mail.c - mail.h, at its reader: of other shards, and of this one itself.
 *
 * What others publish may match a great many filters here, of which they know nothing, and one read
 * of a client may be hundreds of bundles.  All of them together have the work of one client in a
 * turn (TURN_WORK_MAX).  The rest waits for the next turns, and behind it what came from the same
 * party; mail of other parties goes on, and so do the clients that are here.
 */
#include "broker/core/core.h"
#include "broker/core/answer.h"

/*
 * Steps of walks through retained messages that one call makes at most; what stands
 * behind waits for the next turn.  Other mail to itself is cheap, and not held back: a
 * client could have more of it made in a turn than the turn would take away.
 */
#define OWN_SCANS_A_TURN 64u

/* Who is behind for so long has those who publish to it wait. */
#define BEHIND_MS 100u

/* ---- what each says ---- */

static void deliver_from(struct shard *shard, party_id from, uint64_t ticket,
			 struct publication *publication)
{
	publication->gate = gate_for_party(shard, from, ticket);
	if (publication->expires_ms > shard->now.ms)
		deliver_here(shard, publication);
	else
		delivery_dropped(shard, NULL, &publication->publisher, publication->qos,
				 ROUTE_EXPIRED);
	gate_release(shard, publication->gate);
	publication_finish(shard, publication);
}

static void on_mail_publish(struct shard *shard, struct mail *mail)
{
	struct publication publication = message_publication(mail->message);
	deliver_from(shard, mail->from, mail->ticket, &publication);
}

static void on_mail_gates(struct shard *shard, struct mail *mail)
{
	const uint64_t *tickets = bundle_tickets(mail);
	for (uint32_t i = 0; i < mail->count; i++)
		gate_release(shard, (uint32_t)tickets[i]);
}

static void on_mail_envelope_end(struct shard *shard, struct mail *mail)
{
	recall_envelope_end(shard, mail->ticket);
}

static void on_mail_routes(struct shard *shard, struct mail *mail)
{
	route_mail(shard, mail);
}

static void on_mail_answers(struct shard *shard, struct mail *mail)
{
	const uint64_t *tickets = bundle_tickets(mail);
	for (uint32_t i = 0; i < mail->count; i++)
		barrier_answered(shard, tickets[i]);
}

/* From *at on.  False: there is more, and no room for it in this turn. */
static bool deliver_bundle(struct shard *shard, const struct mail *mail, uint32_t *at)
{
	struct publication publication;
	uint64_t ticket;
	while (shard->backlog.work <= TURN_WORK_MAX) {
		uint64_t before = turn_work(shard);
		if (!bundle_next(mail, at, &publication, &ticket))
			return true;
		deliver_from(shard, mail->from, ticket, &publication);
		shard->backlog.work += turn_work(shard) - before;
	}
	return false;
}

static void hand_out(struct shard *shard, struct mail *mail)
{
	static void (*const handlers[MAIL_TYPES])(struct shard *, struct mail *) = {
	    [MAIL_ROUTES] = on_mail_routes,
	    [MAIL_ANSWERS] = on_mail_answers,
	    [MAIL_PUBLISH] = on_mail_publish,
	    [MAIL_GATES] = on_mail_gates,
	    [MAIL_RETAIN] = retained_scan_mail,
	    [MAIL_RETAIN_SCAN] = retained_scan_mail,
	    [MAIL_RETAIN_FOUND] = retain_found,
	    [MAIL_RETAIN_STOP] = retained_scan_mail,
	    [MAIL_SHARE_JOIN] = share_mail,
	    [MAIL_SHARE_LEAVE] = share_mail,
	    [MAIL_SHARE_STATE] = share_mail,
	    [MAIL_SHARE_DELIVER] = share_mail,
	    [MAIL_SHARE_RETURN] = share_mail,
	    [MAIL_SHARE_HOLDS] = share_mail,
	    [MAIL_ENVELOPE_END] = on_mail_envelope_end,
	};
	must((unsigned)mail->type < MAIL_TYPES);
	uint64_t before = turn_work(shard);
	handlers[mail->type](shard, mail);
	shard->backlog.work += turn_work(shard) - before;
}

/* ---- from others ---- */

/*
 * What need not wait behind publications.  Acknowledgements and filters have nothing to do with
 * them; and a retained message is to be at its home before anybody who has seen it live can ask
 * there.  But answers say that all that was published before has been delivered (MAIL_ANSWERS).
 */
static bool overtakes(const struct mail *mail)
{
	return mail->type == MAIL_GATES || mail->type == MAIL_ROUTES || mail->type == MAIL_RETAIN;
}

/* Takes it.  False: it still stands at *at of it, and has to wait. */
static bool handle_mail(struct shard *shard, struct mail *mail, uint32_t *at)
{
	if (shard->backlog.work > TURN_WORK_MAX && !overtakes(mail))
		return false;
	if (mail->type != MAIL_PUBLICATIONS)
		hand_out(shard, mail);
	else if (!deliver_bundle(shard, mail, at))
		return false;
	mail_destroy(mail, &shard->purse);
	return true;
}

static void keep(struct shard *shard, struct waiting_mail *waiting, struct mail *mail, uint32_t at)
{
	mail->next = NULL;
	if (waiting->first) {
		waiting->last->next = mail;
	} else {
		waiting->first = mail;
		waiting->at = at;
		if (shard->backlog.parties++ == 0)
			shard->backlog.since_ms = shard->now.ms;
	}
	waiting->last = mail;
}

void on_mail(struct shard *shard, const struct event *event)
{
	struct mail *mail = event->mail;
	struct waiting_mail *waiting = &shard->backlog.of[mail->from];
	uint32_t at = 0;
	shard->now = moment_not_before(shard->now, mail->sent_ms);
	if ((waiting->first && !overtakes(mail)) || !handle_mail(shard, mail, &at))
		keep(shard, waiting, mail, at);
}

static void go_on_with(struct shard *shard, struct waiting_mail *waiting)
{
	while (waiting->first) {
		struct mail *next = waiting->first->next;
		if (!handle_mail(shard, waiting->first, &waiting->at))
			return;
		waiting->first = next;
		waiting->at = 0;
		shard->backlog.parties -= next == NULL;
	}
}

void mail_go_on(struct shard *shard)
{
	struct backlog *backlog = &shard->backlog;
	for (uint32_t i = 0; i < shard->parties && backlog->work <= TURN_WORK_MAX; i++) {
		backlog->next = (party_id)((backlog->next + 1u) % shard->parties);
		go_on_with(shard, &backlog->of[backlog->next]);
	}
}

bool shard_is_behind(const struct shard *shard)
{
	return shard->backlog.parties > 0 && shard->now.ms >= shard->backlog.since_ms + BEHIND_MS;
}

/* ---- from itself ---- */

void mail_from_itself(struct shard *shard)
{
	for (unsigned scans = 0; shard->own_first && scans < OWN_SCANS_A_TURN;) {
		struct mail *mail = shard->own_first;
		shard->own_first = mail->next;
		if (shard->own_first == NULL)
			shard->own_last = NULL;
		mail->next = NULL;
		scans += mail->type == MAIL_RETAIN_SCAN;
		hand_out(shard, mail);
		mail_destroy(mail, &shard->purse);
		own_copies_deliver(shard);
	}
}

/* ---- the end ---- */

static void destroy_all(struct shard *shard, struct mail *mail)
{
	while (mail) {
		struct mail *next = mail->next;
		mail_destroy(mail, &shard->purse);
		mail = next;
	}
}

void mail_finish(struct shard *shard)
{
	destroy_all(shard, shard->own_first);
	for (party_id party = 0; party < shard->parties; party++)
		destroy_all(shard, shard->backlog.of[party].first);
	memory_free(shard->backlog.of);
}
