/* What mountinfo says of how a file system writes: erase.h. */
#include "storage/keys/erase.h"

#include <check.h>
#include <stdio.h>

Suite *erase_suite(void);

static struct failure why;
static const char *upper;

static bool overwrites(const char *line)
{
	static char copy[512];

	why.text[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", line);
	return erase_mount_overwrites(copy, &upper, &why);
}

START_TEST(ext4_overwrites_unless_data_go_to_the_journal)
{
	ck_assert(overwrites("29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,discard\n"));
	ck_assert(overwrites("29 1 8:1 / / rw - ext4 /dev/sda1 rw,data=ordered\n"));
	ck_assert(overwrites("29 1 8:1 / /data=journal rw - ext4 /dev/sda1 rw,xdata=journal\n"));
	ck_assert_ptr_null(upper);
	ck_assert(!overwrites("29 1 8:1 / / rw - ext4 /dev/sda1 rw,data=journal,discard\n"));
	ck_assert_ptr_nonnull(strstr(why.text, "ext4 is mounted with data=journal"));
	ck_assert(!overwrites("29 1 8:1 / / rw - ext3 /dev/sda1 rw,data=journal\n"));
}
END_TEST

START_TEST(overlay_names_what_is_below)
{
	ck_assert(overwrites("400 29 0:52 / / rw - overlay overlay "
			     "rw,lowerdir=/a:/b,upperdir=/c/upper,workdir=/c/work\n"));
	ck_assert_str_eq(upper, "/c/upper");
}
END_TEST

START_TEST(what_is_not_understood_does_not_overwrite)
{
	ck_assert(!overwrites(""));
	ck_assert(!overwrites("29 1 8:1 / / rw\n"));
	ck_assert(!overwrites("29 1 8:1 / / rw - ext4\n"));
	ck_assert_ptr_nonnull(strstr(why.text, "cannot be understood"));
}
END_TEST

START_TEST(same_place_is_the_same_in_all_parts)
{
	struct erase_place one = {.extents = {{4096, 1024}, {9216, 3072}}, .count = 2};
	struct erase_place other = one;

	ck_assert(erase_same_place(&one, &other, &why));
	other.extents[1].physical += 4096;
	ck_assert(!erase_same_place(&one, &other, &why));
	other = one;
	other.count = 1;
	ck_assert(!erase_same_place(&one, &other, &why));
}
END_TEST

Suite *erase_suite(void)
{
	Suite *suite = suite_create("erase");
	TCase *tcase = tcase_create("erase");

	tcase_add_test(tcase, ext4_overwrites_unless_data_go_to_the_journal);
	tcase_add_test(tcase, overlay_names_what_is_below);
	tcase_add_test(tcase, what_is_not_understood_does_not_overwrite);
	tcase_add_test(tcase, same_place_is_the_same_in_all_parts);
	suite_add_tcase(suite, tcase);
	return suite;
}
