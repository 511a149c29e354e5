/*
 * journal.h - the open QoS 2 exchanges of all sessions, kept by appending: one commit
 * writes the steps of all shards as one value, however many there are, and RAM is the
 * index.  A tree with one record a step would cost thirty times the CPU.
 *
 * Rows are numbered from some number on, and leave from the front: when all that the oldest one
 * holds has ended or was written again later, it goes.  When what is kept is much more than what is
 * alive, the survivors of the oldest value are written again behind the new steps' front, and it
 * goes, too.  So a step that ends something stays as long as the one that began it.
 *
 * A step says all that is known of its exchange, so that none before it is needed
 * (step.h).
 *
 * The journal itself writes nothing: its caller (a store) writes what prepare() lays
 * out, in the transaction that carries the batches, and reports with finish().
 *
 * Failure: bytes that are not as above fail with a sentence.
 * Thread: one at a time, that of the store.
 */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include "storage/store.h"

#define JOURNAL_BODY_MAX 65536u /* of one row */

struct journal;

struct journal *journal_create(void);
void journal_destroy(struct journal *journal); /* NULL is fine */

/*
 * How many bytes may lie about, beside four times what is alive, before anything is
 * written again; 64 KB when nobody says so.
 */
void journal_set_slack(struct journal *journal, size_t bytes);

/* One row to be written under the number `first` + its place. */
struct journal_write {
	uint64_t first;	 /* number of the first new row */
	uint64_t count;	 /* of new rows */
	uint64_t oldest; /* rows from here... */
	uint64_t stay;	 /* ...to before this one are to be deleted */
};

/* What the next commit has to write and delete, for the steps of these batches. */
struct journal_write journal_prepare(struct journal *journal, struct store_batch *const *batches,
				     size_t count);

/*
 * The same for a commit in which every row leaves, and what is alive is written again, under
 * numbers from `first` on: to be kept under another key.  Without batches.
 */
struct journal_write journal_prepare_anew(struct journal *journal, uint64_t first);

/* The new row with this place, 0 to count - 1; borrowed until journal_finish(). */
struct slice journal_row(const struct journal *journal, uint64_t place);

/*
 * The commit for which journal_prepare() was last called is done, with all operations
 * and steps of these batches; or it failed, and nothing has changed.
 */
void journal_finish(struct journal *journal, struct store_batch *const *batches, size_t count,
		    bool committed);

/* At start: a row that was found; rising numbers. */
bool journal_replay(struct journal *journal, uint64_t number, struct slice body,
		    struct failure *failure);

/* At start, after the last row: forgets sessions that `lives` denies, and what only they held. */
void journal_settle(struct journal *journal, void *self, bool (*lives)(void *self, uint64_t row));

/* Each open exchange, as store.h says. */
void journal_visit(const struct journal *journal, const struct store_visitor *visitor);

/* Of one session, in no order. */
void journal_visit_session(struct journal *journal, uint64_t row,
			   const struct store_visitor *visitor);

/* Things that are kept, and bytes that they take with all that is not alive any more. */
struct journal_size {
	uint64_t records;
	uint64_t bytes;
	uint64_t rewritten; /* things that were written again, ever */
};
struct journal_size journal_size(const struct journal *journal);

#endif
