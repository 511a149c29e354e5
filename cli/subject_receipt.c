/* subject_receipt.c - `metrino subject check-receipt`: what a person can check without the broker.
 */
#include "cli/command.h"
#include "cli/audit.h"
#include "cli/subject.h"
#include "storage/audit/receipt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "What the person behind an account can check without the broker.\n\n"
    "Usage: metrino subject check-receipt FILE --vkey KEY [--name NAME]\n\n"
    "  check-receipt      that the broker gave this receipt for an erasure, and said so in its\n"
    "                     audit log in that hour; FILE may be - for standard input\n\n"
    "  --vkey KEY         the verifier key of the broker's audit log, or a file with it\n"
    "  --name NAME        that it is about this account; needs the receipt's line `salt`\n";

struct request {
	const char *file;
	const char *vkey;
	const char *name;
	bool help;
};

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--vkey", &r->vkey}, {"--name", &r->name}};

	if (argc < 1 || strcmp(argv[0], "check-receipt") != 0)
		return failure_set(failure,
				   argc < 1 ? "check-receipt is needed."
					    : "Unknown command '%.80s'. It must be "
					      "check-receipt.",
				   argc < 1 ? "" : argv[0]);
	for (int i = 1; i < argc; i++) {
		const char **value = NULL;

		for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++)
			if (strcmp(argv[i], options[k].name) == 0)
				value = options[k].value;
		if (value && i + 1 >= argc)
			return failure_set(failure, "%s needs a value.", argv[i]);
		if (value)
			*value = argv[++i];
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			return failure_set(failure, "Unknown option '%.80s'.", argv[i]);
		else if (r->file)
			return failure_set(failure, "'%.80s' is too many.", argv[i]);
		else
			r->file = argv[i];
	}
	if (r->name && !*r->name)
		return failure_set(failure, "--name needs the name of an account, not ''.");
	if (!r->file || !r->vkey)
		return failure_set(failure, "check-receipt needs %s.",
				   r->file ? "--vkey KEY: the key that you were given proves it"
					   : "a file with a receipt");
	return true;
}

static bool read_file(const char *path, struct audit_file *file, struct failure *failure)
{
	if (strcmp(path, "-") != 0)
		return audit_file_read(AT_FDCWD, path, RECEIPT_SIZE, file, failure);
	file->at = calloc(1, RECEIPT_SIZE + 1);
	must(file->at);
	file->len = fread(file->at, 1, RECEIPT_SIZE, stdin);
	return !ferror(stdin) || failure_set(failure, "standard input: %s", strerror(errno));
}

static void print_receipt(const struct receipt *receipt, const struct note_verifier *verifier,
			  const char *name)
{
	const time_t time_s = (time_t)receipt->hour_s;
	char hour[32] = "?";
	struct tm utc;

	if (gmtime_r(&time_s, &utc))
		strftime(hour, sizeof(hour), "%Y-%m-%d %H:00 UTC", &utc);
	printf("the receipt is right: %s in the hour from %s; entry %llu of the log %s\n",
	       receipt_event_told(receipt->event), hour, (unsigned long long)receipt->entry,
	       verifier->name);
	if (name)
		printf("it is about %s\n", name);
	else
		puts("whose it is was not looked at: --name NAME");
}

static bool check(const struct request *request, struct failure *failure)
{
	const struct slice name = request->name ? slice_text(request->name) : SLICE_NONE;
	struct audit_file file = {0};
	struct note_verifier verifier;
	struct receipt receipt;
	const bool ok =
	    audit_vkey_given(request->vkey, &verifier, failure) &&
	    read_file(request->file, &file, failure) &&
	    (receipt_check(slice_of(file.at, file.len), &verifier, name, &receipt, failure) ||
	     failure_context(failure, "%.200s", request->file));

	free(file.at);
	if (ok)
		print_receipt(&receipt, &verifier, request->name);
	return ok;
}

int subject_check_receipt(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;

	for (int i = 0; i < argc && i < 2; i++)
		request.help =
		    request.help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("subject", &failure);
	if (check(&request, &failure))
		return 0;
	fprintf(stderr, "Error: %s\n", failure.text);
	return 1;
}
