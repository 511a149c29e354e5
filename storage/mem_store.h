/*
 * mem_store.h - the contract of store.h kept in memory: for `persistence false`,
 * for tests and for the simulated world, which can make it refuse commits.
 *
 * Rows are kept as records (record.h) and given back in the order in which they
 * were first put, so that a simulation repeats exactly.
 * Thread: as store.h says.
 */
#ifndef STORAGE_MEM_STORE_H
#define STORAGE_MEM_STORE_H

#include "storage/store.h"

/* Gives an empty store, to be freed with store_close(). */
struct store *mem_store_create(void);

/* The next `commits` commits fail with this text and change nothing; 0 ends that. */
void mem_store_refuse(struct store *head, uint32_t commits, const char *text);

/* How many bytes its journal lets lie about (journal.h). */
void mem_store_set_slack(struct store *head, size_t bytes);

/* Things that its journal wrote again so far. */
uint64_t mem_store_rewritten(const struct store *head);

#endif
