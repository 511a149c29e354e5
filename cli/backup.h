/*
 * backup.h - what the parts of `metrino backup` share.
 *
 * Failure: a sentence for whoever typed the command.  Thread: the only one.
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "proto/base.h"

/*
 * Copies the broker's configuration `file`, and those of its include_dir, below config/ of the
 * directory `into`, synced; *count gets how many they are.  Secret files that they name are not
 * copied: each is named on standard error.
 */
bool backup_config(int into, const char *file, unsigned *count, struct failure *failure);

#endif
