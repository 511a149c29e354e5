/*
 * secret.h - what is asked for and never stands in a command line: passwords, e-mail addresses,
 * codes.  A line of standard input each; at a terminal a prompt, and passwords are not shown.
 *
 * Ownership: the text is the caller's, to be given to text_file_free(), which wipes it.
 * Failure: there is no line.
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "auth/text_file.h"

enum secret_kind {
	SECRET_SHOWN,  /* while it is typed */
	SECRET_HIDDEN, /* not shown */
	SECRET_TWICE,  /* not shown, and at a terminal asked for twice */
};

bool secret_read(const char *what, enum secret_kind kind, struct text *text,
		 struct failure *failure);

#endif
