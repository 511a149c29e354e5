/*
 * files.h - files below the log's directory: read whole, and written so that a reader sees
 * the old one or the new one, and a loss of power changes nothing that was told.
 *
 * Ownership: a file that was read is the caller's, who frees it; a directory descriptor is
 * borrowed. Failure: with the file's path. Thread: any; one writer for each directory.
 */
#ifndef STORAGE_AUDIT_FILES_H
#define STORAGE_AUDIT_FILES_H

#include "proto/base.h"

#include <sys/types.h>

struct audit_file {
	uint8_t *at;
	size_t len;
};

enum audit_found { AUDIT_FOUND, AUDIT_NOT_THERE, AUDIT_UNREADABLE };

/* Reads at most `max` bytes; a longer file is a failure.  Gives *file when it is found. */
enum audit_found audit_file_find(int directory, const char *path, size_t max,
				 struct audit_file *file, struct failure *failure);

/* The same, where a file that is not there is a failure, too. */
bool audit_file_read(int directory, const char *path, size_t max, struct audit_file *file,
		     struct failure *failure);

/*
 * Writes beside it, syncs, renames into its place and syncs the folder; makes the folders on the
 * way.  *renamed (may be NULL) says whether the new file can be seen, also after a failure.
 */
bool audit_file_put(int directory, const char *path, struct slice bytes, mode_t mode, bool *renamed,
		    struct failure *failure);

/* The same, where the file lies under `new_name` until it is written. */
bool audit_file_put_by(int directory, const char *new_name, const char *path, struct slice bytes,
		       mode_t mode, bool *renamed, struct failure *failure);

/* Syncs the folder that a path lies in. */
bool audit_file_sync_folder(int directory, const char *path, struct failure *failure);

/* Removes "PATH.p" and what is in it; what cannot be removed stays. */
void audit_file_remove_partials(int directory, const char *path);

#endif
