/*
 * shown_url.h - a URL as an error may show it: https://user:password@host/ becomes
 * https://...@host/.  A password may have an @ or a / in it that should have been written as %XX:
 * so all goes that stands before the last @.  What is no URL stays as it is.
 *
 * Thread: any.
 */
#ifndef CLI_SHOWN_URL_H
#define CLI_SHOWN_URL_H

#include "proto/base.h"

struct shown_url {
	char text[384]; /* a longer one is cut off */
};

/* Cut to the size only when the password is gone. */
struct shown_url shown_url(const char *text);

#endif
