/*
 * auth_log_internal.h - what auth_log.c (what happens in memory) and auth_log_rows.c (what
 * is on the disk) share.
 */
#ifndef BROKER_AUTH_LOG_INTERNAL_H
#define BROKER_AUTH_LOG_INTERNAL_H

#include "broker/auth_log.h"
#include <pthread.h>
#include <stdatomic.h>

struct auth_log_place {
	uint64_t account; /* 0: free */
	uint8_t result;	  /* enum auth_log_result */
	bool taken;	  /* it is among the pending rows, or written */
};

/* A row that is to be written. */
struct auth_log_pending {
	uint64_t account;
	uint64_t minute; /* since 1970 */
	uint8_t result;
};

/* How many rows a period has. */
struct auth_log_period {
	uint64_t epoch;
	uint64_t rows;
};

struct auth_log {
	struct vault *vault; /* NULL: nothing is written */
	struct keyring *keyring;
	_Atomic uint32_t expiry_s;
	_Atomic uint64_t max_bytes;
	_Atomic uint64_t logins[IDENTITY_KINDS][AUTH_LOG_RESULTS];
	_Atomic uint64_t lost;
	pthread_mutex_t mutex; /* of the table of the minute */
	uint64_t minute;       /* that it is of */
	uint32_t used;
	struct auth_log_place places[AUTH_LOG_PLACES];
	/* The main thread's: */
	struct auth_log_pending *pending;
	size_t pending_count, pending_room;
	size_t period_count;
	struct auth_log_period periods[SLOT_COUNT]; /* by epoch */
};

/* auth_log_rows.c */
void auth_log_add_rows(struct auth_log *log, uint64_t epoch, uint64_t rows);

/* How long a key is for, given how long rows are kept: so that there are never many. */
uint64_t auth_log_period_s(uint32_t expiry_s);

#endif
