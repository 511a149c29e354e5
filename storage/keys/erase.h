/*
 * erase.h - is a block of a file really overwritten when it is overwritten?  Asked of the kernel,
 * not of the file system's name.
 *
 * A copy of the old bytes stays behind where the file system writes elsewhere (btrfs without
 * NOCOW, a reflinked file), or writes twice (ext4 with data=journal).  The first is seen by where
 * the block lies before and after (FIEMAP), the second by the mount's options, by the file's
 * flags, and by direct input/output that is not to be had (statx, STATX_DIOALIGN), which also
 * shows through overlayfs.  Where none of it can be asked the answer is no.
 *
 * Not to be seen from here: snapshots below the file system, flash translation, copies by others.
 *
 * Ownership: descriptors are borrowed.
 * Failure: false and a sentence that says why overwriting does not erase; not an error.
 * Thread: any.
 */
#ifndef STORAGE_KEYS_ERASE_H
#define STORAGE_KEYS_ERASE_H

#include "proto/base.h"

/* Parts of a slot; a file system's block may be smaller than it. */
#define ERASE_EXTENTS_MAX 16u

struct erase_extent {
	uint64_t physical; /* bytes from the start of the device */
	uint64_t len;
};

/* Where a range of a file lies. */
struct erase_place {
	struct erase_extent extents[ERASE_EXTENTS_MAX];
	size_t count;
};

/* Asks for no copies when the file is written; `fd` is a new, empty file.  True on most systems. */
void erase_prepare(int fd);

/* Where the range lies, if it lies on blocks of its own that are overwritten in place. */
bool erase_locate(int fd, uint64_t offset, uint64_t len, struct erase_place *place,
		  struct failure *why);

/* Are all bytes of the file on blocks of its own? */
bool erase_is_unshared(int fd, uint64_t len, struct failure *why);

bool erase_same_place(const struct erase_place *before, const struct erase_place *after,
		      struct failure *why);

/* Does the file system, as it is mounted, write data in their place and nowhere else? */
bool erase_file_system_overwrites(int fd, struct failure *why);

/*
 * The same of a line of mountinfo (proc_pid_mountinfo(5)); *upper gives, for overlayfs, the
 * directory below it that is written to, in memory of the line, which is changed.
 */
bool erase_mount_overwrites(char *line, const char **upper, struct failure *why);

#endif
