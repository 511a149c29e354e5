/* traffic.c - see traffic.h. */
#include "broker/core/core.h"

const struct traffic traffic_none;

struct traffic *traffic_for(struct shard *shard, struct session *session)
{
	if (session->traffic == NULL) {
		session->traffic = memory_get_zeroed(sizeof *session->traffic);
		purse_force(&shard->purse, sizeof *session->traffic);
	}
	return session->traffic;
}

static bool is_empty(const struct idset *set)
{
	return set == NULL || set->count == 0;
}

/* Nothing in it that anybody would miss? */
static bool is_over(const struct traffic *t)
{
	return t->inflight.count == 0 && t->queue.count == 0 && t->after_records.count == 0 &&
	       t->held.count == 0 && !arrivals_wait(&t->arrivals) && t->recalls.count == 0 &&
	       is_empty(t->inbound) && is_empty(t->releasing) && !t->behind && t->lost == 0 &&
	       t->queue_told == 0 && t->open_inbound == 0 && t->unsent == 0 && !t->queue_changed;
}

static void clear(struct shard *shard, struct session *session)
{
	struct traffic *traffic = session->traffic;
	held_clear(&traffic->held, &shard->purse);
	arrivals_clear(shard, session);
	shared_forget_left(shard, session);
	queue_clear(&traffic->queue, &shard->purse);
	queue_clear(&traffic->after_records, &shard->purse);
	inflight_clear(&traffic->inflight, &shard->purse);
	idset_destroy(traffic->inbound, &shard->purse);
	idset_destroy(traffic->releasing, &shard->purse);
	memory_free(traffic->recalls.at);
	purse_give(&shard->purse,
		   traffic->open_inbound * (size_t)STEP_COST + sizeof *session->traffic);
	memory_free(traffic);
	session->traffic = NULL;
}

void traffic_rest(struct shard *shard, struct session *session)
{
	if (session->traffic && is_over(session->traffic))
		clear(shard, session);
}

/* What another member of a shared subscription gets is not over. */
static void end_queue(struct shard *shard, struct session *session, const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++) {
		const struct delivery *d = queue_at(queue, i);
		if (!d->given_back)
			delivery_dropped(shard, session, &d->message->publisher, d->qos,
					 ROUTE_SESSION_ENDED);
	}
	UNCOUNT_N(shard, QUEUED, queue->count);
	UNCOUNT_N(shard, QUEUED_BYTES, queue->bytes);
}

static void end_inflight(struct shard *shard, struct session *session)
{
	const struct inflight *inflight = &session->traffic->inflight;
	for (uint32_t i = 0; i < inflight->room; i++) {
		const struct delivery *d = &inflight->ring[i].delivery;
		if (d->message == NULL || d->given_back)
			continue;
		if (inflight->ring[i].sent)
			delivery_row(shard, session, &d->message->publisher, d->qos,
				     ROUTE_UNACKNOWLEDGED);
		else
			delivery_dropped(shard, session, &d->message->publisher, d->qos,
					 ROUTE_SESSION_ENDED);
	}
}

void traffic_finish(struct shard *shard, struct session *session)
{
	if (session->traffic == NULL)
		return;
	const struct traffic *traffic = session->traffic;
	end_queue(shard, session, &traffic->after_records);
	end_queue(shard, session, &traffic->queue);
	end_inflight(shard, session);
	UNCOUNT_N(shard, INFLIGHT, traffic->inflight.count - traffic->inflight.ended);
	gates_let_go(shard, session);
	clear(shard, session);
}
