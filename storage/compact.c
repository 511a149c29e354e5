/* compact.c - see compact.h. */
#include "storage/boot_mark.h"
#include "storage/compact.h"
#include "storage/datafile.h"
#include "storage/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(const char *doing, struct failure *failure)
{
	return failure_set(failure, "data.mdb: %s: %s", doing, strerror(errno));
}

static uint64_t bytes_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

/* The file belongs to whom the old one belonged to: root may compact for the broker's user. */
static int make_file(int directory, const struct stat *old, struct failure *failure)
{
	unlinkat(directory, COMPACT_NAME, 0);
	int fd = openat(directory, COMPACT_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || fchown(fd, old->st_uid, old->st_gid) != 0)
		fail("cannot make " COMPACT_NAME, failure);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Where it lies; holes stay holes. */
static bool overwrite(int fd, struct failure *failure)
{
	static const uint8_t zeros[65536];
	off_t at = 0;

	for (;;) {
		const off_t begin = lseek(fd, at, SEEK_DATA);
		const off_t end = begin < 0 ? begin : lseek(fd, begin, SEEK_HOLE);

		if (begin < 0 && errno == ENXIO)
			break;
		if (begin < 0 || end < 0)
			return fail("cannot find what is to be overwritten", failure);
		for (at = begin; at < end;) {
			const size_t left = (size_t)(end - at);
			const ssize_t n =
			    pwrite(fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros), at);

			if (n <= 0)
				return fail("cannot overwrite the old file", failure);
			at += n;
		}
	}
	return fdatasync(fd) == 0 || fail("cannot overwrite the old file", failure);
}

/* What becomes of such a file is for the broker to do, and to say: its keys end with it. */
static bool is_trusted(const char *directory, struct failure *failure)
{
	enum boot_mark mark;

	if (!boot_mark_read(directory, &mark, failure))
		return false;
	return mark != BOOT_MARK_OTHER ||
	       failure_set(failure, "data.mdb: was not synced when the machine went down, and is "
				    "not to be trusted: start the broker first");
}

static bool copy(const char *directory, int to, struct failure *failure)
{
	static struct datafile file;
	bool put_aside;
	bool ok = datafile_open(&file, directory, DURABILITY_POWER, &put_aside, failure);

	if (ok) {
		const int code = mdb_env_copyfd2(file.env, to, MDB_CP_COMPACT);

		ok = code == 0 || datafile_fail(&file, "cannot copy", code, failure);
	}
	datafile_close(&file);
	return ok && (fsync(to) == 0 || fail("cannot write " COMPACT_NAME, failure));
}

static bool exchange(int directory, const char *path, int old, const struct stat *status,
		     struct compacted *compacted, struct failure *failure)
{
	int new = make_file(directory, status, failure);

	if (new < 0)
		return false;
	compacted->before = bytes_of(old);
	bool ok = copy(path, new, failure);

	/* LMDB makes one where there is none. */
	if (ok && fchownat(directory, "lock.mdb", status->st_uid, status->st_gid,
			   AT_SYMLINK_NOFOLLOW) != 0)
		ok = fail("cannot give lock.mdb to the owner of the old file", failure);
	if (ok && (renameat(directory, COMPACT_NAME, directory, "data.mdb") != 0 ||
		   fsync(directory) != 0))
		ok = fail("cannot take the place of the old file", failure);
	if (!ok)
		unlinkat(directory, COMPACT_NAME, 0);
	compacted->after = bytes_of(new);
	close(new);
	return ok && overwrite(old, failure);
}

bool compact_data(const char *directory, struct compacted *compacted, struct failure *failure)
{
	char path[PATH_MAX];
	struct stat status;
	bool created;
	int lock;

	if (snprintf(path, sizeof(path), "%s/data.mdb", directory) >= (int)sizeof(path))
		return failure_set(failure, "the path of the data directory is too long");
	int old = open(path, O_RDWR | O_CLOEXEC);

	if (old < 0 || fstat(old, &status) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	bool ok =
	    directory_open_for(directory, status.st_uid, status.st_gid, &created, &lock, failure);

	if (ok) {
		ok = is_trusted(directory, failure) &&
		     exchange(lock, directory, old, &status, compacted, failure);
		close(lock);
	}
	close(old);
	return ok;
}
