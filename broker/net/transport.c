/* transport.c - see transport.h. */
#include "broker/net/transport.h"
#include "broker/net/listener.h"
#include "broker/net/tcp.h"
#include "broker/net/ws.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Balancers, where none are named. */
static const char this_machine[] = "127.0.0.0/8 ::1";

struct transport {
	_Atomic uint32_t references;
	struct tls_server *tls; /* NULL: none */
	struct ws_settings ws;
	char *origins; /* owned */
	struct proxy_settings proxy;
	struct networks balancers;
	bool uid_identity;
	uid_t overflow_uid;
};

static bool wants_tls(const struct transport_settings *settings)
{
	return settings->tls.certfile || settings->tls.psk_file;
}

static bool is_plain(const struct transport_settings *settings)
{
	return !wants_tls(settings) && !settings->ws.on && settings->proxy.version == 0 &&
	       !settings->uid_identity;
}

/* The user that stands for all whom this machine does not know, as in other user namespaces. */
static uid_t read_overflow_uid(void)
{
	FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
	unsigned uid = 65534;

	if (file) {
		if (fscanf(file, "%u", &uid) != 1)
			uid = 65534;
		fclose(file);
	}
	return uid;
}

static bool fill(struct transport *transport, const struct transport_settings *settings,
		 struct failure *failure)
{
	transport->ws = settings->ws;
	transport->proxy = settings->proxy;
	transport->proxy.from = NULL;
	transport->uid_identity = settings->uid_identity;
	transport->overflow_uid = read_overflow_uid();
	if (settings->ws.origins) {
		transport->ws.origins = transport->origins = strdup(settings->ws.origins);
		must(transport->origins);
	}
	if (!networks_read(&transport->balancers,
			   settings->proxy.from ? settings->proxy.from : this_machine, failure))
		return failure_context(failure, "proxy_protocol_from");
	if (wants_tls(settings))
		transport->tls = tls_server_create(&settings->tls, failure);
	return !wants_tls(settings) || transport->tls;
}

bool transport_create(const struct transport_settings *settings, struct transport **out,
		      struct failure *failure)
{
	*out = NULL;
	if (is_plain(settings))
		return true;
	struct transport *transport = calloc(1, sizeof(*transport));

	must(transport);
	atomic_init(&transport->references, 1);
	if (!fill(transport, settings, failure)) {
		transport_release(transport);
		return false;
	}
	*out = transport;
	return true;
}

struct transport *transport_keep(struct transport *transport)
{
	atomic_fetch_add_explicit(&transport->references, 1, memory_order_relaxed);
	return transport;
}

void transport_release(struct transport *transport)
{
	if (!transport ||
	    atomic_fetch_sub_explicit(&transport->references, 1, memory_order_acq_rel) > 1)
		return;
	tls_server_release(transport->tls);
	free(transport->origins);
	free(transport);
}

bool transport_is_proxied(const struct transport *transport)
{
	return transport && transport->proxy.version > 0;
}

bool transport_asks_balancer(const struct transport *transport)
{
	return transport && transport->proxy.require_certificate;
}

const struct tls_server *transport_tls(const struct transport *transport)
{
	return transport ? transport->tls : NULL;
}

/* ---- a new connection */

/* Without a word of the kernel about a user that it knows, nobody comes in. */
static bool open_for_user(const struct transport *transport, int fd, struct stream *stream)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
	    peer.uid == transport->overflow_uid || peer.uid == (uid_t)-1)
		return false;
	*stream = tcp_stream_of_user(fd, peer.uid);
	return true;
}

static struct stream with_websocket(struct transport *transport, struct stream stream)
{
	return transport->ws.on ? ws_stream_over(stream, &transport->ws, transport) : stream;
}

struct stream transport_inner(struct transport *transport, struct stream plain)
{
	must(!transport->tls || !plain.state);
	return with_websocket(transport,
			      transport->tls ? tls_stream_of(transport->tls, plain.fd) : plain);
}

/* On a Unix socket: who may write to its file. */
static bool is_balancer(const struct transport *transport, int fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
	       (peer.ss_family == AF_UNIX || networks_hold(&transport->balancers, &peer));
}

bool transport_open(struct transport *transport, struct listener *listener, int fd,
		    struct stream *stream)
{
	if (transport->uid_identity) {
		if (!open_for_user(transport, fd, stream))
			return false;
		*stream = with_websocket(transport, *stream);
	} else if (transport->proxy.version == 0) {
		*stream = transport_inner(transport, listener->on_path ? tcp_stream_of_unix(fd)
								       : tcp_stream_of(fd));
	} else if (is_balancer(transport, fd)) {
		*stream = proxy_stream_of(&transport->proxy, transport, listener, fd);
	} else {
		return false;
	}
	return true;
}
