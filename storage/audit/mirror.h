/*
 * mirror.h - a copy of a log that is kept by somebody else: continued from the entries alone, so
 * that whatever is taken into it was checked.
 *
 * To continue, the bundles of entries behind those that are here are fetched; each entry must be a
 * line of the closed table at its place; the tree of all must have the root of the new checkpoint.
 * So the copy proves that the log continues what it was, and no tile is believed.  It is a log like
 * the broker's, without a signing key: everything that reads a log reads it.
 *
 * Ownership: audit_mirror_open() gives, audit_mirror_close() takes; the directory is borrowed.
 * Failure: a log that was put back to an earlier state, a fork, entries that are none; the copy
 * stays what it was.
 * Thread: any, one at a time; one process for each copy.
 */
#ifndef STORAGE_AUDIT_MIRROR_H
#define STORAGE_AUDIT_MIRROR_H

#include "storage/audit/reader.h"

struct audit_mirror;

/* Where the log is read: `path` as below the broker's log/.  A file that is not there is a failure
 * of AUDIT_NOT_THERE. */
struct audit_mirror_source {
	void *self;
	enum audit_found (*fetch)(void *self, const char *path, size_t max, struct audit_file *file,
				  struct failure *failure);
};

/* Of the log with this key; a copy that is there already must be of the same. */
struct audit_mirror *audit_mirror_open(int directory, const struct note_verifier *verifier,
				       struct failure *failure);
void audit_mirror_close(struct audit_mirror *mirror);

/* What the copy is of. */
struct checkpoint audit_mirror_checkpoint(const struct audit_mirror *mirror);

/* Fetches the checkpoint and all that is new. */
bool audit_mirror_follow(struct audit_mirror *mirror, const struct audit_mirror_source *source,
			 struct failure *failure);

#endif
