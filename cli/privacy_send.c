/* privacy_send.c - the canaries of `metrino privacy verify`, and that they arrive. */
#include "cli/client.h"
#include "cli/privacy.h"
#include "proto/reason.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS	 5000
#define SESSION_EXPIRY_S 600u

/* What is sent: each with a topic and a payload of its own. */
enum kind {
	KIND_QOS0,
	KIND_QOS1,
	KIND_QOS2,
	KIND_RETAINED,
	KIND_TLS,
	KIND_WS,
	KIND_WSS,
	KIND_WILL,
	KIND_AWAY,
	KINDS
};

static const struct {
	const char *name;
	uint8_t qos;
	bool retain;
} kinds[KINDS] = {
    [KIND_QOS0] = {"qos0", 0, false}, [KIND_QOS1] = {"qos1", 1, false},
    [KIND_QOS2] = {"qos2", 2, false}, [KIND_RETAINED] = {"retained", 1, true},
    [KIND_TLS] = {"tls", 1, false},   [KIND_WS] = {"websocket", 1, false},
    [KIND_WSS] = {"wss", 1, false},   [KIND_WILL] = {"will", 1, false},
    [KIND_AWAY] = {"away", 1, false},
};

/* The ways in besides plain TCP: each carries a message of its own where the broker has it. */
static const struct way {
	enum kind kind;
	bool tls, ws;
	const char *name;
} ways[] = {
    {KIND_TLS, true, false, "over TLS"},
    {KIND_WS, false, true, "over WebSocket"},
    {KIND_WSS, true, true, "over WebSocket and TLS"},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* 0: the broker does not have it. */
static uint16_t way_port(const struct privacy_request *request, const struct way *way)
{
	return way->ws ? way->tls ? request->wss_port : request->ws_port : request->tls_port;
}

struct words {
	char topics[KINDS][128];
	char payloads[KINDS][128];
	char receiver[128], sender[128], filter[128];
};

struct party {
	struct client client;
	struct client_settings settings;
	const struct words *words;
	const struct way *way; /* NULL: plain TCP */
	bool arrived[KINDS];
	bool subscribed;
};

static void make_words(const struct privacy *privacy, struct words *words, struct needles *needles)
{
	const char *word = privacy->request.canary;

	snprintf(words->receiver, sizeof(words->receiver), "%.80s-receiver", word);
	snprintf(words->sender, sizeof(words->sender), "%.80s-sender", word);
	snprintf(words->filter, sizeof(words->filter), "%.80s/#", word);
	for (size_t i = 0; i < KINDS; i++) {
		snprintf(words->topics[i], sizeof(words->topics[i]), "%.80s/%s", word,
			 kinds[i].name);
		snprintf(words->payloads[i], sizeof(words->payloads[i]), "%.80s-payload-%s", word,
			 kinds[i].name);
		needles_add(needles, words->topics[i]);
		needles_add(needles, words->payloads[i]);
	}
	needles_add(needles, words->receiver);
	needles_add(needles, words->sender);
	needles_add(needles, word);
}

/* ---- connections */

static void on_message(struct client *client, const struct mqtt_publish *publish)
{
	struct party *party = client->user;

	for (size_t i = 0; i < KINDS; i++)
		if (slice_equal(publish->topic, slice_text(party->words->topics[i])) &&
		    slice_equal(publish->payload, slice_text(party->words->payloads[i])))
			party->arrived[i] = true;
}

static void on_answer(struct client *client, uint8_t type, uint16_t packet_id, struct slice reasons)
{
	struct party *party = client->user;

	(void)packet_id;
	(void)reasons;
	if (type == MQTT_SUBACK)
		party->subscribed = true;
}

/* By packet type. */
static const struct mqtt_properties no_properties[MQTT_AUTH + 1];

static const struct client_events events = {on_message, on_answer};

static bool enter(const struct privacy *privacy, struct party *party, const char *id, bool lasting,
		  bool clean, struct failure *failure)
{
	const struct privacy_request *request = &privacy->request;
	struct mqtt_connect *connect = &party->settings.connect;

	party->settings.target =
	    (struct dial_target){.host = request->host,
				 .port = party->way ? way_port(request, party->way) : request->port,
				 .timeout_ms = PATIENCE_MS};
	party->settings.inflight_max = 20;
	party->settings.properties = no_properties;
	connect->version = MQTT_VERSION_5_0;
	connect->clean_start = clean;
	connect->keep_alive_s = 60;
	connect->client_id = slice_text(id);
	if (request->user) {
		connect->has_user_name = true;
		connect->user_name = slice_text(request->user);
		connect->has_password = request->password != NULL;
		connect->password = request->password ? slice_text(request->password) : SLICE_NONE;
	}
	if (lasting) {
		mqtt_set(&connect->properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
		connect->properties.session_expiry_s = SESSION_EXPIRY_S;
	}
	if (client_connect(&party->client, &party->settings, &events, party, failure))
		return true;
	return party->client.refused
		   ? failure_set(failure,
				 "the broker refuses a client: %s; -u NAME, with METRINO_PASSWORD, "
				 "is who it lets in",
				 mqtt_reason_text(party->client.refusal))
		   : false;
}

/* Turns the client until everything of these kinds is here, or time is over. */
static bool await(struct party *party, unsigned wanted, struct failure *failure)
{
	const int64_t until_ms = clock_now_ms() + PATIENCE_MS;

	for (;;) {
		unsigned have = 0;

		for (unsigned i = 0; i < KINDS; i++)
			have |= party->arrived[i] ? 1u << i : 0;
		if ((have & wanted) == wanted && party->client.unanswered == 0)
			return true;
		if (clock_now_ms() >= until_ms)
			return failure_set(failure,
					   "a message did not arrive within %d seconds; whoever -u "
					   "names has to be allowed to publish and subscribe below "
					   "the word (--canary)",
					   PATIENCE_MS / 1000);
		if (!client_step(&party->client, -1, clock_now_ms() + 50, failure))
			return false;
	}
}

static bool publish(struct party *party, enum kind kind, bool empty, struct failure *failure)
{
	struct mqtt_publish publish = {.qos = kinds[kind].qos,
				       .retain = kinds[kind].retain,
				       .topic = slice_text(party->words->topics[kind]),
				       .payload = empty ? SLICE_NONE
							: slice_text(party->words->payloads[kind])};

	return client_publish(&party->client, &publish, failure);
}

/* ---- the play */

static bool subscribe(struct party *receiver, struct failure *failure)
{
	const struct mqtt_subscription all = {.filter = slice_text(receiver->words->filter),
					      .qos = 2};
	const int64_t until_ms = clock_now_ms() + PATIENCE_MS;

	if (!client_subscribe(&receiver->client, &all, 1, NULL, failure))
		return false;
	while (!receiver->subscribed && clock_now_ms() < until_ms)
		if (!client_step(&receiver->client, -1, until_ms, failure))
			return false;
	return receiver->subscribed || failure_set(failure, "no SUBACK came");
}

/* By another client than the one with the will. */
static bool send_this_way(const struct privacy *privacy, const struct words *words,
			  const struct way *way, struct failure *failure)
{
	const struct privacy_request *request = &privacy->request;
	const struct tls_client_settings tls = {.host = request->host, .cafile = request->cafile};
	const struct ws_client_settings ws = {.host = request->host,
					      .port = way_port(request, way)};
	struct party party = {
	    .words = words,
	    .way = way,
	    .settings.layers = {.tls = way->tls ? &tls : NULL, .ws = way->ws ? &ws : NULL}};
	char id[160];

	snprintf(id, sizeof(id), "%s-%s", words->sender, kinds[way->kind].name);
	const bool ok = enter(privacy, &party, id, false, true, failure) &&
			publish(&party, way->kind, false, failure) && await(&party, 0, failure);

	client_disconnect(&party.client);
	client_finish(&party.client);
	return ok || failure_context(failure, "%s", way->name);
}

/* What a receiver who was there the whole time has got by then. */
static bool send_every_way(const struct privacy *privacy, const struct words *words,
			   unsigned *arriving, struct failure *failure)
{
	*arriving = (1u << KIND_AWAY) - 1;
	for (size_t i = 0; i < WAYS; i++) {
		if (way_port(&privacy->request, &ways[i]) == 0)
			*arriving &= ~(1u << ways[i].kind);
		else if (!send_this_way(privacy, words, &ways[i], failure))
			return false;
	}
	return true;
}

static bool send_all(const struct privacy *privacy, struct party *receiver, struct party *sender,
		     struct failure *failure)
{
	struct mqtt_connect *connect = &sender->settings.connect;
	unsigned arriving;

	connect->has_will = true;
	connect->will.topic = slice_text(sender->words->topics[KIND_WILL]);
	connect->will.payload = slice_text(sender->words->payloads[KIND_WILL]);
	connect->will.qos = kinds[KIND_WILL].qos;
	if (!enter(privacy, sender, sender->words->sender, false, true, failure))
		return false;
	for (enum kind kind = KIND_QOS0; kind <= KIND_RETAINED; kind++)
		if (!publish(sender, kind, false, failure))
			return false;
	if (!await(sender, 0, failure) ||
	    !send_every_way(privacy, sender->words, &arriving, failure))
		return false;
	client_finish(&sender->client); /* without DISCONNECT: its will is published */
	return await(receiver, arriving, failure);
}

/* To a session that is away: it waits in the broker while we look. */
static bool send_away(const struct privacy *privacy, struct party *receiver, struct party *second,
		      struct failure *failure)
{
	client_disconnect(&receiver->client);
	client_finish(&receiver->client);
	return enter(privacy, second, second->words->sender, false, true, failure) &&
	       publish(second, KIND_AWAY, false, failure) && await(second, 0, failure);
}

static bool fetch_away(const struct privacy *privacy, const struct words *words,
		       struct failure *failure)
{
	struct party again = {.words = words};
	const bool ok = enter(privacy, &again, words->receiver, false, false, failure) &&
			await(&again, 1u << KIND_AWAY, failure);

	client_disconnect(&again.client); /* with no expiry: the session ends */
	client_finish(&again.client);
	return ok;
}

enum { RECEIVER, SENDER, SECOND, PARTIES };

static bool play_as(struct privacy *privacy, struct party parties[PARTIES],
		    const struct needles *needles,
		    void (*look)(struct privacy *privacy, const struct needles *needles),
		    struct failure *failure)
{
	const struct words *words = parties[RECEIVER].words;
	struct party *receiver = &parties[RECEIVER];
	struct party *second = &parties[SECOND];

	if (!enter(privacy, receiver, words->receiver, true, true, failure) ||
	    !subscribe(receiver, failure) ||
	    !send_all(privacy, receiver, &parties[SENDER], failure) ||
	    !send_away(privacy, receiver, second, failure))
		return false;
	look(privacy, needles);
	const bool ok = fetch_away(privacy, words, failure) &&
			publish(second, KIND_RETAINED, true, failure) && await(second, 0, failure);

	client_disconnect(&second->client);
	return ok;
}

/* Nothing of it stays in a broker that runs, wherever it ended. */
static void clear(const struct privacy *privacy, const struct words *words)
{
	struct party receiver = {.words = words};
	struct party sender = {.words = words};
	struct failure ignored;

	if (enter(privacy, &receiver, words->receiver, false, true, &ignored))
		client_disconnect(&receiver.client); /* with no expiry: the session ends */
	if (enter(privacy, &sender, words->sender, false, true, &ignored) &&
	    publish(&sender, KIND_RETAINED, true, &ignored) && await(&sender, 0, &ignored))
		client_disconnect(&sender.client);
	client_finish(&receiver.client);
	client_finish(&sender.client);
}

static bool play(struct privacy *privacy, const struct words *words, const struct needles *needles,
		 void (*look)(struct privacy *privacy, const struct needles *needles),
		 struct failure *failure)
{
	struct party parties[PARTIES];

	for (unsigned i = 0; i < PARTIES; i++)
		parties[i] = (struct party){.words = words, .client.channel.fd = -1};
	const bool ok = play_as(privacy, parties, needles, look, failure);

	for (unsigned i = 0; i < PARTIES; i++) /* wherever it ended */
		client_finish(&parties[i].client);
	if (!ok && parties[RECEIVER].subscribed)
		clear(privacy, words);
	return ok;
}

void privacy_send(struct privacy *privacy, struct needles *needles,
		  void (*look)(struct privacy *privacy, const struct needles *needles))
{
	struct words *words = calloc(1, sizeof(*words));
	struct failure failure = {""};
	char how[160];

	must(words);
	make_words(privacy, words, needles);
	const bool ok = play(privacy, words, needles, look, &failure);

	snprintf(how, sizeof(how), "QoS 0, 1, 2, retained, a will, a session that was away");
	for (size_t i = 0; i < WAYS; i++)
		if (way_port(&privacy->request, &ways[i]) != 0) {
			const size_t len = strlen(how);

			snprintf(how + len, sizeof(how) - len, ", %s", ways[i].name);
		}
	privacy_tell(privacy, "messages of every kind arrive", how, ok ? NULL : failure.text);
	free(words);
}
