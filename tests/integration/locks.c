/*
 * locks.c - preloaded into a broker: RLIMIT_MEMLOCK seems to be infinite, as where an administrator
 * made it so.  The broker is no user who may lock beyond the true limit: what it is told to have
 * locked is not.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In place of the C library's. */
int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	if (resource != RLIMIT_MEMLOCK)
		return (int)syscall(SYS_prlimit64, 0, resource, (void *)0, limit);
	limit->rlim_cur = limit->rlim_max = RLIM_INFINITY;
	return 0;
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	if (resource == RLIMIT_MEMLOCK)
		return 0;
	return (int)syscall(SYS_prlimit64, 0, resource, limit, (void *)0);
}

int mlockall(int flags)
{
	(void)flags;
	return 0;
}
