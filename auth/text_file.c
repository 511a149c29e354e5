/* text_file.c - see text_file.h. */
#include "auth/text_file.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void text_file_free(struct text *text)
{
	if (text->at)
		explicit_bzero(text->at, text->len);
	free(text->at);
	*text = (struct text){0};
}

static bool fail(struct failure *failure, const char *path)
{
	if (errno == EACCES)
		return failure_set(failure,
				   "%.300s: %s for user %u; right would be a file, and folders "
				   "above it, that this user may read (chown, chmod)",
				   path, strerror(errno), (unsigned)geteuid());
	return failure_set(failure, "%.300s: %s", path, strerror(errno));
}

/* Up to `size` bytes; fewer where the file ends before. */
static bool read_up_to(int fd, const char *path, size_t size, struct text *text,
		       struct failure *failure)
{
	while (text->len < size) {
		ssize_t n = read(fd, text->at + text->len, size - text->len);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(failure, path);
		text->len += (size_t)n;
	}
	return true;
}

/* Half of a file may lack users, or what is denied to them. */
static bool is_whole(int fd, const char *path, size_t len, struct failure *failure)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return fail(failure, path);
	if ((size_t)status.st_size == len)
		return true;
	return failure_set(failure,
			   "%.300s: was changed while it was read; right would be to write a new "
			   "file beside it and give that its name",
			   path);
}

static bool read_all(int fd, const char *path, struct text *text, struct failure *failure)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return fail(failure, path);
	if (!S_ISREG(status.st_mode))
		return failure_set(failure, "%.300s: is not a file", path);
	if (status.st_size > (off_t)TEXT_FILE_MAX)
		return failure_set(failure, "%.300s: is larger than %u bytes", path, TEXT_FILE_MAX);
	size_t size = (size_t)status.st_size;
	text->at = malloc(size + 1);
	must(text->at);
	if (!read_up_to(fd, path, size, text, failure) || !is_whole(fd, path, text->len, failure)) {
		text_file_free(text);
		return false;
	}
	text->at[text->len] = '\0';
	return true;
}

bool text_file_read(const char *path, struct text *text, struct failure *failure)
{
	*text = (struct text){0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail(failure, path);
	bool done = read_all(fd, path, text, failure);
	close(fd);
	return done;
}

/* ---- changing ---- */

static bool write_all(int fd, struct slice text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.at, text.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text = slice_after(text, (size_t)n);
	}
	return fsync(fd) == 0;
}

/* That the new name is on the disk. */
static bool sync_folder(const char *path)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof copy, "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool synced = fsync(fd) == 0;
	close(fd);
	return synced;
}

/* `like` NULL: ours, of mode 0600. */
static bool put_in_place(const char *path, struct slice text, const struct stat *like,
			 struct failure *failure)
{
	char beside[PATH_MAX];
	int len = snprintf(beside, sizeof beside, "%s.XXXXXX", path);
	if (len < 0 || (size_t)len >= sizeof beside)
		return failure_set(failure, "%.300s: the path is too long", path);
	int fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		fail(failure, path);
		return failure_context(failure, "cannot write beside the file");
	}
	bool done = (!like || (fchown(fd, like->st_uid, like->st_gid) == 0 &&
			       fchmod(fd, like->st_mode & 07777) == 0)) &&
		    write_all(fd, text) && rename(beside, path) == 0;
	if (!done) {
		fail(failure, path);
		failure_context(failure, "cannot replace the file");
		unlink(beside);
	}
	close(fd);
	return done && (sync_folder(path) || fail(failure, path));
}

/* Has the name gone to another file? */
static bool is_replaced(const char *path, const struct stat *status)
{
	struct stat named;
	return stat(path, &named) != 0 || named.st_ino != status->st_ino ||
	       named.st_dev != status->st_dev;
}

/* Opens and locks the file that has the name now: it may have been replaced while we waited. */
static int open_locked(const char *path, int lock, struct stat *status)
{
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return -1;
		bool locked = flock(fd, lock) == 0 && fstat(fd, status) == 0;
		if (locked && !is_replaced(path, status))
			return fd;
		int error = errno;
		close(fd);
		errno = error;
		if (!locked && error != EINTR)
			return -1;
	}
}

static bool change_locked(int fd, const char *path, const struct stat *status, text_edit *edit,
			  void *self, struct failure *failure)
{
	struct text old = {0}, changed = {0};
	if (!read_all(fd, path, &old, failure))
		return false;
	bool done = !edit(self, slice_of(old.at, old.len), &changed) ||
		    put_in_place(path, slice_of(changed.at, changed.len), status, failure);
	text_file_free(&old);
	text_file_free(&changed);
	return done;
}

static bool fail_to_open(const char *path, struct failure *failure)
{
	return errno == EWOULDBLOCK
		   ? failure_set(failure, "%.300s: is being changed by another program", path)
		   : fail(failure, path);
}

static bool change(const char *path, int lock, text_edit *edit, void *self, struct failure *failure)
{
	struct stat status;
	/* A link stays one: what it points to is replaced. */
	char *real = realpath(path, NULL);
	if (real == NULL)
		return fail(failure, path);
	int fd = open_locked(real, lock, &status);
	bool done = fd >= 0 ? change_locked(fd, real, &status, edit, self, failure)
			    : fail_to_open(path, failure);
	if (fd >= 0)
		close(fd);
	free(real);
	return done;
}

bool text_file_change(const char *path, text_edit *edit, void *self, struct failure *failure)
{
	return change(path, LOCK_EX, edit, self, failure);
}

bool text_file_change_now(const char *path, text_edit *edit, void *self, struct failure *failure)
{
	return change(path, LOCK_EX | LOCK_NB, edit, self, failure);
}

bool text_file_create(const char *path, struct slice text, struct failure *failure)
{
	return put_in_place(path, text, NULL, failure);
}
