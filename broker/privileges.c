/*
 * privileges.c - limits, dumps, the user, capabilities, the background (privileges.h).
 */
#include "broker/privileges.h"
#include "broker/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool privileges_raise_file_limit(uint64_t *soft, uint64_t *hard, struct failure *failure)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return failure_set(failure, "limit of open files: %s", strerror(errno));
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return failure_set(failure, "limit of open files cannot be raised to %llu: %s",
				   (unsigned long long)limit.rlim_max, strerror(errno));
	*soft = limit.rlim_cur;
	*hard = limit.rlim_max;
	return true;
}

/* Without CAP_SYS_RESOURCE there is nothing to be done: memory_protection says what follows. */
void privileges_raise_lock_limit(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	if (privileges_is_root())
		(void)setrlimit(RLIMIT_MEMLOCK, &none);
}

bool privileges_forbid_dumps(struct failure *failure)
{
	const struct rlimit none = {0, 0};
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return failure_set(failure, "core files cannot be forbidden: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, SANDBOX_SANITIZED, 0, 0, 0) != 0)
		return failure_set(failure, "dumps cannot be forbidden: %s", strerror(errno));
	return true;
}

bool privileges_is_root(void)
{
	return geteuid() == 0;
}

static bool find_user(const char *name, struct passwd *found, char *buffer, size_t size,
		      struct failure *failure)
{
	struct passwd *result = NULL;
	const int error = getpwnam_r(name, found, buffer, size, &result);
	if (result)
		return true;
	return failure_set(
	    failure,
	    "user: there is no user \"%.60s\" on this machine%s%s; `adduser --system "
	    "--group --no-create-home %.60s` makes it",
	    name, error ? ": " : "", error ? strerror(error) : "", name);
}

bool privileges_choose_user(const char *wanted, const char **user, struct failure *failure)
{
	static const char *const usual[] = {PRIVILEGES_USERS};
	struct passwd found;
	char buffer[4096];
	*user = NULL;
	if (!privileges_is_root())
		return true;
	for (size_t i = 0; !wanted && i < sizeof(usual) / sizeof(usual[0]); i++)
		if (find_user(usual[i], &found, buffer, sizeof(buffer), failure))
			wanted = usual[i];
	if (!find_user(wanted ? wanted : usual[0], &found, buffer, sizeof(buffer), failure))
		return false;
	if (found.pw_uid == 0)
		return failure_set(
		    failure,
		    "user: %.60s is root, and the broker never serves as root; right "
		    "would be a user of its own, or no `user` line",
		    wanted);
	*user = wanted;
	return true;
}

/* mkdir -p: parents as the umask says, the directory itself 0700. */
bool privileges_make_directory(const char *path, struct failure *failure)
{
	char part[PATH_MAX];
	struct stat status;
	if (strlen(path) >= sizeof(part))
		return failure_set(failure, "%.100s...: the path is too long", path);
	memcpy(part, path, strlen(path) + 1);
	for (char *slash = strchr(part + 1, '/'); slash && slash[1];
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return failure_set(failure, "%s cannot be made: %s", part, strerror(errno));
		*slash = '/';
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return failure_set(failure, "%s cannot be made: %s", path, strerror(errno));
	if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
		return failure_set(failure, "%s is not a directory", path);
	return true;
}

#define FOLDERS_DEEP 16

static bool give_all(int directory, const struct passwd *user, unsigned deep,
		     struct failure *failure);

/* A file with two names may have its other one where it matters. */
static bool give_one(int fd, const char *name, const struct passwd *user, unsigned deep,
		     struct failure *failure)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return failure_set(failure, "%s: %s", name, strerror(errno));
	const bool folder = S_ISDIR(status.st_mode);
	if (!folder && (!S_ISREG(status.st_mode) || status.st_nlink != 1))
		return true;
	if (fchown(fd, user->pw_uid, user->pw_gid) != 0)
		return failure_set(failure, "%s cannot be given to %s: %s", name, user->pw_name,
				   strerror(errno));
	return !folder || give_all(fd, user, deep + 1, failure);
}

static bool give_entry(int directory, const char *name, const struct passwd *user, unsigned deep,
		       struct failure *failure)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return true;
	const bool given = give_one(fd, name, user, deep, failure);
	close(fd);
	return given;
}

/* Never through a link: the directory may already be the user's. */
static bool give_all(int directory, const struct passwd *user, unsigned deep,
		     struct failure *failure)
{
	const int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again < 0 || deep > FOLDERS_DEEP ? NULL : fdopendir(again);
	if (!list) {
		failure_set(failure, "cannot be listed: %s",
			    deep > FOLDERS_DEEP ? "too many folders in folders" : strerror(errno));
		if (again >= 0)
			close(again);
		return false;
	}
	bool given = true;
	for (struct dirent *entry = readdir(list); entry && given; entry = readdir(list))
		given = give_entry(directory, entry->d_name, user, deep, failure);
	closedir(list);
	return given;
}

bool privileges_hand_over_directory(int directory, const char *user, struct failure *failure)
{
	struct passwd found;
	char buffer[4096];
	return find_user(user, &found, buffer, sizeof(buffer), failure) &&
	       give_one(directory, "it", &found, 0, failure);
}

bool privileges_hand_over_file(const char *path, const char *user, struct failure *failure)
{
	struct passwd found;
	struct stat status;
	char buffer[4096];
	if (!find_user(user, &found, buffer, sizeof(buffer), failure))
		return false;
	const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return true;
	const bool given = fstat(fd, &status) != 0 || status.st_uid != 0 ||
			   !S_ISREG(status.st_mode) || give_one(fd, path, &found, 0, failure);
	close(fd);
	return given;
}

/* What has the name is looked at and given in one: the folder may be the user's, who could put
 * something else of root's there. */
bool privileges_hand_over_socket(const char *path, const char *user, struct failure *failure)
{
	struct passwd found;
	struct stat status;
	char buffer[4096];
	if (!find_user(user, &found, buffer, sizeof(buffer), failure))
		return false;
	const int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool given = fd >= 0 && fstat(fd, &status) == 0;
	if (given && (!S_ISSOCK(status.st_mode) || status.st_nlink != 1)) {
		given = false;
		errno = EEXIST;
	}
	given = given && fchownat(fd, "", found.pw_uid, found.pw_gid, AT_EMPTY_PATH) == 0;
	if (!given)
		failure_set(failure, "the socket \"%s\" cannot be given to user %s: %s", path, user,
			    strerror(errno));
	if (fd >= 0)
		close(fd);
	return given;
}

/* The most that a kernel may know of; beyond those that it does know prctl() fails. */
#define CAPABILITIES_MAX 64

/* Only who has CAP_SETPCAP may: for others no_new_privs does the same. */
static void empty_bounding_set(void)
{
	for (unsigned long i = 0; i < CAPABILITIES_MAX; i++)
		(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

bool privileges_become(const char *user, struct failure *failure)
{
	struct passwd found;
	char buffer[4096];
	if (!user || !privileges_is_root())
		return true;
	if (!find_user(user, &found, buffer, sizeof(buffer), failure))
		return false;
	empty_bounding_set();
	if (initgroups(user, found.pw_gid) != 0 ||
	    setresgid(found.pw_gid, found.pw_gid, found.pw_gid) != 0 ||
	    setresuid(found.pw_uid, found.pw_uid, found.pw_uid) != 0)
		return failure_set(failure, "cannot become user %s: %s", user, strerror(errno));
	if (setuid(0) == 0 || seteuid(0) == 0)
		return failure_set(failure, "became user %s, but could become root again", user);
	return true;
}

bool privileges_drop_capabilities(struct failure *failure)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
	empty_bounding_set();
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
	    syscall(SYS_capset, &header, none) != 0)
		return failure_set(failure, "capabilities cannot be given up: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failure_set(failure, "no_new_privs cannot be set: %s", strerror(errno));
	return true;
}

bool privileges_write_pid_file(const char *path, struct failure *failure)
{
	/* Not blocking: a FIFO that nobody reads would hold us for ever. */
	const int fd =
	    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (fd < 0)
		return failure_set(failure,
				   "pid_file %s cannot be opened: %s; right would be a file in a "
				   "folder that user %u may write",
				   path, strerror(errno), (unsigned)geteuid());
	const int len = dprintf(fd, "%ld\n", (long)getpid());
	const int error = errno;
	if (close(fd) != 0 || len < 0)
		return failure_set(failure, "pid_file %s cannot be written: %s", path,
				   strerror(error));
	return true;
}

/* The end of the pipe by which the parent learns that we serve; -1: no daemon. */
static int ready_pipe = -1;

/* In the parent: waits for the byte, or for the child's end. */
_Noreturn static void wait_for_child(int pipe_end)
{
	char byte = 0;
	ssize_t len;
	do
		len = read(pipe_end, &byte, 1);
	while (len < 0 && errno == EINTR);
	_exit(len == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool privileges_become_daemon(struct failure *failure)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return failure_set(failure, "cannot go to the background: %s", strerror(errno));
	const pid_t child = fork();
	if (child < 0) {
		const int error = errno;
		close(ends[0]);
		close(ends[1]);
		return failure_set(failure, "cannot go to the background: %s", strerror(error));
	}
	if (child > 0) {
		close(ends[1]);
		wait_for_child(ends[0]);
	}
	close(ends[0]);
	ready_pipe = ends[1];
	if (setsid() < 0)
		return failure_set(failure, "cannot leave the terminal: %s", strerror(errno));
	return true;
}

void privileges_daemon_ready(void)
{
	if (ready_pipe < 0)
		return;
	const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; nowhere >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(nowhere, fd);
	if (nowhere > STDERR_FILENO)
		close(nowhere);
	const char byte = 1;
	if (write(ready_pipe, &byte, 1) != 1)
		must(errno == EPIPE || errno == EINTR);
	close(ready_pipe);
	ready_pipe = -1;
}
