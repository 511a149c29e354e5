/*
 * boot_mark.h - `durability process`: which boot of the machine the data on disk
 * belongs to.
 *
 * Without syncing, data.mdb is whole as long as the kernel that took the writes runs:
 * it survives kill -9, not a loss of power.  So while it is open like that, a file
 * `unsynced` beside it holds the boot's id (/proc/sys/kernel/random/boot_id); it is
 * durable before the first write, and goes when everything was synced.  One of another
 * boot means that data.mdb cannot be trusted.
 *
 * Thread: any.
 */
#ifndef STORAGE_BOOT_MARK_H
#define STORAGE_BOOT_MARK_H

#include "proto/base.h"

#define BOOT_MARK_NAME	"unsynced"
#define BOOT_MARK_ASIDE "data.mdb.unsynced" /* what data.mdb becomes */

enum boot_mark {
	BOOT_MARK_NONE,	 /* all is synced; or there is a part of one, and no more was done */
	BOOT_MARK_SAME,	 /* the process died, the machine has run on */
	BOOT_MARK_OTHER, /* the machine was started anew */
};

/* Reads the mark in this directory. */
bool boot_mark_read(const char *directory, enum boot_mark *mark, struct failure *failure);

/* Sets it to this boot, where there is none of it; durable when it returns true. */
bool boot_mark_set(const char *directory, struct failure *failure);

/* The same where there is one already, which is not written again: meanwhile there were none. */
bool boot_mark_keep(const char *directory, struct failure *failure);

/* Takes it away; the data was synced. */
bool boot_mark_clear(const char *directory, struct failure *failure);

/* Puts data.mdb aside, over one that was put there before, and clears the mark. */
bool boot_mark_put_aside(const char *directory, struct failure *failure);

#endif
