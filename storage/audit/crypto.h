/*
 * crypto.h - SHA-256, Ed25519, base64 and chance, all by libsodium: the one file of this
 * floor that knows it.
 *
 * Ownership: everything is the caller's memory.  A signing key is wiped by
 * audit_signing_key_wipe().
 * Failure: none but ours, except where a function says so.
 * Thread: any.
 * Follows: FIPS 180-4, RFC 8032, RFC 4648 section 4.
 */
#ifndef STORAGE_AUDIT_CRYPTO_H
#define STORAGE_AUDIT_CRYPTO_H

#include "proto/base.h"

#define AUDIT_HASH_LEN	    32u
#define AUDIT_SEED_LEN	    32u
#define AUDIT_PUBLIC_LEN    32u
#define AUDIT_SIGNATURE_LEN 64u

/* Characters of n bytes in base64, with the zero at the end. */
#define AUDIT_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

struct audit_hash {
	uint8_t bytes[AUDIT_HASH_LEN];
};

struct audit_signing_key {
	uint8_t public[AUDIT_PUBLIC_LEN];
	uint8_t secret[64];
};

/* The hash of the parts, one after another. */
struct audit_hash audit_sha256(const struct slice *parts, size_t count);

static inline bool audit_hash_equal(const struct audit_hash *a, const struct audit_hash *b)
{
	return memcmp(a->bytes, b->bytes, AUDIT_HASH_LEN) == 0;
}

/* Chance for a new key. */
void audit_seed_make(uint8_t seed[AUDIT_SEED_LEN]);
struct audit_signing_key audit_signing_key_from(const uint8_t seed[AUDIT_SEED_LEN]);
void audit_signing_key_wipe(struct audit_signing_key *key);
void audit_wipe(void *at, size_t len);

void audit_sign(const struct audit_signing_key *key, struct slice message,
		uint8_t signature[AUDIT_SIGNATURE_LEN]);
bool audit_signature_fits(const uint8_t public[AUDIT_PUBLIC_LEN], struct slice message,
			  const uint8_t signature[AUDIT_SIGNATURE_LEN]);

/* Writes AUDIT_BASE64_SIZE(bytes.len) characters at most. */
void audit_base64_write(struct slice bytes, char *text, size_t size);

#define AUDIT_BASE64_MAX 1024u

/* True when the text is the base64 of exactly len bytes; len is AUDIT_BASE64_MAX at most. */
bool audit_base64_read(struct slice text, uint8_t *bytes, size_t len);

#endif
