/* audit.c - `metrino audit`: the arguments, and where the log is. */
#include "cli/audit.h"
#include "cli/command.h"
#include "cli/shown_url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "Reads and verifies the audit log of a broker.\n\n"
    "Usage: metrino audit tail [DIR] [-f] [-n COUNT] [--json] [--vkey KEY]\n"
    "       metrino audit verify [DIR] [--vkey KEY]\n"
    "       metrino audit prove N [--data DIR] [--vkey KEY]\n"
    "       metrino audit prove --from CHECKPOINT [--data DIR] [--vkey KEY]\n"
    "       metrino audit check FILE [--vkey KEY] [--from CHECKPOINT] [--data DIR]\n"
    "       metrino audit schedule [DIR] [--vkey KEY]\n"
    "       metrino audit follow URL|DIR --copy DIR [--vkey KEY] [--max-age HOURS]\n\n"
    "  tail               the last entries, as sentences\n"
    "  verify             the whole log, from its files alone\n"
    "  prove              a proof that entry N is in the log, or that the log continues an\n"
    "                     older checkpoint; on stdout\n"
    "  check              checks a proof, or that the log continues the checkpoint in FILE\n"
    "  schedule           was every key destroyed in time?  From the log alone\n"
    "  follow             fetches what is new into a copy, checks it, and that the log continues\n"
    "                     what it was; for cron on another machine\n\n"
    "  -f, --follow       go on with what is added\n"
    "  -n COUNT           how many entries (10)\n"
    "  --json             the entries as they are, one JSON object a line\n"
    "  --data DIR         the broker's data directory, or the log's own, or a copy; DIR likewise;\n"
    "                     without either it is looked for where brokers have it\n"
    "  --copy DIR         where follow keeps its copy of the log; made the first time\n"
    "  --max-age HOURS    follow fails when the last entry is older\n"
    "  --from CHECKPOINT  a file with an older checkpoint of the log\n"
    "  --vkey KEY         the verifier key that you were given, or a file with it; without it the\n"
    "                     one beside the log is taken\n";

/* ---- arguments */

static const struct {
	const char *name;
	audit_command *run;
	const char
	    *operand; /* what it needs; NULL: nothing, but may name the log in place of --data */
	bool instead; /* --from is enough */
} commands[] = {
    {"tail", audit_tail, NULL, false},
    {"verify", audit_verify_log, NULL, false},
    {"prove", audit_prove, "the number of an entry, or --from CHECKPOINT", true},
    {"check", audit_check, "a file with a proof or a checkpoint", false},
    {"schedule", audit_schedule_keys, NULL, false},
    {"follow", audit_follow, "the log's URL or directory", false},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Where the value of an option goes; NULL: it takes none or is unknown. */
static const char **value_of(struct audit_request *r, const char *word)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--data", &r->data}, {"--vkey", &r->vkey}, {"--from", &r->from},
		       {"-n", &r->count},    {"--copy", &r->copy}, {"--max-age", &r->max_age}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(word, options[i].name) == 0)
			return options[i].value;
	return NULL;
}

static bool *flag_of(struct audit_request *r, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"-f", &r->follow},
		     {"--follow", &r->follow},
		     {"--json", &r->json},
		     {"-h", &r->help},
		     {"--help", &r->help}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(word, flags[i].name) == 0)
			return flags[i].flag;
	return NULL;
}

/* Others on this computer see what stands on the command line: a password is overwritten there. */
static const char *hide_password(char *word)
{
	static char url[4096]; /* more than a URL may have: fetch.c */

	if (!strstr(word, "://") || !strchr(word, '@'))
		return word;
	snprintf(url, sizeof(url), "%s", word);
	memset(word, '*', strlen(word));
	return url;
}

static bool read_arguments(struct audit_request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char **value = value_of(r, argv[i]);
		bool *flag = flag_of(r, argv[i]);

		if (value && i + 1 >= argc)
			return failure_set(failure, "%s needs a value.", argv[i]);
		if (value)
			*value = argv[++i];
		else if (flag)
			*flag = true;
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			return failure_set(failure, "Unknown option '%.80s'.",
					   shown_url(argv[i]).text);
		else if (r->operand)
			return failure_set(failure, "'%.80s' is too many.",
					   shown_url(argv[i]).text);
		else
			r->operand = hide_password(argv[i]);
	}
	return true;
}

static bool find_command(int argc, char **argv, size_t *which, struct failure *failure)
{
	if (argc < 1)
		return failure_set(
		    failure, "One of tail, verify, prove, check, schedule and follow is needed.");
	for (*which = 0; *which < COMMANDS; (*which)++)
		if (strcmp(argv[0], commands[*which].name) == 0)
			return true;
	return failure_set(
	    failure,
	    "Unknown command '%.80s'. It must be tail, verify, prove, check, schedule or follow.",
	    argv[0]);
}

static bool check_operand(size_t which, struct audit_request *r, struct failure *failure)
{
	const char *needed = commands[which].operand;

	if (needed == NULL && r->operand && r->data)
		return failure_set(failure, "'%.80s' is too many: --data names the log already.",
				   shown_url(r->operand).text);
	if (needed == NULL && r->operand)
		r->data = r->operand;
	if (needed && !r->operand && !(commands[which].instead && r->from))
		return failure_set(failure, "%s needs %s.", commands[which].name, needed);
	if (commands[which].instead && r->operand && r->from)
		return failure_set(failure, "%s needs %s, not both.", commands[which].name, needed);
	return true;
}

/* What a command does not look at is not taken: a check that was asked for and not made would pass.
 */
static bool check_options(size_t which, const struct audit_request *r, struct failure *failure)
{
	const struct {
		bool given;
		const char *name;
		const char *of;
	} options[] = {{r->data != NULL, "--data", "tail, verify, prove, check, schedule"},
		       {r->from != NULL, "--from", "prove, check"},
		       {r->count != NULL, "-n", "tail"},
		       {r->follow, "-f", "tail"},
		       {r->json, "--json", "tail"},
		       {r->copy != NULL, "--copy", "follow"},
		       {r->max_age != NULL, "--max-age", "follow"}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].given && !strstr(options[i].of, commands[which].name))
			return failure_set(failure, "%s does not take %s, which is for: %s.",
					   commands[which].name, options[i].name, options[i].of);
	return true;
}

/* Who gives a URL in the place of a file would be told that there is no such file. */
static bool refuse_urls(size_t which, const struct audit_request *r, struct failure *failure)
{
	const bool follows = commands[which].run == audit_follow;
	const char *const files[] = {follows ? NULL : r->operand, r->data, r->vkey, r->from,
				     r->copy};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] && strstr(files[i], "://"))
			return failure_set(failure,
					   "'%.200s' is a URL; only follow reads from one, into "
					   "the directory that --copy names.",
					   shown_url(files[i]).text);
	return true;
}

/* ---- places */

static int open_log(const char *path, const char *inner)
{
	char log[4200];
	struct audit_file checkpoint;
	struct failure ignored;

	if (snprintf(log, sizeof(log), "%s%s", path, inner) >= (int)sizeof(log)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = open(log, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (audit_file_find(fd, AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX, &checkpoint,
			    &ignored) == AUDIT_NOT_THERE) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	free(checkpoint.at);
	return fd;
}

static int open_either(const char *path)
{
	int fd = open_log(path, "");

	return fd >= 0 ? fd : open_log(path, "/log");
}

/* Where a broker's data directory may be, as the broker itself chooses it, then ./var. */
static int search_log(void)
{
	const struct {
		const char *folder, *inner;
	} places[] = {
	    {getenv("STATE_DIRECTORY"), "/log"},
	    {getenv("XDG_STATE_HOME"), "/metrino/log"},
	    {getenv("HOME"), "/.local/state/metrino/log"},
	    {"/var/lib/metrino", "/log"},
	    {"./var", "/log"},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *folder = places[i].folder;
		int fd = folder && *folder ? open_log(folder, places[i].inner) : -1;

		if (fd >= 0)
			return fd;
	}
	return -1;
}

bool audit_place_open(struct audit_place *place, const char *path, struct failure *failure)
{
	*place = (struct audit_place){.directory = path ? open_either(path) : search_log()};
	if (place->directory >= 0)
		return true;
	if (path)
		return failure_set(failure, "%.300s: no audit log there: %s", path,
				   strerror(errno));
	return failure_set(failure,
			   "no audit log found; say where the broker's data directory is with "
			   "--data DIR");
}

bool audit_vkey_given(const char *given, struct note_verifier *verifier, struct failure *failure)
{
	struct audit_file file;

	if (strchr(given, '+') != NULL && access(given, F_OK) != 0)
		return note_vkey_read(slice_text(given), verifier, failure);
	if (!audit_file_read(AT_FDCWD, given, NOTE_VKEY_SIZE, &file, failure))
		return false;
	bool ok = note_vkey_read(slice_of(file.at, file.len), verifier, failure);

	free(file.at);
	return ok || failure_context(failure, "%.200s", given);
}

bool audit_place_read(struct audit_place *place, const char *vkey, struct failure *failure)
{
	free(place->checkpoint_text.at);
	place->checkpoint_text.at = NULL;
	return (vkey ? audit_vkey_given(vkey, &place->verifier, failure)
		     : audit_vkey_load(place->directory, &place->verifier, failure)) &&
	       audit_checkpoint_load(place->directory, &place->verifier, &place->checkpoint,
				     &place->checkpoint_text, failure);
}

void audit_place_finish(struct audit_place *place)
{
	if (place->directory >= 0)
		close(place->directory);
	free(place->checkpoint_text.at);
}

/* ---- the command */

int command_audit(int argc, char **argv)
{
	struct audit_request request = {0};
	struct failure failure;
	size_t which = 0;

	if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0))
		request.help = true;
	else if (!find_command(argc, argv, &which, &failure) ||
		 !read_arguments(&request, argc - 1, argv + 1, &failure) ||
		 (!request.help && !(check_options(which, &request, &failure) &&
				     refuse_urls(which, &request, &failure) &&
				     check_operand(which, &request, &failure))))
		return command_misused("audit", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (commands[which].run(&request, &failure) && fflush(stdout) == 0)
		return 0;
	fprintf(stderr, "Error: %s\n", ferror(stdout) ? strerror(errno) : failure.text);
	return 1;
}
