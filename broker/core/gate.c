/* gate.c - see gate.h. */
#include "broker/core/core.h"

struct gate {
	uint32_t holds;
	uint16_t packet_id; /* of the session's message, 0 where `party` waits */
	party_id party;
	uint64_t ticket_or_session; /* that party's ticket, or the number of the session here */
	uint64_t made_ms;
};

/* How often sessions are looked at, as a part of ack_hold_max. */
#define LOOKS 8u

void gates_init(struct gates *gates)
{
	*gates = (struct gates){.timer = {.kind = TIMER_GATES}};
	slab_init(&gates->slab, sizeof(struct gate));
}

void gates_finish(struct gates *gates)
{
	slab_finish(&gates->slab);
	memory_free(gates->sessions);
}

static struct gate *gate_at(const struct shard *shard, uint32_t number)
{
	return slab_at(&shard->gates.slab, number);
}

static uint32_t make(struct shard *shard, struct gate gate)
{
	uint32_t number = slab_add(&shard->gates.slab);
	gate.holds = 1;
	gate.made_ms = shard->now.ms;
	*gate_at(shard, number) = gate;
	return number;
}

uint32_t gate_for_session(struct shard *shard, const struct session *session, uint16_t packet_id)
{
	return make(shard, (struct gate){.packet_id = packet_id,
					 .party = shard->party,
					 .ticket_or_session = session->number});
}

uint32_t gate_for_party(struct shard *shard, party_id party, uint64_t ticket)
{
	return ticket ? make(shard, (struct gate){.party = party, .ticket_or_session = ticket}) : 0;
}

void gate_hold(struct shard *shard, uint32_t number)
{
	if (number != 0)
		gate_at(shard, number)->holds++;
}

bool gate_is_held(const struct shard *shard, uint32_t number)
{
	return number != 0 && gate_at(shard, number)->holds > 1;
}

void gate_release(struct shard *shard, uint32_t number)
{
	if (number == 0)
		return;
	struct gate *gate = gate_at(shard, number);
	must(gate->holds > 0);
	if (--gate->holds > 0)
		return;
	struct gate open = *gate;
	slab_remove(&shard->gates.slab, number);
	if (shard->stopping)
		return; /* what it lets go is not delivered: the publishers keep their copies */
	if (open.packet_id != 0)
		held_open(shard, open.ticket_or_session, open.packet_id, number);
	else if (open.party == shard->party) /* gate_anew() */
		gate_release(shard, (uint32_t)open.ticket_or_session);
	else
		bundle_gate(shard, open.party, open.ticket_or_session);
}

uint32_t gate_anew(struct shard *shard, uint32_t number)
{
	if (number == 0)
		return 0;
	struct gate *gate = gate_at(shard, number);
	if (gate->holds > 1)
		return gate_for_party(shard, shard->party, number);
	gate->made_ms = shard->now.ms;
	return number;
}

/* ---- sessions that hold gates ---- */

static void list(struct shard *shard, struct session *session)
{
	struct gates *gates = &shard->gates;
	gates->sessions = shard_grow(gates->sessions, &gates->session_room,
				     gates->session_count + 1, sizeof *gates->sessions);
	traffic_for(shard, session)->gated_at = gates->session_count;
	gates->sessions[gates->session_count++] = (uint32_t)session->number;
	if (!timer_armed(&gates->timer))
		timer_arm(&shard->timers, &gates->timer,
			  shard->now.ms + shard->settings->ack_hold_max_ms / LOOKS);
}

static void unlist(struct shard *shard, const struct session *session)
{
	struct gates *gates = &shard->gates;
	uint32_t last = gates->sessions[--gates->session_count];
	gates->sessions[traffic_of(session)->gated_at] = last;
	traffic_for(shard, session_at(shard, last))->gated_at = traffic_of(session)->gated_at;
}

/* A session that was connected when the broker died counts as connected for restart_grace. */
static bool connected(const struct session *session)
{
	return session->client != NULL || session_grace_ms(session) != 0;
}

void gate_attach(struct shard *shard, struct session *session,
		 const struct publication *publication, struct delivery *delivery)
{
	bool own = publication->publisher.session == session->number &&
		   publication->publisher.party == shard->party;
	if (publication->gate == 0 || delivery->qos == 0 || own || traffic_of(session)->behind ||
	    !connected(session))
		return;
	delivery->gate = publication->gate;
	gate_hold(shard, publication->gate);
	if (traffic_for(shard, session)->gated++ == 0)
		list(shard, session);
}

/* The delivery, which has one, holds it no more; its hold is the caller's. */
static uint32_t take_off(struct shard *shard, struct session *session, struct delivery *delivery)
{
	uint32_t gate = delivery->gate;
	delivery->gate = 0;
	if (--traffic_for(shard, session)->gated == 0)
		unlist(shard, session);
	return gate;
}

void gate_detach(struct shard *shard, struct session *session, struct delivery *delivery)
{
	if (delivery->gate != 0)
		gate_release(shard, take_off(shard, session, delivery));
}

uint64_t gate_give_back(struct shard *shard, struct session *session, struct delivery *delivery,
			party_id home)
{
	if (delivery->gate == 0)
		return 0;
	uint32_t number = take_off(shard, session, delivery);
	if (home == shard->party)
		return number;
	struct gate gate = *gate_at(shard, number);
	/* At a stop the home may not know of it yet, and is to acknowledge nothing. */
	if (gate.party != home || gate.holds > 1 || shard->stopping) {
		gate_release(shard, number);
		return 0;
	}
	slab_remove(&shard->gates.slab, number);
	return gate.ticket_or_session;
}

void gates_let_go(struct shard *shard, struct session *session)
{
	struct traffic *traffic = session->traffic;
	if (traffic == NULL)
		return;
	const struct inflight *inflight = &traffic->inflight;
	const struct queue *queue = &traffic->queue;
	for (uint32_t i = 0; traffic->gated > 0 && i < inflight->room; i++)
		gate_detach(shard, session, &inflight->ring[i].delivery);
	for (uint32_t i = 0; traffic->gated > 0 && i < queue->count; i++)
		gate_detach(shard, session, queue_at(queue, i));
	must(traffic->gated == 0);
	step_queue_changed(shard, session);
}

/* ---- behind ---- */

static uint32_t unacknowledged(const struct session *session)
{
	const struct traffic *traffic = traffic_of(session);
	uint32_t count = traffic->queue.count;
	for (uint32_t i = 0; i < traffic->inflight.room; i++) {
		uint8_t state = traffic->inflight.ring[i].state;
		count +=
		    state == INFLIGHT_PUBACK || state == INFLIGHT_PUBREC || state == INFLIGHT_BEGUN;
	}
	return count;
}

static void fall_behind(struct shard *shard, struct session *session)
{
	struct traffic *traffic = traffic_for(shard, session);
	traffic->behind_left = unacknowledged(session);
	traffic->behind = traffic->behind_left > 0;
	traffic->behind_order = traffic->inflight.next_order + traffic->queue.count;
	gates_let_go(shard, session);
}

void gates_caught_up(struct session *session, uint32_t order)
{
	struct traffic *traffic = session->traffic;
	if (traffic && traffic->behind && (int32_t)(order - traffic->behind_order) < 0 &&
	    --traffic->behind_left == 0)
		traffic->behind = false;
}

/* When the oldest delivery that holds a gate was made. */
static uint64_t oldest_ms(const struct shard *shard, const struct session *session)
{
	const struct inflight *inflight = &traffic_of(session)->inflight;
	const struct queue *queue = &traffic_of(session)->queue;
	uint64_t oldest = UINT64_MAX;
	for (uint32_t i = 0; i < inflight->room; i++) {
		uint32_t gate = inflight->ring[i].delivery.gate;
		if (gate != 0 && gate_at(shard, gate)->made_ms < oldest)
			oldest = gate_at(shard, gate)->made_ms;
	}
	for (uint32_t i = 0; i < queue->count; i++) {
		uint32_t gate = queue_at(queue, i)->gate;
		if (gate != 0 && gate_at(shard, gate)->made_ms < oldest)
			oldest = gate_at(shard, gate)->made_ms;
	}
	/* One that has just come back could not acknowledge before. */
	if (session->client && session->client->opened_ms > oldest)
		oldest = session->client->opened_ms;
	return oldest;
}

/* Where memory is short nobody is waited for: publishers get on, and then their new
 * messages are refused, before those that are held stand in everybody's way. */
static bool is_over(struct shard *shard, const struct session *session, bool tight)
{
	if (session_grace_ms(session) == 0 &&
	    oldest_ms(shard, session) + shard->settings->ack_hold_max_ms <= shard->now.ms) {
		COUNT(shard, FELL_BEHIND);
		return true;
	}
	if (tight)
		COUNT(shard, OPENED_FOR_MEMORY);
	return tight;
}

void gates_timer(struct shard *shard)
{
	struct gates *gates = &shard->gates;
	uint32_t hold_ms = shard->settings->ack_hold_max_ms;
	bool tight = purse_tight(&shard->purse);
	/* From the end: falling behind takes a session out, and puts the last in its place. */
	for (uint32_t i = gates->session_count; i-- > 0;) {
		if (i >= gates->session_count)
			continue;
		struct session *session = session_at(shard, gates->sessions[i]);
		if (is_over(shard, session, tight))
			fall_behind(shard, session);
	}
	if (gates->session_count > 0)
		timer_arm(&shard->timers, &gates->timer, shard->now.ms + hold_ms / LOOKS);
}
