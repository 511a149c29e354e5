/*
 * scratch.h - a directory (0700) for one test, under $TMPDIR or /tmp.
 * A test that fails leaves it behind, for a look.
 */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

#include "proto/base.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

struct scratch {
	char path[256];
};

static inline struct scratch scratch_make(void)
{
	struct scratch scratch;
	const char *parent = getenv("TMPDIR");

	snprintf(scratch.path, sizeof(scratch.path), "%s/metrino-test-XXXXXX",
		 parent == NULL ? "/tmp" : parent);
	must(mkdtemp(scratch.path) != NULL);
	return scratch;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static inline void scratch_remove(const struct scratch *scratch)
{
	must(nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

#endif
