/*
 * token_bench.h - a bench (shard_bench.h) whose one user logs in by "password" or by a session
 * token. Its tokens are numbered: "token 000001 ...".
 */
#ifndef TESTS_UNIT_TOKEN_BENCH_H
#define TESTS_UNIT_TOKEN_BENCH_H

#include "tests/unit/shard_bench.h"

#define TOKEN_TOPIC	 "$metrino/token"
#define TOKEN_LIFETIME_S 21600u

/* bench_init() and bench_start(); whoever is let in may have tokens. */
void token_begin(struct bench *bench, unsigned shards, bool durable);

/*
 * A CONNECT by the password (token 0) or by a token; `asks`: the value of its user property, or
 * NULL. Good until the next call.
 */
struct mqtt_connect *token_connect(enum mqtt_version version, const char *id, uint32_t expiry_s,
				   unsigned token, const char *asks);

/* What is in the CONNACK that comes: the number of a token, or 0. */
unsigned token_connack(struct peer *peer, uint8_t reason, bool session, int line);

/* A connection that is let in, and gets this token in CONNACK, or is not. */
struct peer *token_up(struct bench *bench, const struct mqtt_connect *connect, bool session,
		      unsigned token, int line);
void token_refused(struct bench *bench, const struct mqtt_connect *connect, int line);

/* The token that comes by its topic. */
void token_expect(struct peer *peer, unsigned number, int line);

#endif
