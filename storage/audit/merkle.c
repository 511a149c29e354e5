/* merkle.c - see merkle.h. */
#include "storage/audit/merkle.h"

/* Told apart by the first byte, so that no node can pass for an entry [RFC 6962, 2.1]. */
static const uint8_t leaf_mark = 0x00;
static const uint8_t node_mark = 0x01;

struct audit_hash merkle_leaf(struct slice entry)
{
	const struct slice parts[] = {slice_of(&leaf_mark, 1), entry};

	return audit_sha256(parts, 2);
}

struct audit_hash merkle_node(const struct audit_hash *left, const struct audit_hash *right)
{
	const struct slice parts[] = {slice_of(&node_mark, 1),
				      slice_of(left->bytes, AUDIT_HASH_LEN),
				      slice_of(right->bytes, AUDIT_HASH_LEN)};

	return audit_sha256(parts, 3);
}

struct audit_hash merkle_empty(void)
{
	return audit_sha256(NULL, 0);
}

struct audit_hash merkle_perfect(const struct audit_hash *hashes, unsigned height)
{
	struct audit_hash row[128];
	size_t count = (size_t)1 << height;

	must(height <= 8);
	if (height == 0)
		return hashes[0];
	for (size_t i = 0; i < count / 2; i++)
		row[i] = merkle_node(&hashes[2 * i], &hashes[2 * i + 1]);
	for (count /= 2; count > 1; count /= 2)
		for (size_t i = 0; i < count / 2; i++)
			row[i] = merkle_node(&row[2 * i], &row[2 * i + 1]);
	return row[0];
}

/* ---- ranges of entries */

static bool is_power_of_two(uint64_t n)
{
	return (n & (n - 1)) == 0;
}

/* The largest power of two below n, which is 2 or more: where the tree of n entries parts. */
static uint64_t split(uint64_t n)
{
	return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

/* MTH(D[begin:end]); begin is a multiple of the power of two that the range needs. */
static bool range_hash(const struct merkle_source *source, uint64_t begin, uint64_t end,
		       struct audit_hash *hash, struct failure *failure)
{
	uint64_t count = end - begin;
	struct audit_hash left;
	struct audit_hash right;

	if (is_power_of_two(count)) {
		unsigned height = (unsigned)__builtin_ctzll(count);

		return source->subtree(source->self, height, begin >> height, hash, failure);
	}
	uint64_t middle = begin + split(count);

	if (!range_hash(source, begin, middle, &left, failure) ||
	    !range_hash(source, middle, end, &right, failure))
		return false;
	*hash = merkle_node(&left, &right);
	return true;
}

bool merkle_root(const struct merkle_source *source, uint64_t size, struct audit_hash *root,
		 struct failure *failure)
{
	if (size > 0)
		return range_hash(source, 0, size, root, failure);
	*root = merkle_empty();
	return true;
}

/* ---- proofs: from the root down, then turned round */

static void turn_round(struct merkle_proof *proof)
{
	for (size_t i = 0; i < proof->count / 2; i++) {
		struct audit_hash *other = &proof->hashes[proof->count - 1 - i];
		struct audit_hash kept = proof->hashes[i];

		proof->hashes[i] = *other;
		*other = kept;
	}
}

static bool add(const struct merkle_source *source, uint64_t begin, uint64_t end,
		struct merkle_proof *proof, struct failure *failure)
{
	must(proof->count < MERKLE_PROOF_MAX);
	return range_hash(source, begin, end, &proof->hashes[proof->count++], failure);
}

bool merkle_prove_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size,
			    struct merkle_proof *proof, struct failure *failure)
{
	uint64_t begin = 0;
	uint64_t end = size;

	must(index < size);
	proof->count = 0;
	while (end - begin > 1) {
		uint64_t middle = begin + split(end - begin);
		bool in_left = index < middle;

		if (!add(source, in_left ? middle : begin, in_left ? end : middle, proof, failure))
			return false;
		if (in_left)
			end = middle;
		else
			begin = middle;
	}
	turn_round(proof);
	return true;
}

bool merkle_prove_consistency(const struct merkle_source *source, uint64_t old, uint64_t size,
			      struct merkle_proof *proof, struct failure *failure)
{
	uint64_t begin = 0;
	uint64_t end = size;

	must(old <= size);
	proof->count = 0;
	if (old == 0 || old == size)
		return true;
	/* Down to where the old tree's last complete subtree is one of the new tree's. */
	while (old != end) {
		uint64_t middle = begin + split(end - begin);
		bool in_left = old <= middle;

		if (!add(source, in_left ? middle : begin, in_left ? end : middle, proof, failure))
			return false;
		if (in_left)
			end = middle;
		else
			begin = middle;
	}
	/* The old root itself need not be told: whoever checks has it. */
	if (begin > 0 && !add(source, begin, end, proof, failure))
		return false;
	turn_round(proof);
	return true;
}

/* ---- checks */

bool merkle_check_inclusion(const struct audit_hash *leaf, uint64_t index, uint64_t size,
			    const struct merkle_proof *proof, const struct audit_hash *root)
{
	struct audit_hash hash = *leaf;
	uint64_t node = index;
	uint64_t last = size - 1;

	if (index >= size)
		return false;
	for (size_t i = 0; i < proof->count; i++) {
		if (last == 0)
			return false;
		if ((node & 1) != 0 || node == last) {
			hash = merkle_node(&proof->hashes[i], &hash);
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			hash = merkle_node(&hash, &proof->hashes[i]);
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && audit_hash_equal(&hash, root);
}

/* old is above 0 and below size. */
static bool fold_consistency(uint64_t old, uint64_t size, const struct audit_hash *hashes,
			     size_t count, const struct audit_hash roots[2])
{
	uint64_t node = old - 1;
	uint64_t last = size - 1;

	while ((node & 1) != 0) {
		node >>= 1;
		last >>= 1;
	}
	struct audit_hash was = hashes[0];
	struct audit_hash is = hashes[0];

	for (size_t i = 1; i < count; i++) {
		if (last == 0)
			return false;
		if ((node & 1) != 0 || node == last) {
			was = merkle_node(&hashes[i], &was);
			is = merkle_node(&hashes[i], &is);
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			is = merkle_node(&is, &hashes[i]);
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && audit_hash_equal(&was, &roots[0]) && audit_hash_equal(&is, &roots[1]);
}

bool merkle_check_consistency(uint64_t old, uint64_t size, const struct merkle_proof *proof,
			      const struct audit_hash *old_root, const struct audit_hash *root)
{
	const struct audit_hash roots[2] = {*old_root, *root};
	const struct audit_hash empty = merkle_empty();
	struct audit_hash hashes[MERKLE_PROOF_MAX + 1];
	size_t count = 0;

	if (old > size)
		return false;
	if (old == size)
		return proof->count == 0 && audit_hash_equal(old_root, root);
	if (old == 0)
		return proof->count == 0 && audit_hash_equal(old_root, &empty);
	if (is_power_of_two(old))
		hashes[count++] = *old_root;
	for (size_t i = 0; i < proof->count; i++)
		hashes[count++] = proof->hashes[i];
	return count > 0 && fold_consistency(old, size, hashes, count, roots);
}
