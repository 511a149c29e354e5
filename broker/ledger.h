/*
 * ledger.h - the privacy ledger: what is kept at this moment, for how long, and whether what should
 * have been destroyed was.  For the person who asks, the officer who answers, and whoever audits.
 *
 * Counts are powers of two, rounded down, so that a page that is fetched twice does not tell that
 * somebody came.  The page is static: no script, nothing from outside.
 *
 * Ownership: the struct is the caller's; its texts are literals or the configuration's.
 * ledger_page() and ledger_json() give a malloc'ed text.
 * Thread: any.
 */
#ifndef BROKER_LEDGER_H
#define BROKER_LEDGER_H

#include "proto/base.h"

#define LEDGER_ROWS_MAX 12u
#define LEDGER_UNKNOWN	UINT64_MAX

struct ledger_row {
	const char *class;
	const char *holds; /* in words */
	const char *where; /* and under which key */
	const char *until; /* when it is gone, in words */
	uint64_t rows;	   /* as counted; shown as a power of two */
	uint64_t bytes;
	uint64_t oldest_s; /* since 1970 */
	uint64_t limit_s;  /* the longest age */
	uint64_t next_s;   /* when something is destroyed next */
	uint64_t job_s;	   /* when its job ran last */
	bool late;	   /* what was due was not done */
};

struct ledger {
	const char *version;
	uint64_t now_s;
	const char *region;
	const char *contact; /* NULL: none is named */
	uint32_t policy_version;
	bool memory_protected;
	char memory[512]; /* why not, in words; empty: it is */
	const char *erase_level;
	char erase[512]; /* why `none`; empty otherwise */
	bool at_rest;	 /* keys are wrapped */
	uint64_t store_bytes;
	bool has_log;
	bool log_writable;
	char origin[64];
	uint64_t log_size;
	char log_root[48];
	size_t row_count;
	struct ledger_row rows[LEDGER_ROWS_MAX];
};

/* 0, 1, 2, 4, 8, ... */
uint64_t ledger_rounded(uint64_t count);

char *ledger_page(const struct ledger *ledger, size_t *len);
char *ledger_json(const struct ledger *ledger, size_t *len);

#endif
