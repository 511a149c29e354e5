/*
 * tile.h - how a tree lies in tiles of 256 hashes: their paths, and the right edge.
 *
 * Tile n of level l holds the hashes of complete subtrees of 256^l entries, numbers
 * 256 n to 256 n + 255.  Of each level only the last tile can be partial; those partial
 * tiles are the right edge: all that is needed to know the root and to add entries.
 *
 * Ownership: the caller's memory.  An edge is 64 KiB.
 * Thread: any.
 * Follows: c2sp.org/tlog-tiles.
 */
#ifndef STORAGE_AUDIT_TILE_H
#define STORAGE_AUDIT_TILE_H

#include "storage/audit/merkle.h"

#define TILE_HEIGHT    8u
#define TILE_WIDTH     256u
#define TILE_LEVELS    8u /* 256^8 entries are more than a size can say */
#define TILE_PATH_SIZE 64u

/* The level of entry bundles, which have paths like tiles. */
#define TILE_ENTRIES UINT32_MAX

struct tile {
	uint32_t level; /* or TILE_ENTRIES */
	uint32_t width; /* 1 to TILE_WIDTH; below that it is partial */
	uint64_t number;
};

/* "tile/0/x001/234.p/5"; gives its length. */
size_t tile_path(const struct tile *tile, char path[TILE_PATH_SIZE]);

/* Only what tile_path() writes. */
bool tile_parse(const char *path, struct tile *tile);

/* How many hashes tile `number` of a level has in a tree of `size` entries: 0 to TILE_WIDTH. */
uint32_t tile_width(uint64_t size, uint32_t level, uint64_t number);

struct tile_edge {
	uint64_t size;
	struct audit_hash hashes[TILE_LEVELS][TILE_WIDTH];
};

/* Is given each tile that has become full, from the bottom up. */
struct tile_sink {
	void *self;
	bool (*full)(void *self, const struct tile *tile, const struct audit_hash *hashes,
		     struct failure *failure);
};

/* How many hashes of this level the edge holds. */
static inline uint32_t tile_edge_width(const struct tile_edge *edge, uint32_t level)
{
	return (uint32_t)(edge->size >> (TILE_HEIGHT * level)) & (TILE_WIDTH - 1);
}

/* The partial tile of a level, whose width is not 0. */
struct tile tile_edge_tile(const struct tile_edge *edge, uint32_t level);

/* One entry more.  When the sink fails the edge is not to be used again. */
bool tile_edge_add(struct tile_edge *edge, const struct audit_hash *leaf,
		   const struct tile_sink *sink, struct failure *failure);

struct audit_hash tile_edge_root(const struct tile_edge *edge);

#endif
