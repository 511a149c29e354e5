/* control.c - see control.h. */
#include "cli/control.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "control.sock"

/* Opens DIR/name, DIR being `folder` and `inner`; -1 and errno when that is not possible. */
static int open_socket(const char *folder, const char *inner)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", folder, inner);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		const int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* Where a broker's data directory may be, as the broker itself chooses it, then ./var. */
static int search_socket(struct failure *failure)
{
	const struct {
		const char *folder, *inner;
	} places[] = {
	    {getenv("STATE_DIRECTORY"), "/" SOCKET_NAME},
	    {getenv("XDG_STATE_HOME"), "/metrino/" SOCKET_NAME},
	    {getenv("HOME"), "/.local/state/metrino/" SOCKET_NAME},
	    {"/var/lib/metrino", "/" SOCKET_NAME},
	    {"./var", "/" SOCKET_NAME},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int fd = places[i].folder != NULL && *places[i].folder != '\0'
			     ? open_socket(places[i].folder, places[i].inner)
			     : -1;

		if (fd >= 0)
			return fd;
		if (places[i].folder != NULL && errno == EACCES) {
			failure_set(failure,
				    "%.200s%s: permission denied; ask as root or as the broker's "
				    "own user.",
				    places[i].folder, places[i].inner);
			return -1;
		}
	}
	failure_set(failure, "No running broker found; say where its data directory is with "
			     "--data DIR.");
	return -1;
}

FILE *control_open(const char *data, const char *socket, struct failure *failure)
{
	FILE *stream;
	int fd;

	if (socket == NULL && data == NULL)
		fd = search_socket(failure);
	else
		fd = socket != NULL ? open_socket(socket, "") : open_socket(data, "/" SOCKET_NAME);
	if (fd < 0) {
		if (socket != NULL || data != NULL)
			failure_set(failure, "%.300s: %s; %s", socket != NULL ? socket : data,
				    strerror(errno),
				    errno == EACCES ? "ask as root or as the broker's own user."
						    : "is the broker running there?");
		return NULL;
	}
	stream = fdopen(fd, "r+e");
	must(stream != NULL);
	return stream;
}

static bool send_request(FILE *stream, const json_t *request, struct failure *failure)
{
	return (json_dumpf(request, stream, JSON_COMPACT) == 0 && fputc('\n', stream) != EOF &&
		fflush(stream) == 0) ||
	       failure_set(failure, "control socket: %s.", strerror(errno));
}

static bool take_line(const struct control_question *question, struct slice text, bool *done,
		      struct failure *failure)
{
	json_t *line = json_loadb((const char *)text.at, text.len, JSON_ALLOW_NUL, NULL);
	const char *error = json_string_value(json_object_get(line, "error"));
	bool good = true;

	*done = control_is_last(line);
	if (!json_is_object(line))
		good = failure_set(failure, "The broker's answer is not understood; is it another "
					    "version?");
	else if (*done && !json_is_true(json_object_get(line, "ok")))
		good = failure_set(failure, "%.400s", error != NULL ? error : "refused");
	else if (question->json)
		fwrite(text.at, text.len, 1, stdout);
	else
		good = question->take(question->self, line, text, failure);
	json_decref(line);
	return good;
}

static bool read_answer(FILE *stream, const struct control_question *question,
			struct failure *failure)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t len;
	bool done = false, good = true;

	while (good && !done && (len = getline(&text, &room, stream)) > 0)
		good = take_line(question, slice_of(text, (size_t)len), &done, failure);
	if (good && !done)
		good = failure_set(failure, "The broker closed the connection without an answer.");
	free(text);
	return good;
}

bool control_ask(const struct control_question *question, struct failure *failure)
{
	if (question->request == NULL)
		return failure_set(failure,
				   "An argument, or a line of standard input, is not UTF-8.");
	FILE *stream = control_open(question->data, question->socket, failure);
	bool good = stream != NULL && send_request(stream, question->request, failure) &&
		    read_answer(stream, question, failure);

	if (stream != NULL)
		fclose(stream);
	json_decref(question->request);
	return good;
}

void control_print_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		const uint8_t c = text.at[i];
		const uint8_t next = i + 1 < text.len ? text.at[i + 1] : 0;

		if (c < 32 || c == 127 || c == '\\')
			printf("\\x%02x", c);
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0) /* U+0080 to U+009F */
			printf("\\x%02x\\x%02x", c, text.at[++i]);
		else
			putchar(c);
	}
}

int control_exit(bool good, const struct failure *failure)
{
	if (!good)
		fprintf(stderr, "Error: %s\n", failure->text);
	return good ? 0 : 1;
}
