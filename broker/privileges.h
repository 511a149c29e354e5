/*
 * privileges.h - what the process may do and what the system may do with it:
 * descriptors, core dumps, the user it runs as, the background.
 *
 * Failure: bool and struct failure; the text names the way out.
 * Thread: the main thread, before there are others.
 */
#ifndef BROKER_PRIVILEGES_H
#define BROKER_PRIVILEGES_H

#include "proto/base.h"

/* Raises the soft limit of open files to the hard one.  Gives both, as they are then. */
bool privileges_raise_file_limit(uint64_t *soft, uint64_t *hard, struct failure *failure);

/*
 * No core file and no look from outside: a dump would hold payload.  To be
 * called after privileges_become(), because a change of user undoes it.
 */
bool privileges_forbid_dumps(struct failure *failure);

/* True when the process runs as root. */
bool privileges_is_root(void);

/*
 * Makes a directory (0700; its parents too) unless it is there; when started
 * as root and `user` is not NULL, gives it and the files in it to that user.
 * To be called before privileges_become().
 */
bool privileges_hand_over_directory(const char *path, const char *user, struct failure *failure);

/*
 * Becomes that user and its groups for good, and proves that there is no way
 * back.  Not started as root: does nothing, as in mosquitto.
 */
bool privileges_become(const char *user, struct failure *failure);

/* Writes our process id and a line end, mode 0644. */
bool privileges_write_pid_file(const char *path, struct failure *failure);

/*
 * Goes to the background.  The parent waits until the child calls
 * privileges_daemon_ready() and then exits 0, or exits 1 when the child ends
 * before; so whoever starts the daemon learns whether it serves.  Until then
 * the child's stderr stays.  Returns in the child only (or on failure).
 */
bool privileges_become_daemon(struct failure *failure);

/* Lets the parent go and turns stdin, stdout and stderr to /dev/null.  No daemon: nothing. */
void privileges_daemon_ready(void);

#endif
