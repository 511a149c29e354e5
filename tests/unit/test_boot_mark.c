/* `durability process`: the mark of the boot, and what becomes of a file of another one. */
#include "storage/boot_mark.h"
#include "tests/lib/store_on_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_there(const char *name)
{
	return access(path_in(name), F_OK) == 0;
}

static struct store *open_process(bool *put_aside)
{
	struct store *store = open_store_as(DURABILITY_PROCESS, put_aside);

	ck_assert_msg(store != NULL, "%s", failure.text);
	return store;
}

/* As a kill leaves it: the mark of now stays. */
static void die_marked(const char *boot)
{
	FILE *file;

	file = fopen(path_in(BOOT_MARK_NAME), "w");
	ck_assert_ptr_nonnull(file);
	fputs(boot, file);
	fclose(file);
}

START_TEST(stands_while_open)
{
	bool put_aside;
	struct store *store = open_process(&put_aside);

	ck_assert(!put_aside);
	ck_assert(is_there(BOOT_MARK_NAME));
	ck_assert(put_one(store, 1, SLICE_LITERAL("c")));
	close_store(store);
	ck_assert(!is_there(BOOT_MARK_NAME));
	store = open_store();
	ck_assert_uint_eq(load(store).sessions, 1);
	ck_assert(!is_there(BOOT_MARK_NAME));
	close_store(store);
}
END_TEST

/* Each way of opening it: the machine has run on, so that the file is whole. */
START_TEST(same_boot_keeps)
{
	bool put_aside;
	struct store *store = open_process(&put_aside);
	char boot[64] = "";
	FILE *file = fopen(path_in(BOOT_MARK_NAME), "r");

	ck_assert_ptr_nonnull(fgets(boot, sizeof(boot), file));
	fclose(file);
	ck_assert(put_one(store, 1, SLICE_LITERAL("c")));
	close_store(store);
	die_marked(boot);
	store = _i == 0 ? open_process(&put_aside) : open_store();
	ck_assert(!put_aside);
	ck_assert_uint_eq(load(store).sessions, 1);
	ck_assert_int_eq(is_there(BOOT_MARK_NAME), _i == 0);
	close_store(store);
	ck_assert(!is_there(BOOT_MARK_ASIDE));
}
END_TEST

/* The process died, or the disk was full, while the mark was written: nothing was written then. */
START_TEST(mark_that_was_begun_is_none)
{
	static const char *const begun[] = {"", "0f1e2d3c-"};
	bool put_aside;
	struct store *store = open_process(&put_aside);

	ck_assert(put_one(store, 1, SLICE_LITERAL("c")));
	close_store(store);
	die_marked(begun[_i]);
	store = open_process(&put_aside);
	ck_assert(!put_aside);
	ck_assert_uint_eq(load(store).sessions, 1);
	close_store(store);
	ck_assert(!is_there(BOOT_MARK_NAME));
}
END_TEST

/* Else a death in between would leave none, and what the process of before left is not synced. */
START_TEST(mark_of_this_boot_is_not_written_again)
{
	char boot[64] = "";
	struct stat before;
	struct stat now;
	bool put_aside;
	struct store *store = open_process(&put_aside);
	FILE *file = fopen(path_in(BOOT_MARK_NAME), "r");

	ck_assert_ptr_nonnull(fgets(boot, sizeof(boot), file));
	fclose(file);
	close_store(store);
	die_marked(boot);
	ck_assert_int_eq(
	    utimensat(AT_FDCWD, path_in(BOOT_MARK_NAME), (struct timespec[2]){{1, 0}, {1, 0}}, 0),
	    0);
	ck_assert_int_eq(stat(path_in(BOOT_MARK_NAME), &before), 0);
	store = open_process(&put_aside);
	ck_assert_int_eq(stat(path_in(BOOT_MARK_NAME), &now), 0);
	ck_assert_int_eq(before.st_mtim.tv_sec, now.st_mtim.tv_sec);
	close_store(store);
}
END_TEST

START_TEST(other_boot_starts_empty)
{
	enum store_durability durability = _i == 0 ? DURABILITY_PROCESS : DURABILITY_POWER;
	bool put_aside;
	struct store *store = open_process(&put_aside);

	ck_assert(put_one(store, 1, SLICE_LITERAL("c")));
	close_store(store);
	die_marked("another boot\n");
	store = open_store_as(durability, &put_aside);
	ck_assert_msg(store != NULL, "%s", failure.text);
	ck_assert(put_aside);
	ck_assert_uint_eq(load(store).sessions, 0);
	ck_assert(is_there(BOOT_MARK_ASIDE));
	ck_assert_int_eq(is_there(BOOT_MARK_NAME), _i == 0);
	ck_assert(put_one(store, 2, SLICE_LITERAL("d")));
	close_store(store);
	store = open_store_as(durability, &put_aside);
	ck_assert(!put_aside);
	ck_assert_uint_eq(load(store).sessions, 1);
	close_store(store);
}
END_TEST

/* Nothing opens what was put aside: not its sessions, and not what it has of days either. */
START_TEST(keys_of_what_is_put_aside_are_destroyed)
{
	static const struct {
		enum key_class key;
		enum vault_class row;
	} classes[] = {{KEY_AUTH_DAY, VAULT_AUTH}, {KEY_AGGREGATE_DAY, VAULT_AGGREGATE}};
	uint8_t key[SEAL_KEY_LEN];
	bool put_aside;
	struct store *store = open_process(&put_aside);

	for (size_t i = 0; i < 2; i++) {
		ck_assert(keyring_make(keyring, classes[i].key, 20000, &failure));
		ck_assert(vault_put(vault, classes[i].row, 1, 20000, SLICE_LITERAL("x"), &failure));
	}
	close_store(store);
	die_marked("another boot\n");
	close_store(open_process(&put_aside));
	ck_assert(put_aside);
	for (size_t i = 0; i < 2; i++)
		ck_assert(!keyring_get(keyring, classes[i].key, 20000, key));
}
END_TEST

/* What power left of it is not even looked at: it may be anything. */
START_TEST(damage_of_another_boot_is_put_aside)
{
	bool put_aside;
	int fd;

	close_store(open_process(&put_aside));
	die_marked("another boot\n");
	fd = open(data_path(), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "rubbish", 7, 100), 7);
	ck_assert_int_eq(ftruncate(fd, 5000), 0);
	close(fd);
	close_store(open_process(&put_aside));
	ck_assert(put_aside);
}
END_TEST

Suite *boot_mark_suite(void);

Suite *boot_mark_suite(void)
{
	Suite *suite = suite_create("boot_mark");
	TCase *tcase = tcase_create("boot_mark");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, stands_while_open);
	tcase_add_loop_test(tcase, same_boot_keeps, 0, 2);
	tcase_add_loop_test(tcase, mark_that_was_begun_is_none, 0, 2);
	tcase_add_test(tcase, mark_of_this_boot_is_not_written_again);
	tcase_add_loop_test(tcase, other_boot_starts_empty, 0, 2);
	tcase_add_test(tcase, keys_of_what_is_put_aside_are_destroyed);
	tcase_add_test(tcase, damage_of_another_boot_is_put_aside);
	suite_add_tcase(suite, tcase);
	return suite;
}
