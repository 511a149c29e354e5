#include "proto/topic.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

struct valid_case {
	const char *text;
	bool name;
	bool filter;
};

/* bad-inputs 32, 52; MQTT 5.0 section 4.7.1. [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] */
static const struct valid_case valid_cases[] = {
    {"", false, false},
    {"a", true, true},
    {"/", true, true},
    {"//", true, true},
    {"a b/c", true, true},
    {"$SYS/broker", true, true},
    {"sport/tennis/player1", true, true},
    {"#", false, true},
    {"+", false, true},
    {"+/+", false, true},
    {"/+", false, true},
    {"+/", false, true},
    {"/#", false, true},
    {"a/#", false, true},
    {"a/+/b", false, true},
    {"+/tennis/#", false, true},
    {"sport+", false, false},
    {"a+", false, false},
    {"+a/b", false, false},
    {"a/+b", false, false},
    {"a/b+/c", false, false},
    {"++", false, false},
    {"#/a", false, false},
    {"a#", false, false},
    {"a/#/b", false, false},
    {"##", false, false},
    {"+#", false, false},
    {"#+", false, false},
    {"/#/", false, false},
};

START_TEST(names_and_filters)
{
	for (size_t i = 0; i < COUNT_OF(valid_cases); i++) {
		const struct valid_case *c = &valid_cases[i];
		struct slice text = bytes_copy(slice_text(c->text));

		ck_assert_msg(topic_name_valid(text) == c->name, "name \"%s\"", c->text);
		ck_assert_msg(topic_filter_valid(text) == c->filter, "filter \"%s\"", c->text);
		if (c->filter)
			ck_assert_int_eq(topic_filter_wild(text), !c->name);
		bytes_free(text);
	}
}
END_TEST

/* A wildcard at every place of names of every length; other bytes are none, whatever their bits. */
START_TEST(wildcards_are_found_everywhere)
{
	for (size_t len = 1; len < 40; len++) {
		for (size_t at = 0; at < len; at++) {
			for (unsigned byte = 1; byte < 256; byte++) {
				uint8_t *text = malloc(len);
				bool wild = byte == '+' || byte == '#';

				memset(text, 'x', len);
				text[at] = (uint8_t)byte;
				if (topic_name_valid(slice_of(text, len)) == wild)
					ck_abort_msg("0x%02x at %zu of %zu", byte, at, len);
				free(text);
			}
		}
	}
}
END_TEST

/* bad-inputs 46. [MQTT-4.7.3-3] */
START_TEST(the_longest_topic)
{
	uint8_t *text = malloc(TOPIC_LEN_MAX + 1);

	memset(text, '/', TOPIC_LEN_MAX + 1);
	ck_assert(topic_name_valid(slice_of(text, TOPIC_LEN_MAX)));
	ck_assert(topic_filter_valid(slice_of(text, TOPIC_LEN_MAX)));
	ck_assert(!topic_name_valid(slice_of(text, TOPIC_LEN_MAX + 1)));
	ck_assert(!topic_filter_valid(slice_of(text, TOPIC_LEN_MAX + 1)));
	ck_assert_uint_eq(topic_levels(slice_of(text, TOPIC_LEN_MAX)), TOPIC_LEN_MAX + 1);
	ck_assert(topic_matches(slice_of(text, TOPIC_LEN_MAX), slice_of(text, TOPIC_LEN_MAX)));
	ck_assert(!topic_matches(slice_of(text, TOPIC_LEN_MAX - 1), slice_of(text, TOPIC_LEN_MAX)));
	free(text);
}
END_TEST

struct match_case {
	const char *filter;
	const char *name;
	bool matches;
};

/* The examples of MQTT 5.0 sections 4.7.1.2, 4.7.1.3 and 4.7.2. [MQTT-4.7.2-1] [MQTT-4.7.3-4] */
static const struct match_case match_cases[] = {
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/#", "sport", true},
    {"sport/#", "sports", false},
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+", "/finance", false},
    {"#", "/finance", true},
    {"#", "$SYS/monitor", false},
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"$SYS/#", "$SYS/monitor", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"a/+", "a/$b", true},
    {"ACCOUNTS", "Accounts", false},
    {"a", "a/", false},
    {"a/", "a", false},
    {"/a", "a", false},
};

START_TEST(the_specifications_examples)
{
	for (size_t i = 0; i < COUNT_OF(match_cases); i++) {
		const struct match_case *c = &match_cases[i];
		struct slice filter = bytes_copy(slice_text(c->filter));
		struct slice name = bytes_copy(slice_text(c->name));

		ck_assert_msg(topic_matches(filter, name) == c->matches, "\"%s\" and \"%s\"",
			      c->filter, c->name);
		bytes_free(filter);
		bytes_free(name);
	}
}
END_TEST

/* A second matcher, character by character and recursive, on strings that end with zero. */
static bool naive_match(const char *filter, const char *name)
{
	if (filter[0] == '#')
		return true;
	if (filter[0] == '+') {
		while (*name && *name != '/')
			name++;
		return naive_match(filter + 1, name);
	}
	if (*name == 0)
		return *filter == 0 || strcmp(filter, "/#") == 0;
	return *filter == *name && naive_match(filter + 1, name + 1);
}

static void random_levels(struct random *random, const char *const *levels, size_t count, char *out)
{
	size_t n = 1 + random_below(random, 5);

	out[0] = 0;
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strcat(out, "/");
		strcat(out, levels[random_below(random, count)]);
	}
}

START_TEST(matches_as_a_second_matcher_does)
{
	static const char *const levels[] = {"", "a", "b", "aa", "$x", "+", "#"};
	struct random random = random_start();
	unsigned matched = 0;

	for (unsigned i = 0; i < 200000; i++) {
		char name[64], filter[64];
		bool expected;

		random_levels(&random, levels, 5, name);
		random_levels(&random, levels, COUNT_OF(levels), filter);
		if (!topic_name_valid(slice_text(name)) || !topic_filter_valid(slice_text(filter)))
			continue;
		expected = naive_match(filter, name) &&
			   !(name[0] == '$' && (filter[0] == '+' || filter[0] == '#'));
		if (topic_matches(slice_text(filter), slice_text(name)) != expected)
			ck_abort_msg("\"%s\" and \"%s\" (" RANDOM_SEED ")", filter, name,
				     random.seed);
		matched += expected;
	}
	ck_assert_uint_gt(matched, 1000);
}
END_TEST

START_TEST(levels_are_walked)
{
	static const char *const texts[] = {"", "/", "a", "a/b", "/a//b/"};

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct topic_cursor cursor = topic_cursor_of(slice_text(texts[i]));
		char joined[32] = "";
		struct slice level;
		size_t n = 0;

		while (topic_next_level(&cursor, &level)) {
			if (n++ > 0)
				strcat(joined, "/");
			strncat(joined, (const char *)level.at, level.len);
		}
		ck_assert_str_eq(joined, texts[i]);
		ck_assert_uint_eq(n, topic_levels(slice_text(texts[i])));
		ck_assert(!topic_next_level(&cursor, &level));
	}
	ck_assert_uint_eq(topic_levels(SLICE_NONE), 1);
}
END_TEST

struct parse_case {
	const char *text;
	const char *share; /* NULL: not valid */
	const char *filter;
};

/* bad-inputs 54. [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
static const struct parse_case parse_cases[] = {
    {"a/+", "", "a/+"},
    {"$share", "", "$share"},
    {"$shared/g/t", "", "$shared/g/t"},
    {"$share/g/t", "g", "t"},
    {"$share/g/#", "g", "#"},
    {"$share/g//", "g", "/"},
    {"$share/g/$SYS/#", "g", "$SYS/#"},
    {"$share/", NULL, NULL},
    {"$share/g", NULL, NULL},
    {"$share//t", NULL, NULL},
    {"$share/g/", NULL, NULL},
    {"$share/g+/t", NULL, NULL},
    {"$share/#/t", NULL, NULL},
    {"$share/+/t", NULL, NULL},
    {"$share/g/a#", NULL, NULL},
    {"a#", NULL, NULL},
    {"", NULL, NULL},
};

START_TEST(filters_are_taken_apart)
{
	for (size_t i = 0; i < COUNT_OF(parse_cases); i++) {
		const struct parse_case *c = &parse_cases[i];
		struct slice text = bytes_copy(slice_text(c->text));
		struct topic_filter parsed;
		bool valid = topic_filter_parse(text, true, &parsed);

		ck_assert_msg(valid == (c->share != NULL), "\"%s\"", c->text);
		if (valid) {
			ck_assert(slice_equal(parsed.share, slice_text(c->share)));
			ck_assert(slice_equal(parsed.filter, slice_text(c->filter)));
		}
		valid = topic_filter_parse(text, false, &parsed);
		ck_assert_int_eq(valid, topic_filter_valid(text));
		ck_assert_uint_eq(parsed.share.len, 0);
		ck_assert(slice_equal(parsed.filter, text));
		bytes_free(text);
	}
}
END_TEST

Suite *topic_suite(void)
{
	const TTest *const tests[] = {
	    names_and_filters,		 wildcards_are_found_everywhere,   the_longest_topic,
	    the_specifications_examples, matches_as_a_second_matcher_does, levels_are_walked,
	    filters_are_taken_apart,
	};

	return suite_of("topic", tests, COUNT_OF(tests));
}
