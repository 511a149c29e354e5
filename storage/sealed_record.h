/*
 * sealed_record.h - the bytes of one row of data.mdb, format version 2: a head, and a body that
 * is sealed under a key (seal.h).
 *
 *	head     u8 format version | u8 class | u32 number of the key, big-endian
 *	sealed   nonce (24) | ciphertext (as long as the body) | tag (16)
 *
 * Associated with it are the head and the row's number (u64, big-endian), which is the key beside
 * the record in the table: a record that was moved to another row, or made to be of another class
 * or under another key, does not open.  What the number of the key means is the class's business:
 * a leaf of the key tree (key_tree.h) or the epoch of a key of the keyring.
 *
 * Failure: what is wrong with the bytes, never what they hold.
 * Thread: any.
 */
#ifndef STORAGE_SEALED_RECORD_H
#define STORAGE_SEALED_RECORD_H

#include "storage/seal.h"

#define SEALED_VERSION	2u
#define SEALED_HEAD_LEN 6u
#define SEALED_OVERHEAD (SEALED_HEAD_LEN + SEAL_OVERHEAD)
#define SEALED_BODY_MAX 65664u /* of all classes */
#define SEALED_MAX	(SEALED_BODY_MAX + SEALED_OVERHEAD)

/* Written to the disk: numbers are never given twice. */
enum sealed_class {
	SEALED_SESSION = 1,
	SEALED_SUBSCRIPTION = 2,
	SEALED_JOURNAL = 3,
	SEALED_KEYS = 4, /* a node of the key tree */
	SEALED_ACCOUNT = 5,
	SEALED_DEVICE_KEY = 6,
	SEALED_TOKEN = 7,
	SEALED_AUTH = 8,
	SEALED_AGGREGATE = 9,
	SEALED_ROUTE = 10, /* route/route_record.h */
};

/* What stands outside of the body. */
struct sealed_place {
	enum sealed_class class;
	uint32_t key_number;
	uint64_t row;
};

/* Writes body.len + SEALED_OVERHEAD bytes. */
void sealed_record_make(struct sealed_place place, const uint8_t key[SEAL_KEY_LEN],
			struct slice body, uint8_t *out);

/* Checks length, version and class, and gives the number of the key, before it is opened. */
bool sealed_record_look(struct slice record, enum sealed_class class, uint32_t *key_number,
			struct failure *failure);

/*
 * Opens a record that was looked at.  `plain` has room for its body, record.len - SEALED_OVERHEAD
 * bytes, which the caller wipes.
 */
bool sealed_record_open(struct slice record, uint64_t row, const uint8_t key[SEAL_KEY_LEN],
			uint8_t *plain, struct failure *failure);

static inline size_t sealed_record_body_len(struct slice record)
{
	return record.len - SEALED_OVERHEAD;
}

#endif
