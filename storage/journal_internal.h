/*
 * journal_internal.h - the index of the journal, for its own files: journal_index.c
 * knows what a step does, journal.c what is written, kept and read back.
 */
#ifndef STORAGE_JOURNAL_INTERNAL_H
#define STORAGE_JOURNAL_INTERNAL_H

#include "storage/journal.h"
#include "storage/table.h"

enum kind { KIND_INBOUND, KIND_OUTBOUND, KIND_QUEUED, KIND_DONE };

/*
 * One thing that is alive, as its latest step.  KIND_DONE is an outbound exchange that
 * ended before its envelope; it stands in no table, only in the lists.
 */
struct record {
	struct store_step step;
	uint64_t order;				/* of its latest step */
	uint8_t kind;				/* enum kind */
	struct value *value;			/* not later than the row that holds the step */
	struct record *value_prev, *value_next; /* in value->alive */
	struct session *session;
	struct record *session_prev, *session_next; /* in session->records */
	struct record *open;			    /* of KIND_DONE: whose envelope it waits for */
	struct record *done;			    /* of KIND_INBOUND: those that wait for it */
	struct record *done_prev, *done_next;
};

struct records {
	struct record **at;
	size_t count, room;
};

/* The rows of one commit. */
struct value {
	struct value *prev, *next;
	uint64_t first;
	uint64_t count;
	size_t bytes;
	struct record *alive; /* those that are in it */
	uint64_t alive_count;
};

struct session {
	struct session *prev, *next;
	uint64_t row;
	bool pinned; /* stays, even with nothing left */
	struct record *records;
};

struct journal {
	struct table records;	/* by row, packet identifier and kind */
	struct table envelopes; /* KIND_INBOUND by envelope */
	struct table by_row;	/* sessions */
	struct session *sessions;
	struct value *values; /* the oldest first */
	uint64_t next;	      /* number of the next row */
	uint64_t order;	      /* last one given */
	uint64_t record_count;
	uint64_t bytes;
	size_t slack_bytes;
	uint64_t rewritten;
	struct record *spare; /* to be used again, by session_next */
	bool replaying;	      /* which envelopes are open is not known yet */

	/* between journal_prepare() and journal_finish() */
	uint8_t *out;
	size_t out_len, out_room;
	size_t *ends; /* of the rows in `out` */
	uint64_t end_count, end_room;
	uint64_t begin;		  /* number of the first new row */
	struct value *stays;	  /* the first value that does; NULL for none */
	struct records survivors; /* of those that leave */
};

/* A step is kept in this value: makes it the latest word on its exchange. */
void journal_do_step(struct journal *journal, const struct store_step *step, struct value *value);

/* With all of its exchanges, and what only its envelopes held. */
void journal_end_session(struct journal *journal, uint64_t row);

void journal_drop(struct journal *journal, struct record *record);
void journal_put_into_value(struct record *record, struct value *value); /* NULL: into none */

/* The inbound exchange of an envelope that is open, or NULL. */
struct record *journal_find_open(const struct journal *journal, uint64_t envelope);

/* Sessions stay while they are walked through, whatever becomes of what they hold. */
void journal_pin_all(struct journal *journal);
void journal_unpin_all(struct journal *journal);

static inline void *must_have(void *memory)
{
	must(memory != NULL);
	return memory;
}

#endif
