/* tile.c - see tile.h. */
#include "storage/audit/tile.h"
#include "storage/audit/text.h"

#include <inttypes.h>
#include <stdio.h>

/* The number in groups of three digits, all but the last with an x before them. */
static size_t put_number(uint64_t number, char *text, size_t size)
{
	uint64_t groups[7];
	size_t count = 0;
	size_t len = 0;

	do {
		groups[count++] = number % 1000;
		number /= 1000;
	} while (number > 0);
	while (count-- > 0)
		len +=
		    (size_t)snprintf(text + len, size - len,
				     count > 0 ? "x%03" PRIu64 "/" : "%03" PRIu64, groups[count]);
	return len;
}

size_t tile_path(const struct tile *tile, char path[TILE_PATH_SIZE])
{
	const size_t size = TILE_PATH_SIZE;
	size_t len;

	must(tile->width > 0 && tile->width <= TILE_WIDTH);
	if (tile->level == TILE_ENTRIES)
		len = (size_t)snprintf(path, size, "tile/entries/");
	else
		len = (size_t)snprintf(path, size, "tile/%" PRIu32 "/", tile->level);
	len += put_number(tile->number, path + len, size - len);
	if (tile->width < TILE_WIDTH)
		len += (size_t)snprintf(path + len, size - len, ".p/%" PRIu32, tile->width);
	must(len < size);
	return len;
}

/* "x001/x234/067", as far as it goes; tile_parse() looks whether it was written so. */
static bool take_tile_number(struct slice *text, uint64_t *number)
{
	*number = 0;
	for (unsigned groups = 0; groups < 7; groups++) {
		const bool more = text_begins(text, "x");

		if (text->len < 3)
			return false;
		for (unsigned i = 0; i < 3; i++) {
			const unsigned digit = (unsigned)text->at[i] - '0';

			if (digit > 9 || *number > (UINT64_MAX - digit) / 10)
				return false;
			*number = *number * 10 + digit;
		}
		*text = slice_after(*text, 3);
		if (!more)
			return true;
		if (!text_begins(text, "/"))
			return false;
	}
	return false;
}

bool tile_parse(const char *path, struct tile *tile)
{
	struct slice text = slice_text(path);
	struct slice level;
	uint64_t number = 0;
	uint64_t width = TILE_WIDTH;
	char again[TILE_PATH_SIZE];

	if (!text_begins(&text, "tile/") || !text_cut(&text, '/', &level))
		return false;
	tile->level = TILE_ENTRIES;
	if (!slice_equal(level, SLICE_LITERAL("entries"))) {
		if (!text_number(level, &number) || number >= TILE_LEVELS)
			return false;
		tile->level = (uint32_t)number;
	}
	if (!take_tile_number(&text, &tile->number))
		return false;
	if (text_begins(&text, ".p/") && (!text_number(text, &width) || width >= TILE_WIDTH))
		return false;
	tile->width = (uint32_t)width;
	if (width == 0)
		return false;
	tile_path(tile, again);
	return strcmp(path, again) == 0;
}

uint32_t tile_width(uint64_t size, uint32_t level, uint64_t number)
{
	uint64_t hashes = level < TILE_LEVELS ? size >> (TILE_HEIGHT * level) : 0;
	uint64_t tiles = hashes / TILE_WIDTH;

	if (number < tiles)
		return TILE_WIDTH;
	return number == tiles ? (uint32_t)(hashes % TILE_WIDTH) : 0;
}

/* The number of the tile of a level in which the next hash stands. */
static uint64_t tile_number(uint64_t size, uint32_t level)
{
	return level + 1 < TILE_LEVELS ? size >> (TILE_HEIGHT * (level + 1)) : 0;
}

struct tile tile_edge_tile(const struct tile_edge *edge, uint32_t level)
{
	return (struct tile){.level = level,
			     .width = tile_edge_width(edge, level),
			     .number = tile_number(edge->size, level)};
}

bool tile_edge_add(struct tile_edge *edge, const struct audit_hash *leaf,
		   const struct tile_sink *sink, struct failure *failure)
{
	struct audit_hash hash = *leaf;

	for (uint32_t level = 0; level < TILE_LEVELS; level++) {
		uint32_t at = tile_edge_width(edge, level);

		edge->hashes[level][at] = hash;
		if (at < TILE_WIDTH - 1)
			break;
		const struct tile full = {level, TILE_WIDTH, tile_number(edge->size, level)};

		if (sink && !sink->full(sink->self, &full, edge->hashes[level], failure))
			return false;
		hash = merkle_perfect(edge->hashes[level], TILE_HEIGHT);
	}
	edge->size++;
	return true;
}

struct audit_hash tile_edge_root(const struct tile_edge *edge)
{
	struct audit_hash root;
	bool any = false;

	/* Complete subtrees from the smallest, at the right, to the largest: each joins from the
	 * left. */
	for (uint32_t level = 0; level < TILE_LEVELS; level++) {
		uint32_t left = tile_edge_width(edge, level);

		for (unsigned height = 0; height < TILE_HEIGHT; height++) {
			uint32_t count = UINT32_C(1) << height;

			if ((left & count) == 0)
				continue;
			left -= count;
			struct audit_hash part = merkle_perfect(&edge->hashes[level][left], height);

			root = any ? merkle_node(&part, &root) : part;
			any = true;
		}
	}
	return any ? root : merkle_empty();
}
