/* main.c - metrinod: the command line, then the household. */
#include "broker/household.h"
#include "broker/net/standard_files.h"
#include "broker/options.h"
#include "broker/secret_json.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_text(const char *text)
{
	/* Nothing can be done about a failure here. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

/*
 * A condition of ours was wrong: its place is all that a report needs.  Or systemd's watchdog has
 * heard nothing from us; whatever hangs, the process is to end now.
 */
static void on_abort(int number)
{
	if (must_failed_text[0] != 0) {
		write_text("metrinod: a mistake of this program, please report it: ");
		write_text(must_failed_text);
		write_text("\n");
	} else {
		write_text("metrinod: ended by SIGABRT: a watchdog that heard nothing, or a "
			   "library's mistake\n");
	}
	signal(number, SIG_DFL);
	raise(number);
}

int main(int argc, char **argv)
{
	struct options options;
	struct failure failure;

	signal(SIGABRT, on_abort);
	standard_files_hold();
	secret_json_begin();
	if (!options_parse(&options, argc, argv, &failure)) {
		fprintf(stderr, "metrinod: %s\n", failure.text);
		return OPTIONS_EXIT_WRONG;
	}
	if (options.task != OPTIONS_RUN)
		return options_do_task(&options);
	return household_run(&options);
}
