/* log_open.c - opening, and making: see log.h. */
#include "storage/audit/log_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the folder and the key */

static bool open_folder(struct audit_log *log, struct failure *failure)
{
	const int data_directory = log->data_directory;

	if (mkdirat(data_directory, AUDIT_LOG_FOLDER, 0700) != 0 && errno != EEXIST)
		return failure_set(failure, "cannot be made: %s", strerror(errno));
	if (!audit_file_sync_folder(data_directory, AUDIT_LOG_FOLDER, failure))
		return false;
	log->directory = openat(data_directory, AUDIT_LOG_FOLDER,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return log->directory >= 0 || failure_set(failure, "cannot be opened: %s", strerror(errno));
}

static bool is_there(const struct audit_log *log, const char *name)
{
	struct stat st;

	return fstatat(log->directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool open_key(struct audit_log *log, struct failure *failure)
{
	const struct audit_key_place place = log_key_place(log);
	bool found;

	if (!audit_key_load(&place, &found, &log->key, failure))
		return false;
	if (!found && is_there(log, AUDIT_CHECKPOINT_NAME))
		return failure_set(failure,
				   "its signing key is gone, so the log cannot be continued; put "
				   "%s back, or move the log away to begin a new one",
				   log->keys ? "keys.slots" : AUDIT_KEY_NAME);
	if (!found && !audit_key_make(&place, &log->key, failure))
		return false;
	log->verifier = note_verifier_of(log->key.public);
	return true;
}

/* It follows from the key, so it is written where it is missing. */
static bool open_vkey(const struct audit_log *log, bool *fits, struct failure *failure)
{
	char vkey[NOTE_VKEY_SIZE];
	char text[NOTE_VKEY_SIZE + 1];
	struct audit_file file;

	note_vkey_write(&log->verifier, vkey);
	snprintf(text, sizeof(text), "%s\n", vkey);
	enum audit_found found =
	    audit_file_find(log->directory, AUDIT_VKEY_NAME, NOTE_VKEY_SIZE, &file, failure);

	*fits = true;
	if (found == AUDIT_NOT_THERE)
		return log_put_vkey(log, failure);
	if (found != AUDIT_FOUND)
		return false;
	*fits = slice_equal(slice_of(file.at, file.len), slice_text(text));
	free(file.at);
	return true;
}

/* ---- what is published */

/* A key that is newer than `vkey`, whose checkpoint is there still: a new origin was being begun.
 */
static bool load_checkpoint(const struct audit_log *log, bool fits, struct checkpoint *checkpoint,
			    struct failure *failure)
{
	struct note_verifier old;
	struct failure again;

	return audit_checkpoint_load(log->directory, &log->verifier, checkpoint, NULL, failure) ||
	       (!fits && audit_vkey_load(log->directory, &old, &again) &&
		audit_checkpoint_load(log->directory, &old, checkpoint, NULL, failure));
}

static bool open_checkpoint(struct audit_log *log, bool fits, bool *created,
			    struct checkpoint *checkpoint, struct failure *failure)
{
	*created = !is_there(log, AUDIT_CHECKPOINT_NAME);
	if (!*created)
		return load_checkpoint(log, fits, checkpoint, failure);
	if (is_there(log, "tile"))
		return failure_set(failure, AUDIT_CHECKPOINT_NAME
				   ": is gone, but there are tiles; put it back, "
				   "or move the log away to begin a new one");
	*checkpoint = (struct checkpoint){0, merkle_empty()};
	return log_publish(log, log->now, NULL, failure);
}

static bool load_edge(struct audit_log *log, uint64_t size, struct failure *failure)
{
	struct tile_edge *edge = &log->now->edge;

	edge->size = size;
	for (uint32_t level = 0; level < TILE_LEVELS; level++) {
		if (tile_edge_width(edge, level) == 0)
			continue;
		const struct tile tile = tile_edge_tile(edge, level);

		if (!audit_read_tile(log->directory, &tile, edge->hashes[level], failure))
			return false;
	}
	return true;
}

/* The bundle that is not full, into memory. */
static bool load_bundle(struct audit_log *log, struct failure *failure)
{
	struct log_state *state = log->now;
	const uint32_t width = tile_edge_width(&state->edge, 0);
	struct audit_reader reader;
	struct slice entry = SLICE_NONE;
	bool ok = true;

	audit_reader_init(&reader, log->directory, state->edge.size);
	for (uint32_t i = 0; ok && i < width; i++) {
		ok = audit_reader_entry(&reader, state->edge.size - width + i, &entry, failure);
		const struct audit_hash leaf = ok ? merkle_leaf(entry) : merkle_empty();

		if (ok && !audit_hash_equal(&leaf, &state->edge.hashes[0][i]))
			ok = failure_set(failure, "entry %" PRIu64 " is not what its tile says",
					 state->edge.size - width + i);
	}
	/* The file may be the full bundle in a partial one's place: then it goes on behind them. */
	if (ok && width > 0) {
		state->bundle_len = (size_t)(entry.at + entry.len - reader.bundle.at);
		ok = state->bundle_len <= BUNDLE_SIZE ||
		     failure_set(failure, "the last bundle is too long");
	}
	if (ok && width > 0)
		memcpy(state->bundle, reader.bundle.at, state->bundle_len);
	audit_reader_finish(&reader);
	return ok;
}

/* The edge tells that something is wrong; the whole tells where. */
bool log_load(struct audit_log *log, const struct checkpoint *checkpoint, struct failure *failure)
{
	if (checkpoint->size <= AUDIT_WHOLE_MAX &&
	    !audit_verify_tree(log->directory, checkpoint, failure))
		return false;
	bool ok = load_edge(log, checkpoint->size, failure);
	const struct audit_hash root = tile_edge_root(&log->now->edge);

	if (ok && audit_hash_equal(&root, &checkpoint->root) && load_bundle(log, failure))
		return true;
	if (!audit_verify_tree(log->directory, checkpoint, failure))
		return false;
	return failure_set(failure, "its files changed while they were read");
}

/* ---- what was written and not published */

/* True when the bundle begins with what is published and goes on with entries at their places. */
static bool goes_on(const struct log_state *now, const struct audit_file *file, uint32_t width,
		    struct slice *entries)
{
	const uint64_t first = now->edge.size / TILE_WIDTH * TILE_WIDTH;
	struct audit_event event;

	if (!audit_bundle_part(slice_of(file->at, file->len), width, entries) ||
	    file->len < now->bundle_len || memcmp(file->at, now->bundle, now->bundle_len) != 0)
		return false;
	for (uint32_t i = tile_edge_width(&now->edge, 0); i < width; i++)
		if (!audit_event_read(entries[i], &event) || event.index != first + i)
			return false;
	return true;
}

/* How many entries the longest bundle has that goes on from `now`; 0: there is none. */
static uint32_t find_longer(const struct audit_log *log, struct audit_file *file,
			    struct slice *entries)
{
	const struct log_state *now = log->now;
	struct failure ignored;
	char path[TILE_PATH_SIZE];

	for (uint32_t width = TILE_WIDTH; width > tile_edge_width(&now->edge, 0); width--) {
		tile_path(&(struct tile){TILE_ENTRIES, width, now->edge.size / TILE_WIDTH}, path);
		if (audit_file_find(log->directory, path, BUNDLE_SIZE, file, &ignored) !=
		    AUDIT_FOUND)
			continue;
		if (goes_on(now, file, width, entries))
			return width;
		free(file->at); /* left over from a write that failed */
		file->at = NULL;
	}
	return 0;
}

/* *more is false when there was nothing. */
static bool publish_bundle(struct audit_log *log, bool *more, struct failure *failure)
{
	const uint32_t have = tile_edge_width(&log->now->edge, 0);
	struct slice entries[TILE_WIDTH];
	struct audit_file file = {0};
	const uint32_t width = find_longer(log, &file, entries);
	bool ok = true;

	*more = width > 0;
	if (*more)
		ok = log_append_lines(log, entries + have, width - have, failure);
	free(file.at);
	return ok;
}

static bool publish_rest(struct audit_log *log, struct failure *failure)
{
	bool more = true;

	while (more)
		if (!publish_bundle(log, &more, failure))
			return false;
	return true;
}

/* ---- all of it */

/*
 * Under the origin that it had, or a new one.  When `vkey` does not fit, a new one was being begun;
 * unless the log was seen with this key: then somebody else wrote that file.
 */
static bool open_origin(struct audit_log *log, bool fits, enum audit_log_was *was,
			struct failure *failure)
{
	enum log_seen seen;

	if (!log_look_back(log, &seen, failure))
		return false;
	if (!fits && seen == LOG_SEEN)
		return failure_set(failure, AUDIT_VKEY_NAME
				   ": is not the key that signs here; remove it, and the right "
				   "one is written");
	const bool restored = !fits || log->lines_longer || seen == LOG_SEEN_LONGER ||
			      (seen == LOG_SEEN_OTHER && *was == AUDIT_LOG_CONTINUED);

	if (restored)
		*was = AUDIT_LOG_RESTORED;
	const struct audit_key_place place = log_key_place(log);

	return (!restored || log_begin_origin(log, fits, failure)) && log_note_seen(log, failure) &&
	       audit_key_settle(&place, failure);
}

static bool open_all(struct audit_log *log, enum audit_log_was *was, struct failure *failure)
{
	struct checkpoint checkpoint;
	bool created;
	bool fits;

	if (!open_folder(log, failure) || !open_key(log, failure) ||
	    !open_vkey(log, &fits, failure) ||
	    !open_checkpoint(log, fits, &created, &checkpoint, failure))
		return false;
	*was = created ? AUDIT_LOG_CREATED : AUDIT_LOG_CONTINUED;
	return log_load(log, &checkpoint, failure) && publish_rest(log, failure) &&
	       log_lines_open(log, failure) && open_origin(log, fits, was, failure) &&
	       log_lines_catch_up(log, failure);
}

struct audit_log *log_create(void)
{
	struct audit_log *log = calloc(1, sizeof(*log));

	must(log);
	log->now = calloc(1, sizeof(*log->now));
	log->next = calloc(1, sizeof(*log->next));
	must(log->now && log->next);
	log->directory = -1;
	log->lines = -1;
	return log;
}

struct audit_log *audit_log_open(int data_directory, struct keyring *keys, enum audit_log_was *was,
				 struct failure *failure)
{
	struct audit_log *log = log_create();

	log->data_directory = data_directory;
	log->keys = keys;
	if (open_all(log, was, failure))
		return log;
	failure_context(failure, "audit log");
	audit_log_close(log);
	return NULL;
}

void audit_log_close(struct audit_log *log)
{
	if (log == NULL)
		return;
	audit_signing_key_wipe(&log->key);
	if (log->directory >= 0)
		close(log->directory);
	if (log->lines >= 0)
		close(log->lines);
	free(log->now);
	free(log->next);
	free(log);
}
