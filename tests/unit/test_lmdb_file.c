/*
 * The file of the store: damaged, truncated, newer or foreign, it is refused with a
 * sentence, before LMDB could crash on it, and nothing in it is changed.
 */
#include "storage/bytes.h"
#include "tests/lib/store_on_disk.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *lmdb_file_suite(void);

/* Open exchanges of session 1 in the journal, in rows of many lengths. */
static void fill_journal(struct store *store)
{
	static struct store_step steps[4000];
	struct store_op op = rows_session(1, SLICE_LITERAL("meter"));

	ck_assert(rows_commit(store, &op, 1, &failure));
	for (uint16_t i = 0; i < 4000; i++)
		steps[i] = rows_step(STEP_OUTBOUND_SENT, 1, i + 1, 0);
	for (unsigned at = 0, count = 1; at < 3000; at += count, count = count * 3 / 2 + 1)
		ck_assert(
		    rows_commit_steps(store, steps + at, count > 1000 ? 1000 : count, &failure));
}

/* A store with 300 sessions and subscriptions, closed; gives its sum. */
static struct rows_sum make_filled(void)
{
	static uint8_t long_text[10000];
	struct store *store = open_store();
	struct rows_sum sum;

	memset(long_text, 'l', sizeof(long_text));
	ck_assert(put_one(store, 1, SLICE_LITERAL("subscriber")));
	for (uint64_t i = 0; i < 300; i++) {
		struct store_op ops[] = {
		    rows_session(i * 0x9e3779b97f4a7c15u,
				 i == 7 ? slice_of(long_text, 10000) : SLICE_LITERAL("meter")),
		    rows_subscription(i * 0xc2b2ae3d27d4eb4fu, 1, SLICE_LITERAL("a/+/#")),
		    rows_delete(STORE_DELETE_SESSION, (i / 2) * 2 * 0x9e3779b97f4a7c15u),
		};

		ck_assert(rows_commit(store, ops, i % 3 == 0 ? 3 : 2, &failure));
	}
	fill_journal(store);
	sum = load(store);
	ck_assert_uint_gt(sum.steps, 1000);
	close_store(store);
	return sum;
}

static uint8_t *read_file(size_t *len)
{
	int fd = open(data_path(), O_RDONLY);
	struct stat st;
	uint8_t *bytes;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = malloc(*len);
	ck_assert_int_eq(read(fd, bytes, *len), (ssize_t)*len);
	close(fd);
	return bytes;
}

static void write_at(size_t offset, const void *bytes, size_t len)
{
	int fd = open(data_path(), O_WRONLY);

	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
}

/* The pages in use; what is behind them is the sparse rest of the file. */
static size_t used_len(const uint8_t *bytes)
{
	size_t last[2];

	memcpy(&last[0], bytes + 16 + 120, sizeof(last[0]));
	memcpy(&last[1], bytes + 4096 + 16 + 120, sizeof(last[1]));
	return ((last[0] > last[1] ? last[0] : last[1]) + 1) * 4096;
}

START_TEST(truncated_file_is_refused)
{
	static const size_t cuts[] = {1, 100, 4096, 8191, 8192, 20000};
	size_t len;
	size_t used;
	uint8_t *bytes;

	make_filled();
	bytes = read_file(&len);
	used = used_len(bytes);
	ck_assert_uint_gt(used, 40000);
	for (size_t i = 0; i < 6; i++) {
		ck_assert_int_eq(truncate(data_path(), (off_t)cuts[i]), 0);
		refused("cut short");
		write_at(0, bytes, len);
	}
	ck_assert_int_eq(truncate(data_path(), (off_t)used - 1), 0);
	refused("cut short");
	ck_assert_int_eq(truncate(data_path(), (off_t)used), 0); /* nothing in use is missing */
	close_store(open_store());
	free(bytes);
}
END_TEST

/* Bytes of a record: the number of its key, and one of those that are sealed. */
#define KEY_NUMBER_AT 2u
#define SEALED_AT     37u

/* In every copy of the record in the file, which stands behind its row's number. */
static void damage_row(uint64_t row, size_t place)
{
	uint8_t key[8];
	size_t len;
	size_t found = 0;
	uint8_t *bytes = read_file(&len);

	bytes_put(key, row, sizeof(key));
	for (size_t at = 0; at + 64 <= len; at++) {
		if (memcmp(bytes + at, key, sizeof(key)) != 0 || bytes[at + 8] != 2)
			continue;
		bytes[at + 8 + place] ^= 0xff;
		write_at(at + 8 + place, bytes + at + 8 + place, 1);
		found++;
	}
	free(bytes);
	ck_assert_uint_gt(found, 0);
}

START_TEST(damaged_record_names_its_row)
{
	struct store *store = open_store();
	struct rows_sum sum;

	ck_assert(put_one(store, 0xabcdef0123456789u, SLICE_LITERAL("needle-in-file")));
	close_store(store);
	damage_row(0xabcdef0123456789u, SEALED_AT);
	store = open_store();
	ck_assert(!rows_load(store, &sum, &failure));
	says("data.mdb is damaged");
	says("session row abcdef0123456789");
	ck_assert_ptr_null(strstr(failure.text, "needle"));
	ck_assert_uint_eq(sum.sessions, 0);
	close_store(store);
}
END_TEST

/* What a record says of its key is not to be believed: here it is a number that no key has. */
START_TEST(damaged_key_number_names_its_row)
{
	const uint64_t row = 0xabcdef0123456789u;
	struct store_op ops[] = {rows_session(1, SLICE_LITERAL("meter")),
				 rows_subscription(row, 1, SLICE_LITERAL("a/+"))};
	struct store *store = open_store();

	ck_assert(rows_commit(store, ops, 2, &failure));
	close_store(store);
	damage_row(row, KEY_NUMBER_AT);
	refused("is damaged");
	says("subscription row abcdef0123456789");
}
END_TEST

/* Opens and loads; a refusal must be a sentence, success must give exactly the same rows. */
static bool intact(uint64_t expected, size_t bit)
{
	struct store *store;
	struct rows_sum sum;
	bool loaded = false;
	bool put_aside;

	failure.text[0] = '\0';
	store = open_store_as(DURABILITY_POWER, &put_aside);
	if (store != NULL) {
		loaded = rows_load(store, &sum, &failure);
		close_store(store);
	}
	if (loaded)
		ck_assert_msg(sum.sum == expected, "bit %zu changes rows", bit);
	else
		says("data.mdb");
	return loaded;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLIPS 500 /* each is several times dearer; all of them go without */
#else
#define FLIPS 1500
#endif

/*
 * Any one bit of the file: no crash, no silent change.  Except in the transaction
 * numbers of the meta pages (offset 128 behind a head of 16): lmdb_file.h says why.
 */
START_TEST(bit_flips_are_refused_or_harmless)
{
	const uint64_t expected = make_filled().sum;
	unsigned random = 99;
	size_t refusals = 0;
	size_t len;
	uint8_t *bytes = read_file(&len);
	size_t used = used_len(bytes);

	for (int i = 0; i < FLIPS; i++) {
		size_t bit;
		uint8_t flipped;

		random = random * 1664525u + 1013904223u;
		/* every third one in the meta pages' heads, where there is most to break */
		bit = (random >> 3) % (i % 3 == 0 ? 160 * 8 : used * 8);
		if (i % 6 == 0)
			bit += 4096 * 8;
		if (bit / 8 % 4096 / 8 == 144 / 8 && bit / 8 < 8192)
			continue;
		flipped = bytes[bit / 8] ^ (uint8_t)(1u << (bit % 8));
		write_at(bit / 8, &flipped, 1);
		refusals += !intact(expected, bit);
		write_at(0, bytes, len);
		ck_assert_int_eq(truncate(data_path(), (off_t)len), 0);
	}
	ck_assert_uint_gt(refusals, FLIPS * 2 / 15);
	ck_assert(intact(expected, 0));
	free(bytes);
}
END_TEST

/* Whole pages of rubbish, of zeros, and of another page's bytes. */
START_TEST(wrong_pages_are_refused_or_harmless)
{
	const uint64_t expected = make_filled().sum;
	size_t refusals = 0;
	size_t len;
	uint8_t *bytes = read_file(&len);
	size_t pages = used_len(bytes) / 4096;
	uint8_t page[4096];

	for (size_t i = 0; i < pages * 3; i++) {
		size_t at = i / 3;

		for (size_t b = 0; b < sizeof(page); b++)
			page[b] = i % 3 == 0 ? 0 : (uint8_t)(b * 37 + i * 11);
		if (i % 3 == 1)
			memcpy(page, bytes + (at + 1) % pages * 4096, sizeof(page));
		write_at(at * 4096, page, sizeof(page));
		refusals += !intact(expected, at * 4096 * 8);
		write_at(0, bytes, len);
		ck_assert_int_eq(truncate(data_path(), (off_t)len), 0);
	}
	ck_assert_uint_gt(refusals, pages);
	free(bytes);
}
END_TEST

static uint64_t number_at(const uint8_t *at)
{
	uint64_t number;

	memcpy(&number, at, sizeof(number));
	return number;
}

/* The meta page that counts: offsets as in lmdb_file.c, on a machine of 64 bits. */
static size_t newest_meta(const uint8_t *bytes)
{
	return number_at(bytes + 144) > number_at(bytes + 4096 + 144) ? 0 : 4096;
}

START_TEST(lost_rows_are_noticed)
{
	const uint64_t five = 5;
	size_t len;
	uint8_t *bytes;

	make_filled();
	bytes = read_file(&len);
	write_at(newest_meta(bytes) + 120, &five, sizeof(five));
	refused("a table has 11 rows, but should have 5");
	free(bytes);
}
END_TEST

/* A page in use that the list of free pages holds too would be written over. */
START_TEST(page_used_and_free_is_noticed)
{
	size_t len;
	uint8_t *bytes;
	uint64_t used;
	size_t list;
	uint64_t count;
	uint64_t i = 1;
	uint16_t node;

	make_filled();
	bytes = read_file(&len);
	used = number_at(bytes + newest_meta(bytes) + 128);
	list = number_at(bytes + newest_meta(bytes) + 80) * 4096;
	memcpy(&node, bytes + list + 16, sizeof(node));
	list += node + 16u;
	count = number_at(bytes + list);
	while (i < count && number_at(bytes + list + 8 * i) > used)
		i++;
	write_at(list + 8 * i, &used, sizeof(used));
	refused("is used twice");
	free(bytes);
}
END_TEST

/* Rows in the wrong order would be there and not be found: the first two of each leaf change. */
START_TEST(wrong_order_is_noticed)
{
	size_t len;
	uint8_t *bytes;

	make_filled();
	bytes = read_file(&len);
	for (size_t page = 8192; page < used_len(bytes); page += 4096) {
		uint8_t *offsets = bytes + page + 16;
		const uint8_t swapped[] = {offsets[2], offsets[3], offsets[0], offsets[1]};

		if (bytes[page + 10] == 2 && bytes[page + 12] > 20)
			write_at(page + 16, swapped, sizeof(swapped));
	}
	refused("out of order");
	free(bytes);
}
END_TEST

/* Writes a row into a table of an LMDB file, made when it is not there. */
static void foreign_put(const char *table, const char *name, void *at, size_t len)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};
	MDB_val value = {len, at};

	ck_assert_int_eq(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 16);
	ck_assert_int_eq(mdb_env_open(env, base.path, 0, 0600), 0);
	ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_dbi_open(txn, table, MDB_CREATE, &dbi), 0);
	ck_assert_int_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

START_TEST(foreign_lmdb_file_is_refused)
{
	static const char *const tables[] = {NULL, "meta", "contacts"};
	char value[] = "somebody's";
	size_t len;
	size_t after;

	for (size_t i = 0; i < 3; i++) {
		uint8_t *bytes;
		uint8_t *again;

		foreign_put(tables[i], i == 0 ? "meta" : "entry", value, sizeof(value));
		bytes = read_file(&len);
		refused("LMDB file of another program");
		again = read_file(&after);
		ck_assert_uint_eq(len, after);
		ck_assert_mem_eq(bytes, again, len);
		free(bytes);
		free(again);
		ck_assert_int_eq(unlink(data_path()), 0);
	}
}
END_TEST

START_TEST(newer_format_is_refused)
{
	uint8_t newer[12] = {'m', 'e', 't', 'r', 'i', 'n', 'o', 0, 0, 0, 0, 4};

	close_store(open_store());
	foreign_put("meta", "format", newer, sizeof(newer));
	refused("has format 4, but this version of Metrino reads formats 1 to 3");
}
END_TEST

/* The journal is read at opening. */
START_TEST(damaged_journal_names_its_row)
{
	struct store *store = open_store();
	struct store_op op = rows_session(7, SLICE_LITERAL("meter"));
	struct store_step step = rows_step(STEP_OUTBOUND_SENT, 7, 7, 0x1122334455667788);

	ck_assert(rows_commit(store, &op, 1, &failure));
	ck_assert(rows_commit_steps(store, &step, 1, &failure));
	close_store(store);
	damage_row(1, SEALED_AT);
	refused("journal row 0000000000000001");
	says("is damaged");
}
END_TEST

/* What LMDB begins a new file with, or part of it, and nothing in all other pages. */
static void make_unborn(bool first, bool second, size_t pages)
{
	uint8_t metas[2 * 4096];
	MDB_env *env;
	int fd;

	ck_assert_int_eq(mdb_env_create(&env), 0);
	ck_assert_int_eq(mdb_env_open(env, base.path, MDB_NOTLS, 0600), 0);
	mdb_env_close(env);
	fd = open(data_path(), O_RDWR);
	ck_assert_int_eq(pread(fd, metas, sizeof(metas), 0), sizeof(metas));
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(pages * 4096)), 0);
	close(fd);
	if (first)
		write_at(0, metas, 4096);
	if (second)
		write_at(4096, metas + 4096, 4096);
}

/* The power went away while the file was being made: it is made again. */
START_TEST(unborn_file_is_begun_anew)
{
	static const size_t pages[] = {1, 2, 256};

	for (unsigned i = 0; i < 12; i++) {
		make_unborn((i & 1) != 0, (i & 2) != 0, pages[i / 4]);
		struct store *store = open_store();

		ck_assert_uint_eq(load(store).sessions, 0);
		close_store(store);
		ck_assert_int_eq(unlink(data_path()), 0);
	}
}
END_TEST

/* But nothing is thrown away that may have been somebody's. */
START_TEST(damaged_meta_pages_are_not_unborn)
{
	static const uint8_t zero[4096];

	make_filled();
	write_at(0, zero, sizeof(zero));
	write_at(4096, zero, sizeof(zero));
	refused("damaged in its page 0");
	ck_assert_int_eq(unlink(data_path()), 0);
	make_unborn(true, false, 3);
	write_at(2 * 4096 + 77, "x", 1);
	refused("damaged in its page 1");
}
END_TEST

START_TEST(other_files_are_refused)
{
	char text[10000];
	int fd = open(data_path(), O_CREAT | O_WRONLY, 0600);

	memset(text, 'T', sizeof(text));
	ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	refused("is not an LMDB file");
	ck_assert_int_eq(unlink(data_path()), 0);
	ck_assert_int_eq(mkdir(data_path(), 0700), 0);
	refused("Is a directory");
	ck_assert_int_eq(rmdir(data_path()), 0);
	ck_assert_int_eq(symlink("/dev/null", data_path()), 0);
	refused("symbolic link");
}
END_TEST

Suite *lmdb_file_suite(void)
{
	Suite *suite = suite_create("lmdb_file");
	TCase *tcase = tcase_create("lmdb_file");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, truncated_file_is_refused);
	tcase_add_test(tcase, damaged_record_names_its_row);
	tcase_add_test(tcase, damaged_key_number_names_its_row);
	tcase_add_test(tcase, bit_flips_are_refused_or_harmless);
	tcase_add_test(tcase, wrong_pages_are_refused_or_harmless);
	tcase_add_test(tcase, lost_rows_are_noticed);
	tcase_add_test(tcase, page_used_and_free_is_noticed);
	tcase_add_test(tcase, wrong_order_is_noticed);
	tcase_add_test(tcase, foreign_lmdb_file_is_refused);
	tcase_add_test(tcase, newer_format_is_refused);
	tcase_add_test(tcase, damaged_journal_names_its_row);
	tcase_add_test(tcase, unborn_file_is_begun_anew);
	tcase_add_test(tcase, damaged_meta_pages_are_not_unborn);
	tcase_add_test(tcase, other_files_are_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
