/*
 * log_restore.c - a log that was put back to an earlier state: how it is known, and how it goes on.
 *
 * The order of a new origin: key, checkpoint, vkey, audit.seen.  A process that dies between them
 * finds at its next start a `vkey` that its key does not fit, and an audit.seen of neither key or
 * of the one of before, and goes on where it was.
 */
#include "storage/audit/log_internal.h"
#include "storage/audit/text.h"

#include <stdio.h>
#include <stdlib.h>

/* What cannot be read as a checkpoint says nothing. */
static enum log_seen compare(const struct audit_log *log, struct slice text)
{
	struct slice origin;
	struct slice number;
	uint64_t size;

	if (!text_cut(&text, '\n', &origin) || !text_cut(&text, '\n', &number) ||
	    !text_number(number, &size))
		return LOG_SEEN;
	if (!slice_equal(origin, slice_text(log->verifier.name)))
		return LOG_SEEN_OTHER;
	return size > log->now->edge.size ? LOG_SEEN_LONGER : LOG_SEEN;
}

bool log_look_back(const struct audit_log *log, enum log_seen *seen, struct failure *failure)
{
	struct audit_file file;
	const enum audit_found found = audit_file_find(log->data_directory, AUDIT_SEEN_NAME,
						       NOTE_CHECKPOINT_MAX, &file, failure);

	*seen = LOG_SEEN;
	if (found != AUDIT_FOUND)
		return found == AUDIT_NOT_THERE;
	*seen = compare(log, slice_of(file.at, file.len));
	free(file.at);
	return true;
}

bool log_note_seen(const struct audit_log *log, struct failure *failure)
{
	struct audit_file text;

	if (!audit_file_read(log->directory, AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX, &text,
			     failure))
		return false;
	const bool ok = audit_file_put_by(log->data_directory, AUDIT_SEEN_NEW_NAME, AUDIT_SEEN_NAME,
					  slice_of(text.at, text.len), 0600, NULL, failure);

	free(text.at);
	return ok;
}

bool log_put_vkey(const struct audit_log *log, struct failure *failure)
{
	char vkey[NOTE_VKEY_SIZE];
	char text[NOTE_VKEY_SIZE + 1];

	note_vkey_write(&log->verifier, vkey);
	const int len = snprintf(text, sizeof(text), "%s\n", vkey);

	return audit_file_put(log->directory, AUDIT_VKEY_NAME, slice_of(text, (size_t)len), 0644,
			      NULL, failure);
}

bool log_begin_origin(struct audit_log *log, bool fits, struct failure *failure)
{
	const struct audit_key_place place = log_key_place(log);

	if (log->lines_longer && !log_lines_renew(log, failure))
		return false;
	if (fits && !audit_key_make(&place, &log->key, failure))
		return false;
	log->verifier = note_verifier_of(log->key.public);
	return log_publish(log, log->now, NULL, failure) && log_put_vkey(log, failure);
}
