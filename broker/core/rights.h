/*
 * rights.h - what the client of a session may do: the grant that its CONNECT was answered
 * with (auth/auth.h), asked for each message that comes from it or goes to it.
 *
 * A session without rules costs one look.  One with rules remembers its last answers by the
 * keyed hash of the topic, RIGHTS_CACHE of them: most clients use few topics.
 *
 * A message is looked at when it is queued and when it is sent, on each connection anew: rules of
 * today hold for what was queued yesterday.  A shared group asks before it gives a message to a
 * member, and goes on to the next that may read it (share.h).
 *
 * A session belongs to the identity that began it (auth_owner()), also across a restart; another
 * one is refused.
 *
 * Ownership: the session owns its grant and the cache, which lie in a slab of the shard's: most
 * brokers have none.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_RIGHTS_H
#define BROKER_CORE_RIGHTS_H

#include "broker/core/core.h"
#include "auth/auth.h"

#define RIGHTS_CACHE 16u /* a power of two */

struct rights {
	uint32_t free;		  /* the slab's while the slot is free */
	struct auth_grant *grant; /* NULL after a restart, until the client is back */
	uint64_t owner;		  /* auth.h; 0 in a slot that is free */
	uint64_t session;	  /* number of the one whose they are */
	/* Of this connection: own_request.h. */
	bool own_password; /* it came with the account's own */
	bool asking;	   /* a request is under way */
	/* With rules: hashes with the right and the answer in their low bits; 0 for none. */
	uint64_t *answers;
};

/* NULL: nobody's, and nothing is known of it. */
struct rights *rights_of(const struct shard *shard, const struct session *session);

/* Whose it is; 0: nobody's. */
uint64_t rights_owner(const struct shard *shard, const struct session *session);

/* Of a session that the store kept. */
void rights_restore(struct shard *shard, struct session *session, uint64_t owner);

/* Takes the grant; the session's last one goes. */
void rights_take(struct shard *shard, struct session *session, struct auth_grant *grant);

/* Gives a grant back that no session has; NULL is allowed. */
void rights_release(struct shard *shard, struct auth_grant *grant);

/* What the session has; NULL for none. */
const struct auth_grant *rights_grant(const struct shard *shard, const struct session *session);

bool rights_ask(struct shard *shard, const struct session *session, enum auth_right right,
		struct slice topic);

/* Does not count what it denies: somebody else may take the message. */
static inline bool rights_would_allow(struct shard *shard, const struct session *session,
				      enum auth_right right, struct slice topic)
{
	return !session->restricted || rights_ask(shard, session, right, topic);
}

/* Counts it. */
static inline bool rights_allow(struct shard *shard, const struct session *session,
				enum auth_right right, struct slice topic)
{
	bool allowed = rights_would_allow(shard, session, right, topic);
	if (!allowed)
		COUNT(shard, DROPPED_DENIED);
	return allowed;
}

/* EVENT_RIGHTS: rules have changed, or what the grants of one owner say. */
void on_rights(struct shard *shard, const struct event *event);

/* EVENT_EXPEL: an identity is gone. */
void on_expel(struct shard *shard, const struct event *event);

#endif
