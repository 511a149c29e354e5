/*
 * Route rows before they reach the disk: the keys of epochs, the bytes of a block, which blocks
 * are kept, and what is told of them.
 */
#include "storage/route/route_record.h"
#include "storage/route/rows.h"
#include "storage/route/shelf.h"
#include "storage/route/traffic.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

Suite *route_suite(void);

#define HOUR  3600u
#define EPOCH 472222u /* some hour of 2023 */

static struct failure failure;

/* ---- keys ---- */

static const uint8_t identity[SEAL_KEY_LEN] = "somebody";

static void name_in(struct hour_keys *keys, uint32_t epoch, const uint8_t of[SEAL_KEY_LEN],
		    struct route_name *name)
{
	ck_assert(hour_keys_name(keys, epoch, (uint64_t)epoch * HOUR, of, name));
}

/* Between its hour and route_expiry later it is there; afterwards it never comes back. */
START_TEST(keys_end)
{
	struct hour_keys *keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	struct route_name name, again;
	uint8_t key[SEAL_KEY_LEN], later[SEAL_KEY_LEN];

	ck_assert_uint_eq(hour_keys_due_s(keys), UINT64_MAX);
	ck_assert(!hour_keys_find(keys, EPOCH, key));
	name_in(keys, EPOCH, identity, &name);
	name_in(keys, EPOCH, identity, &again);
	ck_assert_mem_eq(&name, &again, sizeof(name));
	ck_assert(hour_keys_find(keys, EPOCH, key));
	ck_assert_uint_eq(hour_keys_due_s(keys), (uint64_t)EPOCH * HOUR + 86400);
	ck_assert_uint_eq(hour_keys_expire(keys, (uint64_t)EPOCH * HOUR + 86399), 0);
	ck_assert(hour_keys_find(keys, EPOCH, key));
	ck_assert_uint_eq(hour_keys_expire(keys, (uint64_t)EPOCH * HOUR + 86400), 1);
	ck_assert(!hour_keys_find(keys, EPOCH, later));
	/* Made once more, by a clock that was set back: other keys. */
	name_in(keys, EPOCH, identity, &again);
	ck_assert_mem_ne(&name, &again, sizeof(name));
	ck_assert(hour_keys_find(keys, EPOCH, later));
	ck_assert_mem_ne(key, later, sizeof(key));
	hour_keys_destroy(keys);
}
END_TEST

/* Two epochs, two clients and two processes have nothing in common. */
START_TEST(names_differ)
{
	struct hour_keys *keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	struct hour_keys *others = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	uint8_t a[SEAL_KEY_LEN], b[SEAL_KEY_LEN];
	struct route_name name, other;
	struct hour_name names[HOUR_KEYS_MAX];

	hour_keys_nobody(keys, slice_text("a"), a);
	hour_keys_nobody(others, slice_text("a"), b);
	ck_assert_mem_ne(a, b, sizeof(a));
	hour_keys_nobody(keys, slice_text("b"), b);
	ck_assert_mem_ne(a, b, sizeof(a));
	name_in(keys, EPOCH, a, &name);
	name_in(keys, EPOCH, b, &other);
	ck_assert_mem_ne(&name, &other, sizeof(name));
	name_in(keys, EPOCH - 1, a, &other);
	ck_assert_mem_ne(&name, &other, sizeof(name));
	ck_assert_uint_eq(hour_keys_names(keys, a, names), 2);
	ck_assert_uint_eq(names[0].epoch, EPOCH - 1);
	ck_assert_mem_eq(&names[0].name, &other, sizeof(other));
	ck_assert_mem_eq(&names[1].name, &name, sizeof(name));
	hour_keys_destroy(keys);
	hour_keys_destroy(others);
}
END_TEST

/* A shorter expiry has shorter epochs, and ends all that was before. */
START_TEST(expiry_changes)
{
	struct hour_keys *keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	struct route_name name;
	uint8_t key[SEAL_KEY_LEN];

	ck_assert_uint_eq(hour_keys_epoch_s(86400), 3600);
	ck_assert_uint_eq(hour_keys_epoch_s(43200), 1800);
	ck_assert_uint_eq(hour_keys_epoch_s(60), 2);
	ck_assert_uint_eq(hour_keys_epoch_s(1), 1);
	name_in(keys, EPOCH, identity, &name);
	hour_keys_set_expiry(keys, ROUTE_EXPIRY_MAX_S);
	ck_assert(hour_keys_find(keys, EPOCH, key));
	hour_keys_set_expiry(keys, 60);
	ck_assert(!hour_keys_find(keys, EPOCH, key));
	ck_assert(hour_keys_name(keys, 1000, 2000, identity, &name));
	ck_assert_uint_eq(hour_keys_due_s(keys), 2060);
	hour_keys_destroy(keys);
}
END_TEST

/*
 * A worker that has not heard of the new length yet: its epoch has another number, whose time may
 * be thousands of years away, and a key of it would be there until the process ends.
 */
START_TEST(epochs_of_another_length_have_no_keys)
{
	const uint64_t now_s = (uint64_t)EPOCH * HOUR + 100;
	struct hour_keys *keys = hour_keys_create(24);
	struct route_name name;

	ck_assert(hour_keys_name(keys, (uint32_t)now_s, now_s, identity, &name));
	hour_keys_set_expiry(keys, ROUTE_EXPIRY_MAX_S);
	ck_assert(!hour_keys_name(keys, (uint32_t)now_s, now_s, identity, &name));
	ck_assert_uint_eq(hour_keys_due_s(keys), UINT64_MAX);
	ck_assert(hour_keys_name(keys, EPOCH, now_s, identity, &name));
	hour_keys_set_expiry(keys, 24);
	ck_assert(!hour_keys_name(keys, EPOCH, now_s, identity, &name));
	ck_assert_uint_eq(hour_keys_due_s(keys), UINT64_MAX);
	hour_keys_destroy(keys);
}
END_TEST

/* A clock that jumps about ends old keys early; there is always room for now. */
START_TEST(never_full)
{
	struct hour_keys *keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	struct route_name name;
	uint8_t key[SEAL_KEY_LEN];

	for (uint32_t i = 0; i < 3 * HOUR_KEYS_MAX; i++) {
		name_in(keys, EPOCH + i, identity, &name);
		ck_assert(hour_keys_find(keys, EPOCH + i, key));
	}
	ck_assert(!hour_keys_find(keys, EPOCH, key));
	ck_assert_uint_eq(hour_keys_expire(keys, UINT64_MAX), HOUR_KEYS_MAX);
	hour_keys_destroy(keys);
}
END_TEST

/* ---- blocks ---- */

/* Two names and three rows: 1 to 2, after 5 ms the same again, nobody to 1. */
static void fill(struct route_block *block)
{
	static const uint8_t rows[] = {0x80 | ROUTE_DELIVERED,	    1, 2,
				       0x50 | ROUTE_QUEUE_FULL,	    5, 2,
				       0x80 | 0x20 | ROUTE_EXPIRED, 0, 1};

	memset(block, 0, sizeof(*block));
	block->epoch = EPOCH;
	block->since_s = (uint64_t)EPOCH * HOUR + 7;
	block->row_count = 3;
	block->name_count = 2;
	memcpy(block->names[0].at, "CANARY-pseudonym", ROUTE_NAME_SIZE);
	memcpy(block->names[1].at, "canary-PSEUDONYM", ROUTE_NAME_SIZE);
	memcpy(block->rows, rows, sizeof(rows));
	block->rows_len = sizeof(rows);
}

static struct route_block block, out;
static uint8_t record[ROUTE_RECORD_MAX];

START_TEST(rows_are_read)
{
	fill(&block);
	struct route_walk walk = route_walk_of(&block);

	ck_assert(route_rows_good(&block));
	ck_assert(route_walk_next(&walk));
	ck_assert(walk.row.source == 1 && walk.row.destination == 2 && walk.row.qos == 0 &&
		  walk.row.outcome == ROUTE_DELIVERED && walk.row.after_ms == 0);
	ck_assert(route_walk_next(&walk));
	ck_assert(walk.row.source == 1 && walk.row.destination == 2 && walk.row.qos == 1 &&
		  walk.row.outcome == ROUTE_QUEUE_FULL && walk.row.after_ms == 5);
	ck_assert(route_walk_next(&walk));
	ck_assert(walk.row.source == 0 && walk.row.destination == 1 && walk.row.qos == 2 &&
		  walk.row.outcome == ROUTE_EXPIRED && walk.row.after_ms == 5);
	ck_assert(!route_walk_next(&walk) && !walk.bad);
}
END_TEST

static void with_rows(uint32_t count, const uint8_t *rows, size_t len)
{
	fill(&block);
	memcpy(block.rows, rows, len);
	block.rows_len = (uint16_t)len;
	block.row_count = count;
}

/* Rows of 1 to 1: three alike, or the second to 2. */
START_TEST(runs_are_read)
{
	static const uint8_t alike[] = {0x80, 1, 1, ROUTE_ROW_RUN, 4};
	static const uint8_t next[] = {0x80, 1, 1, ROUTE_ROW_RUN, 2 | ROUTE_RUN_NEXT};
	struct route_walk walk;

	with_rows(3, alike, sizeof(alike));
	ck_assert(route_rows_good(&block));
	walk = route_walk_of(&block);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(route_walk_next(&walk) && walk.row.source == 1 &&
			  walk.row.destination == 1 && walk.row.qos == 0);
	ck_assert(!route_walk_next(&walk) && !walk.bad);
	with_rows(2, next, sizeof(next));
	ck_assert(route_rows_good(&block));
	walk = route_walk_of(&block);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(route_walk_next(&walk) && walk.row.source == 1 &&
			  walk.row.destination == i + 1);
	ck_assert(!route_walk_next(&walk) && !walk.bad);
}
END_TEST

START_TEST(bad_runs)
{
	static const struct {
		uint32_t count;
		uint8_t len, rows[8];
	} bad[] = {
	    {1, 2, {ROUTE_ROW_RUN, 2}},				   /* of nothing */
	    {1, 5, {0x80, 1, 1, ROUTE_ROW_RUN, 0}},		   /* with nothing in it */
	    {3, 5, {0x80, 1, 1, ROUTE_ROW_RUN, 5}},		   /* to a name that is not there */
	    {8193, 7, {0x80, 1, 1, ROUTE_ROW_RUN, 0x80, 0x80, 1}}, /* too long */
	    {1, 4, {0x80, 1, 1, ROUTE_ROW_RUN}},		   /* cut off */
	    {2, 5, {0x80, 1, 1, ROUTE_ROW_RUN, 4}},		   /* more rows than said */
	    {2, 5, {0x80, 1, 1, 0x40 | ROUTE_ROW_RUN, 2}},	   /* with a time */
	};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		with_rows(bad[i].count, bad[i].rows, bad[i].len);
		ck_assert_msg(!route_rows_good(&block), "%zu", i);
	}
}
END_TEST

/* Whatever byte is another one: what is read is rows, or nothing. */
START_TEST(bad_rows)
{
	fill(&block);
	block.rows_len--;
	ck_assert(!route_rows_good(&block)); /* cut off */
	fill(&block);
	block.row_count = 2;
	ck_assert(!route_rows_good(&block));
	fill(&block);
	block.name_count = 1;
	ck_assert(!route_rows_good(&block)); /* a name that is not there */
	fill(&block);
	block.rows[0] = 0x80 | 0x30;
	ck_assert(!route_rows_good(&block)); /* QoS 3 */
	block.rows[0] = 0x80 | 0x0F;
	ck_assert(!route_rows_good(&block)); /* no such outcome */
	for (unsigned i = 0; i < 9 * 256; i++) {
		fill(&block);
		block.rows[i / 256] = (uint8_t)i;
		struct route_walk walk = route_walk_of(&block);

		while (route_walk_next(&walk))
			ck_assert(walk.row.source <= 2 && walk.row.destination <= 2 &&
				  walk.row.qos <= 2 && walk.row.outcome < ROUTE_OUTCOMES);
	}
}
END_TEST

static bool holds(const uint8_t *bytes, size_t len, const char *what)
{
	return memmem(bytes, len, what, strlen(what)) != NULL;
}

/* Only with its key and in its row; and nothing of it can be seen. */
START_TEST(sealed)
{
	static const uint8_t key[SEAL_KEY_LEN] = "a key", other[SEAL_KEY_LEN] = "another";

	fill(&block);
	const size_t len = route_record_seal(&block, 77, key, record);
	const struct slice bytes = slice_of(record, len);

	ck_assert_uint_eq(len, ROUTE_BODY_HEAD + 2 * ROUTE_NAME_SIZE + 9 + SEALED_OVERHEAD);
	ck_assert(!holds(record, len, "CANARY") && !holds(record, len, "canary"));
	ck_assert(route_record_open(bytes, 77, key, &out, &failure));
	ck_assert_uint_eq(out.epoch, EPOCH);
	ck_assert_uint_eq(out.since_s, block.since_s);
	ck_assert_uint_eq(out.row_count, 3);
	ck_assert_mem_eq(out.names, block.names, 2 * ROUTE_NAME_SIZE);
	ck_assert_mem_eq(out.rows, block.rows, 9);
	ck_assert(!route_record_open(bytes, 78, key, &out, &failure));
	ck_assert(!route_record_open(bytes, 77, other, &out, &failure));
	record[5] ^= 1; /* the epoch */
	ck_assert(!route_record_open(bytes, 77, key, &out, &failure));
	record[5] ^= 1;
	for (size_t cut = 0; cut < len; cut++)
		ck_assert(!route_record_open(slice_of(record, cut), 77, key, &out, &failure));
}
END_TEST

/* A full block is one whole record, and a body that lies about its lengths is none. */
START_TEST(largest)
{
	static const uint8_t key[SEAL_KEY_LEN] = "a key";
	const struct sealed_place place = {SEALED_ROUTE, EPOCH, 1};
	uint8_t body[ROUTE_BODY_HEAD] = {0};

	memset(&block, 0, sizeof(block));
	block.epoch = EPOCH;
	block.name_count = ROUTE_NAMES_MAX;
	block.rows_len = ROUTE_ROWS_LEN;
	block.row_count = ROUTE_ROWS_LEN / 2;
	ck_assert_uint_eq(route_record_seal(&block, 1, key, record), ROUTE_RECORD_MAX);
	ck_assert(route_record_open(slice_of(record, ROUTE_RECORD_MAX), 1, key, &out, &failure));
	ck_assert_uint_eq(out.row_count, ROUTE_ROWS_LEN / 2);
	body[13] = 1; /* a name that is not there */
	sealed_record_make(place, key, slice_of(body, sizeof(body)), record);
	ck_assert(!route_record_open(slice_of(record, sizeof(body) + SEALED_OVERHEAD), 1, key, &out,
				     &failure));
	body[13] = 0;
	sealed_record_make(place, key, slice_of(body, sizeof(body)), record);
	ck_assert(route_record_open(slice_of(record, sizeof(body) + SEALED_OVERHEAD), 1, key, &out,
				    &failure));
}
END_TEST

/* ---- which blocks are kept ---- */

static void put(struct route_shelf *shelf, uint64_t row, uint32_t epoch)
{
	route_shelf_add(shelf, &(struct route_entry){row, epoch, 100, 1, false});
}

START_TEST(shelf)
{
	struct hour_keys *keys = hour_keys_create(ROUTE_EXPIRY_MAX_S);
	struct route_shelf kept = {0};
	struct route_rows gone;
	struct route_name name;

	name_in(keys, EPOCH, identity, &name);
	name_in(keys, EPOCH + 1, identity, &name);
	for (uint64_t row = 1; row <= 1000; row++)
		put(&kept, row, EPOCH + (row > 400));
	route_shelf_choose(&kept, keys, 100000, 0, &gone);
	ck_assert_uint_eq(gone.count, 0);
	free(gone.at);
	route_shelf_choose(&kept, keys, 100000, 150, &gone); /* the oldest two make room */
	ck_assert_uint_eq(gone.count, 2);
	ck_assert(gone.at[0] == 1 && gone.at[1] == 2);
	route_shelf_remove(&kept, &gone);
	free(gone.at);
	ck_assert_uint_eq(kept.count, 998);
	ck_assert_uint_eq(kept.bytes, 99800);
	ck_assert_uint_eq(hour_keys_expire(keys, (uint64_t)EPOCH * HOUR + 86400), 1);
	put(&kept, 1001, EPOCH + 1);
	put(&kept, 1002, EPOCH); /* of a clock that was set back: goes too */
	route_shelf_choose(&kept, keys, UINT64_MAX, 0, &gone);
	ck_assert_uint_eq(gone.count, 399);
	ck_assert(gone.at[0] == 3 && gone.at[397] == 400 && gone.at[398] == 1002);
	route_shelf_remove(&kept, &gone);
	free(gone.at);
	ck_assert_uint_eq(kept.count, 601);
	ck_assert_uint_eq(route_shelf_at(&kept, 0)->row, 401);
	ck_assert_uint_eq(route_shelf_at(&kept, 600)->row, 1001);
	route_shelf_finish(&kept);
	hour_keys_destroy(keys);
}
END_TEST

/* All of a large shelf: looked for from the beginning each, that would take minutes. */
START_TEST(shelf_of_damage)
{
	enum { BLOCKS = 200000 };
	struct route_shelf kept = {0};
	uint64_t first = 1;
	struct route_rows gone = {&first, 1};
	size_t near = 0;

	for (uint64_t row = 1; row <= BLOCKS; row++)
		put(&kept, row, EPOCH);
	for (uint64_t row = 1; row <= BLOCKS / 2; row++)
		ck_assert(route_shelf_note_damage(&kept, row, &near));
	route_shelf_remove(&kept, &gone); /* and all the others move */
	for (uint64_t row = BLOCKS / 2 + 1; row <= BLOCKS; row++)
		ck_assert(route_shelf_note_damage(&kept, row, &near));
	ck_assert(!route_shelf_note_damage(&kept, first, &near));
	ck_assert(!route_shelf_note_damage(&kept, 2, &near)); /* known, and before `near` */
	for (size_t i = 0; i < kept.count; i++)
		ck_assert(route_shelf_at(&kept, i)->damaged);
	route_shelf_finish(&kept);
}
END_TEST

/* ---- what is told ---- */

struct told {
	struct traffic_epoch epochs[4]; /* without their tables */
	size_t names[4][TRAFFIC_ROLES];
	unsigned epoch_count;
	struct traffic_row rows[8];
	unsigned row_count;
};

static void tell_epoch(void *self, const struct traffic_epoch *epoch)
{
	struct told *told = self;

	for (int role = 0; role < TRAFFIC_ROLES; role++)
		told->names[told->epoch_count][role] = epoch->names[role].count;
	told->epochs[told->epoch_count++] = *epoch;
}

static void tell_row(void *self, const struct traffic_row *row)
{
	struct told *told = self;

	told->rows[told->row_count++] = *row;
}

START_TEST(about_everybody)
{
	struct told told = {0};
	struct route_traffic *traffic =
	    route_traffic_create(&(struct traffic_question){.self = &told, .epoch = tell_epoch});

	fill(&block);
	route_traffic_block(traffic, &block);
	route_traffic_block(traffic, &block);
	block.epoch++;
	route_traffic_block(traffic, &block);
	route_traffic_finish(traffic, tell_row);
	ck_assert_uint_eq(told.epoch_count, 2);
	ck_assert_uint_eq(told.epochs[0].epoch, EPOCH);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_DELIVERED][0], 2);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_QUEUE_FULL][1], 2);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_EXPIRED][2], 2);
	ck_assert_uint_eq(told.epochs[0].last_ms[TRAFFIC_PUBLISHED][ROUTE_EXPIRED],
			  block.since_s * 1000 + 5);
	ck_assert_uint_eq(told.names[0][TRAFFIC_PUBLISHED], 1);
	ck_assert_uint_eq(told.names[0][TRAFFIC_RECEIVED], 1);
	ck_assert_uint_eq(told.epochs[1].rows[TRAFFIC_PUBLISHED][ROUTE_DELIVERED][0], 1);
	ck_assert_uint_eq(told.row_count, 0);
}
END_TEST

/* By the pseudonym of any epoch: a message may have waited since the hour before. */
START_TEST(about_a_client)
{
	struct told told = {0};
	struct hour_name names[2] = {{.epoch = EPOCH - 1}, {.epoch = EPOCH}};
	struct traffic_question question = {
	    .names = names, .name_count = 2, .last = 2, .self = &told, .epoch = tell_epoch};

	fill(&block);
	names[0].name = block.names[1];
	struct route_traffic *traffic = route_traffic_create(&question);

	route_traffic_block(traffic, &block);
	block.since_s -= 100; /* of another shard */
	route_traffic_block(traffic, &block);
	block.since_s += 100;
	block.names[1].at[0]++; /* without it */
	route_traffic_block(traffic, &block);
	route_traffic_finish(traffic, tell_row);
	ck_assert_uint_eq(told.epoch_count, 1);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_RECEIVED][ROUTE_DELIVERED][0], 2);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_RECEIVED][ROUTE_QUEUE_FULL][1], 2);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_RECEIVED][ROUTE_EXPIRED][2], 0);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_DELIVERED][0], 0);
	ck_assert_uint_eq(told.names[0][TRAFFIC_RECEIVED], 1);
	ck_assert_uint_eq(told.names[0][TRAFFIC_PUBLISHED], 0);
	ck_assert_uint_eq(told.row_count, 2); /* the last ones, though they came first */
	ck_assert_uint_eq(told.rows[0].at_ms, block.since_s * 1000);
	ck_assert_uint_eq(told.rows[1].at_ms, block.since_s * 1000 + 5);
	ck_assert_uint_eq(told.rows[1].outcome, ROUTE_QUEUE_FULL);
	ck_assert(told.rows[1].known && told.rows[1].role == TRAFFIC_RECEIVED);
	ck_assert_mem_eq(&told.rows[1].other, &block.names[0], ROUTE_NAME_SIZE);
}
END_TEST

/* Only what happened since then. */
START_TEST(since)
{
	struct told told = {0};
	struct traffic_question question = {.self = &told, .epoch = tell_epoch};

	fill(&block);
	question.since_ms = block.since_s * 1000 + 1;
	struct route_traffic *traffic = route_traffic_create(&question);

	route_traffic_block(traffic, &block);
	route_traffic_finish(traffic, tell_row);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_DELIVERED][0], 0);
	ck_assert_uint_eq(told.epochs[0].rows[TRAFFIC_PUBLISHED][ROUTE_QUEUE_FULL][1], 1);
}
END_TEST

Suite *route_suite(void)
{
	const TTest *tests[] = {
	    keys_end,	     names_differ,    expiry_changes, epochs_of_another_length_have_no_keys,
	    never_full,	     rows_are_read,   runs_are_read,  bad_runs,
	    bad_rows,	     sealed,	      largest,	      shelf,
	    shelf_of_damage, about_everybody, about_a_client, since};

	return suite_of("route", tests, COUNT_OF(tests));
}
