/* token_bench.c - see token_bench.h. */
#include "tests/unit/token_bench.h"

#include <stdio.h>

static void write_token(unsigned number, char text[AUTH_TOKEN_SIZE + 1])
{
	snprintf(text, AUTH_TOKEN_SIZE + 1, "token %06u %041u", number % 1000000, 0u);
}

/* A password: "password", or a token that is known for this client identifier. */
static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	const struct auth_tokens *known = request->tokens;
	struct slice password = request->password;

	answer->reason = MQTT_BAD_USER_NAME_OR_PASSWORD;
	answer->grant = ((struct bench *)auth)->grant;
	if (slice_equal(password, slice_text("password")))
		return AUTH_ALLOW;
	if (password.len != AUTH_TOKEN_SIZE || known == NULL)
		return AUTH_REFUSE;
	if (memcmp(password.at, known->latest, AUTH_TOKEN_MAC_SIZE) == 0)
		answer->token = AUTH_TOKEN_LATEST;
	else if (memcmp(password.at, known->before, AUTH_TOKEN_MAC_SIZE) == 0)
		answer->token = AUTH_TOKEN_BEFORE;
	return answer->token ? AUTH_ALLOW : AUTH_REFUSE;
}

static bool has_tokens(struct auth *auth, const struct auth_grant *grant, uint32_t link)
{
	(void)grant;
	(void)link;
	return ((struct bench *)auth)->tokens_allowed;
}

static bool make_token(struct auth *auth, const struct auth_grant *grant, struct slice client_id,
		       uint8_t text[AUTH_TOKEN_SIZE], uint8_t kept[AUTH_TOKEN_MAC_SIZE])
{
	char made_text[AUTH_TOKEN_SIZE + 1];

	(void)grant;
	(void)client_id;
	write_token(++((struct bench *)auth)->tokens_made, made_text);
	memcpy(text, made_text, AUTH_TOKEN_SIZE);
	memcpy(kept, made_text, AUTH_TOKEN_MAC_SIZE);
	return true;
}

void token_begin(struct bench *bench, unsigned shards, bool durable)
{
	bench_init(bench, shards);
	bench->tokens_allowed = true;
	bench->auth.check = check;
	bench->auth.has_tokens = has_tokens;
	bench->auth.make_token = make_token;
	bench->settings.token_lifetime_s = TOKEN_LIFETIME_S;
	bench->durable = durable;
	bench_start(bench);
}

/* One client, and how it connects. */
static struct asking {
	struct mqtt_connect connect;
	char password[AUTH_TOKEN_SIZE + 1];
	char property[64];
} asking;

struct mqtt_connect *token_connect(enum mqtt_version version, const char *id, uint32_t expiry_s,
				   unsigned token, const char *asks)
{
	struct mqtt_connect *connect = &asking.connect;

	*connect =
	    expiry_s ? connect_lasting(version, id, expiry_s) : connect_of(version, id, true);
	if (token)
		write_token(token, asking.password);
	else
		snprintf(asking.password, sizeof asking.password, "password");
	connect->has_user_name = connect->has_password = true;
	connect->user_name = slice_text("user");
	connect->password = slice_text(asking.password);
	if (asks) {
		int n =
		    snprintf(asking.property, sizeof asking.property, "%c%c%cmetrino-token%c%c%s",
			     0x26, 0, 13, 0, (char)strlen(asks), asks);
		connect->properties.user = slice_of(asking.property, (size_t)n);
	}
	return connect;
}

unsigned token_connack(struct peer *peer, uint8_t reason, bool session, int line)
{
	struct mqtt_connack connack = peer_expect_connack(peer, reason, line);
	struct slice raw = connack.properties.raw, name, value;
	unsigned number = 0;

	ck_assert_msg(connack.session_present == session, "line %d: session present", line);
	while (mqtt_next_user_property(&raw, &name, &value)) {
		ck_assert(slice_equal(name, slice_text("metrino-token")));
		ck_assert_uint_eq(value.len, AUTH_TOKEN_SIZE);
		ck_assert_uint_eq(number, 0);
		ck_assert_int_eq(sscanf((const char *)value.at, "token %u", &number), 1);
	}
	return number;
}

struct peer *token_up(struct bench *bench, const struct mqtt_connect *connect, bool session,
		      unsigned token, int line)
{
	struct peer *peer = peer_open(bench, 0, connect->version);
	unsigned came;

	peer_connect(peer, connect);
	came = token_connack(peer, 0, session, line);
	ck_assert_msg(came == token, "line %d: token %u instead of %u", line, came, token);
	return peer;
}

void token_refused(struct bench *bench, const struct mqtt_connect *connect, int line)
{
	struct peer *peer = peer_open(bench, 0, connect->version);

	peer_connect(peer, connect);
	peer_expect_connack(
	    peer, connect->version == MQTT_VERSION_5_0 ? MQTT_BAD_USER_NAME_OR_PASSWORD : 4, line);
	ck_assert(!peer->open);
}

void token_expect(struct peer *peer, unsigned number, int line)
{
	char text[AUTH_TOKEN_SIZE + 1];

	write_token(number, text);
	peer_expect_publish(peer, 0, 0, TOKEN_TOPIC, "", text, line);
}
