/* topic.c - see topic.h. */
#include "proto/topic.h"
#include "proto/word.h"

static bool is_wildcard(uint8_t byte)
{
	return byte == '+' || byte == '#';
}

/* '+' (0x2B) and '#' (0x23) differ in one bit, so with that bit set one comparison finds both. */
static bool word_has_wildcard(uint64_t word)
{
	return word_has_zero((word | word_fill('+' ^ '#')) ^ word_fill('+'));
}

static bool has_wildcard(struct slice text)
{
	const uint8_t *at = text.at;
	size_t left = text.len;

	for (; left >= WORD_SIZE; at += WORD_SIZE, left -= WORD_SIZE)
		if (word_has_wildcard(word_load(at)))
			return true;
	for (; left > 0; at++, left--)
		if (is_wildcard(*at))
			return true;
	return false;
}

bool topic_name_valid(struct slice name)
{
	return name.len > 0 && name.len <= TOPIC_LEN_MAX && !has_wildcard(name);
}

bool topic_filter_valid(struct slice filter)
{
	if (filter.len == 0 || filter.len > TOPIC_LEN_MAX)
		return false;
	for (size_t i = 0; i < filter.len; i++) {
		bool first = i == 0 || filter.at[i - 1] == '/';
		bool last = i + 1 == filter.len;

		if (!is_wildcard(filter.at[i]))
			continue;
		if (!first) /* a wildcard is a whole level [MQTT-4.7.1-1] [MQTT-4.7.1-2] */
			return false;
		if (!last && (filter.at[i] == '#' || filter.at[i + 1] != '/'))
			return false;
	}
	return true;
}

bool topic_filter_wild(struct slice filter)
{
	return has_wildcard(filter);
}

bool topic_next_level(struct topic_cursor *cursor, struct slice *level)
{
	const uint8_t *start = cursor->at;
	size_t left = (size_t)(cursor->end - start);
	const uint8_t *slash = left > 0 ? memchr(start, '/', left) : NULL;

	if (cursor->done)
		return false;
	*level = slice_of(start, slash ? (size_t)(slash - start) : left);
	if (slash)
		cursor->at = slash + 1;
	else
		cursor->done = true;
	return true;
}

static bool level_is(struct slice level, uint8_t wildcard)
{
	return level.len == 1 && level.at[0] == wildcard;
}

bool topic_matches(struct slice filter, struct slice name)
{
	struct topic_cursor wanted = topic_cursor_of(filter);
	struct topic_cursor given = topic_cursor_of(name);
	struct slice want, have;

	if (name.at[0] == '$' && is_wildcard(filter.at[0])) /* [MQTT-4.7.2-1] */
		return false;
	while (topic_next_level(&wanted, &want)) {
		if (level_is(want, '#')) /* stands for the parent level too */
			return true;
		if (!topic_next_level(&given, &have))
			return false;
		if (!level_is(want, '+') && !slice_equal(want, have))
			return false;
	}
	return given.done;
}

size_t topic_levels(struct slice text)
{
	size_t levels = 1;

	for (size_t i = 0; i < text.len; i++)
		levels += text.at[i] == '/';
	return levels;
}

bool topic_filter_parse(struct slice text, bool shared_allowed, struct topic_filter *out)
{
	const struct slice prefix = SLICE_LITERAL("$share/");
	struct topic_cursor cursor;

	*out = (struct topic_filter){.share = SLICE_NONE, .filter = text};
	if (shared_allowed && text.len >= prefix.len &&
	    memcmp(text.at, prefix.at, prefix.len) == 0) {
		cursor = topic_cursor_of(slice_after(text, prefix.len));
		topic_next_level(&cursor, &out->share);
		if (cursor.done || out->share.len == 0 || has_wildcard(out->share))
			return false;
		out->filter = slice_of(cursor.at, (size_t)(cursor.end - cursor.at));
	}
	return topic_filter_valid(out->filter);
}
