/*
 * test_sandbox.c - what a process in the sandbox may not do any more (sandbox.h).  Each test is a
 * process of its own, for there is no way out.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "broker/privileges.h"
#include "broker/sandbox.h"

static char directory[64];

static void make_directory(void)
{
	strcpy(directory, "/tmp/metrino-sandbox-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- calls ---- */

static void open_connection(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void start_program(void)
{
	execl("/bin/true", "true", NULL);
}

static void make_process(void)
{
	if (fork() == 0)
		_exit(0);
}

static void watch_process(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void map_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static void send_signal(void)
{
	kill(getppid(), 0);
}

static void signal_thread_of_another(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void become_root(void)
{
	syscall(SYS_setresuid, 0, 0, 0);
}

static void allow_core_files(void)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_CORE, &limit);
}

static void push_back_input(void)
{
	ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static const struct {
	void (*act)(void);
	int number;
} forbidden[] = {
    {open_connection, SYS_socket}, {start_program, SYS_execve},
    {make_process, SYS_clone},	   {watch_process, SYS_ptrace},
    {map_code, SYS_mmap},	   {make_code, SYS_mprotect},
    {send_signal, SYS_kill},	   {signal_thread_of_another, SYS_tgkill},
    {become_root, SYS_setresuid},  {allow_core_files, SYS_prlimit64},
    {push_back_input, SYS_ioctl},
};

#define FORBIDDEN (int)(sizeof(forbidden) / sizeof(forbidden[0]))

/* What the process said before it ended, and how it did. */
static int run(void (*act)(void), char *said, size_t room)
{
	int ends[2], status = 0;
	ck_assert_int_eq(pipe(ends), 0);
	const pid_t child = fork();
	if (child == 0) {
		struct failure failure;
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		if (!privileges_forbid_dumps(&failure) ||
		    sandbox_restrict_calls(&failure) != SANDBOX_ON)
			_exit(99);
		act();
		_exit(0);
	}
	close(ends[1]);
	size_t len = 0;
	for (ssize_t n; (n = read(ends[0], said + len, room - 1 - len)) > 0;)
		len += (size_t)n;
	said[len] = '\0';
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

START_TEST(test_forbidden_calls)
{
	char said[512], expected[64];
	if (SANDBOX_SANITIZED)
		return;
	const int status = run(forbidden[_i].act, said, sizeof(said));
	ck_assert_msg(WIFSIGNALED(status), "%d: status %x, %s", _i, (unsigned)status, said);
	ck_assert_int_eq(WTERMSIG(status), SIGSYS);
	ck_assert(!WCOREDUMP(status));
	snprintf(expected, sizeof(expected), "error: sandbox: forbidden system call %d ",
		 forbidden[_i].number);
	ck_assert_msg(strncmp(said, expected, strlen(expected)) == 0, "%s", said);
}
END_TEST

static void *touch(void *self)
{
	*(int *)self = 7;
	pthread_setname_np(pthread_self(), "touched");
	return NULL;
}

/* What the broker does all day. */
static void work(void)
{
	pthread_t thread;
	int touched = 0;
	uint8_t random[64];
	void *large = malloc(1u << 20);
	struct rlimit limit;
	const bool good = pthread_create(&thread, NULL, touch, &touched) == 0 &&
			  pthread_join(thread, NULL) == 0 && touched == 7 && large &&
			  getrandom(random, sizeof(random), 0) == sizeof(random) &&
			  socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 && open("/dev/null", O_RDONLY) >= 0 &&
			  getrlimit(RLIMIT_NOFILE, &limit) == 0;
	free(large);
	malloc_trim(0);
	if (!good)
		abort();
}

START_TEST(test_work_is_allowed)
{
	char said[512];
	if (SANDBOX_SANITIZED)
		return;
	const int status = run(work, said, sizeof(said));
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x, %s",
		      (unsigned)status, said);
}
END_TEST

/* abort() ends by its own signal, and not by ours. */
START_TEST(test_abort)
{
	char said[512];
	if (SANDBOX_SANITIZED)
		return;
	const int status = run(abort, said, sizeof(said));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/* ---- files ---- */

static const char *in_directory(const char *name)
{
	static char path[4][128];
	static size_t next;
	char *at = path[next++ % 4];
	snprintf(at, sizeof(path[0]), "%s/%s", directory, name);
	return at;
}

static void put(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

/* 0, or errno of the attempt. */
static int error_of(int result)
{
	const int error = result < 0 ? errno : 0;
	if (result > 2)
		close(result);
	return error;
}

/* False where the kernel has no Landlock: then there is nothing to be tested. */
static bool enter(const struct sandbox_folders *folders)
{
	struct failure failure;
	const enum sandbox_result result = sandbox_restrict_files(folders, &failure);
	ck_assert_msg(result != SANDBOX_FAILED, "%s", failure.text);
	return result == SANDBOX_ON;
}

START_TEST(test_rights_of_folders)
{
	struct sandbox_folders folders = {0};
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"read", "write", "all"};
		char file[32];
		ck_assert_int_eq(mkdir(in_directory(names[i]), 0755), 0);
		snprintf(file, sizeof(file), "%s/file", names[i]);
		put(in_directory(file));
	}
	put(in_directory("outside"));
	sandbox_add(&folders, "a", in_directory("read"), SANDBOX_READ);
	sandbox_add_file(&folders, "b", in_directory("write/file"), SANDBOX_WRITE | SANDBOX_MAKE);
	sandbox_add(&folders, "c", in_directory("all"),
		    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE);
	if (!enter(&folders))
		return;
	ck_assert_int_eq(error_of(open(in_directory("read/file"), O_RDONLY)), 0);
	ck_assert_int_eq(error_of(open(in_directory("read/file"), O_WRONLY)), EACCES);
	ck_assert_int_eq(error_of(open(in_directory("read/new"), O_CREAT | O_WRONLY, 0600)),
			 EACCES);
	ck_assert_int_eq(error_of(unlink(in_directory("read/file"))), EACCES);
	ck_assert_int_eq(error_of(open(in_directory("write/file"), O_WRONLY)), 0);
	ck_assert_int_eq(error_of(open(in_directory("write/new"), O_CREAT | O_WRONLY, 0600)), 0);
	ck_assert_int_eq(error_of(unlink(in_directory("write/file"))), EACCES);
	ck_assert_int_eq(error_of(mkdir(in_directory("all/folder"), 0700)), 0);
	ck_assert_int_eq(
	    error_of(rename(in_directory("all/file"), in_directory("all/folder/file"))), 0);
	ck_assert_int_eq(error_of(unlink(in_directory("all/folder/file"))), 0);
	ck_assert_int_eq(error_of(rmdir(in_directory("all/folder"))), 0);
	ck_assert_int_eq(error_of(open(in_directory("outside"), O_WRONLY)), EACCES);
	ck_assert_int_eq(error_of(open(in_directory("new"), O_CREAT | O_WRONLY, 0600)), EACCES);
	if (!SANDBOX_SANITIZED) {
		ck_assert_int_eq(error_of(open(in_directory("write/file"), O_RDONLY)), EACCES);
		ck_assert_int_eq(error_of(open(in_directory("outside"), O_RDONLY)), EACCES);
		ck_assert_int_eq(error_of(open("/etc/passwd", O_RDONLY)), EACCES);
	}
	sandbox_folders_finish(&folders);
}
END_TEST

/* Where a link leads today counts as well, and what it may lead to in that folder tomorrow. */
START_TEST(test_links)
{
	struct sandbox_folders folders = {0};
	ck_assert_int_eq(mkdir(in_directory("live"), 0755), 0);
	ck_assert_int_eq(mkdir(in_directory("archive"), 0755), 0);
	put(in_directory("archive/1"));
	put(in_directory("archive/2"));
	ck_assert_int_eq(symlink("../archive/1", in_directory("live/key")), 0);
	ck_assert_int_eq(symlink("../archive/2", in_directory("live/next")), 0);
	sandbox_add_file(&folders, "keyfile", in_directory("live/key"), SANDBOX_READ);
	if (!enter(&folders))
		return;
	ck_assert_int_eq(error_of(open(in_directory("live/key"), O_RDONLY)), 0);
	ck_assert_int_eq(error_of(open(in_directory("live/next"), O_RDONLY)), 0);
	sandbox_folders_finish(&folders);
}
END_TEST

/* Who cannot be reached must not be: where the kernel knows how. */
START_TEST(test_no_way_out)
{
	struct sandbox_folders none = {0};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	if (!enter(&none) || abi < 4)
		return;
	ck_assert_int_eq(error_of(connect(fd, (const struct sockaddr *)&address, sizeof(address))),
			 EACCES);
	close(fd);
}
END_TEST

START_TEST(test_covers)
{
	static const struct {
		const char *known;
		unsigned known_access;
		const char *wanted;
		unsigned wanted_access;
		bool right;
	} cases[] = {
	    {"/a/b", SANDBOX_READ, "/a/b", SANDBOX_READ, true},
	    {"/a/b", SANDBOX_READ, "/a/b/c", SANDBOX_READ, true},
	    {"/a/b", SANDBOX_READ, "/a/bc", SANDBOX_READ, false},
	    {"/a/b", SANDBOX_READ, "/a", SANDBOX_READ, false},
	    {"/a/b", SANDBOX_READ, "/a/b", SANDBOX_WRITE, false},
	    {"/a/b", SANDBOX_READ | SANDBOX_WRITE, "/a/b", SANDBOX_WRITE, true},
	    {"/", SANDBOX_READ, "/a", SANDBOX_READ, true},
	};
	struct sandbox_folders known = {0}, wanted = {0};
	struct failure failure;
	sandbox_add(&known, "x", cases[_i].known, cases[_i].known_access);
	sandbox_add(&wanted, "certfile", cases[_i].wanted, cases[_i].wanted_access);
	ck_assert(sandbox_covers(&known, &wanted, &failure) == cases[_i].right);
	if (!cases[_i].right)
		ck_assert_ptr_nonnull(strstr(failure.text, "certfile: "));
	sandbox_add(&known, "y", "/", SANDBOX_READ | SANDBOX_WRITE);
	ck_assert(sandbox_covers(&known, &wanted, &failure));
	sandbox_folders_finish(&known);
	sandbox_folders_finish(&wanted);
}
END_TEST

Suite *sandbox_suite(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *calls = tcase_create("calls");
	tcase_add_loop_test(calls, test_forbidden_calls, 0, FORBIDDEN);
	tcase_add_test(calls, test_work_is_allowed);
	tcase_add_test(calls, test_abort);
	suite_add_tcase(suite, calls);
	TCase *files = tcase_create("files");
	tcase_add_checked_fixture(files, NULL, NULL);
	tcase_add_unchecked_fixture(files, make_directory, remove_directory);
	tcase_add_test(files, test_no_way_out);
	tcase_add_loop_test(files, test_covers, 0, 7);
	suite_add_tcase(suite, files);
	TCase *folders = tcase_create("folders");
	tcase_add_unchecked_fixture(folders, make_directory, remove_directory);
	tcase_add_test(folders, test_rights_of_folders);
	tcase_add_test(folders, test_links);
	suite_add_tcase(suite, folders);
	return suite;
}
