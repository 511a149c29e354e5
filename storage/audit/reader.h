/*
 * reader.h - a log read from its files: checkpoint, tiles, entries; and the whole of it verified.
 *
 * The hashes of tiles are believed where they are asked for one by one: who makes a proof of them
 * checks it against the signed root.  audit_verify() believes none: it computes all from the
 * entries.
 *
 * Ownership: a reader owns a descriptor and what it caches, until audit_reader_close().
 * Failure: with the file's path, and the first bad entry where that can be known.
 * Thread: any, one at a time; a log may be read while it is written.
 * Follows: c2sp.org/tlog-tiles.
 */
#ifndef STORAGE_AUDIT_READER_H
#define STORAGE_AUDIT_READER_H

#include "storage/audit/files.h"
#include "storage/audit/note.h"
#include "storage/audit/tile.h"

#define AUDIT_CHECKPOINT_NAME "checkpoint"
#define AUDIT_VKEY_NAME	      "vkey"
#define AUDIT_LINES_NAME      "audit.jsonl"

/* The longest bundle: 256 entries with their lengths. */
#define AUDIT_BUNDLE_MAX (TILE_WIDTH * (2u + UINT16_MAX))

struct audit_cached_tile {
	bool filled;
	uint64_t number;
	uint32_t width;
	struct audit_hash hashes[TILE_WIDTH];
};

struct audit_reader {
	int directory;
	uint64_t size; /* of the tree that is read */
	struct audit_cached_tile cache[TILE_LEVELS];
	uint64_t bundle_number; /* of the bundle in memory */
	uint32_t bundle_width;	/* 0: none */
	struct audit_file bundle;
	struct slice entries[TILE_WIDTH];
};

/* Reads in a directory that stays open as long; `size` is that of a checkpoint. */
void audit_reader_init(struct audit_reader *reader, int directory, uint64_t size);
void audit_reader_finish(struct audit_reader *reader);

/* The verifier key in a file `vkey` of the directory. */
bool audit_vkey_load(int directory, struct note_verifier *verifier, struct failure *failure);
/* The checkpoint of the directory; *text, when asked for, is the caller's to free. */
bool audit_checkpoint_load(int directory, const struct note_verifier *verifier,
			   struct checkpoint *checkpoint, struct audit_file *text,
			   struct failure *failure);

/* Entry `index` of the tree; borrows from the reader, until the next call. */
bool audit_reader_entry(struct audit_reader *reader, uint64_t index, struct slice *entry,
			struct failure *failure);

/* The width hashes of a tile; a full tile stands in for a partial one. */
bool audit_read_tile(int directory, const struct tile *tile, struct audit_hash *hashes,
		     struct failure *failure);

/* Parts a bundle into exactly `count` entries; false when it is not that. */
bool audit_bundle_part(struct slice bundle, uint32_t count, struct slice *entries);

struct merkle_source audit_reader_source(struct audit_reader *reader);

/* The proof that entry `index` is in the tree, with the entry in it. */
bool audit_reader_prove(struct audit_reader *reader, const struct checkpoint *tree, uint64_t index,
			struct proof_text *text, struct failure *failure);

/*
 * The whole log: each entry is one of the closed table at its place, each tile is what the entries
 * make it, the root is the checkpoint's, audit.jsonl has the same lines.
 */
bool audit_verify(int directory, const struct note_verifier *verifier,
		  struct checkpoint *checkpoint, struct failure *failure);

/* The same without checkpoint and audit.jsonl: what is wrong with entries and tiles of this size.
 */
bool audit_verify_tree(int directory, const struct checkpoint *checkpoint, struct failure *failure);

#endif
