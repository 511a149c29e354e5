/* http_target.c - see http_target.h. */
#include "broker/net/http_target.h"
#include <strings.h>

/* How long "http://" or "https://" is where it stands; else 0.  A scheme has no case. */
static size_t scheme_len(struct slice target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		const size_t len = strlen(schemes[i]);

		if (target.len >= len && strncasecmp((const char *)target.at, schemes[i], len) == 0)
			return len;
	}
	return 0;
}

struct slice http_target_path(struct slice target)
{
	const size_t skip = scheme_len(target);

	if (skip == 0)
		return target;
	const struct slice rest = slice_after(target, skip);
	const uint8_t *path = rest.len > 0 ? memchr(rest.at, '/', rest.len) : NULL;
	const size_t authority_len = path ? (size_t)(path - rest.at) : rest.len;

	/* An authority without a host is none (RFC 9110 section 4.2.1): no page's path, then. */
	if (authority_len == 0)
		return target;
	/* An empty path is that of the root (RFC 9110 section 4.2.3). */
	return path ? slice_after(rest, authority_len) : SLICE_LITERAL("/");
}
