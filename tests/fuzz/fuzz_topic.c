/*
 * Topic filters: validity, topic_matches() and the trie against the words of the specification
 * (5.0 section 4.7 and 4.8.2), written down here a second time as plainly as possible.
 *
 * The input is a list of steps: a byte, a text up to the next zero, and so on.
 * The byte says: add this filter, take it out again, or look who gets this name.
 */
#include "broker/core/trie.h"
#include "proto/topic.h"
#include "proto/utf8.h"
#include "tests/fuzz/fuzz.h"

#define FILTERS_MAX 32
#define REALM	    7u

static const uint8_t key[HASH_KEY_SIZE] = "a key of sixteen";

struct filters {
	struct trie trie;
	struct slice text[FILTERS_MAX];
	bool present[FILTERS_MAX];
	unsigned calls[FILTERS_MAX];
	size_t count;
};

/* ---- the specification's words ---- */

/* The level that begins at `at`, without its slash. */
static struct slice level_at(struct slice text, size_t at)
{
	size_t end = at;

	while (end < text.len && text.at[end] != '/')
		end++;
	return slice_of(text.at + at, end - at);
}

static bool holds(struct slice text, char byte)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == (uint8_t)byte)
			return true;
	return false;
}

static bool is(struct slice text, const char *word)
{
	return slice_equal(text, slice_text(word));
}

/* A wildcard is the whole of its level, and '#' the last one. */
static bool naive_filter_valid(struct slice filter)
{
	for (size_t at = 0; at <= filter.len;) {
		struct slice level = level_at(filter, at);

		if (holds(level, '+') && !is(level, "+"))
			return false;
		if (holds(level, '#') && (!is(level, "#") || at + 1 != filter.len))
			return false;
		at += level.len + 1;
	}
	return filter.len > 0;
}

static bool naive_rest_matches(struct slice filter, size_t f, struct slice name, size_t n)
{
	struct slice wanted, level;

	if (f > filter.len || n > name.len) /* '#' stands for its parent, too */
		return (f > filter.len || is(slice_after(filter, f), "#")) && n > name.len;
	wanted = level_at(filter, f);
	level = level_at(name, n);
	if (is(wanted, "#"))
		return true;
	if (!is(wanted, "+") && !slice_equal(wanted, level))
		return false;
	return naive_rest_matches(filter, f + wanted.len + 1, name, n + level.len + 1);
}

static bool naive_matches(struct slice filter, struct slice name)
{
	if (name.at[0] == '$' && (filter.at[0] == '+' || filter.at[0] == '#'))
		return false;
	return naive_rest_matches(filter, 0, name, 0);
}

/* "$share/NAME/FILTER", NAME without wildcard and neither it nor FILTER empty. */
static bool naive_parse(struct slice text, struct topic_filter *out)
{
	*out = (struct topic_filter){SLICE_NONE, text};
	if (text.len >= 7 && memcmp(text.at, "$share/", 7) == 0) {
		out->share = level_at(text, 7);
		if (7 + out->share.len >= text.len)
			return false;
		out->filter = slice_after(text, 7 + out->share.len + 1);
		if (out->share.len == 0 || holds(out->share, '+') || holds(out->share, '#'))
			return false;
	}
	return naive_filter_valid(out->filter);
}

/* ---- steps ---- */

static void check_parse(struct slice text)
{
	struct topic_filter parsed, naive;
	bool valid = naive_parse(text, &naive);

	claim(topic_filter_parse(text, true, &parsed) == valid);
	if (valid)
		claim(slice_equal(parsed.share, naive.share) &&
		      slice_equal(parsed.filter, naive.filter));
	claim(topic_filter_parse(text, false, &parsed) == naive_filter_valid(text));
}

static void check_text(struct slice text)
{
	size_t slashes = 0;

	for (size_t i = 0; i < text.len; i++)
		slashes += text.at[i] == '/';
	claim(topic_filter_valid(text) == naive_filter_valid(text));
	claim(topic_name_valid(text) == (text.len > 0 && !holds(text, '+') && !holds(text, '#')));
	claim(topic_levels(text) == slashes + 1);
	if (naive_filter_valid(text))
		claim(topic_filter_wild(text) == (holds(text, '+') || holds(text, '#')));
	check_parse(text);
}

static void add(struct filters *filters, struct slice text)
{
	size_t i = filters->count;
	uint32_t node;

	if (!naive_filter_valid(text) || topic_levels(text) > TRIE_LEVELS_MAX || i == FILTERS_MAX)
		return;
	node = trie_add(&filters->trie, REALM, text);
	if (trie_node(&filters->trie, node)->value != 0)
		return; /* it was there */
	trie_node(&filters->trie, node)->value = (uint32_t)i + 1;
	filters->text[i] = text;
	filters->present[i] = true;
	filters->count++;
}

static void take_out(struct filters *filters, struct slice text)
{
	uint32_t node, value;

	if (!naive_filter_valid(text) || topic_levels(text) > TRIE_LEVELS_MAX)
		return;
	node = trie_find(&filters->trie, REALM, text);
	value = node ? trie_node(&filters->trie, node)->value : 0;
	for (size_t i = 0; i < filters->count; i++)
		if (filters->present[i] && slice_equal(filters->text[i], text))
			claim(value == i + 1);
	if (value == 0)
		return;
	claim(filters->present[value - 1]);
	filters->present[value - 1] = false;
	trie_node(&filters->trie, node)->value = 0;
	trie_prune(&filters->trie, node);
}

static void called(void *self, uint32_t value)
{
	struct filters *filters = self;

	claim(value >= 1 && value <= filters->count);
	filters->calls[value - 1]++;
}

static void match(struct filters *filters, struct slice name)
{
	if (!topic_name_valid(name))
		return;
	memset(filters->calls, 0, sizeof(filters->calls));
	struct trie_name looked_up = {REALM, name, hash_keyed(key, name)};

	trie_match(&filters->trie, &looked_up, filters, called);
	for (size_t i = 0; i < filters->count; i++) {
		bool matches = naive_matches(filters->text[i], name);

		claim(topic_matches(filters->text[i], name) == matches);
		claim(filters->calls[i] == (filters->present[i] && matches));
	}
}

static void step(struct filters *filters, uint8_t what, struct slice text)
{
	if (!utf8_string_valid(text))
		return;
	check_text(text);
	switch (what % 4) {
	case 0:
	case 1:
		add(filters, text);
		break;
	case 2:
		take_out(filters, text);
		break;
	default:
		match(filters, text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = exact_copy(slice_of(data, size));
	struct input input = {bytes};
	struct filters filters = {.count = 0};

	trie_init(&filters.trie, key, false);
	while (input.left.len > 0) {
		uint8_t what = take_u8(&input);
		const uint8_t *end =
		    input.left.len > 0 ? memchr(input.left.at, 0, input.left.len) : NULL;
		size_t len = end ? (size_t)(end - input.left.at) : input.left.len;

		step(&filters, what, take_bytes(&input, len));
		take_u8(&input);
	}
	for (size_t i = 0; i < filters.count; i++)
		if (filters.present[i])
			take_out(&filters, filters.text[i]);
	claim(trie_root(&filters.trie, REALM).node == 0); /* an empty tree holds no node */
	trie_finish(&filters.trie);
	exact_free(bytes);
	return 0;
}
