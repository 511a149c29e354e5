/* idset.h: a set of packet identifiers, small however many there are. */
#include "broker/core/idset.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"
#include "tests/unit/random.h"

START_TEST(as_an_array_would)
{
	static bool expected[65536];
	struct random random = random_start();
	struct idset *set;
	uint32_t count = 0;

	purse_open(1 << 20);
	set = idset_create(&purse);
	for (int step = 0; step < 50000; step++) {
		uint16_t id = (uint16_t)random_next(&random);

		if (random_below(&random, 3)) {
			idset_add(set, &purse, id);
			count += !expected[id];
			expected[id] = true;
		} else {
			ck_assert_msg(idset_remove(set, id) == expected[id], RANDOM_SEED,
				      random.seed);
			count -= expected[id];
			expected[id] = false;
		}
		ck_assert_uint_eq(set->count, count);
	}
	for (uint32_t id = 0; id < 65536; id++)
		ck_assert_msg(idset_has(set, (uint16_t)id) == expected[id], RANDOM_SEED,
			      random.seed);
	ck_assert_int_le(purse.charged, 8704);
	idset_destroy(set, &purse);
	purse_check_empty();
}
END_TEST

START_TEST(none_is_empty)
{
	ck_assert(!idset_has(NULL, 1));
	idset_destroy(NULL, NULL);
}
END_TEST

Suite *idset_suite(void)
{
	const TTest *tests[] = {as_an_array_would, none_is_empty};

	return suite_of("idset", tests, COUNT_OF(tests));
}
