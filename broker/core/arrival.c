/* arrival.c - see arrival.h. */
#include "broker/core/core.h"

enum arrival_state { ARRIVAL_WAITS, ARRIVAL_READY, ARRIVAL_REFUSED };

struct arrival {
	struct arrival *next;
	struct message *message;
	uint32_t gate;
	uint16_t packet_id;
	uint8_t state; /* enum arrival_state */
};

void arrival_add(struct shard *shard, struct session *session,
		 const struct publication *publication, uint16_t packet_id)
{
	struct arrivals *arrivals = &traffic_for(shard, session)->arrivals;
	struct arrival *arrival = memory_get(sizeof *arrival);
	*arrival = (struct arrival){
	    .message = message_share(publication->message),
	    .gate = publication->gate,
	    .packet_id = packet_id,
	    .state = publication->envelope ? ARRIVAL_WAITS : ARRIVAL_READY,
	};
	purse_force(&shard->purse, sizeof *arrival);
	if (arrivals->last)
		arrivals->last->next = arrival;
	else
		arrivals->first = arrival;
	arrivals->last = arrival;
	arrivals->of_qos[publication->qos]++;
}

bool arrivals_have(const struct arrivals *arrivals, uint16_t packet_id)
{
	const struct arrival *arrival = arrivals->first;
	while (arrival && arrival->packet_id != packet_id)
		arrival = arrival->next;
	return arrival != NULL;
}

static struct arrival take_first(struct shard *shard, struct session *session)
{
	struct arrivals *arrivals = &traffic_for(shard, session)->arrivals;
	struct arrival *arrival = arrivals->first;
	struct arrival copy = *arrival;
	arrivals->first = arrival->next;
	if (arrivals->first == NULL)
		arrivals->last = NULL;
	arrivals->of_qos[copy.message->qos]--;
	memory_free(arrival);
	purse_give(&shard->purse, sizeof *arrival);
	return copy;
}

static void let_go(struct shard *shard, const struct arrival *arrival)
{
	gate_release(shard, arrival->gate);
	message_release(arrival->message, &shard->purse);
}

/* Who is told of a refusal?  Nobody before 5.0, but for the end of the connection. */
static bool is_told(const struct session *session)
{
	return session->client && session->client->state == CLIENT_UP &&
	       session->client->version == MQTT_VERSION_5_0;
}

/* Does its publisher keep a copy until it is acknowledged? */
static bool comes_again(const struct arrival *arrival)
{
	return arrival->packet_id != 0;
}

static enum mqtt_reason forward(struct shard *shard, const struct session *session,
				const struct arrival *arrival)
{
	struct publication publication = message_publication(arrival->message);
	publication.gate = arrival->gate;
	bool told = is_told(session) && comes_again(arrival);
	return publish_take_over(shard, told, &publication);
}

/*
 * One was refused and will be sent again: those behind it, too, in their order.  It is
 * as if they had never come; but nobody sends one of QoS 0 again, or a will.  One whose record is
 * under way has its end when, and if, it is there: a full disk is not to be asked for the end of
 * what never was.
 */
static void forget_behind(struct shard *shard, struct session *session)
{
	while (traffic_of(session)->arrivals.first) {
		struct arrival arrival = take_first(shard, session);
		struct held_ack *ack = held_find(&traffic_of(session)->held, arrival.packet_id);
		if (arrival.message->envelope && arrival.state == ARRIVAL_READY)
			step_inbound(shard, session, STEP_INBOUND_END, arrival.packet_id,
				     arrival.message->envelope);
		if (!comes_again(&arrival))
			forward(shard, session, &arrival);
		if (ack && ack->gate == arrival.gate && ack->gate != 0)
			held_drop(shard, session, ack);
		let_go(shard, &arrival);
	}
}

/* Before 5.0 an error has no form but the end of the connection, and no turn to wait for. */
static void close_refused(struct shard *shard, struct session *session, enum mqtt_reason reason)
{
	if (session->client && session->client->state == CLIENT_UP && !is_told(session))
		client_fail(shard, session->client, reason, NULL);
}

/*
 * Goes on to the subscribers.  When it is refused after all, the exchange is at its
 * end: with the error (5.0), or with the connection, and then the client may send it
 * again as a new one.
 */
static void go(struct shard *shard, struct session *session, const struct arrival *arrival)
{
	enum mqtt_reason reason = MQTT_QUOTA_EXCEEDED;
	uint64_t envelope = arrival->message->envelope;
	if (arrival->state == ARRIVAL_READY) {
		reason = forward(shard, session, arrival);
		if (mqtt_reason_is_error((uint8_t)reason) && envelope)
			step_inbound(shard, session, STEP_INBOUND_END, arrival->packet_id,
				     envelope);
	}
	bool refused = arrival->message->qos > 0 && mqtt_reason_is_error((uint8_t)reason);
	if (refused && !is_told(session))
		forget_behind(shard, session);
	held_decide(&traffic_of(session)->held, arrival->packet_id, arrival->gate, reason);
	if (refused)
		close_refused(shard, session, reason); /* which may end it */
	let_go(shard, arrival);
}

static void list(struct shard *shard, struct session *session)
{
	struct recorded *recorded = &shard->recorded;
	struct arrivals *arrivals = &traffic_for(shard, session)->arrivals;
	if (arrivals->listed)
		return;
	arrivals->listed = true;
	recorded->sessions = shard_grow(recorded->sessions, &recorded->room, recorded->count + 1,
					sizeof *recorded->sessions);
	recorded->sessions[recorded->count++] = session->number;
}

static void go_on(struct shard *shard, uint64_t number)
{
	struct session *session; /* a refusal may end it */
	while ((session = session_by_number(shard, number)) != NULL &&
	       traffic_of(session)->arrivals.first &&
	       traffic_of(session)->arrivals.first->state != ARRIVAL_WAITS) {
		if (shard->recorded.work > TURN_WORK_MAX) {
			list(shard, session);
			return;
		}
		uint64_t before = turn_work(shard);
		struct arrival arrival = take_first(shard, session);
		go(shard, session, &arrival);
		shard->recorded.work += turn_work(shard) - before;
	}
}

void arrivals_go_on(struct shard *shard)
{
	struct recorded *recorded = &shard->recorded;
	uint32_t taken = 0, count = recorded->count;
	while (taken < count && recorded->work <= TURN_WORK_MAX) {
		uint64_t number = recorded->sessions[taken++];
		struct session *session = session_by_number(shard, number);
		if (session == NULL)
			continue;
		if (session->traffic)
			session->traffic->arrivals.listed = false;
		if (!shard->stopping)
			go_on(shard, number);
	}
	recorded->count -= taken; /* who was listed again is behind the others */
	if (taken > 0)
		memmove(recorded->sessions, recorded->sessions + taken,
			recorded->count * sizeof *recorded->sessions);
}

void publish_recorded(struct shard *shard, struct session *session, uint16_t packet_id,
		      uint64_t envelope, bool committed)
{
	struct arrival *arrival = traffic_of(session)->arrivals.first;
	while (arrival &&
	       (arrival->packet_id != packet_id || arrival->message->envelope != envelope))
		arrival = arrival->next;
	if (arrival == NULL) {
		if (committed) /* forgotten meanwhile */
			step_inbound(shard, session, STEP_INBOUND_END, packet_id, envelope);
		return;
	}
	if (shard->stopping)
		return; /* its publisher keeps it, and sends it again */
	arrival->state = committed ? ARRIVAL_READY : ARRIVAL_REFUSED;
	go_on(shard, session->number);
}

static void lose(struct shard *shard, const struct arrival *arrival)
{
	const struct message *message = arrival->message;
	if (!comes_again(arrival))
		delivery_dropped(shard, NULL, &message->publisher, message->qos,
				 ROUTE_SESSION_ENDED);
}

void arrivals_end(struct shard *shard, struct session *session)
{
	while (!shard->stopping && traffic_of(session)->arrivals.first) {
		struct arrival arrival = take_first(shard, session);
		if (arrival.state == ARRIVAL_READY && !comes_again(&arrival))
			forward(shard, session, &arrival);
		else
			lose(shard, &arrival);
		let_go(shard, &arrival);
	}
}

void arrivals_forget(const struct session *session)
{
	struct arrival *arrival = traffic_of(session)->arrivals.first;
	for (; arrival; arrival = arrival->next)
		arrival->state = ARRIVAL_REFUSED;
}

void arrivals_clear(struct shard *shard, struct session *session)
{
	while (traffic_of(session)->arrivals.first) {
		struct arrival arrival = take_first(shard, session);
		lose(shard, &arrival);
		let_go(shard, &arrival);
	}
}
