/*
 * jsonout.h - writes JSON the way mosquitto_sub does, so that scripts which compare
 * or cut its text keep working: order as given, names may repeat, and `pretty`
 * means tabs.  (jansson writes sorted-out objects in its own layout; here it
 * only reads, what a payload holds.)
 *
 * A NUL is written as \u0000 and bytes that are no UTF-8 as they are.
 */
#ifndef CLI_JSONOUT_H
#define CLI_JSONOUT_H

#include "cli/buffer.h"

struct jsonout_writer {
	struct buffer *out;
	bool pretty;
	size_t depth;
	bool begun; /* has the innermost object or array an entry? */
};

void jsonout_open(struct jsonout_writer *w);  /* { */
void jsonout_close(struct jsonout_writer *w); /* } */
void jsonout_name(struct jsonout_writer *w, struct slice name);
void jsonout_string(struct jsonout_writer *w, struct slice text);
void jsonout_integer(struct jsonout_writer *w, long long value);
void jsonout_null_value(struct jsonout_writer *w);

/* A list of numbers. */
void jsonout_integers(struct jsonout_writer *w, const uint32_t *values, size_t count);

/* A whole JSON text, written again in this layout.  False when it is not valid JSON. */
bool jsonout_text(struct jsonout_writer *w, struct slice text);

#endif
