/* shown_url.c - see shown_url.h. */
#include "cli/shown_url.h"

#include <stdio.h>

struct shown_url shown_url(const char *text)
{
	const char *host = strstr(text, "://");
	const char *at = host ? strrchr(host, '@') : NULL;
	struct shown_url shown;

	if (at)
		snprintf(shown.text, sizeof(shown.text), "%.*s...%s", (int)(host + 3 - text), text,
			 at);
	else
		snprintf(shown.text, sizeof(shown.text), "%s", text);
	return shown;
}
