/*
 * world.h - one to three shards with a store, mail between them and their links, for fuzzers:
 * what a shell does (shard.h), one step at a time, in virtual time, in an order that the input
 * chooses.  Claims what always holds: no effect comes from writing, memory stays within
 * its limit and a turn's slack, and nothing is charged once all is freed.
 */
#ifndef TESTS_FUZZ_WORLD_H
#define TESTS_FUZZ_WORLD_H

#include "auth/auth.h"
#include "broker/core/budget.h"
#include "broker/core/shard.h"
#include "storage/store.h"
#include "tests/fuzz/client.h"

#define WORLD_SHARDS 3u
#define WORLD_LINKS  8u

struct world;

struct link {
	bool open;    /* a shard knows of it, or it is on its way to one */
	bool moving;  /* on its way */
	bool closing; /* the shard asked for the end */
	bool lost;    /* the client is gone */
	bool reading;
	bool full; /* its socket takes nothing */
	bool auth_waits;
	uint64_t auth_serial;
	uint16_t shard;
	uint64_t opened_ms;
	struct stream unread;
	struct client client;
};

/* What waits for a shard, in the order of arrival. */
struct parcel {
	struct parcel *next;
	struct mail *mail;
	struct store_batch *batch;
	uint32_t link; /* arrives, with `bytes` (owned), if neither of the others is there */
	struct slice bytes;
};

struct parcels {
	struct parcel *first, **end;
};

struct world {
	struct auth auth; /* first: the shards get its address */
	bool auth_waits;  /* answers come later */
	bool auth_refuses;
	struct auth_grant grant; /* of who came by an exchange */
	unsigned grants;	 /* of it, that are not back */
	unsigned exchanges;	 /* that are not ended */
	unsigned tokens;	 /* that were made */
	struct core_settings settings;
	struct listener_settings listener;
	struct shard_setup setup;
	unsigned count;
	struct shard *shards[WORLD_SHARDS];
	struct parcels inbox[WORLD_SHARDS];
	struct parcels submitted; /* batches that the store has not answered */
	struct budget budget;
	struct purse purse; /* of what is dropped on the way */
	struct moment now;
	struct store *store;
	struct link links[WORLD_LINKS];
};

/* Answers as `auth_waits` and `auth_refuses` of its world say; grants and exchanges are counted
 * there. */
extern const struct auth world_auth;

/* Sets limits that are low enough to be met; to be changed before world_begin(). */
void world_init(struct world *world, unsigned shards);
void world_begin(struct world *world);

/* Frees all.  If `in_order`, clients are told and the store answered first. */
void world_end(struct world *world, bool in_order);

/* All shards end at once and are made again from the store. */
void world_restart(struct world *world, bool in_order);

/* shard_write_state(), as a copy that outlives the shard; to be freed with exact_free(). */
struct slice world_state(const struct world *world, unsigned shard);

/* One turn of a shard: at most `parcels` of what waits, timers, links, effects. */
void world_turn(struct world *world, unsigned shard, unsigned parcels);

/* Turns until nothing is left to do, with the store answering at once. */
void world_settle(struct world *world);

/* Lets the store answer the oldest batch; false when there is none. */
bool world_store_answers(struct world *world, bool commit);

/* Lets time pass, with timers on time. */
void world_pass_ms(struct world *world, uint64_t ms);

void world_event(struct world *world, unsigned shard, const struct event *event);

/* ---- links ---- */

void link_open(struct world *world, uint32_t number, unsigned shard);
void link_send(struct world *world, uint32_t number, struct slice bytes);
void link_lose(struct world *world, uint32_t number);
void link_answer_auth(struct world *world, uint32_t number);

#endif
