/* test_bench.c - metrino bench: its histogram, its accounts, its topics and its flags. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/bench_topic.h"
#include "cli/bench_track.h"
#include "cli/histogram.h"
#include "cli/options.h"
#include "cli/process_usage.h"
#include "proto/topic.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

/* ---- histogram ---- */

/* Every value that there may be has a bucket, and is told to within 1/128. */
START_TEST(values_are_told_to_within_the_bound)
{
	struct random random = random_start();

	for (int i = 0; i < 20000; i++) {
		static struct histogram h;
		const uint64_t value = random_next(&random) >> random_below(&random, 64);
		uint64_t told, off;

		h = (struct histogram){0};
		histogram_add(&h, value);
		h.maximum = UINT64_MAX; /* or the exact one would be told */
		told = histogram_value(&h, 0.5);
		off = told > value ? told - value : value - told;
		ck_assert_msg(off <= value / 128, "%" PRIu64 " told as %" PRIu64 ", " RANDOM_SEED,
			      value, told, random.seed);
	}
}
END_TEST

START_TEST(small_values_are_exact)
{
	static struct histogram h;

	for (uint64_t value = 0; value < 128; value++)
		histogram_add(&h, value);
	for (uint64_t value = 0; value < 128; value++)
		ck_assert_uint_eq(histogram_value(&h, (double)(value + 1) / 128), value);
}
END_TEST

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the sorted list: the quantile is the value that so many do not exceed. */
START_TEST(quantiles_are_those_of_the_sorted_list)
{
	static const double shares[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1};
	static uint64_t values[10000];
	static struct histogram h;
	struct random random = random_start();

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		values[i] = random_next(&random) >> (30 + random_below(&random, 20));
		histogram_add(&h, values[i]);
	}
	qsort(values, COUNT_OF(values), sizeof(values[0]), compare);
	for (size_t i = 0; i < COUNT_OF(shares); i++) {
		const size_t at = (size_t)(shares[i] * COUNT_OF(values) + 0.999999) - 1;
		const double right = (double)values[at];
		const double told = (double)histogram_value(&h, shares[i]);

		ck_assert_msg(told >= right * (1 - 1.0 / 128) && told <= right * (1 + 1.0 / 128),
			      "%f: %f, not %f, " RANDOM_SEED, shares[i], told, right, random.seed);
	}
	ck_assert_uint_eq(h.maximum, values[COUNT_OF(values) - 1]);
}
END_TEST

START_TEST(an_empty_histogram_tells_nothing)
{
	static const struct histogram h;

	ck_assert_uint_eq(histogram_value(&h, 0.5), 0);
}
END_TEST

/* ---- accounts ---- */

static struct bench_track track;
static struct bench_tally tally;

static uint64_t take(uint64_t number)
{
	return bench_track_take(&track, &tally, number);
}

static void expect(uint64_t delivered, uint64_t duplicated, uint64_t out_of_order, uint64_t missing)
{
	ck_assert_uint_eq(tally.delivered, delivered);
	ck_assert_uint_eq(tally.duplicated, duplicated);
	ck_assert_uint_eq(tally.out_of_order, out_of_order);
	ck_assert_uint_eq(track.missing, missing);
}

static void start(void)
{
	track = (struct bench_track){0};
	tally = (struct bench_tally){0};
}

START_TEST(in_order)
{
	start();
	for (uint64_t i = 1; i <= 1000; i++)
		ck_assert_uint_eq(take(i), 1);
	expect(1000, 0, 0, 0);
	ck_assert_uint_eq(bench_track_lost(&track, 1000), 0);
	ck_assert_uint_eq(bench_track_lost(&track, 1003), 3);
}
END_TEST

START_TEST(a_gap_is_lost_until_it_comes)
{
	start();
	take(1);
	ck_assert_uint_eq(take(4), 3); /* 2 and 3 are not waited for */
	expect(2, 0, 0, 2);
	ck_assert_uint_eq(take(3), 0);
	expect(3, 0, 1, 1);
	take(3);
	take(4);
	take(1);
	expect(3, 3, 1, 1);
	ck_assert_uint_eq(bench_track_lost(&track, 4), 1);
}
END_TEST

START_TEST(the_first_ones_may_be_missing)
{
	start();
	take(3);
	ck_assert_uint_eq(bench_track_lost(&track, 3), 2);
	take(1);
	expect(2, 0, 1, 1);
}
END_TEST

/* Further back than what is remembered one by one. */
START_TEST(very_late)
{
	start();
	take(1);
	take(200);
	expect(2, 0, 0, 198);
	take(50);
	expect(3, 0, 1, 197);
	start();
	for (uint64_t i = 1; i <= 200; i++)
		take(i);
	take(50);
	expect(200, 1, 0, 0);
}
END_TEST

/* Losses, repetitions and swaps of neighbours, thrown at random: counted to the last one. */
START_TEST(whatever_happens_is_counted)
{
	struct random random = random_start();
	uint64_t lost = 0, twice = 0, swapped = 0, held = 0;

	start();
	for (uint64_t i = 1; i <= 50000; i++) {
		const uint32_t chance = held == 0 ? random_below(&random, 20) : 19;

		if (chance == 0) {
			lost++;
			continue;
		}
		if (chance == 1) {
			held = i;
			continue;
		}
		take(i);
		if (chance == 2) {
			take(i);
			twice++;
		}
		if (held != 0) {
			take(held);
			swapped++;
			held = 0;
		}
	}
	lost += held != 0;
	ck_assert_msg(bench_track_lost(&track, 50000) == lost && tally.duplicated == twice &&
			  tally.out_of_order == swapped && tally.delivered == 50000 - lost,
		      RANDOM_SEED, random.seed);
	ck_assert(lost > 0 && twice > 0 && swapped > 0);
}
END_TEST

/* ---- topics ---- */

/* Each topic of the wildcard topology meets the filter it is made for, and no other. */
START_TEST(a_topic_meets_one_filter)
{
	char filter[BENCH_TOPIC_MAX], topic[BENCH_TOPIC_MAX];

	for (uint8_t shape = BENCH_MIXED; shape <= BENCH_HASH; shape++) {
		const struct bench_options plan = {.topology = BENCH_WILDCARD,
						   .shape = shape,
						   .subscribers = 7,
						   .filters = 300,
						   .prefix = "t"};

		for (uint32_t i = 0; i < plan.filters; i++) {
			const struct slice f = slice_of(filter, bench_filter(filter, &plan, i));

			ck_assert(topic_filter_valid(f));
			ck_assert(topic_filter_wild(f) == (shape != BENCH_LITERAL));
			for (uint32_t j = 0; j < plan.filters; j++) {
				const struct slice t =
				    slice_of(topic, bench_topic(topic, &plan, j));

				ck_assert_msg(topic_matches(f, t) == (i == j), "%s, %s", filter,
					      topic);
			}
		}
	}
}
END_TEST

START_TEST(topics_meet_their_subscribers)
{
	char filter[BENCH_TOPIC_MAX], topic[BENCH_TOPIC_MAX];
	struct bench_options plan = {.prefix = "bench"};

	for (plan.topology = BENCH_PAIR; plan.topology <= BENCH_RETAINED; plan.topology++) {
		if (plan.topology == BENCH_WILDCARD)
			continue;
		for (uint32_t n = 0; n < 12; n++)
			ck_assert(topic_matches(slice_of(filter, bench_filter(filter, &plan, n)),
						slice_of(topic, bench_topic(topic, &plan, n))));
	}
}
END_TEST

START_TEST(the_list_holds_the_same_topics)
{
	const struct bench_options plan = {.prefix = "bench"};
	struct bench_texts texts = {0};
	char topic[BENCH_TOPIC_MAX];

	bench_texts_fill(&texts, &plan, 1000);
	for (uint32_t n = 0; n < 1000; n++)
		ck_assert(slice_equal(bench_text(&texts, n),
				      slice_of(topic, bench_topic(topic, &plan, n))));
	bench_texts_finish(&texts);
}
END_TEST

/* ---- flags ---- */

static bool gather(struct options *o, const char *text, struct failure *failure)
{
	static char copy[512];
	char *argv[40];
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	options_init(o, OPTION_BENCH);
	failure->text[0] = '\0';
	return options_gather(o, argc, argv, failure);
}

START_TEST(the_topology_decides_what_was_not_said)
{
	struct failure failure;
	struct options o;

	ck_assert(gather(&o, "", &failure));
	ck_assert_int_eq(o.bench.topology, BENCH_PAIR);
	ck_assert_uint_eq(o.bench.publishers, 50);
	ck_assert_uint_eq(o.bench.subscribers, 50);
	ck_assert_uint_eq(o.bench.window, 64);
	ck_assert_uint_eq(o.keep_alive_s, 600);
	options_finish(&o);
	ck_assert(gather(&o, "--topology fan-in -q 2", &failure));
	ck_assert_uint_eq(o.bench.publishers, 200);
	ck_assert_uint_eq(o.bench.window, 16);
	ck_assert_uint_eq(o.bench.subscribe_qos, 2);
	options_finish(&o);
	ck_assert(gather(&o, "--publishers 3", &failure));
	ck_assert_uint_eq(o.bench.subscribers, 3);
	options_finish(&o);
}
END_TEST

START_TEST(flags_set_what_they_say)
{
	struct failure failure;
	struct options o;

	setenv("METRINO_USERNAME", "name", 1);
	ck_assert(gather(&o,
			 "-h h -p 99 -V 5 --topology wildcard --publishers 4 --subscribers 5 "
			 "--filters 6 --shape hash -q 1 --subscribe-qos 0 --size 100 --window 7 "
			 "-M 8 --rate 9 --persistent --concurrency 10 --duration 1.5 --warm-up 0 "
			 "--prefix a/b --pid 11 --json",
			 &failure));
	unsetenv("METRINO_USERNAME");
	ck_assert_str_eq(o.user_name, "name");
	ck_assert_str_eq(o.host, "h");
	ck_assert_uint_eq(o.port, 99);
	ck_assert_int_eq(o.version, MQTT_VERSION_5_0);
	ck_assert_int_eq(o.bench.shape, BENCH_HASH);
	ck_assert_uint_eq(o.bench.publishers, 4);
	ck_assert_uint_eq(o.bench.subscribers, 5);
	ck_assert_uint_eq(o.bench.filters, 6);
	ck_assert_uint_eq(o.qos, 1);
	ck_assert_uint_eq(o.bench.subscribe_qos, 0);
	ck_assert_uint_eq(o.bench.payload_len, 100);
	ck_assert_uint_eq(o.bench.window, 7);
	ck_assert_uint_eq(o.inflight_max, 8);
	ck_assert_uint_eq(o.bench.rate, 9);
	ck_assert_uint_eq(o.bench.concurrency, 10);
	ck_assert_uint_eq(o.bench.duration_ms, 1500);
	ck_assert_uint_eq(o.bench.warm_up_ms, 0);
	ck_assert_str_eq(o.bench.prefix, "a/b");
	ck_assert_uint_eq(o.bench.pid, 11);
	ck_assert(o.bench.persistent && o.bench.json);
	options_finish(&o);
}
END_TEST

START_TEST(complaints_name_what_would_be_right)
{
	static const struct {
		const char *words, *complaint;
	} rows[] = {
	    {"--topology star", "It must be pair, fan-out, fan-in, wildcard"},
	    {"--shape round", "It must be mixed, literal, plus or hash"},
	    {"--publishers 3 --subscribers 4", "as many publishers (3) as subscribers (4)"},
	    {"--topology idle --publishers 1", "The topology idle has no publishers"},
	    {"--topology connect --window 1", "The topology connect has no window"},
	    {"--topology fan-out --count 1", "The topology fan-out has no count"},
	    {"--topology wildcard --filters 3", "at least as many filters (3) as subscribers"},
	    {"--topology retained --publishers 2", "one publisher and one subscriber"},
	    {"--size 23", "between 24 and 1048576"},
	    {"--duration 0", "must be above 0"},
	    {"--duration 1s", "between 0 and 86400"},
	    {"--prefix a/#", "without '+' and '#'"},
	    {"--durration 1", "Did you mean '--duration'?"},
	    {"-t topic", "Unknown option '-t'"},
	};
	struct failure failure;
	struct options o;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ck_assert_msg(!gather(&o, rows[i].words, &failure), "%s", rows[i].words);
		ck_assert_msg(strstr(failure.text, rows[i].complaint) != NULL, "%s: %s",
			      rows[i].words, failure.text);
		options_finish(&o);
	}
}
END_TEST

/* ---- what a process uses ---- */

START_TEST(our_own_usage_rises)
{
	struct process_usage before, after;
	struct failure failure;
	static uint8_t memory[8 << 20];
	volatile uint64_t sum = 0;

	ck_assert(process_usage_read((uint32_t)getpid(), &before, &failure));
	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)i;
	for (size_t i = 0; i < 20000000; i++)
		sum += memory[i % sizeof(memory)];
	ck_assert_uint_gt(sum, 0);
	ck_assert(process_usage_read((uint32_t)getpid(), &after, &failure));
	ck_assert_uint_gt(after.cpu_ns, before.cpu_ns + 1000000);
	ck_assert_uint_gt(after.memory_bytes, before.memory_bytes + (sizeof(memory) / 2));
	ck_assert(!process_usage_read(INT32_MAX, &after, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "There is no process 2147483647"));
}
END_TEST

Suite *bench_suite(void);

Suite *bench_suite(void)
{
	Suite *suite = suite_create("bench");
	TCase *all = tcase_create("all");

	tcase_add_test(all, values_are_told_to_within_the_bound);
	tcase_add_test(all, small_values_are_exact);
	tcase_add_test(all, quantiles_are_those_of_the_sorted_list);
	tcase_add_test(all, an_empty_histogram_tells_nothing);
	tcase_add_test(all, in_order);
	tcase_add_test(all, a_gap_is_lost_until_it_comes);
	tcase_add_test(all, the_first_ones_may_be_missing);
	tcase_add_test(all, very_late);
	tcase_add_test(all, whatever_happens_is_counted);
	tcase_add_test(all, a_topic_meets_one_filter);
	tcase_add_test(all, topics_meet_their_subscribers);
	tcase_add_test(all, the_list_holds_the_same_topics);
	tcase_add_test(all, the_topology_decides_what_was_not_said);
	tcase_add_test(all, flags_set_what_they_say);
	tcase_add_test(all, complaints_name_what_would_be_right);
	tcase_add_test(all, our_own_usage_rises);
	suite_add_tcase(suite, all);
	return suite;
}
