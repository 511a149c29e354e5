/*
 * backup.c - `metrino backup`: the audit log and the configuration of a broker, running or not.
 *
 * The log is copied by its entries up to the checkpoint that is read first, which the broker signed
 * and goes on from; what it writes meanwhile is not looked at.  backup.txt is written last: a
 * directory without it holds a part of a backup only.
 */
#include "cli/backup.h"
#include "cli/audit.h"
#include "cli/command.h"
#include "storage/audit/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Writes a checked copy of a broker's audit log, and its configuration, into a new or empty\n"
    "directory. The broker may run meanwhile.\n\n"
    "Usage: metrino backup DIR [--data DIR] [-c FILE] [--vkey KEY]\n\n"
    "  DIR                 where the backup is written; an earlier one is never overwritten\n"
    "  --data DIR          the broker's data directory\n"
    "  -c, --config-file FILE\n"
    "                      its configuration; the files of include_dir go with it, but not those\n"
    "                      with passwords, rights, keys or certificates\n"
    "  --vkey KEY          the log's verifier key that you were given, or a file with it; without\n"
    "                      it the one beside the log is taken\n";

#define SUMMARY_NAME "backup.txt"
#define SUMMARY_SIZE 600

struct backup_request {
	const char *into, *data, *config, *vkey;
};

/* ---- arguments */

static const char **value_of(struct backup_request *r, const char *word)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--data", &r->data},
		       {"-c", &r->config},
		       {"--config-file", &r->config},
		       {"--vkey", &r->vkey}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(word, options[i].name) == 0)
			return options[i].value;
	return NULL;
}

static bool read_arguments(struct backup_request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char **value = value_of(r, argv[i]);

		if (value && i + 1 >= argc)
			return failure_set(failure, "%s needs a value.", argv[i]);
		if (value)
			*value = argv[++i];
		else if (argv[i][0] == '-')
			return failure_set(failure, "Unknown option '%.80s'.", argv[i]);
		else if (r->into)
			return failure_set(failure, "'%.80s' is too many.", argv[i]);
		else
			r->into = argv[i];
	}
	return (r->into && *r->into) ||
	       failure_set(failure, "A directory for the backup is needed.");
}

/* ---- where it is written */

static bool is_empty(int directory)
{
	const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int count = 0;

	if (!entries) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(entries)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(entries);
	return count == 0;
}

/* The broker does not start with a stranger's folder in its data directory. */
static bool is_outside(int into, int log, struct failure *failure)
{
	struct stat parent, of_log, data;

	if (fstatat(into, "..", &parent, 0) != 0 || fstat(log, &of_log) != 0 ||
	    fstatat(log, "..", &data, 0) != 0)
		return failure_set(failure, "cannot be looked at: %s", strerror(errno));
	return (parent.st_dev != data.st_dev ||
		(parent.st_ino != data.st_ino && parent.st_ino != of_log.st_ino)) ||
	       failure_set(failure, "lies in the data directory; right would be a place elsewhere");
}

/* Opens the new or empty directory, for its owner alone; a new one is there after a crash, too. */
static bool open_into(const char *path, bool *made, int *into, struct failure *failure)
{
	*made = mkdir(path, 0700) == 0;
	if (!*made && errno != EEXIST)
		return failure_set(failure, "cannot be made: %s", strerror(errno));
	*into = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*into < 0)
		return failure_set(failure, "%s", strerror(errno));
	if (!is_empty(*into))
		return failure_set(failure, "is not empty; right would be a new directory");
	if (fchmod(*into, 0700) != 0)
		return failure_set(failure, "%s", strerror(errno));
	if (!*made)
		return true;
	const int parent = openat(*into, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool ok = parent >= 0 && fsync(parent) == 0;

	if (!ok)
		failure_set(failure, "the directory above cannot be synced: %s", strerror(errno));
	if (parent >= 0)
		close(parent);
	return ok;
}

/* ---- the log */

static enum audit_found fetch(void *self, const char *path, size_t max, struct audit_file *file,
			      struct failure *failure)
{
	const struct audit_place *place = self;

	return audit_file_find(place->directory, path, max, file, failure);
}

/* The copy is read once more as a whole: what a disk gave back wrong is no backup. */
static bool copy_entries(struct audit_place *place, int log, struct checkpoint *copied,
			 struct failure *failure)
{
	const struct audit_mirror_source source = {place, fetch};
	struct audit_mirror *mirror = audit_mirror_open(log, &place->verifier, failure);

	if (!mirror)
		return false;
	const bool ok =
	    audit_mirror_follow(mirror, &source, failure) || failure_context(failure, "the log");

	audit_mirror_close(mirror);
	if (!ok)
		return false;
	if (fsync(log) != 0)
		return failure_set(failure, "the copy of the log: %s", strerror(errno));
	return audit_verify(log, &place->verifier, copied, failure) ||
	       failure_context(failure, "the copy of the log");
}

static bool copy_log(struct audit_place *place, int into, struct checkpoint *copied,
		     struct failure *failure)
{
	/* Whoever makes the folder writes the backup: a second one at once fails here. */
	if (mkdirat(into, "log", 0700) != 0)
		return failure_set(failure, "log: cannot be made: %s", strerror(errno));
	const int log = openat(into, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (log < 0)
		return failure_set(failure, "log: %s", strerror(errno));
	const bool ok = copy_entries(place, log, copied, failure);

	close(log);
	return ok;
}

/* ---- the whole */

static bool write_summary(int into, uint64_t entries, unsigned files, struct failure *failure)
{
	char text[SUMMARY_SIZE], config[80] = "no configuration, as none was given";

	if (files > 0)
		snprintf(config, sizeof(config), "the configuration (%u %s, in config)", files,
			 files == 1 ? "file" : "files");
	snprintf(text, sizeof(text),
		 "In this backup: the verified audit log (%" PRIu64 " entries, in log) and %s.\n"
		 "Not in it: payloads, retained messages, sessions, accounts, passwords, keys and "
		 "certificates; a copy of data.mdb would open for an hour at most, so that what is "
		 "erased stays erased.\n",
		 entries, config);
	if (!audit_file_put(into, SUMMARY_NAME, slice_text(text), 0600, NULL, failure))
		return false;
	fputs(text, stdout);
	return true;
}

static bool fill(const struct backup_request *request, struct audit_place *place, int into,
		 struct failure *failure)
{
	struct checkpoint copied;
	unsigned files = 0;

	return is_outside(into, place->directory, failure) &&
	       copy_log(place, into, &copied, failure) &&
	       (!request->config || backup_config(into, request->config, &files, failure)) &&
	       write_summary(into, copied.size, files, failure);
}

static bool back_up(const struct backup_request *request, struct failure *failure)
{
	struct audit_place place;
	bool made = false, opened = false;
	int into = -1;

	if (!audit_place_open(&place, request->data, failure))
		return false;
	bool ok = audit_place_read(&place, request->vkey, failure);

	if (ok) {
		opened = open_into(request->into, &made, &into, failure);
		ok = opened && fill(request, &place, into, failure);
		if (!ok && opened && !is_empty(into))
			failure_context(failure, "%.300s is not a whole backup, remove it",
					request->into);
		else if (!ok)
			failure_context(failure, "%.300s", request->into);
		if (!ok && made)
			(void)rmdir(request->into); /* when there is nothing in it */
	}
	if (into >= 0)
		close(into);
	audit_place_finish(&place);
	return ok;
}

int command_backup(int argc, char **argv)
{
	struct backup_request request = {0};
	struct failure failure;

	if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("backup", &failure);
	if (back_up(&request, &failure) && fflush(stdout) == 0)
		return 0;
	fprintf(stderr, "Error: %s\n", ferror(stdout) ? strerror(errno) : failure.text);
	return 1;
}
