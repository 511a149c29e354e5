/*
 * directory.h - the data directory: found or made, fit for LMDB, ours alone.
 *
 * The directory is locked (flock) for as long as the descriptor is open; that is
 * what keeps a second broker out.
 *
 * Refused, each with a sentence: what is not a directory; one of another user; one
 * that others may enter; one that cannot be written; one on a file system where
 * LMDB is unsafe; one with files that are not Metrino's; one that is in use.
 * Nothing in a directory that is there already is changed.
 * Thread: any.
 */
#ifndef STORAGE_DIRECTORY_H
#define STORAGE_DIRECTORY_H

#include "proto/base.h"

#include <sys/types.h>

/*
 * Opens the directory and locks it, making it (mode 0700, with its parents) where
 * there is none; *created says so.  Gives *fd to the caller, who closes it.
 */
bool directory_open(const char *path, bool *created, int *fd, struct failure *failure);

/*
 * The same for a process that will run as another user: the directory must belong
 * to `owner`, and is given to owner and group when it is made.
 */
bool directory_open_for(const char *path, uid_t owner, gid_t group, bool *created, int *fd,
			struct failure *failure);

/* For --test-config: false when there are files of others in it; what is not there may become ours.
 */
bool directory_may_be_ours(const char *path, struct failure *failure);

/* Is there a file of Metrino's with this name in a data directory? */
bool directory_knows(const char *name);

/*
 * The name of a file system (statfs, f_type) where LMDB is unsafe because memory
 * maps or locks are not what they are on a local disk; NULL for all others.
 */
const char *directory_unsafe_filesystem(unsigned long type);

#endif
