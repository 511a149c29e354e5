/*
 * auth.h - the contract between the core and whoever decides who may come in, and
 * who may do what.
 *
 * The core asks once for each CONNECT, at the home shard of the client
 * identifier and before anything of a session is touched; a take-over happens
 * only after the answer. [MQTT-3.1.4-2]
 *
 * Enhanced authentication (MQTT 5.0 section 4.12) is the same question asked several times: an
 * answer AUTH_CONTINUE has what goes to the client, and an exchange, which comes back with what the
 * client says to that.  It belongs to the core from then on, until end_exchange().
 *
 * A session token is a secret that the broker makes for a client which has proved with another one
 * who it is, to be its password from then on.  The core keeps for each client identifier what
 * tells a right one (struct auth_tokens), and gives it along with the question; whoever answers
 * makes them, and knows what they are worth.
 *
 * With the answer comes a grant: who the client is.  Its session holds it, also while it is
 * away, and gives it back in the end.  Grants are shared and do not change; after a reload the
 * core asks for the one that is in its place.
 *
 * Thread: all functions are called on the worker that owns the shard and must not
 * block; an answer that takes time is AUTH_WAIT, and comes back as EVENT_AUTHENTICATED.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "proto/base.h"
#include "proto/identity.h"
#include "proto/reason.h"

enum auth_verdict {
	AUTH_ALLOW,
	AUTH_REFUSE,   /* answer->reason says why */
	AUTH_WAIT,     /* the answer comes as an event, with the request's serial */
	AUTH_CONTINUE, /* the client has to say more */
};

#define AUTH_TOKEN_SIZE	    54u /* the text of a token */
#define AUTH_TOKEN_MAC_SIZE 32u

/* What is kept of the tokens of a client identifier.  All zero: there is none. */
struct auth_tokens {
	uint8_t latest[AUTH_TOKEN_MAC_SIZE];
	uint8_t before[AUTH_TOKEN_MAC_SIZE]; /* good until the latest is used */
};

enum auth_token {
	AUTH_TOKEN_NONE,
	AUTH_TOKEN_LATEST,
	AUTH_TOKEN_BEFORE,
};

#define AUTH_ADDRESS_SIZE 16u

struct auth_exchange;

struct auth_request {
	uint32_t link;
	uint64_t serial;      /* of the connection: link numbers are used again */
	bool allow_anonymous; /* of the listener */
	bool has_user_name;
	bool has_password;
	struct slice client_id;
	struct slice user_name;
	struct slice password;
	/*
	 * Not NULL: the transport has proved who this is.  user_name is that name then, and
	 * there is no password: whatever the CONNECT said of them does not count.
	 */
	const struct identity *identity;
	const struct auth_tokens *tokens; /* of this client identifier; NULL: none */
	struct slice method;		  /* enhanced authentication; empty for none */
	struct slice data;		  /* what the client says */
	struct auth_exchange *exchange;	  /* that it belongs to; NULL: it begins */
	const struct auth_grant *grant;	  /* re-authentication: whom it has to be; else NULL */
	/* Of who it says it is and of its client identifier; 0: the method has to tell first. */
	uint64_t client;
};

/* A client that has shown who it is. */
struct auth_visit {
	uint64_t client; /* a keyed hash of who it is and of its client identifier; never 0 */
	struct slice client_id;
	bool too_soon; /* after it came last: it is above rate_reconnect */
};

struct auth_grant {
	bool restricted; /* there are rules: may() is to be asked; else every topic is allowed */
	bool no_stats;	 /* objects to being counted: broker/core/tally.h */
	bool account;	 /* an account itself, and none of its device keys */
	uint32_t lines;	 /* of rules that may() looks at, at most: what a question costs */
	uint64_t owner;	 /* whose its sessions are: auth_owner() */
};

/*
 * Who a session belongs to, as a number that says nothing but the kind: no other identity may
 * resume or take over the session.  0 is nobody: what nobody began anybody may resume, who only has
 * to know its client identifier.
 */
#define AUTH_OWNER_KIND_SHIFT 61u

/* Of an account: its row. */
static inline uint64_t auth_owner_number(uint64_t owner)
{
	return owner & (((uint64_t)1 << AUTH_OWNER_KIND_SHIFT) - 1);
}

static inline uint64_t auth_owner(enum identity_kind kind, uint64_t number)
{
	return kind == IDENTITY_NOBODY
		   ? 0
		   : (uint64_t)kind << AUTH_OWNER_KIND_SHIFT | auth_owner_number(number);
}

static inline enum identity_kind auth_owner_kind(uint64_t owner)
{
	return (enum identity_kind)(owner >> AUTH_OWNER_KIND_SHIFT);
}

struct auth_answer {
	enum mqtt_reason reason;  /* AUTH_REFUSE */
	const char *text;	  /* likewise: a sentence for the client, lasting, or NULL */
	struct auth_grant *grant; /* AUTH_ALLOW (gives); NULL: nobody special, without rules */
	enum auth_token token;	  /* AUTH_ALLOW: the password was one */
	struct slice data;	  /* for the client; borrowed from the exchange */
	struct auth_exchange *exchange; /* AUTH_CONTINUE (gives) */
};

enum auth_right {
	AUTH_READ = 1,	/* be given a message of this topic */
	AUTH_WRITE = 2, /* publish to it; also by a will */
};

/* Those below `check` may be NULL where no grant is ever given. */
struct auth {
	enum auth_verdict (*check)(struct auth *auth, const struct auth_request *request,
				   struct auth_answer *answer);
	/* May the client of this grant do that with this topic? */
	bool (*may)(const struct auth_grant *grant, struct slice client_id, enum auth_right right,
		    struct slice topic);
	/* Puts the one that is in force now in its place; false: the user may not be here any more.
	 */
	bool (*renew)(struct auth *auth, struct auth_grant **grant);
	/*
	 * It comes, while there is a rate_reconnect: false, and why, in the answer: not now.  NULL:
	 * whoever comes too soon may not.
	 */
	bool (*comes)(struct auth *auth, const struct auth_visit *visit,
		      struct auth_answer *answer);
	/*
	 * Where the link comes from, for limits of addresses: of IPv6 the network counts.  False:
	 * that is not known.  NULL: of none.
	 */
	bool (*address)(struct auth *auth, uint32_t link, uint8_t address[AUTH_ADDRESS_SIZE]);
	/* May who has this auth_owner() log in at all, as far as that can be told?  NULL: yes. */
	bool (*may_log_in)(struct auth *auth, uint64_t owner);
	/* Takes the grant back. */
	void (*release)(struct auth *auth, struct auth_grant *grant);
	void (*end_exchange)(struct auth *auth, struct auth_exchange *exchange);
	/* May the client of this grant have tokens on this link?  NULL: nobody. */
	bool (*has_tokens)(struct auth *auth, const struct auth_grant *grant, uint32_t link);
	/* A new one for who may: its text, and what is kept of it.  False: not any more. */
	bool (*make_token)(struct auth *auth, const struct auth_grant *grant,
			   struct slice client_id, uint8_t text[AUTH_TOKEN_SIZE],
			   uint8_t kept[AUTH_TOKEN_MAC_SIZE]);
};

#endif
