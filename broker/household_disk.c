/* household_disk.c - the disk of the data directory, looked at from time to time (disk_watch.h). */
#include "broker/household_internal.h"
#include "broker/log.h"
#include <inttypes.h>
#include <sys/statvfs.h>

#define LOOK_MS 1000u

static void tell(enum disk_news news, uint64_t available)
{
	if (news == DISK_IS_FULL)
		log_write(LOG_LEVEL_ERROR, "disk",
			  "the disk of the data directory has next to no room: %" PRIu64
			  " MiB are left for the broker; make more, or sessions, accounts and the "
			  "audit log cannot be written",
			  available >> 20);
	if (news == DISK_HAS_ROOM)
		log_write(LOG_LEVEL_NOTICE, "disk",
			  "the disk of the data directory has room again: %" PRIu64 " MiB",
			  available >> 20);
}

void household_look_at_disk(struct household *house, uint64_t now_ms)
{
	struct statvfs found;

	if (house->directory < 0 || now_ms < house->disk_due_ms)
		return;
	house->disk_due_ms = now_ms + LOOK_MS;
	if (fstatvfs(house->directory, &found) != 0)
		return;
	const uint64_t available = (uint64_t)found.f_bavail * found.f_frsize;

	tell(disk_watch_see(&house->disk, available), available);
	atomic_store_explicit(&house->disk_full, house->disk.full, memory_order_relaxed);
	if (house->disk.full)
		audit_alert(house->audit, AUDIT_WORD_ALERT_DISK_FULL);
}
