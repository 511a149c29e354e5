/*
 * topic.h - topic names and topic filters, MQTT 5.0 section 4.7 and 4.8.
 * Pure; the strings are already known to be valid UTF-8 without U+0000.
 * Matching is byte by byte, with no normalisation. [MQTT-4.7.3-4] [MQTT3-4.7.3-4] [MQTT-3.3.2-3]
 * [MQTT3-3.3.2-3]
 */
#ifndef PROTO_TOPIC_H
#define PROTO_TOPIC_H

#include "proto/base.h"

#define TOPIC_LEN_MAX 65535u /* [MQTT-4.7.3-3] [MQTT3-4.7.3-3] */

/* One or more bytes, no '+' and no '#'. [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.0-1]
 * [MQTT3-3.3.2-2] [MQTT3-4.7.1-1] [MQTT3-4.7.3-1] */
bool topic_name_valid(struct slice name);

/* One or more bytes, wildcards only where they may stand. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
 * [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] */
bool topic_filter_valid(struct slice filter);

/* Does the filter hold a '+' or '#'?  The filter is valid. */
bool topic_filter_wild(struct slice filter);

/*
 * Does a valid filter match a valid name?  A filter that begins with a wildcard
 * does not match a name that begins with '$'. [MQTT-4.7.2-1] [MQTT3-4.7.2-1]
 * The slow and obvious way: the oracle for the trie, and for single questions.
 */
bool topic_matches(struct slice filter, struct slice name);

/* Levels in a name or filter: slashes + 1. */
size_t topic_levels(struct slice text);

/* A topic filter taken apart: share name (empty when not shared) and the filter to match by. */
struct topic_filter {
	struct slice share; /* between "$share/" and the next '/' */
	struct slice filter;
};

/*
 * Takes a filter of a SUBSCRIBE apart.  False when it is not valid, as a shared
 * or as a plain one. [MQTT-4.8.2-1] [MQTT-4.8.2-2]  With `shared_allowed` false
 * (3.1 and 3.1.1) "$share/..." is an ordinary filter.
 */
bool topic_filter_parse(struct slice text, bool shared_allowed, struct topic_filter *out);

/* Walks the levels: gives the next one and moves on; false when there is none left. */
struct topic_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool done;
};

static inline struct topic_cursor topic_cursor_of(struct slice text)
{
	return (struct topic_cursor){text.at, text.len > 0 ? text.at + text.len : text.at, false};
}

bool topic_next_level(struct topic_cursor *cursor, struct slice *level);

#endif
