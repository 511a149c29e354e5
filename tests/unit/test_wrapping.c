/* The key that wraps keys: from a file that is fit for it, and from nothing else. */
#include "storage/keys/wrapping.h"
#include "tests/lib/scratch.h"

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *wrapping_suite(void);

static struct scratch base;
static struct failure failure;
static char path[300];
static uint8_t key[SEAL_KEY_LEN];

static const char secret[] = "thirty-two bytes, of no chance.\n";

static void setup(void)
{
	base = scratch_make();
}

static void teardown(void)
{
	scratch_remove(&base);
}

static void put(const char *name, size_t len, mode_t mode)
{
	snprintf(path, sizeof(path), "%s/%s", base.path, name);
	unlink(path); /* one of before may be for reading only */
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(write(fd, &secret[i % 32], 1), 1);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void refused(const char *what)
{
	ck_assert(!wrapping_read(path, key, &failure));
	ck_assert_msg(strstr(failure.text, what) != NULL && strstr(failure.text, path) != NULL,
		      "\"%s\" does not say \"%s\"", failure.text, what);
}

/* By Python's cryptography: HKDF(SHA256, 32, None, b"metrino/1|wrap|keys|0").derive(secret). */
static const uint8_t derived[SEAL_KEY_LEN] = {
    0x94, 0xd4, 0x55, 0xc6, 0x8e, 0x44, 0x8b, 0xf4, 0xc7, 0xe2, 0xa7, 0x0e, 0x61, 0x49, 0x42, 0x0d,
    0x70, 0x51, 0x08, 0x9d, 0xa3, 0x97, 0xa9, 0x0a, 0x58, 0x51, 0xc1, 0x91, 0x8f, 0x66, 0x5a, 0x59};

START_TEST(all_bytes_of_the_file_make_the_key)
{
	uint8_t other[SEAL_KEY_LEN];

	put("f", 32, 0400);
	ck_assert(wrapping_read(path, key, &failure));
	ck_assert_mem_eq(key, derived, sizeof(key));
	put("f2", 33, 0600);
	ck_assert(wrapping_read(path, other, &failure));
	ck_assert_mem_ne(key, other, sizeof(key));
	put("f3", 4096, 0400);
	ck_assert(wrapping_read(path, other, &failure));
}
END_TEST

START_TEST(unfit_files_are_refused)
{
	put("short", 31, 0400);
	refused("has fewer bytes");
	put("long", 4097, 0400);
	refused("has more bytes");
	put("group", 32, 0440);
	refused("(mode 0440): chmod 0400");
	snprintf(path, sizeof(path), "%s", base.path);
	refused("is not a file");
	snprintf(path, sizeof(path), "%s/none", base.path);
	refused("cannot be read");
}
END_TEST

/* systemd sets mode and access list itself. */
START_TEST(credential_is_one_of_its_name)
{
	bool found;

	ck_assert(wrapping_read_credential(NULL, &found, key, &failure) && !found);
	ck_assert(wrapping_read_credential(base.path, &found, key, &failure) && !found);
	put(WRAPPING_CREDENTIAL, 32, 0440);
	ck_assert(wrapping_read_credential(base.path, &found, key, &failure) && found);
	ck_assert_mem_eq(key, derived, sizeof(key));
	put(WRAPPING_CREDENTIAL, 3, 0440);
	ck_assert(!wrapping_read_credential(base.path, &found, key, &failure));
}
END_TEST

Suite *wrapping_suite(void)
{
	Suite *suite = suite_create("wrapping");
	TCase *tcase = tcase_create("wrapping");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_bytes_of_the_file_make_the_key);
	tcase_add_test(tcase, unfit_files_are_refused);
	tcase_add_test(tcase, credential_is_one_of_its_name);
	suite_add_tcase(suite, tcase);
	return suite;
}
