/*
 * command.h - the sub-commands of `metrino`, and what those share that connect.
 * Each takes the arguments after its own name and returns the exit status.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/client.h"
#include "cli/options.h"

#define EXIT_TIMED_OUT 27

typedef int run_command(int argc, char **argv);

run_command command_pub, command_sub, command_rr, command_clients, command_bench, command_passwd,
    command_ban, command_audit, command_subject, command_privacy, command_account, command_traffic,
    command_aggregate, command_logins, command_compact, command_backup;

/* Prints "Error: sentence", and how to see the usage of that command; returns 1. */
int command_misused(const char *command, const struct failure *failure);

/*
 * Reads the options of pub, sub, rr or bench.  True: go on; false: leave with *status, help or
 * a complaint was printed.
 */
bool command_options(struct options *o, int argc, char **argv, int *status);

/* A client and what it is set up with; command_finish() frees what it holds. */
struct command_link {
	const struct options *options;
	struct client client;
	struct client_settings settings;
	struct mqtt_properties properties[PACKET_TYPES];
	char name[64]; /* a client identifier made up here */
	struct buffer prefixed;
	int64_t until_ms; /* when -W ends it; 0: never */
	bool over;	  /* -W did, or a signal */
};

/* Connects.  Returns 0, or the exit status after printing why not. */
int command_connect(struct command_link *link, const struct options *o,
		    const struct client_events *events, void *user);

/* Is the time of -W over, or was it asked to leave (leave.h)?  Then `over` is set. */
bool command_over(struct command_link *link);

/*
 * Turns the connected client until a callback stops it or command_over(), then says goodbye.
 * Returns 0, or the exit status after printing why.
 */
int command_serve(struct command_link *link);

/* Prints "Error: sentence" unless --quiet; returns 1. */
int command_failed(const struct options *o, const struct failure *failure);

void command_finish(struct command_link *link);

#endif
