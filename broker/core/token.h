/*
 * token.h - session tokens, as far as a shard is concerned: what is kept of them, when a client
 * gets a new one, and how long they are good.  Who makes them and knows them again is auth/auth.h.
 *
 * A client that proved with a secret who it is, over a link that nobody else reads, gets a token
 *   - in CONNACK, as the user property "metrino-token", when its CONNECT had one of that name,
 *   - and as a message of QoS 0 to "$metrino/token" when it subscribes to that; later when it
 *     connects, and every token_lifetime while it is connected.
 * One that logged in with the latest token has that, and gets none before it is as old: clients
 * that all come back at once are to cost little.
 *
 * The token before the latest is good until the latest is first used, or, when a client came with
 * it and has got a new one since, until that one is: what it logged in with stays good.
 *
 * They end with the session.  That of a session without expiry ends with its connection, but its
 * tokens are kept for token_lifetime, in memory only; those of a session that the client begins
 * anew with the token go on to the new one.  They end too when the client's grant does.
 *
 * Ownership: the shard owns the table: one entry for each client identifier that has tokens, named
 * by a keyed hash.  An entry costs about 130 bytes; TOKENS_PARTED_MAX bounds those without session.
 * The text of a token is nowhere but in CONNACK or PUBLISH.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_TOKEN_H
#define BROKER_CORE_TOKEN_H

#include "auth/auth.h"
#include "broker/core/index.h"
#include "broker/core/slab.h"
#include "broker/core/timer.h"

struct shard;
struct client;
struct session;
struct changes;

#define TOKEN_TOPIC    "$metrino/token"
#define TOKEN_PROPERTY "metrino-token"

#define TOKENS_PARTED_MAX 262144u

/* As it is stored with a session. */
struct token_row {
	uint8_t made_s[8]; /* when the latest was made, seconds since 1970, big-endian */
	struct auth_tokens kept;
};

/* Of what is stored with a session; 0: there is no token.  Thread: any. */
uint64_t token_made_s(struct slice stored);

struct token {
	uint32_t free; /* the slab's while the slot is free */
	uint32_t slot;
	bool unsaved;	  /* its session's row is on its way to the store without this */
	bool came_before; /* the client logged in with the one before, and got none since */
	uint64_t client;  /* hash of realm and client identifier */
	uint64_t owner;	  /* auth_owner() of whom the latest was made for */
	uint64_t session; /* number; 0: it has ended */
	struct token_row row;
	struct timer timer; /* the next one, while connected; the end, without a session */
};

struct tokens {
	struct slab slab; /* of struct token */
	struct index by_client;
};

/* What is between a CONNECT and its CONNACK. */
struct token_offer {
	bool asked; /* by CONNECT: "metrino-token" with the value "1" */
	enum auth_token came_with;
	uint8_t *text; /* AUTH_TOKEN_SIZE bytes of payload memory, owned; NULL: there is none */
};

void tokens_init(struct tokens *tokens);
void tokens_finish(struct shard *shard);

/* What is kept for a client identifier of realm 0; NULL for nothing. */
const struct auth_tokens *tokens_for(const struct shard *shard, struct slice client_id);

/* What is stored with a session; empty for nothing.  Borrowed until the next change. */
struct slice token_kept(const struct shard *shard, const struct session *session);
void token_restore(struct shard *shard, struct session *session, struct slice stored);

/*
 * The session of a CONNECT is there and has its grant: makes a token if one is due, into `offer`.
 * True: what is kept has changed, and goes with the session's row or by token_save().
 */
bool token_connected(struct shard *shard, struct session *session, struct token_offer *offer);

void token_save(struct shard *shard, struct session *session);

/* CONNACK is out, with or without it: it goes to the topic as well, if that is wanted. */
void token_offered(struct shard *shard, struct session *session, struct token_offer *offer);

/* Wipes the text. */
void token_offer_finish(struct shard *shard, struct token_offer *offer);

/* The client of a session has subscribed to "$metrino/token", and wants one now. */
void token_subscribed(struct shard *shard, struct session *session);

/* May it have any? */
bool token_allowed(struct shard *shard, const struct client *client, const struct session *session);

/* What the session that ends has goes on to the next one of its client identifier. */
void token_part(struct shard *shard, const struct session *session);

/* The session is at its end. */
void token_session_ended(struct shard *shard, const struct session *session);

/* All of an identity that is gone: EVENT_EXPEL. */
void tokens_expel(struct shard *shard, uint64_t owner);

/* Those whose owner may not log in any more end, with a session or without: EVENT_RIGHTS. */
void tokens_renew(struct shard *shard);

/* They are good no more. */
void token_revoke(struct shard *shard, struct session *session);

/* The store has answered to the session's row. */
void token_stored(struct shard *shard, struct session *session);

/* TIMER_TOKEN */
void token_timer(struct shard *shard, struct token *token);

#endif
