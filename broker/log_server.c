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

static struct http_answer not_there(void)
{
	return http_text(404, "not there, or not there yet\n");
}

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
		return not_there();
	default:
		return http_text(503, "it cannot be read now\n");
	}
}

/*
 * Does the checkpoint say it?  What was written for the next one may still become another tile, and
 * whoever was given it would keep it for ever.
 */
static bool is_published(const struct log_server *server, const struct tile *tile)
{
	struct failure failure;
	struct audit_file text;
	uint64_t size;

	if (!audit_file_read(server->directory, AUDIT_CHECKPOINT_NAME, NOTE_CHECKPOINT_MAX, &text,
			     &failure))
		return false;
	const bool ok = checkpoint_size(slice_of(text.at, text.len), &size);
	const uint32_t level = tile->level == TILE_ENTRIES ? 0 : tile->level;

	free(text.at);
	return ok && tile->width <= tile_width(size, level, tile->number);
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
			return is_published(server, &tile)
				   ? serve(server, path, AUDIT_BUNDLE_MAX, BYTES, FOR_EVER)
				   : not_there();
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
