/*
 * slot.h - the bytes of one slot of keys.slots, all integers big-endian:
 *
 *	   0   8  "metrkey1"
 *	   8   2  number of the slot, 0 to 255
 *	  10   1  form: 0 free, 1 a key in clear, 2 a wrapped key
 *	  11   1  class (key_class.def); 0 when free
 *	  12   4  zero
 *	  16   8  epoch; 0 when free
 *	  24   8  generation: counts the keys that were written into the file; 0 when free
 *	  32  72  in clear: the key, and 40 bytes of chance; wrapped: nonce 24 | key 32 | tag 16,
 *	          XAES-256-GCM, associated data = bytes 0 to 31; free: chance
 *	 104   4  CRC-32C of bytes 0 to 103
 *	 108      chance up to 4096
 *
 * What means something lies within 512 bytes, which disks write whole.  Chance in place of zeros,
 * because storage that finds a block of zeros may drop the block instead of writing it.
 *
 * Ownership: the caller's memory; the caller wipes blocks and slots that held a key.
 * Thread: any.
 */
#ifndef STORAGE_KEYS_SLOT_H
#define STORAGE_KEYS_SLOT_H

#include "storage/keys/key_class.h"
#include "storage/seal.h"

#define SLOT_SIZE  4096u
#define SLOT_COUNT 256u

enum slot_form {
	SLOT_FREE,
	SLOT_CLEAR,
	SLOT_WRAPPED,
	/* Never on the disk: */
	SLOT_DAMAGED, /* not a slot: torn, or changed from outside */
	SLOT_FOREIGN, /* whole, and of another version, or of another place in the file */
};

struct slot {
	enum slot_form form;
	enum key_class class;
	uint64_t epoch;
	uint64_t generation;
};

/* Writes a slot that is free; what stands in `slot` besides is not looked at. */
void slot_write_free(unsigned number, uint8_t block[SLOT_SIZE]);

/* Writes a slot with a key; `wrapping` is NULL for SLOT_CLEAR. */
void slot_write_key(unsigned number, const struct slot *slot, const uint8_t key[SEAL_KEY_LEN],
		    const uint8_t *wrapping, uint8_t block[SLOT_SIZE]);

/* What the slot is. */
struct slot slot_read(unsigned number, const uint8_t block[SLOT_SIZE]);

/* The key of a slot that has one.  False: it was wrapped under another key than `wrapping`. */
bool slot_read_key(const struct slot *slot, const uint8_t block[SLOT_SIZE], const uint8_t *wrapping,
		   uint8_t key[SEAL_KEY_LEN]);

#endif
