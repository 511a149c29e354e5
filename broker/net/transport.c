/* transport.c - see transport.h. */
#include "broker/net/transport.h"
#include "broker/net/tcp.h"
#include "broker/net/ws.h"
#include <stdatomic.h>
#include <stdlib.h>

struct transport {
	_Atomic uint32_t references;
	struct tls_server *tls; /* NULL: none */
	struct ws_settings ws;
	char *origins; /* owned */
};

static bool wants_tls(const struct transport_settings *settings)
{
	return settings->tls.certfile || settings->tls.psk_file;
}

bool transport_create(const struct transport_settings *settings, struct transport **out,
		      struct failure *failure)
{
	*out = NULL;
	if (!wants_tls(settings) && !settings->ws.on)
		return true;
	struct transport *transport = calloc(1, sizeof(*transport));

	must(transport);
	atomic_init(&transport->references, 1);
	transport->ws = settings->ws;
	if (settings->ws.origins) {
		transport->ws.origins = transport->origins = strdup(settings->ws.origins);
		must(transport->origins);
	}
	if (wants_tls(settings) && !(transport->tls = tls_server_create(&settings->tls, failure))) {
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

const struct tls_server *transport_tls(const struct transport *transport)
{
	return transport ? transport->tls : NULL;
}

bool transport_open(struct transport *transport, struct listener *listener, int fd,
		    struct stream *stream)
{
	(void)listener;
	*stream = transport->tls ? tls_stream_of(transport->tls, fd) : tcp_stream_of(fd);
	if (transport->ws.on)
		*stream = ws_stream_over(*stream, &transport->ws, transport);
	return true;
}
