/*
 * standard_files.h - the descriptors 0, 1 and 2.  Who starts us may have closed them (`>&-`, a
 * supervisor), and the next file or socket that is opened would get the number: what is meant for
 * the terminal would be written into it.
 *
 * Failure: none; without /dev/null the process ends.
 * Thread: the first one, before anything else is opened.
 */
#ifndef BROKER_NET_STANDARD_FILES_H
#define BROKER_NET_STANDARD_FILES_H

/* Those that are missing are there from now on, and using them fails as if they were not. */
void standard_files_hold(void);

#endif
