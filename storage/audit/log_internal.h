/*
 * log_internal.h - the struct that log.c (writing) and log_open.c (opening) share.
 */
#ifndef STORAGE_AUDIT_LOG_INTERNAL_H
#define STORAGE_AUDIT_LOG_INTERNAL_H

#include "storage/audit/log.h"
#include "storage/audit/reader.h"

#include <sys/types.h>

#define BUNDLE_SIZE (TILE_WIDTH * (2u + AUDIT_LINE_SIZE))

/* The right edge, and the bundle that is not full. */
struct log_state {
	struct tile_edge edge;
	size_t bundle_len;
	uint8_t bundle[BUNDLE_SIZE];
};

struct audit_log {
	int directory;
	struct audit_signing_key key;
	struct note_verifier verifier;
	struct log_state *now;	/* what the checkpoint says */
	struct log_state *next; /* room for what is being added */
	int lines;		/* audit.jsonl */
	uint64_t lines_count;	/* whole lines in it */
	off_t lines_end;	/* and where they end */
};

/* Adds entries as they are, which are lines of the closed table, and publishes. */
bool log_append_lines(struct audit_log *log, const struct slice *lines, size_t count,
		      struct failure *failure);

/* Signs and publishes what `now` holds. */
bool log_publish(const struct audit_log *log, const struct log_state *state, bool *renamed,
		 struct failure *failure);

/* log_lines.c: opens audit.jsonl; what was torn is cut off. */
bool log_lines_open(struct audit_log *log, struct failure *failure);
/* Writes the lines that it lacks. */
bool log_lines_catch_up(struct audit_log *log, struct failure *failure);

#endif
