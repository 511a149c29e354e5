/*
 * show.h - prints a message as `metrino sub` and `metrino rr` do: -F, -v, -N and --pretty.
 *
 * Failure: a sentence, when the standard output takes no more.  Thread: one.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/options.h"

/* `line` is scratch, the caller's to keep and free. */
bool show_message(const struct options *o, struct buffer *line, const struct mqtt_publish *p,
		  struct failure *failure);

#endif
