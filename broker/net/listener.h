/*
 * listener.h - a place where clients connect: its sockets, one for each address
 * and worker (SO_REUSEPORT, so that the kernel spreads connections without a
 * lock), and who may come in at all.
 *
 * Sockets that systemd opened for us take the place of our own; each of those, and a Unix
 * socket, is one for all workers, who watch it with EPOLLEXCLUSIVE.
 *
 * Ownership: listener_open() allocates the sockets; listener_close() closes all.
 * Settings are borrowed and may be swapped for connections to come.
 * Failure: a sentence that names the port, the cause and the way out.
 * Thread: opened and closed by the main thread while no worker runs; the atomic
 * members are for all.
 */
#ifndef BROKER_NET_LISTENER_H
#define BROKER_NET_LISTENER_H

#include "broker/core/settings.h"
#include <stdatomic.h>

struct half_open;
struct sockaddr;

/* How many connections may be open: of one listener, or of all together. */
struct connection_limit {
	_Atomic uint32_t open;
	_Atomic uint32_t max; /* UINT32_MAX: no limit */
	_Atomic uint64_t refused;
};

/* Counts one in; false, and counts a refusal, when it is full. */
bool connection_limit_enter(struct connection_limit *limit);
void connection_limit_leave(struct connection_limit *limit);

#define LISTENER_ADDRESSES_MAX 8
#define LISTENER_NAME_SIZE     128

struct listener {
	const struct listener_settings *_Atomic settings;
	struct connection_limit limit;
	struct connection_limit *all;	/* borrowed: the limit of all listeners together */
	_Atomic uint64_t no_descriptor; /* connections closed since there was no descriptor */
	_Atomic uint64_t not_opened;	/* connections that failed before MQTT: TLS, WebSocket */
	/* Called on the worker for each connection that comes in, while `tells` is set. */
	void (*tell)(uint32_t number, const struct sockaddr *peer);
	_Atomic bool tells;
	/* Likewise, while `asks` is set: false closes the connection, and is counted. */
	bool (*admit)(void *door, const uint8_t *address); /* peer.h; not asked if it has none */
	void *door;
	_Atomic bool asks;
	struct half_open
	    *half_open; /* borrowed; NULL: connections without CONNECT are not counted */
	_Atomic uint64_t turned_away;
	uint32_t number; /* in the configuration, from 0 */
	uint16_t port;
	bool loopback;	/* reachable from this machine only */
	bool on_path;	/* a Unix socket, of ours or of systemd's */
	bool inherited; /* its sockets are systemd's, too: not to be shut down */
	bool absent;	/* why it could not be opened: this machine has no such address */
	char *path;	/* owned: of a Unix socket that we made; NULL: none */
	size_t address_count;
	size_t workers;
	char names[LISTENER_ADDRESSES_MAX][LISTENER_NAME_SIZE]; /* "127.0.0.1:1883", "[::1]:1883" */
	int *sockets;						/* address_count x workers */
};

/* Where a listener is to be; the strings are borrowed for the call. */
struct listener_place {
	const char *path;	    /* not NULL: a Unix socket there, and nothing below counts */
	uint16_t port;		    /* 0: the kernel chooses one */
	const char *address;	    /* NULL: every address, IPv4 and IPv6 */
	const char *bind_interface; /* NULL: any */
	int socket_domain;	    /* AF_UNSPEC, AF_INET or AF_INET6 */
	bool no_delay;
	/* Listening sockets from outside; those that fit are taken, and become -1. */
	int *inherited;
	size_t inherited_count;
};

/*
 * Connections get descriptors below this number only (the kernel gives the lowest that is
 * free), so that a crowd of them leaves some to reload, to log, and to answer an operator.
 */
#define LISTENER_RESERVED 32
int listener_first_reserved(void);

/* Writes "address:port" of a socket; "?" when it has none. */
void listener_name_socket(int fd, char name[LISTENER_NAME_SIZE]);

/* Binds and listens.  `listener` is zeroed but for limit.max, all, number, tell and settings. */
bool listener_open(struct listener *listener, const struct listener_place *place, size_t workers,
		   struct failure *failure);

void listener_close(struct listener *listener);

/* The socket of one address and one worker. */
static inline int listener_socket(const struct listener *listener, size_t address, size_t worker)
{
	return listener->sockets[address * listener->workers + worker];
}

#endif
