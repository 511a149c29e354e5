/* slot_file.c - see slot_file.h. */
#include "storage/keys/slot_file.h"

#include "storage/keys/erase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(const char *doing, struct failure *failure)
{
	return failure_set(failure, SLOT_FILE_NAME " cannot be %s: %s", doing, strerror(errno));
}

/* ---- opening */

static bool check(int fd, uint64_t *len, struct failure *failure)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail("looked at", failure);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return failure_set(
		    failure, SLOT_FILE_NAME
		    " is not a file with one name: move the other names (links) away");
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return failure_set(
		    failure,
		    SLOT_FILE_NAME " belongs to user %u and has mode %04o; right would "
				   "be user %u and 0600 (chown, chmod)",
		    (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), (unsigned)geteuid());
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK
			   ? failure_set(failure, "another metrinod uses this " SLOT_FILE_NAME)
			   : fail("locked", failure);
	*len = (uint64_t)st.st_size;
	return true;
}

static int open_or_make(int directory, struct failure *failure)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(directory, SLOT_FILE_NAME, flags);

	if (fd < 0 && errno == ENOENT)
		fd = openat(directory, SLOT_FILE_NAME, flags | O_CREAT | O_EXCL, 0600);
	if (fd < 0 && errno == ELOOP)
		failure_set(failure, SLOT_FILE_NAME " is a link; keys_location names the directory "
						    "of a " SLOT_FILE_NAME " that is elsewhere");
	else if (fd < 0)
		fail("opened", failure);
	return fd;
}

bool slot_file_open(int directory, struct slot_file *file, uint64_t *len, struct failure *failure)
{
	*file = (struct slot_file){.fd = open_or_make(directory, failure), .direct = -1};
	if (file->fd < 0)
		return false;
	file->block = aligned_alloc(SLOT_SIZE, SLOT_SIZE);
	must(file->block);
	if (check(file->fd, len, failure)) {
		file->direct =
		    openat(directory, SLOT_FILE_NAME, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
		return true;
	}
	slot_file_close(file);
	return false;
}

void slot_file_close(struct slot_file *file)
{
	if (file->direct >= 0)
		close(file->direct);
	if (file->fd >= 0)
		close(file->fd);
	if (file->block)
		explicit_bzero(file->block, SLOT_SIZE);
	free(file->block);
	*file = (struct slot_file){.fd = -1, .direct = -1};
}

/* ---- reading and writing */

static off_t offset_of(unsigned number)
{
	must(number < SLOT_COUNT);
	return (off_t)number * SLOT_SIZE;
}

static bool read_block(int fd, unsigned number, uint8_t *block)
{
	ssize_t n;

	do
		n = pread(fd, block, SLOT_SIZE, offset_of(number));
	while (n < 0 && errno == EINTR);
	if (n >= 0 && n < (ssize_t)SLOT_SIZE)
		errno = EIO; /* shorter than it was */
	return n == (ssize_t)SLOT_SIZE;
}

bool slot_file_read(struct slot_file *file, unsigned number, struct failure *failure)
{
	return read_block(file->fd, number, file->block) || fail("read", failure);
}

/* One call: a part of a block is never there before the rest. */
static bool write_block(int fd, unsigned number, const uint8_t *block)
{
	ssize_t n;

	do
		n = pwrite(fd, block, SLOT_SIZE, offset_of(number));
	while (n < 0 && errno == EINTR);
	if (n >= 0 && n < (ssize_t)SLOT_SIZE)
		errno = ENOSPC;
	return n == (ssize_t)SLOT_SIZE;
}

bool slot_file_write(struct slot_file *file, unsigned number, struct failure *failure)
{
	const bool ok = write_block(file->fd, number, file->block) && fdatasync(file->fd) == 0;

	if (!ok)
		fail("written", failure);
	explicit_bzero(file->block, SLOT_SIZE);
	return ok;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)done);

		if (n <= 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

bool slot_file_fill(int directory, struct slot_file *file, struct failure *failure)
{
	const size_t len = (size_t)SLOT_COUNT * SLOT_SIZE;
	uint8_t *blocks = malloc(len);

	must(blocks);
	for (unsigned i = 0; i < SLOT_COUNT; i++)
		slot_write_free(i, blocks + (size_t)i * SLOT_SIZE);
	/* An empty file, because only one can be asked to be overwritten in place. */
	bool ok = ftruncate(file->fd, 0) == 0;

	if (ok)
		erase_prepare(file->fd);
	ok =
	    ok && write_all(file->fd, blocks, len) && fsync(file->fd) == 0 && fsync(directory) == 0;

	free(blocks);
	return ok || fail("filled", failure);
}

/* ---- erasing */

/* What the device holds now, past the page cache.  False in *same: not what was written. */
static bool read_back(struct slot_file *file, unsigned number, bool *same, struct failure *why)
{
	uint8_t *got = aligned_alloc(SLOT_SIZE, SLOT_SIZE);

	must(got);
	const bool ok = file->direct >= 0 && read_block(file->direct, number, got);

	if (!ok)
		failure_set(why, "what was written cannot be read back past the page cache "
				 "(O_DIRECT)");
	*same = !ok || memcmp(got, file->block, SLOT_SIZE) == 0;
	explicit_bzero(got, SLOT_SIZE);
	free(got);
	return ok;
}

bool slot_file_erase(struct slot_file *file, unsigned number, bool *erased, struct failure *why,
		     struct failure *failure)
{
	const uint64_t offset = (uint64_t)offset_of(number);
	struct erase_place before;
	struct erase_place after;
	bool same;

	*erased = erase_file_system_overwrites(file->fd, why) &&
		  erase_locate(file->fd, offset, SLOT_SIZE, &before, why);
	slot_write_free(number, file->block);
	if (!write_block(file->fd, number, file->block) || fdatasync(file->fd) != 0)
		return fail("overwritten", failure);
	/* The first reason is the one to be told. */
	struct failure later = {""};
	struct failure *reason = *erased ? why : &later;

	*erased &= read_back(file, number, &same, reason);
	if (!same)
		return failure_set(failure, SLOT_FILE_NAME " was overwritten, and the device still "
							   "holds something else");
	*erased = *erased && erase_locate(file->fd, offset, SLOT_SIZE, &after, why) &&
		  erase_same_place(&before, &after, why);
	return true;
}

bool slot_file_try_erase(struct slot_file *file, unsigned free_slot, bool *erased,
			 struct failure *why, struct failure *failure)
{
	/* Before it: what is shared lies elsewhere, and alone, once it was written. */
	const bool unshared = erase_is_unshared(file->fd, (uint64_t)SLOT_COUNT * SLOT_SIZE, why);
	struct failure later = {""};

	if (!slot_file_erase(file, free_slot, erased, unshared ? why : &later, failure))
		return false;
	*erased &= unshared;
	return true;
}
