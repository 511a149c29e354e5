/*
 * retain.h - retained messages, MQTT 5.0 sections 3.3.1.3 and 3.8.3.1.
 *
 * A topic's retained message lives at the topic's home: hash of the topic.  A new
 * subscription asks the homes for matching messages, after its SUBACK, a few at
 * a time and no faster than the client takes them (struct retain_wait, at the
 * session, which asks for one filter after the other); each home walks its trie of
 * topics step by step (struct scan).  What was found never enters the session's queue: it
 * waits beside it, takes its turn as if it were there, and is not dropped.  A home that keeps
 * nothing but $ topics says so, and is not asked for the other filters that waited then.
 *
 * A message is passed over when a live retained publish of the same topic was
 * sent to the session since the SUBACK, for that is newer, or when itself was
 * since the SUBSCRIBE.
 *
 * Nodes that a walk may stand on stay while walks are under way.  When many wait
 * to go, those do that no walk stands on.
 *
 * Thread: the shard's.  In RAM only: a restart loses retained messages.
 */
#ifndef BROKER_CORE_RETAIN_H
#define BROKER_CORE_RETAIN_H

#include "broker/core/mail.h"
#include "broker/core/timer.h"
#include "broker/core/trie.h"

struct shard;
struct session;
struct publication;
struct retained;
struct scan;

/* ---- the home's side ---- */

struct retained_store {
	struct trie trie;    /* of topics; the value is a slot */
	struct slab entries; /* of struct retained * */
	uint32_t ordinary;   /* of them, those whose topic does not begin with '$' */
	struct scan *scans;  /* the latest that went on first */
	uint32_t *limbo;     /* nodes to prune when no scan stands on them */
	uint32_t limbo_count;
	uint32_t limbo_room;
	uint32_t limbo_kept; /* when it was last looked through */
};

void retained_init(struct retained_store *store, const uint8_t key[HASH_KEY_SIZE]);
void retained_finish(struct shard *shard);

party_id retained_home(const struct shard *shard, struct slice topic);

/* Is there no room for this publication?  That its topic has more than TRIE_LEVELS_MAX levels is
 * known everywhere; what max_retained_* say, at the topic's home only.  They are not for the
 * broker's own messages, whose topics begin with '$'. */
bool retained_refuses(const struct shard *shard, const struct publication *publication);

/* Keeps a publication of this owner (auth_owner(), 0: nobody's) at its home.  Nothing is kept of
 * its topic when the payload is empty or there is no room: others had it, and what it replaces is
 * as old as if there were. [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT3-3.3.1-5]
 * [MQTT3-3.3.1-7] [MQTT3-3.3.1-10] [MQTT3-3.3.1-11] [MQTT3-3.1.2-7] */
void retained_set(struct shard *shard, struct publication *publication, uint64_t owner);

/* EVENT_EXPEL: nothing of this owner stays. */
void retained_expel(struct shard *shard, uint64_t owner);

/* MAIL_RETAIN, MAIL_RETAIN_SCAN, MAIL_RETAIN_STOP */
void retained_scan_mail(struct shard *shard, struct mail *mail);

/* Calls back for each retained message; the callback changes nothing. */
void retained_each(const struct shard *shard, void *self,
		   void (*call)(void *self, struct message *message, uint64_t owner));

void retained_timer(struct shard *shard, struct timer *timer);

/* ---- the session's side ---- */

/* The subscriptions of a session whose retained messages are still coming. */
struct retain_waits;

/* A SUBSCRIBE is in force here: its retained messages are to come after its SUBACK.  The number is
 * for one of the two that follow.  Unless the client unsubscribes: retain_stop(). */
uint64_t retain_expect(struct shard *shard, struct session *session, struct slice filter);

/* The SUBACK has left, or is lost with its connection: asks for them. */
void retain_begin(struct shard *shard, struct session *session, struct slice filter,
		  uint64_t number);

/* It was refused. */
void retain_cancel(struct shard *shard, struct session *session, struct slice filter,
		   uint64_t number);

/* Asks on where a session has room again. */
void retain_continue(struct shard *shard, struct session *session);

/* A live retained publish was sent, which came then, by shard->serial: now, or before it waited in
 * the queue.  The session has waits, as for the next one. */
void retain_note_live(struct shard *shard, struct session *session, struct publication *publication,
		      uint64_t came);

/* One that came then was dropped: it takes the place of the one of its topic that was found before,
 * or is still to be found. */
void retain_missed(struct shard *shard, struct session *session, struct publication *publication,
		   uint64_t came);

/* The session ends, or unsubscribes: filter empty for all. */
void retain_stop(struct shard *shard, struct session *session, struct slice filter);

/* MAIL_RETAIN_FOUND */
void retain_found(struct shard *shard, struct mail *mail);

#endif
