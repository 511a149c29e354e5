/* keys.slots with its keys: made, kept over a restart, destroyed, wrapped, refused. */
#include "storage/keys/keyring.h"
#include "storage/keys/slot_file.h"
#include "tests/lib/scratch.h"
#include "tests/unit/syncs.h"

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *keyring_suite(void);

static struct scratch base;
static struct failure failure;
static int directory;
static struct keyring *keyring;
static uint8_t key[SEAL_KEY_LEN];
static uint8_t again[SEAL_KEY_LEN];
static uint64_t epochs[SLOT_COUNT];

static const uint8_t some_wrapping[SEAL_KEY_LEN] = "a wrapping key of this installa";
static const uint8_t other_wrapping[SEAL_KEY_LEN] = "a wrapping key of another insta";

static void setup(void)
{
	base = scratch_make();
	directory = open(base.path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(directory, 0);
}

static void teardown(void)
{
	keyring_close(keyring);
	close(directory);
	scratch_remove(&base);
}

static void open_with(const uint8_t *wrapping)
{
	const struct keyring_options options = {.directory = directory, .wrapping = wrapping};

	keyring_close(keyring);
	failure.text[0] = '\0';
	keyring = keyring_open(&options, &failure);
	ck_assert_msg(keyring != NULL, "%s", failure.text);
}

static void refused_with(const uint8_t *wrapping, const char *what)
{
	const struct keyring_options options = {.directory = directory, .wrapping = wrapping};

	keyring_close(keyring);
	keyring = keyring_open(&options, &failure);
	ck_assert_ptr_null(keyring);
	ck_assert_msg(strstr(failure.text, what) != NULL, "\"%s\" does not say \"%s\"",
		      failure.text, what);
}

/* The bytes of keys.slots. */
static uint8_t *contents(void)
{
	static uint8_t bytes[SLOT_COUNT * SLOT_SIZE + 1];
	int fd = openat(directory, SLOT_FILE_NAME, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, bytes, sizeof(bytes)), SLOT_COUNT * SLOT_SIZE);
	close(fd);
	return bytes;
}

static bool holds(const uint8_t wanted[SEAL_KEY_LEN])
{
	return memmem(contents(), SLOT_COUNT * SLOT_SIZE, wanted, SEAL_KEY_LEN) != NULL;
}

static void patch(off_t at, const void *bytes, size_t len)
{
	int fd = openat(directory, SLOT_FILE_NAME, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

/* The slot of a key in the file. */
static unsigned slot_of(enum key_class class)
{
	const uint8_t *bytes = contents();

	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		const struct slot slot = slot_read(i, bytes + i * SLOT_SIZE);

		if (slot.form != SLOT_FREE && slot.class == class)
			return i;
	}
	ck_abort_msg("no slot");
}

START_TEST(new_file_has_the_keys_of_an_installation)
{
	static const enum key_class made[] = {KEY_EMAIL_INDEX, KEY_TOKEN, KEY_DEVICE_KEY,
					      KEY_RECOVERY};
	struct stat st;
	uint8_t keys[4][SEAL_KEY_LEN];

	open_with(NULL);
	ck_assert_int_eq(fstatat(directory, SLOT_FILE_NAME, &st, 0), 0);
	ck_assert_int_eq(st.st_size, 1048576);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	for (size_t i = 0; i < 4; i++)
		ck_assert(keyring_get(keyring, made[i], 0, keys[i]));
	open_with(NULL);
	for (size_t i = 0; i < 4; i++) {
		ck_assert(keyring_get(keyring, made[i], 0, key));
		ck_assert_mem_eq(key, keys[i], sizeof(key));
		for (size_t j = 0; j < i; j++)
			ck_assert_mem_ne(keys[i], keys[j], sizeof(key));
	}
	ck_assert(!keyring_get(keyring, KEY_AUDIT_SIGNING, 0, key));
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ROOT, epochs), 0);
}
END_TEST

START_TEST(made_keys_outlive_a_restart_and_destroyed_ones_do_not)
{
	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 500000, &failure));
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 499999, &failure));
	ck_assert(keyring_get(keyring, KEY_ENVELOPE, 500000, key));
	ck_assert(holds(key));
	open_with(NULL);
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ENVELOPE, epochs), 2);
	ck_assert_uint_eq(epochs[0], 499999);
	ck_assert_uint_eq(epochs[1], 500000);
	ck_assert(keyring_get(keyring, KEY_ENVELOPE, 500000, again));
	ck_assert_mem_eq(key, again, sizeof(key));

	ck_assert(keyring_destroy(keyring, KEY_ENVELOPE, 500000, &failure));
	ck_assert(!keyring_get(keyring, KEY_ENVELOPE, 500000, again));
	ck_assert(!holds(key));
	open_with(NULL);
	ck_assert(!keyring_get(keyring, KEY_ENVELOPE, 500000, again));
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ENVELOPE, epochs), 1);
}
END_TEST

START_TEST(making_twice_makes_one_and_destroying_twice_is_no_error)
{
	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, key));
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, again));
	ck_assert_mem_eq(key, again, sizeof(key));
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_AUTH_DAY, epochs), 1);
	for (int i = 0; i < 2; i++)
		ck_assert(keyring_destroy(keyring, KEY_AUTH_DAY, 20000, &failure));
}
END_TEST

START_TEST(full_file_says_so)
{
	uint64_t epoch = 0;

	open_with(NULL);
	while (keyring_make(keyring, KEY_AUTH_DAY, epoch, &failure))
		epoch++;
	ck_assert_uint_eq(epoch, SLOT_COUNT - 4);
	ck_assert_ptr_nonnull(strstr(failure.text, "is full"));
	ck_assert(keyring_destroy(keyring, KEY_AUTH_DAY, 7, &failure));
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, epoch, &failure));
	open_with(NULL);
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_AUTH_DAY, epochs), SLOT_COUNT - 4);
}
END_TEST

START_TEST(adopted_key_is_the_one_given)
{
	open_with(NULL);
	ck_assert(keyring_adopt(keyring, KEY_AUDIT_SIGNING, 0, some_wrapping, &failure));
	ck_assert(keyring_adopt(keyring, KEY_AUDIT_SIGNING, 0, some_wrapping, &failure));
	ck_assert(!keyring_adopt(keyring, KEY_AUDIT_SIGNING, 0, other_wrapping, &failure));
	open_with(NULL);
	ck_assert(keyring_get(keyring, KEY_AUDIT_SIGNING, 0, key));
	ck_assert_mem_eq(key, some_wrapping, sizeof(key));
}
END_TEST

/* ---- wrapping */

START_TEST(keys_in_clear_are_wrapped_when_a_key_is_given)
{
	uint8_t mail[SEAL_KEY_LEN];

	open_with(NULL);
	ck_assert(!keyring_is_wrapped(keyring));
	ck_assert(keyring_make(keyring, KEY_ROOT, 5, &failure));
	ck_assert(keyring_get(keyring, KEY_ROOT, 5, key));
	ck_assert(keyring_get(keyring, KEY_EMAIL_INDEX, 0, mail));
	ck_assert(holds(key) && holds(mail));
	open_with(some_wrapping);
	ck_assert(keyring_is_wrapped(keyring));
	ck_assert(!holds(key) && !holds(mail) && !holds(some_wrapping));
	open_with(some_wrapping);
	ck_assert(keyring_get(keyring, KEY_ROOT, 5, again));
	ck_assert_mem_eq(key, again, sizeof(key));
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_EMAIL_INDEX, epochs), 1);
}
END_TEST

START_TEST(wrong_wrapping_key_changes_nothing)
{
	uint8_t *before = malloc((size_t)SLOT_COUNT * SLOT_SIZE);

	open_with(some_wrapping);
	keyring_close(keyring);
	keyring = NULL;
	memcpy(before, contents(), (size_t)SLOT_COUNT * SLOT_SIZE);
	refused_with(other_wrapping, "another key");
	refused_with(NULL, "key_file must name");
	ck_assert_mem_eq(before, contents(), (size_t)SLOT_COUNT * SLOT_SIZE);
	free(before);
	open_with(some_wrapping);
}
END_TEST

/* ---- what was interrupted, and what was damaged */

static void copy_slot(unsigned from, unsigned to, uint64_t generation)
{
	uint8_t block[SLOT_SIZE];
	struct slot slot = slot_read(from, contents() + from * SLOT_SIZE);
	uint8_t of[SEAL_KEY_LEN];

	ck_assert(slot_read_key(&slot, contents() + from * SLOT_SIZE, NULL, of));
	slot.generation = generation;
	of[0] ^= 1;
	slot_write_key(to, &slot, of, NULL, block);
	patch(to * SLOT_SIZE, block, sizeof(block));
}

START_TEST(of_two_slots_with_one_key_the_later_stays)
{
	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_ROOT, 5, &failure));
	ck_assert(keyring_get(keyring, KEY_ROOT, 5, key));
	copy_slot(slot_of(KEY_ROOT), 100, _i == 0 ? 1 : 1000);
	open_with(NULL);
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ROOT, epochs), 1);
	ck_assert(keyring_get(keyring, KEY_ROOT, 5, again));
	ck_assert_int_eq(memcmp(key, again, sizeof(key)) == 0, _i == 0);
	ck_assert_int_eq(holds(key), _i == 0);
}
END_TEST

/* The disk fails for hours, while keys are written and while that is taken back; then it works. */
START_TEST(disk_that_fails_for_long_takes_no_slots)
{
	open_with(NULL);
	for (unsigned i = 0; i < 2 * SLOT_COUNT; i++) {
		syncs_lost = 2;
		ck_assert(!keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
		ck_assert_int_eq(syncs_lost, 0);
	}
	ck_assert_msg(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure), "%s", failure.text);
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, key));
	open_with(NULL);
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, again));
	ck_assert_mem_eq(again, key, sizeof(key));
}
END_TEST

static uint64_t last_generation(void)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		const struct slot slot = slot_read(i, contents() + i * SLOT_SIZE);

		last = slot.generation > last ? slot.generation : last;
	}
	return last;
}

/* What the disk has of a key that could not be made is never the later one, wherever it lies. */
START_TEST(key_that_was_not_made_does_not_outlive_the_one_that_was)
{
	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 1, &failure));
	const unsigned place = slot_of(KEY_ENVELOPE);
	const uint64_t generation = last_generation();

	syncs_lost = 2;
	ck_assert(!keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, key));
	copy_slot(slot_of(KEY_AUTH_DAY), place, generation + 1);
	open_with(NULL);
	ck_assert(keyring_get(keyring, KEY_AUTH_DAY, 20000, again));
	ck_assert_mem_eq(again, key, sizeof(key));
}
END_TEST

START_TEST(damaged_slot_waits_until_nothing_is_missed)
{
	unsigned count;

	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 5, &failure));
	const off_t at = (off_t)slot_of(KEY_ENVELOPE) * SLOT_SIZE;

	ck_assert(keyring_get(keyring, KEY_ENVELOPE, 5, key));
	patch(at + 20, "torn", 4);
	open_with(NULL);
	ck_assert(!keyring_get(keyring, KEY_ENVELOPE, 5, again));
	ck_assert(holds(key));
	ck_assert(keyring_clear_damaged(keyring, &count, &failure));
	ck_assert_uint_eq(count, 1);
	ck_assert(!holds(key));
	open_with(NULL);
	ck_assert(keyring_clear_damaged(keyring, &count, &failure));
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(damaged_installation_key_is_a_failure)
{
	open_with(NULL);
	patch((off_t)slot_of(KEY_TOKEN) * SLOT_SIZE + 40, "torn", 4);
	refused_with(NULL, "damaged");
}
END_TEST

/* Torn while the file was made: nobody was promised anything. */
START_TEST(interrupted_first_open_goes_on)
{
	unsigned count;
	uint8_t nothing[SLOT_SIZE] = {0};
	uint8_t block[SLOT_SIZE];

	open_with(NULL);
	if (_i == 0) { /* before the last of the keys */
		patch((off_t)slot_of(KEY_RECOVERY) * SLOT_SIZE + 40, "torn", 4);
	} else if (_i == 1) { /* before the first of them, some blocks not written */
		for (unsigned i = 0; i < SLOT_COUNT; i++) {
			slot_write_free(i, block);
			patch(i * SLOT_SIZE, i % 3 == 0 ? nothing : block, SLOT_SIZE);
		}
	} else { /* as long as it came */
		ck_assert_int_eq(unlinkat(directory, SLOT_FILE_NAME, 0), 0);
		int fd = openat(directory, SLOT_FILE_NAME, O_CREAT | O_WRONLY, 0600);

		slot_write_free(0, block);
		ck_assert_int_eq(write(fd, block, SLOT_SIZE), SLOT_SIZE);
		ck_assert_int_eq(write(fd, block, 100), 100);
		close(fd);
	}
	open_with(NULL);
	ck_assert(keyring_get(keyring, KEY_RECOVERY, 0, key));
	ck_assert(keyring_clear_damaged(keyring, &count, &failure));
	ck_assert_uint_eq(count, _i == 0);
	open_with(NULL);
	ck_assert(keyring_get(keyring, KEY_RECOVERY, 0, again));
	ck_assert_mem_eq(key, again, sizeof(key));
}
END_TEST

START_TEST(short_file_with_keys_is_refused)
{
	open_with(NULL);
	keyring_close(keyring);
	keyring = NULL;
	int fd = openat(directory, SLOT_FILE_NAME, O_WRONLY);

	ck_assert_int_eq(ftruncate(fd, 100000), 0);
	close(fd);
	refused_with(NULL, "has 100000 bytes and 1048576 would be right");
}
END_TEST

START_TEST(file_of_something_else_is_refused)
{
	uint8_t block[SLOT_SIZE];

	memset(block, 'x', sizeof(block));
	int fd = openat(directory, SLOT_FILE_NAME, O_CREAT | O_WRONLY, 0600);

	for (unsigned i = 0; i < SLOT_COUNT; i++)
		ck_assert_int_eq(write(fd, block, sizeof(block)), SLOT_SIZE);
	close(fd);
	refused_with(NULL, "is not a file of keys");
}
END_TEST

START_TEST(file_that_others_can_reach_is_refused)
{
	char path[300];
	char name[300];

	open_with(NULL);
	keyring_close(keyring);
	keyring = NULL;
	snprintf(path, sizeof(path), "%s/" SLOT_FILE_NAME, base.path);
	snprintf(name, sizeof(name), "%s/elsewhere", base.path);
	ck_assert_int_eq(chmod(path, 0640), 0);
	refused_with(NULL, "mode 0640; right would be");
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(link(path, name), 0);
	refused_with(NULL, "one name");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink(name, path), 0);
	refused_with(NULL, "is a link");
}
END_TEST

START_TEST(one_broker_at_a_time)
{
	const struct keyring_options options = {.directory = directory};

	open_with(NULL);
	ck_assert_ptr_null(keyring_open(&options, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "another metrinod"));
}
END_TEST

/* ---- who wants to know */

struct told {
	unsigned made, gone;
	enum key_class class;
	uint64_t epoch;
	enum erase_level level;
};

static void note(void *context, const struct keyring_change *change)
{
	struct told *told = context;

	*(change->gone ? &told->gone : &told->made) += 1;
	told->class = change->class;
	told->epoch = change->epoch;
	told->level = change->level;
	/* The mutex is free here. */
	ck_assert_int_eq(keyring_get(keyring, change->class, change->epoch, key), !change->gone);
}

START_TEST(hook_is_told_of_each_change_since_open)
{
	struct told told = {0};

	open_with(NULL);
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 8, &failure));
	keyring_watch(keyring, note, &told);
	ck_assert_uint_eq(told.made, 5);
	ck_assert_int_eq(told.class, KEY_ENVELOPE);
	ck_assert_uint_eq(told.epoch, 8);
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 9, &failure));
	ck_assert(keyring_make(keyring, KEY_ENVELOPE, 9, &failure));
	ck_assert_uint_eq(told.made, 6);
	ck_assert(keyring_destroy(keyring, KEY_ENVELOPE, 9, &failure));
	ck_assert(keyring_destroy(keyring, KEY_ENVELOPE, 9, &failure));
	ck_assert_uint_eq(told.gone, 1);
	ck_assert_uint_eq(told.epoch, 9);
	ck_assert_int_eq(told.level, keyring_erase_level(keyring).level);
}
END_TEST

Suite *keyring_suite(void)
{
	Suite *suite = suite_create("keyring");
	TCase *tcase = tcase_create("keyring");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, new_file_has_the_keys_of_an_installation);
	tcase_add_test(tcase, made_keys_outlive_a_restart_and_destroyed_ones_do_not);
	tcase_add_test(tcase, making_twice_makes_one_and_destroying_twice_is_no_error);
	tcase_add_test(tcase, full_file_says_so);
	tcase_add_test(tcase, adopted_key_is_the_one_given);
	tcase_add_test(tcase, keys_in_clear_are_wrapped_when_a_key_is_given);
	tcase_add_test(tcase, wrong_wrapping_key_changes_nothing);
	tcase_add_loop_test(tcase, of_two_slots_with_one_key_the_later_stays, 0, 2);
	tcase_add_test(tcase, disk_that_fails_for_long_takes_no_slots);
	tcase_add_test(tcase, key_that_was_not_made_does_not_outlive_the_one_that_was);
	tcase_add_test(tcase, damaged_slot_waits_until_nothing_is_missed);
	tcase_add_test(tcase, damaged_installation_key_is_a_failure);
	tcase_add_loop_test(tcase, interrupted_first_open_goes_on, 0, 3);
	tcase_add_test(tcase, short_file_with_keys_is_refused);
	tcase_add_test(tcase, file_of_something_else_is_refused);
	tcase_add_test(tcase, file_that_others_can_reach_is_refused);
	tcase_add_test(tcase, one_broker_at_a_time);
	tcase_add_test(tcase, hook_is_told_of_each_change_since_open);
	suite_add_tcase(suite, tcase);
	return suite;
}
