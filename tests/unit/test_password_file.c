/* test_password_file.c - mosquitto's password files: read, refused, changed. */
#include "auth/password_file.h"
#include "tests/lib/scratch.h"

#include <check.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define SIX                                                                                        \
	"$6$4GZiTCBJdrxu3lep$c6tPn56Xz8L4gYLK9JVlYjVFLyaW6NAXu5/"                                  \
	"AWvO1e33+AkIWra2UL1cbTuVbGOguVvojvNFTQ5XnW+Hn/qlo5g=="
#define ARGON2                                                                                     \
	"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"

static const struct password_cost cost = {256, 1, 4};

/* With the first of its problems. */
static struct password_file *parse_bytes(struct slice text, struct failure *failure)
{
	struct problems problems = {0};
	struct password_file *file = password_file_parse(text, "FILE", cost, &problems);

	*failure = (struct failure){.text = "nothing"};
	ck_assert_int_eq(file != NULL, problems.count == 0);
	if (file == NULL)
		problems_first(&problems, failure);
	problems_free(&problems);
	return file;
}

static struct password_file *parse(const char *text, struct failure *failure)
{
	return parse_bytes(slice_text(text), failure);
}

START_TEST(finds_its_users)
{
	struct failure failure;
	struct password_file *file = parse("# comment\n\nbob:" SIX "\r\nalice:" ARGON2
					   "\nbob of the house:" SIX "\n\xc3\xbc:" SIX "\n",
					   &failure);

	ck_assert_msg(file != NULL, "%s", failure.text);
	ck_assert_uint_eq(file->count, 4);
	ck_assert_int_eq(password_file_find(file, SLICE_LITERAL("alice"))->hash.kind,
			 PASSWORD_ARGON2ID);
	ck_assert_uint_eq(password_file_find(file, SLICE_LITERAL("bob"))->line, 3);
	ck_assert_ptr_nonnull(password_file_find(file, SLICE_LITERAL("bob of the house")));
	ck_assert_ptr_nonnull(password_file_find(file, SLICE_LITERAL("\xc3\xbc")));
	for (size_t i = 0; i < 6; i++) {
		const char *const others[] = {"", "bo", "bobb", "carol", "# comment", "zzz"};

		ck_assert_ptr_null(password_file_find(file, slice_text(others[i])));
	}
	ck_assert_uint_eq(file->work.kib_passes, 512);
	password_file_destroy(file);
}
END_TEST

static const struct {
	const char *text, *said;
} broken[] = {
    {"", "FILE: holds no user"},
    {"\n\n# nobody\n", "FILE: holds no user"},
    {"bob:" SIX, "FILE:1: has no end of line"},
    {"bob:" SIX "\nalice:" ARGON2, "FILE:2: has no end of line"},
    {"bob\n", "FILE:1: has no colon"},
    {"bob:\n", "FILE:1: the password is not"},
    {"bob:secret\n", "FILE:1: the password is not $argon2id$"},
    {":" SIX "\n", "FILE:1: has no user name"},
    {"a\tb:" SIX "\n", "FILE:1: has no user name"},
    {"x:" SIX "\nbob:$6$abc\n", "FILE:2: the password is cut off"},
    {"bob:" SIX "\nx:" SIX "\nbob:" ARGON2 "\n", "FILE:3: the user stands in line 1 already"},
    {"bob:$argon2id$v=19$m=257,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc\n",
     "FILE:1: the password needs 257 KiB to check, and argon2_memory is 256"},
};

START_TEST(refuses_what_is_not_right)
{
	struct failure failure;

	ck_assert_ptr_null(parse(broken[_i].text, &failure));
	ck_assert_msg(strncmp(failure.text, broken[_i].said, strlen(broken[_i].said)) == 0, "%s",
		      failure.text);
	/* What is said may end in a log. */
	ck_assert_ptr_null(strstr(failure.text, "bob"));
	ck_assert_ptr_null(strstr(failure.text, "secret"));
}
END_TEST

START_TEST(a_zero_byte_ends_nothing)
{
	static const char text[] = "bob:" SIX "\n\0alice:x\n";
	struct failure failure;

	ck_assert_ptr_null(parse_bytes(slice_of(text, sizeof(text) - 1), &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "FILE:2:"));
}
END_TEST

START_TEST(names_all_that_is_wrong)
{
	struct problems problems = {.about = "password_file"};
	const struct slice text =
	    SLICE_LITERAL("bob:" SIX "\nalice\nbob:" SIX "\n:" SIX "\n# fine\neve:secret\ncarol");

	ck_assert_ptr_null(password_file_parse(text, "FILE", cost, &problems));
	ck_assert_uint_eq(problems.count, 5);
	for (const char *line = problems.text; *line; line = strchr(line, '\n') + 1)
		ck_assert_msg(strncmp(line, "password_file: FILE:", 20) == 0, "%s", line);
	ck_assert_ptr_nonnull(strstr(problems.text, "FILE:2: has no colon"));
	ck_assert_ptr_nonnull(strstr(problems.text, "FILE:3: the user stands in line 1 already"));
	ck_assert_ptr_nonnull(strstr(problems.text, "FILE:4: has no user name"));
	ck_assert_ptr_nonnull(strstr(problems.text, "FILE:6: the password"));
	ck_assert_ptr_nonnull(strstr(problems.text, "FILE:7: has no end of line"));
	ck_assert_ptr_null(strstr(problems.text, "secret"));
	problems_free(&problems);
}
END_TEST

/* What is no password file at all is not listed line by line. */
START_TEST(names_so_many_and_no_more)
{
	struct problems problems = {0};
	char text[2 * 10 * PROBLEMS_MAX];
	size_t lines = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '\n' : 'x';
	ck_assert_ptr_null(password_file_parse(slice_of(text, sizeof(text)), "F", cost, &problems));
	ck_assert_uint_eq(problems.count, 10 * PROBLEMS_MAX);
	for (const char *line = problems.text; *line; line = strchr(line, '\n') + 1)
		lines++;
	ck_assert_uint_eq(lines, PROBLEMS_MAX + 1);
	ck_assert_ptr_nonnull(strstr(problems.text, "\nand more\n"));
	problems_free(&problems);
}
END_TEST

START_TEST(renews_the_entry_that_was_checked)
{
	struct failure failure;
	struct password_file *file = parse("bob:" SIX "\n", &failure);
	const struct slice bob = SLICE_LITERAL("bob");
	struct password_hash old = password_file_find(file, bob)->hash, new = old;

	new.rounds = 17;
	ck_assert(!password_file_renew(file, SLICE_LITERAL("eve"), &old, &new));
	ck_assert(!password_file_renew(file, bob, &new, &new));
	ck_assert(password_file_renew(file, bob, &old, &new));
	ck_assert_mem_eq(password_in_file(password_file_find(file, bob)), &old, sizeof old);
	password_file_written(file, bob, &old);
	password_file_written(file, SLICE_LITERAL("eve"), &new);
	ck_assert_mem_eq(password_in_file(password_file_find(file, bob)), &old, sizeof old);
	password_file_written(file, bob, &new);
	ck_assert_mem_eq(password_in_file(password_file_find(file, bob)), &new, sizeof new);
	ck_assert_uint_eq(password_file_find(file, bob)->hash.rounds, 17);
	password_file_destroy(file);
}
END_TEST

/* ---- the text ---- */

static const struct {
	const char *before, *user, *password, *after;
} edits[] = {
    {"", "bob", "NEW", "bob:NEW\n"},
    {"a:1\n", "bob", "NEW", "a:1\nbob:NEW\n"},
    {"a:1", "bob", "NEW", "a:1\nbob:NEW\n"},
    {"a:1\nbob:OLD\nc:3\n", "bob", "NEW", "a:1\nbob:NEW\nc:3\n"},
    {"bob:OLD\r\nc:3\n", "bob", "NEW", "bob:NEW\nc:3\n"},
    {"bob:OLD", "bob", "NEW", "bob:NEW\n"},
    {"#bob:OLD\nbobby:2\n", "bob", "NEW", "#bob:OLD\nbobby:2\nbob:NEW\n"},
    {"a:1\nbob:OLD\nc:3\n", "bob", NULL, "a:1\nc:3\n"},
    {"a:1\nbob:OLD", "bob", NULL, "a:1\n"},
    {"a:1\n", "bob", NULL, "a:1\n"},
};

START_TEST(changes_one_line)
{
	struct text after = password_text_with(slice_text(edits[_i].before),
					       slice_text(edits[_i].user), edits[_i].password);

	ck_assert_str_eq(after.at, edits[_i].after);
	ck_assert_uint_eq(after.len, strlen(after.at));
	text_file_free(&after);
}
END_TEST

START_TEST(finds_the_password_in_the_text)
{
	const struct slice text = SLICE_LITERAL("# x\nbobby:1\r\nbob:22\nc:\n");

	ck_assert(slice_equal(password_text_of(text, SLICE_LITERAL("bobby")), SLICE_LITERAL("1")));
	ck_assert(slice_equal(password_text_of(text, SLICE_LITERAL("bob")), SLICE_LITERAL("22")));
	ck_assert_uint_eq(password_text_of(text, SLICE_LITERAL("bo")).len, 0);
	ck_assert_uint_eq(password_text_of(text, SLICE_LITERAL("d")).len, 0);
}
END_TEST

/* ---- the file ---- */

static bool take_bob_out(void *self, struct slice old, struct text *changed)
{
	(void)self;
	*changed = password_text_with(old, SLICE_LITERAL("bob"), NULL);
	return true;
}

/* A file that ends before its size says is one that somebody is writing; those of sysfs do. */
START_TEST(half_a_file_is_none)
{
	static const char path[] = "/sys/devices/system/cpu/online";
	struct failure failure;
	struct text text;

	if (access(path, R_OK) != 0)
		return;
	ck_assert(!text_file_read(path, &text, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "was changed while it was read"));
	ck_assert_ptr_null(text.at);
}
END_TEST

/* The owner, the mode and a symbolic link stay; nothing is left beside it. */
START_TEST(replaces_the_file)
{
	struct scratch scratch = scratch_make();
	struct failure failure;
	struct stat before, after;
	struct text text;
	char path[300], name[300];

	snprintf(path, sizeof(path), "%s/real", scratch.path);
	snprintf(name, sizeof(name), "%s/name", scratch.path);
	ck_assert(text_file_create(path, SLICE_LITERAL("a:1\nbob:2\n"), &failure));
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_uint_eq(before.st_mode & 07777, 0600);
	ck_assert_int_eq(chmod(path, 0640), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(chown(path, 4711, 815), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(symlink("real", name), 0);
	ck_assert_msg(text_file_change(name, take_bob_out, NULL, &failure), "%s", failure.text);
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert_uint_eq(after.st_mode, before.st_mode);
	ck_assert_uint_eq(after.st_uid, before.st_uid);
	ck_assert_uint_eq(after.st_gid, before.st_gid);
	ck_assert_uint_ne(after.st_ino, before.st_ino);
	ck_assert(text_file_read(name, &text, &failure));
	ck_assert_str_eq(text.at, "a:1\n");
	text_file_free(&text);
	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(scratch.path), 0);
}
END_TEST

START_TEST(says_which_file_is_not_there)
{
	struct problems problems = {0};

	ck_assert_ptr_null(password_file_load("/nowhere/passwords", cost, &problems));
	ck_assert_ptr_null(password_file_load("/tmp", cost, &problems));
	ck_assert_str_eq(problems.text, "/nowhere/passwords: No such file or directory\n"
					"/tmp: is not a file\n");
	problems_free(&problems);
}
END_TEST

Suite *password_file_suite(void);
Suite *password_file_suite(void)
{
	Suite *suite = suite_create("password_file");
	TCase *tests = tcase_create("password_file");

	tcase_add_test(tests, finds_its_users);
	tcase_add_loop_test(tests, refuses_what_is_not_right, 0, COUNT_OF(broken));
	tcase_add_test(tests, a_zero_byte_ends_nothing);
	tcase_add_test(tests, names_all_that_is_wrong);
	tcase_add_test(tests, names_so_many_and_no_more);
	tcase_add_test(tests, renews_the_entry_that_was_checked);
	tcase_add_loop_test(tests, changes_one_line, 0, COUNT_OF(edits));
	tcase_add_test(tests, finds_the_password_in_the_text);
	tcase_add_test(tests, half_a_file_is_none);
	tcase_add_test(tests, replaces_the_file);
	tcase_add_test(tests, says_which_file_is_not_there);
	suite_add_tcase(suite, tests);
	return suite;
}
