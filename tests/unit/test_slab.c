/* slab.h: numbers are unique while given, never 0, items are zeroed and stay where they are. */
#include "broker/core/slab.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

struct item {
	uint64_t stamp;
	uint64_t more;
};

START_TEST(numbers_and_places)
{
	enum { MANY = 3000 };
	static uint32_t numbers[MANY];
	static struct item *places[MANY];
	struct random random = random_start();
	struct slab slab;
	uint32_t count = 0;

	slab_init(&slab, sizeof(struct item));
	for (int step = 0; step < 20000; step++) {
		bool grow = random_below(&random, 100) < (step / 5000 % 2 ? 20u : 80u);

		if (grow && count < MANY) {
			uint32_t number = slab_add(&slab);
			struct item *item = slab_at(&slab, number);

			ck_assert_uint_ne(number, 0);
			ck_assert_msg(item->stamp == 0 && item->more == 0, RANDOM_SEED,
				      random.seed);
			item->stamp = number;
			numbers[count] = number;
			places[count++] = item;
		} else if (!grow && count > 0) {
			uint32_t i = random_below(&random, count);

			slab_remove(&slab, numbers[i]);
			numbers[i] = numbers[--count];
			places[i] = places[count];
		}
		ck_assert_uint_eq(slab.count, count);
		if (step % 1000 == 0)
			for (uint32_t i = 0; i < count; i++)
				ck_assert_msg(places[i] == slab_at(&slab, numbers[i]) &&
						  places[i]->stamp == numbers[i],
					      RANDOM_SEED, random.seed);
	}
	slab_finish(&slab);
}
END_TEST

/* An empty slab owns no page; numbers are given again. */
START_TEST(gives_back_when_empty)
{
	struct slab slab;
	uint32_t first;

	slab_init(&slab, 4);
	first = slab_add(&slab);
	for (int i = 0; i < 1000; i++)
		slab_add(&slab);
	for (uint32_t n = slab.used - 1; n > 0; n--)
		slab_remove(&slab, n);
	ck_assert_uint_eq(slab.page_count, 0);
	ck_assert_uint_eq(slab_add(&slab), first);
	slab_finish(&slab);
}
END_TEST

Suite *slab_suite(void)
{
	const TTest *tests[] = {numbers_and_places, gives_back_when_empty};

	return suite_of("slab", tests, COUNT_OF(tests));
}
