/*
 * on_auth.c - who a client is: asked of auth/auth.h for each CONNECT, and by enhanced
 * authentication, MQTT 5.0 sections 3.15 and 4.12.
 *
 * An exchange is CONNECT, AUTH from the server and AUTH from the client by turns, CONNACK; until
 * that is out only AUTH and DISCONNECT are taken.  Again later it is AUTH by turns, beside whatever
 * else goes on: who the client was stays in force until the answer, and it has to be the same.
 */
#include "broker/core/core.h"
#include "broker/core/rate.h"
#include "broker/core/rights.h"

/* Of a connection whose CONNECT named a method. */
struct authentication {
	struct auth_exchange *exchange; /* owned; NULL: none is under way */
	struct slice data;		/* for the CONNACK; borrowed from the exchange */
	size_t method_len;
	uint8_t method[];
};

/* What whoever answers keeps of an exchange, about: there may be one on each connection. */
#define EXCHANGE_COST 1536u

static size_t cost(const struct authentication *authentication)
{
	return sizeof *authentication + authentication->method_len;
}

static struct slice method_of(const struct authentication *authentication)
{
	return slice_of(authentication->method, authentication->method_len);
}

static void end_exchange(struct shard *shard, struct authentication *authentication)
{
	authentication->data = SLICE_NONE;
	if (authentication->exchange == NULL)
		return;
	shard->auth->end_exchange(shard->auth, authentication->exchange);
	authentication->exchange = NULL;
	purse_give(&shard->purse, EXCHANGE_COST);
}

/* False when there is no memory for it, and for the exchange that will come of it. */
static bool authentication_begin(struct shard *shard, struct client *client, struct slice method)
{
	if (!purse_allows(&shard->purse,
			  sizeof(struct authentication) + method.len + EXCHANGE_COST))
		return false;
	struct authentication *authentication =
	    memory_get_zeroed(sizeof *authentication + method.len);
	authentication->method_len = method.len;
	if (method.len > 0)
		memcpy(authentication->method, method.at, method.len);
	purse_force(&shard->purse, cost(authentication));
	client->connecting->authentication = authentication;
	return true;
}

static struct authentication *of_client(const struct client *client)
{
	return client->answered ? client->authentication : client->connecting->authentication;
}

void authentication_free(struct shard *shard, struct authentication *authentication)
{
	if (authentication == NULL)
		return;
	end_exchange(shard, authentication);
	purse_give(&shard->purse, cost(authentication));
	memory_free(authentication);
}

/* [MQTT-4.12.0-5] [MQTT-4.12.0-6]: the method, where there was one, and the last word. */
void authentication_connack(const struct client *client, struct mqtt_properties *p)
{
	const struct authentication *authentication = of_client(client);
	if (authentication == NULL)
		return;
	mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	p->authentication_method = method_of(authentication);
	if (authentication->data.len == 0)
		return;
	mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_DATA);
	p->authentication_data = authentication->data;
}

void authentication_done(struct shard *shard, struct authentication *authentication)
{
	if (authentication)
		end_exchange(shard, authentication);
}

/*
 * AUTH with the method of CONNECT, and nothing for people: neither a Reason String nor a User
 * Property.  [MQTT-3.15.1-1] [MQTT-3.15.2-2] [MQTT-3.15.2-3] [MQTT-4.12.0-5]  False: it is more
 * than the client takes.
 */
static bool send_auth(struct shard *shard, struct client *client, enum mqtt_reason reason,
		      struct slice data)
{
	struct mqtt_auth auth = {.reason = (uint8_t)reason};
	struct mqtt_properties *p = &auth.properties;
	mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	p->authentication_method = method_of(of_client(client));
	if (data.len > 0) {
		mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_DATA);
		p->authentication_data = data;
	}
	size_t room = 32 + p->authentication_method.len + data.len;
	uint8_t *packet = memory_get(room);
	size_t n = mqtt_encode_auth(packet, room, &auth);
	must(n != 0);
	bool fits = client_fits(client, n);
	if (fits)
		client_send(shard, client, packet, n);
	memory_free(packet);
	return fits;
}

static bool send_challenge(struct shard *shard, struct client *client,
			   const struct auth_answer *answer)
{
	struct authentication *authentication = of_client(client);
	must(authentication && answer->exchange);
	if (authentication->exchange == NULL)
		purse_force(&shard->purse, EXCHANGE_COST);
	authentication->exchange = answer->exchange;
	/* [MQTT-4.12.0-2] */
	return send_auth(shard, client, MQTT_CONTINUE_AUTHENTICATION, answer->data);
}

/* ---- CONNECT ---- */

static struct slice client_id_of(const struct client *client)
{
	return slice_of(client->connecting->client_id, client->connecting->client_id_len);
}

/* By what was said; never by whom. */
static void count_login(struct shard *shard, enum mqtt_reason reason)
{
	static const struct {
		enum mqtt_reason reason;
		enum happened_name name;
	} results[] = {
	    {MQTT_SUCCESS, HAPPENED_LOGINS_ACCEPTED},
	    {MQTT_BAD_USER_NAME_OR_PASSWORD, HAPPENED_LOGINS_WRONG},
	    {MQTT_NOT_AUTHORIZED, HAPPENED_LOGINS_DENIED},
	    {MQTT_QUOTA_EXCEEDED, HAPPENED_LOGINS_WAIT},
	    {MQTT_SERVER_BUSY, HAPPENED_LOGINS_BUSY},
	    {MQTT_BANNED, HAPPENED_LOGINS_BANNED},
	};
	enum happened_name name = HAPPENED_LOGINS_OTHER;
	for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
		if (results[i].reason == reason)
			name = results[i].name;
	happened_add(&shard->happened, name, 1);
}

static void on_verdict(struct shard *shard, struct client *client, enum auth_verdict verdict,
		       const struct auth_answer *answer)
{
	client->connecting->grant = answer->grant;
	client->connecting->token.came_with = answer->token;
	switch (verdict) {
	case AUTH_REFUSE: /* [MQTT-4.12.0-4] */
		count_login(shard, answer->reason);
		connect_refuse(shard, client, answer->reason, answer->text);
		return;
	case AUTH_WAIT:
		client->state = CLIENT_AUTHENTICATING;
		shard_effect(shard, EFFECT_READ, client->link)->on = false;
		return;
	case AUTH_CONTINUE:
		client->state = CLIENT_EXCHANGING;
		if (!send_challenge(shard, client, answer))
			connect_refuse(shard, client, MQTT_PACKET_TOO_LARGE, NULL);
		return;
	case AUTH_ALLOW:
		count_login(shard, MQTT_SUCCESS);
		if (of_client(client))
			of_client(client)->data = answer->data;
		connect_begin_session(shard, client);
		return;
	}
}

void authenticate(struct shard *shard, struct client *client, const struct mqtt_connect *connect)
{
	struct auth_answer answer = {0};
	struct auth_request request = {
	    .link = client->link,
	    .serial = client->serial,
	    .allow_anonymous = client->listener->allow_anonymous,
	    .has_user_name = connect->has_user_name,
	    .has_password = connect->has_password,
	    .client_id = client_id_of(client),
	    .user_name = connect->has_user_name ? connect->user_name : SLICE_NONE,
	    .password = connect->has_password ? connect->password : SLICE_NONE,
	    .identity = shard->identity,
	    .tokens = tokens_for(shard, client_id_of(client)),
	};
	if (shard->identity) {
		request.has_user_name = true;
		request.has_password = false;
		request.user_name = shard->identity->name;
		request.password = SLICE_NONE;
	}
	if (mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD)) {
		request.method = connect->properties.authentication_method;
		if (!authentication_begin(shard, client, request.method)) {
			connect_refuse(shard, client, MQTT_QUOTA_EXCEEDED, memory_full);
			return;
		}
	} else {
		client->connecting->who =
		    rate_who(shard, request.has_user_name ? &request.user_name : NULL);
		request.client = habit_key(shard, client->connecting->who, client_id_of(client));
	}
	if (mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_DATA))
		request.data = connect->properties.authentication_data;
	enum auth_verdict verdict = shard->auth->check(shard->auth, &request, &answer);
	client->connecting->nobody = verdict == AUTH_ALLOW && shard->identity == NULL &&
				     (answer.grant == NULL || answer.grant->owner == 0);
	on_verdict(shard, client, verdict, &answer);
}

void on_authenticated(struct shard *shard, struct client *client, const struct event *event)
{
	client->state = CLIENT_LOBBY;
	client->connecting->grant = event->grant;
	shard_effect(shard, EFFECT_READ, client->link)->on = true;
	count_login(shard, event->reason);
	if (event->reason != MQTT_SUCCESS) {
		connect_refuse(shard, client, event->reason, NULL);
		return;
	}
	connect_begin_session(shard, client);
	if (client->state == CLIENT_UP)
		client_resume_reading(shard, client);
}

/* ---- AUTH ---- */

/* What is wrong with an AUTH from this client, apart from what it says; MQTT_SUCCESS: nothing. */
static enum mqtt_reason read_auth(const struct client *client, struct slice body,
				  struct mqtt_auth *packet)
{
	enum mqtt_reason reason = mqtt_decode_auth(body, packet);
	if (reason != MQTT_SUCCESS)
		return reason;
	const struct mqtt_properties *p = &packet->properties;
	const struct authentication *authentication = of_client(client);
	/* [MQTT-4.12.0-7] [MQTT-4.12.0-5] [MQTT-4.12.1-1]; decoding a body of nothing gives none */
	if (authentication == NULL || !mqtt_has(p, MQTT_PROPERTY_AUTHENTICATION_METHOD) ||
	    !slice_equal(p->authentication_method, method_of(authentication)))
		return MQTT_PROTOCOL_ERROR;
	bool begins = packet->reason == MQTT_REAUTHENTICATE;
	bool goes_on = packet->reason == MQTT_CONTINUE_AUTHENTICATION; /* [MQTT-4.12.0-3] */
	bool under_way = authentication->exchange != NULL;
	if (begins)
		return under_way || client->state != CLIENT_UP ? MQTT_PROTOCOL_ERROR : MQTT_SUCCESS;
	return goes_on && under_way ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

static enum auth_verdict ask_again(struct shard *shard, const struct client *client,
				   const struct mqtt_auth *packet, struct slice client_id,
				   const struct auth_grant *grant, struct auth_answer *answer)
{
	struct auth_request request = {
	    .link = client->link,
	    .serial = client->serial,
	    .client_id = client_id,
	    .method = method_of(of_client(client)),
	    .exchange = of_client(client)->exchange,
	    .grant = grant,
	};
	if (mqtt_has(&packet->properties, MQTT_PROPERTY_AUTHENTICATION_DATA))
		request.data = packet->properties.authentication_data;
	enum auth_verdict verdict = shard->auth->check(shard->auth, &request, answer);
	must(verdict != AUTH_WAIT);
	return verdict;
}

void on_auth_connecting(struct shard *shard, struct client *client, struct slice body)
{
	struct mqtt_auth packet;
	struct auth_answer answer = {0};
	enum mqtt_reason reason = read_auth(client, body, &packet);
	if (reason != MQTT_SUCCESS) {
		COUNT(shard, MALFORMED);
		connect_refuse(shard, client, reason,
			       "AUTH has to go on with the authentication of CONNECT");
		return;
	}
	enum auth_verdict verdict =
	    ask_again(shard, client, &packet, client_id_of(client), NULL, &answer);
	on_verdict(shard, client, verdict, &answer);
}

/* It has shown again who it is; the rights of now are in force. */
static void reauthenticated(struct shard *shard, struct client *client, struct session *session,
			    const struct auth_answer *answer)
{
	must(answer->grant && answer->grant->owner == rights_owner(shard, session));
	rights_take(shard, session, answer->grant);
	if (!send_auth(shard, client, MQTT_SUCCESS, answer->data))
		client_fail(shard, client, MQTT_PACKET_TOO_LARGE, NULL);
	else
		end_exchange(shard, client->authentication);
}

/*
 * The door answers with codes of CONNACK, of which not all may stand in a DISCONNECT: 0x8A and 0x86
 * may not.  Then it says what they come to. [MQTT-3.14.2-1]
 */
static enum mqtt_reason reason_again(enum mqtt_reason reason)
{
	return mqtt_reason_allowed((uint8_t)reason, MQTT_DISCONNECT) ? reason : MQTT_NOT_AUTHORIZED;
}

void on_auth(struct shard *shard, struct client *client, struct slice body)
{
	struct mqtt_auth packet;
	struct auth_answer answer = {0};
	struct session *session = session_at(shard, client->session);
	enum mqtt_reason reason = read_auth(client, body, &packet);
	if (reason != MQTT_SUCCESS) {
		COUNT(shard, MALFORMED);
		client_fail(
		    shard, client, reason,
		    client->authentication
			? "AUTH begins with 0x19 and goes on with 0x18, with the method of CONNECT"
			: "AUTH without an authentication method in CONNECT");
		return;
	}
	switch (ask_again(shard, client, &packet, session_client_id(session),
			  rights_grant(shard, session), &answer)) {
	case AUTH_ALLOW:
		reauthenticated(shard, client, session, &answer);
		return;
	case AUTH_CONTINUE:
		if (!send_challenge(shard, client, &answer))
			client_fail(shard, client, MQTT_PACKET_TOO_LARGE, NULL);
		return;
	default: /* [MQTT-4.12.1-2] */
		client_fail(shard, client, reason_again(answer.reason), answer.text);
		return;
	}
}
