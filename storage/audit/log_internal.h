/*
 * log_internal.h - the struct that log.c (writing), log_open.c (opening), log_restore.c and
 * log_lines.c share.
 */
#ifndef STORAGE_AUDIT_LOG_INTERNAL_H
#define STORAGE_AUDIT_LOG_INTERNAL_H

#include "storage/audit/key.h"
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
	int data_directory;   /* borrowed */
	struct keyring *keys; /* NULL: the signing key lies in a file; borrowed */
	int directory;
	struct audit_signing_key key;
	struct note_verifier verifier;
	struct log_state *now;	/* what the checkpoint says */
	struct log_state *next; /* room for what is being added */
	int lines;		/* audit.jsonl */
	uint64_t lines_count;	/* whole lines in it */
	off_t lines_end;	/* and where they end */
	bool lines_longer;	/* there are lines that the checkpoint does not say */
};

/* Adds entries as they are, which are lines of the closed table, and publishes. */
bool log_append_lines(struct audit_log *log, const struct slice *lines, size_t count,
		      struct failure *failure);

/* The parts of that: one entry more in a state, with the files that become full; */
bool log_add_line(struct audit_log *log, struct log_state *state, struct slice line,
		  struct failure *failure);
/* the partial files of a state that differ from those of the tree of `old` entries; */
bool log_put_partials(struct audit_log *log, const struct log_state *state, uint64_t old,
		      struct failure *failure);
/* what was `next` is `now`; */
void log_exchange_states(struct audit_log *log);
/* partial files that became full between the trees of these sizes. */
void log_remove_partials(const struct audit_log *log, uint64_t old, uint64_t size);

/* log_open.c: one without anything; audit_log_close() frees it. */
struct audit_log *log_create(void);
/* What the checkpoint says, from the files. */
bool log_load(struct audit_log *log, const struct checkpoint *checkpoint, struct failure *failure);

/* Signs and publishes what `now` holds. */
bool log_publish(const struct audit_log *log, const struct log_state *state, bool *renamed,
		 struct failure *failure);

static inline struct audit_key_place log_key_place(const struct audit_log *log)
{
	return (struct audit_key_place){log->directory, log->keys};
}

/* log_restore.c: what audit.seen says of the log. */
enum log_seen {
	LOG_SEEN,	 /* this one, as long as it is now or shorter; or nothing */
	LOG_SEEN_LONGER, /* this one, and it was longer */
	LOG_SEEN_OTHER,	 /* one of another key */
};

bool log_look_back(const struct audit_log *log, enum log_seen *seen, struct failure *failure);
/* Copies the checkpoint to where the next start looks for it. */
bool log_note_seen(const struct audit_log *log, struct failure *failure);
/*
 * Publishes the log as it is under a new origin: with a new key, unless it has one already that
 * `vkey` does not fit.  Lines that the checkpoint does not say are put aside.
 */
bool log_begin_origin(struct audit_log *log, bool fits, struct failure *failure);

/* The file `vkey`, of the key that signs. */
bool log_put_vkey(const struct audit_log *log, struct failure *failure);

/* log_lines.c: opens audit.jsonl; what was torn is cut off. */
bool log_lines_open(struct audit_log *log, struct failure *failure);
/* Begins it anew, keeping what there is beside it. */
bool log_lines_renew(struct audit_log *log, struct failure *failure);
/* Writes the lines that it lacks. */
bool log_lines_catch_up(struct audit_log *log, struct failure *failure);

#endif
