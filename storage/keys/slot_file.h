/*
 * slot_file.h - keys.slots as a file: 256 blocks of 4,096 bytes (slot.h), made once, each written
 * in its place, never renamed and never copied.  Knows where the bytes go and nothing of keys.
 *
 * Ownership: slot_file_open() gives a file that slot_file_close() takes.
 * Failure: with what failed; names the file.
 * Thread: one at a time.
 */
#ifndef STORAGE_KEYS_SLOT_FILE_H
#define STORAGE_KEYS_SLOT_FILE_H

#include "storage/keys/slot.h"

#define SLOT_FILE_NAME "keys.slots"

struct slot_file {
	int fd;
	int direct;	/* the same file without the page cache; -1 where that is not to be had */
	uint8_t *block; /* SLOT_SIZE bytes, aligned for it: what is written and read */
};

/*
 * Opens the file in the directory, or makes it empty; locks it.  Its length is *len.  Refuses a
 * link, a file of another user and one that others may read.
 */
bool slot_file_open(int directory, struct slot_file *file, uint64_t *len, struct failure *failure);
void slot_file_close(struct slot_file *file);

/* Fills the whole file with free slots and makes it and its name durable. */
bool slot_file_fill(int directory, struct slot_file *file, struct failure *failure);

/* Reads a slot into file->block; the caller wipes it. */
bool slot_file_read(struct slot_file *file, unsigned number, struct failure *failure);

/* Makes file->block the content of the slot, durably, and wipes the block. */
bool slot_file_write(struct slot_file *file, unsigned number, struct failure *failure);

/*
 * Overwrites a slot in place: it is free when that returns.  *erased says whether nothing of what
 * stood there is left on the device; if not, `why` says why not.
 */
bool slot_file_erase(struct slot_file *file, unsigned number, bool *erased, struct failure *why,
		     struct failure *failure);

/* Would slot_file_erase() leave nothing behind?  Tries it on a slot that is free. */
bool slot_file_try_erase(struct slot_file *file, unsigned free_slot, bool *erased,
			 struct failure *why, struct failure *failure);

#endif
