/*
 * privileges.c - limits, dumps, the user, the background (privileges.h).
 */
#include "broker/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

bool privileges_forbid_dumps(struct failure *failure)
{
	const struct rlimit none = {0, 0};
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return failure_set(failure, "core files cannot be forbidden: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
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
	return failure_set(failure,
			   "user '%.60s' is not known%s%s; right would be a user of this machine, "
			   "or no `user` line",
			   name, error ? ": " : "", error ? strerror(error) : "");
}

/* mkdir -p: parents as the umask says, the directory itself 0700. */
static bool make_directory(const char *path, struct failure *failure)
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

/* Plain files only and never through a link: the directory may already be the user's. */
static bool give_files(int directory, const struct passwd *user, struct failure *failure)
{
	const int again = dup(directory);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	if (!list) {
		if (again >= 0)
			close(again);
		return failure_set(failure, "cannot be listed: %s", strerror(errno));
	}
	bool given = true;
	for (struct dirent *entry = readdir(list); entry && given; entry = readdir(list)) {
		struct stat status;
		const int file = openat(directory, entry->d_name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (file < 0)
			continue;
		/* A file with two names may have its other one where it matters. */
		if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
		    fchown(file, user->pw_uid, user->pw_gid) != 0)
			given = failure_set(failure, "%s cannot be given to %s: %s", entry->d_name,
					    user->pw_name, strerror(errno));
		close(file);
	}
	closedir(list);
	return given;
}

bool privileges_hand_over_directory(const char *path, const char *user, struct failure *failure)
{
	struct passwd found;
	char buffer[4096];
	if (!make_directory(path, failure))
		return false;
	if (!privileges_is_root() || !user)
		return true;
	if (!find_user(user, &found, buffer, sizeof(buffer), failure))
		return false;
	const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return failure_set(failure, "%s cannot be opened: %s", path, strerror(errno));
	bool given = fchown(directory, found.pw_uid, found.pw_gid) == 0;
	if (!given)
		failure_set(failure, "cannot be given to %s: %s", user, strerror(errno));
	else
		given = give_files(directory, &found, failure);
	close(directory);
	return given ? true : failure_context(failure, "%s", path);
}

bool privileges_become(const char *user, struct failure *failure)
{
	struct passwd found;
	char buffer[4096];
	if (!privileges_is_root())
		return true;
	if (!find_user(user, &found, buffer, sizeof(buffer), failure))
		return false;
	if (found.pw_uid == 0)
		return true;
	if (initgroups(user, found.pw_gid) != 0 ||
	    setresgid(found.pw_gid, found.pw_gid, found.pw_gid) != 0 ||
	    setresuid(found.pw_uid, found.pw_uid, found.pw_uid) != 0)
		return failure_set(failure, "cannot become user %s: %s", user, strerror(errno));
	if (setuid(0) == 0 || seteuid(0) == 0)
		return failure_set(failure, "became user %s, but could become root again", user);
	return true;
}

bool privileges_write_pid_file(const char *path, struct failure *failure)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return failure_set(failure, "pid_file %s cannot be opened: %s", path,
				   strerror(errno));
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
