/* recall.c - see recall.h. */
#include "broker/core/core.h"
#include "broker/core/rights.h"
#include <stdlib.h>

struct holder {
	uint64_t envelope;
	struct share_member who; /* what the member's shard knows has session and party alone */
	union {
		uint64_t share; /* row of the shared subscription that it came by, 0 for none */
		uint64_t group; /* at_home: hash of its name, as in share.c */
	};
	uint16_t packet_id; /* 0: its exchange is over */
	bool at_home;	    /* what the group's home knows; else what the member's shard does */
};

void recall_init(struct recall *recall)
{
	*recall = (struct recall){0};
	slab_init(&recall->holders, sizeof(struct holder));
}

void recall_finish(struct recall *recall)
{
	slab_finish(&recall->holders);
	index_finish(&recall->index);
}

static struct holder *holder_at(const struct recall *recall, uint32_t n)
{
	return slab_at(&recall->holders, n);
}

static uint32_t next_of(const struct recall *recall, uint64_t envelope, uint32_t n,
			struct index_probe *probe)
{
	while (n != 0 && holder_at(recall, n)->envelope != envelope)
		n = index_next(&recall->index, probe);
	return n;
}

static uint32_t first_of(const struct recall *recall, uint64_t envelope, struct index_probe *probe)
{
	return next_of(recall, envelope, index_first(&recall->index, hash_mix(envelope), probe),
		       probe);
}

static void add_holder(struct shard *shard, struct holder holder)
{
	uint32_t n = slab_add(&shard->recall.holders);
	*holder_at(&shard->recall, n) = holder;
	index_add(&shard->recall.index, hash_mix(holder.envelope), n);
}

/* ---- at start ---- */

static void recall_published(struct shard *shard, struct session *session,
			     const struct store_step *step)
{
	struct recalls *recalls = &traffic_for(shard, session)->recalls;
	recalls->at =
	    shard_grow(recalls->at, &recalls->room, recalls->count + 1, sizeof *recalls->at);
	recalls->at[recalls->count++] = (struct recalled){step->envelope, step->packet_id};
	recalls->live++;
	session->recorded = true;
	step_charge_inbound(shard, session, 1);
	recalls->sorted = false;
}

static void recall_delivered(struct shard *shard, struct session *session,
			     const struct store_step *step)
{
	bool awaited = step->type == STEP_OUTBOUND_SENT && step->envelope != 0;
	struct inflight *inflight = &traffic_for(shard, session)->inflight;
	if (inflight_find(inflight, step->packet_id) || step->packet_id == 0)
		return;
	struct outbound *entry = inflight_recall(inflight, &shard->purse, step->packet_id,
						 awaited ? INFLIGHT_AWAITED : INFLIGHT_PUBCOMP);
	entry->envelope = step->envelope;
	entry->group = step->group;
	entry->uncertain = step->type == STEP_OUTBOUND_SENT;
	if (!awaited)
		inflight_mark_one(inflight, entry);
	COUNT(shard, INFLIGHT);
}

static void recall_held(struct shard *shard, const struct session *session,
			const struct store_step *step)
{
	uint16_t id = step->type == STEP_OUTBOUND_END ? 0 : step->packet_id;
	if (step->envelope == 0)
		return;
	add_holder(shard,
		   (struct holder){.envelope = step->envelope,
				   .who = {.party = shard->party, .session = session->number},
				   .share = step->group,
				   .packet_id = id});
	if (step->group != 0)
		shared_holds(shard, session, step->group, step->envelope);
}

void recall_step(struct shard *shard, struct session *session, const struct store_step *step)
{
	switch ((enum store_step_type)step->type) {
	case STEP_INBOUND_OPEN:
		recall_published(shard, session, step);
		break;
	case STEP_OUTBOUND_SENT:
	case STEP_OUTBOUND_RECEIVED:
		recall_delivered(shard, session, step);
		recall_held(shard, session, step);
		break;
	case STEP_OUTBOUND_END:
		recall_held(shard, session, step);
		break;
	case STEP_QUEUED:
		traffic_for(shard, session)->lost = step->count;
		traffic_for(shard, session)->queue_told = step->count;
		COUNT_N(shard, QUEUES_LOST, step->count);
		break;
	default: /* the store gives no others */
		break;
	}
}

/* ---- publishers ---- */

static int by_id(const void *a, const void *b)
{
	return ((const struct recalled *)a)->packet_id - ((const struct recalled *)b)->packet_id;
}

static struct recalled *find(struct session *session, uint16_t packet_id)
{
	struct recalled key = {.packet_id = packet_id};
	if (traffic_of(session)->recalls.live == 0)
		return NULL;
	struct recalls *recalls = &session->traffic->recalls;
	if (!recalls->sorted)
		qsort(recalls->at, recalls->count, sizeof key, by_id);
	recalls->sorted = true;
	struct recalled *found = bsearch(&key, recalls->at, recalls->count, sizeof key, by_id);
	return found && found->envelope ? found : NULL;
}

uint64_t recall_inbound(struct session *session, uint16_t packet_id)
{
	const struct recalled *recalled = find(session, packet_id);
	return recalled ? recalled->envelope : 0;
}

static void clear(struct recalls *recalls)
{
	memory_free(recalls->at);
	*recalls = (struct recalls){0};
}

static void tell_all(struct shard *shard, uint64_t envelope)
{
	for (party_id to = 0; to < shard->parties; to++) {
		struct mail *mail = mail_create(MAIL_ENVELOPE_END, shard->party, to, SLICE_NONE);
		mail->ticket = envelope;
		shard_post(shard, mail);
	}
}

bool recall_inbound_end(struct shard *shard, struct session *session, uint16_t packet_id)
{
	struct recalled *recalled = find(session, packet_id);
	if (recalled == NULL)
		return false;
	tell_all(shard, recalled->envelope);
	recalled->envelope = 0;
	struct recalls *recalls = &session->traffic->recalls;
	if (--recalls->live == 0)
		clear(recalls);
	return true;
}

void recall_session_end(struct shard *shard, struct session *session)
{
	if (session->traffic == NULL)
		return;
	struct recalls *recalls = &session->traffic->recalls;
	for (uint32_t i = 0; i < recalls->count; i++)
		if (recalls->at[i].envelope)
			tell_all(shard, recalls->at[i].envelope);
	clear(recalls);
}

/* ---- subscribers ---- */

/*
 * A session that has the message by two ways, its own and a group's, has it twice.  A group that
 * it has left has no row any more.
 */
static bool came_by(const struct holder *holder, const struct session *session, uint16_t membership)
{
	uint64_t share = shared_row(session, membership);
	return membership != 0 && share == 0 ? holder->share != 0 : holder->share == share;
}

static const struct holder *holder_of(const struct shard *shard, uint64_t envelope,
				      const struct session *session, uint16_t membership)
{
	const struct recall *recall = &shard->recall;
	struct index_probe probe;
	uint32_t n = first_of(recall, envelope, &probe);
	while (n != 0) {
		const struct holder *holder = holder_at(recall, n);
		if (!holder->at_home && holder->who.session == session->number &&
		    came_by(holder, session, membership))
			return holder;
		n = next_of(recall, envelope, index_next(&recall->index, &probe), &probe);
	}
	return NULL;
}

/* Its open delivery of that envelope, if it waits for the message; NULL for none. */
static struct outbound *awaited(const struct session *session, const struct holder *holder)
{
	struct outbound *entry =
	    session && holder->packet_id
		? inflight_find(&traffic_of(session)->inflight, holder->packet_id)
		: NULL;
	bool waits = entry && entry->state == INFLIGHT_AWAITED;
	return waits && entry->envelope == holder->envelope ? entry : NULL;
}

bool recall_takes(struct shard *shard, struct session *session, struct publication *publication,
		  uint8_t qos, bool retain, struct identifier_list identifiers)
{
	const struct holder *holder =
	    holder_of(shard, publication->envelope, session, publication->share);
	if (holder == NULL)
		return qos == 0;
	struct outbound *entry = awaited(session, holder);
	if (entry)
		deliver_awaited(shard, session, publication, entry, retain, identifiers);
	return true;
}

/* Who is a member of the group still is given it by the group, with its identifier. */
void recall_complete(struct shard *shard, struct publication *publication)
{
	const struct recall *recall = &shard->recall;
	struct identifier_list none = {NULL, 0};
	struct index_probe probe;
	uint32_t n = first_of(recall, publication->envelope, &probe);
	for (; n != 0; n = next_of(recall, publication->envelope,
				   index_next(&recall->index, &probe), &probe)) {
		const struct holder *holder = holder_at(recall, n);
		struct session *session = session_by_number(shard, holder->who.session);
		struct outbound *entry = holder->at_home ? NULL : awaited(session, holder);
		if (entry && !shared_has_row(session, holder->share) &&
		    rights_allow(shard, session, AUTH_READ, publication->topic))
			deliver_awaited(shard, session, publication, entry, false, none);
	}
}

/* Nobody will send it: whether the client has it, only its answer to PUBREL tells. */
static void release(struct shard *shard, const struct holder *holder)
{
	struct session *session = session_by_number(shard, holder->who.session);
	struct outbound *entry = awaited(session, holder);
	if (entry == NULL)
		return;
	entry->state = INFLIGHT_PUBCOMP;
	entry->uncertain = true;
	inflight_mark_one(&traffic_for(shard, session)->inflight, entry);
	session_pump(shard, session);
}

void recall_envelope_end(struct shard *shard, uint64_t envelope)
{
	struct recall *recall = &shard->recall;
	struct index_probe probe;
	uint32_t n;
	while ((n = first_of(recall, envelope, &probe)) != 0) {
		struct holder holder = *holder_at(recall, n);
		index_remove(&recall->index, hash_mix(envelope), n);
		slab_remove(&recall->holders, n);
		if (!holder.at_home && holder.packet_id != 0)
			release(shard, &holder);
	}
}

/* ---- shared subscriptions ---- */

void recall_share_holds(struct shard *shard, uint64_t group, const struct mail *mail)
{
	add_holder(shard, (struct holder){.envelope = mail->ticket,
					  .who = mail->member,
					  .group = group,
					  .at_home = true});
}

static bool is_of(const struct holder *holder, uint64_t group)
{
	return holder->at_home && holder->group == group;
}

bool recall_holder(const struct shard *shard, uint64_t envelope, uint64_t group,
		   struct share_member *member)
{
	const struct recall *recall = &shard->recall;
	struct index_probe probe;
	uint32_t n = first_of(recall, envelope, &probe);
	while (n != 0 && !is_of(holder_at(recall, n), group))
		n = next_of(recall, envelope, index_next(&recall->index, &probe), &probe);
	if (n == 0)
		return false;
	*member = holder_at(recall, n)->who;
	return true;
}
