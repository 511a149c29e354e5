/*
 * lmdb_file.h - is this data.mdb whole?  Asked before LMDB maps it.
 *
 * LMDB trusts its file: a truncated one ends the process with SIGBUS, a damaged page
 * with SIGSEGV or an assertion.  So the pages are read here first, with pread(), and
 * everything that LMDB would follow is checked: both meta pages, every page that the
 * newest of them reaches, every node in it, the list of free pages; each page may be
 * reached once.  What the values say is not looked at (record.h does that).
 *
 * What cannot be seen: LMDB's meta pages have no check value.  One whose transaction
 * number was changed so that it looks two commits older hides the last commit.
 *
 * The format is LMDB's own, data version 1 (liblmdb 0.9), in the machine's byte order
 * and word size.
 *
 * Failure: a sentence that names the file, the page and what is wrong with it.
 * Thread: any, while nobody writes the file.
 */
#ifndef STORAGE_LMDB_FILE_H
#define STORAGE_LMDB_FILE_H

#include "proto/base.h"

/*
 * Does the file hold no more than LMDB puts into a new one before the first commit, or
 * a part of it?  The power went away then; nobody was promised anything.
 */
bool lmdb_file_is_unborn(int fd);

/* Checks the file that `fd` is open on; `path` is for the sentence.  An empty file is new: true. */
bool lmdb_file_check(int fd, const char *path, struct failure *failure);

/*
 * Overwrites with zeros what is in the file and not in use: the free pages, and all behind the last
 * page.  LMDB may have the file open, if no transaction is under way.
 */
bool lmdb_file_wipe_free(int fd, const char *path, struct failure *failure);

/* For every sentence about damage: what the operator can do. */
#define LMDB_FILE_ADVICE                                                                           \
	"nothing was changed; put a good copy in its place, or move the file away to start "       \
	"without sessions"

#endif
