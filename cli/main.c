/* main.c - the `metrino` command: finds the sub-command and runs it. */
#include "broker/net/standard_files.h"
#include "proto/version.h"
#include "cli/command.h"

#include <stdio.h>

static const struct {
	const char *name;
	run_command *run;
	const char *help;
} commands[] = {
    {"pub", command_pub, "publish messages, with the flags of mosquitto_pub"},
    {"sub", command_sub, "subscribe and print messages, with the flags of mosquitto_sub"},
    {"rr", command_rr, "ask for a response, with the flags of mosquitto_rr"},
    {"passwd", command_passwd, "manage password files, with the flags of mosquitto_passwd"},
    {"account", command_account, "create, change and delete accounts of the running broker"},
    {"subject", command_subject, "rights of the person behind an account: export, erase, ..."},
    {"clients", command_clients, "count, list or disconnect the running broker's clients"},
    {"ban", command_ban, "list or lift the running broker's bans"},
    {"traffic", command_traffic, "ask the running broker what became of deliveries"},
    {"audit", command_audit, "read and verify the broker's audit log"},
    {"privacy", command_privacy, "hold what the broker promises against the one that runs"},
    {"aggregate", command_aggregate, "show what the running broker keeps of the last days"},
    {"logins", command_logins, "show when an account of the running broker logged in"},
    {"backup", command_backup, "copy the audit log and the configuration of a broker"},
    {"compact", command_compact, "make the data file of a stopped broker smaller"},
    {"bench", command_bench, "put load on any MQTT broker and measure it"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fputs("Usage: metrino COMMAND [arguments]\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\n'metrino COMMAND --help' tells more; --version says which version this is.\n",
	      out);
}

/* A receipt, a key's secret or a verdict that did not arrive is not said again. */
static int check_output(int status)
{
	if (status != 0 || (fflush(stdout) == 0 && !ferror(stdout)))
		return status;
	fputs("Error: what there was to say could not be written to standard output.\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	standard_files_hold();
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return check_output(commands[i].run(argc - 2, argv + 2));
	}
	if (strcmp(name, "--version") == 0) {
		puts("metrino " METRINO_VERSION);
		return 0;
	}
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (*name != '\0')
		fprintf(stderr, "Error: Unknown command '%.80s'. It must be one of these:\n\n",
			name);
	print_usage(stderr);
	return 1;
}
