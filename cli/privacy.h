/*
 * privacy.h - what the parts of `metrino privacy verify` share: promises, and how each was checked.
 *
 * A promise fails when something was found that breaks it, and also when it could not be looked at:
 * what was not seen is not promised.
 *
 * Ownership: the struct owns its descriptors; texts are borrowed.
 * Thread: the main thread.
 */
#ifndef CLI_PRIVACY_H
#define CLI_PRIVACY_H

#include "cli/dial.h"

#include <sys/types.h>

struct privacy_request {
	const char *data;   /* the broker's data directory */
	const char *proc;   /* where proc(5) is */
	const char *canary; /* a word that nobody else uses */
	const char *host;
	const char *user;
	const char *password;
	uint16_t port;
	uint16_t tls_port, ws_port, wss_port; /* 0: none */
	const char *cafile;
	bool json;
	/* outbound connections that are configured: addresses as ss(8) writes them, HOST:PORT */
	const char *allowed[16];
	size_t allowed_count;
};

struct privacy {
	struct privacy_request request;
	pid_t pid;     /* of the broker */
	uid_t user;    /* that it serves as */
	int process;   /* its directory in proc */
	int directory; /* its data */
	bool failed;   /* of all */
	bool first;    /* line of the table */
};

/* ---- telling */

/* `why` NULL: kept. */
void privacy_tell(struct privacy *privacy, const char *promise, const char *how, const char *why);

/* ---- what is looked for */

/* A word in all the forms in which it could be kept: itself, hexadecimal, base64, plain hashes. */
struct needles;

struct needles *needles_create(void);
void needles_add(struct needles *needles, const char *word);
void needles_destroy(struct needles *needles);

enum needles_seen { NEEDLES_NOT_THERE, NEEDLES_FOUND, NEEDLES_UNREADABLE };

/* Is one of them in the file?  `form` gets how.  Not `whole`: its end is enough, it only grows.
 * NEEDLES_UNREADABLE comes with errno. */
enum needles_seen needles_in_file(const struct needles *needles, int fd, bool whole,
				  const char **form);

/* ---- the parts: each tells of its promises */

/* Sends the canaries; what is kept meanwhile is looked at by look(), while they wait. */
void privacy_send(struct privacy *privacy, struct needles *needles,
		  void (*look)(struct privacy *privacy, const struct needles *needles));
/* Data directory and whatever else the broker has open. */
void privacy_search(struct privacy *privacy, const struct needles *needles);
/* Swap, core dumps, connections. */
void privacy_look_at_process(struct privacy *privacy);
/* Modes and owners of files, stray files, keys that live too long. */
void privacy_look_at_files(struct privacy *privacy);
/* The audit log, and what it says of jobs and keys. */
void privacy_look_at_log(struct privacy *privacy);

#endif
