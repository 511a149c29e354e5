/*
 * seal.h - sealing of bytes, keys from keys, keyed hashes, and chance: by mbedTLS and getrandom.
 * Everything that is on the disk in secret passes through here.
 *
 * Sealed bytes are nonce (24 bytes of chance) | ciphertext (as long as the text) | tag (16).  What
 * is "associated" is not stored but must be the same when they are opened: what says where the
 * bytes belong (format version, class, key, row), so that bytes that were moved do not open.
 *
 * Ownership: the caller's memory everywhere; what was derived on the way is wiped.  The caller
 * wipes keys and texts of its own (explicit_bzero).
 * Failure: only seal_open(): not authentic.  A kernel without chance is our own mistake (must).
 * Thread: any.
 * Follows: C2SP XAES-256-GCM; RFC 5869 and RFC 2104, with SHA-256.
 */
#ifndef STORAGE_SEAL_H
#define STORAGE_SEAL_H

#include "proto/base.h"

#define SEAL_KEY_LEN   32u
#define SEAL_NONCE_LEN 24u
#define SEAL_TAG_LEN   16u
#define SEAL_OVERHEAD  (SEAL_NONCE_LEN + SEAL_TAG_LEN)

/* The longest name of a purpose or a class in seal_derive(). */
#define SEAL_NAME_MAX 32u

/*
 * Writes plain.len + SEAL_OVERHEAD bytes.  The text may lie in its place already, at
 * out + SEAL_NONCE_LEN; overlap otherwise it may not.
 */
void seal_bytes(const uint8_t key[SEAL_KEY_LEN], struct slice associated, struct slice plain,
		uint8_t *out);

/*
 * Writes sealed.len - SEAL_OVERHEAD bytes; `plain` may be sealed.at + SEAL_NONCE_LEN, overlap
 * otherwise it may not.  False: another key, another place, or changed bytes; then `plain` holds
 * nothing of the text.
 */
bool seal_open(const uint8_t key[SEAL_KEY_LEN], struct slice associated, struct slice sealed,
	       uint8_t *plain);

/*
 * One purpose, one key: HKDF-SHA-256 without salt, info = "metrino/1|purpose|class|epoch" with the
 * epoch in decimal digits.  Neither name may be empty, hold a | or be longer than SEAL_NAME_MAX.
 */
void seal_derive(const uint8_t key[SEAL_KEY_LEN], const char *purpose, const char *class,
		 uint64_t epoch, uint8_t out[SEAL_KEY_LEN]);

/* HKDF-SHA-256 of a secret of any length; at most 255 * 32 bytes. */
void seal_hkdf(struct slice salt, struct slice secret, struct slice info, uint8_t *out, size_t len);

/* HMAC-SHA-256. */
void seal_mac(const uint8_t key[SEAL_KEY_LEN], struct slice bytes, uint8_t out[SEAL_KEY_LEN]);

/* Fills with chance from the kernel. */
void seal_random(void *at, size_t len);

#endif
