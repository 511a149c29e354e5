/* whole_file.c - see whole_file.h. */
#include "broker/net/whole_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool complain(const char *what, const char *path, const char *cause, struct failure *failure)
{
	return failure_set(failure,
			   "%s \"%.300s\": %s; right would be a file that this user may read", what,
			   path, cause);
}

/* Until the end, which may have moved since we asked for the size. */
static ssize_t read_up_to(int fd, uint8_t *at, size_t room)
{
	size_t len = 0;

	while (len < room) {
		ssize_t n = read(fd, at + len, room - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static bool read_open(int fd, const char *what, const char *path, struct slice *bytes,
		      struct failure *failure)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return complain(what, path, strerror(errno), failure);
	if (!S_ISREG(status.st_mode))
		return complain(what, path, "not a file", failure);
	if (status.st_size > (off_t)WHOLE_FILE_MAX)
		return complain(what, path, "larger than 8 MiB", failure);
	size_t room = (size_t)status.st_size;
	uint8_t *at = malloc(room + 1);

	must(at);
	ssize_t len = read_up_to(fd, at, room);

	if (len < 0) {
		free(at);
		return complain(what, path, strerror(errno), failure);
	}
	at[len] = '\0';
	*bytes = slice_of(at, (size_t)len);
	return true;
}

bool whole_file_read(const char *what, const char *path, struct slice *bytes,
		     struct failure *failure)
{
	/* Not blocking: a FIFO in the place of a file would hold us for ever. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return complain(what, path, strerror(errno), failure);
	bool right = read_open(fd, what, path, bytes, failure);

	close(fd);
	return right;
}

void whole_file_free(struct slice bytes)
{
	uint8_t *at = (uint8_t *)(uintptr_t)bytes.at;

	if (at)
		explicit_bzero(at, bytes.len);
	free(at);
}
