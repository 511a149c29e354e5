/* When a disk is called full, and when it has room again. */
#include "broker/disk_watch.h"

#include <check.h>

Suite *disk_watch_suite(void);

#define MIB (UINT64_C(1) << 20)

START_TEST(full_and_room)
{
	static const struct {
		uint64_t available;
		enum disk_news news;
	} looks[] = {
	    {UINT64_MAX, DISK_NO_NEWS}, {16 * MIB, DISK_NO_NEWS},     {16 * MIB - 1, DISK_IS_FULL},
	    {0, DISK_NO_NEWS},		{16 * MIB, DISK_NO_NEWS},     {32 * MIB - 1, DISK_NO_NEWS},
	    {32 * MIB, DISK_HAS_ROOM},	{32 * MIB - 1, DISK_NO_NEWS}, {0, DISK_IS_FULL},
	};
	struct disk_watch watch = {0};

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		ck_assert_msg(disk_watch_see(&watch, looks[i].available) == looks[i].news,
			      "look %zu", i);
}
END_TEST

Suite *disk_watch_suite(void)
{
	Suite *suite = suite_create("disk_watch");
	TCase *looks = tcase_create("looks");

	tcase_add_test(looks, full_and_room);
	suite_add_tcase(suite, looks);
	return suite;
}
