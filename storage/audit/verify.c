/* verify.c - the whole log, from its entries: see reader.h. */
#include "storage/audit/event.h"
#include "storage/audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINES_WAIT_S   2u
#define LOOKS_A_SECOND 50u

struct verify {
	int directory;
	FILE *lines; /* audit.jsonl; NULL: not compared */
	struct tile_edge edge;
};

/* The first hash that differs, as an entry: where a tile of a level above 0 differs, many are
 * meant. */
static bool complain_tile(const struct tile *tile, uint32_t at, struct failure *failure)
{
	char path[TILE_PATH_SIZE];
	const uint64_t entry = (tile->number * TILE_WIDTH + at) << (TILE_HEIGHT * tile->level);

	tile_path(tile, path);
	return failure_set(failure,
			   "%s: hash %" PRIu32
			   " is not that of the entries; the first bad entry is "
			   "%" PRIu64,
			   path, at, entry);
}

static bool compare_tile(void *self, const struct tile *tile, const struct audit_hash *hashes,
			 struct failure *failure)
{
	const struct verify *verify = self;
	struct audit_hash stored[TILE_WIDTH];

	if (!audit_read_tile(verify->directory, tile, stored, failure))
		return false;
	for (uint32_t i = 0; i < tile->width; i++)
		if (!audit_hash_equal(&stored[i], &hashes[i]))
			return complain_tile(tile, i, failure);
	return true;
}

static bool check_entry(uint64_t index, struct slice entry, struct failure *failure)
{
	const struct tile bundle = {TILE_ENTRIES, TILE_WIDTH, index / TILE_WIDTH};
	char path[TILE_PATH_SIZE];
	struct audit_event event;

	if (audit_event_read(entry, &event) && event.index == index)
		return true;
	tile_path(&bundle, path);
	return failure_set(failure,
			   "%s: entry %" PRIu64
			   " is not the line of an event of the closed table at "
			   "that place",
			   path, index);
}

/*
 * A log that is written meanwhile may not have all lines of the checkpoint yet, which goes before
 * them: so the end of the file is looked at again for a while.
 */
static bool read_line(FILE *lines, char *line, size_t len)
{
	const struct timespec pause = {.tv_nsec = 1000000000L / LOOKS_A_SECOND};
	size_t have = fread(line, 1, len, lines);

	for (unsigned looks = 0; have < len && looks < LINES_WAIT_S * LOOKS_A_SECOND; looks++) {
		nanosleep(&pause, NULL);
		clearerr(lines);
		have += fread(line + have, 1, len - have, lines);
	}
	return have == len;
}

static bool check_line(FILE *lines, uint64_t index, struct slice entry, struct failure *failure)
{
	char line[AUDIT_LINE_SIZE + 1];

	if (lines == NULL)
		return true;
	if (read_line(lines, line, entry.len + 1) && line[entry.len] == '\n' &&
	    slice_equal(slice_of(line, entry.len), entry))
		return true;
	return failure_set(failure, AUDIT_LINES_NAME ": line %" PRIu64 " is not entry %" PRIu64,
			   index + 1, index);
}

static bool add_entries(struct verify *verify, uint64_t size, struct failure *failure)
{
	const struct tile_sink sink = {verify, compare_tile};
	struct audit_reader reader;
	struct slice entry;
	bool ok = true;

	audit_reader_init(&reader, verify->directory, size);
	for (uint64_t i = 0; ok && i < size; i++) {
		ok = audit_reader_entry(&reader, i, &entry, failure) &&
		     check_entry(i, entry, failure) && check_line(verify->lines, i, entry, failure);
		if (ok) {
			const struct audit_hash leaf = merkle_leaf(entry);

			ok = tile_edge_add(&verify->edge, &leaf, &sink, failure);
		}
	}
	audit_reader_finish(&reader);
	return ok;
}

static bool check_edge(struct verify *verify, const struct checkpoint *checkpoint,
		       struct failure *failure)
{
	for (uint32_t level = 0; level < TILE_LEVELS; level++) {
		if (tile_edge_width(&verify->edge, level) == 0)
			continue;
		const struct tile tile = tile_edge_tile(&verify->edge, level);

		if (!compare_tile(verify, &tile, verify->edge.hashes[level], failure))
			return false;
	}
	const struct audit_hash root = tile_edge_root(&verify->edge);

	return audit_hash_equal(&root, &checkpoint->root) ||
	       failure_set(failure,
			   AUDIT_CHECKPOINT_NAME ": its root is not that of the %" PRIu64
						 " entries, although tiles and entries agree: they "
						 "were changed together",
			   checkpoint->size);
}

static bool verify_tree(struct verify *verify, const struct checkpoint *checkpoint,
			struct failure *failure)
{
	return add_entries(verify, checkpoint->size, failure) &&
	       check_edge(verify, checkpoint, failure);
}

bool audit_verify_tree(int directory, const struct checkpoint *checkpoint, struct failure *failure)
{
	struct verify *verify = calloc(1, sizeof(*verify));

	must(verify);
	verify->directory = directory;
	bool ok = verify_tree(verify, checkpoint, failure);

	free(verify);
	return ok;
}

/* A log that is written meanwhile may have a line more than the checkpoint that was read. */
static FILE *open_lines(int directory)
{
	int fd = openat(directory, AUDIT_LINES_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 ? fdopen(fd, "r") : NULL;
}

/* Lines behind the last entry are of entries that were added meanwhile, under a newer checkpoint.
 */
static bool check_end(FILE *lines, int directory, const struct note_verifier *verifier,
		      uint64_t size, struct failure *failure)
{
	struct checkpoint now = {.size = size};
	uint64_t more = 0;
	int last = '\n';

	for (int byte; (byte = getc_unlocked(lines)) != EOF; last = byte)
		more += last == '\n';
	if (more == 0)
		return !ferror(lines) ||
		       failure_set(failure, AUDIT_LINES_NAME ": cannot be read: %s",
				   strerror(errno));
	if (!audit_checkpoint_load(directory, verifier, &now, NULL, failure))
		return false;
	return (now.size > size && more <= now.size - size) ||
	       failure_set(failure,
			   AUDIT_LINES_NAME ": has %" PRIu64 " lines, and the log %" PRIu64
					    " entries",
			   size + more, now.size);
}

bool audit_verify(int directory, const struct note_verifier *verifier,
		  struct checkpoint *checkpoint, struct failure *failure)
{
	if (!audit_checkpoint_load(directory, verifier, checkpoint, NULL, failure))
		return false;
	struct verify *verify = calloc(1, sizeof(*verify));

	must(verify);
	verify->directory = directory;
	verify->lines = open_lines(directory);
	bool ok = verify->lines || checkpoint->size == 0 ||
		  failure_set(failure, AUDIT_LINES_NAME ": cannot be read: %s", strerror(errno));

	ok = ok && verify_tree(verify, checkpoint, failure);
	if (ok && verify->lines)
		ok = check_end(verify->lines, directory, verifier, checkpoint->size, failure);
	if (verify->lines)
		fclose(verify->lines);
	free(verify);
	return ok;
}
