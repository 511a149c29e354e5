/*
 * route_file.h - the table "route" of data.mdb: sealed blocks of route rows (route_record.h)
 * under random numbers.
 *
 * Deleting a row gives its pages back to LMDB, no more: what makes it unreadable is the end of its
 * epoch's key.  What an earlier process left nobody can read, since its keys were in RAM.
 *
 * Ownership: borrows the vault, whose file it is.
 * Failure: as datafile.h says.
 * Thread: any.
 */
#ifndef STORAGE_ROUTE_ROUTE_FILE_H
#define STORAGE_ROUTE_ROUTE_FILE_H

#include "storage/vault.h"

struct route_put {
	uint64_t row;
	struct slice record;
};

struct route_change {
	const struct route_put *puts;
	size_t put_count;
	const uint64_t *deletes; /* rows; one that is not there is no error */
	size_t delete_count;
};

/* All of it in one transaction. */
bool route_file_change(struct vault *vault, const struct route_change *change,
		       struct failure *failure);

/* At start: deletes what there is. */
bool route_file_clear(struct vault *vault, struct failure *failure);

/*
 * Gives the records of these rows, in their order, without those that are not there any more.  The
 * file is locked meanwhile: so a few at a time, and `give` only copies.
 */
bool route_file_read(struct vault *vault, const uint64_t *rows, size_t count, void *self,
		     void (*give)(void *self, size_t i, struct slice record),
		     struct failure *failure);

#endif
