/*
 * Route rows on their way to the disk and back: sealed, bounded, unreadable when their key is gone.
 */
#include "broker/route_thread.h"
#include "storage/route/route_file.h"
#include "storage/route/route_record.h"
#include "storage/vault_internal.h"
#include "tests/lib/vault_on_disk.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

Suite *route_thread_suite(void);

#define EPOCH 472222u

static struct hour_keys *keys;
static struct route_thread *thread;

static void begin(uint64_t max_bytes)
{
	setup();
	open_vault();
	ck_assert_msg(route_file_clear(vault, &failure), "%s", failure.text);
	keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	thread = route_thread_create(vault, keys, max_bytes, &failure);
	ck_assert_ptr_nonnull(thread);
}

static void finish(void)
{
	route_thread_destroy(thread);
	hour_keys_destroy(keys);
	close_vault();
	teardown();
}

/* A block of one row; `name` is whose. */
static struct route_block *block_of(uint32_t epoch, const char *name)
{
	static const uint8_t identity[SEAL_KEY_LEN] = "x";
	struct route_block *block = calloc(1, sizeof(*block));
	struct route_name made;

	must(block != NULL);
	/* so that there is a key */
	must(hour_keys_name(keys, epoch, (uint64_t)epoch * 3600, identity, &made));
	block->epoch = epoch;
	block->since_s = (uint64_t)epoch * 3600;
	block->row_count = 1;
	block->name_count = 1;
	memcpy(block->names[0].at, name, strlen(name));
	block->rows[0] = ROUTE_DELIVERED;
	block->rows[1] = 1;
	block->rows_len = 2;
	return block;
}

static void submit(uint32_t epoch, const char *name)
{
	route_thread_submit(thread, block_of(epoch, name));
}

struct seen {
	unsigned count;
	uint32_t epochs[600];
	char first[ROUTE_NAME_SIZE + 1];
	uint64_t damaged;
};

static void see(void *self, const struct route_block *block)
{
	struct seen *seen = self;

	if (seen->count == 0)
		memcpy(seen->first, block->names[0].at, ROUTE_NAME_SIZE);
	ck_assert_uint_eq(block->row_count, 1);
	seen->epochs[seen->count++] = block->epoch;
}

static struct seen look(void)
{
	struct seen seen = {0};

	ck_assert(route_thread_settle(thread, 10000));
	ck_assert_msg(
	    route_thread_read(thread, &(struct route_reader){&seen, see}, &seen.damaged, &failure),
	    "%s", failure.text);
	return seen;
}

/* How often the bytes are anywhere in data.mdb, however they got there. */
static unsigned carve(const char *what)
{
	FILE *file = fopen(data_path(), "re");
	char *bytes = malloc(64u << 20);
	unsigned found = 0;

	must(file != NULL && bytes != NULL);
	const size_t len = fread(bytes, 1, 64u << 20, file);

	for (char *at = bytes;
	     (at = memmem(at, len - (size_t)(at - bytes), what, strlen(what))) != NULL; at++)
		found++;
	fclose(file);
	free(bytes);
	return found;
}

static size_t rows_on_disk(void)
{
	MDB_txn *txn;
	MDB_stat stat;

	must(mdb_txn_begin(vault->file.env, NULL, MDB_RDONLY, &txn) == 0);
	must(mdb_stat(txn, vault->file.tables[TABLE_ROUTES], &stat) == 0);
	mdb_txn_abort(txn);
	return stat.ms_entries;
}

/* ---- */

/* They come back epoch by epoch; on the disk there is nothing of who is in them. */
START_TEST(kept)
{
	begin(1 << 20);
	submit(EPOCH + 1, "CANARY-of-blocks");
	submit(EPOCH, "CANARY-of-blocks");
	submit(EPOCH + 1, "CANARY-of-blocks");
	struct seen seen = look();

	ck_assert_uint_eq(seen.count, 3);
	ck_assert(seen.epochs[0] == EPOCH && seen.epochs[1] == EPOCH + 1);
	ck_assert_str_eq(seen.first, "CANARY-of-blocks");
	ck_assert_uint_eq(rows_on_disk(), 3);
	ck_assert_uint_eq(route_thread_counters(thread).rows, 3);
	ck_assert_uint_eq(route_thread_counters(thread).rows_kept, 3);
	ck_assert_uint_eq(carve("CANARY"), 0);
	finish();
}
END_TEST

/* The carving sees what is not sealed: a block put there as it is. */
START_TEST(carving_sees)
{
	begin(1 << 20);
	struct route_block *block = block_of(EPOCH, "CANARY-of-blocks");
	const struct route_put clear = {9, slice_of(block, sizeof(*block))};

	ck_assert(route_file_change(vault, &(struct route_change){&clear, 1, NULL, 0}, &failure));
	ck_assert_uint_ge(carve("CANARY"), 1);
	free(block);
	finish();
}
END_TEST

/* When its key is gone no key opens it, though its bytes are still in the file. */
START_TEST(unreadable_when_over)
{
	uint8_t key[SEAL_KEY_LEN];
	struct route_block *out = calloc(1, sizeof(*out));

	begin(1 << 20);
	submit(EPOCH, "old");
	submit(EPOCH + 1, "new");
	ck_assert_uint_eq(look().count, 2);
	ck_assert_uint_eq(hour_keys_expire(keys, (uint64_t)EPOCH * 3600 + 86400), 1);
	ck_assert_uint_eq(rows_on_disk(), 2); /* nothing was deleted yet, and it is gone */
	ck_assert_uint_eq(look().count, 1);
	for (uint32_t epoch = EPOCH - 50; epoch < EPOCH + 50; epoch++)
		ck_assert(hour_keys_find(keys, epoch, key) == (epoch == EPOCH + 1));
	route_thread_sweep(thread);
	for (int i = 0; i < 100 && rows_on_disk() > 1; i++)
		usleep(20000);
	ck_assert_uint_eq(rows_on_disk(), 1);
	ck_assert_uint_eq(look().count, 1);
	free(out);
	finish();
}
END_TEST

static size_t last_transaction(void)
{
	MDB_envinfo info;

	ck_assert_int_eq(mdb_env_info(vault->file.env, &info), 0);
	return info.me_last_txnid;
}

/* However much goes at once, each transaction has its share only: others commit between them. */
START_TEST(many_go_in_parts)
{
	enum { BLOCKS = 550, OF_ONE = 256 };

	begin(1 << 20);
	for (unsigned i = 0; i < BLOCKS; i++) {
		submit(EPOCH, "old");
		if (i % OF_ONE == 0) /* so many may wait */
			ck_assert(route_thread_settle(thread, 10000));
	}
	ck_assert_uint_eq(look().count, BLOCKS);
	const size_t before = last_transaction();

	ck_assert_uint_eq(hour_keys_expire(keys, (uint64_t)EPOCH * 3600 + 86400), 1);
	submit(EPOCH + 1, "new");
	ck_assert_uint_eq(look().count, 1);
	ck_assert_uint_eq(rows_on_disk(), 1);
	ck_assert_uint_eq(last_transaction() - before, 1 + BLOCKS / OF_ONE);
	finish();
}
END_TEST

/* A block that comes after its key has gone is dropped, and counted. */
START_TEST(too_late)
{
	begin(1 << 20);
	struct route_block *block = block_of(EPOCH, "late");

	ck_assert_uint_eq(hour_keys_expire(keys, UINT64_MAX), 1);
	route_thread_submit(thread, block);
	ck_assert_uint_eq(look().count, 0);
	ck_assert_uint_eq(route_thread_counters(thread).rows_dropped, 1);
	ck_assert_uint_eq(rows_on_disk(), 0);
	finish();
}
END_TEST

/* Above the limit the oldest go; a limit that falls takes more. */
START_TEST(bounded_on_disk)
{
	const size_t len = ROUTE_BODY_HEAD + ROUTE_NAME_SIZE + 2 + SEALED_OVERHEAD;

	begin(10 * len);
	for (unsigned i = 0; i < 25; i++)
		submit(EPOCH + i / 5, "x");
	struct seen seen = look();

	ck_assert_uint_eq(seen.count, 10);
	ck_assert_uint_eq(seen.epochs[0], EPOCH + 3);
	ck_assert_uint_eq(rows_on_disk(), 10);
	ck_assert_uint_eq(route_thread_counters(thread).bytes, 10 * len);
	ck_assert_uint_eq(route_thread_counters(thread).rows_kept, 10);
	route_thread_set_max_bytes(thread, 3 * len);
	for (int i = 0; i < 100 && rows_on_disk() > 3; i++)
		usleep(20000);
	ck_assert_uint_eq(look().count, 3);
	finish();
}
END_TEST

/* The disk does not come round: so many wait, the rest is counted, and nobody waits for it. */
START_TEST(bounded_while_slow)
{
	begin(1 << 20);
	must(pthread_mutex_lock(&vault->file.mutex) == 0);
	for (unsigned i = 0; i < 2 * ROUTE_WAITING_MAX; i++)
		submit(EPOCH, "x");
	struct route_counters counters = route_thread_counters(thread);

	ck_assert_uint_ge(counters.rows_dropped, ROUTE_WAITING_MAX - 256); /* 256 were taken */
	ck_assert_uint_le(counters.rows_dropped, ROUTE_WAITING_MAX);
	must(pthread_mutex_unlock(&vault->file.mutex) == 0);
	ck_assert(route_thread_settle(thread, 10000));
	ck_assert_uint_eq(route_thread_counters(thread).rows +
			      route_thread_counters(thread).rows_dropped,
			  2 * ROUTE_WAITING_MAX);
	finish();
}
END_TEST

struct record {
	uint64_t row;
	size_t len;
	uint8_t bytes[ROUTE_RECORD_MAX];
};

static bool take_record(void *self, uint64_t row, struct slice bytes, struct failure *told)
{
	struct record *record = self;

	(void)told;
	*record = (struct record){.row = row, .len = bytes.len};
	memcpy(record->bytes, bytes.at, bytes.len);
	return true;
}

static bool find_record(void *self, MDB_txn *txn, struct failure *told)
{
	return datafile_walk(&vault->file, txn, TABLE_ROUTES, self, take_record, told);
}

/* One of those that there are has another last byte. */
static void damage_one(void)
{
	static struct record record;

	ck_assert(datafile_read(&vault->file, &record, find_record, &failure));
	record.bytes[record.len - 1] ^= 1;
	const struct route_put put = {record.row, slice_of(record.bytes, record.len)};

	ck_assert(route_file_change(vault, &(struct route_change){&put, 1, NULL, 0}, &failure));
}

/* Who reads is told, each time; it is counted once.  What has no key any more is no damage. */
START_TEST(damage_is_told)
{
	begin(1 << 20);
	for (unsigned i = 0; i < 3; i++)
		submit(EPOCH, "x");
	ck_assert_uint_eq(look().damaged, 0);
	damage_one();
	for (unsigned i = 0; i < 2; i++) {
		struct seen seen = look();

		ck_assert_uint_eq(seen.count, 2);
		ck_assert_uint_eq(seen.damaged, 1);
		ck_assert_uint_eq(route_thread_counters(thread).rows_damaged, 1);
	}
	ck_assert_uint_eq(hour_keys_expire(keys, UINT64_MAX), 1);
	ck_assert_uint_eq(look().damaged, 0);
	finish();
}
END_TEST

/* Another process has no keys: it deletes what it finds. */
START_TEST(restart)
{
	begin(1 << 20);
	submit(EPOCH, "x");
	ck_assert_uint_eq(look().count, 1);
	route_thread_destroy(thread);
	hour_keys_destroy(keys);
	close_vault();
	open_vault();
	ck_assert_uint_eq(rows_on_disk(), 1);
	ck_assert(route_file_clear(vault, &failure));
	ck_assert_uint_eq(rows_on_disk(), 0);
	keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	thread = route_thread_create(vault, keys, 1 << 20, &failure);
	ck_assert_uint_eq(look().count, 0);
	finish();
}
END_TEST

Suite *route_thread_suite(void)
{
	const TTest *tests[] = {
	    kept,	   carving_sees,    unreadable_when_over, many_go_in_parts,
	    too_late,	   bounded_on_disk, bounded_while_slow,	  restart,
	    damage_is_told};

	return suite_of("route_thread", tests, COUNT_OF(tests));
}
