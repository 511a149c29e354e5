/*
 * config_files.h - configuration files for tests: written, read, judged.
 *
 * Each test has a directory of its own (make_directory and remove_directory as
 * its fixture) and `main_file` in it.
 */
#ifndef TESTS_UNIT_CONFIG_FILES_H
#define TESTS_UNIT_CONFIG_FILES_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/config_internal.h"

static char directory[64];
static char main_file[128];

static inline void make_directory(void)
{
	strcpy(directory, "/tmp/metrino-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(main_file, sizeof(main_file), "%s/main.conf", directory);
	ck_assert_int_eq(setenv("STATE_DIRECTORY", "/state/one:/state/two", 1), 0);
}

static inline void remove_directory(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

static inline void write_bytes(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
}

static inline struct config *read_text(const char *text, char **problems)
{
	write_bytes(main_file, text, strlen(text));
	return config_read(main_file, &(struct config_ports){0}, problems);
}

/* The configuration of a text that must be right. */
static inline struct config *read_right(const char *text)
{
	char *problems = NULL;
	struct config *config = read_text(text, &problems);
	ck_assert_msg(config != NULL, "refused: %s: %s", text, problems);
	ck_assert_ptr_null(problems);
	return config;
}

/* The text must be refused, and each word of the list stand in what is said. */
static inline void read_wrong(const char *text, const char *says)
{
	char *problems = NULL;
	struct config *config = read_text(text, &problems);
	ck_assert_msg(config == NULL, "taken: %s", text);
	ck_assert_ptr_nonnull(problems);
	ck_assert_msg(strstr(problems, says) != NULL, "'%s' is not in: %s", says, problems);
	free(problems);
}

static inline bool has_notice(const struct config *config, const char *words)
{
	for (size_t i = 0; i < config->notice_count; i++) {
		if (strstr(config->notices[i], words))
			return true;
	}
	return false;
}

#endif
