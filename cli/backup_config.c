/*
 * backup_config.c - see backup.h.  The grammar is metrino.conf(5)'s as far as needed: a key at the
 * line's beginning, its value after it.  Whether the values are right is for `metrinod
 * --test-config` to say: a wrong configuration can be backed up, too.
 */
#include "cli/backup.h"
#include "storage/audit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOLDER	      "config/"
#define INCLUDED      "config/include_dir/"
#define NAME_MAX_SIZE 100
#define FILE_MAX_SIZE ((size_t)1 << 20) /* the broker reads no larger one */

/* Keys that name files which must be kept apart, and why. */
static const struct {
	const char *key, *holds;
} left_out[] = {
    {"password_file", "password hashes"}, {"acl_file", "names of accounts and their rights"},
    {"psk_file", "pre-shared keys"},	  {"key_file", "the key that wraps the data's keys"},
    {"admin_token_file", "a token"},	  {"keyfile", "a private key"},
    {"certfile", "certificates"},	  {"cafile", "certificates"},
    {"capath", "certificates"},		  {"crlfile", "revocation lists"},
};

struct backup_files {
	int into;
	unsigned count;
	bool included; /* inside of include_dir, where the broker takes no further one */
};

static bool copy_included(struct backup_files *files, const char *folder, struct failure *failure);

static bool copy_line(struct backup_files *files, char *line, struct failure *failure)
{
	char *key = line + strspn(line, " \t");
	char *value = key + strcspn(key, " \t");

	if (*value)
		*value++ = '\0';
	value += strspn(value, " \t");
	if (strcmp(key, "include_dir") == 0)
		return files->included || copy_included(files, value, failure);
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (strcmp(key, left_out[i].key) == 0)
			fprintf(stderr, "Left out: %s %s (%s)\n", key, value, left_out[i].holds);
	return true;
}

/* Cuts the text into its lines. */
static bool copy_named(struct backup_files *files, char *text, struct failure *failure)
{
	/* The mark that some editors put before UTF-8. */
	char *line = strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? text + 3 : text;
	char *next = line;

	while ((line = strsep(&next, "\n")) != NULL) {
		size_t len = strlen(line);

		while (len > 0 && strchr(" \t\r", line[len - 1]))
			line[--len] = '\0';
		if (line[0] != '#' && !copy_line(files, line, failure))
			return false;
	}
	return true;
}

/* The name is of the path that was given, the bytes are of what a link leads to. */
static bool read_config(const char *path, struct audit_file *file, struct failure *failure)
{
	char *real = realpath(path, NULL);

	if (!real)
		return failure_set(failure, "%.300s: cannot be read: %s", path, strerror(errno));
	bool ok = audit_file_read(AT_FDCWD, real, FILE_MAX_SIZE, file, failure);

	free(real);
	if (ok && strlen((const char *)file->at) != file->len) {
		free(file->at);
		return failure_set(
		    failure, "%.300s: has a NUL byte; right would be a configuration file", path);
	}
	return ok;
}

static bool copy_config(struct backup_files *files, const char *path, struct failure *failure)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char target[sizeof(INCLUDED) + NAME_MAX_SIZE];
	struct audit_file file;

	if (strlen(name) > NAME_MAX_SIZE)
		return failure_set(failure, "%.300s: its name is longer than %d bytes", path,
				   NAME_MAX_SIZE);
	snprintf(target, sizeof(target), "%s%s", files->included ? INCLUDED : FOLDER, name);
	if (faccessat(files->into, target, F_OK, 0) == 0)
		return failure_set(failure, "%.300s: a second configuration file of that name",
				   path);
	if (!read_config(path, &file, failure))
		return false;
	bool ok =
	    audit_file_put(files->into, target, slice_of(file.at, file.len), 0600, NULL, failure) &&
	    copy_named(files, (char *)file.at, failure);

	free(file.at);
	files->count++;
	return ok;
}

static int is_conf(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);

	return len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static bool copy_included(struct backup_files *files, const char *folder, struct failure *failure)
{
	struct dirent **entries = NULL;
	const int count = scandir(folder, &entries, is_conf, alphasort);
	bool ok = true;

	if (count < 0)
		return failure_set(failure, "include_dir %.300s: %s", folder, strerror(errno));
	files->included = true;
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		ok = ok && copy_config(files, path, failure);
		free(entries[i]);
	}
	files->included = false;
	free(entries);
	return ok;
}

bool backup_config(int into, const char *file, unsigned *count, struct failure *failure)
{
	struct backup_files files = {.into = into};
	bool ok = copy_config(&files, file, failure);

	*count = files.count;
	return ok || failure_context(failure, "the configuration");
}
