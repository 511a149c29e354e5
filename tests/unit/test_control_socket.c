/* The control socket: each command, what is refused, and who waits in vain. */
#include "broker/control.h"
#include "broker/door.h"
#include "tests/lib/scratch.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

Suite *control_socket_suite(void);

static struct failure failure;

static void count_two_of_three(void *self, uint64_t *connected, uint64_t *sessions)
{
	(void)self;
	*connected = 2;
	*sessions = 3;
}

static void add_client(struct census *census, const char *id, bool connected)
{
	census_add(census, &(struct client_info){.client_id = slice_text(id),
						 .connected = connected,
						 .version = connected ? 5 : 0,
						 .subscriptions = 1,
						 .queued = connected ? 0 : 7,
						 .connected_s = connected ? 1700000000 : 0});
}

/* Answers as a worker would, from another thread. */
static void *answer_list(void *self)
{
	struct census *census = self;

	add_client(census, "a\"b", true);
	add_client(census, "away", false);
	census_done(census);
	return NULL;
}

static struct census *list_two(void *self)
{
	struct census *census = census_create(1);
	pthread_t thread;

	(void)self;
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_list, census), 0);
	pthread_detach(thread);
	return census;
}

static struct census *kick_only_a(void *self, struct slice client_id)
{
	struct census *census = census_create(1);

	(void)self;
	if (slice_equal(client_id, SLICE_LITERAL("a")))
		add_client(census, "a", true);
	census_done(census);
	return census;
}

static void some_bans(void *self, void *caller, control_ban *call)
{
	(void)self;
	call(caller, &(struct door_ban){.address = "192.0.2.7", .left_ms = 1001});
	call(caller, &(struct door_ban){.client_id = SLICE_LITERAL("a"), .left_ms = 5000});
	call(caller,
	     &(struct door_ban){.client_id = SLICE_LITERAL("b\""), .cut = true, .left_ms = 1});
}

static bool lift_only_a(void *self, struct slice client_id)
{
	(void)self;
	return slice_equal(client_id, SLICE_LITERAL("a"));
}

static bool lift_only_7(void *self, const char *address, struct failure *told)
{
	(void)self;
	return strcmp(address, "192.0.2.7") == 0 || failure_set(told, "no ban of this address");
}

static const struct control_source source = {.count = count_two_of_three,
					     .list = list_two,
					     .kick = kick_only_a,
					     .bans = some_bans,
					     .lift = lift_only_7,
					     .lift_client = lift_only_a};

/* A connection to the socket in the directory. */
static int dial(const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/control.sock", directory);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* What the broker says until it closes. */
static const char *ask(const char *directory, const char *request)
{
	static char reply[4096];
	size_t len = 0;
	ssize_t n;
	int fd = dial(directory);

	ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while ((n = read(fd, reply + len, sizeof(reply) - 1 - len)) > 0)
		len += (size_t)n;
	reply[len] = '\0';
	close(fd);
	return reply;
}

static const struct {
	const char *request;
	const char *reply;
} talks[] = {
    {"{\"command\":\"clients.count\"}\n", "{\"ok\":true,\"connected\":2,\"sessions\":3}\n"},
    {"{\"command\":\"clients.list\"}\n",
     "{\"client_id\":\"a\\\"b\",\"connected\":true,\"version\":5,\"subscriptions\":1,\"queued\":0,"
     "\"inflight\":0,\"connected_at\":1700000000}\n"
     "{\"client_id\":\"away\",\"connected\":false,\"version\":0,\"subscriptions\":1,\"queued\":7,"
     "\"inflight\":0,\"connected_at\":0}\n"
     "{\"ok\":true,\"count\":2}\n"},
    {"{\"command\":\"clients.kick\",\"client_id\":\"a\"}\n", "{\"ok\":true,\"kicked\":1}\n"},
    {"{\"command\":\"clients.kick\",\"client_id\":\"b\"}\n",
     "{\"ok\":false,\"error\":\"no client with this client id is connected\"}\n"},
    {"{\"command\":\"clients.kick\"}\n",
     "{\"ok\":false,\"error\":\"clients.kick needs \\\"client_id\\\", a string\"}\n"},
    {"{\"command\":\"clients.dance\"}\n",
     "{\"ok\":false,\"error\":\"unknown command; known are clients.count clients.list "
     "clients.kick bans.list bans.lift accounts.create accounts.list accounts.show accounts.find "
     "accounts.disable accounts.enable accounts.delete accounts.password accounts.grant "
     "accounts.withdraw accounts.recover accounts.reset keys.add keys.list keys.revoke "
     "subject.export subject.rectify subject.restrict "
     "subject.object subject.erase traffic.summary traffic.client traffic.busiest "
     "aggregate.list logins.list\"}\n"},
    {"{\"command\":\"bans.list\"}\n",
     "{\"address\":\"192.0.2.7\",\"reason\":\"failed_logins\",\"seconds_left\":2}\n"
     "{\"client_id\":\"a\",\"reason\":\"connects_too_often\",\"seconds_left\":5}\n"
     "{\"client_id\":\"b\\\"\",\"reason\":\"connects_too_often\",\"seconds_left\":1,\"cut\":true}\n"
     "{\"ok\":true,\"count\":3}\n"},
    {"{\"command\":\"bans.lift\",\"address\":\"192.0.2.7\"}\n", "{\"ok\":true,\"lifted\":1}\n"},
    {"{\"command\":\"bans.lift\",\"address\":\"192.0.2.8\"}\n",
     "{\"ok\":false,\"error\":\"no ban of this address\"}\n"},
    {"{\"command\":\"bans.lift\",\"address\":7}\n",
     "{\"ok\":false,\"error\":\"bans.lift needs \\\"address\\\", a string, or else "
     "\\\"client_id\\\"\"}\n"},
    {"{\"command\":\"bans.lift\",\"address\":\"192.0.2.7\",\"client_id\":\"a\"}\n",
     "{\"ok\":false,\"error\":\"bans.lift needs \\\"address\\\", a string, or else "
     "\\\"client_id\\\"\"}\n"},
    {"{\"command\":\"bans.lift\",\"client_id\":\"a\"}\n", "{\"ok\":true,\"lifted\":1}\n"},
    {"{\"command\":\"bans.lift\",\"client_id\":\"b\"}\n",
     "{\"ok\":false,\"error\":\"no ban of this client identifier\"}\n"},
    {"{\"command\":\"accounts.create\",\"password\":123456}\n",
     "{\"ok\":false,\"error\":\"\\\"password\\\" is a string, and not empty; right would be to "
     "leave it out where there is none\"}\n"},
    {"{\"command\":\"accounts.create\",\"password\":\"x\",\"address\":\"\"}\n",
     "{\"ok\":false,\"error\":\"\\\"address\\\" is a string, and not empty; right would be to "
     "leave "
     "it out where there is none\"}\n"},
    {"no JSON\n", "{\"ok\":false,\"error\":\"a request is one line of JSON: "
		  "{\\\"command\\\":\\\"clients.count\\\"}\"}\n"},
    {"[1]\n", "{\"ok\":false,\"error\":\"a request is one line of JSON: "
	      "{\\\"command\\\":\\\"clients.count\\\"}\"}\n"},
};

START_TEST(talk)
{
	struct scratch scratch = scratch_make();

	struct control *control = control_create(scratch.path, &source, &failure);

	ck_assert_msg(control != NULL, "%s", failure.text);
	ck_assert_str_eq(ask(scratch.path, talks[_i].request), talks[_i].reply);
	control_destroy(control);
	scratch_remove(&scratch);
}
END_TEST

/* ---- uses are recorded before they happen */

static enum audit_word recorded[4];
static size_t recorded_count;
static bool recordable;

static bool record(void *self, enum audit_word right, struct failure *why)
{
	(void)self;
	recorded[recorded_count++] = right;
	return recordable || failure_set(why, "the disk is full");
}

START_TEST(uses_are_recorded)
{
	static const char *const requests[] = {
	    "{\"command\":\"clients.count\"}\n", "{\"command\":\"clients.list\"}\n",
	    "{\"command\":\"clients.kick\",\"client_id\":\"a\"}\n",
	    "{\"command\":\"clients.dance\"}\n"};
	static const enum audit_word rights[] = {AUDIT_WORD_RIGHT_CLIENTS_COUNT,
						 AUDIT_WORD_RIGHT_CLIENTS_LIST,
						 AUDIT_WORD_RIGHT_CLIENTS_KICK};
	static const char refusal[] =
	    "{\"ok\":false,\"error\":\"refused: its use cannot be recorded: "
	    "the disk is full\"}\n";
	struct scratch scratch = scratch_make();
	struct control_source recording = source;

	recording.record = record;
	recordable = _i == 0;
	recorded_count = 0;
	struct control *control = control_create(scratch.path, &recording, &failure);

	ck_assert_msg(control != NULL, "%s", failure.text);
	for (size_t i = 0; i < 4; i++) {
		const bool refused = strcmp(ask(scratch.path, requests[i]), refusal) == 0;

		/* Counting goes on: it shows nobody. */
		ck_assert(refused == (!recordable && (i == 1 || i == 2)));
	}
	ck_assert_uint_eq(recorded_count, 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(recorded[i], rights[i]);
	control_destroy(control);
	scratch_remove(&scratch);
}
END_TEST

START_TEST(file_is_ours_alone_and_goes)
{
	struct scratch scratch = scratch_make();
	char path[sizeof(scratch.path) + 16];
	struct stat status;

	snprintf(path, sizeof(path), "%s/control.sock", scratch.path);
	/* One that a crash left behind is replaced. */
	fclose(fopen(path, "w"));
	struct control *control = control_create(scratch.path, &source, &failure);

	ck_assert_msg(control != NULL, "%s", failure.text);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	control_destroy(control);
	ck_assert_int_ne(stat(path, &status), 0);
	scratch_remove(&scratch);
}
END_TEST

START_TEST(path_too_long)
{
	char directory[200];

	memset(directory, 'd', sizeof(directory));
	directory[sizeof(directory) - 1] = '\0';
	ck_assert(!control_create(directory, &source, &failure));
	ck_assert(strstr(failure.text, "too long"));
}
END_TEST

/* One who connects and says nothing does not keep the broker from ending. */
START_TEST(ends_though_somebody_waits)
{
	struct scratch scratch = scratch_make();

	struct control *control = control_create(scratch.path, &source, &failure);

	ck_assert_msg(control != NULL, "%s", failure.text);
	int fd = dial(scratch.path);

	usleep(50000);
	control_destroy(control);
	close(fd);
	scratch_remove(&scratch);
}
END_TEST

START_TEST(census_without_answer)
{
	struct census *census = census_create(2);

	add_client(census, "a", true);
	census_done(census);
	ck_assert(!census_wait(census, 20));
	census_release(census);
	/* The late worker finds it alive and frees it. */
	add_client(census, "late", true);
	census_done(census);
}
END_TEST

Suite *control_socket_suite(void)
{
	Suite *suite = suite_create("control_socket");
	TCase *tests = tcase_create("control_socket");

	tcase_add_loop_test(tests, talk, 0, sizeof(talks) / sizeof(talks[0]));
	tcase_add_loop_test(tests, uses_are_recorded, 0, 2);
	tcase_add_test(tests, file_is_ours_alone_and_goes);
	tcase_add_test(tests, path_too_long);
	tcase_set_timeout(tests, 4);
	tcase_add_test(tests, ends_though_somebody_waits);
	tcase_add_test(tests, census_without_answer);
	suite_add_tcase(suite, tests);
	return suite;
}
