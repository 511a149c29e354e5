/* disk_watch.c - see disk_watch.h. */
#include "broker/disk_watch.h"

enum disk_news disk_watch_see(struct disk_watch *watch, uint64_t available)
{
	const uint64_t enough = watch->full ? 2 * DISK_FULL_BYTES : DISK_FULL_BYTES;
	const bool full = available < enough;

	if (full == watch->full)
		return DISK_NO_NEWS;
	watch->full = full;
	return full ? DISK_IS_FULL : DISK_HAS_ROOM;
}
