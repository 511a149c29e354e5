/*
 * disk_watch.h - is there room on the disk?  Said before it is full: then nothing can be written
 * any more, the alert itself neither.
 *
 * Pure: the caller brings what there is.  A disk that was full has room again when there is twice
 * as much as it lacked, so that one at the edge is not told of again and again. Thread: one.
 */
#ifndef BROKER_DISK_WATCH_H
#define BROKER_DISK_WATCH_H

#include "proto/base.h"

/* Of room for us, less is full. */
#define DISK_FULL_BYTES (UINT64_C(16) << 20)

struct disk_watch {
	bool full;
};

enum disk_news { DISK_NO_NEWS, DISK_IS_FULL, DISK_HAS_ROOM };

enum disk_news disk_watch_see(struct disk_watch *watch, uint64_t available);

#endif
