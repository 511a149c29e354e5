/*
 * scram.h - SCRAM-SHA-256, RFC 5802 and RFC 7677, the server's side: a client shows that it has
 * the secret of a device key, and the secret never travels.
 *
 * What is kept of a secret is its record, from which nobody can log in.  The server's part of an
 * exchange is a handful of HMACs; the PBKDF2 is the client's.
 *
 *	client  n,,n=NAME,r=NONCE                          scram_first()
 *	server  r=NONCE+ours,s=SALT,i=ITERATIONS           scram_challenge()
 *	client  c=biws,r=NONCE+ours,p=PROOF                scram_final()
 *	server  v=SIGNATURE
 *
 * Who has no record is answered as everybody, with a record that scram_record_fabricate() makes:
 * the same one each time, and no proof fits it.
 *
 * There is no channel binding, so that the name "SCRAM-SHA-256-PLUS" is not ours: "n" and "y" are
 * taken, "p=..." is refused.  An authorization identity has to be the name itself, and the
 * extension "m=" is refused, as section 5.1 asks.  Names and secrets are compared byte by byte:
 * ours are of letters and digits, of which SASLprep makes the same.
 *
 * Failure: what is malformed or not proved gives false.
 * Thread: any; no state but the caller's, no clock, no random numbers.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "proto/base.h"

#define SCRAM_METHOD "SCRAM-SHA-256"

#define SCRAM_KEY_SIZE	 32u /* of SHA-256 */
#define SCRAM_SALT_SIZE	 16u
#define SCRAM_ITERATIONS 4096u /* of new records; RFC 7677 section 4: not fewer */

/* What is kept of a secret.  Plain bytes, to be wiped where they are not needed any more. */
struct scram_record {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_SIZE];
	uint8_t stored_key[SCRAM_KEY_SIZE];
	uint8_t server_key[SCRAM_KEY_SIZE];
};

/* That of a secret.  `salt` is random; one or two milliseconds. */
void scram_record_make(struct slice secret, const uint8_t salt[SCRAM_SALT_SIZE],
		       uint32_t iterations, struct scram_record *record);

/* Is that its secret?  For who logs in with the secret as its password; as long as making one. */
bool scram_record_fits(const struct scram_record *record, struct slice secret);

/* One that belongs to nobody, for a name that does not exist: by `key` always the same. */
void scram_record_fabricate(const uint8_t key[SCRAM_KEY_SIZE], struct slice name,
			    struct scram_record *record);

/* ---- an exchange ---- */

#define SCRAM_MESSAGE_MAX 256u /* of a client; ids and nonces are a tenth of that */
#define SCRAM_NONCE_MAX	  32u  /* ours */

/* Room for the longest server's message: nonces, and what stands around them. */
#define SCRAM_ANSWER_MAX (SCRAM_MESSAGE_MAX + SCRAM_NONCE_MAX + 64u)

struct scram {
	struct scram_record record; /* after scram_challenge() */
	size_t header_len;	    /* of `first`: the GS2 header */
	size_t name_len;
	size_t first_len;
	size_t nonce_len; /* of `answer`: both nonces */
	size_t answer_len;
	char name[SCRAM_MESSAGE_MAX];
	char first[SCRAM_MESSAGE_MAX];
	char answer[SCRAM_ANSWER_MAX];
};

/* The first message; gives the name that it holds, in `scram`. */
bool scram_first(struct scram *scram, struct slice message, struct slice *name);

/* The challenge, which stays in `scram`.  `nonce`: random, printable, without a comma. */
struct slice scram_challenge(struct scram *scram, const struct scram_record *record,
			     struct slice nonce);

/* The client's answer: true when it has the secret, and then what proves to it that we know it. */
bool scram_final(struct scram *scram, struct slice message, struct slice *answer);

#endif
