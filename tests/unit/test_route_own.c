/* The rows of somebody's own clients, out of all: storage/route/own.h. */
#include "storage/route/own.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

Suite *route_own_suite(void);

enum { SINCE_S = 1000, ROWS = 40 };

struct told {
	size_t count;
	struct route_own_row rows[ROWS];
};

static void tell(void *self, const struct route_own_row *row)
{
	struct told *told = self;

	ck_assert_uint_lt(told->count, ROWS);
	told->rows[told->count++] = *row;
}

static struct route_name name_of(char letter)
{
	struct route_name name;

	memset(name.at, letter, sizeof name.at);
	return name;
}

/* Names a, b and c; a row from each to the next, one from nobody to b, one from c to nobody. */
static void fill(struct route_block *block, uint64_t since_s)
{
	static const uint8_t rows[] = {0x80 | ROUTE_DELIVERED,
				       1,
				       2,
				       0xD0 | ROUTE_QUEUE_FULL,
				       5,
				       2,
				       3,
				       0x80 | 0x20 | ROUTE_EXPIRED,
				       3,
				       1,
				       0x80 | ROUTE_DELIVERED,
				       0,
				       2,
				       0x80 | ROUTE_MEMORY,
				       3,
				       0};

	memset(block, 0, sizeof *block);
	block->since_s = since_s;
	block->row_count = 5;
	block->name_count = 3;
	for (unsigned i = 0; i < 3; i++)
		block->names[i] = name_of((char)('a' + i));
	memcpy(block->rows, rows, sizeof rows);
	block->rows_len = sizeof rows;
}

static struct route_block block;

static bool is(const struct route_own_row *row, uint64_t at_ms, uint32_t source,
	       uint32_t destination, unsigned qos, unsigned outcome)
{
	return row->at_ms == at_ms && row->source == source && row->destination == destination &&
	       row->qos == qos && row->outcome == outcome;
}

/* Of b, who has another name as well, in another epoch; who is at the other end has no number. */
START_TEST(only_own_ones)
{
	struct route_own_name names[] = {{name_of('z'), 7}, {name_of('b'), 7}};
	struct route_own *own = route_own_create(names, 2, 10);
	struct told told = {0};

	fill(&block, SINCE_S);
	route_own_block(own, &block);
	ck_assert_uint_eq(route_own_finish(own, &told, tell), 3);
	ck_assert_uint_eq(told.count, 3);
	ck_assert(is(&told.rows[0], SINCE_S * 1000, 0, 7, 0, ROUTE_DELIVERED));
	ck_assert(is(&told.rows[1], SINCE_S * 1000 + 5, 7, 0, 1, ROUTE_QUEUE_FULL) ||
		  is(&told.rows[2], SINCE_S * 1000 + 5, 7, 0, 1, ROUTE_QUEUE_FULL));
}
END_TEST

/* A row between two of one's own is one row. */
START_TEST(both_ends)
{
	struct route_own_name names[] = {{name_of('c'), 2}, {name_of('a'), 1}};
	struct route_own *own = route_own_create(names, 2, 10);
	struct told told = {0};
	unsigned both = 0;

	fill(&block, SINCE_S);
	route_own_block(own, &block);
	ck_assert_uint_eq(route_own_finish(own, &told, tell), 4);
	for (size_t i = 0; i < told.count; i++)
		both += is(&told.rows[i], SINCE_S * 1000 + 5, 2, 1, 2, ROUTE_EXPIRED);
	ck_assert_uint_eq(both, 1);
}
END_TEST

/* Blocks come in any order; the last rows stay, and all are counted. */
START_TEST(the_last_ones)
{
	struct route_own_name names[] = {{name_of('b'), 1}};
	struct route_own *own = route_own_create(names, 1, 6);
	struct told told = {0};

	for (unsigned i = 0; i < 10; i++) {
		fill(&block, SINCE_S + i * 7 % 10);
		route_own_block(own, &block);
	}
	ck_assert_uint_eq(route_own_finish(own, &told, tell), 30);
	ck_assert_uint_eq(told.count, 6);
	for (size_t i = 0; i < told.count; i++)
		ck_assert_uint_eq(told.rows[i].at_ms / 1000, SINCE_S + 8 + i / 3);
}
END_TEST

START_TEST(without_clients)
{
	struct route_own *own = route_own_create(NULL, 0, 1);
	struct told told = {0};

	fill(&block, SINCE_S);
	route_own_block(own, &block);
	ck_assert_uint_eq(route_own_finish(own, &told, tell), 0);
	ck_assert_uint_eq(told.count, 0);
}
END_TEST

Suite *route_own_suite(void)
{
	const TTest *tests[] = {only_own_ones, both_ends, the_last_ones, without_clients};

	return suite_of("route_own", tests, COUNT_OF(tests));
}
