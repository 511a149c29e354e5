/*
 * receipt.h - receipts for erasures: what a person keeps to show that the broker erased something,
 * and that verifies without the broker.
 *
 * Every hour the broker draws RECEIPT_TICKETS secrets and writes the root of the tree above them
 * into the log, in a `receipts` entry.  An erasure opens one of them: the receipt holds the secret,
 * the path from it to the root, and the proof that the entry with the root is in the log; and above
 * that, signed with the log's key, what was erased.  When the next hour's are drawn, a minute into
 * it, the secrets that were not given are wiped.
 *
 * Why tickets and not a tree of the hour's erasures: the receipt is whole at once; what stands in
 * the log was drawn before anybody was erased, so that it is the same whether anybody was, and
 *holds nothing derived from a person.  After the hour nobody can make another receipt of it, for
 *nobody has the secrets.
 *
 * Who it is about: SHA-256 of a salt and the name.  The salt stands below the signature, goes to
 *the person with the receipt, and is kept nowhere.  Without that line the receipt verifies as well,
 *and tells nobody whose it is.
 *
 *	metrino receipt v1
 *	event account.erased
 *	hour SECONDS
 *	ticket NUMBER
 *	root BASE64                   of the hour's tickets
 *	subject BASE64
 *	                              the signed note: c2sp.org/signed-note
 *	— NAME BASE64
 *	                              below the second empty line:
 *	salt BASE64
 *	secret BASE64
 *	path BASE64                   RECEIPT_HEIGHT of them, from the bottom
 *	                              and behind an empty line the c2sp.org/tlog-proof of the entry
 *
 * Ownership: the caller's memory.  receipt_tickets_wipe() before it is freed.
 * Failure: texts that are not what they should be; no ticket left.
 * Thread: any, one at a time.
 */
#ifndef STORAGE_AUDIT_RECEIPT_H
#define STORAGE_AUDIT_RECEIPT_H

#include "storage/audit/event.h"
#include "storage/audit/note.h"

#define RECEIPT_HEIGHT	12u
#define RECEIPT_TICKETS (1u << RECEIPT_HEIGHT)
#define RECEIPT_SIZE	16384u
#define RECEIPT_SALT	32u

/* What can have happened; a line each in receipt.c. */
enum receipt_event {
	RECEIPT_ACCOUNT_ERASED,
	RECEIPT_DATA_ERASED, /* what was kept of a client without an account */
	RECEIPT_EVENTS,
};

struct receipt_tickets {
	uint8_t seed[AUDIT_SEED_LEN]; /* all secrets are made of it */
	uint64_t hour_s;
	uint32_t given;
	struct audit_hash root;
};

/* A new hour: the secrets of before are gone. */
void receipt_tickets_draw(struct receipt_tickets *tickets, uint64_t hour_s);
void receipt_tickets_wipe(struct receipt_tickets *tickets);

struct receipt_wanted {
	enum receipt_event event;
	struct slice subject;	  /* the name of who was erased */
	struct slice entry_proof; /* c2sp.org/tlog-proof of the entry with the tickets' root */
	const struct note_verifier *verifier;
	const struct audit_signing_key *key;
};

/* Writes the receipt, with a zero at its end, and uses up a ticket. */
bool receipt_write(struct receipt_tickets *tickets, const struct receipt_wanted *wanted,
		   char text[RECEIPT_SIZE], struct failure *failure);

struct receipt {
	enum receipt_event event;
	uint64_t hour_s;
	bool has_salt;
	bool is_subject; /* salt and name make the signed hash */
	uint64_t entry;	 /* in the log */
};

/* Everything that can be checked of it; `subject` empty: not compared. */
bool receipt_check(struct slice text, const struct note_verifier *verifier, struct slice subject,
		   struct receipt *receipt, struct failure *failure);

/* "an account was erased" */
const char *receipt_event_told(enum receipt_event event);

#endif
