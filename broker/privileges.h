/*
 * privileges.h - what the process may do and what the system may do with it: descriptors, core
 * dumps, the user it runs as, capabilities, the background.  Files and system calls: sandbox.h.
 *
 * Failure: bool and struct failure; the text names the way out.
 * Thread: the main thread, before there are others.
 */
#ifndef BROKER_PRIVILEGES_H
#define BROKER_PRIVILEGES_H

#include "proto/base.h"

/* Raises the soft limit of open files to the hard one.  Gives both, as they are then. */
bool privileges_raise_file_limit(uint64_t *soft, uint64_t *hard, struct failure *failure);

/* Lets the user who will serve lock as much memory as root could, where root may say so. */
void privileges_raise_lock_limit(void);

/*
 * No core file and no look from outside: a dump would hold payload.  To be
 * called after privileges_become(), because a change of user undoes it.  Under sanitizers, whose
 * search for leaks is such a look, the second is left out.
 */
bool privileges_forbid_dumps(struct failure *failure);

/* True when the process runs as root. */
bool privileges_is_root(void);

/*
 * Whom a process that was started as root is to become: the user that is `wanted`, or if that is
 * NULL the first of PRIVILEGES_USERS that this machine knows.  *user stays NULL when it was not
 * started as root.  Root is no answer: then, and when nobody of that name is known, false.
 */
#define PRIVILEGES_USERS "metrino", "nobody"
bool privileges_choose_user(const char *wanted, const char **user, struct failure *failure);

/* Makes a directory (0700; its parents as the umask says) unless it is there. */
bool privileges_make_directory(const char *path, struct failure *failure);

/*
 * Gives an open directory, and what is in it, to a user; its caller has seen that nothing in it is
 * anybody else's.  Links are not followed, and files with two names left alone.  Before
 * privileges_become().
 */
bool privileges_hand_over_directory(int directory, const char *user, struct failure *failure);

/* Likewise a file that root has, so that it can be opened again; what is none is left alone. */
bool privileges_hand_over_file(const char *path, const char *user, struct failure *failure);

/* Likewise a Unix socket that was just made; false for anything else that has its name. */
bool privileges_hand_over_socket(const char *path, const char *user, struct failure *failure);

/*
 * Becomes that user and its groups for good, and proves that there is no way
 * back.  Not root, or NULL: does nothing, as in mosquitto.
 */
bool privileges_become(const char *user, struct failure *failure);

/*
 * Gives up every capability, also those that were given without root, and the right to gain any
 * by starting a program (no_new_privs).  After privileges_become().
 */
bool privileges_drop_capabilities(struct failure *failure);

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
