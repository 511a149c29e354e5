/* deliver.c - one copy to one session: sent or queued or dropped, and what becomes of it. */
#include "broker/core/at_most_once.h"
#include "broker/core/crash.h"
#include "broker/core/rights.h"

static uint32_t window_of(const struct shard *shard, const struct client *client)
{
	uint32_t ours = shard->settings->max_inflight_messages;
	return client->receive_maximum < ours ? client->receive_maximum : ours;
}

/* Has the socket taken most of what came out of the queue, or passed it?  QoS 0 that came live
 * holds up nothing. */
static bool outbox_open(const struct session *session)
{
	if (traffic_of(session)->unsent < UNSENT_HIGH)
		return true;
	session->client->blocked = true;
	return false;
}

/* May another QoS 1 or 2 PUBLISH be sent now? [MQTT-3.3.4-9] [MQTT-4.9.0-2] [MQTT-4.9.0-1]
 * [MQTT-4.9.0-3] */
static bool window_open(const struct shard *shard, struct session *session)
{
	struct client *client = session->client;
	if (client->sent_unfinished >= window_of(shard, client) ||
	    traffic_of(session)->inflight.count >= INFLIGHT_MAX)
		return false;
	if (traffic_of(session)->inflight.count > 0 &&
	    traffic_of(session)->inflight.bytes >= shard->settings->max_inflight_bytes)
		return false;
	return outbox_open(session);
}

static void count_in(struct client *client, struct outbound *entry)
{
	if (!entry->counted)
		client->sent_unfinished++;
	entry->counted = true;
}

void deliver_over(struct shard *shard, struct session *session, struct outbound *entry)
{
	if (entry->counted)
		session->client->sent_unfinished--;
	UNCOUNT(shard, INFLIGHT);
	if (entry->recorded) {
		inflight_end(&traffic_for(shard, session)->inflight, &shard->purse, entry);
		step_outbound(shard, session, STEP_OUTBOUND_END, entry);
	} else {
		inflight_remove(&traffic_for(shard, session)->inflight, &shard->purse, entry);
	}
}

void deliver_received(struct shard *shard, struct session *session, struct outbound *entry)
{
	inflight_received(&traffic_for(shard, session)->inflight, &shard->purse, entry);
	count_in(session->client, entry); /* it may have been sent on an earlier connection */
	if (!entry->recorded) {
		entry->state = INFLIGHT_PUBCOMP;
		send_ack(shard, session->client, MQTT_PUBREL, entry->id, MQTT_SUCCESS);
		return;
	}
	entry->state = INFLIGHT_RECEIVED;
	step_outbound(shard, session, STEP_OUTBOUND_RECEIVED, entry);
}

/* What may wait in the queue has been put into the outbox, where there was so much `before`. */
static void count_unsent(struct shard *shard, struct session *session, size_t before)
{
	traffic_for(shard, session)->unsent += session->client->outbox.bytes - before;
}

static enum sent send_entry_packet(struct shard *shard, struct session *session,
				   const struct outbound *entry)
{
	struct publication publication = message_publication(entry->delivery.message);
	size_t before = session->client->outbox.bytes;
	enum sent sent =
	    send_publish(shard, session->client, &publication, entry->delivery.qos, entry->sent,
			 entry->delivery.retain, entry->id, delivery_identifiers(&entry->delivery));
	count_unsent(shard, session, before);
	return sent;
}

/*
 * Nobody waits for a delivery that does not go out.  A message of QoS 2 that may have come before
 * is let go of in order: the client may keep its packet identifier until PUBREL.
 */
static void not_sent(struct shard *shard, struct session *session, struct outbound *entry)
{
	gate_detach(shard, session, &entry->delivery);
	gates_caught_up(session, entry->order);
	step_queue_changed(shard, session);
	if (entry->sent && entry->state == INFLIGHT_PUBREC)
		deliver_received(shard, session, entry);
	else
		deliver_over(shard, session, entry);
}

/*
 * Sends a delivery that has its place in the window.  It is over when it is too large
 * [MQTT-3.1.2-25], or expired while it waited for its record [MQTT-3.3.2-5]: false.
 */
static bool send_entry(struct shard *shard, struct session *session, struct outbound *entry)
{
	bool expired = !entry->sent && entry->delivery.message->expires_ms <= shard->now.ms;
	if (!expired && send_entry_packet(shard, session, entry) == SENT) {
		/* From now on with DUP. [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-3.3.1-1]
		 * [MQTT3-3.3.1-1] */
		entry->sent = true;
		CRASH_AFTER_WRITE(publish_sent);
		return true;
	}
	delivery_dropped(shard, session, &entry->delivery.message->publisher, entry->delivery.qos,
			 expired ? ROUTE_EXPIRED : ROUTE_TOO_LARGE);
	not_sent(shard, session, entry);
	return false;
}

/* What may not be read is over here; where a group gave it, another member may get it. */
static void denied(struct shard *shard, struct session *session, struct delivery *delivery,
		   bool elsewhere)
{
	if (elsewhere && shared_give_back(shard, session, delivery))
		return;
	COUNT(shard, DROPPED_DENIED);
	delivery_row(shard, session, &delivery->message->publisher, delivery->qos, ROUTE_DENIED);
}

/* Who is there now may be somebody else than when the delivery began, or under other rules. */
static void send_if_allowed(struct shard *shard, struct session *session, struct outbound *entry)
{
	struct slice topic = message_topic(entry->delivery.message);
	if (rights_would_allow(shard, session, AUTH_READ, topic)) {
		send_entry(shard, session, entry);
		return;
	}
	denied(shard, session, &entry->delivery, inflight_may_go_elsewhere(entry));
	not_sent(shard, session, entry);
}

/* What the store is told of a delivery that begins. */
static void record(struct shard *shard, struct session *session, struct outbound *entry)
{
	const struct delivery *delivery = &entry->delivery;
	entry->recorded = true;
	purse_force(&shard->purse, STEP_COST);
	entry->envelope = delivery->found_retained ? 0 : delivery->message->envelope;
	entry->group = shared_row(session, delivery->share);
	entry->state = INFLIGHT_BEGUN;
	traffic_for(shard, session)->inflight.begun++;
	step_queue_changed(shard, session); /* it may have waited in the queue */
	step_outbound(shard, session, STEP_OUTBOUND_SENT, entry);
}

/* It goes as it came: what is retained and older need not come any more. */
static void note_at_once(struct shard *shard, struct session *session,
			 struct publication *publication)
{
	if (publication->retain && session->scans)
		retain_note_live(shard, session, publication, ++shard->serial);
}

/* Likewise one that was in the queue. */
static void note_waited(struct shard *shard, struct session *session, struct message *message,
			uint64_t came)
{
	struct publication publication = message_publication(message);
	if (publication.retain)
		retain_note_live(shard, session, &publication, came);
}

/* A delivery that now belongs to the session's window goes out, or when its record is stored.
 * False: it is over already. */
static bool begin(struct shard *shard, struct session *session, struct delivery delivery)
{
	struct outbound *entry =
	    inflight_add(&traffic_for(shard, session)->inflight, &shard->purse, delivery);
	COUNT(shard, INFLIGHT);
	count_in(session->client, entry);
	if (delivery.qos == 2 && steps_recorded(shard, session)) {
		record(shard, session, entry);
		return true;
	}
	return send_entry(shard, session, entry);
}

void deliver_recorded(struct shard *shard, struct session *session, struct outbound *entry)
{
	entry->state = INFLIGHT_PUBREC;
	traffic_for(shard, session)->inflight.begun--;
	if (session_is_up(session) && entry->counted)
		send_if_allowed(shard, session, entry);
	session_pump(shard, session); /* it may have gone, or has its turn now */
}

void deliver_released(struct shard *shard, struct session *session, struct outbound *entry)
{
	entry->state = INFLIGHT_PUBCOMP;
	if (session_is_up(session) && entry->counted) {
		CRASH_AFTER_WRITE(pubrel_sent);
		send_ack(shard, session->client, MQTT_PUBREL, entry->id, MQTT_SUCCESS);
	} else {
		session_pump(shard, session);
	}
}

/* A delivery leaves the queue without being sent: it takes its place in the order with it. */
static void dropped_unsent(struct shard *shard, struct session *session, struct delivery *delivery)
{
	gate_detach(shard, session, delivery);
	gates_caught_up(session, traffic_for(shard, session)->inflight.next_order++);
	step_queue_changed(shard, session);
}

/* The first of a queue, which has one. */
static struct delivery take_first(struct shard *shard, struct queue *queue)
{
	struct delivery delivery = queue_pop(queue, &shard->purse);
	UNCOUNT(shard, QUEUED);
	UNCOUNT_N(shard, QUEUED_BYTES, delivery_weight(&delivery));
	return delivery;
}

static void drop(struct shard *shard, struct session *session, struct delivery delivery,
		 enum route_outcome why)
{
	struct publication publication = message_publication(delivery.message);
	delivery_dropped(shard, session, &publication.publisher, delivery.qos, why);
	dropped_unsent(shard, session, &delivery);
	if (publication.retain && session->scans)
		retain_missed(shard, session, &publication, delivery.came);
	delivery_finish(&delivery, &shard->purse);
}

/* [MQTT-3.3.2-5] */
static void drop_expired(struct shard *shard, struct session *session)
{
	struct queue expired = {0};
	queue_take_expired(&traffic_for(shard, session)->queue, &shard->purse, shard->now.ms,
			   &expired);
	while (expired.count > 0)
		drop(shard, session, take_first(shard, &expired), ROUTE_EXPIRED);
}

static bool has_room(const struct shard *shard, const struct queue *queue, size_t weight)
{
	const struct core_settings *settings = shard->settings;
	return queue->count < settings->max_queued_messages &&
	       (queue->count == 0 || queue->bytes + weight <= settings->max_queued_bytes);
}

/* Is there room for one more?  Makes some: of what nobody may have any more, or as the policy says.
 */
static bool make_room(struct shard *shard, struct session *session, size_t weight)
{
	if (!has_room(shard, &traffic_of(session)->queue, weight))
		drop_expired(shard, session);
	while (!has_room(shard, &traffic_of(session)->queue, weight)) {
		if (shard->settings->queue_policy == QUEUE_DROP_NEW ||
		    traffic_of(session)->queue.count == 0)
			return false;
		drop(shard, session, take_first(shard, &traffic_for(shard, session)->queue),
		     ROUTE_QUEUE_FULL);
	}
	return true;
}

static struct delivery make_delivery(struct shard *shard, const struct publication *publication,
				     uint8_t qos, bool retain, struct identifier_list identifiers)
{
	struct delivery delivery = {
	    .message = message_share(publication->message),
	    .qos = qos,
	    .retain = retain,
	    .found_retained = publication->found_retained,
	    .share = publication->share,
	    .goes_behind = publication->goes_behind,
	};
	if (identifiers.count == 1) {
		delivery.identifier = identifiers.at[0];
	} else if (identifiers.count > 1) {
		delivery_make_many(&delivery, &shard->purse, identifiers.count);
		memcpy(delivery.many->one, identifiers.at,
		       identifiers.count * sizeof identifiers.at[0]);
	}
	return delivery;
}

struct identifier_list delivery_identifiers(const struct delivery *delivery)
{
	if (delivery->many)
		return (struct identifier_list){delivery->many->one, delivery->many->count};
	return (struct identifier_list){&delivery->identifier, delivery->identifier != 0};
}

/*
 * Would it overtake one of QoS 2 that waits for its record?  A retained message does not, nor a
 * will: else the subscriber has the older one last.  One of QoS 2 waits for a record of its own,
 * and those come in order.
 */
static bool overtakes(const struct session *session, bool goes_behind, uint8_t qos)
{
	return goes_behind && qos < 2 && traffic_of(session)->inflight.begun > 0;
}

static size_t copy_weight(const struct publication *publication, struct identifier_list identifiers)
{
	return publication->topic.len + publication->properties.len + publication->payload.len +
	       (identifiers.count > 1 ? identifiers_size(identifiers.count) : 0);
}

static void enqueue(struct shard *shard, struct queue *queue, struct delivery delivery)
{
	COUNT(shard, QUEUED);
	COUNT_N(shard, QUEUED_BYTES, delivery_weight(&delivery));
	delivery.came = ++shard->serial;
	queue_push(queue, &shard->purse, delivery);
}

/* Lets one of QoS 0 wait for records alone; false: it was dropped. */
static bool put_after_records(struct shard *shard, struct session *session,
			      struct publication *publication, bool retain,
			      struct identifier_list identifiers)
{
	const struct publisher *from = &publication->publisher;
	if (!has_room(shard, &traffic_of(session)->after_records,
		      copy_weight(publication, identifiers))) {
		delivery_dropped(shard, session, from, 0, ROUTE_QUEUE_FULL);
		return false;
	}
	if (publication_message(shard, publication) == NULL) {
		delivery_row(shard, session, from, 0, ROUTE_MEMORY);
		return false;
	}
	enqueue(shard, &traffic_for(shard, session)->after_records,
		make_delivery(shard, publication, 0, retain, identifiers));
	return true;
}

/* QoS 0 that came live, to a session that is up.  It waits for no acknowledgement, only for records
 * where it would overtake, and behind those that do; false: it was dropped. */
static bool take_at_most_once(struct shard *shard, struct session *session,
			      struct publication *publication, bool retain,
			      struct identifier_list identifiers)
{
	if (traffic_of(session)->after_records.count > 0 ||
	    overtakes(session, publication->goes_behind, 0))
		return put_after_records(shard, session, publication, retain, identifiers);
	if (!at_most_once_deliver(shard, session, publication, retain, identifiers))
		return false;
	note_at_once(shard, session, publication);
	return true;
}

/* Nothing waits that one of QoS 1 or 2 would overtake. */
static bool may_begin(const struct shard *shard, struct session *session)
{
	const struct traffic *traffic = traffic_of(session);
	return traffic->queue.count == 0 && traffic->after_records.count == 0 &&
	       traffic->inflight.to_resend == 0 && window_open(shard, session);
}

/* Sends it, or lets it wait; false: it was dropped. */
static bool deliver_copy(struct shard *shard, struct session *session,
			 struct publication *publication, uint8_t qos, bool retain,
			 struct identifier_list identifiers)
{
	bool up = session_is_up(session);
	const struct publisher *from = &publication->publisher;
	if (!rights_allow(shard, session, AUTH_READ, publication->topic)) {
		delivery_row(shard, session, from, qos, ROUTE_DENIED);
		return false;
	}
	/* Behind those of QoS 0 that waited while the session was away. [MQTT-4.6.0-6] */
	if (qos == 0 && up && !publication->again && traffic_of(session)->queue.at_most_once == 0)
		return take_at_most_once(shard, session, publication, retain, identifiers);
	if (publication->again &&
	    recall_takes(shard, session, publication, qos, retain, identifiers)) {
		note_at_once(shard, session, publication);
		return true;
	}
	if (qos == 0 && !up && !shard->settings->queue_qos0_messages) {
		delivery_dropped(shard, session, from, qos, ROUTE_AWAY);
		return false;
	}
	bool now =
	    up && !overtakes(session, publication->goes_behind, qos) && may_begin(shard, session);
	if (!now && !make_room(shard, session, copy_weight(publication, identifiers))) {
		delivery_dropped(shard, session, from, qos, ROUTE_QUEUE_FULL);
		return false;
	}
	if (publication_message(shard, publication) == NULL) {
		delivery_row(shard, session, from, qos, ROUTE_MEMORY);
		return false;
	}
	struct delivery delivery = make_delivery(shard, publication, qos, retain, identifiers);
	gate_attach(shard, session, publication, &delivery);
	step_queue_changed(shard, session);
	if (now) {
		bool begun = begin(shard, session, delivery);
		if (begun)
			note_at_once(shard, session, publication);
		return begun;
	}
	enqueue(shard, &traffic_for(shard, session)->queue, delivery);
	return true;
}

void deliver_to_session(struct shard *shard, struct session *session,
			struct publication *publication, uint8_t qos, bool retain,
			struct identifier_list identifiers)
{
	bool taken = deliver_copy(shard, session, publication, qos, retain, identifiers);
	if (!taken && publication->retain && session->scans)
		retain_missed(shard, session, publication, ++shard->serial);
}

/* Like what waits in the queue; and not with QoS 0 while half of the room for that is taken: other
 * deliveries need some, too.  Nor more that has to be recorded while others wait for records alone.
 */
bool deliver_takes_found(const struct shard *shard, struct session *session, uint8_t qos)
{
	if (qos == 0)
		return traffic_of(session)->unsent < UNSENT_LOW;
	if (qos == 2 && traffic_of(session)->after_records.count > 0)
		return false;
	return traffic_of(session)->inflight.to_resend == 0 && window_open(shard, session);
}

void deliver_found(struct shard *shard, struct session *session, struct publication *publication,
		   uint8_t qos, struct identifier_list identifiers)
{
	if (!rights_allow(shard, session, AUTH_READ, publication->topic)) {
		delivery_row(shard, session, &publication->publisher, qos, ROUTE_DENIED);
	} else if (qos == 0) {
		size_t before = session->client->outbox.bytes;
		at_most_once_send(shard, session, publication, true, identifiers);
		count_unsent(shard, session, before);
	} else {
		step_queue_changed(shard, session);
		begin(shard, session, make_delivery(shard, publication, qos, true, identifiers));
	}
}

void deliver_awaited(struct shard *shard, struct session *session, struct publication *publication,
		     struct outbound *entry, bool retain, struct identifier_list identifiers)
{
	if (publication_message(shard, publication) == NULL)
		return; /* it stays open */
	struct delivery delivery = make_delivery(shard, publication, 2, retain, identifiers);
	gate_attach(shard, session, publication, &delivery);
	step_queue_changed(shard, session);
	inflight_revive(&traffic_for(shard, session)->inflight, entry, delivery);
	session_pump(shard, session);
}

/* ---- sending what waits ---- */

/* Its packet goes when the store answers: until then it only has its place in the window. */
static bool awaits_record(const struct outbound *entry)
{
	return entry->state == INFLIGHT_BEGUN || entry->state == INFLIGHT_RECEIVED;
}

/* [MQTT-4.4.0-1] [MQTT3-4.4.0-1] */
static void resend(struct shard *shard, struct session *session, struct outbound *entry)
{
	inflight_resent(&traffic_for(shard, session)->inflight, entry);
	count_in(session->client, entry);
	if (awaits_record(entry))
		return;
	if (entry->state != INFLIGHT_PUBCOMP) {
		send_if_allowed(shard, session, entry);
		return;
	}
	CRASH_AFTER_WRITE(pubrel_sent);
	send_ack(shard, session->client, MQTT_PUBREL, entry->id, MQTT_SUCCESS);
}

/* May it go now, or does it wait for room? */
static bool may_resend(const struct shard *shard, const struct session *session,
		       const struct outbound *entry)
{
	const struct client *client = session->client;
	if (!outbox_open(session))
		return false;
	/* PUBREL is no PUBLISH: no window holds it back. [MQTT-3.3.4-10] */
	return inflight_is_received(entry) || client->sent_unfinished < window_of(shard, client);
}

static bool resend_all(struct shard *shard, struct session *session)
{
	struct outbound *entry;
	while ((entry = inflight_next_resend(&traffic_for(shard, session)->inflight)) != NULL) {
		if (!may_resend(shard, session, entry))
			return false;
		resend(shard, session, entry);
	}
	return true;
}

static void send_first(struct shard *shard, struct session *session)
{
	struct delivery delivery = take_first(shard, &traffic_for(shard, session)->queue);
	const struct publisher *from = &delivery.message->publisher;
	struct slice topic = message_topic(delivery.message);
	bool expired = delivery.message->expires_ms <= shard->now.ms; /* [MQTT-3.3.2-5] */
	bool allowed = rights_would_allow(shard, session, AUTH_READ, topic);
	if (expired)
		delivery_dropped(shard, session, from, delivery.qos, ROUTE_EXPIRED);
	else if (!allowed)
		denied(shard, session, &delivery, true);
	if (expired || !allowed) {
		dropped_unsent(shard, session, &delivery);
		delivery_finish(&delivery, &shard->purse);
	} else if (delivery.qos == 0) {
		dropped_unsent(shard, session, &delivery);
		struct publication publication = message_publication(delivery.message);
		size_t before = session->client->outbox.bytes;
		bool sent = at_most_once_deliver(shard, session, &publication, delivery.retain,
						 delivery_identifiers(&delivery));
		count_unsent(shard, session, before);
		if (sent && session->scans)
			note_waited(shard, session, delivery.message, delivery.came);
		delivery_finish(&delivery, &shard->purse);
	} else {
		struct message *message = delivery.message;
		if (begin(shard, session, delivery) && session->scans) /* it still is there */
			note_waited(shard, session, message, delivery.came);
	}
}

/* Likewise of those of QoS 0 that waited for records alone.  They have no place in the order of
 * what is acknowledged, and are dropped for a client that does not read. */
static void send_first_after_records(struct shard *shard, struct session *session)
{
	struct delivery delivery = take_first(shard, &traffic_for(shard, session)->after_records);
	struct publication publication = message_publication(delivery.message);
	bool sent = false;
	if (rights_would_allow(shard, session, AUTH_READ, publication.topic))
		sent = at_most_once_deliver(shard, session, &publication, delivery.retain,
					    delivery_identifiers(&delivery));
	else
		denied(shard, session, &delivery, true);
	if (session->scans && sent)
		note_waited(shard, session, delivery.message, delivery.came);
	else if (session->scans && publication.retain)
		retain_missed(shard, session, &publication, delivery.came);
	delivery_finish(&delivery, &shard->purse);
}

/* The first of the queue, which has one. */
static bool first_overtakes(const struct session *session)
{
	const struct delivery *first = queue_first(&traffic_of(session)->queue);
	return overtakes(session, first->goes_behind, first->qos);
}

/* Which of the two queues has the one that came first? */
static bool queue_is_next(const struct traffic *traffic)
{
	return traffic->queue.count > 0 &&
	       (traffic->after_records.count == 0 ||
		queue_first(&traffic->queue)->came < queue_first(&traffic->after_records)->came);
}

/* Sends the next that may go, in the order in which they came; but no window holds QoS 0 back that
 * waits for records alone.  False: none may. */
static bool send_next(struct shard *shard, struct session *session, bool resent)
{
	const struct traffic *traffic = traffic_of(session);
	if (queue_is_next(traffic) && resent && window_open(shard, session) &&
	    !first_overtakes(session))
		send_first(shard, session);
	else if (traffic->after_records.count > 0 && traffic->inflight.begun == 0)
		send_first_after_records(shard, session);
	else
		return false;
	return true;
}

void session_pump(struct shard *shard, struct session *session)
{
	if (!session_is_up(session))
		return;
	bool resent = traffic_of(session)->inflight.to_resend == 0 || resend_all(shard, session);
	do
		if (session->scans && resent) /* each in its turn */
			retain_continue(shard, session);
	while (send_next(shard, session, resent));
}
