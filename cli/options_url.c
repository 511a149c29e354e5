/* options_url.c - -L, all of a connection in a URL: options.h. */
#include "cli/options_internal.h"

#include <stdlib.h>
#include <strings.h>

/* user:password@, with %XX decoded. */
static const char *keep_decoded(struct options *o, struct slice text)
{
	struct buffer b = {0};
	const char *kept;

	for (size_t i = 0; i < text.len; i++) {
		char hex[3] = {0};
		char *end;
		long byte;

		if (text.at[i] == '%' && i + 2 < text.len) {
			memcpy(hex, text.at + i + 1, 2);
			byte = strtol(hex, &end, 16);
			if (end == hex + 2 && byte > 0) {
				buffer_add_byte(&b, (char)byte, 1);
				i += 2;
				continue;
			}
		}
		buffer_add_byte(&b, (char)text.at[i], 1);
	}
	kept = options_keep(o, buffer_slice(&b));
	buffer_finish(&b);
	return kept;
}

static void take_url_user(struct options *o, struct slice user)
{
	const uint8_t *colon = user.len > 0 ? memchr(user.at, ':', user.len) : NULL;

	if (colon != NULL) {
		const size_t name_len = (size_t)(colon - user.at);

		o->password = keep_decoded(o, slice_after(user, name_len + 1));
		user.len = name_len;
	}
	o->user_name = keep_decoded(o, user);
}

/* host, host:port or [IPv6]:port */
static bool take_url_host(struct options *o, struct slice host, struct failure *failure)
{
	const char *text = options_keep(o, host);
	const char *port = strrchr(text, ':');
	const char *bracket = strchr(text, ']');
	uint64_t number;
	size_t len = strlen(text);

	if (port != NULL && (bracket == NULL || port > bracket)) {
		if (!options_number(port + 1, 1, 65535, &number))
			return failure_set(failure, "Invalid URL for -L argument specified - the "
						    "port must be between 1 and 65535.");
		o->port = (uint16_t)number;
		len = (size_t)(port - text);
	}
	if (text[0] == '[' && bracket != NULL)
		o->host = options_keep(o, slice_of(text + 1, (size_t)(bracket - text) - 1));
	else
		o->host = options_keep(o, slice_of(text, len));
	return true;
}

static bool take_scheme(struct options *o, const char *url)
{
	static const struct {
		const char *name;
		bool tls, websocket;
	} schemes[] = {{"mqtt://", false, false},
		       {"mqtts://", true, false},
		       {"ws://", false, true},
		       {"wss://", true, true}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncasecmp(url, schemes[i].name, strlen(schemes[i].name)) != 0)
			continue;
		o->os_certificates = o->os_certificates || schemes[i].tls;
		o->websocket = o->websocket || schemes[i].websocket;
		return true;
	}
	return false;
}

bool options_take_url(struct options *o, const struct flag *flag, const char *value,
		      struct failure *failure)
{
	const char *rest, *slash, *at;

	(void)flag;
	if (!take_scheme(o, value))
		return failure_set(failure, "unsupported URL scheme. It must be mqtt://, mqtts://, "
					    "ws:// or wss://.");
	rest = strstr(value, "://") + 3;
	slash = strchr(rest, '/');
	if (slash == NULL)
		return failure_set(failure,
				   "Invalid URL for -L argument specified - topic missing.");
	at = memrchr(rest, '@', (size_t)(slash - rest));
	if (at != NULL) {
		take_url_user(o, slice_of(rest, (size_t)(at - rest)));
		rest = at + 1;
	}
	if (o->program != OPTION_SUB)
		o->topics.count = 0; /* one topic: the last one said */
	text_list_add(&o->topics, options_keep(o, slice_text(slash + 1)));
	return take_url_host(o, slice_of(rest, (size_t)(slash - rest)), failure);
}
