/*
 * sandbox_calls.c - the calls of the system that the broker and its libraries make, and no other:
 * sandbox.h.  Measured with all of tests/integration, and then made whole: where the C library may
 * take one of several calls of a kind, all of them are here.
 *
 * Calls without a condition cost next to nothing, for the kernel remembers them (Linux 5.11).
 */
#include "broker/sandbox.h"
#include "broker/log.h"
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Later than the headers of Debian 12: names of mappings. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static const int allowed[] = {
    /* bytes */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(lseek),
    SCMP_SYS(sendfile),
    SCMP_SYS(copy_file_range),
    /* connections; new ones of our own are below */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(listen),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    /* waiting */
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(eventfd2),
    SCMP_SYS(signalfd4),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(futex),
    SCMP_SYS(futex_waitv),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    /* files: which ones is Landlock's affair */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(fcntl),
    SCMP_SYS(flock),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchown),
    SCMP_SYS(umask),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(msync),
    /* memory; mapping is below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    /* threads; making one is below */
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(getpriority),
    SCMP_SYS(setpriority),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* signals; sending one is below */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    /* what time it is, who we are, what there is */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getgroups),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(getcpu),
    SCMP_SYS(times),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
};

#define THREAD (CLONE_THREAD | CLONE_VM)
#define WHOLE  UINT32_MAX /* of an int */

/* Allowed if these bits of an argument, counted from 0, have this value. */
static const struct {
	int call;
	unsigned argument;
	uint64_t bits, value;
} conditional[] = {
    /* Our own sockets are for syslog, systemd and the control socket. */
    {SCMP_SYS(socket), 0, WHOLE, AF_UNIX},
    {SCMP_SYS(socketpair), 0, WHOLE, AF_UNIX},
    /* No memory becomes code, and threads are made but no processes. */
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    {SCMP_SYS(clone), 0, THREAD, THREAD},
    {SCMP_SYS(sched_setattr), 0, WHOLE, 0}, /* the calling thread's */
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_NAME},
    {SCMP_SYS(prctl), 0, WHOLE, PR_GET_NAME},
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_VMA},
    /* Limits are looked at, and not changed: there is no new one. */
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0},
    {SCMP_SYS(ioctl), 1, WHOLE, FIONBIO},
    {SCMP_SYS(ioctl), 1, WHOLE, FIONREAD},
    {SCMP_SYS(ioctl), 1, WHOLE, TCGETS},
    /* Where a key lies on the disk, and that it stays there when it is overwritten. */
    {SCMP_SYS(ioctl), 1, WHOLE, FS_IOC_FIEMAP},
    {SCMP_SYS(ioctl), 1, WHOLE, FS_IOC_GETFLAGS},
    {SCMP_SYS(ioctl), 1, WHOLE, FS_IOC_SETFLAGS},
};

/* ---- a call that is not among them ---- */

static char *put_text(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

static char *put_number(char *at, int number)
{
	char digits[12];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

/* Ends as if the kernel had killed us; nothing here needs more than the calls above. */
static void on_forbidden_call(int signal_number, siginfo_t *info, void *context)
{
	char line[128];
	char *end = put_text(line, "forbidden system call ");

	(void)context;
	end = put_number(end, info->si_syscall < 0 ? 0 : info->si_syscall);
	end = put_text(end, " (sandbox): the broker ends");
	*end = '\0';
	log_write_from_signal("sandbox", line);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	_exit(128 + signal_number);
}

static bool catch_forbidden_calls(void)
{
	/* Once only: a second one, in the handler or raised by it, is the end. */
	struct sigaction action = {.sa_sigaction = on_forbidden_call,
				   .sa_flags = SA_SIGINFO | SA_NODEFER | (int)SA_RESETHAND};

	return sigemptyset(&action.sa_mask) == 0 && sigaction(SIGSYS, &action, NULL) == 0;
}

/* ---- the filter ---- */

static bool allow_if(scmp_filter_ctx filter, int call, unsigned argument, uint64_t bits,
		     uint64_t value)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, bits, value)) == 0;
}

static bool allow(scmp_filter_ctx filter)
{
	bool good = true;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		good = good && seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
	for (size_t i = 0; i < sizeof(conditional) / sizeof(conditional[0]); i++)
		good = good && allow_if(filter, conditional[i].call, conditional[i].argument,
					conditional[i].bits, conditional[i].value);
	/* raise(3) and abort(3): to ourselves only. */
	good = good && allow_if(filter, SCMP_SYS(tgkill), 0, WHOLE, (uint64_t)getpid());
	/* Its flags lie in memory, where no filter looks; the C library then takes clone(2). */
	return good && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

/* Sorted by number, so that a call costs the logarithm of how many there are. */
static int load(scmp_filter_ctx filter)
{
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
	    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0 || !allow(filter))
		return -EINVAL;
	return seccomp_load(filter);
}

enum sandbox_result sandbox_restrict_calls(struct failure *failure)
{
	if (SANDBOX_SANITIZED) {
		failure_set(failure, "built with a sanitizer: system calls are not filtered");
		return SANDBOX_UNKNOWN;
	}
	scmp_filter_ctx filter = catch_forbidden_calls() ? seccomp_init(SCMP_ACT_TRAP) : NULL;

	must(filter);
	int error = load(filter);

	seccomp_release(filter);
	if (error == 0)
		return SANDBOX_ON;
	failure_set(failure, "this kernel takes no filter of system calls (seccomp): %s",
		    strerror(-error));
	return error == -EINVAL || error == -ENOSYS ? SANDBOX_UNKNOWN : SANDBOX_FAILED;
}
