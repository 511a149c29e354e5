#include "cli/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 65536u

static bool read_all(int fd, struct buffer *out)
{
	ssize_t n;

	do {
		n = read(fd, buffer_reserve(out, READ_SIZE), READ_SIZE);
		if (n > 0)
			out->len += (size_t)n;
	} while ((n > 0 && out->len <= PAYLOAD_MAX) || (n < 0 && errno == EINTR));
	return n == 0;
}

bool payload_load(const struct options *o, struct buffer *payload, struct failure *failure)
{
	int fd = STDIN_FILENO;
	bool read_well;

	if (o->source == PAYLOAD_TEXT)
		buffer_add_text(payload, o->payload);
	if (o->source != PAYLOAD_FILE && o->source != PAYLOAD_STDIN)
		return true;
	if (o->source == PAYLOAD_FILE)
		fd = open(o->payload, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failure_set(failure, "Unable to open file \"%.300s\": %s.", o->payload,
				   strerror(errno));
	read_well = read_all(fd, payload);
	if (!read_well)
		failure_set(failure, "Unable to read %.300s: %s.",
			    o->source == PAYLOAD_FILE ? o->payload : "standard input",
			    payload->len > PAYLOAD_MAX ? "longer than 268435455 bytes"
						       : strerror(errno));
	if (fd != STDIN_FILENO)
		close(fd);
	/* Most likely what comes before us failed; an empty message is meant by -n, and clears with
	 * -r. */
	if (read_well && payload->len == 0 && o->source == PAYLOAD_STDIN)
		return failure_set(failure, "Zero length input. Use -n to send an empty message.");
	return read_well;
}
