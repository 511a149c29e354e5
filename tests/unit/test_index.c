/* index.h against a plain list, with hashes that collide on purpose. */
#include "broker/core/index.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

struct entry {
	uint64_t hash;
	uint32_t number;
};

static bool finds(const struct index *index, const struct entry *entry)
{
	struct index_probe probe;
	uint32_t n = index_first(index, entry->hash, &probe);

	while (n != 0 && n != entry->number)
		n = index_next(index, &probe);
	return n != 0;
}

START_TEST(as_a_list_would)
{
	enum { MANY = 2000 };
	static struct entry entries[MANY], gone[MANY];
	struct random random = random_start();
	struct index index = {0};
	uint32_t count = 0, next = 1, gone_count = 0;

	for (int step = 0; step < 16000; step++) {
		bool grow = random_below(&random, 100) < (step / 4000 % 2 ? 25u : 75u);

		if (grow && count < MANY) {
			/* Few tags, to both ends: long runs, and equal hashes. */
			struct entry entry = {
			    (random_below(&random, 300) * UINT64_C(14364961)) << 32, next++};

			index_add(&index, entry.hash, entry.number);
			entries[count++] = entry;
		} else if (!grow && count > 0) {
			uint32_t i = random_below(&random, count);

			index_remove(&index, entries[i].hash, entries[i].number);
			gone[gone_count++ % MANY] = entries[i];
			entries[i] = entries[--count];
		}
		ck_assert_uint_eq(index.count, count);
		if (step % 500 != 0)
			continue;
		for (uint32_t i = 0; i < count; i++)
			ck_assert_msg(finds(&index, &entries[i]), RANDOM_SEED, random.seed);
		for (uint32_t i = 0; i < gone_count && i < MANY; i++)
			ck_assert_msg(!finds(&index, &gone[i]), RANDOM_SEED, random.seed);
	}
	index_finish(&index);
}
END_TEST

START_TEST(empty)
{
	struct index index = {0};
	struct index_probe probe;

	ck_assert_uint_eq(index_first(&index, 5, &probe), 0);
	index_finish(&index);
}
END_TEST

/* What a large one occupies, and how short its searches are: what the memory of a filter rests on.
 */
START_TEST(dense)
{
	enum { MANY = 100000 };
	struct random random = random_start();
	struct index index = {0};
	uint64_t steps = 0, sum = 0;
	uint32_t at = 0, number;

	for (uint32_t n = 1; n <= MANY; n++)
		index_add(&index, random_next(&random), n);
	ck_assert_uint_le(index_size(&index), 12 * MANY);
	for (uint32_t i = 0; i < MANY; i++) { /* in vain */
		struct index_probe probe;
		uint64_t hash = random_next(&random);
		uint32_t n = index_first(&index, hash, &probe);

		while (n != 0)
			n = index_next(&index, &probe);
		steps += probe.distance + 1;
	}
	ck_assert_uint_lt(steps, 6 * MANY);
	while ((number = index_each(&index, &at)) != 0)
		sum += number;
	ck_assert_uint_eq(sum, (uint64_t)MANY * (MANY + 1) / 2);
	index_finish(&index);
}
END_TEST

Suite *index_suite(void)
{
	const TTest *tests[] = {as_a_list_would, empty, dense};

	return suite_of("index", tests, COUNT_OF(tests));
}
