/* listener.c - see listener.h. */
#include "broker/net/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool connection_limit_enter(struct connection_limit *limit)
{
	uint32_t max = atomic_load_explicit(&limit->max, memory_order_relaxed);

	if (atomic_fetch_add_explicit(&limit->open, 1, memory_order_relaxed) < max)
		return true;
	connection_limit_leave(limit);
	atomic_fetch_add_explicit(&limit->refused, 1, memory_order_relaxed);
	return false;
}

void connection_limit_leave(struct connection_limit *limit)
{
	atomic_fetch_sub_explicit(&limit->open, 1, memory_order_relaxed);
}

int listener_first_reserved(void)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	int files = limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : INT_MAX;

	/* Of a very small table, a part. */
	return files - (files / 4 < LISTENER_RESERVED ? files / 4 : LISTENER_RESERVED);
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)address)->sin_port = htons(port);
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6
			 ? ((const struct sockaddr_in6 *)address)->sin6_port
			 : ((const struct sockaddr_in *)address)->sin_port);
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
}

static void name_address(const struct sockaddr_storage *address, char name[LISTENER_NAME_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "?";
	bool six = address->ss_family == AF_INET6;
	const void *at = six ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
			     : (const void *)&((const struct sockaddr_in *)address)->sin_addr;

	inet_ntop(address->ss_family, at, host, sizeof(host));
	snprintf(name, LISTENER_NAME_SIZE, six ? "[%s]:%u" : "%s:%u", host, port_of(address));
}

/* Errno of a bind or a socket as a sentence for people, with the way out. */
static bool explain(struct listener *listener, const struct sockaddr_storage *address, int error,
		    struct failure *failure)
{
	unsigned int port = port_of(address);
	char name[LISTENER_NAME_SIZE];

	name_address(address, name);
	listener->absent = error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
	if (error == EADDRINUSE)
		return failure_set(failure,
				   "port %u is in use: is another broker running? stop it "
				   "(`ss -ltnp 'sport = :%u'` names it) or choose another port, "
				   "in the configuration or with -p",
				   port, port);
	if (error == EACCES)
		return failure_set(failure,
				   "port %u needs a privilege, as all below 1024: start as root "
				   "with `user`, or give the program CAP_NET_BIND_SERVICE, or "
				   "choose a port above 1023",
				   port);
	if (error == EADDRNOTAVAIL)
		return failure_set(failure,
				   "the address of %s is not on this machine: `ip address` lists "
				   "those that are; leave it out to listen on all",
				   name);
	if (error == EAFNOSUPPORT)
		return failure_set(failure, "this machine has no IPv%d, which %s needs",
				   address->ss_family == AF_INET6 ? 6 : 4, name);
	return failure_set(failure, "cannot listen on %s: %s", name, strerror(error));
}

static bool set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

/*
 * SO_REUSEPORT would let a second broker of the same user share our port in
 * silence, so a socket without it asks first whether the port is free.
 */
static int open_socket(const struct listener_place *place, const struct sockaddr_storage *address,
		       socklen_t len, bool share)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (set(fd, SOL_SOCKET, SO_REUSEADDR) && (!share || set(fd, SOL_SOCKET, SO_REUSEPORT)) &&
	    (address->ss_family != AF_INET6 || set(fd, IPPROTO_IPV6, IPV6_V6ONLY)) &&
	    /* Inherited by every connection that is accepted here. */
	    (!place->no_delay || set(fd, IPPROTO_TCP, TCP_NODELAY)) &&
	    (!place->bind_interface ||
	     setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, place->bind_interface,
			(socklen_t)strlen(place->bind_interface) + 1) == 0) &&
	    bind(fd, (const struct sockaddr *)address, len) == 0)
		return fd;
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

/* Keeps the port that the kernel chose, for the other workers and addresses. */
static bool learn_port(struct listener *listener, int fd, struct sockaddr_storage *address)
{
	socklen_t len = sizeof(*address);

	if (getsockname(fd, (struct sockaddr *)address, &len) != 0)
		return false;
	listener->port = port_of(address);
	return true;
}

static bool open_sockets(struct listener *listener, const struct listener_place *place,
			 struct sockaddr_storage *address, socklen_t len, int *sockets)
{
	int probe = open_socket(place, address, len, false);

	if (probe < 0)
		return false;
	bool learnt = learn_port(listener, probe, address);

	close(probe);
	if (!learnt)
		return false;
	for (size_t i = 0; i < listener->workers; i++) {
		sockets[i] = open_socket(place, address, len, true);
		if (sockets[i] < 0 || listen(sockets[i], SOMAXCONN) != 0)
			return false;
	}
	return true;
}

/* Makes room for the sockets of one more address, all -1. */
static int *add_address(struct listener *listener)
{
	size_t first = listener->address_count * listener->workers;
	size_t end = first + listener->workers;
	int *sockets = realloc(listener->sockets, end * sizeof(int));

	must(sockets);
	for (size_t i = first; i < end; i++)
		sockets[i] = -1;
	listener->sockets = sockets;
	return sockets + first;
}

static void close_sockets(int *sockets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sockets[i] >= 0)
			close(sockets[i]);
}

/* The address is in force. */
static void keep_address(struct listener *listener, const struct sockaddr_storage *address)
{
	listener->loopback = listener->loopback && is_loopback(address);
	name_address(address, listener->names[listener->address_count++]);
}

static bool open_address(struct listener *listener, const struct listener_place *place,
			 const struct addrinfo *info, struct failure *failure)
{
	int *sockets = add_address(listener);
	struct sockaddr_storage address = {0};

	memcpy(&address, info->ai_addr, info->ai_addrlen);
	set_port(&address, listener->port);
	if (open_sockets(listener, place, &address, info->ai_addrlen, sockets)) {
		keep_address(listener, &address);
		return true;
	}
	int error = errno;

	close_sockets(sockets, listener->workers);
	return explain(listener, &address, error, failure);
}

/*
 * Without an address the listener opens 0.0.0.0 and [::]; one of the two may be
 * missing from the machine.
 */
static bool open_addresses(struct listener *listener, const struct listener_place *place,
			   const struct addrinfo *list, struct failure *failure)
{
	for (const struct addrinfo *info = list; info; info = info->ai_next) {
		if (listener->address_count == LISTENER_ADDRESSES_MAX)
			break;
		if (open_address(listener, place, info, failure))
			continue;
		if (place->address || !listener->absent)
			return false;
	}
	return listener->address_count > 0;
}

/* ---- sockets from outside */

static bool address_of(int fd, struct sockaddr_storage *address)
{
	socklen_t len = sizeof(*address);

	*address = (struct sockaddr_storage){0};
	return getsockname(fd, (struct sockaddr *)address, &len) == 0 &&
	       (address->ss_family == AF_INET || address->ss_family == AF_INET6);
}

/* The path of a Unix socket; false for others. */
static bool name_path(int fd, char name[LISTENER_NAME_SIZE])
{
	struct sockaddr_un address = {0};
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
	    address.sun_family != AF_UNIX)
		return false;
	snprintf(name, LISTENER_NAME_SIZE, "%.*s", (int)sizeof(address.sun_path), address.sun_path);
	return true;
}

void listener_name_socket(int fd, char name[LISTENER_NAME_SIZE])
{
	struct sockaddr_storage address;

	if (address_of(fd, &address))
		name_address(&address, name);
	else if (!name_path(fd, name))
		snprintf(name, LISTENER_NAME_SIZE, "?");
}

/* The port is the listener's, and the address too if it has one; one that listens. */
static bool fits(const struct listener_place *place, int fd, const struct addrinfo *list)
{
	struct sockaddr_storage address;
	char name[LISTENER_NAME_SIZE];
	char wanted[LISTENER_NAME_SIZE];
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens ||
	    !address_of(fd, &address) || port_of(&address) != place->port)
		return false;
	name_address(&address, name);
	for (const struct addrinfo *info = list; info; info = info->ai_next) {
		struct sockaddr_storage one = {0};

		memcpy(&one, info->ai_addr, info->ai_addrlen);
		name_address(&one, wanted);
		if (!place->address || strcmp(name, wanted) == 0)
			return true;
	}
	return false;
}

/* Each worker gets a descriptor of its own for the one socket. */
static bool share(struct listener *listener, int fd)
{
	int *sockets = add_address(listener);

	for (size_t i = 0; i < listener->workers; i++)
		if ((sockets[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
			close_sockets(sockets, i);
			return false;
		}
	close(fd);
	return true;
}

static bool take(struct listener *listener, const struct listener_place *place, int fd)
{
	struct sockaddr_storage address;

	if (!address_of(fd, &address) || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
	    (place->no_delay && !set(fd, IPPROTO_TCP, TCP_NODELAY)) || !share(listener, fd))
		return false;
	keep_address(listener, &address);
	return true;
}

static bool take_inherited(struct listener *listener, const struct listener_place *place,
			   const struct addrinfo *list, struct failure *failure)
{
	for (size_t i = 0; i < place->inherited_count; i++) {
		int *fd = &place->inherited[i];

		if (*fd < 0 || listener->address_count == LISTENER_ADDRESSES_MAX ||
		    !fits(place, *fd, list))
			continue;
		if (!take(listener, place, *fd))
			return failure_set(failure, "cannot use the socket from systemd: %s",
					   strerror(errno));
		listener->inherited = true;
		*fd = -1;
	}
	return true;
}

/* ---- Unix sockets */

/* Only a refusal says that nobody listens; not blocking, for a queue that is full is no answer. */
static bool is_taken(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool taken = fd < 0 ||
		     connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		     errno != ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return taken;
}

/* What a broker left behind that was killed goes; anything else that has the name does not. */
static bool clear_path(const struct sockaddr_un *address, struct failure *failure)
{
	struct stat status;

	if (lstat(address->sun_path, &status) != 0)
		return true; /* bind() says what is wrong, if anything is */
	if (!S_ISSOCK(status.st_mode))
		return failure_set(failure,
				   "\"%s\" is there, and is no socket; right would be another path",
				   address->sun_path);
	if (is_taken(address))
		return failure_set(
		    failure,
		    "the socket \"%s\" is in use: is another broker running? stop it "
		    "or choose another path",
		    address->sun_path);
	return unlink(address->sun_path) == 0 ||
	       failure_set(failure, "cannot remove the old socket \"%s\": %s", address->sun_path,
			   strerror(errno));
}

static bool make_path(struct listener *listener, const char *path, struct failure *failure)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return failure_set(
		    failure,
		    "the path of a Unix socket has at most %zu bytes, and \"%.200s\" "
		    "has %zu",
		    sizeof(address.sun_path) - 1, path, strlen(path));
	memcpy(address.sun_path, path, strlen(path));
	if (!clear_path(&address, failure))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, SOMAXCONN) != 0 || !share(listener, fd)) {
		failure_set(failure, "cannot listen on \"%s\": %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	listener->path = strdup(path);
	must(listener->path);
	return true;
}

static bool take_path(struct listener *listener, const struct listener_place *place,
		      struct failure *failure)
{
	char name[LISTENER_NAME_SIZE];

	for (size_t i = 0; i < place->inherited_count; i++) {
		int *fd = &place->inherited[i];

		if (*fd < 0 || !name_path(*fd, name) || strcmp(name, place->path) != 0)
			continue;
		if (fcntl(*fd, F_SETFL, O_NONBLOCK) != 0 || !share(listener, *fd))
			return failure_set(failure, "cannot use the socket from systemd: %s",
					   strerror(errno));
		listener->inherited = true;
		*fd = -1;
		return true;
	}
	return make_path(listener, place->path, failure);
}

static bool open_path(struct listener *listener, const struct listener_place *place, size_t workers,
		      struct failure *failure)
{
	listener->workers = workers;
	listener->loopback = true;
	listener->on_path = true;
	if (!take_path(listener, place, failure)) {
		listener_close(listener);
		return false;
	}
	snprintf(listener->names[listener->address_count++], LISTENER_NAME_SIZE, "%s", place->path);
	return true;
}

bool listener_open(struct listener *listener, const struct listener_place *place, size_t workers,
		   struct failure *failure)
{
	struct addrinfo hints = {.ai_family = place->socket_domain,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[8];

	if (place->path)
		return open_path(listener, place, workers, failure);
	if (place->bind_interface && if_nametoindex(place->bind_interface) == 0)
		return failure_set(failure,
				   "there is no network interface \"%s\": `ip link` lists them",
				   place->bind_interface);
	snprintf(service, sizeof(service), "%u", place->port);
	int error = getaddrinfo(place->address, service, &hints, &list);

	if (error != 0)
		return failure_set(failure, "cannot find the address \"%s\" of listener %u: %s",
				   place->address ? place->address : "", place->port,
				   gai_strerror(error));
	listener->port = place->port;
	listener->workers = workers;
	listener->loopback = true;
	bool opened = take_inherited(listener, place, list, failure) &&
		      (listener->inherited || open_addresses(listener, place, list, failure));

	freeaddrinfo(list);
	if (!opened)
		listener_close(listener);
	return opened;
}

void listener_close(struct listener *listener)
{
	close_sockets(listener->sockets, listener->address_count * listener->workers);
	free(listener->sockets);
	listener->sockets = NULL;
	listener->address_count = 0;
	/* As another user we may not be allowed to: then the next start clears it away. */
	if (listener->path)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
}
