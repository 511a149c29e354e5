/* syncs.c - see syncs.h. */
#include "tests/unit/syncs.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

int syncs_lost;
int syncs_to_live = -1;

int fdatasync(int fd)
{
	if (syncs_to_live >= 0 && syncs_to_live-- == 0)
		kill(getpid(), SIGKILL);
	if (syncs_lost > 0) {
		syncs_lost--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}
