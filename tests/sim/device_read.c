/* device_read.c - every packet from the broker, checked and answered. */
#include "tests/sim/device.h"
#include "tests/sim/link.h"
#include "tests/sim/rows.h"

static void fault(struct world *world, const struct device *client, const char *check,
		  const char *what, unsigned value)
{
	world_fault(world, check, "client %u: %s (%u)", client->index, what, value);
}

/* May the broker refuse things in this world? */
static bool world_refuses(const struct world *world)
{
	return world->profile.refuse > 0 || world->profile.tight_queues;
}

/* ---- CONNACK ---- */

static void check_refusal(struct world *world, const struct device *client, uint8_t reason)
{
	bool v5 = client->version == MQTT_VERSION_5_0;
	if (client->refused_user) {
		if (reason != (v5 ? MQTT_BAD_USER_NAME_OR_PASSWORD : 4))
			fault(world, client, "connack", "another refusal was due", reason);
	} else if (!world_refuses(world) && !world->stopping) {
		fault(world, client, "connack", "refused for no reason", reason);
	}
}

static void check_connack_properties(struct world *world, struct device *client,
				     const struct mqtt_properties *p)
{
	const struct core_settings *settings = &world->settings;
	uint16_t receive =
	    mqtt_has(p, MQTT_PROPERTY_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
	if (receive != settings->receive_maximum)
		fault(world, client, "connack", "Receive Maximum is not as configured", receive);
	uint16_t alias =
	    mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
	if (alias != world->listener.max_topic_alias)
		fault(world, client, "connack", "Topic Alias Maximum is not as configured", alias);
	client->server_receive_maximum = receive;
	client->server_alias_maximum = alias;
	uint32_t expiry = client->expiry_s;
	if (mqtt_has(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL))
		expiry = p->session_expiry_s;
	uint32_t expected = client->expiry_s < settings->session_expiry_max_s
				? client->expiry_s
				: settings->session_expiry_max_s;
	if (expiry != expected)
		fault(world, client, "connack", "wrong Session Expiry Interval", expiry);
	client->expiry_s = expected;
}

/* How many queued deliveries the broker says that its end took; 0 when it says nothing. */
static uint32_t lost_of(const struct mqtt_properties *p)
{
	struct slice raw = p->raw, name, value;
	uint32_t lost = 0;
	while (mqtt_next_user_property(&raw, &name, &value))
		for (size_t i = 0;
		     slice_equal(name, SLICE_LITERAL("metrino-lost")) && i < value.len; i++)
			lost = lost * 10 + (uint32_t)(value.at[i] - '0');
	return lost;
}

static void on_connack(struct world *world, struct device *client, const struct frame *frame)
{
	struct mqtt_connack connack;
	if (client->phase != DEVICE_CONNECTING ||
	    mqtt_decode_connack(frame->body, client->version, &connack) != MQTT_SUCCESS) {
		fault(world, client, "connack", "malformed, or a second one", 0);
		return;
	}
	world_trace(world, "client %u: CONNACK reason=%u present=%d", client->index, connack.reason,
		    connack.session_present);
	if (connack.reason != 0) {
		check_refusal(world, client, connack.reason);
		client->server_closed_me = true;
		return;
	}
	if (client->refused_user)
		fault(world, client, "connack", "let in whom it should refuse", 0);
	if (client->version == MQTT_VERSION_5_0) {
		check_connack_properties(world, client, &connack.properties);
		oracle_told_lost(world, client, lost_of(&connack.properties));
	}
	client->phase = DEVICE_ON;
	client->connack_ms = world->now_ms;
	oracle_connack(world, client, connack.session_present);
	if (client->known_restart != client->met_restart) {
		client->known_restart = client->met_restart;
		client->broker_forgot = true;
		if (!oracle_records(world)) /* then they do not outlive the broker's process */
			client->in_qos2_count = 0;
	}
	if (connack.session_present)
		device_resend(world, client);
	else
		device_forget(client);
}

static struct device_in *find_in(struct device *client, uint16_t packet_id)
{
	for (size_t i = 0; i < client->in_qos2_count; i++)
		if (client->in_qos2[i].packet_id == packet_id)
			return &client->in_qos2[i];
	return NULL;
}

/* ---- acknowledgements that we owe ---- */

static void close_open(struct device *client, uint16_t packet_id)
{
	for (size_t i = 0; i < client->open_count; i++) {
		if (client->open[i].packet_id != packet_id)
			continue;
		client->open[i] = client->open[--client->open_count];
		return;
	}
}

static void send_due_acks(struct world *world, uint64_t name, void *arg)
{
	(void)arg;
	struct device *client = &world->clients[name & 0xff];
	if (client->connection != name >> 8 || client->phase != DEVICE_ON)
		return;
	size_t sent = 0;
	while (sent < client->ack_count && client->acks[sent].due_ms <= world->now_ms) {
		const struct device_ack *ack = &client->acks[sent++];
		struct device_in *in = find_in(client, ack->packet_id);
		if (ack->type == MQTT_PUBACK || ack->type == MQTT_PUBCOMP)
			close_open(client, ack->packet_id);
		else if (in != NULL)
			in->taken = true;
		device_ack(world, client, ack->type, ack->packet_id, ack->reason);
	}
	client->ack_count -= sent;
	memmove(client->acks, client->acks + sent, client->ack_count * sizeof(*client->acks));
}

/* Acknowledgements leave in order, at once or later, as the client is made. */
static void owe_ack(struct world *world, struct device *client, uint8_t type, uint16_t packet_id,
		    uint8_t reason)
{
	uint64_t delay =
	    client->ack_delay_ms == 0 ? 0 : rng_below(&world->rng, client->ack_delay_ms);
	must(client->ack_count < DEVICE_ACKS_MAX);
	client->acks[client->ack_count++] =
	    (struct device_ack){world->now_ms + delay, type, reason, packet_id};
	uint64_t name = (uint64_t)client->connection << 8 | client->index;
	if (delay == 0)
		send_due_acks(world, name, NULL);
	else
		world_at(world, delay, send_due_acks, name, NULL);
}

/* ---- PUBLISH ---- */

static struct slice resolve_alias(struct world *world, struct device *client,
				  const struct mqtt_publish *publish)
{
	const struct mqtt_properties *p = &publish->properties;
	if (client->version != MQTT_VERSION_5_0 || !mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS))
		return publish->topic;
	uint16_t alias = p->topic_alias;
	if (alias == 0 || alias > client->alias_maximum) {
		fault(world, client, "alias", "a Topic Alias above the maximum", alias);
		return publish->topic;
	}
	char *known = client->alias_in[alias];
	if (publish->topic.len == 0)
		return slice_text(known);
	memset(known, 0, ORACLE_TOPIC_MAX);
	if (publish->topic.len < ORACLE_TOPIC_MAX)
		memcpy(known, publish->topic.at, publish->topic.len);
	return publish->topic;
}

static void open_exchange(struct world *world, struct device *client,
			  const struct mqtt_publish *publish)
{
	for (size_t i = 0; i < client->open_count; i++)
		if (client->open[i].packet_id == publish->packet_id)
			fault(world, client, "packet-id", "a Packet Identifier in use",
			      publish->packet_id);
	bool recorded = oracle_records(world);
	bool revived = recorded && publish->qos == 2 && world->oracle->restart_seq > 0;
	if (publish->dup && client->fresh_seen && !revived)
		fault(world, client, "resend-order", "a DUP after a first PUBLISH",
		      publish->packet_id);
	/* One of QoS 2 that waited for its record keeps its place among those sent before. */
	client->fresh_seen =
	    client->fresh_seen || (!publish->dup && (publish->qos == 1 || !recorded));
	must(client->open_count < DEVICE_OPEN_MAX);
	client->open[client->open_count++] = (struct device_open){publish->packet_id, publish->qos};
	if (client->receive_maximum > 0 && client->open_count > client->receive_maximum)
		fault(world, client, "receive-maximum", "more than the Receive Maximum",
		      (unsigned)client->open_count);
	if (client->open_count > world->settings.max_inflight_messages)
		fault(world, client, "receive-maximum", "more than max_inflight_messages",
		      (unsigned)client->open_count);
}

static void check_dup(struct world *world, struct device *client,
		      const struct mqtt_publish *publish)
{
	const struct oracle_session *session = &world->oracle->sessions[client->index];
	if (!publish->dup)
		return;
	if (publish->qos == 0)
		fault(world, client, "dup", "DUP with QoS 0", 0);
	if (session->connections < 2)
		fault(world, client, "dup", "DUP in the first connection of a session",
		      publish->packet_id);
}

static uint64_t hash_of(struct slice topic, struct slice payload)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < topic.len; i++)
		hash = (hash ^ topic.at[i]) * 0x100000001b3u;
	for (size_t i = 0; i < payload.len; i++)
		hash = (hash ^ payload.at[i]) * 0x100000001b3u;
	return hash;
}

/* Until PUBREL comes, the same identifier is the same message, sent again with DUP. */
static void take_qos2(struct world *world, struct device *client,
		      const struct mqtt_publish *publish, struct slice topic)
{
	uint16_t id = publish->packet_id;
	uint64_t hash = hash_of(topic, publish->payload);
	struct device_in *in = find_in(client, id);
	if (in == NULL) {
		oracle_delivery(world, client, publish, topic);
		must(client->in_qos2_count < DEVICE_OPEN_MAX);
		client->in_qos2[client->in_qos2_count++] =
		    (struct device_in){id, false, hash, client->connect_seq};
		return;
	}
	if (!publish->dup)
		fault(world, client, "packet-id", "an identifier that waits for PUBREL, no DUP",
		      id);
	if (in->hash != hash)
		fault(world, client, "packet-id", "one that waits for PUBREL, for another message",
		      id);
	oracle_delivery_again(world, client, publish);
	if (in->seq < world->oracle->restart_seq)
		world->tally.sent_again++;
}

static void take_publish(struct world *world, struct device *client,
			 const struct mqtt_publish *publish, struct slice topic)
{
	uint16_t id = publish->packet_id;
	if (publish->qos == 0) {
		oracle_delivery(world, client, publish, topic);
		return;
	}
	open_exchange(world, client, publish);
	if (publish->qos == 1) {
		oracle_delivery(world, client, publish, topic);
		owe_ack(world, client, MQTT_PUBACK, id, MQTT_SUCCESS);
		return;
	}
	take_qos2(world, client, publish, topic);
	owe_ack(world, client, MQTT_PUBREC, id, MQTT_SUCCESS);
}

static void on_publish(struct world *world, struct device *client, const struct frame *frame)
{
	struct mqtt_publish publish;
	if (mqtt_decode_publish(frame->flags, frame->body, client->version, &publish) !=
	    MQTT_SUCCESS) {
		fault(world, client, "malformed", "PUBLISH", frame->flags);
		return;
	}
	if (client->packet_maximum > 0 && frame->size > client->packet_maximum)
		fault(world, client, "packet-maximum", "more than the Maximum Packet Size",
		      (unsigned)frame->size);
	struct slice topic = resolve_alias(world, client, &publish);
	if (!topic_name_valid(topic)) {
		fault(world, client, "malformed", "no valid topic name", (unsigned)topic.len);
		return;
	}
	world_trace(world, "client %u: got %.*s %.9s qos=%u retain=%d dup=%d id=%u", client->index,
		    (int)topic.len, (const char *)topic.at,
		    publish.payload.len >= 9 ? (const char *)publish.payload.at : "(empty)..",
		    publish.qos, publish.retain, publish.dup, publish.packet_id);
	check_dup(world, client, &publish);
	rows_seen(world, client->index, &publish);
	take_publish(world, client, &publish, topic);
}

/* ---- the four acknowledgements ---- */

static void drop_out(struct device *client, size_t at)
{
	client->out_count--;
	memmove(client->out + at, client->out + at + 1,
		(client->out_count - at) * sizeof(*client->out));
}

/*
 * The exchange that an acknowledgement is for: it must be the first of its kind,
 * since acknowledgements come in the order of what they acknowledge.
 * [MQTT-4.6.0-2] [MQTT-4.6.0-3]  For PUBCOMP nobody demands it: that of an exchange
 * which was over before need not wait for the record of another one's end.
 */
static struct device_out *find_out(struct world *world, struct device *client,
				   const struct mqtt_ack *ack)
{
	uint8_t qos = ack->type == MQTT_PUBACK ? 1 : 2;
	bool released = ack->type == MQTT_PUBCOMP;
	bool over_before = released && oracle_records(world) &&
			   world->oracle->sessions[client->index].connections > 1;
	bool first = true;
	for (size_t i = 0; i < client->out_count; i++) {
		struct device_out *out = &client->out[i];
		if (out->message->qos != qos || out->released != released)
			continue;
		if (out->packet_id == ack->packet_id) {
			if (!first && !over_before)
				fault(world, client, "ack-order", "acknowledged out of order",
				      ack->packet_id);
			return out;
		}
		first = false;
	}
	fault(world, client, "ack-unknown", "acknowledges nothing that is open", ack->packet_id);
	return NULL;
}

static void check_ack_reason(struct world *world, struct device *client, const struct mqtt_ack *ack)
{
	if (ack->reason == MQTT_SUCCESS)
		return;
	if (!mqtt_reason_allowed(ack->reason, ack->type))
		fault(world, client, "ack-reason", "a reason code that may not stand here",
		      ack->reason);
	/* "Not an error during recovery", MQTT 5.0 section 3.7.2.1. */
	if (ack->reason == MQTT_PACKET_IDENTIFIER_NOT_FOUND &&
	    (client->broker_forgot || world->oracle->sessions[client->index].connections > 1))
		return;
	if (ack->reason >= 0x80 && !world_refuses(world))
		fault(world, client, "ack-reason", "refused for no reason", ack->reason);
}

static void on_reply(struct world *world, struct device *client, const struct mqtt_ack *ack)
{
	struct device_out *out = find_out(world, client, ack);
	if (out == NULL)
		return;
	check_ack_reason(world, client, ack);
	if (ack->type == MQTT_PUBREC && ack->reason < 0x80) {
		out->released = true;
		oracle_custody(world, out->message);
		device_ack(world, client, MQTT_PUBREL, ack->packet_id, MQTT_SUCCESS);
		return;
	}
	oracle_acked(world, out->message, ack->type == MQTT_PUBCOMP ? 0 : ack->reason);
	drop_out(client, (size_t)(out - client->out));
}

/* Was there a PUBLISH for it before the broker died, and none since? */
static bool in_earlier_life(const struct world *world, struct device *client, uint16_t packet_id)
{
	const struct device_in *in = find_in(client, packet_id);
	for (size_t i = 0; i < client->open_count; i++)
		if (client->open[i].packet_id == packet_id)
			return false;
	return in != NULL && in->seq < world->oracle->restart_seq;
}

static void on_pubrel(struct world *world, struct device *client, const struct mqtt_ack *ack)
{
	const struct oracle_session *session = &world->oracle->sessions[client->index];
	struct device_in *in = find_in(client, ack->packet_id);
	bool known = in != NULL;
	if (!known && session->connections < 2)
		fault(world, client, "pubrel", "PUBREL without a PUBLISH", ack->packet_id);
	/* Only where no publisher can send it again PUBREL comes for want of anything else. */
	if (known && !in->taken && in->seq > world->oracle->restart_seq)
		fault(world, client, "pubrel", "PUBREL before PUBREC", ack->packet_id);
	if (in_earlier_life(world, client, ack->packet_id))
		world->tally.released_only++;
	oracle_released(world, client->index, ack->packet_id, known);
	if (known)
		*in = client->in_qos2[--client->in_qos2_count];
	owe_ack(world, client, MQTT_PUBCOMP, ack->packet_id,
		known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND);
}

static void on_ack(struct world *world, struct device *client, const struct frame *frame)
{
	struct mqtt_ack ack;
	if (mqtt_decode_ack(frame->type, frame->body, client->version, &ack) != MQTT_SUCCESS) {
		fault(world, client, "malformed", "an acknowledgement", frame->type);
		return;
	}
	world_trace(world, "client %u: got %s id=%u reason=%u", client->index,
		    mqtt_packet_name(frame->type), ack.packet_id, ack.reason);
	if (ack.type == MQTT_PUBREL)
		on_pubrel(world, client, &ack);
	else
		on_reply(world, client, &ack);
}

/* ---- SUBACK, UNSUBACK ---- */

static void answer_request(struct world *world, struct device *client,
			   const struct device_request *request, const struct mqtt_suback *suback)
{
	bool codes = suback->type == MQTT_SUBACK || client->version == MQTT_VERSION_5_0;
	if (codes && suback->reasons.len != request->count) {
		fault(world, client, "suback", "wrong number of reason codes",
		      (unsigned)suback->reasons.len);
		return;
	}
	for (unsigned i = 0; i < request->count; i++) {
		uint8_t code = codes ? suback->reasons.at[i] : 0;
		world_trace(world, "client %u: %s %s code=%u", client->index,
			    mqtt_packet_name(suback->type), request->subs[i]->text, code);
		if (suback->type == MQTT_SUBACK)
			oracle_suback(world, request->subs[i], code);
		else
			oracle_unsuback(world, request->subs[i], code);
	}
}

static void on_suback(struct world *world, struct device *client, const struct frame *frame)
{
	struct mqtt_suback suback;
	if (mqtt_decode_suback(frame->type, frame->body, client->version, &suback) !=
	    MQTT_SUCCESS) {
		fault(world, client, "malformed", "SUBACK or UNSUBACK", frame->type);
		return;
	}
	uint8_t type = frame->type == MQTT_SUBACK ? MQTT_SUBSCRIBE : MQTT_UNSUBSCRIBE;
	for (size_t i = 0; i < client->request_count; i++) {
		struct device_request request = client->requests[i];
		if (request.packet_id != suback.packet_id || request.type != type)
			continue;
		client->requests[i] = client->requests[--client->request_count];
		answer_request(world, client, &request, &suback);
		return;
	}
	fault(world, client, "suback", "answers no request", suback.packet_id);
}

/* ---- the rest ---- */

static void on_pingresp(struct world *world, struct device *client, const struct frame *frame)
{
	(void)frame;
	if (client->ping_ms == 0)
		fault(world, client, "pingresp", "PINGRESP without PINGREQ", 0);
	client->ping_ms = 0;
}

static void on_disconnect(struct world *world, struct device *client, const struct frame *frame)
{
	struct mqtt_disconnect disconnect;
	if (client->version != MQTT_VERSION_5_0 ||
	    mqtt_decode_disconnect(frame->body, client->version, &disconnect) != MQTT_SUCCESS) {
		fault(world, client, "malformed", "DISCONNECT", 0);
		return;
	}
	world_trace(world, "client %u: got DISCONNECT reason=%u", client->index, disconnect.reason);
	client->saw_disconnect = client->server_closed_me = true;
	bool stopped = world->stopping || world->oracle->restart_seq > client->connect_seq;
	if (disconnect.reason == MQTT_SERVER_SHUTTING_DOWN && stopped)
		return;
	if (!world_refuses(world))
		fault(world, client, "disconnect", "DISCONNECT for no reason", disconnect.reason);
}

struct handler {
	uint8_t type;
	void (*call)(struct world *world, struct device *client, const struct frame *frame);
};

void device_packet(struct world *world, struct device *client, const struct frame *frame)
{
	static const struct handler handlers[] = {
	    {MQTT_CONNACK, on_connack},	  {MQTT_PUBLISH, on_publish},
	    {MQTT_PUBACK, on_ack},	  {MQTT_PUBREC, on_ack},
	    {MQTT_PUBREL, on_ack},	  {MQTT_PUBCOMP, on_ack},
	    {MQTT_SUBACK, on_suback},	  {MQTT_UNSUBACK, on_suback},
	    {MQTT_PINGRESP, on_pingresp}, {MQTT_DISCONNECT, on_disconnect},
	};
	if (world->failed)
		return;
	if (client->saw_disconnect)
		fault(world, client, "after-disconnect", "a packet after DISCONNECT", frame->type);
	if (!mqtt_flags_valid(frame->type, frame->flags))
		fault(world, client, "malformed", "flags of the fixed header", frame->flags);
	if (client->phase == DEVICE_CONNECTING && frame->type != MQTT_CONNACK)
		fault(world, client, "connack", "another packet before CONNACK", frame->type);
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].type != frame->type)
			continue;
		handlers[i].call(world, client, frame);
		return;
	}
	fault(world, client, "malformed", "a packet that no client gets", frame->type);
}
