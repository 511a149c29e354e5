/*
 * test_privileges.c - what the process gives up (privileges.h), and what it
 * tells systemd (notify.h).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/notify.h"
#include "broker/privileges.h"
#include "broker/sandbox.h"

static char directory[64];

static void make_directory(void)
{
	strcpy(directory, "/tmp/metrino-privileges-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chmod(directory, 0755), 0);
}

static void remove_directory(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_file_limit)
{
	struct failure failure;
	struct rlimit limit;
	uint64_t soft = 0, hard = 0;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(privileges_raise_file_limit(&soft, &hard, &failure));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(soft == hard && limit.rlim_cur == hard && limit.rlim_max == hard);
}
END_TEST

START_TEST(test_no_dumps)
{
	struct failure failure;
	struct rlimit limit;
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
	ck_assert(privileges_forbid_dumps(&failure));
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), SANDBOX_SANITIZED);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
	ck_assert(limit.rlim_cur == 0 && limit.rlim_max == 0);
}
END_TEST

static uid_t owner_of(const char *name)
{
	struct stat status;
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	ck_assert_int_eq(lstat(path, &status), 0);
	return status.st_uid;
}

static const char *in_directory(const char *name)
{
	static char path[160];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

START_TEST(test_make_directory)
{
	struct failure failure;
	struct stat status;
	ck_assert(privileges_make_directory(in_directory("var/data"), &failure));
	ck_assert_int_eq(stat(in_directory("var/data"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0700);
	ck_assert(privileges_make_directory(in_directory("var/data"), &failure));
}
END_TEST

/* What is in folders, too; a link would give away what it points to. */
START_TEST(test_hand_over)
{
	struct failure failure;
	char link[160];
	const struct passwd *nobody = getpwnam("nobody");
	if (geteuid() != 0 || !nobody)
		return;
	ck_assert(privileges_make_directory(in_directory("data/log/tile"), &failure));
	close(open(in_directory("data/data.mdb"), O_WRONLY | O_CREAT, 0600));
	close(open(in_directory("data/log/tile/000"), O_WRONLY | O_CREAT, 0600));
	close(open(in_directory("outside"), O_WRONLY | O_CREAT, 0600));
	snprintf(link, sizeof(link), "%s/data/link", directory);
	ck_assert_int_eq(symlink(in_directory("outside"), link), 0);
	close(open(in_directory("twice"), O_WRONLY | O_CREAT, 0600));
	snprintf(link, sizeof(link), "%s/data/twice", directory);
	ck_assert_int_eq(linkat(AT_FDCWD, in_directory("twice"), AT_FDCWD, link, 0), 0);
	const int fd = open(in_directory("data"), O_RDONLY | O_DIRECTORY);
	ck_assert_msg(privileges_hand_over_directory(fd, "nobody", &failure), "%s", failure.text);
	close(fd);
	static const char *const given[] = {"data", "data/data.mdb", "data/log", "data/log/tile",
					    "data/log/tile/000"};
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		ck_assert_uint_eq(owner_of(given[i]), nobody->pw_uid);
	ck_assert_uint_eq(owner_of("outside"), 0);
	ck_assert_uint_eq(owner_of("twice"), 0);
	ck_assert(privileges_hand_over_file(in_directory("outside"), "nobody", &failure));
	ck_assert_uint_eq(owner_of("outside"), nobody->pw_uid);
	ck_assert(privileges_hand_over_file(in_directory("not there"), "nobody", &failure));
}
END_TEST

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* A socket; and nothing that somebody put in its place, where the folder allows it. */
START_TEST(test_hand_over_socket)
{
	struct failure failure;
	char path[160];
	const struct passwd *nobody = getpwnam("nobody");
	if (geteuid() != 0 || !nobody)
		return;
	make_socket(in_directory("socket"));
	make_socket(in_directory("another"));
	snprintf(path, sizeof(path), "%s/link", directory);
	ck_assert_int_eq(symlink(in_directory("another"), path), 0);
	close(open(in_directory("file"), O_WRONLY | O_CREAT, 0600));
	ck_assert_msg(privileges_hand_over_socket(in_directory("socket"), "nobody", &failure), "%s",
		      failure.text);
	ck_assert_uint_eq(owner_of("socket"), nobody->pw_uid);
	static const char *const others[] = {"link", "file", "not there"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert(
		    !privileges_hand_over_socket(in_directory(others[i]), "nobody", &failure));
		ck_assert_ptr_nonnull(strstr(failure.text, "cannot be given to user nobody"));
	}
	snprintf(path, sizeof(path), "%s/twice", directory);
	ck_assert_int_eq(linkat(AT_FDCWD, in_directory("another"), AT_FDCWD, path, 0), 0);
	ck_assert(!privileges_hand_over_socket(path, "nobody", &failure));
	ck_assert_uint_eq(owner_of("link"), 0);
	ck_assert_uint_eq(owner_of("file"), 0);
	ck_assert_uint_eq(owner_of("another"), 0);
}
END_TEST

START_TEST(test_choose_user)
{
	struct failure failure;
	const char *user = "x";
	if (geteuid() != 0) {
		ck_assert(privileges_choose_user("no-such-user-here", &user, &failure));
		ck_assert_ptr_null(user);
		return;
	}
	ck_assert(privileges_choose_user(NULL, &user, &failure));
	ck_assert_str_eq(user, getpwnam("metrino") ? "metrino" : "nobody");
	ck_assert(privileges_choose_user("nobody", &user, &failure));
	ck_assert_str_eq(user, "nobody");
	ck_assert(!privileges_choose_user("root", &user, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "never serves as root"));
	ck_assert(!privileges_choose_user("no-such-user-here", &user, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "no user \"no-such-user-here\""));
}
END_TEST

/* The line of /proc/self/status that begins so. */
static unsigned long long status_of(const char *name)
{
	char line[256];
	unsigned long long value = 1;
	FILE *file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 16);
	if (file)
		fclose(file);
	return value;
}

START_TEST(test_no_capabilities)
{
	static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
	struct failure failure;
	ck_assert_msg(privileges_drop_capabilities(&failure), "%s", failure.text);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		ck_assert_uint_eq(status_of(sets[i]), 0);
	if (geteuid() == 0)
		ck_assert_uint_eq(status_of("CapBnd:"), 0);
	ck_assert_uint_eq(status_of("NoNewPrivs:"), 1);
}
END_TEST

/* In a process of its own: 0 when all is as it should be. */
static int become_nobody(uid_t uid)
{
	struct failure failure;
	const gid_t before[] = {0, 12345};
	gid_t groups[64];
	if (setgroups(2, before) != 0 || !privileges_become("nobody", &failure))
		return 1;
	if (getuid() != uid || geteuid() != uid || getegid() == 0)
		return 2;
	if (setuid(0) == 0)
		return 3;
	for (int i = getgroups(64, groups); i > 0; i--) {
		if (groups[i - 1] == 0 || groups[i - 1] == 12345)
			return 5;
	}
	/* Not root any more: does nothing. */
	if (!privileges_become("root", &failure) || geteuid() != uid)
		return 4;
	return status_of("CapBnd:") == 0 ? 0 : 6;
}

START_TEST(test_become)
{
	const struct passwd *nobody = getpwnam("nobody");
	int status = 0;
	if (geteuid() != 0 || !nobody)
		return;
	const pid_t child = fork();
	if (child == 0)
		_exit(become_nobody(nobody->pw_uid));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(test_unknown_user)
{
	struct failure failure;
	if (geteuid() != 0)
		return;
	ck_assert(!privileges_become("no-such-user-here", &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "no user \"no-such-user-here\""));
}
END_TEST

START_TEST(test_directory_that_is_a_file)
{
	struct failure failure;
	ck_assert(!privileges_make_directory("/dev/null", &failure));
	ck_assert_str_eq(failure.text, "/dev/null is not a directory");
}
END_TEST

START_TEST(test_pid_file)
{
	struct failure failure;
	char path[128];
	long pid = 0;
	snprintf(path, sizeof(path), "%s/pid", directory);
	ck_assert(privileges_write_pid_file(path, &failure));
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%ld", &pid), 1);
	fclose(file);
	ck_assert_int_eq(pid, getpid());
	ck_assert(!privileges_write_pid_file("/nowhere/pid", &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "/nowhere/pid"));
}
END_TEST

/* The exit code of a process that goes to the background and there serves, or ends. */
static int daemon_exit_code(bool serves)
{
	struct failure failure;
	const pid_t child = fork();
	if (child == 0) {
		if (!privileges_become_daemon(&failure))
			_exit(99);
		if (serves)
			privileges_daemon_ready();
		_exit(0);
	}
	int status = 0;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_daemon)
{
	ck_assert_int_eq(daemon_exit_code(true), 0);
	ck_assert_int_eq(daemon_exit_code(false), 1);
}
END_TEST

/* A socket as systemd's; what arrived there is read with receive(). */
static int open_manager(const char *name, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	strcpy(address.sun_path + abstract, name + abstract);
	const size_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, (socklen_t)len), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void assert_received(int manager, const char *expected)
{
	char text[512];
	const ssize_t len = recv(manager, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	ck_assert_msg(strncmp(text, expected, strlen(expected)) == 0, "%s", text);
}

START_TEST(test_notify)
{
	char name[96];
	if (_i == 0)
		snprintf(name, sizeof(name), "%s/notify", directory);
	else
		snprintf(name, sizeof(name), "@metrino-test-%ld", (long)getpid());
	const int manager = open_manager(name, _i == 1);
	notify_ready();
	assert_received(manager, "READY=1");
	notify_reloading();
	assert_received(manager, "RELOADING=1\nMONOTONIC_USEC=");
	notify_status("%d clients", 3);
	assert_received(manager, "STATUS=3 clients");
	notify_watchdog();
	assert_received(manager, "WATCHDOG=1");
	notify_stopping();
	assert_received(manager, "STOPPING=1");
	ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
	notify_ready();
	char byte;
	ck_assert_int_eq(recv(manager, &byte, 1, 0), -1);
	close(manager);
}
END_TEST

START_TEST(test_watchdog_period)
{
	char pid[32];
	ck_assert_uint_eq(notify_watchdog_period_ms(), 0);
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "30000000", 1), 0);
	ck_assert_uint_eq(notify_watchdog_period_ms(), 15000);
	ck_assert_int_eq(setenv("WATCHDOG_PID", "1", 1), 0);
	ck_assert_uint_eq(notify_watchdog_period_ms(), getpid() == 1 ? 15000 : 0);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	ck_assert_int_eq(setenv("WATCHDOG_PID", pid, 1), 0);
	ck_assert_uint_eq(notify_watchdog_period_ms(), 15000);
}
END_TEST

START_TEST(test_inherited_sockets)
{
	char pid[32];
	int null = open("/dev/null", O_WRONLY); /* check's own file is there, and it writes on */
	ck_assert_int_eq(notify_inherited_sockets(), 0);
	ck_assert_int_eq(dup2(null, NOTIFY_FIRST_SOCKET), NOTIFY_FIRST_SOCKET);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	ck_assert_int_eq(setenv("LISTEN_PID", pid, 1), 0);
	ck_assert_int_eq(setenv("LISTEN_FDS", "1", 1), 0);
	ck_assert_int_eq(notify_inherited_sockets(), 1);
	ck_assert_int_eq(fcntl(NOTIFY_FIRST_SOCKET, F_GETFD), FD_CLOEXEC);
	ck_assert_ptr_null(getenv("LISTEN_FDS")); /* a child must not take them for its own */
	ck_assert_int_eq(notify_inherited_sockets(), 0);
	ck_assert_int_eq(setenv("LISTEN_PID", "1", 1), 0);
	ck_assert_int_eq(setenv("LISTEN_FDS", "1", 1), 0);
	ck_assert_int_eq(notify_inherited_sockets(), getpid() == 1 ? 1 : 0);
}
END_TEST

Suite *privileges_suite(void)
{
	Suite *suite = suite_create("privileges");
	TCase *process = tcase_create("process");
	tcase_add_checked_fixture(process, make_directory, remove_directory);
	tcase_add_test(process, test_file_limit);
	tcase_add_test(process, test_no_dumps);
	tcase_add_test(process, test_make_directory);
	tcase_add_test(process, test_hand_over);
	tcase_add_test(process, test_hand_over_socket);
	tcase_add_test(process, test_choose_user);
	tcase_add_test(process, test_no_capabilities);
	tcase_add_test(process, test_become);
	tcase_add_test(process, test_unknown_user);
	tcase_add_test(process, test_directory_that_is_a_file);
	tcase_add_test(process, test_pid_file);
	tcase_add_test(process, test_daemon);
	suite_add_tcase(suite, process);
	TCase *manager = tcase_create("systemd");
	tcase_add_checked_fixture(manager, make_directory, remove_directory);
	tcase_add_loop_test(manager, test_notify, 0, 2);
	tcase_add_test(manager, test_watchdog_period);
	tcase_add_test(manager, test_inherited_sockets);
	suite_add_tcase(suite, manager);
	return suite;
}
