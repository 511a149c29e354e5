/*
 * merkle.h - the Merkle tree of RFC 6962: hashes, roots, proofs and their checks.
 *
 * A source answers with the hash of a complete subtree: of height h and number i it
 * spans the entries [i * 2^h, (i + 1) * 2^h).  Where those hashes lie is the source's affair.
 *
 * Ownership: everything is the caller's memory; sources are borrowed.
 * Failure: a source that cannot answer; checks say no.
 * Thread: any.
 * Follows: RFC 6962 section 2.1; the checks, RFC 9162 sections 2.1.3.2 and 2.1.4.2.
 */
#ifndef STORAGE_AUDIT_MERKLE_H
#define STORAGE_AUDIT_MERKLE_H

#include "storage/audit/crypto.h"

/* The longest proof: one hash for each level, and one more for consistency. */
#define MERKLE_PROOF_MAX 65u

struct merkle_proof {
	size_t count;
	struct audit_hash hashes[MERKLE_PROOF_MAX];
};

struct merkle_source {
	void *self;
	bool (*subtree)(void *self, unsigned height, uint64_t number, struct audit_hash *hash,
			struct failure *failure);
};

struct audit_hash merkle_leaf(struct slice entry);
struct audit_hash merkle_node(const struct audit_hash *left, const struct audit_hash *right);
/* The root of the tree without entries. */
struct audit_hash merkle_empty(void);

/* The root above 2^height hashes of complete subtrees that lie side by side; height <= 8. */
struct audit_hash merkle_perfect(const struct audit_hash *hashes, unsigned height);

/* The root of the first `size` entries. */
bool merkle_root(const struct merkle_source *source, uint64_t size, struct audit_hash *root,
		 struct failure *failure);

/* That entry `index` is in the tree of `size` entries; index < size. */
bool merkle_prove_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size,
			    struct merkle_proof *proof, struct failure *failure);

/* That the tree of `old` entries is the beginning of that of `size`; old <= size. */
bool merkle_prove_consistency(const struct merkle_source *source, uint64_t old, uint64_t size,
			      struct merkle_proof *proof, struct failure *failure);

bool merkle_check_inclusion(const struct audit_hash *leaf, uint64_t index, uint64_t size,
			    const struct merkle_proof *proof, const struct audit_hash *root);

bool merkle_check_consistency(uint64_t old, uint64_t size, const struct merkle_proof *proof,
			      const struct audit_hash *old_root, const struct audit_hash *root);

#endif
