/*
 * token.h - session tokens: a secret that the broker makes, which is a client's password from then
 * on and costs an HMAC to look at.
 *
 * A token is "metrino_t1_" and 43 characters of base64url, 32 random bytes.  What is kept of one is
 * a keyed hash, HMAC-SHA-256 under a key of the installation, over the token, whose it is, for
 * which client identifier, and what its owner proved itself with: it is of no use to anybody else,
 * for any other client, or after another password.
 *
 * A password that looks like a token is taken for one, and never tried as a password.
 *
 * Thread: any.
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include "auth/auth.h"
#include "auth/password.h"
#include "auth/scram.h"
#include "storage/seal.h"

#define TOKEN_PREFIX "metrino_t1_"

/* What a token is bound to, besides the client identifier. */
struct token_binding {
	uint64_t owner; /* auth_owner() */
	size_t len;
	uint8_t credential[PASSWORD_SALT_MAX + PASSWORD_DIGEST_MAX];
};

struct token_binding token_binding_of_password(uint64_t owner, const struct password_hash *hash);
struct token_binding token_binding_of_key(uint64_t owner, const struct scram_record *record);

/* Does it look like one? */
bool token_looks_like(struct slice password);

/* The text of a new one. */
void token_make(uint8_t text[AUTH_TOKEN_SIZE]);

/* What is kept of it. */
void token_keep(const uint8_t key[SEAL_KEY_LEN], const struct token_binding *binding,
		struct slice client_id, struct slice token, uint8_t kept[AUTH_TOKEN_MAC_SIZE]);

/* Which of those that are kept it is; NULL, and all zero, are none. */
enum auth_token token_find(const uint8_t kept[AUTH_TOKEN_MAC_SIZE],
			   const struct auth_tokens *tokens);

#endif
