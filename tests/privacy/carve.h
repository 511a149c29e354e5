/*
 * carve.h - what carve.c hands to carve_tree.c: what looks like a record under a leaf, or like
 * a node of the key tree (key_tree.h), wherever it lies in the raw bytes.
 *
 * Ownership: records borrow from the bytes they were found in, which stay to the end.
 * Thread: one.
 */
#ifndef TESTS_PRIVACY_CARVE_H
#define TESTS_PRIVACY_CARVE_H

#include "storage/sealed_record.h"

/* `left`: bytes from its beginning to the end of what it was found in. */
void carve_tree_take_node(const uint8_t *at, size_t left);
void carve_tree_take_record(struct slice record, uint64_t row);
void carve_tree_take_root(uint64_t generation, const uint8_t key[SEAL_KEY_LEN]);

/* Opens whatever these roots lead to, and prints a line of JSON for each record that opens. */
void carve_tree_tell(void);

#endif
