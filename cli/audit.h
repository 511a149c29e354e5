/*
 * audit.h - what the parts of `metrino audit` share: the arguments, and a log that is open.
 *
 * Ownership: an audit_place owns its descriptor and texts; audit_place_finish() frees.
 * Failure: a sentence for whoever typed the command.
 */
#ifndef CLI_AUDIT_H
#define CLI_AUDIT_H

#include "storage/audit/reader.h"

struct audit_request {
	const char *operand; /* DIR, URL, N or FILE */
	const char *data;    /* --data, or DIR of what reads a log; NULL: where a broker has it */
	const char *vkey;    /* --vkey: a file, or the key itself */
	const char *from;    /* --from: an older checkpoint */
	const char *count;   /* -n */
	const char *copy;    /* --copy: where follow keeps the log */
	const char *max_age; /* --max-age: hours */
	bool follow;
	bool json;
	bool help;
};

/* A log, its key and the checkpoint of now. */
struct audit_place {
	int directory;
	struct note_verifier verifier;
	struct checkpoint checkpoint;
	struct audit_file checkpoint_text;
};

/* Opens the log of `path`, which is a log or a data directory with one; NULL: where a broker has
 * it. */
bool audit_place_open(struct audit_place *place, const char *path, struct failure *failure);
/* Reads key and checkpoint; `vkey` as in a request, NULL: the one beside the log. */
bool audit_place_read(struct audit_place *place, const char *vkey, struct failure *failure);
void audit_place_finish(struct audit_place *place);

/* A key that was given: a file's name or the key itself. */
bool audit_vkey_given(const char *given, struct note_verifier *verifier, struct failure *failure);

/* The sub-commands: 0, or 1 with the failure. */
typedef bool audit_command(const struct audit_request *request, struct failure *failure);
audit_command audit_tail, audit_verify_log, audit_prove, audit_check, audit_schedule_keys,
    audit_follow;

#endif
