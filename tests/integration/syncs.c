/*
 * syncs.c - preloaded into a broker: each fdatasync takes as many milliseconds longer as the file
 * that SYNCS_FILE names holds (a 64-bit number), which may be changed at any time.  Below 0: each
 * says that a write was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *extra_ms;

__attribute__((constructor)) static void open_file(void)
{
	const char *path = getenv("SYNCS_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*extra_ms), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		extra_ms = at;
}

/* In place of the C library's. */
int fdatasync(int fd)
{
	const int64_t ms = extra_ms != NULL ? *extra_ms : 0;
	const struct timespec wait = {ms / 1000, ms % 1000 * 1000000};

	if (ms < 0) {
		errno = EIO;
		return -1;
	}
	if (ms > 0)
		nanosleep(&wait, NULL);
	return (int)syscall(SYS_fdatasync, fd);
}
