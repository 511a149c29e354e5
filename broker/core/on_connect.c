/*
 * on_connect.c - CONNECT, MQTT 5.0 section 3.1; its answer is in connack.c.
 *
 * The steps: decode and check; find the home shard (move there); ask auth; take over,
 * find or make the session; wait for the store where the session's row changed;
 * CONNACK, and what was waiting for the client.
 */
#include "broker/core/core.h"
#include "broker/core/crash.h"
#include "broker/core/own_topic.h"
#include "broker/core/rate.h"
#include "broker/core/rights.h"

/* ---- checking ---- */

static bool version_accepted(const struct listener_settings *listener, enum mqtt_version version)
{
	return version == MQTT_VERSION_5_0     ? listener->accept_5_0
	       : version == MQTT_VERSION_3_1_1 ? listener->accept_3_1_1
					       : listener->accept_3_1;
}

/* Is the keep alive, or that there is none, what the listener allows? */
static bool keep_alive_allowed(const struct listener_settings *listener, uint16_t asked_s)
{
	uint16_t max_s = listener->max_keep_alive_s;
	return max_s == 0 || max_s == UINT16_MAX || (asked_s != 0 && asked_s <= max_s);
}

/* [MQTT-3.2.2-12] [MQTT-3.2.2-13]: wills that we could not publish as asked. */
static struct refusal check_will(const struct shard *shard,
				 const struct listener_settings *listener,
				 const struct mqtt_connect *connect)
{
	if (!connect->has_will)
		return (struct refusal){MQTT_SUCCESS, NULL};
	if (connect->will.qos > listener->max_qos)
		return (struct refusal){MQTT_QOS_NOT_SUPPORTED, "will QoS above maximum QoS"};
	if (connect->will.retain && !shard->settings->retain_available)
		return (struct refusal){MQTT_RETAIN_NOT_SUPPORTED, "retain is not available"};
	if (connect->will.topic.at[0] == '$')
		return (struct refusal){MQTT_TOPIC_NAME_INVALID,
					"a will topic must not begin with '$'"};
	if (connect->will.payload.len > shard->settings->message_size_limit)
		return (struct refusal){MQTT_PACKET_TOO_LARGE,
					"the will is larger than message_size_limit"};
	return (struct refusal){MQTT_SUCCESS, NULL};
}

/* Any length and any character of UTF-8. [MQTT-3.1.3-5] [MQTT3-3.1.3-5] [MQTT3-3.1.3-8] */
static struct refusal check_client_id(const struct listener_settings *listener,
				      const struct mqtt_connect *connect, struct slice id)
{
	struct slice prefix = listener->client_id_prefixes;
	if (id.len == 0 && connect->version == MQTT_VERSION_3_1)
		return (struct refusal){MQTT_CLIENT_IDENTIFIER_NOT_VALID,
					"MQTT 3.1 has no empty client identifier"};
	if (id.len == 0 && connect->version != MQTT_VERSION_5_0 && !connect->clean_start)
		return (struct refusal){MQTT_CLIENT_IDENTIFIER_NOT_VALID,
					"an empty client identifier needs clean session"};
	if (id.len == 0 && !listener->allow_zero_length_client_id)
		return (struct refusal){MQTT_CLIENT_IDENTIFIER_NOT_VALID,
					"an empty client identifier is not accepted here"};
	if (prefix.len > 0 && (id.len < prefix.len || memcmp(id.at, prefix.at, prefix.len) != 0))
		return (struct refusal){MQTT_NOT_AUTHORIZED,
					"the client identifier lacks the prefix asked for here"};
	return (struct refusal){MQTT_SUCCESS, NULL};
}

static struct refusal check(const struct shard *shard, const struct client *client,
			    const struct mqtt_connect *connect, struct slice id)
{
	const struct listener_settings *listener = client->listener;
	if (!version_accepted(listener, connect->version))
		return (struct refusal){MQTT_UNSUPPORTED_PROTOCOL_VERSION,
					"this protocol version is not accepted here"};
	if (listener->server_reference.len > 0)
		return (struct refusal){MQTT_SERVER_MOVED, NULL};
	if (shard->settings->lets_nobody_in)
		return (struct refusal){
		    MQTT_SERVER_UNAVAILABLE,
		    "the broker lets nobody in for now; its operator knows why"};
	if (mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD) &&
	    connect->properties.authentication_method.len == 0)
		return (struct refusal){MQTT_BAD_AUTHENTICATION_METHOD,
					"the authentication method has no name"};
	/* As mosquitto answers it. Who has an authentication method gives its name here as well:
	 * what it proves later has to be that one. */
	if (listener->use_user_name_as_client_id && id.len == 0)
		return (struct refusal){
		    MQTT_NOT_AUTHORIZED,
		    "the user name is the client identifier here: it is needed"};
	/* Before 5.0 there is no way to tell it ours; as mosquitto answers it. */
	if (connect->version != MQTT_VERSION_5_0 &&
	    !keep_alive_allowed(listener, connect->keep_alive_s))
		return (struct refusal){MQTT_CLIENT_IDENTIFIER_NOT_VALID,
					"the keep alive is longer than max_keepalive"};
	struct refusal refusal = check_will(shard, listener, connect);
	return refusal.reason ? refusal : check_client_id(listener, connect, id);
}

/* ---- what is remembered of a CONNECT ---- */

static uint32_t expiry_asked(const struct mqtt_connect *connect)
{
	if (connect->version != MQTT_VERSION_5_0)
		return connect->clean_start ? 0 : UINT32_MAX;
	return mqtt_has(&connect->properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)
		   ? connect->properties.session_expiry_s
		   : 0;
}

#define UUID_LEN 36u

/* A random UUID, RFC 9562 section 5.4, as it is written. */
static void write_uuid(struct shard *shard, uint8_t out[UUID_LEN])
{
	static const char form[UUID_LEN + 1] = "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx";
	static const char digits[] = "0123456789abcdef";
	uint64_t random[2] = {shard_random(shard), shard_random(shard)};
	for (size_t i = 0; i < UUID_LEN; i++) {
		uint64_t *source = &random[i & 1]; /* 18 places and less: 64 bits are enough */
		out[i] = (uint8_t)form[i];
		if (form[i] == 'x')
			out[i] = (uint8_t)digits[*source & 15];
		else if (form[i] == 'v')
			out[i] = (uint8_t)digits[8 | (*source & 3)];
		else
			continue;
		*source >>= 4;
	}
}

/* An identifier nobody can guess, whose home is this shard. [MQTT-3.1.3-6] [MQTT-3.2.2-16]
 * [MQTT3-3.1.3-6] */
static size_t assign_id(struct shard *shard, struct slice prefix, uint8_t out[])
{
	size_t len = prefix.len + UUID_LEN;
	if (prefix.len > 0)
		memcpy(out, prefix.at, prefix.len);
	do
		write_uuid(shard, out + prefix.len);
	while (shard_home(shard, slice_of(out, len)) != shard->party);
	return len;
}

/* An identifier may be long, and who has not logged in yet may take its time: it is charged. */
static bool remember_id(struct shard *shard, struct client *client, struct slice id)
{
	struct slice prefix = client->listener->auto_id_prefix;
	size_t room = sizeof *client->connecting + (id.len ? id.len : prefix.len + UUID_LEN);
	if (!purse_take(&shard->purse, room))
		return false;
	struct connecting *connecting = memory_get_zeroed(room);
	client->connecting = connecting;
	if (id.len > 0)
		memcpy(connecting->client_id, id.at, id.len);
	connecting->client_id_len =
	    id.len ? id.len : assign_id(shard, prefix, connecting->client_id);
	connecting->assigned_id = id.len == 0;
	return true;
}

/* [MQTT-3.1.2-22]: ours if it is shorter, and then the client is told [MQTT-3.2.2-22]. */
static void remember_keep_alive(struct client *client, uint16_t asked_s)
{
	bool allowed = keep_alive_allowed(client->listener, asked_s);
	client->keep_alive_s = allowed ? asked_s : client->listener->max_keep_alive_s;
	client->connecting->keep_alive_changed = !allowed;
}

static void remember_limits(struct client *client, const struct mqtt_connect *connect)
{
	const struct mqtt_properties *p = &connect->properties;
	if (mqtt_has(p, MQTT_PROPERTY_RECEIVE_MAXIMUM))
		client->receive_maximum = p->receive_maximum;
	if (mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM))
		client->topic_alias_maximum = p->topic_alias_maximum;
	if (client->topic_alias_maximum > client->listener->max_topic_alias_broker)
		client->topic_alias_maximum = client->listener->max_topic_alias_broker;
	if (mqtt_has(p, MQTT_PROPERTY_REQUEST_RESPONSE_INFORMATION))
		client->connecting->wants_response_information =
		    p->request_response_information != 0;
}

/* [MQTT-3.1.2-7] [MQTT3-3.1.2-8] [MQTT3-3.1.2-12] [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT3-3.1.2-16]
 * [MQTT3-3.1.2-17]; false when memory does not allow it. */
static bool remember_will(struct shard *shard, struct client *client,
			  const struct mqtt_connect *connect)
{
	if (!connect->has_will)
		return true;
	const struct mqtt_properties *p = &connect->will.properties;
	uint8_t *forward = purse_payload(&shard->purse, p->raw.len);
	struct publication publication = {
	    .qos = connect->will.qos,
	    .retain = connect->will.retain,
	    .goes_behind = true,
	    .expires_ms = EXPIRES_NEVER,
	    .topic = connect->will.topic,
	    .properties = slice_of(forward, mqtt_forward_properties(p->raw, forward)),
	    .payload = connect->will.payload,
	};
	struct message *message = message_create(&shard->purse, &publication);
	purse_payload_free(&shard->purse, forward, publication.properties.len);
	if (message == NULL)
		return false;
	client->will = memory_get_zeroed(sizeof *client->will);
	client->will->message = message;
	if (mqtt_has(p, MQTT_PROPERTY_WILL_DELAY_INTERVAL))
		client->will->delay_s = p->will_delay_s;
	client->will->has_expiry = mqtt_has(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	if (client->will->has_expiry)
		client->will->expiry_s = p->message_expiry_s;
	COUNT(shard, WILLS);
	return true;
}

/* Does it ask for a session token? */
static bool asks_for_token(const struct mqtt_connect *connect)
{
	struct slice raw = connect->properties.raw, name, value;
	if (connect->version != MQTT_VERSION_5_0)
		return false;
	while (mqtt_next_user_property(&raw, &name, &value))
		if (slice_equal(name, slice_text(TOKEN_PROPERTY)))
			return slice_equal(value, slice_text("1"));
	return false;
}

void connecting_free(struct shard *shard, struct client *client)
{
	struct connecting *connecting = client->connecting;
	if (connecting == NULL)
		return;
	rights_release(shard, connecting->grant);
	will_free(shard, connecting->will_before); /* [MQTT-3.1.3-9] */
	token_offer_finish(shard, &connecting->token);
	authentication_free(shard, connecting->authentication);
	purse_give(&shard->purse, sizeof *connecting + connecting->client_id_len);
	memory_free(connecting);
	client->connecting = NULL;
}

const char memory_full[] = "the broker's memory is full";

static bool remember(struct shard *shard, struct client *client, const struct mqtt_connect *connect,
		     struct slice id)
{
	if (!remember_id(shard, client, id))
		return false;
	remember_limits(client, connect);
	remember_keep_alive(client, connect->keep_alive_s);
	client->bridge = connect->bridge;
	client->connecting->clean_start = connect->clean_start;
	client->connecting->token.asked = asks_for_token(connect);
	client->connecting->asked_expiry_s = expiry_asked(connect);
	uint32_t max_s = shard->settings->session_expiry_max_s;
	client->connecting->expiry_s =
	    client->connecting->asked_expiry_s < max_s ? client->connecting->asked_expiry_s : max_s;
	return remember_will(shard, client, connect);
}

/* ---- session ---- */

static bool sessions_left(const struct shard *shard)
{
	int64_t now = atomic_load_explicit(&shard->purse.budget->sessions, memory_order_relaxed);
	return now < (int64_t)shard->settings->sessions_max &&
	       purse_allows(&shard->purse, sizeof(struct session) + sizeof(struct client));
}

/*
 * The session's row as it has to be while connected.  One that was stored and now ends
 * with its connection says so, and is gone after a restart.
 */
static bool changes_of(struct shard *shard, struct session *session, bool changes_owner,
		       struct changes *changes)
{
	if (!shard->durable || (session->expiry_s == 0 && !session->stored))
		return false;
	/* One that another connection is just putting has to be put again: it may be refused. */
	if (session->stored && session->stored_connected && !session->row_doubtful &&
	    session->storing == 0 && session->stored_expiry_s == session->expiry_s &&
	    !changes_owner)
		return false; /* a reconnect storm must not be a write storm */
	if (!session->stored)
		session->row = shard_random(shard);
	session->stored = session->stored_connected = true;
	session->row_doubtful = false;
	session->stored_expiry_s = session->expiry_s;
	changes_put_session(shard, changes, session, true, session_now_s(shard));
	return true;
}

/* An old session in the way: its connection is taken over; it ends if it has to. */
static struct session *clear_the_way(struct shard *shard, struct client *client, struct slice id,
				     struct changes *changes)
{
	/* [MQTT-3.1.2-5] [MQTT-3.1.3-2] [MQTT3-3.1.2-4] [MQTT3-3.1.3-2] */
	struct session *session = session_find(shard, 0, id);
	if (session && session->client) {
		COUNT(shard, TAKEOVERS); /* [MQTT-3.1.4-3] [MQTT3-3.1.4-2] */
		session->ends = client->connecting->clean_start;
		client_fail(shard, session->client, MQTT_SESSION_TAKEN_OVER,
			    "another connection uses this client identifier");
		session = session_find(shard, 0, id); /* with expiry 0 it has ended */
	}
	/* [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT3-3.1.2-6] [MQTT3-3.1.4-3] */
	if (session && client->connecting->clean_start) {
		if (client->connecting->token.came_with != AUTH_TOKEN_NONE)
			token_part(shard, session); /* what it came with it keeps */
		session_end_with(shard, session, changes);
		session = NULL;
	}
	return session;
}

/* One that somebody else began is not taken over, and says so before anything of it changes. */
static bool may_have(const struct shard *shard, const struct auth_grant *grant, struct slice id)
{
	const struct session *session = session_find(shard, 0, id);
	uint64_t owner = session ? rights_owner(shard, session) : 0;
	return owner == 0 || (grant && grant->owner == owner);
}

static const char no_room[] = "no room for another session";

void connect_begin_session(struct shard *shard, struct client *client)
{
	struct connecting *connecting = client->connecting;
	struct slice id = slice_of(connecting->client_id, connecting->client_id_len);
	struct changes changes = {0};
	if (!may_have(shard, connecting->grant, id)) {
		connect_refuse(shard, client, MQTT_CLIENT_IDENTIFIER_NOT_VALID,
			       "this client identifier is in use by another user");
		return;
	}
	const struct session *before = session_find(shard, 0, id);
	/* Before it is counted: who is refused for our want of room, and tries again, is no
	 * flapper. */
	if (before == NULL && !sessions_left(shard)) {
		connect_refuse(shard, client, MQTT_QUOTA_EXCEEDED, no_room);
		return;
	}
	if (before && before->client)
		rate_remember(shard, before->client->link);
	struct auth_answer refusal = {0};
	if (!rate_admits(shard, client, &refusal)) {
		connect_refuse(shard, client, refusal.reason, refusal.text);
		return;
	}
	struct session *session = clear_the_way(shard, client, id, &changes);
	/* [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT3-3.2.2-1] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] */
	connecting->session_present = session != NULL;
	connecting->new_session = session == NULL;
	if (session == NULL && !sessions_left(shard)) {
		persist_send(shard, &changes, (struct waiter){0});
		connect_refuse(shard, client, MQTT_QUOTA_EXCEEDED, no_room);
		return;
	}
	if (session == NULL)
		session = session_create(shard, 0, id); /* [MQTT-3.1.2-6] */
	connecting->expiry_before_s = session->expiry_s;
	session->expiry_s = connecting->expiry_s;
	bool changes_owner =
	    rights_owner(shard, session) != (connecting->grant ? connecting->grant->owner : 0);
	rights_take(shard, session, connecting->grant);
	if (connecting->grant)
		rights_of(shard, session)->own_password =
		    connecting->grant->account && connecting->token.came_with == AUTH_TOKEN_NONE;
	connecting->grant = NULL;
	session_attach(shard, session, client);
	bool tokens_changed = token_connected(shard, session, &connecting->token);
	bool puts_row = changes_of(shard, session, changes_owner, &changes);
	struct waiter waiter = {.serial = client->serial, .link = client->link};
	if (puts_row) {
		waiter.session = session->number;
		session->storing++;
	} else if (tokens_changed) {
		token_save(shard, session);
	}
	if (!persist_send(shard, &changes, waiter)) {
		connect_finish(shard, client);
		return;
	}
	client->state = CLIENT_COMMITTING;
	shard_effect(shard, EFFECT_READ, client->link)->on = false;
}

void on_connect_stored(struct shard *shard, uint64_t serial, uint32_t link, bool committed)
{
	struct client *client = client_of_link(shard, link);
	if (client == NULL || client->serial != serial || client->state != CLIENT_COMMITTING)
		return;
	if (committed) {
		CRASH_AT(connack_stored);
		connect_finish(shard, client);
		client_resume_reading(shard, client);
		return;
	}
	connect_refuse(shard, client, MQTT_QUOTA_EXCEEDED, "the session could not be stored");
}

/* ---- entry ---- */

static void on_refused_decode(struct shard *shard, struct client *client, enum mqtt_reason reason,
			      enum mqtt_version version)
{
	client->version = (uint8_t)version;
	COUNT(shard, MALFORMED);
	connect_refuse(shard, client, reason, NULL);
}

/* What a CONNACK that refuses has to heed, too. */
static void remember_for_refusal(struct client *client, const struct mqtt_properties *p)
{
	if (mqtt_has(p, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE))
		client->maximum_packet_size = p->maximum_packet_size;
	client->problem_information = mqtt_has(p, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION) &&
				      p->request_problem_information != 0;
}

/* By use_username_as_clientid nothing but a name counts; without one it is empty. */
static struct slice id_of(const struct shard *shard, const struct client *client,
			  const struct mqtt_connect *connect)
{
	if (!client->listener->use_user_name_as_client_id)
		return connect->client_id;
	if (shard->identity)
		return shard->identity->name;
	return connect->user_name; /* empty where there is none */
}

void on_connect(struct shard *shard, struct client *client, struct slice packet, struct slice body)
{
	(void)packet;
	struct mqtt_connect connect;
	enum mqtt_reason reason = mqtt_decode_connect(body, &connect);
	if (reason != MQTT_SUCCESS) {
		on_refused_decode(shard, client, reason, connect.version);
		return;
	}
	client->version = (uint8_t)connect.version;
	remember_for_refusal(client, &connect.properties);
	struct slice id = id_of(shard, client, &connect);
	struct refusal refusal = check(shard, client, &connect, id);
	if (refusal.reason != MQTT_SUCCESS) {
		connect_refuse(shard, client, refusal.reason, refusal.text);
		return;
	}
	if (id.len > 0 && shard_home(shard, id) != shard->party) {
		client->moving = true;
		client->move_to = shard_home(shard, id);
		return;
	}
	if (!remember(shard, client, &connect, id)) {
		connect_refuse(shard, client, MQTT_QUOTA_EXCEEDED, memory_full);
		return;
	}
	authenticate(shard, client, &connect);
}
