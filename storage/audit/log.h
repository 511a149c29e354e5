/*
 * log.h - the audit log as its one writer has it: opened, continued, closed.
 *
 * Below <data directory>/log (docs/audit.md): checkpoint, tile/..., audit.jsonl, vkey.
 *
 * Order of writing: the bundle of entries, the tiles from the bottom up, each synced with its
 * folder; then the checkpoint, signed, by rename; then audit.jsonl.  So whatever a checkpoint says
 * is on disk before it can be read, and a process that dies anywhere leaves a log that opens.
 *
 * Opening reads the right edge of the tree and computes the root from it: that takes the same time
 * whatever the length.  A log of up to AUDIT_WHOLE_MAX entries is besides computed from its
 * entries; for longer ones that is `metrino audit verify`.  Entries that were on disk before their
 * checkpoint was are published then: somebody may have read a checkpoint that a loss of power took.
 *
 * Beside the log lies audit.seen, a copy of the last checkpoint.  A log that has become shorter
 * than that, or is another's, was put back to an earlier state: it goes on under a new origin, that
 * is, with a new key, for two logs of one origin are a fork.  What lay behind is not lost sight of:
 * audit.jsonl of then is kept as audit.jsonl.before.
 *
 * Ownership: audit_log_open() gives, audit_log_close() takes.  The data directory is borrowed for
 * the call; it is locked, so that there is one writer. Failure: what cannot be written, the log
 * staying what it was up to the checkpoint; damage, with the file and the first bad entry. Thread:
 * any, one at a time.
 */
#ifndef STORAGE_AUDIT_LOG_H
#define STORAGE_AUDIT_LOG_H

#include "storage/audit/event.h"
#include "storage/audit/note.h"
#include "storage/audit/receipt.h"

#define AUDIT_LOG_FOLDER "log"
#define AUDIT_WHOLE_MAX	 4096u

/* In the data directory. */
#define AUDIT_SEEN_NAME	    "audit.seen"
#define AUDIT_SEEN_NEW_NAME "audit.seen.new"

struct audit_log;

enum audit_log_was {
	AUDIT_LOG_CONTINUED,
	AUDIT_LOG_CREATED,  /* there was none */
	AUDIT_LOG_RESTORED, /* to an earlier state: the origin is new */
};

/* `keys` (borrowed) holds the signing key; NULL: it lies in a file, key.h.  NULL: not opened. */
struct keyring;
struct audit_log *audit_log_open(int data_directory, struct keyring *keys, enum audit_log_was *was,
				 struct failure *failure);
void audit_log_close(struct audit_log *log);

/*
 * Gives the events their indexes and writes them under one checkpoint.  False with a log that has
 * grown: the checkpoint says them, and what comes behind it (audit.seen, audit.jsonl) could not be
 * written; audit_log_settle() or the next append makes up for it.
 */
bool audit_log_append(struct audit_log *log, struct audit_event *events, size_t count,
		      struct failure *failure);
bool audit_log_settle(struct audit_log *log, struct failure *failure);

uint64_t audit_log_size(const struct audit_log *log);
void audit_log_checkpoint(const struct audit_log *log, struct checkpoint *checkpoint);
const struct note_verifier *audit_log_verifier(const struct audit_log *log);

/* Entry `index`. */
bool audit_log_read(struct audit_log *log, uint64_t index, struct audit_event *event,
		    struct failure *failure);

/* A receipt of the tickets whose root stands in entry `index`: receipt.h. */
bool audit_log_receipt(struct audit_log *log, uint64_t index, struct receipt_tickets *tickets,
		       enum receipt_event event, struct slice subject, char text[RECEIPT_SIZE],
		       struct failure *failure);

/*
 * Signs a text of `len` bytes, which ends with a newline and begins like nothing else that the key
 * signs, in its place: note_sign().  Gives the new length.
 */
size_t audit_log_sign(const struct audit_log *log, char *text, size_t len, size_t size);

/* The last entry whose type's bit (1 << type) is in `types`; *found is false when there is none. */
bool audit_log_last(struct audit_log *log, uint32_t types, bool *found, struct audit_event *event,
		    struct failure *failure);

/* Is shown an entry; false: no more of them. */
typedef bool audit_log_visitor(void *self, const struct audit_event *event);

/* Shows the entries in whose line the text stands, from the last one back. */
bool audit_log_back(struct audit_log *log, const char *text, audit_log_visitor *visitor, void *self,
		    struct failure *failure);

#endif
