/* The tree of the audit log: hashes, roots and proofs of RFC 6962, tiles and their paths. */
#include "storage/audit/tile.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* The eight entries with which the vectors of Certificate Transparency are made. */
static const struct slice inputs[8] = {
    {(const uint8_t *)"", 0},
    {(const uint8_t *)"\x00", 1},
    {(const uint8_t *)"\x10", 1},
    {(const uint8_t *)"\x20\x21", 2},
    {(const uint8_t *)"\x30\x31", 2},
    {(const uint8_t *)"\x40\x41\x42\x43", 4},
    {(const uint8_t *)"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {(const uint8_t *)"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};

static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void is(const struct audit_hash *hash, const char *hex)
{
	char text[2 * AUDIT_HASH_LEN + 1];

	for (size_t i = 0; i < AUDIT_HASH_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
	ck_assert_str_eq(text, hex);
}

/*
 * The hashes of all entries and of all whole subtrees above them, in memory: the plain
 * answer that tiles are held against.
 */
#define LEVELS 18u

struct leaves {
	struct audit_hash *at;
	uint64_t count;
	struct audit_hash *level[LEVELS]; /* the first is `at`; count >> height of them */
};

static bool subtree(void *self, unsigned height, uint64_t number, struct audit_hash *hash,
		    struct failure *failure)
{
	const struct leaves *leaves = self;

	(void)failure;
	ck_assert_uint_lt(height, LEVELS);
	ck_assert_uint_le((number + 1) << height, leaves->count);
	*hash = leaves->level[height][number];
	return true;
}

static void make_levels(struct leaves *leaves)
{
	leaves->level[0] = leaves->at;
	ck_assert_uint_lt(leaves->count >> (LEVELS - 1), 1);
	for (unsigned height = 1; height < LEVELS; height++) {
		const uint64_t count = leaves->count >> height;
		const struct audit_hash *below = leaves->level[height - 1];
		struct audit_hash *level = malloc((count + 1) * sizeof(*level));

		ck_assert_ptr_nonnull(level);
		for (uint64_t i = 0; i < count; i++)
			level[i] = merkle_node(&below[2 * i], &below[2 * i + 1]);
		leaves->level[height] = level;
	}
}

static struct leaves make_leaves(uint64_t count)
{
	struct leaves leaves = {malloc((count + 1) * sizeof(struct audit_hash)), count, {NULL}};

	ck_assert_ptr_nonnull(leaves.at);
	for (uint64_t i = 0; i < count; i++)
		leaves.at[i] = merkle_leaf(slice_of(&i, sizeof(i)));
	make_levels(&leaves);
	return leaves;
}

static void free_levels(struct leaves *leaves)
{
	for (unsigned height = 1; height < LEVELS; height++)
		free(leaves->level[height]);
}

static void free_leaves(struct leaves *leaves)
{
	free_levels(leaves);
	free(leaves->at);
}

static struct audit_hash root_of(const struct merkle_source *source, uint64_t size)
{
	struct failure failure;
	struct audit_hash root;

	ck_assert(merkle_root(source, size, &root, &failure));
	return root;
}

START_TEST(vectors)
{
	static const char *const path[] = {
	    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
	    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
	    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
	};
	struct audit_hash hashes[8];
	struct leaves leaves = {hashes, 8, {NULL}};
	const struct merkle_source source = {&leaves, subtree};
	struct merkle_proof proof;
	struct failure failure;

	for (size_t i = 0; i < 8; i++)
		hashes[i] = merkle_leaf(inputs[i]);
	make_levels(&leaves);
	for (uint64_t size = 0; size <= 8; size++) {
		const struct audit_hash root = root_of(&source, size);

		is(&root, roots[size]);
	}
	ck_assert(merkle_prove_inclusion(&source, 0, 8, &proof, &failure));
	ck_assert_uint_eq(proof.count, 3);
	for (size_t i = 0; i < 3; i++)
		is(&proof.hashes[i], path[i]);
	free_levels(&leaves);
}
END_TEST

/* Each proof fits, and fits nothing else. */
START_TEST(inclusion)
{
	struct leaves leaves = make_leaves(300);
	const struct merkle_source source = {&leaves, subtree};
	struct merkle_proof proof;
	struct failure failure;

	for (uint64_t size = 1; size <= leaves.count; size += size < 70 ? 1 : 23) {
		const struct audit_hash root = root_of(&source, size);

		for (uint64_t i = 0; i < size; i++) {
			const struct audit_hash *leaf = &leaves.at[i];

			ck_assert(merkle_prove_inclusion(&source, i, size, &proof, &failure));
			ck_assert(merkle_check_inclusion(leaf, i, size, &proof, &root));
			ck_assert(!merkle_check_inclusion(&leaves.at[(i + 1) % 300], i, size,
							  &proof, &root));
			ck_assert(size < 2 || !merkle_check_inclusion(leaf, (i + 1) % size, size,
								      &proof, &root));
			if (proof.count > 0) {
				proof.hashes[i % proof.count].bytes[i % 32] ^= 1;
				ck_assert(!merkle_check_inclusion(leaf, i, size, &proof, &root));
				proof.hashes[i % proof.count].bytes[i % 32] ^= 1;
				proof.count--;
				ck_assert(!merkle_check_inclusion(leaf, i, size, &proof, &root));
			}
		}
	}
	free_leaves(&leaves);
}
END_TEST

START_TEST(consistency)
{
	struct leaves leaves = make_leaves(130);
	const struct merkle_source source = {&leaves, subtree};
	struct merkle_proof proof;
	struct failure failure;
	struct audit_hash root_at[131];

	for (uint64_t size = 0; size <= leaves.count; size++) {
		const struct audit_hash root = root_of(&source, size);

		root_at[size] = root;
		for (uint64_t old = 0; old <= size; old++) {
			struct audit_hash was = root_at[old];

			ck_assert(merkle_prove_consistency(&source, old, size, &proof, &failure));
			ck_assert(merkle_check_consistency(old, size, &proof, &was, &root));
			was.bytes[old % 32] ^= 1;
			ck_assert(!merkle_check_consistency(old, size, &proof, &was, &root));
			was.bytes[old % 32] ^= 1;
			if (proof.count > 0) {
				proof.hashes[old % proof.count].bytes[0] ^= 1;
				ck_assert(
				    !merkle_check_consistency(old, size, &proof, &was, &root));
			}
		}
	}
	free_leaves(&leaves);
}
END_TEST

/* Tiles that became full, compared with what their definition says. */
struct seen {
	const struct merkle_source *source;
	uint64_t count;
};

static bool see(void *self, const struct tile *tile, const struct audit_hash *hashes,
		struct failure *failure)
{
	struct seen *seen = self;
	struct audit_hash right;

	/* The first and the last of each: the subtree is computed from all its entries. */
	for (uint32_t i = 0; i < TILE_WIDTH; i += TILE_WIDTH - 1) {
		subtree(seen->source->self, TILE_HEIGHT * tile->level,
			tile->number * TILE_WIDTH + i, &right, failure);
		ck_assert(audit_hash_equal(&right, &hashes[i]));
	}
	seen->count++;
	return true;
}

static const uint64_t sizes[] = {0, 1, 255, 256, 257, 65535, 65536, 65537, 70000};

START_TEST(edge)
{
	static struct tile_edge tiles;
	const uint64_t size = sizes[_i];
	struct leaves leaves = make_leaves(size);
	const struct merkle_source source = {&leaves, subtree};
	struct seen seen = {&source, 0};
	const struct tile_sink sink = {&seen, see};
	struct failure failure;

	for (uint64_t i = 0; i < size; i++)
		ck_assert(tile_edge_add(&tiles, &leaves.at[i], &sink, &failure));
	const struct audit_hash root = root_of(&source, size);
	const struct audit_hash of_edge = tile_edge_root(&tiles);

	ck_assert(audit_hash_equal(&root, &of_edge));
	ck_assert_uint_eq(tiles.size, size);
	ck_assert_uint_eq(seen.count, size / 256 + size / 65536);
	free_leaves(&leaves);
}
END_TEST

START_TEST(paths)
{
	static const struct {
		struct tile tile;
		const char *path;
	} rows[] = {
	    {{0, 256, 0}, "tile/0/000"},
	    {{0, 5, 999}, "tile/0/999.p/5"},
	    {{3, 256, 1000}, "tile/3/x001/000"},
	    {{1, 255, 1234067}, "tile/1/x001/x234/067.p/255"},
	    {{TILE_ENTRIES, 256, 1234067}, "tile/entries/x001/x234/067"},
	    {{TILE_ENTRIES, 1, UINT64_MAX >> 8}, "tile/entries/x072/x057/x594/x037/x927/935.p/1"},
	};
	char path[TILE_PATH_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_uint_eq(tile_path(&rows[i].tile, path), strlen(rows[i].path));
		ck_assert_str_eq(path, rows[i].path);
	}
	/* The example of the specification. */
	ck_assert_uint_eq(tile_width(70000, 0, 272), 256);
	ck_assert_uint_eq(tile_width(70000, 0, 273), 112);
	ck_assert_uint_eq(tile_width(70000, 0, 274), 0);
	ck_assert_uint_eq(tile_width(70000, 1, 0), 256);
	ck_assert_uint_eq(tile_width(70000, 1, 1), 17);
	ck_assert_uint_eq(tile_width(70000, 2, 0), 1);
	ck_assert_uint_eq(tile_width(256, 1, 0), 1);
}
END_TEST

Suite *audit_tree_suite(void)
{
	Suite *suite = suite_create("audit_tree");
	TCase *tree = tcase_create("tree");

	tcase_set_timeout(tree, 60);
	tcase_add_test(tree, vectors);
	tcase_add_test(tree, inclusion);
	tcase_add_test(tree, consistency);
	tcase_add_loop_test(tree, edge, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tree, paths);
	suite_add_tcase(suite, tree);
	return suite;
}
