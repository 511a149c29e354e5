/* trie.h against the obvious way (topic_matches) over random filters and names. */
#include <stdio.h>

#include "broker/core/trie.h"
#include "proto/topic.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

enum { FILTERS = 400, TEXT = 64 };

static const uint8_t key[HASH_KEY_SIZE] = "a key of sixteen";

static struct random seed;
static char filters[FILTERS][TEXT];
static uint32_t realms[FILTERS];
static bool present[FILTERS];
static unsigned calls[FILTERS + 1];

/* Few different levels, so that much matches; empty ones and '$' among them. */
static void random_text(char *out, bool filter)
{
	static const char *const words[] = {"", "a", "b", "ab", "$S", "$", "c", "+", "#"};
	unsigned levels = 1 + random_below(&seed, 5);

	out[0] = 0;
	for (unsigned i = 0; i < levels; i++) {
		const char *word = words[random_below(&seed, filter ? 9 : 7)];

		if (i > 0)
			strcat(out, "/");
		strcat(out, word);
		if (word[0] == '#')
			break;
	}
	if (out[0] == 0)
		strcpy(out, "a");
}

static void called(void *self, uint32_t value)
{
	(void)self;
	ck_assert_uint_ge(value, 1);
	ck_assert_uint_le(value, FILTERS);
	calls[value]++;
}

static void match(struct trie *trie, uint32_t realm, struct slice text)
{
	struct trie_name name = {realm, text, hash_keyed(key, text)};

	trie_match(trie, &name, NULL, called);
}

static void check_name(struct trie *trie, const char *name, uint32_t realm)
{
	memset(calls, 0, sizeof calls);
	match(trie, realm, slice_text(name));
	for (int i = 0; i < FILTERS; i++) {
		bool expected = present[i] && realms[i] == realm &&
				topic_matches(slice_text(filters[i]), slice_text(name));

		if (calls[i + 1] != expected)
			ck_abort_msg("%s and %s: %u calls, " RANDOM_SEED, filters[i], name,
				     calls[i + 1], seed.seed);
	}
}

/* [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1] [MQTT-4.7.3-4] */
START_TEST(matches_as_the_obvious_way)
{
	struct trie trie;
	char name[TEXT];

	seed = random_start();
	trie_init(&trie, key, false);
	for (int round = 0; round < 3000; round++) {
		int i = (int)random_below(&seed, FILTERS);

		if (present[i]) {
			uint32_t node = trie_find(&trie, realms[i], slice_text(filters[i]));

			ck_assert_uint_eq(trie_node(&trie, node)->value, (uint32_t)i + 1);
			trie_node(&trie, node)->value = 0;
			trie_prune(&trie, node);
			present[i] = false;
		} else {
			uint32_t node;

			random_text(filters[i], true);
			realms[i] = random_below(&seed, 8) == 0;
			node = trie_add(&trie, realms[i], slice_text(filters[i]));
			ck_assert_uint_eq(node,
					  trie_find(&trie, realms[i], slice_text(filters[i])));
			if (trie_node(&trie, node)->value == 0) { /* none equal is there */
				trie_node(&trie, node)->value = (uint32_t)i + 1;
				present[i] = true;
			}
		}
		random_text(name, false);
		check_name(&trie, name, random_below(&seed, 8) == 0);
	}
	for (int i = 0; i < FILTERS; i++) {
		uint32_t node;

		if (!present[i])
			continue;
		node = trie_find(&trie, realms[i], slice_text(filters[i]));
		trie_node(&trie, node)->value = 0;
		trie_prune(&trie, node);
	}
	ck_assert_uint_eq(trie.nodes.count, 0);
	ck_assert_uint_eq(trie.edges.count, 0);
	trie_finish(&trie);
}
END_TEST

/* What shards tell each other leads to the same node in another trie, at any alignment. */
START_TEST(paths)
{
	struct trie from, to;
	char text[TEXT];

	seed = random_start();
	trie_init(&from, key, false);
	trie_init(&to, key, false);
	for (int i = 0; i < 500; i++) {
		uint64_t path[TRIE_LEVELS_MAX + 1];
		uint8_t bytes[sizeof path + 1];
		uint32_t realm = random_below(&seed, 2), node, other;
		size_t count;
		struct slice slice;

		random_text(text, true);
		node = trie_add(&from, realm, slice_text(text));
		count = trie_path(&from, node, path);
		ck_assert_uint_eq(count, 1 + topic_levels(slice_text(text)));
		ck_assert_uint_eq(path[0], realm);
		memcpy(bytes + 1, path, count * sizeof path[0]);
		slice = slice_of(bytes + 1, count * sizeof path[0]);
		other = trie_add_path(&to, slice);
		ck_assert_uint_eq(other, trie_find(&to, realm, slice_text(text)));
		ck_assert_uint_eq(other, trie_find_path(&to, slice));
		trie_node(&to, other)->value = 1;
		trie_node(&from, node)->value = 1;
	}
	/* Both answer alike, '$' and wildcards included. */
	for (int i = 0; i < 500; i++) {
		unsigned one, two;

		random_text(text, false);
		memset(calls, 0, sizeof calls);
		match(&from, 0, slice_text(text));
		one = calls[1];
		calls[1] = 0;
		match(&to, 0, slice_text(text));
		two = calls[1];
		ck_assert_msg(one == two, "%s: %u and %u, " RANDOM_SEED, text, one, two, seed.seed);
	}
	ck_assert_uint_eq(trie_find_path(&to, slice_of("12345678", 8)), 0);
	trie_finish(&from);
	trie_finish(&to);
}
END_TEST

/* A pin keeps a node that holds nothing. */
START_TEST(pins)
{
	struct trie trie;
	uint32_t node;

	trie_init(&trie, key, true);
	node = trie_add(&trie, 0, SLICE_LITERAL("a/b/c"));
	trie_node(&trie, node)->pins++;
	trie_prune(&trie, node);
	ck_assert_uint_eq(trie_find(&trie, 0, SLICE_LITERAL("a/b/c")), node);
	trie_node(&trie, node)->pins--;
	trie_prune(&trie, node);
	ck_assert_uint_eq(trie.nodes.count, 0);
	ck_assert_uint_eq(trie.families.count, 0);
	trie_finish(&trie);
}
END_TEST

/* Children of an enumerable trie are all there, after any additions and removals. */
START_TEST(families)
{
	struct trie trie;
	char text[TEXT];
	bool there[64] = {false};

	seed = random_start();
	trie_init(&trie, key, true);
	for (int step = 0; step < 5000; step++) {
		unsigned i = random_below(&seed, 64);
		unsigned expected = 0, seen = 0;
		uint32_t node, parent;

		snprintf(text, sizeof text, "top/%u", i);
		node = trie_add(&trie, 0, slice_text(text));
		there[i] = !there[i];
		trie_node(&trie, node)->value = there[i];
		trie_prune(&trie, node);
		for (unsigned k = 0; k < 64; k++)
			expected += there[k];
		parent = trie_find(&trie, 0, SLICE_LITERAL("top"));
		for (uint32_t child = parent ? trie_family(&trie, parent)->first_child : 0; child;
		     child = trie_family(&trie, child)->next_sibling)
			seen++;
		ck_assert_msg(seen == expected, RANDOM_SEED, seed.seed);
	}
	trie_finish(&trie);
}
END_TEST

/* `levels` times "a", then `last`. */
static struct slice deep(char *out, size_t levels, const char *last)
{
	size_t len = 0;

	for (size_t i = 0; i < levels; i++)
		len += (size_t)sprintf(out + len, "a/");
	strcpy(out + len, last);
	return slice_text(out);
}

/* Names may have more levels than any filter, and match what "#" reaches and nothing else. */
START_TEST(deep_names)
{
	static char text[4 * TRIE_LEVELS_MAX];
	static const struct {
		size_t levels; /* before the last one */
		bool short_hash, long_hash, literal;
	} names[] = {
	    {1, true, false, false},
	    {TRIE_LEVELS_MAX - 2, true, false, false},
	    {TRIE_LEVELS_MAX - 1, true, true, true},
	    {TRIE_LEVELS_MAX, true, true, false},
	    {TRIE_LEVELS_MAX + 1, true, true, false},
	    {TRIE_LEVELS_MAX * 3 / 2, true, true, false},
	};
	struct trie trie;
	uint32_t node;

	trie_init(&trie, key, false);
	node = trie_add(&trie, 0, SLICE_LITERAL("a/#"));
	trie_node(&trie, node)->value = 1;
	node = trie_add(&trie, 0, deep(text, TRIE_LEVELS_MAX - 1, "#"));
	trie_node(&trie, node)->value = 2;
	node = trie_add(&trie, 0, deep(text, TRIE_LEVELS_MAX - 1, "x"));
	trie_node(&trie, node)->value = 3;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		memset(calls, 0, sizeof calls);
		match(&trie, 0, deep(text, names[i].levels, "x"));
		ck_assert_msg(calls[1] == names[i].short_hash && calls[2] == names[i].long_hash &&
				  calls[3] == names[i].literal,
			      "%zu levels", names[i].levels + 1);
	}
	trie_finish(&trie);
}
END_TEST

/* What is remembered is as good as what is found: it ends with any node that comes or goes. */
START_TEST(remembers_names)
{
	struct slice name = slice_text("a/b");
	struct trie trie;
	uint32_t plus, exact;

	trie_init(&trie, key, false);
	exact = trie_add(&trie, 0, name);
	trie_node(&trie, exact)->value = 1;
	for (int round = 0; round < 3; round++) {
		memset(calls, 0, sizeof calls);
		match(&trie, 0, name);
		match(&trie, 0, name);
		ck_assert_uint_eq(calls[1], 2);
		match(&trie, 1, name); /* another realm is another name */
		ck_assert_uint_eq(calls[1], 2);
		plus = trie_add(&trie, 0, slice_text("+/b"));
		trie_node(&trie, plus)->value = 2;
		match(&trie, 0, name);
		ck_assert_uint_eq(calls[2], 1);
		trie_node(&trie, exact)->value = 0; /* nobody for a moment, and somebody else */
		match(&trie, 0, name);
		ck_assert_uint_eq(calls[1], 3);
		trie_node(&trie, exact)->value = 1;
		trie_node(&trie, plus)->value = 0;
		trie_prune(&trie, plus);
		match(&trie, 0, name);
		ck_assert_uint_eq(calls[1], 4);
		ck_assert_uint_eq(calls[2], 2);
	}
	trie_node(&trie, exact)->value = 0;
	trie_prune(&trie, exact);
	memset(calls, 0, sizeof calls);
	match(&trie, 0, name);
	ck_assert_uint_eq(calls[1] + calls[2], 0);
	trie_finish(&trie);
}
END_TEST

Suite *trie_suite(void)
{
	const TTest *tests[] = {
	    matches_as_the_obvious_way, paths, pins, families, deep_names, remembers_names};

	return suite_of("trie", tests, COUNT_OF(tests));
}
