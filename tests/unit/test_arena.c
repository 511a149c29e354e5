/* arena.h: blocks that do not overlap, wiped, given back to their owner whoever frees them. */
#include <check.h>
#include <pthread.h>

#include "broker/core/arena.h"
#include "tests/unit/random.h"
#include "tests/unit/packets.h"

static struct arena arena;

/* Spans also where AddressSanitizer would have each block for itself. */
static struct shelf *open_shelf(void)
{
	arena_init(&arena);
	arena.plain = false;
	return arena_shelf(&arena);
}

static const size_t edges[] = {1,    63,   64,	 65,	80,    81,    128,   129,   4096,  4097,
			       5456, 5457, 8176, 16368, 16369, 32736, 32737, 65472, 65536, 100000};

static bool filled_with(const uint8_t *at, size_t n, uint8_t byte)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != byte)
			return false;
	return true;
}

START_TEST(every_size)
{
	struct shelf *shelf = open_shelf();
	uint8_t *blocks[COUNT_OF(edges)];

	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		blocks[i] = arena_get(shelf, edges[i]);
		ck_assert_uint_eq((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)i + 1, edges[i]);
	}
	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		ck_assert(filled_with(blocks[i], edges[i], (uint8_t)(i + 1)));
		arena_free(shelf, blocks[i], edges[i]);
	}
	arena_calm(shelf);
	ck_assert_uint_eq(arena_spans(shelf), 0);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

/* What was used is overwritten, but for the link that the free block holds. */
START_TEST(wiped)
{
	struct shelf *shelf = open_shelf();
	uint8_t *kept = arena_get(shelf, 200), *block = arena_get(shelf, 200);

	memset(block, 'x', 200);
	arena_free(shelf, block, 200);
	ck_assert_ptr_null(memchr(block, 'x', 200));
	ck_assert_ptr_eq(arena_get(shelf, 200), block);
	arena_free(shelf, block, 200);
	arena_free(shelf, kept, 200);
	arena_free(shelf, NULL, 0);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

/* What empties serves other sizes; a burst goes back in a calm moment. */
START_TEST(spans_are_used_again)
{
	struct shelf *shelf = open_shelf();
	void *blocks[4000];

	for (size_t round = 0; round < 3; round++) {
		size_t n = 100 + 900 * round;

		for (size_t i = 0; i < COUNT_OF(blocks); i++)
			blocks[i] = arena_get(shelf, n);
		ck_assert_uint_le(arena_spans(shelf), COUNT_OF(blocks) * n * 5 / 4 / 60000 + 34);
		for (size_t i = 0; i < COUNT_OF(blocks); i++)
			arena_free(shelf, blocks[i], n);
		ck_assert_uint_le(arena_spans(shelf), 32 + 3);
	}
	arena_calm(shelf);
	ck_assert_uint_eq(arena_spans(shelf), 0);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

START_TEST(leak_is_told)
{
	void *block = arena_get(open_shelf(), 10);

	ck_assert_uint_eq(arena_finish(&arena), 1);
	/* The span begins the memory that was asked for. */
	free((void *)((uintptr_t)block & ~(uintptr_t)(ARENA_SPAN - 1)));
}
END_TEST

START_TEST(random_sizes)
{
	struct random random = random_start();
	struct shelf *shelves[2] = {open_shelf(), arena_shelf(&arena)};
	struct {
		uint8_t *at;
		size_t n;
	} blocks[300] = {0};

	for (int step = 0; step < 60000; step++) {
		uint32_t i = random_below(&random, COUNT_OF(blocks));
		struct shelf *shelf = shelves[random_below(&random, 2)];

		if (blocks[i].at) {
			ck_assert_msg(filled_with(blocks[i].at, blocks[i].n, (uint8_t)i),
				      RANDOM_SEED, random.seed);
			arena_free(shelf, blocks[i].at, blocks[i].n);
			blocks[i].at = NULL;
		} else {
			blocks[i].n =
			    1 + random_below(&random, random_below(&random, 8) ? 600 : 70000);
			blocks[i].at = arena_get(shelf, blocks[i].n);
			memset(blocks[i].at, (int)i, blocks[i].n);
		}
	}
	for (size_t i = 0; i < COUNT_OF(blocks); i++)
		arena_free(shelves[0], blocks[i].at, blocks[i].n);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

/* A large block goes back at once, also where another shelf's thread frees it. */
START_TEST(large_blocks_do_not_pile_up)
{
	struct shelf *shelf = open_shelf(), *other = arena_shelf(&arena);
	void *block = arena_get(shelf, 100000);

	for (int i = 0; i < 100; i++) {
		arena_free(other, block, 100000);
		ck_assert_uint_eq(arena_spans(shelf), 0);
		block = arena_get(shelf, 100000);
		ck_assert_uint_eq(arena_spans(shelf), 1);
	}
	arena_free(shelf, block, 100000);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

/* ---- one thread makes, the other frees */

#define PASSED 20000

static void *_Atomic passing[64];

static void *free_what_comes(void *shelf)
{
	for (int freed = 0; freed < PASSED;)
		for (size_t i = 0; i < COUNT_OF(passing); i++) {
			void *block = atomic_exchange(&passing[i], NULL);

			if (block == NULL)
				continue;
			arena_free(shelf, block, 100);
			freed++;
		}
	return NULL;
}

START_TEST(freed_elsewhere)
{
	struct shelf *maker = open_shelf();
	pthread_t thread;

	pthread_create(&thread, NULL, free_what_comes, arena_shelf(&arena));
	for (int made = 0; made < PASSED;)
		for (size_t i = 0; i < COUNT_OF(passing) && made < PASSED; i++)
			if (atomic_load(&passing[i]) == NULL) {
				void *block = arena_get(maker, 100);

				memset(block, 7, 100);
				atomic_store(&passing[i], block);
				made++;
			}
	pthread_join(thread, NULL);
	ck_assert_uint_le(arena_spans(maker), 32);
	arena_calm(maker);
	ck_assert_uint_eq(arena_spans(maker), 0);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

Suite *arena_suite(void)
{
	const TTest *const tests[] = {every_size,     wiped,	    spans_are_used_again,
				      leak_is_told,   random_sizes, large_blocks_do_not_pile_up,
				      freed_elsewhere};

	return suite_of("arena", tests, COUNT_OF(tests));
}
