/*
 * record.h - the bodies of kept rows: sessions and subscriptions.  All integers are big-endian.
 *
 *	session:      u32 realm | u32 expiry | u8 flags | u64 since |
 *	              u64 owner, where flags say so | u16 length | client id |
 *	              tokens, to the end
 *	subscription: u64 session | u32 identifier | u8 options |
 *	              u16 length | filter
 *
 * What is around a body is sealed_record.h's.  (Of the journal's rows the body is journal.h's.)
 *
 * Ownership: slices that were read borrow from the body.
 * Failure: a body that is not whole fails with what was wrong, never with what it holds.  Writing
 * a value that reading would refuse is our own mistake.
 * Thread: any.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "storage/store.h"

#define RECORD_BODY_MAX (27u + STORE_CLIENT_ID_MAX + STORE_TOKENS_MAX)

/* Both write at most RECORD_BODY_MAX bytes, and give how many. */
size_t record_write_session(const struct store_session *session, uint8_t *out);
size_t record_write_subscription(const struct store_subscription *subscription, uint8_t *out);

bool record_read_session(struct slice body, struct store_session *session, struct failure *failure);
bool record_read_subscription(struct slice body, struct store_subscription *subscription,
			      struct failure *failure);

#endif
