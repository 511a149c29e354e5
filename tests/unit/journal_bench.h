/*
 * journal_bench.h - the rows of a journal as a store would keep them, in memory, and what a journal
 * says is open, as a list that can be compared.  One set of rows at a time: kept_clear() ends it.
 */
#ifndef TESTS_UNIT_JOURNAL_BENCH_H
#define TESTS_UNIT_JOURNAL_BENCH_H

#include "storage/journal.h"
#include "storage/step.h"

/* ---- rows ---- */

void kept_clear(void);
size_t kept_bytes(void);
uint64_t kept_count(void);

/* The bytes of a row; without an address where there is none. */
struct slice kept_row(uint64_t number);

/* One commit of these batches, or of these steps; works == false: it is refused. */
void kept_commit_batches(struct journal *journal, struct store_batch *const *batches, size_t count,
			 bool works);
void kept_commit(struct journal *journal, const struct store_step *steps, size_t count, bool works);
void kept_end_session(struct journal *journal, uint64_t row);

/* A new journal, and another one made of the rows that are kept. */
struct journal *kept_journal(void);
struct journal *kept_replayed(bool (*lives)(void *self, uint64_t row));

/* For kept_replayed(). */
bool kept_all_live(void *self, uint64_t row);

/* ---- what a journal, or a model of one, says ---- */

#define STEPS_MAX 8192u

struct step_list {
	struct store_step at[STEPS_MAX];
	size_t count;
};

/* `self` is a struct step_list. */
void steps_add(void *self, const struct store_step *step);

/* As qsort() has it: by everything that a step says. */
int step_compare(const void *first, const void *second);

/* Sorts, and keeps each once: an end that was said twice may be remembered twice. */
void steps_tidy(struct step_list *list);
bool steps_same(const struct step_list *a, const struct step_list *b);

/* What a journal knows, tidied; and how many things of this type it knows. */
void steps_visit(const struct journal *journal, struct step_list *list);
size_t steps_known(const struct journal *journal, enum store_step_type type);

#endif
