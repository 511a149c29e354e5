/*
 * options_transport.c - the flags for TLS together, and those for WebSocket: options.h.  Where
 * mosquitto_pub has a sentence, it is that.
 */
#include "cli/options.h"

#include <stdlib.h>
#include <unistd.h>

/* With TLS and without. */
static const uint16_t mqtt_ports[] = {[false] = 1883, [true] = 8883};
static const uint16_t ws_ports[] = {[false] = 8083, [true] = 8084};

/* Where Debian, and with it most, keeps the authorities of the system; OpenSSL's SSL_CERT_FILE says
 * another place. */
static const char system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

static bool has_authority(const struct options *o)
{
	return o->tls.cafile != NULL || o->tls.capath != NULL || o->os_certificates;
}

bool options_want_tls(const struct options *o)
{
	return has_authority(o) || o->tls.psk != NULL;
}

/*
 * The port of MQTT over TLS asks for TLS: a password that is meant for it never goes out in clear.
 * As mosquitto_pub: of the system's authorities, unless flags say how.  A Unix socket has no port.
 */
static void follow_port(struct options *o)
{
	if (o->port == mqtt_ports[true] && o->unix_path == NULL && !options_want_tls(o))
		o->os_certificates = true;
}

/* A flag that would change nothing is a mistake of who gave it. */
static const char *lonely_flag(const struct options *o)
{
	const struct tls_client_settings *tls = &o->tls;

	return tls->certfile != NULL  ? "--cert"
	       : tls->ciphers != NULL ? "--ciphers"
	       : tls->alpn != NULL    ? "--tls-alpn"
	       : tls->insecure	      ? "--insecure"
				      : NULL;
}

static bool fits_together(const struct options *o, struct failure *failure)
{
	const struct tls_client_settings *tls = &o->tls;

	if ((tls->certfile == NULL) != (tls->keyfile == NULL))
		return failure_set(failure, "Both certfile and keyfile must be provided if one of "
					    "them is set.");
	if ((tls->psk == NULL) != (tls->psk_identity == NULL))
		return failure_set(failure, "--psk and --psk-identity must be given together.");
	if (tls->psk != NULL && (has_authority(o) || tls->certfile != NULL))
		return failure_set(failure, "Only one of --psk or --cafile/--capath may be used at "
					    "once.");
	if (!options_want_tls(o) && lonely_flag(o) != NULL)
		return failure_set(failure,
				   "%s needs TLS: --cafile, --capath, --tls-use-os-certs or "
				   "--psk.",
				   lonely_flag(o));
	return true;
}

/* It stands in the first line of the handshake. */
static bool check_path(const struct options *o, struct failure *failure)
{
	const char *path = o->ws.path;

	if (path == NULL)
		return true;
	if (!o->websocket)
		return failure_set(failure, "--ws-path needs --ws, or a URL of ws:// or wss://.");
	if (path[0] != '/')
		return failure_set(failure, "Invalid path '%.80s' given. It must begin with '/'.",
				   path);
	for (const char *at = path; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			return failure_set(failure, "Invalid path given: blanks and what is not "
						    "ASCII have to be written as %%XX.");
	return true;
}

/* They count beside those that flags name, as in mosquitto_pub; without either there is nobody. */
static bool find_system_authorities(struct options *o, struct failure *failure)
{
	const char *elsewhere = getenv("SSL_CERT_FILE");
	const char *path = elsewhere != NULL ? elsewhere : system_authorities;

	if (access(path, R_OK) == 0)
		o->tls.system_cafile = path;
	return o->tls.system_cafile != NULL || o->tls.cafile != NULL || o->tls.capath != NULL ||
	       failure_set(failure,
			   "This computer has no authorities at %.300s; give --cafile or --capath.",
			   path);
}

bool options_finish_transport(struct options *o, struct failure *failure)
{
	follow_port(o);
	if (!fits_together(o, failure) || !check_path(o, failure))
		return false;
	if (o->os_certificates && !find_system_authorities(o, failure))
		return false;
	o->tls.host = o->host;
	if (o->port == 0)
		o->port = (o->websocket ? ws_ports : mqtt_ports)[options_want_tls(o)];
	o->ws.host = o->host;
	o->ws.port = o->port;
	return true;
}
