/*
 * household.h - the life of the broker's process: what is made in which order, who
 * runs, and how it ends.
 *
 *	household.c          the order of life: open, restore, start, watch, stop
 *	household_open.c     what may be missing: directory, ports, user, store
 *	household_sandbox.c  what is given up before there are threads
 *	household_restore.c  shards are made and learn what the store kept
 *	household_watch.c    the main thread while others work: signals, $SYS, watchdog
 *	household_jobs.c     what is done because of the time
 *	household_records.c  ... with what is on the disk
 *	household_count.c    numbers and clients, for whoever asks
 *	household_reload.c   the configuration is read again (HUP)
 *	household_transport.c  certificates and the like are read, and change
 *	household_expiry.c   ... and end
 *
 * Ownership: the household owns everything that threads share.
 * Failure: said in the log, and on stderr while that is where a person looks.
 * Thread: the main thread.
 */
#ifndef BROKER_HOUSEHOLD_H
#define BROKER_HOUSEHOLD_H

struct options;

/* Serves until it is told to stop.  Returns the exit code. */
int household_run(const struct options *options);

#endif
