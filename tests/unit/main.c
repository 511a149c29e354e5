/*
 * main.c - runs the unit tests: all suites of suites.def, or the one that is
 * named as the only argument; -l lists them.  Exits with 0 when every test passed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE(module) Suite *module##_suite(void);
#include "tests/unit/suites.def"
#undef SUITE

struct suite_row {
	const char *name;
	Suite *(*create)(void);
};

static const struct suite_row rows[] = {
#define SUITE(module) {#module, module##_suite},
#include "tests/unit/suites.def"
#undef SUITE
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Seconds for a test that has no limit of its own: one that hangs is found, one that a sanitizer
 * and a busy machine make slow is not. */
#define TIMEOUT_S "60"

static int list(void)
{
	for (size_t i = 0; i < ROWS; i++)
		puts(rows[i].name);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	if (only && strcmp(only, "-l") == 0)
		return list();
	setenv("CK_DEFAULT_TIMEOUT", TIMEOUT_S, 0); /* tcase_create() looks for it */
	SRunner *runner = srunner_create(NULL);
	size_t added = 0;
	int failed;

	for (size_t i = 0; i < ROWS; i++) {
		if (only && strcmp(only, rows[i].name) != 0)
			continue;
		srunner_add_suite(runner, rows[i].create());
		added++;
	}
	if (added == 0) {
		fprintf(stderr, "no suite \"%s\"; the suites are:", only ? only : "");
		for (size_t i = 0; i < ROWS; i++)
			fprintf(stderr, " %s", rows[i].name);
		fputc('\n', stderr);
		srunner_free(runner);
		return EXIT_FAILURE;
	}
	srunner_run_all(runner, CK_ENV); /* CK_VERBOSITY; normal by default */
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
