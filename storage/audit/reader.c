/* reader.c - see reader.h. */
#include "storage/audit/reader.h"

#include <inttypes.h>
#include <stdlib.h>

void audit_reader_init(struct audit_reader *reader, int directory, uint64_t size)
{
	*reader = (struct audit_reader){.directory = directory, .size = size};
}

void audit_reader_finish(struct audit_reader *reader)
{
	free(reader->bundle.at);
	reader->bundle.at = NULL;
	reader->bundle_width = 0;
}

/* ---- texts */

bool audit_vkey_load(int directory, struct note_verifier *verifier, struct failure *failure)
{
	struct audit_file file;

	if (!audit_file_read(directory, AUDIT_VKEY_NAME, NOTE_VKEY_SIZE, &file, failure))
		return false;
	bool ok = note_vkey_read(slice_of(file.at, file.len), verifier, failure);

	free(file.at);
	return ok || failure_context(failure, AUDIT_VKEY_NAME);
}

bool audit_checkpoint_load(int directory, const struct note_verifier *verifier,
			   struct checkpoint *checkpoint, struct audit_file *text,
			   struct failure *failure)
{
	struct audit_file file;

	if (!audit_file_read(directory, AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX, &file, failure))
		return false;
	bool ok = checkpoint_read(slice_of(file.at, file.len), verifier, checkpoint, failure);

	if (ok && text)
		*text = file;
	else
		free(file.at);
	return ok || failure_context(failure, AUDIT_CHECKPOINT_NAME);
}

/* ---- tiles and bundles */

/* The file of a tile, or of the full one in whose place a partial one stood. */
static bool read_tile_file(int directory, const struct tile *tile, size_t max,
			   struct audit_file *file, char path[TILE_PATH_SIZE],
			   struct failure *failure)
{
	const struct tile full = {tile->level, TILE_WIDTH, tile->number};

	tile_path(tile, path);
	enum audit_found found = audit_file_find(directory, path, max, file, failure);

	if (found != AUDIT_NOT_THERE || tile->width == TILE_WIDTH)
		return found == AUDIT_FOUND;
	struct failure of_partial = *failure;

	tile_path(&full, path);
	if (audit_file_read(directory, path, max, file, failure))
		return true;
	tile_path(tile, path);
	*failure = of_partial;
	return false;
}

bool audit_read_tile(int directory, const struct tile *tile, struct audit_hash *hashes,
		     struct failure *failure)
{
	const size_t len = tile->width * sizeof(*hashes);
	char path[TILE_PATH_SIZE];
	struct audit_file file;

	if (!read_tile_file(directory, tile, TILE_WIDTH * sizeof(*hashes), &file, path, failure))
		return false;
	/* A full tile in a partial one's place is longer. */
	bool ok = file.len == len ||
		  (file.len == TILE_WIDTH * sizeof(*hashes) && strstr(path, ".p/") == NULL);

	if (ok)
		memcpy(hashes, file.at, len);
	else
		failure_set(failure, "%s: has %zu bytes, %zu would be right", path, file.len, len);
	free(file.at);
	return ok;
}

bool audit_bundle_part(struct slice bundle, uint32_t count, struct slice *entries)
{
	for (uint32_t i = 0; i < count; i++) {
		if (bundle.len < 2)
			return false;
		const size_t len = (size_t)bundle.at[0] << 8 | bundle.at[1];

		bundle = slice_after(bundle, 2);
		if (bundle.len < len)
			return false;
		entries[i] = slice_of(bundle.at, len);
		bundle = slice_after(bundle, len);
	}
	return bundle.len == 0;
}

static bool load_bundle(struct audit_reader *reader, uint64_t number, struct failure *failure)
{
	const uint32_t width = tile_width(reader->size, 0, number);
	const struct tile tile = {TILE_ENTRIES, width, number};
	char path[TILE_PATH_SIZE];

	if (reader->bundle_width == width && reader->bundle_number == number)
		return true;
	audit_reader_finish(reader);
	if (!read_tile_file(reader->directory, &tile, AUDIT_BUNDLE_MAX, &reader->bundle, path,
			    failure))
		return false;
	const bool partial = strstr(path, ".p/") != NULL;

	if (!audit_bundle_part(slice_of(reader->bundle.at, reader->bundle.len),
			       partial ? width : TILE_WIDTH, reader->entries))
		return failure_set(failure,
				   "%s: not a bundle of %u entries; its first is entry %" PRIu64,
				   path, (unsigned)width, number * TILE_WIDTH);
	reader->bundle_number = number;
	reader->bundle_width = width;
	return true;
}

bool audit_reader_entry(struct audit_reader *reader, uint64_t index, struct slice *entry,
			struct failure *failure)
{
	must(index < reader->size);
	if (!load_bundle(reader, index / TILE_WIDTH, failure))
		return false;
	*entry = reader->entries[index % TILE_WIDTH];
	return true;
}

/* ---- hashes for proofs */

static bool load_tile(struct audit_reader *reader, uint32_t level, uint64_t number,
		      struct failure *failure)
{
	struct audit_cached_tile *cached = &reader->cache[level];
	const struct tile tile = {level, tile_width(reader->size, level, number), number};

	if (cached->filled && cached->number == number)
		return true;
	cached->filled = false;
	if (!audit_read_tile(reader->directory, &tile, cached->hashes, failure))
		return false;
	cached->number = number;
	cached->width = tile.width;
	cached->filled = true;
	return true;
}

static bool subtree(void *self, unsigned height, uint64_t number, struct audit_hash *hash,
		    struct failure *failure)
{
	struct audit_reader *reader = self;
	const uint32_t level = height / TILE_HEIGHT;
	const unsigned above = height % TILE_HEIGHT;
	const uint64_t first = number << above;

	if (!load_tile(reader, level, first / TILE_WIDTH, failure))
		return false;
	must(first % TILE_WIDTH + (UINT64_C(1) << above) <= reader->cache[level].width);
	*hash = merkle_perfect(&reader->cache[level].hashes[first % TILE_WIDTH], above);
	return true;
}

struct merkle_source audit_reader_source(struct audit_reader *reader)
{
	return (struct merkle_source){.self = reader, .subtree = subtree};
}

bool audit_reader_prove(struct audit_reader *reader, const struct checkpoint *tree, uint64_t index,
			struct proof_text *text, struct failure *failure)
{
	const struct merkle_source source = audit_reader_source(reader);
	struct slice entry;

	*text = (struct proof_text){.kind = PROOF_INCLUSION, .number = index, .has_extra = true};
	if (!audit_reader_entry(reader, index, &entry, failure) ||
	    !merkle_prove_inclusion(&source, index, tree->size, &text->proof, failure))
		return false;
	const struct audit_hash leaf = merkle_leaf(entry);

	if (entry.len > sizeof(text->extra) ||
	    !merkle_check_inclusion(&leaf, index, tree->size, &text->proof, &tree->root))
		return failure_set(failure,
				   "the log is damaged; `metrino audit verify` says where");
	text->extra_len = entry.len;
	memcpy(text->extra, entry.at, entry.len);
	return true;
}
