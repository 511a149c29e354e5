/*
 * Who a client is, and what the door says to it: refusals, identities that the transport proves,
 * answers that come later, and where it is served.  MQTT 5.0 sections 3.1.3 and 3.2.2.2.
 */
#include "proto/wire.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

/* ---- auth ---- */

/* [MQTT-3.1.4-2]: refused before anything of a session is touched. */
START_TEST(refused_by_auth)
{
	struct mqtt_connect three = connect_of(MQTT_VERSION_3_1_1, "a", true);
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *first, *peer;

	bench_begin(&bench, 1);
	first = new_peer(&bench, MQTT_VERSION_5_0, "a");
	bench.verdict = AUTH_REFUSE;
	bench.refusal = MQTT_BAD_USER_NAME_OR_PASSWORD;
	peer = peer_open(&bench, 0, MQTT_VERSION_3_1_1);
	peer_connect(peer, &three);
	expect_connack(peer, 0x04);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &five);
	expect_connack(peer, 0x86);
	expect_nothing(first);
	bench_finish(&bench);
}
END_TEST

/* What the last CONNECT asked of auth. */
static struct auth_request asked;
static uint8_t asked_name[64];

static enum auth_verdict note(struct auth *auth, const struct auth_request *request,
			      struct auth_answer *answer)
{
	(void)auth;
	(void)answer;
	asked = *request;
	ck_assert_uint_le(request->user_name.len, sizeof asked_name);
	if (request->user_name.len > 0)
		memcpy(asked_name, request->user_name.at, request->user_name.len);
	asked.user_name = slice_of(asked_name, request->user_name.len);
	return AUTH_ALLOW;
}

/* Who the transport has proved a client to be goes before what its CONNECT says. */
START_TEST(proved_by_the_transport)
{
	const struct identity identity = {IDENTITY_CERTIFICATE, SLICE_LITERAL("device 7")};
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *peer;

	bench_begin(&bench, 1);
	bench.auth.check = note;
	connect.has_user_name = connect.has_password = true;
	connect.user_name = SLICE_LITERAL("mallory");
	connect.password = SLICE_LITERAL("secret");
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_SUCCESS);
	ck_assert_ptr_null(asked.identity);
	ck_assert(asked.has_password && slice_equal(asked.user_name, connect.user_name));
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer->identity = &identity;
	connect.client_id = SLICE_LITERAL("b");
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_SUCCESS);
	ck_assert_ptr_eq(asked.identity, &identity);
	ck_assert(asked.has_user_name && slice_equal(asked.user_name, identity.name));
	ck_assert(!asked.has_password && asked.password.len == 0);
	bench_finish(&bench);
}
END_TEST

/* use_username_as_clientid takes the proved name, too: a second one takes over. */
START_TEST(proved_name_as_client_id)
{
	const struct identity identity = {IDENTITY_PSK, SLICE_LITERAL("device 7")};
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *first, *second;

	bench_begin(&bench, 1);
	bench.listener.use_user_name_as_client_id = true;
	first = peer_open(&bench, 0, MQTT_VERSION_5_0);
	first->identity = &identity;
	peer_connect(first, &connect);
	expect_connack(first, MQTT_SUCCESS);
	second = peer_open(&bench, 0, MQTT_VERSION_5_0);
	second->identity = &identity;
	connect.client_id = SLICE_LITERAL("b");
	peer_connect(second, &connect);
	expect_connack(second, MQTT_SUCCESS);
	expect_end(first, MQTT_SESSION_TAKEN_OVER);
	bench_finish(&bench);
}
END_TEST

/* Where the user name is the client identifier nobody comes in without one: neither absent, nor
 * empty, nor for an authentication method to prove later; and whatever identifier they give. */
START_TEST(nobody_without_a_name)
{
	static const struct {
		enum mqtt_version version;
		uint8_t answer;
	} versions[] = {{MQTT_VERSION_3_1, 0x05},
			{MQTT_VERSION_3_1_1, 0x05},
			{MQTT_VERSION_5_0, MQTT_NOT_AUTHORIZED}};
	static const char *const ids[] = {"a", ""};

	bench_begin(&bench, 1);
	bench.listener.use_user_name_as_client_id = true;
	for (size_t i = 0; i < COUNT_OF(versions) * COUNT_OF(ids) * 2; i++) {
		enum mqtt_version version = versions[i / 4].version;
		struct mqtt_connect connect = connect_of(version, ids[i / 2 % 2], true);
		struct peer *peer = peer_open(&bench, 0, version);

		connect.has_user_name = i % 2 != 0; /* of no byte */
		peer_connect(peer, &connect);
		expect_connack(peer, versions[i / 4].answer);
	}
	ck_assert_uint_eq(counted(&bench, CONNECTS), 0);
	bench_finish(&bench);
}
END_TEST

/* What the client gives as its identifier does not count beside the name: the next one takes
 * over. */
START_TEST(name_as_client_id)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *first, *second;

	bench_begin(&bench, 1);
	bench.listener.use_user_name_as_client_id = true;
	connect.has_user_name = true;
	connect.user_name = SLICE_LITERAL("device 7");
	first = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(first, &connect);
	expect_connack(first, MQTT_SUCCESS);
	connect.client_id = SLICE_LITERAL("");
	second = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(second, &connect);
	expect_connack(second, MQTT_SUCCESS);
	expect_end(first, MQTT_SESSION_TAKEN_OVER);
	bench_finish(&bench);
}
END_TEST

/* What let a client in is revoked: it is told, and its session stays. */
START_TEST(expelled)
{
	struct event expel = {.type = EVENT_LINK_EXPELLED};
	struct peer *up, *old, *lobby;

	bench_begin(&bench, 1);
	up = new_peer(&bench, MQTT_VERSION_5_0, "a");
	old = new_peer(&bench, MQTT_VERSION_3_1_1, "b");
	lobby = peer_open(&bench, 0, MQTT_VERSION_5_0);
	expel.link = up->link;
	bench_event(&bench, 0, &expel);
	expect_end(up, MQTT_NOT_AUTHORIZED);
	expel.link = old->link;
	bench_event(&bench, 0, &expel);
	expect_end(old, 0);
	expel.link = lobby->link;
	bench_event(&bench, 0, &expel);
	expect_closed(lobby);
	bench_finish(&bench);
}
END_TEST

/* While auth takes its time nothing more is read; what was read already is kept or dropped.
 * [MQTT-3.1.4-6] */
START_TEST(waits_for_auth)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *peer;

	bench_begin(&bench, 1);
	for (int allowed = 0; allowed < 2; allowed++) {
		bench.verdict = AUTH_WAIT;
		peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
		peer_connect(peer, &five);
		expect_nothing(peer);
		ck_assert(!peer->reading);
		peer_send(peer, 0xC0, ""); /* was on its way */
		peer_send(peer, 0x30, "0001 't' 00 'x'");
		expect_nothing(peer);
		peer_authenticated(peer, allowed ? MQTT_SUCCESS : MQTT_NOT_AUTHORIZED);
		expect_connack(peer, allowed ? 0 : 0x87);
		if (allowed) {
			expect(peer, 0xD0, "");
			ck_assert(peer->reading);
		}
		ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), (uint64_t)allowed);
		peer_authenticated(peer, MQTT_NOT_AUTHORIZED); /* too late: means nobody */
	}
	/* The client goes while auth thinks. */
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &five);
	peer_lose(peer);
	peer_authenticated(peer, MQTT_SUCCESS);
	ck_assert_uint_eq(counted(&bench, CONNECTS), 1);
	/* The number of a link is used again: an answer is for one connection only. */
	uint64_t first = bench.asked_serial;
	struct peer *other = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(other, &five);
	ck_assert_uint_ne(bench.asked_serial, first);
	bench_event(
	    &bench, 0,
	    &(struct event){.type = EVENT_AUTHENTICATED, .link = other->link, .serial = first});
	expect_nothing(other);
	ck_assert_uint_eq(counted(&bench, CONNECTS), 1);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.4-6]: data behind CONNECT is used when accepted, dropped when refused. */
START_TEST(pipelined_behind_connect)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	uint8_t bytes[256];
	size_t n;
	struct peer *peer;

	bench_begin(&bench, 1);
	n = mqtt_encode_connect(bytes, sizeof bytes, &five);
	n += mqtt_encode_empty(bytes + n, sizeof bytes - n, MQTT_PINGREQ);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_bytes(peer, slice_of(bytes, n));
	expect_connack(peer, 0);
	expect(peer, 0xD0, "");
	bench.verdict = AUTH_REFUSE;
	bench.refusal = MQTT_NOT_AUTHORIZED;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_bytes(peer, slice_of(bytes, n));
	expect_connack(peer, 0x87);
	bench_finish(&bench);
}
END_TEST

/* ---- home ---- */

/* Accepted anywhere, served at home, with all that was sent behind CONNECT. */
START_TEST(moves_home)
{
	struct mqtt_connect five;
	uint8_t bytes[256];
	size_t n;
	struct peer *peer;

	bench_begin(&bench, 3);
	five = connect_of(MQTT_VERSION_5_0, bench_name(&bench, 2, "c"), true);
	n = mqtt_encode_connect(bytes, sizeof bytes, &five);
	n += mqtt_encode_empty(bytes + n, sizeof bytes - n, MQTT_PINGREQ);
	bytes[n++] = 0xC0; /* half a packet */
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_bytes(peer, slice_of(bytes, n));
	ck_assert_uint_eq(peer->shard, 2);
	expect_connack(peer, 0);
	expect(peer, 0xD0, "");
	bytes[0] = 0x00;
	peer_bytes(peer, slice_of(bytes, 1));
	expect(peer, 0xD0, "");
	/* A take-over from another door. */
	struct peer *second = come_up(&bench, 1, &five, false);
	expect_end(peer, MQTT_SESSION_TAKEN_OVER);
	ck_assert_uint_eq(second->shard, 2);
	bench_finish(&bench);
}
END_TEST

/* A move does not start the connect time-out anew. */
START_TEST(move_keeps_the_deadline)
{
	struct mqtt_connect five;
	struct peer *peer;
	uint8_t bytes[128];
	size_t n;

	bench_begin(&bench, 2);
	bench.verdict = AUTH_WAIT;
	five = connect_of(MQTT_VERSION_5_0, bench_name(&bench, 1, "c"), true);
	n = mqtt_encode_connect(bytes, sizeof bytes, &five);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	bench_pass_ms(&bench, 9000);
	peer_bytes(peer, slice_of(bytes, n));
	ck_assert_uint_eq(peer->shard, 1);
	peer_authenticated(peer, MQTT_SUCCESS);
	expect_connack(peer, 0);
	bench_pass_ms(&bench, 60000);
	expect_nothing(peer); /* nor does it go on once CONNACK was sent */
	bench_finish(&bench);
}
END_TEST

Suite *shard_login_suite(void)
{
	const TTest *tests[] = {
	    refused_by_auth,	     proved_by_the_transport,  proved_name_as_client_id,
	    nobody_without_a_name,   name_as_client_id,	       expelled,
	    waits_for_auth,	     pipelined_behind_connect, moves_home,
	    move_keeps_the_deadline,
	};

	return suite_of("shard_login", tests, COUNT_OF(tests));
}
