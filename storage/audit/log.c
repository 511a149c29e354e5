/* log.c - writing: see log.h. */
#include "storage/audit/log_internal.h"

#include "storage/bytes.h"

#include <stdlib.h>
#include <unistd.h>

#define MODE_PUBLIC 0644

/* ---- files of a tree that grows */

static bool put(const struct audit_log *log, const struct tile *tile, struct slice bytes,
		struct failure *failure)
{
	char path[TILE_PATH_SIZE];

	tile_path(tile, path);
	return audit_file_put(log->directory, path, bytes, MODE_PUBLIC, NULL, failure);
}

static bool put_tile(void *self, const struct tile *tile, const struct audit_hash *hashes,
		     struct failure *failure)
{
	return put(self, tile, slice_of(hashes, tile->width * sizeof(*hashes)), failure);
}

static bool put_bundle(const struct audit_log *log, const struct log_state *state, uint32_t width,
		       struct failure *failure)
{
	const struct tile bundle = {TILE_ENTRIES, width, state->edge.size / TILE_WIDTH};

	return put(log, &bundle, slice_of(state->bundle, state->bundle_len), failure);
}

/* A bundle goes to disk before the tile that holds the hashes of its entries. */
bool log_add_line(struct audit_log *log, struct log_state *state, struct slice line,
		  struct failure *failure)
{
	const struct tile_sink sink = {log, put_tile};
	const struct audit_hash leaf = merkle_leaf(line);
	const bool fills = tile_edge_width(&state->edge, 0) == TILE_WIDTH - 1;

	must(state->bundle_len + 2 + line.len <= BUNDLE_SIZE);
	bytes_put(state->bundle + state->bundle_len, line.len, 2);
	memcpy(state->bundle + state->bundle_len + 2, line.at, line.len);
	state->bundle_len += 2 + line.len;
	if (fills && !put_bundle(log, state, TILE_WIDTH, failure))
		return false;
	if (fills)
		state->bundle_len = 0;
	return tile_edge_add(&state->edge, &leaf, &sink, failure);
}

bool log_put_partials(struct audit_log *log, const struct log_state *state, uint64_t old,
		      struct failure *failure)
{
	const uint32_t width = tile_edge_width(&state->edge, 0);

	if (width > 0 && !put_bundle(log, state, width, failure))
		return false;
	for (uint32_t level = 0; level < TILE_LEVELS; level++) {
		const unsigned bits = TILE_HEIGHT * level;

		if (state->edge.size >> bits == old >> bits)
			break;
		if (tile_edge_width(&state->edge, level) == 0)
			continue;
		const struct tile tile = tile_edge_tile(&state->edge, level);

		if (!put_tile(log, &tile, state->edge.hashes[level], failure))
			return false;
	}
	return true;
}

/* Partial files are of no use once the full one is there [tlog-tiles, "Partial Tiles"]. */
void log_remove_partials(const struct audit_log *log, uint64_t old, uint64_t size)
{
	char path[TILE_PATH_SIZE];

	for (uint32_t level = 0; level + 1 < TILE_LEVELS; level++) {
		const unsigned bits = TILE_HEIGHT * (level + 1);
		const uint64_t number = old >> bits;

		if (size >> bits == number)
			break;
		tile_path(&(struct tile){level, TILE_WIDTH, number}, path);
		audit_file_remove_partials(log->directory, path);
		if (level > 0)
			continue;
		tile_path(&(struct tile){TILE_ENTRIES, TILE_WIDTH, number}, path);
		audit_file_remove_partials(log->directory, path);
	}
}

/* ---- a batch */

bool log_publish(const struct audit_log *log, const struct log_state *state, bool *renamed,
		 struct failure *failure)
{
	const struct checkpoint checkpoint = {state->edge.size, tile_edge_root(&state->edge)};
	char text[NOTE_CHECKPOINT_SIZE];
	const size_t len = checkpoint_write(&checkpoint, &log->verifier, &log->key, text);

	return audit_file_put(log->directory, AUDIT_CHECKPOINT_NAME, slice_of(text, len),
			      MODE_PUBLIC, renamed, failure);
}

/* Synced, else a loss of power would bring it back. */
static void remove_tile(const struct audit_log *log, const struct tile *tile)
{
	char path[TILE_PATH_SIZE];
	struct failure ignored;

	tile_path(tile, path);
	if (unlinkat(log->directory, path, 0) == 0)
		audit_file_sync_folder(log->directory, path, &ignored);
}

/*
 * What an append has written that failed: the next start would publish it, and before that other
 * entries may come to its places.  Only tiles that no checkpoint of `old` entries says.
 */
static void remove_unpublished(const struct audit_log *log, uint64_t old, uint64_t size)
{
	for (uint32_t level = 0; level + 1 < TILE_LEVELS; level++) {
		const unsigned bits = TILE_HEIGHT * level;
		const uint64_t last = size >> (bits + TILE_HEIGHT);

		if (size >> bits == old >> bits)
			break;
		for (uint64_t i = old >> (bits + TILE_HEIGHT); i <= last; i++) {
			const uint32_t width = tile_width(size, level, i);

			if (level == 0 && width > 0)
				remove_tile(log, &(struct tile){TILE_ENTRIES, width, i});
			if (width > 0)
				remove_tile(log, &(struct tile){level, width, i});
		}
	}
}

void log_exchange_states(struct audit_log *log)
{
	struct log_state *old = log->now;

	log->now = log->next;
	log->next = old;
}

bool log_append_lines(struct audit_log *log, const struct slice *lines, size_t count,
		      struct failure *failure)
{
	const uint64_t old = log->now->edge.size;
	bool renamed;

	*log->next = *log->now;
	for (size_t i = 0; i < count; i++)
		if (!log_add_line(log, log->next, lines[i], failure))
			return false;
	if (!log_put_partials(log, log->next, old, failure))
		return false;
	const bool published = log_publish(log, log->next, &renamed, failure);

	/* Once a checkpoint could be read there is no way back, even if it is not known to be
	 * durable. */
	if (renamed)
		log_exchange_states(log);
	if (!published)
		return false;
	log_remove_partials(log, old, log->now->edge.size);
	return true;
}

bool audit_log_settle(struct audit_log *log, struct failure *failure)
{
	return log_note_seen(log, failure) && log_lines_catch_up(log, failure);
}

bool audit_log_append(struct audit_log *log, struct audit_event *events, size_t count,
		      struct failure *failure)
{
	const uint64_t old = audit_log_size(log);
	char(*texts)[AUDIT_LINE_SIZE] = malloc(count * sizeof(*texts));
	struct slice *lines = malloc(count * sizeof(*lines));

	must(count > 0 && texts && lines);
	for (size_t i = 0; i < count; i++) {
		events[i].index = old + i;
		lines[i] = slice_of(texts[i], audit_event_write(&events[i], texts[i]));
	}
	const bool added = log_append_lines(log, lines, count, failure);
	const bool ok = added && audit_log_settle(log, failure);

	if (audit_log_size(log) == old)
		remove_unpublished(log, old, old + count);
	free(texts);
	free(lines);
	return ok;
}

/* ---- looking back */

uint64_t audit_log_size(const struct audit_log *log)
{
	return log->now->edge.size;
}

void audit_log_checkpoint(const struct audit_log *log, struct checkpoint *checkpoint)
{
	*checkpoint = (struct checkpoint){log->now->edge.size, tile_edge_root(&log->now->edge)};
}

const struct note_verifier *audit_log_verifier(const struct audit_log *log)
{
	return &log->verifier;
}

static bool read_event(struct audit_reader *reader, uint64_t index, struct audit_event *event,
		       struct failure *failure)
{
	struct slice line;

	if (!audit_reader_entry(reader, index, &line, failure))
		return false;
	return (audit_event_read(line, event) && event->index == index) ||
	       failure_set(failure, "entry %llu is not one of the closed table",
			   (unsigned long long)index);
}

bool audit_log_read(struct audit_log *log, uint64_t index, struct audit_event *event,
		    struct failure *failure)
{
	struct audit_reader reader;

	if (index >= audit_log_size(log))
		return failure_set(failure, "there is no entry %llu", (unsigned long long)index);
	audit_reader_init(&reader, log->directory, audit_log_size(log));
	bool ok = read_event(&reader, index, event, failure);

	audit_reader_finish(&reader);
	return ok;
}

/* The c2sp.org/tlog-proof of an entry, with the checkpoint as it is now. */
static bool prove(struct audit_log *log, uint64_t index, char *text, size_t size, size_t *len,
		  struct failure *failure)
{
	const struct checkpoint tree = {audit_log_size(log), tile_edge_root(&log->now->edge)};
	struct audit_reader *reader = malloc(sizeof(*reader));
	struct proof_text *proof = malloc(sizeof(*proof));

	must(reader && proof && size >= PROOF_HEAD_SIZE + NOTE_CHECKPOINT_SIZE);
	audit_reader_init(reader, log->directory, tree.size);
	const bool ok = audit_reader_prove(reader, &tree, index, proof, failure);

	if (ok) {
		*len = proof_write_head(proof, text);
		*len += checkpoint_write(&tree, &log->verifier, &log->key, text + *len);
	}
	audit_reader_finish(reader);
	free(reader);
	free(proof);
	return ok;
}

bool audit_log_receipt(struct audit_log *log, uint64_t index, struct receipt_tickets *tickets,
		       enum receipt_event event, struct slice subject, char text[RECEIPT_SIZE],
		       struct failure *failure)
{
	char proof[PROOF_HEAD_SIZE + NOTE_CHECKPOINT_SIZE];
	struct receipt_wanted wanted = {
	    .event = event, .subject = subject, .verifier = &log->verifier, .key = &log->key};
	size_t len = 0;

	if (!prove(log, index, proof, sizeof(proof), &len, failure))
		return false;
	wanted.entry_proof = slice_of(proof, len);
	return receipt_write(tickets, &wanted, text, failure);
}

size_t audit_log_sign(const struct audit_log *log, char *text, size_t len, size_t size)
{
	return note_sign(text, len, size, &log->verifier, &log->key);
}

struct search {
	uint32_t types;
	bool found;
	struct audit_event event;
};

static bool is_it(void *self, const struct audit_event *event)
{
	struct search *search = self;

	search->found = (search->types & (UINT32_C(1) << event->type)) != 0;
	if (search->found)
		search->event = *event;
	return !search->found;
}

bool audit_log_last(struct audit_log *log, uint32_t types, bool *found, struct audit_event *event,
		    struct failure *failure)
{
	struct search search = {.types = types};
	const bool ok = audit_log_back(log, "", is_it, &search, failure);

	*found = search.found;
	*event = search.event;
	return ok;
}

/* *event is of an entry without the text where *holds is false. */
static bool read_holding(struct audit_reader *reader, uint64_t index, const char *text, bool *holds,
			 struct audit_event *event, struct failure *failure)
{
	struct slice line;

	if (!audit_reader_entry(reader, index, &line, failure))
		return false;
	*holds = memmem(line.at, line.len, text, strlen(text)) != NULL;
	return !*holds || read_event(reader, index, event, failure);
}

bool audit_log_back(struct audit_log *log, const char *text, audit_log_visitor *visitor, void *self,
		    struct failure *failure)
{
	struct audit_reader reader;
	struct audit_event event;
	bool more = true;
	bool ok = true;

	audit_reader_init(&reader, log->directory, audit_log_size(log));
	for (uint64_t left = audit_log_size(log); ok && more && left > 0; left--) {
		bool holds;

		ok = read_holding(&reader, left - 1, text, &holds, &event, failure);
		more = !ok || !holds || visitor(self, &event);
	}
	audit_reader_finish(&reader);
	return ok;
}
