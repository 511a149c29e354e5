/*
 * control_internal.h - what the files control*.c share: commands and their answers.
 *
 * A command is a line of a table.  It writes lines of JSON and, as the last one, that it was
 * done or why not.
 *
 * Thread: that of the control socket.
 */
#ifndef BROKER_CONTROL_INTERNAL_H
#define BROKER_CONTROL_INTERNAL_H

#include "broker/control.h"
#include <jansson.h>
#include <stdio.h>

/* How long workers may take. */
#define CONTROL_PATIENCE_MS 5000

struct control_command {
	const char *name; /* NULL ends a table */
	enum audit_word right;
	bool needs_record; /* refused when its use cannot be recorded */
	void (*run)(const struct control_source *source, const json_t *request, FILE *out);
};

/* control_account.c */
extern const struct control_command control_account_commands[];
/* control_records.c */
extern const struct control_command control_record_commands[];

/* control_subject.c */
extern const struct control_command control_subject_commands[];

/* control_traffic.c */
extern const struct control_command control_traffic_commands[];

extern const char control_too_busy[];

/* A member of a request that is a text; what is not there is empty. */
struct slice control_text(const json_t *request, const char *member);

/* Writes a line; the value is freed. */
void control_say(FILE *out, json_t *line);
/* The last one of what was not done. */
void control_say_error(FILE *out, const char *sentence);

#endif
