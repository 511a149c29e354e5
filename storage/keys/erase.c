/* erase.c - see erase.h. */
#include "storage/keys/erase.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- where bytes lie */

/* Flags of an extent that is not, or not only, a place on the disk: fiemap.h of the kernel. */
static const struct {
	uint32_t flag;
	const char *what;
} bad_extents[] = {
    {FIEMAP_EXTENT_SHARED, "another file or snapshot shares its blocks"},
    {FIEMAP_EXTENT_ENCODED, "its blocks are compressed"},
    {FIEMAP_EXTENT_DATA_INLINE, "its bytes lie among those of the file system"},
    {FIEMAP_EXTENT_DATA_TAIL, "its bytes share a block with other files"},
    {FIEMAP_EXTENT_DELALLOC, "its place is not decided"},
    {FIEMAP_EXTENT_UNWRITTEN, "its blocks are not written"},
    {FIEMAP_EXTENT_UNKNOWN, "its place is not known"},
    {FIEMAP_EXTENT_NOT_ALIGNED, "its bytes share a block"},
};

static bool is_good_extent(const struct fiemap_extent *extent, struct failure *why)
{
	/* fscrypt changes the bytes, not where they lie. */
	const uint32_t flags = extent->fe_flags & FIEMAP_EXTENT_DATA_ENCRYPTED
				   ? extent->fe_flags & ~(uint32_t)FIEMAP_EXTENT_ENCODED
				   : extent->fe_flags;

	for (size_t i = 0; i < sizeof(bad_extents) / sizeof(*bad_extents); i++) {
		if (flags & bad_extents[i].flag)
			return failure_set(why, "%s", bad_extents[i].what);
	}
	return true;
}

#define MAP_EXTENTS 32u

union extent_map {
	struct fiemap map;
	uint8_t room[sizeof(struct fiemap) + MAP_EXTENTS * sizeof(struct fiemap_extent)];
};

/* The first extents of a range; at least one. */
static bool ask(int fd, uint64_t offset, uint64_t len, union extent_map *answer,
		struct failure *why)
{
	memset(answer, 0, sizeof(*answer));
	answer->map.fm_start = offset;
	answer->map.fm_length = len;
	answer->map.fm_flags = FIEMAP_FLAG_SYNC;
	answer->map.fm_extent_count = MAP_EXTENTS;
	if (ioctl(fd, FS_IOC_FIEMAP, &answer->map) != 0)
		return failure_set(why,
				   "the file system does not say where a file lies (FIEMAP: %s)",
				   strerror(errno));
	if (answer->map.fm_mapped_extents == 0)
		return failure_set(why, "it has no blocks");
	return true;
}

/* What follows the first part of a range that an extent covers; 0: it does not begin in it. */
static uint64_t covered(const struct fiemap_extent *extent, uint64_t offset, uint64_t len)
{
	const uint64_t end = extent->fe_logical + extent->fe_length;

	if (extent->fe_logical > offset || end <= offset)
		return 0;
	return end - offset < len ? end - offset : len;
}

/* Goes through a range, `seen` (may be NULL) takes its parts. */
static bool walk(int fd, uint64_t offset, uint64_t len, struct erase_place *seen,
		 struct failure *why)
{
	union extent_map answer;

	while (len > 0) {
		const uint64_t before = offset;

		if (!ask(fd, offset, len, &answer, why))
			return false;
		for (uint32_t i = 0; i < answer.map.fm_mapped_extents && len > 0; i++) {
			const struct fiemap_extent *extent = &answer.map.fm_extents[i];
			const uint64_t part = covered(extent, offset, len);

			if (part == 0 || !is_good_extent(extent, why))
				return part > 0 ? false : failure_set(why, "it has holes");
			if (seen && seen->count == ERASE_EXTENTS_MAX)
				return failure_set(why, "it lies in too many pieces");
			if (seen)
				seen->extents[seen->count++] = (struct erase_extent){
				    extent->fe_physical + (offset - extent->fe_logical), part};
			offset += part;
			len -= part;
		}
		must(offset > before);
	}
	return true;
}

bool erase_locate(int fd, uint64_t offset, uint64_t len, struct erase_place *place,
		  struct failure *why)
{
	place->count = 0;
	return walk(fd, offset, len, place, why);
}

bool erase_is_unshared(int fd, uint64_t len, struct failure *why)
{
	return walk(fd, 0, len, NULL, why);
}

bool erase_same_place(const struct erase_place *before, const struct erase_place *after,
		      struct failure *why)
{
	if (before->count == after->count &&
	    memcmp(before->extents, after->extents, before->count * sizeof(*before->extents)) == 0)
		return true;
	return failure_set(why, "the file system wrote to another place and left the old bytes");
}

/* ---- how the file system writes */

void erase_prepare(int fd)
{
	int flags;

	/* Only btrfs and its like know the flag; elsewhere there is nothing to ask for. */
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_NOCOW_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

/* Does the option stand between commas? */
static bool has_option(const char *options, const char *option)
{
	const size_t len = strlen(option);

	for (const char *at = options; (at = strstr(at, option)) != NULL; at += len) {
		if ((at == options || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

/* The value of "name=", cut out of the options; NULL for none. */
static const char *option_value(char *options, const char *name)
{
	const size_t len = strlen(name);

	for (char *at = options; (at = strstr(at, name)) != NULL; at += len) {
		if (at == options || at[-1] == ',') {
			at[len + strcspn(at + len, ",")] = '\0';
			return at + len;
		}
	}
	return NULL;
}

bool erase_mount_overwrites(char *line, const char **upper, struct failure *why)
{
	char *type = strstr(line, " - ");
	char *options = NULL;

	*upper = NULL;
	if (type != NULL) {
		type += 3;
		line[strcspn(line, "\n")] = '\0';
		char *source = strchr(type, ' ');

		options = source ? strchr(source + 1, ' ') : NULL;
		if (source)
			*source = '\0';
	}
	if (options == NULL)
		return failure_set(why, "/proc/self/mountinfo cannot be understood");
	options++;
	if (has_option(options, "data=journal"))
		return failure_set(why,
				   "%s is mounted with data=journal, which writes all data to "
				   "the journal, too",
				   type);
	if (strcmp(type, "overlay") == 0)
		*upper = option_value(options, "upperdir=");
	return true;
}

/* The mount that a descriptor was opened through: proc_pid_fdinfo(5). */
static bool find_mount_id(int fd, int *id)
{
	char path[64];
	char line[128];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "mnt_id: %d", id) == 1;
	if (file)
		fclose(file);
	return found;
}

/* Its line of mountinfo, to be freed; NULL for none. */
static char *find_mount(int fd)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int wanted = 0;
	int id = 0;
	bool found = false;

	if (file && find_mount_id(fd, &wanted)) {
		while (!found && getline(&line, &room, file) > 0)
			found = sscanf(line, "%d", &id) == 1 && id == wanted;
	}
	if (file)
		fclose(file);
	if (!found) {
		free(line);
		return NULL;
	}
	return line;
}

/* Direct input/output: there, not there because data go through a journal or the like, or unknown.
 */
enum direct { DIRECT_UNKNOWN, DIRECT_NO, DIRECT_YES };

static enum direct find_direct(int fd)
{
	struct statx st;

	/* Since Linux 6.1; through overlayfs it is the answer of the file system below. */
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) != 0 ||
	    !(st.stx_mask & STATX_DIOALIGN))
		return DIRECT_UNKNOWN;
	return st.stx_dio_mem_align > 0 ? DIRECT_YES : DIRECT_NO;
}

static bool mount_overwrites(int fd, bool direct_known, struct failure *why)
{
	const char *upper;
	char *line = find_mount(fd);

	if (line == NULL)
		return failure_set(why, "its mount is not in /proc/self/mountinfo");
	bool good = erase_mount_overwrites(line, &upper, why);

	if (good && upper && !direct_known) {
		/* It may be of another world than ours: in a container it often is. */
		int below = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		good = below >= 0 ? mount_overwrites(below, false, why)
				  : failure_set(why, "the file system below overlayfs cannot be "
						     "seen from here");
		if (below >= 0)
			close(below);
	}
	free(line);
	return good;
}

bool erase_file_system_overwrites(int fd, struct failure *why)
{
	const enum direct direct = find_direct(fd);
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_JOURNAL_DATA_FL))
		return failure_set(why, "its data go through the journal, too (chattr +j)");
	if (!mount_overwrites(fd, direct != DIRECT_UNKNOWN, why))
		return false;
	if (direct == DIRECT_NO)
		return failure_set(why, "the file system does not write directly to the disk, as "
					"with data=journal");
	return true;
}
