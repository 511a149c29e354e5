/*
 * options.h - the command line of metrinod (metrinod(8)).
 *
 * Ownership: strings are borrowed from argv.
 * Failure: a sentence that names the option and the way out; exit code OPTIONS_EXIT_WRONG.
 * Thread: the main thread, before there are others.
 */
#ifndef BROKER_OPTIONS_H
#define BROKER_OPTIONS_H

#include "broker/config.h"

/*
 * What the command line or the configuration says cannot be, as mosquitto's exit status has it:
 * to start once more would help nobody.  What the world lacks (a port, a file) is EXIT_FAILURE.
 */
#define OPTIONS_EXIT_WRONG 3

enum options_task {
	OPTIONS_RUN,
	OPTIONS_TEST_CONFIG,
	OPTIONS_EXAMPLE_CONFIG,
	OPTIONS_CONFIG_MANUAL,
	OPTIONS_CRASH_STEPS,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

struct options {
	enum options_task task;
	const char *config_file; /* NULL: none was given */
	struct config_ports ports;
	bool verbose; /* every level of the log, to stderr */
	bool quiet;   /* errors only; goes before verbose */
	bool daemon;
};

/* Reads the command line.  False: the failure says what is wrong and what would be right. */
bool options_parse(struct options *options, int argc, char **argv, struct failure *failure);

/*
 * Reads the configuration that the options name, or makes the embedded default,
 * and lets -v and -q prevail.  NULL: *problems is one line per problem, all of
 * them, to be freed by the caller.  Also for a reload (HUP).
 */
struct config *options_read_config(const struct options *options, char **problems);

/* Does a task other than OPTIONS_RUN: prints to stdout or stderr; returns the exit code. */
int options_do_task(const struct options *options);

#endif
