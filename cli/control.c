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
			failure_set(failure, "%.300s: %s; is the broker running there?",
				    socket != NULL ? socket : data, strerror(errno));
		return NULL;
	}
	stream = fdopen(fd, "r+e");
	must(stream != NULL);
	return stream;
}

bool control_answer(FILE *stream, control_taker *take, const void *self, struct failure *failure)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	bool done = false, good = true;

	while (good && !done && (len = getline(&line, &room, stream)) > 0)
		good = take(self, line, (size_t)len, &done, failure);
	if (good && !done)
		good = failure_set(failure, "The broker closed the connection without an answer.");
	free(line);
	return good;
}
