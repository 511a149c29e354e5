/* fetch.c - see fetch.h; the one file that knows libcurl. */
#include "cli/fetch.h"
#include "cli/shown_url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define URL_SIZE	  2048u
#define CONNECT_TIMEOUT_S 10L
#define TIMEOUT_S	  60L

/* Who is told that it asks too much waits as long as the server says, and a moment if it does not.
 */
#define PATIENCE	20u
#define RETRY_MAX_S	30
#define RETRY_MOMENT_US 200000u

struct fetch {
	CURL *curl;
	char base[URL_SIZE];
};

struct body {
	struct audit_file *file;
	size_t max;
	bool too_long;
};

/* Gives less than it was given to end the transfer. */
static size_t take(char *at, size_t size, size_t count, void *self)
{
	struct body *body = self;
	const size_t len = size * count;

	if (len > body->max - body->file->len) {
		body->too_long = true;
		return 0;
	}
	body->file->at = realloc(body->file->at, body->file->len + len + 1);
	must(body->file->at);
	memcpy(body->file->at + body->file->len, at, len);
	body->file->len += len;
	body->file->at[body->file->len] = '\0';
	return len;
}

struct fetch *fetch_create(const char *base, struct failure *failure)
{
	const size_t len = strlen(base);

	if (strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0) {
		failure_set(failure, "%.300s: not a URL; one is https://HOST/log/",
			    shown_url(base).text);
		return NULL;
	}
	if (len + 2 >= URL_SIZE) {
		failure_set(failure, "the URL is too long: at most %u characters", URL_SIZE - 2);
		return NULL;
	}
	struct fetch *fetch = calloc(1, sizeof(*fetch));

	must(fetch && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	fetch->curl = curl_easy_init();
	must(fetch->curl);
	snprintf(fetch->base, sizeof(fetch->base), "%s%s", base,
		 len > 0 && base[len - 1] == '/' ? "" : "/");
	curl_easy_setopt(fetch->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(fetch->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(fetch->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(fetch->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(fetch->curl, CURLOPT_FAILONERROR,
			 1L); /* the text of an error is not read */
	curl_easy_setopt(fetch->curl, CURLOPT_USERAGENT, "metrino");
	curl_easy_setopt(fetch->curl, CURLOPT_WRITEFUNCTION, take);
	return fetch;
}

void fetch_destroy(struct fetch *fetch)
{
	if (!fetch)
		return;
	curl_easy_cleanup(fetch->curl);
	curl_global_cleanup();
	free(fetch);
}

static enum audit_found judge(CURLcode code, long status, const struct body *body, const char *url,
			      struct failure *failure)
{
	const bool answered = code == CURLE_OK || code == CURLE_HTTP_RETURNED_ERROR;
	const struct shown_url shown = shown_url(url);

	if (body->too_long)
		failure_set(failure, "%.300s: is longer than %zu bytes", shown.text, body->max);
	else if (!answered)
		failure_set(failure, "%.300s: %s", shown.text, curl_easy_strerror(code));
	else if (status != 200)
		failure_set(failure, "%.300s: the server answers %ld", shown.text, status);
	else
		return AUDIT_FOUND;
	return answered && status == 404 ? AUDIT_NOT_THERE : AUDIT_UNREADABLE;
}

static CURLcode ask(const struct fetch *fetch, const char *url, struct body *body, long *status)
{
	free(body->file->at);
	*body->file = (struct audit_file){.at = calloc(1, 1)};
	must(body->file->at);
	curl_easy_setopt(fetch->curl, CURLOPT_URL, url);
	curl_easy_setopt(fetch->curl, CURLOPT_WRITEDATA, body);
	const CURLcode code = curl_easy_perform(fetch->curl);

	curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, status);
	return code;
}

/* 429 and 503 are for a while: RFC 6585 section 4, RFC 9110 section 15.6.4. */
static bool may_ask_again(const struct fetch *fetch, long status)
{
	curl_off_t after_s = 0;

	if (status != 429 && status != 503)
		return false;
	curl_easy_getinfo(fetch->curl, CURLINFO_RETRY_AFTER, &after_s);
	if (after_s > RETRY_MAX_S)
		return false;
	if (after_s > 0)
		sleep((unsigned)after_s);
	else
		usleep(RETRY_MOMENT_US);
	return true;
}

enum audit_found fetch_get(struct fetch *fetch, const char *path, size_t max,
			   struct audit_file *file, struct failure *failure)
{
	struct body body = {.file = file, .max = max};
	char url[URL_SIZE + 128];
	long status = 0;

	*file = (struct audit_file){0};
	must(strlen(path) < 128);
	snprintf(url, sizeof(url), "%s%s", fetch->base, path);
	CURLcode code = ask(fetch, url, &body, &status);

	for (unsigned i = 0; i < PATIENCE && may_ask_again(fetch, status); i++)
		code = ask(fetch, url, &body, &status);
	const enum audit_found found = judge(code, status, &body, url, failure);

	if (found != AUDIT_FOUND) {
		free(file->at);
		*file = (struct audit_file){0};
	}
	return found;
}
