/* compact.c - `metrino compact`: data.mdb of a broker that does not run, made smaller. */
#include "cli/command.h"
#include "storage/compact.h"

#include <inttypes.h>
#include <stdio.h>

static const char usage[] =
    "Writes the data file of a broker anew, without the room that is not used any more. The\n"
    "broker must not run meanwhile. The old file is overwritten.\n\n"
    "Usage: metrino compact --data DIR\n\n"
    "  --data DIR     the broker's data directory\n";

int command_compact(int argc, char **argv)
{
	struct compacted compacted;
	struct failure failure;

	if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 2 || strcmp(argv[0], "--data") != 0) {
		failure_set(&failure, "--data DIR is needed, and nothing else.");
		return command_misused("compact", &failure);
	}
	if (!compact_data(argv[1], &compacted, &failure)) {
		fprintf(stderr, "Error: %s\n", failure.text);
		return 1;
	}
	printf("%" PRIu64 " bytes before, %" PRIu64 " now\n", compacted.before, compacted.after);
	return 0;
}
