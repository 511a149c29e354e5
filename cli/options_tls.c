/* options_tls.c - the flags for TLS together: options.h.  Where mosquitto_pub has a sentence, it is
 * that. */
#include "cli/options.h"

#include <unistd.h>

#define PORT_PLAIN 1883
#define PORT_TLS   8883

/* Where Debian, and with it most, keeps the authorities of the system. */
static const char system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

static bool has_authority(const struct options *o)
{
	return o->tls.cafile != NULL || o->tls.capath != NULL || o->os_certificates;
}

bool options_want_tls(const struct options *o)
{
	return has_authority(o) || o->tls.psk != NULL;
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

bool options_finish_tls(struct options *o, struct failure *failure)
{
	if (!fits_together(o, failure))
		return false;
	if (o->os_certificates && o->tls.cafile == NULL && o->tls.capath == NULL) {
		if (access(system_authorities, R_OK) != 0)
			return failure_set(failure,
					   "This computer has no authorities at %s; give "
					   "--cafile or --capath.",
					   system_authorities);
		o->tls.cafile = system_authorities;
	}
	o->tls.host = o->host;
	if (o->port == 0)
		o->port = options_want_tls(o) ? PORT_TLS : PORT_PLAIN;
	return true;
}
