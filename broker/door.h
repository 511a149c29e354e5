/*
 * door.h - who may come in and what they may do, as the configuration says: password_file,
 * acl_file, accounts, the throttle before them, and the threads that look at passwords.
 *
 *	nobody's name            allow_anonymous of the listener, as ever
 *	a name of accounts' form its account, or nobody: whatever else is configured (account.h)
 *	a name and a password    password_file; whatever allow_anonymous says
 *	a name, no password_file a name that nobody proved: as nobody's
 *
 * Identities of different kinds are different ones, whatever their names.  Lines `user NAME` of
 * acl_file are for users of password_file and for names that the transport proved, as in mosquitto;
 * an account has rights of its own, and acl_file's patterns besides.
 *
 * A password that comes over a link that others can read is refused before it is looked at,
 * unless allow_cleartext_password.
 *
 * A password of an older form is hashed anew when it was right: in memory, and in the file where
 * that can be written.
 *
 * Reload: both files are read first; if one is not right all stays as it was.  Clients stay, with
 * the rules of now; whose name is gone from password_file is disconnected, and its session tokens
 * are good no more, also when the name comes back.
 *
 * Ownership: the door owns its tables; grants belong to whom they were given to, and must be back
 * before door_destroy().
 * Failure: creating and reloading, with file and line.
 * Thread: door_create() to door_destroy() are the main thread's; the functions of struct auth
 * their worker's; bans from any.
 */
#ifndef BROKER_DOOR_H
#define BROKER_DOOR_H

#include "auth/auth.h"
#include "auth/problems.h"
#include "auth/throttle.h"
#include "broker/accounts.h"
#include "broker/config.h"

struct door;
struct auth_log;
struct worker;

/*
 * Are password_file and acl_file right?  For --test-config; one that is not named is.  Here and
 * below, what is wrong with both of them is named; when that is nothing there is nothing to free.
 */
bool door_check_files(const struct config *config, struct problems *problems);

struct door_setup {
	struct worker *workers;	   /* where they will be, one for each of config->workers */
	struct accounts *accounts; /* borrowed; NULL: none, there is no data directory */
	struct keyring *keyring;   /* likewise, while creating */
	struct auth_log *auth_log; /* likewise, lasting */
};

/* Reads the files. */
struct door *door_create(const struct config *config, const struct door_setup *setup,
			 struct problems *problems);

/* For the shard of this worker. */
struct auth *door_auth(struct door *door, uint16_t party);

/* Starts the threads, before the workers start, if there are passwords to look at. */
bool door_start(struct door *door, struct failure *failure);

/* Before the first account is made: the threads are there when it returns.  One caller at a time.
 */
bool door_expect_accounts(struct door *door, struct failure *failure);

/* Whose account may still be here?  For a session that was stored: auth_owner(). */
bool door_knows_owner(const struct door *door, uint64_t owner);

/* Ends the threads: no answer comes any more. */
void door_stop(struct door *door);

void door_destroy(struct door *door);

/* The files again, and what may change of the keys.  The caller tells the workers. */
bool door_reload(struct door *door, const struct config *config, struct problems *problems);

/* For struct listener: is another connection from there within rate_connect? */
bool door_admit(void *door, const uint8_t *address);

/* Once a second.  True: a device key's time has come, so the caller tells the workers. */
bool door_tick(struct door *door, uint64_t now_ms);

/*
 * From time to time: forgets addresses that have been quiet for throttle.h's THROTTLE_KEPT_MS, and
 * clients that do not connect too often any more.
 */
void door_forget(struct door *door, uint64_t now_ms);

/* ---- bans ---- */

/* Of an address, after failed logins; or of a client, which connected too often. */
struct door_ban {
	const char *address;	/* "192.0.2.7", "2001:db8::/64" or "::1"; NULL: a client's */
	struct slice client_id; /* else, */
	bool cut;		/* or the beginning of it */
	uint64_t left_ms;
};

/* Calls back for each, with nothing locked; all is borrowed for the call. */
void door_each_ban(struct door *door, void *self,
		   void (*call)(void *self, const struct door_ban *ban));

/* Of an address, or as door_each_ban() gives it; false, and why, when there is none. */
bool door_lift_ban(struct door *door, const char *address, struct failure *failure);

/* Of a client identifier, whoever had it; false when there is none. */
bool door_lift_client_ban(struct door *door, struct slice client_id);

#endif
