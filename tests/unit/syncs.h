/* syncs.h - fdatasync() of the tests' program stands before libc's, for LMDB too. */
#ifndef TESTS_UNIT_SYNCS_H
#define TESTS_UNIT_SYNCS_H

/* The next so many calls say that a write was lost. */
extern int syncs_lost;

/* After so many calls the process ends with SIGKILL, in place of the next; -1: never. */
extern int syncs_to_live;

#endif
