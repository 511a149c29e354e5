/*
 * shard.h - the MQTT broker as a pure machine.  `shard_handle(shard, now, event)`
 * changes memory and fills an outbox of effects; nothing else happens: no socket,
 * no file, no clock, no thread, no randomness but the seed.
 *
 * The shell's duties
 *   - Link numbers are small dense integers that the shell chooses; one is in
 *     use from EVENT_LINK_OPEN until the shell has sent EVENT_LINK_CLOSED for it
 *     (always, also after EFFECT_CLOSE), or has carried out EFFECT_MOVE.
 *   - After handling the events of a turn it carries out the effects, once, in
 *     their order, and forgets them with shard_effects_done().  It never calls
 *     shard_handle() while it carries out effects of the same turn.
 *   - For each link named by EFFECT_OUTPUT it fetches bytes with shard_output(),
 *     writes what the socket takes, and reports it with shard_written().
 *   - It calls EVENT_TIMERS at shard_next_timer() or soon after.
 *
 * Ownership: as each event and effect says.  A shard owns its sessions, queues,
 * routes and retained messages; messages are shared between shards by reference
 * count and never change.
 * Thread: one shard, one thread.
 */
#ifndef BROKER_CORE_SHARD_H
#define BROKER_CORE_SHARD_H

#include "proto/base.h"
#include "proto/identity.h"
#include "proto/reason.h"
#include "broker/core/mail.h"
#include "broker/core/settings.h"
#include "broker/core/tally.h"

struct shard;
struct auth;
struct auth_grant;
struct budget;
struct route_block;
struct route_name;
struct address_rates;
struct own_request;
struct store_batch;
struct store_session;
struct store_subscription;
struct store_step;

/* Both clocks, read once a turn by the shell. */
struct moment {
	uint64_t ms;	 /* monotonic, counts during suspend (CLOCK_BOOTTIME) */
	uint64_t wall_s; /* seconds since 1970 */
};

static inline struct moment moment_not_before(struct moment moment, uint64_t ms)
{
	if (moment.ms < ms)
		moment.ms = ms;
	return moment;
}

enum event_type {
	EVENT_LINK_OPEN,     /* link, listener; opened_ms is when it was accepted */
	EVENT_LINK_BYTES,    /* link, bytes (borrowed for the call): what one read gave; identity */
	EVENT_LINK_EXPELLED, /* link: what let it in does so no more; disconnect it (0x87) */
	EVENT_LINK_CLOSED,   /* link: it is gone; the number may be used again afterwards */
	EVENT_MAIL,	     /* mail (taken) */
	EVENT_STORED,	     /* batch (taken): committed, or failed */
	EVENT_AUTHENTICATED, /* link, serial, reason, grant (taken): the answer to AUTH_WAIT */
	EVENT_RIGHTS,	     /* grants are to be renewed, an owner's or (0) all: auth/auth.h */
	EVENT_PUBLISH,	     /* the broker's own message: topic, bytes = payload, retain; QoS 0 */
	EVENT_KICK,	     /* text = client id: disconnect it (0x98); at its home shard */
	EVENT_EXPEL,	     /* owner: its clients go (0x98), and its sessions end */
	EVENT_ANSWER,	     /* request (taken): one of EFFECT_REQUEST, with its answer */
	EVENT_SETTINGS,	     /* settings: in force from now on */
	EVENT_TIMERS,	     /* it is `now` */
	EVENT_ROUTES,	     /* EFFECT_ROUTES is wanted now */
	EVENT_STOP, /* disconnect everybody (0x8B), publish no wills, store `not connected` */
	EVENT_RESTORE_SESSION,	    /* at start: row, session (borrowed) */
	EVENT_RESTORE_SUBSCRIPTION, /* at start, after all sessions: row, subscription (borrowed) */
	EVENT_RESTORE_STEP,	    /* at start, after all subscriptions: step (borrowed) */
};

struct event {
	enum event_type type;
	uint32_t link;
	bool retain;
	enum mqtt_reason reason;
	uint64_t row;
	uint64_t serial; /* of struct auth_request */
	uint64_t owner;	 /* auth_owner(); not 0 */
	struct auth_grant *grant;
	uint64_t opened_ms;
	struct slice bytes;
	struct slice text;
	const struct identity
	    *identity; /* who the transport has proved the peer to be; NULL: nobody */
	const struct listener_settings *listener;
	const struct core_settings *settings;
	const struct store_session *session;
	const struct store_subscription *subscription;
	const struct store_step *step;
	struct mail *mail;
	struct store_batch *batch;
	struct own_request *request;
};

enum effect_type {
	EFFECT_OUTPUT, /* link has bytes to write: shard_output() */
	EFFECT_CLOSE,  /* write what is there (for a few seconds at most), then close the link */
	EFFECT_MOVE,   /* give the link to `party`, with `bytes` (gives: shard_free_bytes()) as its
			  first read */
	EFFECT_READ,   /* read link (on) or leave its bytes in the socket (off) */
	EFFECT_MAIL,
	/* mail (gives) */ EFFECT_STORE, /* batch (gives): commit it and answer with EVENT_STORED */
	EFFECT_TELL,	/* a client came (on) or went: pseudonym, listener, reason; for the log */
	EFFECT_REQUEST, /* request (gives): answer it with EVENT_ANSWER (own_request.h) */
	EFFECT_ROUTES,	/* block (gives): rows of deliveries that are over (delivery_log.h) */
};

struct effect {
	enum effect_type type;
	uint32_t link;
	party_id party;
	bool on;
	uint8_t reason;	    /* EFFECT_TELL: of the end; 0 for a normal one */
	uint32_t listener;  /* EFFECT_TELL: its number */
	uint64_t pseudonym; /* EFFECT_TELL: of the client identifier, another one each hour */
	uint64_t opened_ms;
	struct slice bytes;
	struct mail *mail;
	struct store_batch *batch;
	struct route_block *block;
	struct own_request *request;
};

/* Who clients are in route rows.  Thread: any worker's; must not block. */
struct pseudonyms {
	/* Of a client id in an epoch (settings.h), by its owner (auth_owner()).  False: rows of it
	 * are not kept. */
	bool (*of)(struct pseudonyms *pseudonyms, uint64_t owner, struct slice client_id,
		   uint32_t epoch, struct route_name *name);
};

/* How a shard is made. */
struct shard_setup {
	party_id party;	      /* its own number, 0 to parties - 1 */
	uint16_t parties;     /* shards in all */
	bool durable;	      /* there is a store: sessions with expiry > 0 are committed */
	uint8_t hash_key[16]; /* the same for all shards: homes and tries */
	uint8_t seed[16];     /* its own: assigned client identifiers, row numbers */
	uint64_t known_s;     /* since 1970: it is as late as that, whatever the clock says */
	const struct core_settings *settings;
	struct auth *auth;		     /* borrowed for the shard's life */
	struct pseudonyms *pseudonyms;	     /* likewise; NULL: deliveries are not recorded */
	struct budget *budget;		     /* memory of all shards together; budget.h */
	struct address_rates *address_rates; /* likewise; NULL: addresses have no limits */
};

struct shard *shard_create(const struct shard_setup *setup, struct moment now);

/* Frees everything; effects not carried out are freed with it. */
void shard_destroy(struct shard *shard);

/*
 * The shell looks at the clock once a turn, and within the turn mail may come from a shard that
 * looked later: then it is as late as that here, too, and stays so.  Else a message had more time
 * left on arrival than it was published with. [MQTT-3.3.2-6]
 */
void shard_handle(struct shard *shard, struct moment now, const struct event *event);

/* The turn is over: its effects; valid until the next call on this shard. */
const struct effect *shard_effects(struct shard *shard, size_t *count);
void shard_effects_done(struct shard *shard);

/*
 * The next bytes to write on a link, as up to `room` slices (borrowed until
 * shard_written or the next shard_handle); returns how many, 0 for none.
 */
size_t shard_output(struct shard *shard, uint32_t link, struct slice *out, size_t room);

/* `n` bytes of them were written.  True when nothing is left for this link. */
bool shard_written(struct shard *shard, struct moment now, uint32_t link, size_t n);

/*
 * Nobody knows yet who it is: its CONNECT has not come whole, or waits for what the client says by
 * AUTH, here or, gone there, at its home.  What it sends may hold a secret.
 */
bool shard_awaits_connect(const struct shard *shard, uint32_t link);

/*
 * Is all handled that the link gave?  False while some of it waits for what EFFECT_READ waits for,
 * from EFFECT_MOVE on, and after EVENT_LINK_CLOSED.
 */
bool shard_is_done(const struct shard *shard, uint32_t link);

/* Has it had too much mail for some time?  Then nobody ought to publish to it for now. */
bool shard_is_behind(const struct shard *shard);

/* When EVENT_TIMERS is due, in the milliseconds of struct moment; UINT64_MAX for never. */
uint64_t shard_next_timer(const struct shard *shard);

/* True when, after EVENT_STOP, all links are closed and all batches are answered. */
bool shard_stopped(const struct shard *shard);

/* Which shard a client id lives on: SipHash(client id) mod parties. */
party_id shard_home(const struct shard *shard, struct slice client_id);

/* Calls back for each session, for `metrino clients`; the id is borrowed for the call. */
struct client_info {
	struct slice client_id;
	bool connected;
	uint8_t version; /* enum mqtt_version, 0 when away */
	uint32_t subscriptions;
	uint32_t queued;
	uint32_t inflight;
	uint64_t connected_s; /* wall clock, 0 when away */
	uint32_t expiry_s;    /* of the session */
	uint64_t owner;	      /* auth_owner(), 0: nobody */
	bool has_will;
	uint64_t row;	      /* in the store; 0: it is not kept */
	const uint64_t *rows; /* of its subscriptions, where somebody asked for them */
	uint32_t row_count;
};
void shard_each_client(const struct shard *shard, void *self,
		       void (*call)(void *self, const struct client_info *client));

/* Likewise of those of one owner, not 0; nothing is done for the others. */
void shard_each_client_of(const struct shard *shard, uint64_t owner, void *self,
			  void (*call)(void *self, const struct client_info *client));

/* Likewise of the one with this client id, if there is one, connected or away. */
void shard_find_client(const struct shard *shard, struct slice client_id, void *self,
		       void (*call)(void *self, const struct client_info *client));

/*
 * Of a client that this shard has told of just now: the rows of its subscriptions in the store,
 * into `rows`, which has room for client->subscriptions; how many there are.
 */
uint32_t shard_subscription_rows(const struct shard *shard, const struct client_info *client,
				 uint64_t *rows);

/* Did the last event send a publication to one of these, by party? */
bool shard_published_to(const struct shard *shard, const bool parties[]);

/*
 * The day is over: what its accounts published (gives), clients that are connected included.
 * What comes counts for the next day.
 */
struct tally shard_take_tally(struct shard *shard);

/*
 * n bytes of payload memory, for what the shell reads into; never NULL.  Freed, and wiped, by
 * shard_free_bytes() of any shard: `shard` is the caller's own.
 */
uint8_t *shard_payload(struct shard *shard, size_t n);
void shard_free_bytes(struct shard *shard, struct slice bytes);

/* Where that comes from, for layers of a stream that keep some for themselves. */
struct shelf;
struct shelf *shard_shelf(struct shard *shard);

/* A calm moment: gives up memory that was kept for the next burst. */
void shard_calm(struct shard *shard);

/* Counters and levels of a shard, readable from any thread: happened.h. */
struct happened;
const struct happened *shard_happened(const struct shard *shard);

#endif
