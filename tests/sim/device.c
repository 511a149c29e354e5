/* device.c - what a simulated client does of its own accord. */
#include "tests/sim/device.h"
#include "tests/sim/link.h"

#define PACKET_ROOM (ORACLE_PAYLOAD_MAX + 1024)

static void tick(struct world *world, uint64_t name, void *arg);

void device_init(struct device *client, unsigned index, enum mqtt_version version)
{
	*client = (struct device){.index = index, .version = version, .next_packet_id = 1};
	client->id[0] = 'c';
	client->id[1] = (char)('a' + index);
}

void device_finish(struct device *client)
{
	bytes_finish(&client->in);
}

void device_forget(struct device *client)
{
	client->out_count = 0;
	client->in_qos2_count = 0;
}

static void transmit(struct world *world, struct device *client, const uint8_t *packet, size_t len)
{
	must(len > 0);
	client->last_sent_ms = world->now_ms;
	link_send(world, client->link, slice_of(packet, len));
}

/* Happenings that belong to one connection carry its name. */
static uint64_t connection_name(const struct device *client)
{
	return (uint64_t)client->connection << 8 | client->index;
}

static struct device *connection_of(struct world *world, uint64_t name)
{
	struct device *client = &world->clients[name & 0xff];
	return connection_name(client) == name && client->phase != DEVICE_OFF ? client : NULL;
}

/* ---- connecting ---- */

static void fill_will(struct world *world, const struct device *client, struct mqtt_will *will,
		      uint8_t *payload)
{
	const struct oracle_message *m = client->will->message;
	oracle_payload(m->number, m->payload_len, payload);
	will->qos = m->qos;
	will->retain = m->retain;
	will->topic = slice_text(m->topic);
	will->payload = slice_of(payload, m->payload_len);
	(void)world;
	if (client->version == MQTT_VERSION_5_0 && client->will->delay_s > 0) {
		mqtt_set(&will->properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
		will->properties.will_delay_s = client->will->delay_s;
	}
}

static void fill_properties(const struct device *client, struct mqtt_properties *p)
{
	if (client->version != MQTT_VERSION_5_0)
		return;
	if (client->expiry_s > 0)
		mqtt_set(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	p->session_expiry_s = client->expiry_s;
	if (client->receive_maximum > 0)
		mqtt_set(p, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	p->receive_maximum = client->receive_maximum;
	if (client->alias_maximum > 0)
		mqtt_set(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
	p->topic_alias_maximum = client->alias_maximum;
	if (client->packet_maximum > 0)
		mqtt_set(p, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	p->maximum_packet_size = client->packet_maximum;
}

static void reset_connection(struct world *world, struct device *client)
{
	client->connection++;
	client->in.len = 0;
	client->saw_disconnect = client->server_closed_me = client->leaving = false;
	client->ping_ms = 0;
	client->open_count = client->request_count = client->ack_count = 0;
	client->fresh_seen = false;
	client->server_receive_maximum = UINT16_MAX;
	client->server_alias_maximum = 0;
	memset(client->alias_in, 0, sizeof(client->alias_in));
	memset(client->alias_out, 0, sizeof(client->alias_out));
	client->phase = DEVICE_CONNECTING;
	client->last_sent_ms = world->now_ms;
	client->met_restart = world->oracle->restart_seq;
}

void device_connect(struct world *world, struct device *client)
{
	uint8_t packet[PACKET_ROOM], payload[ORACLE_PAYLOAD_MAX];
	reset_connection(world, client);
	client->link = link_open(world, client, client->steady);
	client->link->keep_alive_s = client->keep_alive_s;
	oracle_connect(world, client);
	struct mqtt_connect connect = {.version = client->version,
				       .clean_start = client->clean,
				       .keep_alive_s = client->keep_alive_s,
				       .client_id = slice_text(client->id)};
	fill_properties(client, &connect.properties);
	if (client->refused_user) {
		connect.has_user_name = true;
		connect.user_name = SLICE_LITERAL("nobody");
	}
	if (client->will != NULL) {
		connect.has_will = true;
		fill_will(world, client, &connect.will, payload);
	}
	world_trace(world, "client %u: CONNECT clean=%d expiry=%u will=%d link %u", client->index,
		    client->clean, client->expiry_s, client->will != NULL, client->link->id);
	transmit(world, client, packet, mqtt_encode_connect(packet, sizeof(packet), &connect));
	world_at(world, 500, tick, connection_name(client), NULL);
}

void device_leave(struct world *world, struct device *client, bool with_will, bool end_session)
{
	uint8_t packet[64];
	struct mqtt_disconnect disconnect = {0};
	if (client->phase != DEVICE_ON)
		return;
	if (client->version != MQTT_VERSION_5_0)
		with_will = end_session = false;
	if (with_will)
		disconnect.reason = MQTT_DISCONNECT_WITH_WILL;
	if (end_session)
		mqtt_set(&disconnect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	world_trace(world, "client %u: DISCONNECT will=%d end=%d", client->index, with_will,
		    end_session);
	oracle_disconnect(world, client, with_will, end_session);
	transmit(world, client, packet,
		 mqtt_encode_disconnect(packet, sizeof(packet), client->version, &disconnect));
	struct link *link = client->link;
	client->leaving = true;
	link_close(world, link);
	device_gone(world, client, link);
}

/* Keep alive, and patience: an answer that does not come within a minute is a fault. */
static void tick(struct world *world, uint64_t name, void *arg)
{
	(void)arg;
	uint8_t packet[2];
	struct device *client = connection_of(world, name);
	if (client == NULL)
		return;
	if (client->phase == DEVICE_CONNECTING && world->now_ms > client->connect_ms + 10000) {
		world_fault(world, "unanswered", "client %u: no CONNACK within 10 s",
			    client->index);
		return;
	}
	if (client->ping_ms != 0 && world->now_ms > client->ping_ms + 20000)
		world_fault(world, "unanswered", "client %u: no PINGRESP within 20 s",
			    client->index);
	bool due = client->keep_alive_s > 0 &&
		   world->now_ms >= client->last_sent_ms + client->keep_alive_s * 500u;
	if (client->phase == DEVICE_ON && due && client->ping_ms == 0) {
		client->ping_ms = world->now_ms;
		transmit(world, client, packet,
			 mqtt_encode_empty(packet, sizeof(packet), MQTT_PINGREQ));
	}
	world_at(world, 500, tick, name, NULL);
}

/* ---- publishing ---- */

static void fill_alias(struct world *world, struct device *client, struct mqtt_publish *publish)
{
	if (client->server_alias_maximum == 0 || !rng_chance(&world->rng, 500))
		return;
	uint16_t room = client->server_alias_maximum < DEVICE_ALIASES ? client->server_alias_maximum
								      : DEVICE_ALIASES;
	uint16_t alias = (uint16_t)rng_between(&world->rng, 1, room);
	mqtt_set(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS);
	publish->properties.topic_alias = alias;
	char *known = client->alias_out[alias];
	if (slice_equal(slice_text(known), publish->topic)) {
		publish->topic = SLICE_NONE;
		return;
	}
	memset(known, 0, ORACLE_TOPIC_MAX);
	memcpy(known, publish->topic.at, publish->topic.len);
}

/* Writes the properties that the oracle keeps as bytes: they go out as they are. */
static void fill_message_properties(const struct oracle_message *m, struct mqtt_properties *p)
{
	if (m->expiry_s > 0)
		mqtt_set(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	p->message_expiry_s = m->expiry_s;
	p->user = slice_of(m->props, m->props_len);
}

static void transmit_publish(struct world *world, struct device *client,
			     const struct device_out *out, struct oracle_message *m, bool dup)
{
	uint8_t packet[PACKET_ROOM], payload[ORACLE_PAYLOAD_MAX];
	oracle_payload(m->number, m->payload_len, payload);
	struct mqtt_publish publish = {.qos = m->qos,
				       .dup = dup,
				       .retain = m->retain,
				       .packet_id = out == NULL ? 0 : out->packet_id,
				       .topic = slice_text(m->topic),
				       .payload = slice_of(payload, m->payload_len)};
	if (client->version == MQTT_VERSION_5_0) {
		fill_message_properties(m, &publish.properties);
		fill_alias(world, client, &publish);
	}
	oracle_sent(world, m, client->link);
	world_trace(world, "client %u: PUBLISH m%08x %s qos=%u retain=%d dup=%d id=%u",
		    client->index, m->number, m->topic, m->qos, m->retain, dup, publish.packet_id);
	transmit(world, client, packet,
		 mqtt_encode_publish(packet, sizeof(packet), client->version, &publish));
}

static bool packet_id_used(const struct device *client, uint16_t packet_id)
{
	for (size_t i = 0; i < client->out_count; i++)
		if (client->out[i].packet_id == packet_id)
			return true;
	for (size_t i = 0; i < client->request_count; i++)
		if (client->requests[i].packet_id == packet_id)
			return true;
	return packet_id == 0;
}

static uint16_t new_packet_id(struct device *client)
{
	if (client->lowest_id)
		client->next_packet_id = 1;
	while (packet_id_used(client, client->next_packet_id))
		client->next_packet_id++;
	return client->next_packet_id++;
}

bool device_may_publish(const struct device *client, uint8_t qos)
{
	return client->phase == DEVICE_ON &&
	       (qos == 0 || (client->out_count < DEVICE_OUT_MAX &&
			     client->out_count < client->server_receive_maximum));
}

void device_publish(struct world *world, struct device *client, struct oracle_message *message)
{
	must(device_may_publish(client, message->qos));
	if (message->qos == 0) {
		transmit_publish(world, client, NULL, message, false);
		return;
	}
	struct device_out *out = &client->out[client->out_count];
	*out = (struct device_out){.packet_id = new_packet_id(client), .message = message};
	client->out_count++;
	transmit_publish(world, client, out, message, client->dup_first);
}

/* [MQTT-4.4.0-1] [MQTT-4.6.0-1] */
void device_resend(struct world *world, struct device *client)
{
	for (size_t i = 0; i < client->out_count; i++) {
		struct device_out *out = &client->out[i];
		if (out->released)
			device_ack(world, client, MQTT_PUBREL, out->packet_id, MQTT_SUCCESS);
		else {
			if (out->message->qos == 2 &&
			    plant_believes_dup(world, client, out->packet_id, !client->dup_never))
				device_ack(world, client, MQTT_PUBREL, out->packet_id,
					   MQTT_SUCCESS);
			world->tally.resent += out->message->qos == 2 && oracle_records(world) &&
					       out->message->sent_seq < world->oracle->restart_seq;
			transmit_publish(world, client, out, out->message, !client->dup_never);
		}
	}
}

void device_ack(struct world *world, struct device *client, uint8_t type, uint16_t packet_id,
		uint8_t reason)
{
	uint8_t packet[16];
	struct mqtt_ack ack = {.type = type, .packet_id = packet_id, .reason = reason};
	transmit(world, client, packet,
		 mqtt_encode_ack(packet, sizeof(packet), client->version, &ack));
}

/* ---- subscribing ---- */

static struct device_request *new_request(struct device *client, uint8_t type)
{
	if (client->phase != DEVICE_ON || client->request_count == DEVICE_REQUESTS_MAX)
		return NULL;
	uint16_t packet_id = new_packet_id(client);
	struct device_request *request = &client->requests[client->request_count++];
	*request = (struct device_request){.type = type, .packet_id = packet_id};
	return request;
}

void device_subscribe(struct world *world, struct device *client,
		      const struct mqtt_subscription *entries, unsigned count, uint32_t identifier)
{
	uint8_t packet[512];
	struct device_request *request = new_request(client, MQTT_SUBSCRIBE);
	if (request == NULL)
		return;
	must(count <= DEVICE_ENTRIES_MAX);
	struct mqtt_subscribe subscribe = {.packet_id = request->packet_id};
	if (client->version != MQTT_VERSION_5_0)
		identifier = 0;
	if (identifier != 0)
		mqtt_set(&subscribe.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
	subscribe.properties.subscription_identifier = identifier;
	for (unsigned i = 0; i < count; i++) {
		request->subs[i] = oracle_subscribe(world, client->index, &entries[i], identifier);
		world_trace(world, "client %u: SUBSCRIBE %s qos=%u nl=%d rap=%d rh=%u id=%u",
			    client->index, request->subs[i]->text, entries[i].qos,
			    entries[i].no_local, entries[i].retain_as_published,
			    entries[i].retain_handling, identifier);
	}
	request->count = count;
	transmit(world, client, packet,
		 mqtt_encode_subscribe(packet, sizeof(packet), client->version, &subscribe, entries,
				       count));
}

void device_unsubscribe(struct world *world, struct device *client, struct oracle_sub *sub)
{
	uint8_t packet[128];
	struct device_request *request = new_request(client, MQTT_UNSUBSCRIBE);
	if (request == NULL)
		return;
	request->subs[0] = sub;
	request->count = 1;
	oracle_unsubscribe(world, sub);
	world_trace(world, "client %u: UNSUBSCRIBE %s", client->index, sub->text);
	struct mqtt_subscribe unsubscribe = {.packet_id = request->packet_id};
	struct slice filter = slice_text(sub->text);
	transmit(world, client, packet,
		 mqtt_encode_unsubscribe(packet, sizeof(packet), client->version, &unsubscribe,
					 &filter, 1));
}

/* ---- what the link tells ---- */

/* An end that nothing explains is a fault of the broker. */
static void check_end(struct world *world, const struct device *client, const struct link *link)
{
	if (link->cut || link->half_open || client->leaving || client->server_closed_me ||
	    !world->up || world->stopping || world->oracle->restart_seq > client->connect_seq)
		return;
	if (client->refused_user || world->profile.refuse > 0 || world->profile.tight_queues)
		return;
	world_fault(world, "closed", "client %u: the broker closed the connection for no reason",
		    client->index);
}

static void abandon_requests(struct device *client)
{
	for (size_t i = 0; i < client->request_count; i++) {
		struct device_request *request = &client->requests[i];
		for (unsigned n = 0; n < request->count && request->type == MQTT_SUBSCRIBE; n++) {
			struct oracle_sub *old = request->subs[n]->replaces;
			if (old != NULL && old->must_end_seq == NEVER)
				old->must_end_seq = request->subs[n]->sent_seq;
		}
	}
}

void device_abandon(struct world *world, struct device *client)
{
	bool connecting = client->phase == DEVICE_CONNECTING;
	abandon_requests(client);
	client->phase = DEVICE_OFF;
	if (connecting)
		oracle_connect_failed(world, client);
	oracle_client_gone(world, client);
	client->link = NULL;
	client->will = NULL;
}

void device_gone(struct world *world, struct device *client, struct link *link)
{
	if (client->link != link || client->phase == DEVICE_OFF)
		return;
	world_trace(world, "client %u: link %u is gone", client->index, link->id);
	check_end(world, client, link);
	device_abandon(world, client);
}

void device_bytes(struct world *world, struct device *client, struct link *link, struct slice bytes)
{
	if (client->link != link)
		return;
	bytes_append(&client->in, bytes);
	size_t used = 0;
	uint32_t connection = client->connection;
	while (client->connection == connection && client->phase != DEVICE_OFF && !world->failed) {
		struct frame frame;
		struct slice rest = slice_of(client->in.at + used, client->in.len - used);
		enum frame_status status = frame_cut(rest, &frame);
		if (status == FRAME_BAD)
			world_fault(world, "framing", "client %u: a malformed length",
				    client->index);
		if (status != FRAME_WHOLE)
			break;
		int times = plant_packet(world, client, client->in.at + used, frame.size);
		must(frame_cut(slice_of(client->in.at + used, frame.size), &frame) == FRAME_WHOLE);
		size_t size = frame.size;
		while (times-- > 0)
			device_packet(world, client, &frame);
		plant_held(world, client);
		used += size;
	}
	if (client->connection == connection)
		bytes_drop(&client->in, used);
}
