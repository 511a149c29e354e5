#include "cli/show.h"

#include "cli/format.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static void make_line(const struct options *o, struct buffer *line, const struct mqtt_publish *p)
{
	struct format_message message = {.publish = p, .pretty = o->pretty};

	line->len = 0;
	if (o->format != NULL) {
		clock_gettime(CLOCK_REALTIME, &message.at);
		if (!format_write(line, o->format, &message) && !o->quiet)
			fprintf(stderr, "Error: Message payload is not valid JSON on topic %.*s.\n",
				(int)p->topic.len, (const char *)p->topic.at);
	} else if (p->payload.len > 0) {
		if (o->verbose) {
			buffer_add(line, p->topic);
			buffer_add_byte(line, ' ', 1);
		}
		buffer_add(line, p->payload);
	} else if (o->verbose && !o->no_newline) {
		buffer_add(line, p->topic);
		buffer_add_text(line, " (null)");
	}
	/* An empty payload alone prints nothing, not even the end of its line. */
	if (!o->no_newline && (o->format != NULL || line->len > 0))
		buffer_add_byte(line, '\n', 1);
}

bool show_message(const struct options *o, struct buffer *line, const struct mqtt_publish *p,
		  struct failure *failure)
{
	make_line(o, line, p);
	if ((line->len == 0 || fwrite(line->at, line->len, 1, stdout) == 1) && fflush(stdout) == 0)
		return true;
	return failure_set(failure, "standard output: %s.", strerror(errno));
}
