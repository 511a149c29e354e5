/*
 * compact.h - data.mdb written anew without the pages that nobody needs, for a broker that
 * does not run: under a running one the file may not be exchanged.
 *
 * The new file takes the old one's place by rename, so that at any moment there is a whole one.
 * Then the old file is overwritten where it lies.
 *
 * Failure: in use by a broker; what the disk says.  Until the rename nothing has changed.
 * Thread: any, one at a time.
 */
#ifndef STORAGE_COMPACT_H
#define STORAGE_COMPACT_H

#include "proto/base.h"

/* Left over by one that was interrupted; the next one takes it away. */
#define COMPACT_NAME "data.mdb.compact"

/* Bytes on the disk before and after. */
struct compacted {
	uint64_t before;
	uint64_t after;
};

bool compact_data(const char *directory, struct compacted *compacted, struct failure *failure);

#endif
