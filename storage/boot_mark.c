/* boot_mark.c - see boot_mark.h. */
#include "storage/boot_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX  64u

static bool fail(const char *path, const char *doing, struct failure *failure)
{
	return failure_set(failure, "%s: %s: %s", path, doing, strerror(errno));
}

static bool path_of(const char *directory, const char *name, char path[PATH_MAX],
		    struct failure *failure)
{
	if (snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX)
		return true;
	return failure_set(failure, "the data directory's path is too long");
}

/* A short file as text; -1 with errno when it cannot be read. */
static ssize_t read_short(const char *path, char text[BOOT_ID_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t len;
	int error;

	if (fd < 0)
		return -1;
	len = read(fd, text, BOOT_ID_MAX);
	error = errno;
	close(fd);
	errno = error;
	return len;
}

/* A file or, with O_DIRECTORY, what a directory names. */
static bool sync_path(const char *path, int flags, struct failure *failure)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		fail(path, "cannot be synced", failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool sync_directory(const char *directory, struct failure *failure)
{
	return sync_path(directory, O_DIRECTORY, failure);
}

bool boot_mark_read(const char *directory, enum boot_mark *mark, struct failure *failure)
{
	char path[PATH_MAX];
	char marked[BOOT_ID_MAX];
	char now[BOOT_ID_MAX];
	ssize_t marked_len;
	ssize_t now_len;

	*mark = BOOT_MARK_NONE;
	if (!path_of(directory, BOOT_MARK_NAME, path, failure))
		return false;
	marked_len = read_short(path, marked);
	if (marked_len < 0)
		return errno == ENOENT || fail(path, "cannot be read", failure);
	/* Cut off while it was set: a mark is durable before data.mdb is written. */
	if (marked_len == 0 || marked[marked_len - 1] != '\n')
		return true;
	now_len = read_short(BOOT_ID_PATH, now);
	if (now_len < 0)
		return fail(BOOT_ID_PATH, "cannot be read", failure);
	*mark = slice_equal(slice_of(marked, (size_t)marked_len), slice_of(now, (size_t)now_len))
		    ? BOOT_MARK_SAME
		    : BOOT_MARK_OTHER;
	return true;
}

static bool write_synced(const char *path, const char *text, size_t len, struct failure *failure)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;

	if (!ok)
		fail(path, "cannot be written", failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool boot_mark_set(const char *directory, struct failure *failure)
{
	char path[PATH_MAX];
	char now[BOOT_ID_MAX];
	ssize_t len = read_short(BOOT_ID_PATH, now);

	if (len <= 0)
		return fail(BOOT_ID_PATH, "cannot be read", failure);
	return path_of(directory, BOOT_MARK_NAME, path, failure) &&
	       write_synced(path, now, (size_t)len, failure) && sync_directory(directory, failure);
}

bool boot_mark_keep(const char *directory, struct failure *failure)
{
	char path[PATH_MAX];

	if (!path_of(directory, BOOT_MARK_NAME, path, failure))
		return false;
	return sync_path(path, O_NOFOLLOW, failure) && sync_directory(directory, failure);
}

bool boot_mark_clear(const char *directory, struct failure *failure)
{
	char path[PATH_MAX];

	if (!path_of(directory, BOOT_MARK_NAME, path, failure))
		return false;
	if (unlink(path) != 0 && errno != ENOENT)
		return fail(path, "cannot be removed", failure);
	return sync_directory(directory, failure);
}

bool boot_mark_put_aside(const char *directory, struct failure *failure)
{
	char from[PATH_MAX];
	char to[PATH_MAX];

	if (!path_of(directory, "data.mdb", from, failure) ||
	    !path_of(directory, BOOT_MARK_ASIDE, to, failure))
		return false;
	if (rename(from, to) != 0 && errno != ENOENT)
		return fail(from, "cannot be put aside", failure);
	/* The mark goes last: until then the next start does the same again. */
	return sync_directory(directory, failure) && boot_mark_clear(directory, failure);
}
