/*
 * record.h - the bytes of one kept row: sessions, subscriptions, and values of the
 * journal.
 *
 * A record is a header, a body and a trailer, all integers big-endian:
 *
 *	header   u8 format version | u8 class | u32 key epoch
 *	body     session:      u32 realm | u32 expiry | u8 flags | u64 since |
 *	                       u64 owner, where flags say so | u16 length | client id |
 *	                       tokens, to the end
 *	         subscription: u64 session | u32 identifier | u8 options |
 *	                       u16 length | filter
 *	         journal:      steps (journal.h)
 *	trailer  version 1, clear:  u32 CRC-32C of header, row number and body
 *	         version 2, sealed: to come; nonce and tag
 *
 * The row number is the key beside the record, not part of it.  The trailer covers
 * it, so a record that was moved to another row does not open.
 *
 * What happens to body and trailer is the business of a seal, so that sealing
 * changes bytes of a record and nothing else of the file (docs/privacy.md, "Why
 * records are sealed").  record_clear is the seal of version 1.
 *
 * Ownership: decoded slices borrow from the bytes given, or from the scratch.
 * Failure: bytes that are not a whole, intact record of that row fail with what was
 * wrong, never with what they hold.  Encoding a value that decoding would refuse is
 * our own mistake.
 * Thread: any.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "storage/store.h"

#define RECORD_HEADER_LEN  6u
#define RECORD_TRAILER_MAX 40u /* a nonce of 24 bytes and a tag of 16 */
#define RECORD_BODY_MAX	   (27u + STORE_CLIENT_ID_MAX + STORE_TOKENS_MAX)
#define RECORD_MAX	   (RECORD_HEADER_LEN + RECORD_BODY_MAX + RECORD_TRAILER_MAX)

enum record_class {
	RECORD_SESSION = 1,
	RECORD_SUBSCRIPTION = 2,
	RECORD_JOURNAL = 3,
};

/* What a trailer vouches for. */
struct record_scope {
	uint64_t row;
	const uint8_t *header; /* RECORD_HEADER_LEN bytes */
};

struct record_seal {
	void *self;
	uint8_t version;     /* the format version that it writes and opens */
	uint32_t key_epoch;  /* written into the header */
	uint8_t trailer_len; /* at most RECORD_TRAILER_MAX */

	/* Changes the body in place as it shall be kept and writes the trailer. */
	bool (*seal)(void *self, const struct record_scope *scope, uint8_t *body, size_t body_len,
		     uint8_t *trailer, struct failure *failure);

	/*
	 * Checks the trailer and gives the body as it was before seal(): *body itself, or
	 * put into scratch, which has room for as many bytes.
	 */
	bool (*open)(void *self, const struct record_scope *scope, struct slice *body,
		     const uint8_t *trailer, uint8_t *scratch, struct failure *failure);
};

/* Format version 1: the body stays readable, the trailer is a check value. */
extern const struct record_seal record_clear;

/* Writes a record into `out`, which has room for RECORD_MAX bytes, and its length. */
bool record_encode_session(const struct record_seal *seal, uint64_t row,
			   const struct store_session *session, uint8_t *out, size_t *len,
			   struct failure *failure);
bool record_encode_subscription(const struct record_seal *seal, uint64_t row,
				const struct store_subscription *subscription, uint8_t *out,
				size_t *len, struct failure *failure);

bool record_encode_journal(const struct record_seal *seal, uint64_t row, struct slice body,
			   uint8_t *out, size_t *len, struct failure *failure);

/* Reads a record.  `scratch` has room for RECORD_MAX bytes and is used by seals that decipher. */
bool record_decode_session(const struct record_seal *seal, uint64_t row, struct slice bytes,
			   uint8_t *scratch, struct store_session *session,
			   struct failure *failure);
bool record_decode_subscription(const struct record_seal *seal, uint64_t row, struct slice bytes,
				uint8_t *scratch, struct store_subscription *subscription,
				struct failure *failure);
bool record_decode_journal(const struct record_seal *seal, uint64_t row, struct slice bytes,
			   uint8_t *scratch, struct slice *body, struct failure *failure);

#endif
