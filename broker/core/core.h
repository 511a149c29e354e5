/*
 * core.h - the structs of a shard, for the core's own files only.  What others may
 * know is in shard.h.
 *
 * Three lives: a client is a network connection, from accept to close; a session
 * is what MQTT 5.0 section 4.1 calls session state, and outlives it; a
 * subscription belongs to a session.  They refer to each other by number
 * (slab.h), and across shards by number and party.
 *
 * Thread: everything in a shard belongs to its thread.
 */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "broker/core/alias.h"
#include "broker/core/bundle.h"
#include "broker/core/delivery_log.h"
#include "broker/core/happened.h"
#include "broker/core/gate.h"
#include "broker/core/hash.h"
#include "broker/core/index.h"
#include "broker/core/memory.h"
#include "broker/core/on_mail.h"
#include "broker/core/outbox.h"
#include "broker/core/own_copy.h"
#include "broker/core/persist.h"
#include "broker/core/retain.h"
#include "broker/core/route.h"
#include "broker/core/shard.h"
#include "broker/core/share.h"
#include "broker/core/slab.h"
#include "broker/core/steps.h"
#include "broker/core/subscription.h"
#include "broker/core/tally.h"
#include "broker/core/timer.h"
#include "broker/core/token.h"
#include "broker/core/traffic.h"
#include "proto/packet.h"

/* What a timer is embedded in. */
enum timer_kind {
	TIMER_CLIENT,	/* connect time-out, keep alive, end of a slow close */
	TIMER_SESSION,	/* will delay, expiry, lazy `not connected` */
	TIMER_RETAINED, /* message expiry of a retained message */
	TIMER_PERSIST,	/* deletions to try again */
	TIMER_GATES,	/* sessions that may have fallen behind */
	TIMER_STEPS,	/* steps to record again, queues to note */
	TIMER_TOKEN,	/* a new session token, or its end */
	TIMER_ROUTES,	/* rows of deliveries that are old enough to go out */
};

/* ---- client: one network connection ---- */

enum client_state {
	CLIENT_NONE,	       /* no connection has this link number */
	CLIENT_LOBBY,	       /* no CONNECT yet */
	CLIENT_AUTHENTICATING, /* CONNECT decoded, waits for auth */
	CLIENT_EXCHANGING,     /* AUTH sent, waits for the client's */
	CLIENT_COMMITTING,     /* session changed, waits for the store */
	CLIENT_UP,	       /* CONNACK sent */
	CLIENT_CLOSING,	       /* nothing is read any more; waits for EVENT_LINK_CLOSED */
};

/* Why something a client asks for is not done, for it and for the log; MQTT_SUCCESS: it is. */
struct refusal {
	enum mqtt_reason reason;
	const char *text;
};

/* A will that waits to be published or forgotten, MQTT 5.0 section 3.1.2.5. */
struct will {
	struct message *message; /* owned */
	uint32_t delay_s;
	uint32_t expiry_s; /* of the message, from its publication on */
	bool has_expiry;
};

/* What of a CONNECT is needed until its CONNACK, while auth or the store take their time. */
struct connecting {
	bool clean_start;
	bool assigned_id;
	bool session_present;
	bool new_session;
	bool wants_response_information;
	bool keep_alive_changed;
	bool nobody; /* it has proved nothing, whatever name it gave */
	uint32_t asked_expiry_s;
	uint32_t expiry_s;
	uint32_t expiry_before_s;   /* of the session that was there; 0: there was none */
	int64_t detached_before_ms; /* of its absence, as the next two */
	uint64_t detached_before_s;
	uint64_t grace_before_ms;
	uint64_t who;		  /* rate_who(); 0: its method has to tell, as the grant does */
	struct auth_grant *grant; /* from the answer on until the session has it */
	struct will *will_before; /* of the connection before: waits on if this one never is */
	struct token_offer token;
	struct authentication *authentication; /* it named a method */
	size_t client_id_len;
	uint8_t client_id[];
};

/* The beginning of a packet that has not come whole, or what came while not UP. */
struct partial {
	uint32_t len;
	uint32_t room;
	uint32_t counted; /* of len, when that last counted as life */
	uint8_t bytes[];
};

/*
 * One of very many, and most of them idle: what a connection has only at times is made
 * when it is needed.  They lie in pages by link number, `state` CLIENT_NONE where there
 * is none, and do not move.
 */
struct client {
	uint32_t link;
	uint32_t session;	      /* number of its session, 0 before */
	uint8_t state;		      /* enum client_state */
	uint8_t version;	      /* enum mqtt_version; 0 before CONNECT */
	uint8_t end_reason;	      /* why it is at its end, for the log */
	bool output_told : 1;	      /* EFFECT_OUTPUT is in this turn's effects */
	bool drained_told : 1;	      /* in shard->drained */
	bool blocked : 1;	      /* deliveries of QoS 1 or 2 wait for room in the outbox */
	bool waiting : 1;	      /* nothing is read: client_overdue() */
	bool problem_information : 1; /* asked for in so many words: what ends it may say why */
	bool moving : 1;	      /* its home is move_to */
	bool answered : 1;	      /* CONNACK is out: it has been UP */
	bool bridge : 1;	      /* before 5.0: another broker, by its protocol level */
	union {
		party_id move_to;	  /* while `moving` */
		uint16_t receive_granted; /* answered: the Receive Maximum that CONNACK told */
	};
	uint16_t keep_alive_s;
	uint16_t receive_maximum;     /* the client's */
	uint16_t topic_alias_maximum; /* ours towards the client, already bounded */
	uint32_t maximum_packet_size; /* the client's */
	uint32_t
	    sent_unfinished;  /* PUBLISHes of this connection without their last acknowledgement */
	uint32_t unanswered;  /* filters of SUBSCRIBEs and UNSUBSCRIBEs under way */
	uint32_t reply_bytes; /* of answers, in the outbox: outbox_left() */
	uint32_t connected_s; /* wall clock; good until 2106 */
	uint64_t serial;      /* never re-used, so that a late answer finds nobody */
	uint64_t opened_ms;
	uint64_t last_packet_ms;
	const struct listener_settings *listener;
	union {
		struct connecting *connecting;	       /* from CONNECT until CONNACK */
		struct authentication *authentication; /* answered: if CONNECT named a method */
	};
	struct will *will;
	struct idset
	    *received; /* QoS 1 and 2 of this connection without their last acknowledgement */
	struct idset *releases; /* PUBRELs of this connection whose PUBCOMP waits for the store */
	struct alias_table *aliases_in;
	struct alias_table *aliases_out;
	struct partial *partial; /* NULL between packets */
	struct outbox outbox;
	struct timer timer;
};

/* Counted for each that there is. */
_Static_assert(sizeof(struct client) <= 176, "a client is small");

/* ---- session ---- */

/* What only a session without a connection has: its end, and what is due before it. */
struct absence {
	struct timer timer;  /* will delay, expiry, lazy `not connected` */
	uint32_t session;    /* slot */
	struct will *will;   /* of a connection that is gone, while its delay runs */
	int64_t detached_ms; /* when that was; may lie before the machine's start */
	uint64_t detached_s;
	uint64_t restored_since_s; /* of its row, at start */
	uint64_t grace_until_ms;   /* counts as connected until then; 0: does not */
	uint64_t row_again_ms;	   /* its row is not put before: the store has just refused it */
};

/*
 * One of very many, and most of them quiet: what only some have stands elsewhere, made
 * when it is needed.  They lie in a slab; `number` is 0 in a slot that is free.
 */
struct session {
	uint32_t realm; /* the slab's while the slot is free */
	uint32_t expiry_s;
	uint64_t number;    /* slot in the low half; never re-used */
	uint8_t *client_id; /* owned */
	uint16_t client_id_len;
	bool stored_connected : 1; /* what its row says, or will... */
	bool row_doubtful : 1;	   /* ...but the store has refused that */
	bool stored : 1;	   /* it has a row, or will have when `storing` is over */
	bool row_committed : 1;	   /* the store has said so */
	bool recorded : 1;	   /* what it published may have records: their end needs one */
	bool restricted : 1;	   /* there are rules: rights.h */
	bool ends : 1;		   /* its connection does now, and then it does */
	uint32_t storing;	   /* batches under way that put its row */
	uint64_t row;
	struct client *client;		    /* NULL while away */
	struct absence *absence;	    /* NULL while connected */
	struct traffic *traffic;	    /* NULL for a quiet one; read by traffic_of() */
	struct shared_subscription *shared; /* its memberships */
	struct retain_waits *scans;	    /* retained messages still to come */
	uint32_t stored_expiry_s;
	uint32_t subscriptions; /* head of its list, 0 for none */
	uint32_t subscription_count;
	uint32_t match_at; /* scratch of match.c: its place in shard->matches, if it is there */
	uint16_t shared_count;
	uint16_t last_share; /* number last given to one */
	uint32_t rights;     /* slot in shard->rights, 0 for none */
	uint32_t name;	     /* slot in shard->log.names, 0 for none */
};

/* Counted for each that there is. */
_Static_assert(sizeof(struct session) <= 112, "a session is small");

static inline const struct traffic *traffic_of(const struct session *session)
{
	return session->traffic ? session->traffic : &traffic_none;
}

/* Is there a connection that had its CONNACK? */
static inline bool session_is_up(const struct session *session)
{
	return session->client && session->client->state == CLIENT_UP;
}

/* Counts as connected until then although it is away; 0: does not. */
static inline uint64_t session_grace_ms(const struct session *session)
{
	return session->absence ? session->absence->grace_until_ms : 0;
}

static inline struct slice session_client_id(const struct session *session)
{
	return slice_of(session->client_id, session->client_id_len);
}

/* ---- shard ---- */

/* A SUBSCRIBE or UNSUBSCRIBE whose answer waits for other shards or the store. */
struct pending_answer;

/* Scratch of one publication's matching. */
struct match {
	uint32_t session;    /* slot */
	uint32_t identifier; /* the first one found */
	uint32_t more;	     /* head in match_identifiers, 0 for none */
	uint32_t more_count;
	uint8_t qos; /* highest granted */
	bool retain_as_published;
};

struct match_identifier {
	uint32_t identifier;
	uint32_t next;
};

/*
 * What CONNACK may have told who came before the last change of the settings: at most what has
 * ever been told, so that nobody is disconnected who keeps to it.
 */
struct told_before {
	uint64_t serial; /* of the last of those clients */
	uint32_t max_packet_size;
	bool retain_available;
};

/* What accounts publish: charge.h. */
struct charges {
	struct tally_counts *sessions; /* by slot: of a client that is connected */
	uint32_t room;
	struct tally day;
};

struct shard {
	party_id party;
	uint16_t parties;
	bool durable;
	bool stopping;
	struct moment now;
	uint64_t known_ms; /* of `now`: it was... */
	uint64_t known_s;  /* ...as late as that then, whatever the clock says; session_now_s() */
	const struct core_settings *settings;
	struct told_before told_before;
	struct auth *auth;
	const struct identity *identity; /* of the client whose bytes are being handled, or NULL */
	struct purse purse;
	size_t tries_charged; /* what the tries' nodes cost, as last charged */
	uint8_t hash_key[HASH_KEY_SIZE];
	uint8_t seed[HASH_KEY_SIZE];
	uint64_t random_counter;
	uint64_t serial;     /* last one given */
	uint64_t envelope;   /* likewise, from a random start */
	uint32_t generation; /* last one given to a session number */

	struct client **clients; /* pages of CLIENT_PAGE, by link number */
	uint32_t client_pages;
	uint32_t link_count;

	struct slab sessions;	    /* of struct session */
	struct slab rights;	    /* of struct rights: of sessions with a grant */
	struct index session_index; /* by client identifier */
	struct index restore_index; /* by row, while restoring */
	uint64_t *stale_rows;	    /* of sessions that a later one of the same client replaced */
	uint32_t stale_count;
	uint32_t stale_room;

	struct subscriptions subscriptions;
	struct routes routes;
	struct shares shares;
	struct retained_store retained;
	struct tokens tokens;
	struct gates gates;
	struct persist persist;
	struct steps steps;
	struct recall recall;
	struct pending_answer *pending_answers;
	struct delivery_log log;

	struct timer_wheel timers;

	struct rate *rates;   /* by link number; rate.h */
	struct habit *habits; /* a table; habit.h */
	uint32_t rate_room;
	struct address_rates *address_rates; /* of all shards; NULL: none */

	struct charges charges;

	struct effect *effects;
	size_t effect_count;
	size_t effect_room;

	struct mail *own_first, *own_last; /* mail to this shard itself */
	struct backlog backlog;		   /* of others */
	struct own_copy *own_copies, *own_copies_last;
	struct bundles bundles;

	struct client **drained;
	uint32_t drained_count;
	uint32_t drained_room;

	struct client **spent; /* have had enough for this turn; NULL: gone */
	uint32_t spent_count;
	uint32_t spent_room;

	struct recorded recorded;

	uint64_t match_turn;
	uint64_t matched; /* sessions and groups that publications have found, ever */
	uint64_t asked;	  /* lines of rules, likewise */
	struct match *matches;
	uint32_t match_count;
	uint32_t match_room;
	struct match_identifier *match_identifiers;
	uint32_t match_identifier_count; /* number 0 is none */
	uint32_t match_identifier_room;
	uint32_t *match_groups;
	uint32_t match_group_count;
	uint32_t match_group_room;
	uint64_t *party_turn; /* by party: which publication found it last */

	struct happened happened;
};

#define COUNT(shard, name)	  happened_add(&(shard)->happened, HAPPENED_##name, 1)
#define COUNT_N(shard, name, n)	  happened_add(&(shard)->happened, HAPPENED_##name, (n))
#define UNCOUNT(shard, name)	  happened_take(&(shard)->happened, HAPPENED_##name, 1)
#define UNCOUNT_N(shard, name, n) happened_take(&(shard)->happened, HAPPENED_##name, (n))

/* shard.c */
struct effect *shard_effect(struct shard *shard, enum effect_type type, uint32_t link);
void shard_post(struct shard *shard, struct mail *mail); /* takes; to itself, too */
uint64_t shard_random(struct shard *shard);
void *shard_grow(void *at, uint32_t *room, uint32_t need, size_t size);

/*
 * What the packets of one client may cost in a turn, and recorded ones (arrival.h), and mail
 * (on_mail.h): in nodes and rules that were looked at and sessions that were found, a tenth of a
 * microsecond each or so.  The rest waits: a PUBLISH of some bytes may match thousands of filters.
 */
#define TURN_WORK_MAX 131072u
static inline uint64_t turn_work(const struct shard *shard)
{
	return shard->subscriptions.trie.work + shard->routes.trie.work + shard->matched +
	       shard->asked;
}

/* Is the client one of those of told_before? */
static inline bool came_before_settings(const struct shard *shard, const struct client *client)
{
	return client->serial <= shard->told_before.serial;
}

/* client.c */
#define CLIENT_PAGE 256u
struct client *client_of_link(const struct shard *shard, uint32_t link);
void client_open(struct shard *shard, const struct event *event);
void client_bytes(struct shard *shard, struct client *client, struct slice bytes);
void client_resume_reading(struct shard *shard, struct client *client);
void client_gone(struct shard *shard, struct client *client); /* EVENT_LINK_CLOSED */
void client_timer(struct shard *shard, struct client *client);
/* Ends a connection for a reason, telling a client that can be told; the will stands. */
void client_fail(struct shard *shard, struct client *client, enum mqtt_reason reason,
		 const char *text);
/* Ends a connection after a DISCONNECT of the client's: nothing is sent. */
void client_close(struct shard *shard, struct client *client, bool publish_will);
uint8_t *client_reserve(struct shard *shard, struct client *client, size_t n);
void client_told(struct shard *shard, struct client *client); /* bytes were appended */
void client_send(struct shard *shard, struct client *client, const uint8_t *packet, size_t n);
void client_tell(struct shard *shard, const struct client *client, bool came);
void client_free(struct shard *shard, struct client *client);
/* One of its SUBSCRIBEs or UNSUBSCRIBEs, with so many filters, is answered. */
void client_answered(struct shard *shard, struct client *client, uint32_t filters);
/* The socket has taken all that there was, or an answer is out: goes on with what had to wait. */
void client_go_on(struct shard *shard, struct client *client);
/* shard.c: goes on in the next call of shard_handle(). */
void shard_soon(struct shard *shard, struct client *client);
bool client_fits(const struct client *client, size_t packet_size);
/*
 * Does a client owe us reading?  Answers are never dropped, so one that sends and
 * does not read, or asks for more than the store can keep up with, is not read
 * either until it has caught up: the memory that it can occupy stays bounded.
 */
bool client_overdue(const struct client *client);
/* The socket has taken n bytes. */
void client_wrote(struct shard *shard, struct client *client, size_t n);

/* on_connect.c */
void on_connect(struct shard *shard, struct client *client, struct slice packet, struct slice body);
void connect_begin_session(struct shard *shard, struct client *client);
void on_connect_stored(struct shard *shard, uint64_t serial, uint32_t link, bool committed);
extern const char memory_full[]; /* what is said of it */
/* What was remembered of a CONNECT, if that is so. */
void connecting_free(struct shard *shard, struct client *client);

/* on_auth.c: the answer to a CONNECT that was remembered, now or later. */
void authenticate(struct shard *shard, struct client *client, const struct mqtt_connect *connect);
void on_authenticated(struct shard *shard, struct client *client, const struct event *event);
void on_auth_connecting(struct shard *shard, struct client *client, struct slice body);
/* What CONNACK says of it; and that it has been said. */
void authentication_connack(const struct client *client, struct mqtt_properties *p);
void authentication_done(struct shard *shard, struct authentication *authentication);
void authentication_free(struct shard *shard, struct authentication *authentication);

/* connack.c: the connection is at its end, or UP. */
void connect_refuse(struct shard *shard, struct client *client, enum mqtt_reason reason,
		    const char *text);
void connect_finish(struct shard *shard, struct client *client);

/* on_publish.c: the exchange of this identifier is complete, for the Receive Maximum. */
void publish_finished(struct client *client, uint16_t packet_id);

/*
 * on_publish.c: to its subscribers and the retained messages, if nothing is against it.
 * Where a refusal cannot be told, a message that may not be retained still goes to who
 * listens.
 */
enum mqtt_reason publish_take_over(struct shard *shard, bool can_tell,
				   struct publication *publication);

/* on_ack.c: that this identifier is released is in the store now. */
void publish_released(struct shard *shard, struct session *session, uint16_t packet_id);

/* on_publish.c: PUBACK or PUBREC; an error before 5.0 has no other form than closing. */
void acknowledge(struct shard *shard, struct client *client, struct session *session, uint8_t qos,
		 uint16_t packet_id, enum mqtt_reason reason);

/* on_publish.c, on_ack.c, on_subscribe.c, on_control.c, on_auth.c: a whole packet of a client that
 * is UP */
void on_publish(struct shard *shard, struct client *client, uint8_t flags, struct slice body);
void on_ack(struct shard *shard, struct client *client, uint8_t type, struct slice body);
void on_subscribe(struct shard *shard, struct client *client, struct slice body);
void on_unsubscribe(struct shard *shard, struct client *client, struct slice body);
void on_pingreq(struct shard *shard, struct client *client, struct slice body);
void on_disconnect(struct shard *shard, struct client *client, struct slice body);
void on_auth(struct shard *shard, struct client *client, struct slice body);

/* A plain filter of a session, new or again.  Returns the barrier to wait for, 0 for none.
 * row: in the store, 0 for none. */
uint32_t subscribe_plain(struct shard *shard, struct session *session, struct slice filter,
			 uint8_t options, uint32_t identifier, uint64_t row);

/* `subscription` is its number, of this filter; its retained messages come no more. */
void unsubscribe_plain(struct shard *shard, struct session *session, struct slice filter,
		       uint32_t subscription);

/* answer.c */
void answer_arrived(struct shard *shard, struct pending_answer *answer); /* a barrier opened */
void answer_stored(struct shard *shard, struct pending_answer *answer, bool committed);
void answers_finish(struct shard *shard);

/* session.c */
struct session *session_find(const struct shard *shard, uint32_t realm, struct slice client_id);
struct session *session_at(const struct shard *shard, uint32_t slot);
struct session *session_by_number(const struct shard *shard, uint64_t number);
struct client_info session_describe(const struct shard *shard, const struct session *session);
/* Of its realm and client identifier. */
uint64_t session_hash_of(const struct shard *shard, uint32_t realm, struct slice client_id);
uint64_t session_hash(const struct shard *shard, const struct session *session);

/* Has the publisher the client identifier of this session?  It may have been another session, which
 * has ended. */
bool session_same_client(const struct shard *shard, const struct session *session,
			 const struct publisher *publisher);
struct session *session_create(struct shard *shard, uint32_t realm, struct slice client_id);
void session_attach(struct shard *shard, struct session *session, struct client *client);
/* The connection is gone; `publish_will` unless the client took leave properly.  The session
 * stays until its expiry. [MQTT-3.1.2-8] [MQTT-3.1.2-23] [MQTT3-3.1.2-5] [MQTT3-4.1.0-1]
 * [MQTT3-4.1.0-2] [MQTT-4.1.0-1] */
void session_detach(struct shard *shard, struct session *session, bool publish_will);
void session_end(struct shard *shard, struct session *session); /* frees it */
/* Likewise, but what the store has to forget goes into `changes`, for the caller to send. */
void session_end_with(struct shard *shard, struct session *session, struct changes *changes);
/* The time by which rows grow old, since 1970: like the clock's, but not behind what was known at
 * start, or who goes now would have gone long ago for the next broker. */
uint64_t session_now_s(const struct shard *shard);
/* Puts its row as that of one whom nobody is connected to since then. */
void session_store_absence(struct shard *shard, struct session *session, uint64_t since_s);
/* All are away, and the broker stops: the store is told at once what it does not know. */
void sessions_stop(struct shard *shard);
/* A batch that put its row is answered. */
void session_stored(struct shard *shard, uint64_t number, bool committed);
void session_timer(struct shard *shard, const struct absence *absence);
void session_arm(struct shard *shard, struct session *session); /* of one that is away */
void session_restore(struct shard *shard, uint64_t row, const struct store_session *stored);
void session_restore_subscription(struct shard *shard, uint64_t row,
				  const struct store_subscription *stored);
void session_restore_step(struct shard *shard, const struct store_step *step);
/* Leaves all groups and filters; `changes` gets the rows to delete. */
void session_drop_subscriptions(struct shard *shard, struct session *session,
				struct changes *changes);
void session_free(struct shard *shard, struct session *session); /* without subscriptions */

/* publish.c */
/* A publication from a client, a will or the broker: to every subscriber, anywhere,
 * and to the retained messages.  False when nobody matches. [MQTT-4.5.0-1] [MQTT3-4.5.0-1]
 * [MQTT-3.3.1-8] [MQTT3-3.3.1-12] */
bool publish(struct shard *shard, struct publication *publication);
/* Its last part: the home of its topic keeps it, or clears what it keeps. */
void publish_retained(struct shard *shard, struct publication *publication);
/* To the subscribers of this shard (those of other shards got theirs from the publisher's). */
bool deliver_here(struct shard *shard, struct publication *publication);
/* Its topic, to be looked up. */
struct trie_name publication_name(const struct shard *shard, struct publication *publication);
/* The publication's message, made if need be; NULL when memory does not allow it. */
struct message *publication_message(struct shard *shard, struct publication *publication);
/* Gives back the message that publication_message() made. */
void publication_finish(struct shard *shard, struct publication *publication);

/* deliver.c */
/* One copy to one session: sent, queued or dropped, in the order of publishing.
 * [MQTT-4.6.0-5] [MQTT3-4.6.0-5] [MQTT3-4.6.0-6] */
struct identifier_list {
	const uint32_t *at;
	uint32_t count;
};
void deliver_to_session(struct shard *shard, struct session *session,
			struct publication *publication, uint8_t qos, bool retain,
			struct identifier_list identifiers);
/* Likewise one that a subscription brings, at once: there is room for it. */
bool deliver_takes_found(const struct shard *shard, struct session *session, uint8_t qos);
void deliver_found(struct shard *shard, struct session *session, struct publication *publication,
		   uint8_t qos, struct identifier_list identifiers);
struct identifier_list delivery_identifiers(const struct delivery *delivery);
/* Its record is in the store now: PUBLISH goes, or PUBREL. */
void deliver_recorded(struct shard *shard, struct session *session, struct outbound *entry);
void deliver_released(struct shard *shard, struct session *session, struct outbound *entry);
/* The client has it, or need not have it: PUBREL goes now, or when the store knows. */
void deliver_received(struct shard *shard, struct session *session, struct outbound *entry);
/* The publisher sent again what this delivery waits for. */
void deliver_awaited(struct shard *shard, struct session *session, struct publication *publication,
		     struct outbound *entry, bool retain, struct identifier_list identifiers);
/* The delivery is over; its identifier is free at once, or when the store knows. */
void deliver_over(struct shard *shard, struct session *session, struct outbound *entry);
/* Sends what waits, as far as windows and the socket allow. */
void session_pump(struct shard *shard, struct session *session);

/* will.c */
void will_publish(struct shard *shard, struct session *session, struct will *will); /* takes will */
void will_free(struct shard *shard, struct will *will);
/* The session, which ends now, leaves no message: neither its connection, nor its absence, nor
 * one that waits for its turn. */
void will_forget(struct shard *shard, struct session *session);

/*
 * send.c: encodes deliveries and acknowledgements into the outbox.  `dup` is the
 * caller's word for sending again, whatever came in. [MQTT-3.3.1-3] [MQTT3-3.3.1-3] [MQTT-3.3.2-11]
 */
enum sent {
	SENT,
	SENT_TOO_LARGE, /* for the client: nothing was written */
	SENT_NO_MEMORY, /* likewise */
};
enum sent send_publish(struct shard *shard, struct client *client, struct publication *publication,
		       uint8_t qos, bool dup, bool retain, uint16_t packet_id,
		       struct identifier_list identifiers);
void send_ack(struct shard *shard, struct client *client, uint8_t type, uint16_t packet_id,
	      enum mqtt_reason reason);

#endif
