/*
 * door_internal.h - what the files door*.c share.
 *
 * Thread: `lock` guards the tables; what is in a grant does not change.
 */
#ifndef BROKER_DOOR_INTERNAL_H
#define BROKER_DOOR_INTERNAL_H

#include "auth/acl.h"
#include "auth/flapping.h"
#include "auth/password_file.h"
#include "broker/auth_log.h"
#include "broker/auth_thread.h"
#include "broker/door.h"
#include "storage/seal.h"
#include <pthread.h>
#include <stdatomic.h>

/* A list of rules that grants point into; it goes with the last of them. */
struct rules {
	struct acl *acl;
	_Atomic uint32_t users;
};

/* Who a client is: of a session, or on its way to one. */
struct grant {
	struct auth_grant base; /* first */
	enum identity_kind kind;
	struct rules *rules;		/* NULL: there is no acl_file */
	const struct acl_rules *own;	/* its lines there; never of an account */
	struct account_visitor visitor; /* of an account, */
	struct account_rights *granted; /* its rights (held; NULL: it never had any), */
	struct account_rights *scope;	/* and those of its device key (held; NULL: the same) */
	size_t user_len;
	uint8_t user[];
};

/* The functions of struct auth for one worker. */
struct worker_door {
	struct auth auth; /* first */
	struct door *door;
	struct worker *worker;
};

struct door {
	const char *password_path; /* NULL: none; both as at the start */
	const char *acl_path;
	struct password_cost cost;
	uint32_t thread_count;
	struct worker *workers;
	struct accounts *accounts;	 /* NULL: none */
	struct auth_log *auth_log;	 /* NULL: none */
	uint8_t owner_key[SEAL_KEY_LEN]; /* of owners' numbers, */
	uint8_t token_key[SEAL_KEY_LEN]; /* of what is kept of session tokens, */
	uint8_t scram_key[SEAL_KEY_LEN]; /* and of records for keys that do not exist */
	_Atomic bool allow_cleartext;
	_Atomic uint32_t rate_connect;
	pthread_mutex_t lock;
	struct password_file *passwords;
	struct owners *owners; /* of `passwords` */
	struct rules *rules;
	struct throttle *throttle;	      /* under `lock`, */
	struct flapping *flapping;	      /* and this */
	_Atomic bool bans_flapping;	      /* may there be bans in it? */
	pthread_mutex_t writing;	      /* the password file; not with `lock` held */
	bool told_not_written;		      /* under `writing` */
	struct auth_threads *_Atomic threads; /* NULL: no password is looked at */
	uint16_t count;
	struct worker_door doors[];
};

/* ---- door_grant.c ---- */

struct rules *rules_create(struct acl *acl); /* takes; NULL of NULL */
void rules_leave(struct rules *rules);

/*
 * Under door->lock.  Of nobody, a user of password_file, or who the transport has proved; NULL of
 * nobody without rules.
 */
struct auth_grant *grant_create(const struct door *door, const struct identity *who);

/* Under door->lock.  NULL: it may not be here. */
struct auth_grant *grant_create_account(const struct door *door,
					const struct account_visitor *visitor);

bool grant_may(const struct auth_grant *base, struct slice client_id, enum auth_right right,
	       struct slice topic);
bool grant_renew(struct auth *auth, struct auth_grant **base);
void grant_release(struct auth *auth, struct auth_grant *base);

/* auth_owner() of somebody who is no account. */
uint64_t door_owner(const struct door *door, const struct identity *who);

/* auth_owner() of all users of a password_file, to find one by that. */
struct owners {
	size_t count;
	uint64_t at[]; /* in order */
};

/* NULL of NULL. */
struct owners *owners_create(const struct door *door, const struct password_file *passwords);
bool owners_have(const struct owners *owners, uint64_t owner);

/* Is the name one that only accounts and their keys have? */
static inline bool door_is_account(struct slice name)
{
	return account_is_name(name) || account_is_id(name);
}

/* ---- door.c */

/* May it be tried?  Fills the answer in when it may not. */
enum throttle_verdict door_throttle(struct door *door, const struct throttle_address *address,
				    struct slice user, struct auth_answer *answer);

/* ---- door_bans.c */

/*
 * Is the client banned (auth_request.client) that has proved before who it is, and does not again?
 * Then no password of it costs anything.
 */
bool door_bans_client(struct door *door, uint64_t client, struct auth_answer *answer);
bool door_client_comes(struct auth *auth, const struct auth_visit *visit,
		       struct auth_answer *answer);

/* ---- door_token.c */

bool door_has_tokens(struct auth *auth, const struct auth_grant *base, uint32_t link);
bool door_make_token(struct auth *auth, const struct auth_grant *base, struct slice client_id,
		     uint8_t text[AUTH_TOKEN_SIZE], uint8_t kept[AUTH_TOKEN_MAC_SIZE]);
/* The password of the request looks like a token. */
enum auth_verdict door_admit_token(struct door *door, const struct throttle_address *from,
				   const struct auth_request *request, struct auth_answer *answer);

/* ---- door_scram.c */

/* The request names a method. */
enum auth_verdict door_admit_scram(struct worker_door *at, const struct auth_request *request,
				   struct auth_answer *answer);
void door_end_exchange(struct auth *auth, struct auth_exchange *exchange);

/* ---- door_login.c: a struct auth_sink ---- */

void door_login_check(void *self, struct password_arena *arena, struct login *login);
void door_login_done(void *self, struct login *login);

#endif
