/* wrapping.c - see wrapping.h. */
#include "storage/keys/wrapping.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MIN 32u
#define SECRET_MAX 4096u

static bool fail(const char *path, struct failure *failure)
{
	return failure_set(failure, "%s cannot be read: %s", path, strerror(errno));
}

/* Until the end of the file, or of the room. */
static bool read_whole(int fd, uint8_t *at, size_t room, size_t *len)
{
	*len = 0;
	while (*len < room) {
		const ssize_t n = read(fd, at + *len, room - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		*len += (size_t)n;
	}
	return true;
}

static bool derive(const char *path, int fd, uint8_t key[SEAL_KEY_LEN], struct failure *failure)
{
	uint8_t secret[SECRET_MAX + 1];
	size_t len;
	bool ok = read_whole(fd, secret, sizeof(secret), &len) || fail(path, failure);

	if (ok && (len < SECRET_MIN || len > SECRET_MAX))
		ok = failure_set(failure,
				 "%s has %s bytes than a key may have: %u to %u random bytes would "
				 "be right, as `head -c 32 /dev/urandom` writes them",
				 path, len < SECRET_MIN ? "fewer" : "more", SECRET_MIN, SECRET_MAX);
	if (ok)
		seal_hkdf(SLICE_NONE, slice_of(secret, len), SLICE_LITERAL("metrino/1|wrap|keys|0"),
			  key, SEAL_KEY_LEN);
	explicit_bzero(secret, sizeof(secret));
	return ok;
}

static bool check_access(const char *path, int fd, struct failure *failure)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(path, failure);
	if (!S_ISREG(st.st_mode))
		return failure_set(failure, "%s is not a file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return failure_set(failure,
				   "%s belongs to user %u; right would be root, or user %u who "
				   "starts the broker (chown)",
				   path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 077) != 0)
		return failure_set(
		    failure,
		    "%s can be read by others (mode %04o): chmod 0400 it, and if "
		    "somebody may have read it take a new one before the first start",
		    path, (unsigned)(st.st_mode & 07777));
	return true;
}

bool wrapping_read(const char *path, uint8_t key[SEAL_KEY_LEN], struct failure *failure)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return fail(path, failure);
	const bool ok = check_access(path, fd, failure) && derive(path, fd, key, failure);

	close(fd);
	return ok;
}

bool wrapping_read_credential(const char *directory, bool *found, uint8_t key[SEAL_KEY_LEN],
			      struct failure *failure)
{
	char path[PATH_MAX];

	*found = false;
	if (directory == NULL ||
	    snprintf(path, sizeof(path), "%s/" WRAPPING_CREDENTIAL, directory) >= (int)sizeof(path))
		return true;
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT || fail(path, failure);
	*found = derive(path, fd, key, failure);
	close(fd);
	return *found;
}
