/*
 * subject.h - the rights of the person behind an account (docs/privacy.md): access and portability,
 * rectification, restriction, objection, erasure.  The same for the operator, who asks over the
 * control socket, and for the person, who asks over MQTT (own_request.h).
 *
 * An answer is one object of JSON, with "ok", and an "error" where that is false.
 *
 *   export    everything that is kept of the account and can be read; and a list of what is not
 *             kept, or cannot be read by anybody.  Signed: see below.  The argument names clients
 *             whose sessions have ended, one a line, so that their deliveries are in it, too
 *   rectify   another e-mail address; a person gets the same answer where another account has it
 *   restrict  on: no rows of its deliveries are kept from now on
 *   object    on: it is in no statistics from now on
 *   erase     connections, sessions, retained messages, wills, queues, tokens, keys, rows; the
 *             answer comes when the key of the rows is destroyed, with a receipt; where that
 *             fails all of it is gone but the key, and who asks again may get the receipt
 *
 * An export is a signed note (c2sp.org/signed-note) by the key of the audit log: the line
 * "metrino export v1", the document as JSON, an empty line, the signature.  Without an audit log
 * it has no signature.
 *
 * Ownership: the source is borrowed; answers are given.
 * Failure: in the answer.
 * Thread: any but a worker's: it waits for them, and for the disk.
 */
#ifndef BROKER_SUBJECT_H
#define BROKER_SUBJECT_H

#include "broker/accounts.h"
#include "broker/auth_log.h"
#include "broker/core/own_request.h"
#include "broker/core/shard.h"
#include "storage/route/own.h"
#include "storage/store.h"

#include <jansson.h>

struct census;

/* How long workers may take. */
#define SUBJECT_PATIENCE_MS 5000u

/* The last so many deliveries are in an export. */
#define SUBJECT_DELIVERIES_MAX 20000u

/* Deliveries from and to clients of an owner: of those that are asked about. */
struct subject_deliveries {
	uint64_t owner;
	const struct slice *clients; /* identifiers, by the numbers that rows have for them */
	size_t count;
	void *self;
	void (*row)(void *self, const struct route_own_row *row);
};

struct subject_rows {
	uint64_t count;	  /* that there are, of this owner */
	uint64_t damaged; /* of everybody, that cannot be read */
};

struct subject_source {
	void *self;
	struct accounts *accounts;
	struct auth_log *auth_log; /* NULL: no rows of logins are kept */
	/* As the configuration says now; privacy_contact may be NULL.  Lasting. */
	const char *(*region)(void *self);
	const char *(*contact)(void *self);
	/* What the store has of a session, with its subscriptions. */
	bool (*stored)(void *self, const struct client_info *client,
		       const struct store_visitor *visitor, struct failure *failure);
	/* Gives the last rows, and says how many there are; none where none are recorded. */
	bool (*deliveries)(void *self, const struct subject_deliveries *asked,
			   struct subject_rows *rows, struct failure *failure);
	/* Of all workers, to be waited for and released: sessions of an owner, */
	struct census *(*sessions)(void *self, uint64_t owner);
	/* the end of all of them, */
	struct census *(*expel)(void *self, uint64_t owner);
	/* another look at their grants. */
	struct census *(*renew)(void *self, uint64_t owner);
	/* For who was erased; NULL with a failure: none can be given.  Freed by the caller. */
	char *(*receipt)(void *self, const char *name, struct failure *failure);
	/* The document as a signed text; freed by the caller. */
	char *(*sign)(void *self, const char *document);
};

/* The operator may know whose an address is; a person learns of no other account. */
enum subject_asker { SUBJECT_OPERATOR, SUBJECT_PERSON };

/*
 * Does it.  *expel is set to the owner whose clients and sessions are to end (subject_expel), after
 * the answer was told to who asked, if that is one of them; else 0.
 */
json_t *subject_do(const struct subject_source *source, enum subject_asker asker,
		   enum own_action action, struct slice name, struct slice argument,
		   uint64_t *expel);

/*
 * Writes all that an export says, but the signature.  `named`: client identifiers, one a line; a
 * pseudonym is made with a secret of the account, so that naming somebody else's finds nothing.
 */
bool subject_describe(const struct subject_source *source, struct slice name, struct slice named,
		      json_t *document, struct failure *failure);

/* Rights as lines of {access, filter}; gives. */
json_t *subject_rights(const struct account_rights *rights);

/* True: all of it is gone. */
bool subject_expel(const struct subject_source *source, uint64_t owner);

#endif
