/* log_server.c - see log_server.h. */
#include "broker/log_server.h"
#include "broker/http.h"
#include "storage/audit/log.h"
#include "storage/audit/reader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX	    "/log/"
#define FOR_EVER    "public, max-age=31536000, immutable"
#define FOR_MOMENTS "public, max-age=5"
#define TEXT	    "text/plain; charset=utf-8"
#define BYTES	    "application/octet-stream"

struct log_server {
	struct http *http;
	int directory; /* the log's; -1 before the start */
};

static const struct {
	const char *path;
	size_t max;
} texts[] = {
    {AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX},
    {AUDIT_VKEY_NAME, NOTE_VKEY_SIZE},
};

static struct http_answer serve(const struct log_server *server, const char *path, size_t max,
				const char *type, const char *cache)
{
	struct failure failure;
	struct audit_file file;

	switch (audit_file_find(server->directory, path, max, &file, &failure)) {
	case AUDIT_FOUND:
		return (struct http_answer){.status = 200,
					    .type = type,
					    .cache = cache,
					    .body = (char *)file.at,
					    .len = file.len};
	case AUDIT_NOT_THERE:
		return http_text(404, "not there, or not there yet\n");
	default:
		return http_text(503, "it cannot be read now\n");
	}
}

static struct http_answer page(void *self, const char *url)
{
	const struct log_server *server = self;
	const size_t prefix = strlen(PREFIX);
	struct tile tile;

	if (strncmp(url, PREFIX, prefix) == 0) {
		const char *path = url + prefix;

		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			if (strcmp(path, texts[i].path) == 0)
				return serve(server, path, texts[i].max, TEXT, FOR_MOMENTS);
		if (tile_parse(path, &tile))
			return serve(server, path, AUDIT_BUNDLE_MAX, BYTES, FOR_EVER);
	}
	return http_text(404, "not here: /log/checkpoint /log/vkey /log/tile/...\n");
}

struct log_server *log_server_open(const char *address, uint16_t port, struct failure *failure)
{
	const struct http_options options = {"log_listener", address, port, NULL, true};
	struct http *http = http_open(&options, failure);

	if (!http)
		return NULL;
	struct log_server *server = calloc(1, sizeof(*server));

	must(server);
	server->http = http;
	server->directory = -1;
	return server;
}

uint16_t log_server_port(const struct log_server *server)
{
	return http_port(server->http);
}

bool log_server_start(struct log_server *server, int data_directory, struct failure *failure)
{
	server->directory = openat(data_directory, AUDIT_LOG_FOLDER,
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (server->directory < 0)
		return failure_set(failure, "log_listener: the audit log cannot be opened: %s",
				   strerror(errno));
	return http_start(server->http, page, server, failure);
}

void log_server_destroy(struct log_server *server)
{
	if (!server)
		return;
	http_destroy(server->http);
	if (server->directory >= 0)
		close(server->directory);
	free(server);
}
