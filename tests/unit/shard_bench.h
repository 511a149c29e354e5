/*
 * shard_bench.h - a bench for whole shards: one to three of them, a store, the mail
 * between them and their clients, in memory and in virtual time.
 *
 * A test sends packets through a struct peer (one network connection) and names,
 * byte by byte, the packets that have to come back.  Bytes are written as in
 * packets.h: "00 01 't'".  After each step the bench carries out all effects until
 * nothing is left to do; a test may hold mail or the store's answers back.
 *
 * The bench fails the running check test on a difference, naming the line of the test.
 */
#ifndef TESTS_UNIT_SHARD_BENCH_H
#define TESTS_UNIT_SHARD_BENCH_H

#include "auth/auth.h"
#include "broker/core/budget.h"
#include "broker/core/happened.h"
#include "broker/core/shard.h"
#include "proto/packet.h"
#include "storage/route/block.h"
#include "storage/store.h"
#include "tests/unit/packets.h"

#define BENCH_SHARDS 3
#define BENCH_PEERS  64
#define BENCH_NAMES  64

struct bench;

/* One network connection, seen from the client. */
struct peer {
	struct bench *bench;
	uint32_t link; /* its number, at whatever shard it is */
	uint16_t shard;
	uint8_t version;
	bool open;
	bool reading; /* what EFFECT_READ said last */
	bool full;    /* the socket takes nothing */
	uint16_t last_id;
	uint8_t *in; /* what the broker wrote and the test has not looked at */
	size_t in_len;
	const struct identity *identity; /* what the transport has proved */
};

/* Rules: one filter to read, one to write. */
struct bench_grant {
	struct auth_grant grant;
	struct bench *bench;
	struct slice read, write;
};

#define BENCH_ROW_NAME 17

/* A row of a delivery.  A pseudonym is the beginning of the client id here, and nobody "". */
struct bench_row {
	char from[BENCH_ROW_NAME], to[BENCH_ROW_NAME];
	uint8_t qos;
	uint8_t outcome;   /* enum route_outcome */
	uint64_t after_ms; /* since the first row of its block */
	uint32_t epoch;
};

/* Who clients are in rows: first, the shards get its address. */
struct bench_names {
	struct pseudonyms pseudonyms;
	const char *unrecorded; /* this client is to be in no row; NULL: all are */
	unsigned asked;
};

struct bench {
	struct auth auth;		     /* first: the shards get its address */
	struct address_rates *address_rates; /* the test's; NULL: none */
	enum auth_verdict verdict;
	enum mqtt_reason refusal;
	struct auth_grant *grant;      /* with AUTH_ALLOW; of struct bench_grant */
	struct auth_grant *next_grant; /* of EVENT_RIGHTS; NULL: nobody may stay */
	uint64_t asked_serial;	       /* of the last request */
	unsigned questions;	       /* about rights */
	unsigned released;	       /* grants */

	struct core_settings settings;
	struct listener_settings listener;
	bool durable;

	unsigned count;
	struct shard *shards[BENCH_SHARDS];
	struct budget budget;
	struct moment now;
	uint64_t known_s; /* at a start: it is as late as that at least */
	struct store *store;
	struct own_request *request; /* the last one; the test answers it */

	bool hold_mail;
	struct mail *mail, **mail_end;
	unsigned mails[MAIL_TYPES]; /* so many were sent */
	bool hold_store;
	unsigned refuse_batches; /* the next so many fail */
	unsigned batches;	 /* that were answered */
	unsigned starts;	 /* of the shards: their random numbers differ each time */
	struct store_batch *stored, **stored_end;

	struct bench_names pseudonyms;
	struct bench_row *rows; /* of all deliveries, as far as the shards gave them out */
	size_t row_count;
	size_t row_bytes;    /* that they took in their blocks */
	size_t rows_checked; /* against the counters of shards that are gone */

	bool tokens_allowed;  /* of token_bench.h */
	unsigned tokens_made; /* likewise */

	struct peer peers[BENCH_PEERS];
	char names[BENCH_NAMES][32];
	unsigned name_count;
};

/* Settings that limit nothing; to be changed before bench_start(). */
void bench_init(struct bench *bench, unsigned shards);
void bench_start(struct bench *bench);

/* bench_init() and bench_start() */
void bench_begin(struct bench *bench, unsigned shards);

/* Ends the shards, as SIGKILL would, and starts others with the same store. */
void bench_restart(struct bench *bench);

/* Answers the first batch, unless it is held or there is none, and gives the shards no turn. */
bool bench_answer(struct bench *bench, bool held);

/* With hold_store: answers the first batch, or all that there are and what comes of them. */
void bench_store_one(struct bench *bench);
void bench_store_all(struct bench *bench);

/* Commits what is held, and tells nobody: what a kill after a commit leaves behind. */
void bench_store_untold(struct bench *bench);

/* Ends everything and checks that no byte stays charged. */
void bench_finish(struct bench *bench);

/* Carries out what is to be done, apart from what is held. */
void bench_settle(struct bench *bench);

/* Lets time pass, with timers on time. */
void bench_pass_ms(struct bench *bench, uint64_t ms);

void bench_event(struct bench *bench, unsigned shard, const struct event *event);

/* Hands a peer what the shard has for it, unless the peer takes nothing. */
void bench_write_out(struct bench *bench, struct peer *peer);

/* A text whose hash makes this shard its home: a client id, a topic, "group/filter". */
const char *bench_name(struct bench *bench, unsigned home, const char *prefix);

/* Has the shards give out the rows that they have. */
void bench_gather_rows(struct bench *bench);

/* So many of the rows are those, NULL for any name. */
unsigned bench_rows(const struct bench *bench, const char *from, const char *to, uint8_t qos,
		    enum route_outcome outcome);

/* The sum of a counter or level over all shards. */
uint64_t bench_counted(const struct bench *bench, enum happened_name name);
#define counted(bench, name) bench_counted(bench, HAPPENED_##name)

/* ---- connections ---- */

/* Opens a connection at a shard; nothing is sent. */
struct peer *peer_open(struct bench *bench, unsigned shard, enum mqtt_version version);

/* The client (or the network) closes. */
void peer_lose(struct peer *peer);

/* What one read gives; nothing happens once the connection is closed. */
void peer_bytes(struct peer *peer, struct slice bytes);

/* The socket of a peer that was `full` takes everything again. */
void peer_unblock(struct peer *peer);

/* The socket of a peer that is `full` takes so many bytes, if there are. */
void peer_reads(struct peer *peer, size_t n);

/* A packet: its first byte, and its body in the notation of packets.h. */
void peer_send(struct peer *peer, uint8_t first, const char *body);

/* A CONNECT without properties. */
struct mqtt_connect connect_of(enum mqtt_version version, const char *client_id, bool clean);

/* Not clean, and of a session that outlives it for so long: in 5.0 as it says, earlier always. */
struct mqtt_connect connect_lasting(enum mqtt_version version, const char *client_id,
				    uint32_t expiry_s);
void peer_connect(struct peer *peer, const struct mqtt_connect *connect);

/* What auth, asked last with AUTH_WAIT, says at last. */
void peer_authenticated(const struct peer *peer, enum mqtt_reason reason);

/* A new connection that sends this, and gets CONNACK accepted: `session` present or not. */
struct peer *peer_up(struct bench *bench, unsigned shard, const struct mqtt_connect *connect,
		     bool session, int line);
#define come_up(bench, shard, connect, session) peer_up(bench, shard, connect, session, __LINE__)

/* The common case: at shard 0 (or moved), clean start, a new session. */
struct peer *peer_new(struct bench *bench, enum mqtt_version version, const char *id, int line);
#define new_peer(bench, version, id) peer_new(bench, version, id, __LINE__)

/* One filter; the SUBACK with what was asked for has to come. */
void peer_subscribe(struct peer *peer, const char *filter, uint8_t options, uint32_t identifier,
		    int line);
#define subscribe(peer, filter, options) peer_subscribe(peer, filter, options, 0, __LINE__)
#define subscribe_as(peer, filter, options, identifier)                                            \
	peer_subscribe(peer, filter, options, identifier, __LINE__)

/* flags: as in the first byte; properties: without their length, "" for none. */
void peer_publish(struct peer *peer, uint8_t flags, uint16_t packet_id, const char *topic,
		  const char *properties, const char *payload);

/* ---- what has to come ---- */

void peer_expect(struct peer *peer, uint8_t first, const char *body, int line);
#define expect(peer, first, body) peer_expect(peer, first, body, __LINE__)

void peer_expect_publish(struct peer *peer, uint8_t flags, uint16_t packet_id, const char *topic,
			 const char *properties, const char *payload, int line);
#define expect_publish(peer, flags, id, topic, properties, payload)                                \
	peer_expect_publish(peer, flags, id, topic, properties, payload, __LINE__)

void peer_expect_nothing(struct peer *peer, int line);
#define expect_nothing(peer) peer_expect_nothing(peer, __LINE__)

/* CONNACK with this code; the fields of what came, until the next thing happens. */
struct mqtt_connack peer_expect_connack(struct peer *peer, uint8_t reason, int line);
#define expect_connack(peer, reason) peer_expect_connack(peer, reason, __LINE__)

/* Nothing but the end of the connection; for 5.0 with `reason` 0: without DISCONNECT. */
void peer_expect_closed(struct peer *peer, int line);
#define expect_closed(peer) peer_expect_closed(peer, __LINE__)

/* The end: DISCONNECT with this reason for 5.0, and just closing before. */
void peer_expect_end(struct peer *peer, uint8_t reason, int line);
#define expect_end(peer, reason) peer_expect_end(peer, reason, __LINE__)

/* The first byte of a PUBLISH. */
#define QOS(n) ((n) << 1)
#define DUP    8
#define RETAIN 1

#endif
