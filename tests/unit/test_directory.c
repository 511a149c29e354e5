/* The data directory: made, locked, and refused with a sentence when it is not fit. */
#include "storage/directory.h"
#include "tests/lib/scratch.h"

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *directory_suite(void);

static struct scratch base;
static struct failure failure;
static char path[512];
static bool created;
static int fd;

static void setup(void)
{
	base = scratch_make();
}

static void teardown(void)
{
	scratch_remove(&base);
}

static const char *in_base(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", base.path, name);
	return path;
}

static void put_file(const char *name)
{
	char file[512];
	int made;

	snprintf(file, sizeof(file), "%s/%s", base.path, name);
	made = open(file, O_CREAT | O_WRONLY | O_EXCL, 0600);
	ck_assert_int_ge(made, 0);
	close(made);
}

static void refused(const char *where, const char *what)
{
	fd = -1;
	failure.text[0] = '\0';
	ck_assert(!directory_open(where, &created, &fd, &failure));
	ck_assert_int_eq(fd, -1);
	ck_assert_msg(strstr(failure.text, what) != NULL, "\"%s\" does not say \"%s\"",
		      failure.text, what);
}

START_TEST(made_with_its_parents)
{
	struct stat st;
	mode_t before = umask(0777);

	umask(before);
	ck_assert_msg(directory_open(in_base("a/b/c/"), &created, &fd, &failure), "%s",
		      failure.text);
	ck_assert(created);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	close(fd);
	ck_assert_int_eq(stat(in_base("a/b"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);

	ck_assert(directory_open(in_base("a/b/c"), &created, &fd, &failure));
	ck_assert(!created);
	close(fd);
}
END_TEST

START_TEST(umask_does_not_matter)
{
	struct stat st;

	umask(0377);
	ck_assert_msg(directory_open(in_base("a"), &created, &fd, &failure), "%s", failure.text);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	close(fd);
}
END_TEST

START_TEST(our_own_files_are_known)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "keys.slots", "log",
					    "control.sock"};

	for (size_t i = 0; i < 5; i++)
		put_file(names[i]);
	ck_assert_msg(directory_open(base.path, &created, &fd, &failure), "%s", failure.text);
	close(fd);
}
END_TEST

START_TEST(foreign_file_is_named)
{
	put_file("data.mdb");
	put_file("letters.txt");
	refused(base.path, "holds letters.txt, which is not Metrino's");
}
END_TEST

START_TEST(file_is_refused)
{
	put_file("f");
	refused(in_base("f"), "Not a directory");
	refused(in_base("f/g"), "Not a directory");
	refused("", "empty");
}
END_TEST

START_TEST(open_to_others_is_refused)
{
	ck_assert_int_eq(chmod(base.path, 0750), 0);
	refused(base.path, "mode 0750");
	refused(base.path, "chmod 0700");
	ck_assert_int_eq(chmod(base.path, 0701), 0);
	refused(base.path, "chmod 0700");
}
END_TEST

START_TEST(another_owner_is_refused)
{
	if (geteuid() != 0) {
		fprintf(stderr, "another_owner_is_refused: skipped, needs root\n");
		return;
	}
	ck_assert_int_eq(chown(base.path, 12345, 12345), 0);
	refused(base.path, "belongs to user 12345, but the broker runs as user 0");
	ck_assert_msg(directory_open_for(base.path, 12345, 12345, &created, &fd, &failure), "%s",
		      failure.text);
	close(fd);
}
END_TEST

START_TEST(made_for_another_user)
{
	struct stat st;

	if (geteuid() != 0) {
		fprintf(stderr, "made_for_another_user: skipped, needs root\n");
		return;
	}
	ck_assert(directory_open_for(in_base("d"), 12345, 54321, &created, &fd, &failure));
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_uid, 12345);
	ck_assert_uint_eq(st.st_gid, 54321);
	close(fd);
}
END_TEST

START_TEST(not_writable_is_refused)
{
	ck_assert_int_eq(chmod(base.path, 0500), 0);
	if (geteuid() == 0) { /* to root every mode is writable: become somebody */
		ck_assert_int_eq(chown(base.path, 12345, 12345), 0);
		ck_assert_int_eq(seteuid(12345), 0);
	}
	refused(base.path, "cannot be written");
	refused(in_base("new"), "cannot be made: Permission denied for user");
	refused(in_base("new/er"), "as root, or name another directory");
	ck_assert_ptr_nonnull(strstr(failure.text, "`install -d -m 0700 -o "));
	ck_assert_ptr_nonnull(strstr(failure.text, path));
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_int_eq(chmod(base.path, 0700), 0);
}
END_TEST

START_TEST(locked_while_open)
{
	int first;

	ck_assert(directory_open(base.path, &created, &first, &failure));
	refused(base.path, "another metrinod uses");
	close(first);
	ck_assert(directory_open(base.path, &created, &fd, &failure));
	close(fd);
}
END_TEST

START_TEST(unsafe_filesystems_are_known)
{
	ck_assert_str_eq(directory_unsafe_filesystem(0x6969), "NFS");
	ck_assert_str_eq(directory_unsafe_filesystem(0x01021997), "9p");
	ck_assert_str_eq(directory_unsafe_filesystem(0x65735546), "FUSE");
	ck_assert_str_eq(directory_unsafe_filesystem((unsigned long)(int)0xff534d42), "SMB (cifs)");
	ck_assert_ptr_null(directory_unsafe_filesystem(0xef53));     /* ext4 */
	ck_assert_ptr_null(directory_unsafe_filesystem(0x01021994)); /* tmpfs */
}
END_TEST

Suite *directory_suite(void)
{
	Suite *suite = suite_create("directory");
	TCase *tcase = tcase_create("directory");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, made_with_its_parents);
	tcase_add_test(tcase, umask_does_not_matter);
	tcase_add_test(tcase, our_own_files_are_known);
	tcase_add_test(tcase, foreign_file_is_named);
	tcase_add_test(tcase, file_is_refused);
	tcase_add_test(tcase, open_to_others_is_refused);
	tcase_add_test(tcase, another_owner_is_refused);
	tcase_add_test(tcase, made_for_another_user);
	tcase_add_test(tcase, not_writable_is_refused);
	tcase_add_test(tcase, locked_while_open);
	tcase_add_test(tcase, unsafe_filesystems_are_known);
	suite_add_tcase(suite, tcase);
	return suite;
}
