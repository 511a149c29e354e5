/*
 * traffic.h - answers from blocks of route rows: of everybody, or of one client that is known by
 * its pseudonyms.  Pure.
 *
 * Blocks are given epoch by epoch (route_thread.h).  When an epoch is over, its result is told.
 * Pseudonyms of two epochs have nothing to do with each other, so who is counted is counted for
 * each epoch.
 *
 * Ownership: route_traffic_create() gives; results are borrowed for the call.
 * Thread: one.
 */
#ifndef STORAGE_ROUTE_TRAFFIC_H
#define STORAGE_ROUTE_TRAFFIC_H

#include "storage/route/hour_keys.h"

/* Who is counted in one epoch at most; beyond that, "at least so many". */
#define TRAFFIC_NAMES_MAX (1u << 20)

struct name_count {
	struct route_name name;
	uint64_t count; /* 0: an empty place of the table */
};

struct name_table {
	struct name_count *at;
	size_t room; /* a power of two, or 0 */
	size_t count;
	bool full; /* there were more */
};

/* Of a client: what it published, what it was to get.  Of everybody: see struct traffic_epoch. */
enum traffic_role { TRAFFIC_PUBLISHED, TRAFFIC_RECEIVED, TRAFFIC_ROLES };

struct traffic_epoch {
	uint32_t epoch;
	/* Rows by outcome and QoS; of everybody under TRAFFIC_PUBLISHED. */
	uint64_t rows[TRAFFIC_ROLES][ROUTE_OUTCOMES][3];
	/* Milliseconds since 1970 of the last row of an outcome. */
	uint64_t last_ms[TRAFFIC_ROLES][ROUTE_OUTCOMES];
	/*
	 * Deliveries that were made, by pseudonym.  Of a client: to whom, and from whom.  Of
	 * everybody: by sources, and by destinations.
	 */
	struct name_table names[TRAFFIC_ROLES];
};

/* One row of a client. */
struct traffic_row {
	uint64_t at_ms;
	enum traffic_role role;
	uint8_t qos;
	uint8_t outcome; /* enum route_outcome */
	bool known;	 /* there is somebody at the other end: */
	struct route_name other;
};

struct traffic_question {
	const struct hour_name *names; /* of the client; NULL: everybody */
	size_t name_count;
	uint64_t since_ms; /* only rows of then and later */
	size_t last;	   /* so many rows of the client are wanted, the last ones */
	void *self;
	void (*epoch)(void *self, const struct traffic_epoch *epoch);
};

struct route_traffic;

struct route_traffic *route_traffic_create(const struct traffic_question *question);
void route_traffic_block(struct route_traffic *traffic, const struct route_block *block);

/* Tells the last epoch, and then the last rows, the oldest first; frees. */
void route_traffic_finish(struct route_traffic *traffic,
			  void (*row)(void *self, const struct traffic_row *row));

/* The word and the meaning of an outcome (outcome.def). */
const char *route_outcome_word(enum route_outcome outcome);
const char *route_outcome_meaning(enum route_outcome outcome);

#endif
