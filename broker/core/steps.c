/* steps.c - see steps.h. */
#include "broker/core/core.h"
#include "broker/core/crash.h"

#define AGAIN_MS 1000u

void steps_init(struct steps *steps)
{
	*steps = (struct steps){.timer = {.kind = TIMER_STEPS}};
}

void steps_finish(struct steps *steps)
{
	memory_free(steps->turn.at);
	memory_free(steps->undone.at);
	memory_free(steps->changed);
}

bool steps_recorded(const struct shard *shard, const struct session *session)
{
	return shard->durable && shard->settings->ack_when_delivered && session->stored &&
	       session->expiry_s > 0;
}

static void append(struct step_list *list, const struct store_step *step)
{
	list->at = shard_grow(list->at, &list->room, list->count + 1, sizeof *list->at);
	list->at[list->count++] = *step;
}

static void arm(struct shard *shard)
{
	if (!timer_armed(&shard->steps.timer))
		timer_arm(&shard->timers, &shard->steps.timer, shard->now.ms + AGAIN_MS);
}

void step_charge_inbound(struct shard *shard, struct session *session, int change)
{
	if (change > 0) {
		traffic_for(shard, session)->open_inbound++;
		purse_force(&shard->purse, STEP_COST);
	} else if (traffic_of(session)->open_inbound > 0) {
		traffic_for(shard, session)->open_inbound--;
		purse_give(&shard->purse, STEP_COST);
	}
}

void step_inbound(struct shard *shard, struct session *session, enum store_step_type type,
		  uint16_t packet_id, uint64_t envelope)
{
	step_charge_inbound(shard, session, type == STEP_INBOUND_OPEN ? 1 : -1);
	append(&shard->steps.turn, &(struct store_step){.row = session->row,
							.session = session->number,
							.envelope = envelope,
							.packet_id = packet_id,
							.type = (uint8_t)type});
}

void step_outbound(struct shard *shard, const struct session *session, enum store_step_type type,
		   const struct outbound *entry)
{
	append(&shard->steps.turn, &(struct store_step){.row = session->row,
							.session = session->number,
							.envelope = entry->envelope,
							.group = entry->group,
							.packet_id = entry->id,
							.type = (uint8_t)type});
}

/* Tickets, for the answer. */
enum { TICKET_FIRST, TICKET_AGAIN };

static void send(struct shard *shard, struct step_list *list, uint64_t ticket)
{
	size_t size = list->count * sizeof *list->at;
	struct store_batch *batch = memory_get_zeroed(sizeof *batch + size);
	batch->party = shard->party;
	batch->ticket = ticket;
	batch->step_count = list->count;
	batch->steps = (struct store_step *)(batch + 1);
	memcpy(batch->steps, list->at, size);
	shard->persist.under_way++;
	shard_effect(shard, EFFECT_STORE, 0)->batch = batch;
	list->count = 0;
}

void steps_flush(struct shard *shard)
{
	if (shard->steps.turn.count > 0)
		send(shard, &shard->steps.turn, TICKET_FIRST);
}

/* ---- queues in RAM ---- */

/* Of what was begun: who can still send it, or else whether it was lost, its record tells. */
static uint32_t recorded_alone(const struct inflight *inflight)
{
	uint32_t count = 0;
	for (uint32_t i = 0; inflight->holding > 0 && i < inflight->room; i++) {
		const struct outbound *entry = &inflight->ring[i];
		count += entry->recorded && entry->delivery.message && entry->delivery.gate == 0;
	}
	return count;
}

/* What would be lost with the broker: nobody else has a copy. */
static uint32_t in_ram_only(const struct session *session)
{
	const struct traffic *traffic = traffic_of(session);
	return traffic->queue.count - traffic->queue.at_most_once + traffic->inflight.holding -
	       traffic->gated - recorded_alone(&traffic->inflight);
}

void step_queue_changed(struct shard *shard, struct session *session)
{
	struct steps *steps = &shard->steps;
	if (traffic_of(session)->queue_changed || !session->stored)
		return;
	traffic_for(shard, session)->queue_changed = true;
	steps->changed = shard_grow(steps->changed, &steps->changed_room, steps->changed_count + 1,
				    sizeof *steps->changed);
	steps->changed[steps->changed_count++] = session->number;
	arm(shard);
}

void steps_restored(struct shard *shard, struct session *session)
{
	if (session->traffic == NULL)
		return;
	uint32_t here = in_ram_only(session);
	uint32_t found = here < session->traffic->lost ? here : session->traffic->lost;
	session->traffic->lost -= found;
	UNCOUNT_N(shard, QUEUES_LOST, found);
	step_queue_changed(shard, session);
}

void steps_note_queues(struct shard *shard)
{
	struct steps *steps = &shard->steps;
	for (uint32_t i = 0; i < steps->changed_count; i++) {
		struct session *session = session_by_number(shard, steps->changed[i]);
		if (session == NULL)
			continue;
		struct traffic *traffic = traffic_for(shard, session);
		traffic->queue_changed = false;
		uint32_t count = in_ram_only(session) + traffic->lost;
		if (count == traffic->queue_told || !session->stored)
			continue;
		traffic->queue_told = count;
		append(&steps->turn, &(struct store_step){.row = session->row,
							  .session = session->number,
							  .count = count,
							  .type = STEP_QUEUED});
	}
	steps->changed_count = 0;
}

/* Sessions that have ended meanwhile took theirs with them. */
static void drop_ended(struct shard *shard, struct step_list *list)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < list->count; i++)
		if (session_by_number(shard, list->at[i].session))
			list->at[kept++] = list->at[i];
	list->count = kept;
}

static void send_undone(struct shard *shard)
{
	struct steps *steps = &shard->steps;
	drop_ended(shard, &steps->undone);
	if (steps->undone.count == 0 || steps->retrying)
		return;
	steps_flush(shard);
	steps->retrying = true;
	send(shard, &steps->undone, TICKET_AGAIN);
}

void steps_timer(struct shard *shard)
{
	struct steps *steps = &shard->steps;
	send_undone(shard);
	if (!steps->retrying)
		steps_note_queues(shard);
	if (steps->changed_count > 0 || steps->undone.count > 0)
		arm(shard);
}

/* ---- answers ---- */

static struct outbound *entry_of(const struct session *session, const struct store_step *step,
				 enum inflight_state state)
{
	struct outbound *entry = inflight_find(&traffic_of(session)->inflight, step->packet_id);
	return entry && entry->state == state ? entry : NULL;
}

static void inbound_opened(struct shard *shard, struct session *session,
			   const struct store_step *step)
{
	CRASH_AT(inbound_recorded);
	publish_recorded(shard, session, step->packet_id, step->envelope, true);
}

static void inbound_ended(struct shard *shard, struct session *session,
			  const struct store_step *step)
{
	CRASH_AT(inbound_ended);
	if (step->envelope == 0) /* by PUBREL: a refused one waits for nothing */
		publish_released(shard, session, step->packet_id);
}

static void outbound_sent(struct shard *shard, struct session *session,
			  const struct store_step *step)
{
	struct outbound *entry = entry_of(session, step, INFLIGHT_BEGUN);
	CRASH_AT(outbound_recorded);
	if (entry)
		deliver_recorded(shard, session, entry);
}

static void outbound_received(struct shard *shard, struct session *session,
			      const struct store_step *step)
{
	struct outbound *entry = entry_of(session, step, INFLIGHT_RECEIVED);
	CRASH_AT(received_recorded);
	if (entry)
		deliver_released(shard, session, entry);
}

static void outbound_ended(struct shard *shard, struct session *session,
			   const struct store_step *step)
{
	struct outbound *entry = entry_of(session, step, INFLIGHT_ENDED);
	CRASH_AT(outbound_ended);
	if (entry == NULL)
		return;
	inflight_remove(&traffic_for(shard, session)->inflight, &shard->purse, entry);
	session_pump(shard, session); /* there may have been no other identifier */
}

static void queue_noted(struct shard *shard, struct session *session, const struct store_step *step)
{
	(void)shard, (void)session, (void)step;
}

static void carry_on(struct shard *shard, struct session *session, const struct store_step *step)
{
	static void (*const carriers[STEP_TYPES])(struct shard *, struct session *,
						  const struct store_step *) = {
	    [STEP_INBOUND_OPEN] = inbound_opened, [STEP_INBOUND_END] = inbound_ended,
	    [STEP_OUTBOUND_SENT] = outbound_sent, [STEP_OUTBOUND_RECEIVED] = outbound_received,
	    [STEP_OUTBOUND_END] = outbound_ended, [STEP_QUEUED] = queue_noted,
	};
	carriers[step->type](shard, session, step);
}

/* Nothing of it was forwarded. */
static void refuse_arrival(struct shard *shard, const struct store_step *step)
{
	struct session *session = session_by_number(shard, step->session);
	if (session == NULL)
		return;
	step_charge_inbound(shard, session, -1);
	publish_recorded(shard, session, step->packet_id, step->envelope, false);
}

static void carry_on_or_refuse(struct shard *shard, const struct store_batch *batch,
			       const struct store_step *step)
{
	struct session *session = session_by_number(shard, step->session);
	if (!batch->committed)
		refuse_arrival(shard, step);
	else if (session) /* else its end took what was recorded with it */
		carry_on(shard, session, step);
}

/*
 * What was refused is tried again, and what was committed behind it goes with it once
 * more: that changes nothing in the store, and keeps the order.
 */
static void answer_first(struct shard *shard, const struct store_batch *batch)
{
	struct steps *steps = &shard->steps;
	for (size_t i = 0; i < batch->step_count; i++) {
		const struct store_step *step = &batch->steps[i];
		bool behind = steps->undone.count > 0 || steps->retrying || !batch->committed;
		if (behind && step->type != STEP_INBOUND_OPEN)
			append(&steps->undone, step);
		else
			carry_on_or_refuse(shard, batch, step);
	}
}

/* Refused again, they are before those that have come meanwhile. */
static void answer_again(struct shard *shard, const struct store_batch *batch)
{
	struct steps *steps = &shard->steps;
	struct step_list later = steps->undone;
	steps->retrying = false;
	if (batch->committed) {
		for (size_t i = 0; i < batch->step_count; i++)
			carry_on_or_refuse(shard, batch, &batch->steps[i]);
		send_undone(shard);
		return;
	}
	steps->undone = (struct step_list){0};
	for (size_t i = 0; i < batch->step_count; i++)
		append(&steps->undone, &batch->steps[i]);
	for (uint32_t i = 0; i < later.count; i++)
		append(&steps->undone, &later.at[i]);
	memory_free(later.at);
}

void steps_answered(struct shard *shard, const struct store_batch *batch)
{
	if (batch->ticket == TICKET_AGAIN)
		answer_again(shard, batch);
	else
		answer_first(shard, batch);
	if (shard->steps.undone.count > 0)
		arm(shard);
}
