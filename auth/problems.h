/*
 * problems.h - all that is wrong with a file, a line for each, so that whoever mends it needs to be
 * told once.
 *
 * Ownership: begins as {0}; the text is the caller's, to be given to problems_free().
 * Thread: any, one at a time.
 */
#ifndef AUTH_PROBLEMS_H
#define AUTH_PROBLEMS_H

#include "proto/base.h"

/* More are not listed: such a file is something else. */
#define PROBLEMS_MAX 100u

struct problems {
	const char *about; /* what each line begins with; NULL: nothing */
	char *text;	   /* lines, each with its end; NULL: there is none */
	size_t count;	   /* of all, listed or not */
};

/* A sentence about one more.  Returns false, as failure_set() does. */
bool problems_add(struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define problems_add(...) failure_told((problems_add)(__VA_ARGS__))

/* The first one, for who can be told only one. */
bool problems_first(const struct problems *problems, struct failure *failure);

/* NULL text is allowed. */
void problems_free(struct problems *problems);

#endif
