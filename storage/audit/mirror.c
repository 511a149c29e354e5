/* mirror.c - see mirror.h.  The copy is a struct audit_log without a signing key. */
#include "storage/audit/mirror.h"

#include "storage/audit/log_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct audit_mirror {
	struct audit_log *log;
	struct checkpoint checkpoint;
};

/* ---- opening */

/* The key of the copy's first day stays: another one is another log. */
static bool open_vkey(const struct audit_log *log, struct failure *failure)
{
	struct note_verifier kept;
	struct audit_file file;
	const enum audit_found found =
	    audit_file_find(log->directory, AUDIT_VKEY_NAME, NOTE_VKEY_SIZE, &file, failure);

	if (found == AUDIT_NOT_THERE)
		return log_put_vkey(log, failure);
	if (found != AUDIT_FOUND)
		return false;
	free(file.at);
	if (!audit_vkey_load(log->directory, &kept, failure))
		return false;
	return memcmp(&kept, &log->verifier, sizeof(kept)) == 0 ||
	       failure_set(failure, "the copy is of the log %s, not of %s", kept.name,
			   log->verifier.name);
}

static bool open_copy(struct audit_mirror *mirror, struct failure *failure)
{
	struct audit_log *log = mirror->log;
	struct audit_file text;
	const enum audit_found found = audit_file_find(log->directory, AUDIT_CHECKPOINT_NAME,
						       NOTE_CHECKPOINT_MAX, &text, failure);

	if (found == AUDIT_UNREADABLE || !open_vkey(log, failure))
		return false;
	mirror->checkpoint = (struct checkpoint){0, merkle_empty()};
	if (found == AUDIT_FOUND) {
		free(text.at);
		if (!audit_checkpoint_load(log->directory, &log->verifier, &mirror->checkpoint,
					   NULL, failure) ||
		    !log_load(log, &mirror->checkpoint, failure))
			return false;
	}
	if (!log_lines_open(log, failure))
		return false;
	return !log->lines_longer ||
	       failure_set(failure, AUDIT_LINES_NAME
			   ": has more lines than its checkpoint says; remove it, and it is "
			   "written anew");
}

struct audit_mirror *audit_mirror_open(int directory, const struct note_verifier *verifier,
				       struct failure *failure)
{
	struct audit_mirror *mirror = calloc(1, sizeof(*mirror));

	must(mirror);
	mirror->log = log_create();
	mirror->log->verifier = *verifier;
	mirror->log->directory = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	must(mirror->log->directory >= 0);
	if (open_copy(mirror, failure))
		return mirror;
	failure_context(failure, "the copy");
	audit_mirror_close(mirror);
	return NULL;
}

void audit_mirror_close(struct audit_mirror *mirror)
{
	if (!mirror)
		return;
	audit_log_close(mirror->log);
	free(mirror);
}

struct checkpoint audit_mirror_checkpoint(const struct audit_mirror *mirror)
{
	return mirror->checkpoint;
}

/* ---- following */

/* A bundle of the new tree; a full one may stand in a partial one's place. */
static bool fetch_bundle(const struct audit_mirror_source *source, const struct tile *tile,
			 struct audit_file *file, uint32_t *count, struct failure *failure)
{
	char path[TILE_PATH_SIZE];
	struct failure of_full;

	*count = tile->width;
	tile_path(tile, path);
	enum audit_found found = source->fetch(source->self, path, AUDIT_BUNDLE_MAX, file, failure);

	if (found != AUDIT_NOT_THERE || tile->width == TILE_WIDTH)
		return found == AUDIT_FOUND;
	*count = TILE_WIDTH;
	tile_path(&(struct tile){tile->level, TILE_WIDTH, tile->number}, path);
	return source->fetch(source->self, path, AUDIT_BUNDLE_MAX, file, &of_full) == AUDIT_FOUND;
}

static bool add_entry(struct audit_log *log, struct slice entry, struct failure *failure)
{
	const uint64_t index = log->next->edge.size;
	struct audit_event event;

	if (!audit_event_read(entry, &event) || event.index != index)
		return failure_set(failure,
				   "entry %" PRIu64 " is not the line of an event of the closed "
				   "table at that place",
				   index);
	return log_add_line(log, log->next, entry, failure);
}

/* The entries of one bundle that are not here yet. */
static bool add_bundle(struct audit_log *log, const struct audit_mirror_source *source,
		       uint64_t size, struct failure *failure)
{
	const uint64_t number = log->next->edge.size / TILE_WIDTH;
	const uint32_t width = tile_width(size, 0, number);
	struct slice entries[TILE_WIDTH];
	struct audit_file file = {0};
	uint32_t count;

	if (!fetch_bundle(source, &(struct tile){TILE_ENTRIES, width, number}, &file, &count,
			  failure))
		return false;
	bool ok = audit_bundle_part(slice_of(file.at, file.len), count, entries) ||
		  failure_set(failure, "the bundle of entry %" PRIu64 " is not %u entries",
			      log->next->edge.size, (unsigned)count);

	for (uint32_t i = tile_edge_width(&log->next->edge, 0); ok && i < width; i++)
		ok = add_entry(log, entries[i], failure);
	free(file.at);
	return ok;
}

static bool check_root(const struct audit_mirror *mirror, const struct checkpoint *next,
		       struct failure *failure)
{
	const struct audit_hash root = tile_edge_root(&mirror->log->next->edge);

	return audit_hash_equal(&root, &next->root) ||
	       failure_set(failure,
			   "the log of %" PRIu64 " entries does not continue that of %" PRIu64
			   ": the entries before were changed, or it is another branch (fork)",
			   next->size, mirror->checkpoint.size);
}

static bool take(struct audit_mirror *mirror, const struct audit_mirror_source *source,
		 const struct checkpoint *next, struct slice text, struct failure *failure)
{
	struct audit_log *log = mirror->log;
	const uint64_t old = mirror->checkpoint.size;

	if (next->size < old)
		return failure_set(failure,
				   "the log has %" PRIu64 " entries and had %" PRIu64
				   ": it was put back to an earlier state",
				   next->size, old);
	*log->next = *log->now;
	while (log->next->edge.size < next->size)
		if (!add_bundle(log, source, next->size, failure))
			return false;
	if (!check_root(mirror, next, failure) || !log_put_partials(log, log->next, old, failure) ||
	    !audit_file_put(log->directory, AUDIT_CHECKPOINT_NAME, text, 0644, NULL, failure))
		return false;
	log_exchange_states(log);
	log_remove_partials(log, old, next->size);
	mirror->checkpoint = *next;
	return log_lines_catch_up(log, failure);
}

bool audit_mirror_follow(struct audit_mirror *mirror, const struct audit_mirror_source *source,
			 struct failure *failure)
{
	struct checkpoint next;
	struct audit_file text = {0};

	if (source->fetch(source->self, AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX, &text,
			  failure) != AUDIT_FOUND)
		return false;
	bool ok =
	    checkpoint_read(slice_of(text.at, text.len), &mirror->log->verifier, &next, failure) ||
	    failure_context(failure, AUDIT_CHECKPOINT_NAME);

	ok = ok && take(mirror, source, &next, slice_of(text.at, text.len), failure);
	free(text.at);
	return ok;
}
