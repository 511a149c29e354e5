/*
 * control.h - the way to the running broker: control.sock in its data directory
 * (broker/control.h has the protocol).
 *
 * Failure: a sentence for the person who asked.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "proto/base.h"
#include <jansson.h>
#include <stdio.h>

/*
 * Opens the socket itself, or that of a data directory; both NULL: where a broker's data
 * directory usually is.  NULL, and why, when there is no broker.
 */
FILE *control_open(const char *data, const char *socket, struct failure *failure);

/* A question, and what becomes of the answer. */
struct control_question {
	const char *data, *socket; /* as above */
	json_t *request;	   /* taken; NULL: an argument is not UTF-8 */
	bool json;		   /* prints the lines as they are, and takes none */
	void *self;
	/* Each line, and its text; false, with a failure, ends it. */
	bool (*take)(void *self, const json_t *line, struct slice text, struct failure *failure);
};

/*
 * Asks, and reads the answer to its last line.  False: there is no broker, it refused (in its
 * words), it closed the connection before that, or take() said so.
 */
bool control_ask(const struct control_question *question, struct failure *failure);

/* Is it the last line of an answer? */
static inline bool control_is_last(const json_t *line)
{
	return json_object_get(line, "ok") != NULL;
}

/* Prints anybody's text, a client identifier: nothing in it steers the terminal. */
void control_print_text(struct slice text);

/* The exit status of a command; says what failed. */
int control_exit(bool good, const struct failure *failure);

#endif
