/* files.c - see files.h. */
#include "storage/audit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a file is written before it gets its name. */
#define NEW_NAME  "new"
#define PATH_SIZE 128

static bool fail(const char *path, const char *doing, struct failure *failure)
{
	return failure_set(failure, "%s: %s: %s", path, doing, strerror(errno));
}

/* ---- reading */

static bool read_all(int fd, uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* it became shorter meanwhile */
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static enum audit_found take(int fd, const char *path, size_t max, struct audit_file *file,
			     struct failure *failure)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		failure_set(failure, "%s: not a file", path);
		return AUDIT_UNREADABLE;
	}
	if ((uint64_t)st.st_size > max) {
		failure_set(failure, "%s: has %lld bytes, at most %zu would be right", path,
			    (long long)st.st_size, max);
		return AUDIT_UNREADABLE;
	}
	file->len = (size_t)st.st_size;
	file->at = malloc(file->len + 1);
	must(file->at);
	file->at[file->len] = '\0';
	if (read_all(fd, file->at, file->len))
		return AUDIT_FOUND;
	fail(path, "cannot be read", failure);
	free(file->at);
	return AUDIT_UNREADABLE;
}

enum audit_found audit_file_find(int directory, const char *path, size_t max,
				 struct audit_file *file, struct failure *failure)
{
	int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	*file = (struct audit_file){0};
	if (fd < 0) {
		fail(path, "cannot be read", failure);
		return errno == ENOENT || errno == ENOTDIR ? AUDIT_NOT_THERE : AUDIT_UNREADABLE;
	}
	enum audit_found found = take(fd, path, max, file, failure);

	close(fd);
	return found;
}

bool audit_file_read(int directory, const char *path, size_t max, struct audit_file *file,
		     struct failure *failure)
{
	return audit_file_find(directory, path, max, file, failure) == AUDIT_FOUND;
}

/* ---- writing */

static bool write_all(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.at, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = slice_after(bytes, (size_t)n);
	}
	return true;
}

static bool write_new(int directory, const char *new_name, const char *path, struct slice bytes,
		      mode_t mode, struct failure *failure)
{
	int fd = openat(directory, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			mode);
	bool ok = fd >= 0 && fchmod(fd, mode) == 0 && write_all(fd, bytes) && fsync(fd) == 0;

	if (!ok)
		fail(path, "cannot be written", failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool audit_file_sync_folder(int directory, const char *path, struct failure *failure)
{
	char folder[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	int len = slash ? (int)(slash - path) : 1;

	must(snprintf(folder, sizeof(folder), "%.*s", len, slash ? path : ".") <
	     (int)sizeof(folder));
	int fd = openat(directory, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		fail(folder, "cannot be synced", failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

/*
 * A folder's entry is durable before something is put into it.  One that is there already may be
 * of a process that died before it could sync, so that is not asked: a sync that has nothing to do
 * costs little.
 */
static bool make_folders(int directory, const char *path, struct failure *failure)
{
	char folder[PATH_SIZE];

	must(snprintf(folder, sizeof(folder), "%s", path) < (int)sizeof(folder));
	for (char *slash = strchr(folder, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(directory, folder, 0700) != 0 && errno != EEXIST)
			return fail(folder, "cannot be made", failure);
		if (!audit_file_sync_folder(directory, folder, failure))
			return false;
		*slash = '/';
	}
	return true;
}

bool audit_file_put_by(int directory, const char *new_name, const char *path, struct slice bytes,
		       mode_t mode, bool *renamed, struct failure *failure)
{
	if (renamed)
		*renamed = false;
	if (!make_folders(directory, path, failure) ||
	    !write_new(directory, new_name, path, bytes, mode, failure))
		return false;
	if (renameat(directory, new_name, directory, path) != 0)
		return fail(path, "cannot be put into its place", failure);
	if (renamed)
		*renamed = true;
	return audit_file_sync_folder(directory, path, failure);
}

bool audit_file_put(int directory, const char *path, struct slice bytes, mode_t mode, bool *renamed,
		    struct failure *failure)
{
	return audit_file_put_by(directory, NEW_NAME, path, bytes, mode, renamed, failure);
}

/* ---- removing */

void audit_file_remove_partials(int directory, const char *path)
{
	char folder[PATH_SIZE];
	const struct dirent *entry;

	must(snprintf(folder, sizeof(folder), "%s.p", path) < (int)sizeof(folder));
	int fd = openat(directory, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

	if (list == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(list)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(fd, entry->d_name, 0);
	closedir(list);
	unlinkat(directory, folder, AT_REMOVEDIR);
}
