#include "cli/dial.h"
#include "cli/clock.h"
#include "cli/shown_url.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int dial_patience_ms(const struct dial_target *target)
{
	const int64_t left_ms = target->until_ms - clock_now_ms();

	if (target->until_ms == 0 || left_ms >= target->timeout_ms)
		return target->timeout_ms;
	/* One more: who waited so long finds the time over by any clock. */
	return left_ms > 0 ? (int)left_ms + 1 : 0;
}

static bool bind_local(int fd, const char *address, int family)
{
	const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	bool bound;

	if (getaddrinfo(address, NULL, &hints, &found) != 0) {
		errno = EADDRNOTAVAIL;
		return false;
	}
	bound = bind(fd, found->ai_addr, found->ai_addrlen) == 0;
	freeaddrinfo(found);
	return bound;
}

/* Waits for a connection that is on its way; errno says how it ended. */
static bool wait_connected(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int ready, error = 0;
	socklen_t len = sizeof(error);

	do {
		ready = poll(&p, 1, timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	errno = error;
	return error == 0;
}

static int dial_address(const struct dial_target *target, const struct addrinfo *address)
{
	const int one = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	if (target->nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((target->bind_address == NULL ||
	     bind_local(fd, target->bind_address, address->ai_family)) &&
	    (connect(fd, address->ai_addr, address->ai_addrlen) == 0 ||
	     (errno == EINPROGRESS && wait_connected(fd, dial_patience_ms(target)))))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Where too many wait to be accepted, connect(2) waits as well, as long as sending may take. */
static int dial_path(const struct dial_target *target, struct failure *failure)
{
	const char *path = target->unix_path;
	const int patience_ms = dial_patience_ms(target);
	const struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t len = strlen(path);
	int fd;

	if (len >= sizeof(address.sun_path)) {
		failure_set(failure, "The path of a Unix socket has at most %zu bytes.",
			    sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	failure_set(failure, "%s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int dial(const struct dial_target *target, struct failure *failure)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found;
	char port[8];
	int fd = -1;
	int status;

	if (target->unix_path != NULL)
		return dial_path(target, failure);
	snprintf(port, sizeof(port), "%u", target->port);
	status = getaddrinfo(target->host, port, &hints, &found);
	if (status != 0) {
		failure_set(failure, "Unable to connect (Lookup error.): %.200s: %s",
			    shown_url(target->host).text, gai_strerror(status));
		return -1;
	}
	for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
		fd = dial_address(target, a);
	if (fd < 0)
		failure_set(failure, "%s", strerror(errno));
	freeaddrinfo(found);
	return fd;
}
