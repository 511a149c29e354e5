/*
 * sandbox.h - what the process may still do once it serves: which files it reaches (Landlock)
 * and which calls of the system it makes (seccomp), whatever somebody makes of its code.
 *
 *	sandbox.c        the folders, and the rule set made of them
 *	sandbox_calls.c  the filter of calls
 *
 * Folders, not files, are what is allowed: certificates are renewed and log files moved by name.
 * Of a file that is reached by a link, the folder of what it points to is known as well.  Beneath a
 * folder everything has its rights.  Connections to elsewhere and signals to other processes are
 * forbidden where the kernel knows how (Linux 6.7 and 6.12).
 *
 * A forbidden file is an error of the call, EACCES.  A forbidden call ends the process at once: a
 * line in the log names its number, and there is no core file (privileges_forbid_dumps()).
 *
 * There is no way back.  Threads and children inherit both, so they come before any thread.
 *
 * Under sanitizers, which do things of their own, there is no filter of calls, and all may be read.
 *
 * Failure: what the kernel does not offer is told by the result, what it refuses by a failure.
 * Thread: the main thread, before there are others; sandbox_covers() at any time.
 */
#ifndef BROKER_SANDBOX_H
#define BROKER_SANDBOX_H

#include "proto/base.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED true
#else
#define SANDBOX_SANITIZED false
#endif

/* What may be done with what lies beneath a folder. */
#define SANDBOX_READ   1u /* files and folders */
#define SANDBOX_WRITE  2u /* files that are there already */
#define SANDBOX_REMOVE 4u /* files and folders */
#define SANDBOX_MAKE   8u /* files, folders and sockets; and move them about */

struct sandbox_folder {
	char *path;	 /* owned; without links, where that can be found out */
	unsigned access; /* SANDBOX_* */
	char *why;	 /* owned; key and value of the configuration that named it */
};

/* Zeroed memory is an empty list. */
struct sandbox_folders {
	struct sandbox_folder *list; /* owned */
	size_t count;
};

/* The folder itself. */
void sandbox_add(struct sandbox_folders *folders, const char *key, const char *folder,
		 unsigned access);

/* The folder that the file is in, and that of what it points to.  `file` NULL: nothing. */
void sandbox_add_file(struct sandbox_folders *folders, const char *key, const char *file,
		      unsigned access);

void sandbox_folders_finish(struct sandbox_folders *folders);

/* Does what is known allow all that is wanted?  Else the first that is not, in a sentence. */
bool sandbox_covers(const struct sandbox_folders *known, const struct sandbox_folders *wanted,
		    struct failure *failure);

enum sandbox_result {
	SANDBOX_ON,
	SANDBOX_UNKNOWN, /* this kernel has no such thing */
	SANDBOX_FAILED,
};

/* Nothing but those folders.  `failure` says more unless it is on. */
enum sandbox_result sandbox_restrict_files(const struct sandbox_folders *folders,
					   struct failure *failure);

/* Nothing but the calls that the broker makes. */
enum sandbox_result sandbox_restrict_calls(struct failure *failure);

#endif
