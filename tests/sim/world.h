/*
 * world.h - a world for the broker's core to live in: a virtual clock, shards,
 * mail, links and a disk, all driven by one seed.
 *
 * Nothing here is real but the core.  Time is a number; what will happen later
 * stands in a heap ordered by (time, order of scheduling).  Shards run in turns
 * of their own, so that several of them in one thread still interleave as
 * threads would.  Mail is posted into one box for each shard in order of
 * posting, as broker/mailbox does; chance decides when a shard looks into it.
 *
 * A fault stops the world: world_fault() keeps the first one, the name of the
 * check that found it, and the last lines of the trace.
 *
 * Thread: one.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "auth/auth.h"
#include "broker/core/budget.h"
#include "broker/core/happened.h"
#include "broker/core/settings.h"
#include "broker/core/shard.h"
#include "storage/route/block.h"
#include "tests/sim/bytes.h"
#include "tests/sim/plant.h"
#include "tests/sim/rng.h"

#define WORLD_SHARDS_MAX       4
#define WORLD_CLIENTS_MAX      12
#define WORLD_LINKS_AT_A_SHARD 128
#define WORLD_TRACE_LINES      120
#define WORLD_WALL_S	       1700000000u
#define WORLD_CLOCK_BEHIND_MS  8 /* less than that is a shard's clock behind the world's */
#define NEVER		       UINT64_MAX

struct device;
struct link;
struct oracle;
struct store;
struct world;

typedef void happening_fn(struct world *world, uint64_t n, void *arg);

struct happening {
	uint64_t when_ms;
	uint64_t order;
	happening_fn *call;
	uint64_t n;
	void *arg; /* from malloc, or NULL; `call` frees it */
};

/* What waits for a shard's next turn, beside the bytes of its links. */
enum inbox_type {
	INBOX_MAIL,
	INBOX_STORED,
	INBOX_AUTHENTICATED,
};

struct inbox_item {
	enum inbox_type type;
	struct mail *mail;
	struct store_batch *batch;
	struct link *link;
	uint64_t serial; /* of struct auth_request */
	enum mqtt_reason reason;
};

/* The answer to AUTH_WAIT needs to know at which shard it was asked. */
struct sim_auth {
	struct auth auth; /* first, so that a pointer to it is one to this */
	struct world *world;
	uint16_t shard;
};

struct sim_shard {
	struct shard *core;
	struct sim_auth auth;
	struct inbox_item *inbox;
	size_t inbox_count, inbox_room;
	struct link *links[WORLD_LINKS_AT_A_SHARD]; /* by link number */
	uint64_t turn_ms;			    /* when the next turn is due, NEVER for none */
	uint64_t timer_ms; /* when to look at the shard's timers, likewise */
	uint64_t clock_ms; /* what it has seen on the clock last */
};

struct disk {
	struct store *store;
	struct store_batch **waiting;
	size_t waiting_count, waiting_room;
	size_t committing;   /* so many of the first are being committed */
	uint64_t generation; /* counts kills: a commit begun before one is void */
};

/* What kind of world a seed makes; all chances in a thousand. */
struct profile {
	uint32_t steps;
	uint32_t stall;	 /* a shard sleeps for up to 60 ms */
	uint32_t refuse; /* the disk refuses a commit */
	uint32_t auth_wait;
	uint32_t delay_ms; /* a link's longest delay */
	bool cuts, half_opens, takeovers, restarts, hostile, slow_readers, tight_queues;
	bool durable;
};

/* Rows of deliveries, by destination (the last: anybody else); PUBLISHes, by DUP (rows.h). */
struct sim_rows {
	uint64_t to[WORLD_CLIENTS_MAX + 1][3][ROUTE_OUTCOMES];
	uint64_t recalled[WORLD_CLIENTS_MAX + 1];
	uint64_t seen[WORLD_CLIENTS_MAX][3][2];
};

/* What worlds were through, to see that they are worth something. */
struct sim_tally {
#define TALLY(name, text) uint64_t name;
#include "tests/sim/tally.def"
#undef TALLY
};

struct world {
	uint64_t seed;
	struct rng rng;
	struct profile profile;
	uint64_t now_ms;
	uint64_t order; /* of scheduling */
	uint64_t seq;	/* of what clients see and do; world_next_seq() */
	struct happening *heap;
	size_t heap_count, heap_room;

	uint16_t shard_count;
	bool up;	     /* the broker runs and accepts */
	bool stopping;	     /* EVENT_STOP was given */
	uint64_t stop_ms;    /* when it was told to stop, or died */
	uint64_t refused_ms; /* when the disk refused last; 0: never */
	bool quiet;	     /* the end: nothing bad happens any more */
	struct sim_shard shards[WORLD_SHARDS_MAX];
	struct budget budget;
	struct purse purse; /* for mail that is lost on the way */
	struct core_settings settings;
	struct listener_settings listener;
	struct disk disk;
	uint64_t happened[HAPPENED_NAMES]; /* sums of shards that are gone */

	struct link **links; /* every one that ever was, by id */
	size_t link_count, link_room;
	struct device *clients;
	unsigned client_count;
	struct oracle *oracle;

	enum plant plant;
	bool plant_used;
	struct bytes held; /* a packet that a plant holds back */
	unsigned held_client;
	unsigned believed_client; /* likewise: whose PUBREL it invented */
	uint32_t believed_connection;
	uint16_t believed_id;
	uint64_t struck_row; /* and the exchange that it keeps out of the store */
	uint16_t struck_id;

	struct sim_rows rows;
	struct sim_tally tally;
	bool verbose;
	bool failed;
	char check[32]; /* name of the check that found the fault */
	char fault[512];
	char trace[WORLD_TRACE_LINES][160];
	uint64_t trace_count;
};

/* Zeroed; the caller sets profile, settings and listener, then world_start(). */
void world_init(struct world *world, uint64_t seed);
void world_finish(struct world *world);

/* Calls `call(world, n, arg)` in `delay_ms` from now. */
void world_at(struct world *world, uint64_t delay_ms, happening_fn *call, uint64_t n, void *arg);

/* Lets happen what is due until `until_ms`, or a fault. */
void world_run(struct world *world, uint64_t until_ms);

static inline uint64_t world_next_seq(struct world *world)
{
	return ++world->seq;
}

static inline struct moment world_moment(const struct world *world)
{
	return (struct moment){world->now_ms, WORLD_WALL_S + world->now_ms / 1000};
}

void world_trace(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first one counts; the world stops. */
void world_fault(struct world *world, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- broker.c: the shell's part ---- */

/* The process dies in so many ms, and comes back later; nothing in a quiet world. */
void broker_kill_soon(struct world *world, uint64_t delay_ms);

/* It is told to stop, and comes back later. */
void broker_pause(struct world *world);

/* Makes the shards and gives them what the disk holds. */
void broker_start(struct world *world);

/* Frees the shards and all that was under way; links are cut. */
void broker_kill(struct world *world);

/* EVENT_STOP; the broker is gone when world->up turns false. */
void broker_stop(struct world *world);

/* A turn of that shard, soon. */
void broker_wake(struct world *world, uint16_t shard);

void broker_inbox(struct world *world, uint16_t shard, struct inbox_item item);

/* Carries out what a shard asked for. */
void broker_effects(struct world *world, uint16_t shard);

/* Sum over all shards, those of earlier runs included (levels: only living ones count). */
uint64_t broker_counted(const struct world *world, enum happened_name name);
uint64_t broker_level(const struct world *world, enum happened_name name);

/* ---- disk.c ---- */
void disk_init(struct world *world);
void disk_finish(struct world *world);
void disk_submit(struct world *world, struct store_batch *batch);

/* The process died: what is being committed may or may not arrive. */
void disk_kill(struct world *world);

/* Gives all rows to the shards. */
void disk_load(struct world *world);

#endif
