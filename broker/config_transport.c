/*
 * config_transport.c - keys of a listener that only make sense together: a file must
 * never open a listener that is less protected than somebody believed who wrote it.
 */
#include "broker/config_internal.h"

#include <stdlib.h>

static bool is_written(const struct config_draft *draft, const char *key)
{
	return draft->set[config_find_key(key) - config_keys].file;
}

/* A problem at the line of a key of this listener. */
static void complain(struct config_reader *reader, const struct config_draft *draft,
		     const char *key, const char *sentence)
{
	const struct config_place here = reader->at;
	reader->at = draft->set[config_find_key(key) - config_keys];
	config_problem(reader, key, "%s", sentence);
	reader->at = here;
}

/* What a listener has; a key may need some of it. */
enum {
	HAS_CERTIFICATE = 1,
	HAS_AUTHORITY = 2,
	HAS_VERIFICATION = 4,
	HAS_PSK = 8,
	HAS_PATH = 16,
	HAS_PORT = 32,
	HAS_PROXY = 64,
	HAS_PROXY_2 = 128,
	HAS_NO_TLS = 512,
	HAS_WEBSOCKET = 1024,
	HAS_NO_PSK = 2048,
	HAS_TLS_BEFORE = 4096, /* TLS ends at a load balancer, which says what it saw */
	HAS_NO_TLS_BEFORE = 8192,
	HAS_NO_PROXY = 16384,
};

static bool has_tls_before(const struct config_listener *listener)
{
	return listener->transport.proxy.version == 2 && !listener->transport.tls.certfile &&
	       !listener->psk_hint;
}

static unsigned what_it_has(const struct config_listener *listener)
{
	const struct tls_settings *tls = &listener->transport.tls;
	return (tls->certfile && tls->keyfile ? HAS_CERTIFICATE : 0u) |
	       (tls->cafile || tls->capath ? HAS_AUTHORITY : 0u) |
	       (tls->require_certificate ? HAS_VERIFICATION : 0u) |
	       (listener->psk_hint ? HAS_PSK : HAS_NO_PSK) |
	       (listener->path ? HAS_PATH : HAS_PORT) |
	       (listener->transport.proxy.version > 0 ? HAS_PROXY : HAS_NO_PROXY) |
	       (listener->transport.proxy.version == 2 ? HAS_PROXY_2 : 0u) |
	       (has_tls_before(listener) ? HAS_TLS_BEFORE : HAS_NO_TLS_BEFORE) |
	       (tls->certfile || listener->psk_hint ? 0u : HAS_NO_TLS) |
	       (listener->transport.ws.on ? HAS_WEBSOCKET : 0u);
}

static bool wants_certificate(const struct config_listener *listener)
{
	return listener->transport.tls.require_certificate;
}

static bool wants_identity(const struct config_listener *listener)
{
	return listener->use_identity;
}

static bool wants_subject(const struct config_listener *listener)
{
	return listener->use_subject;
}

static bool wants_uid(const struct config_listener *listener)
{
	return listener->transport.uid_identity;
}

static bool wants_tls_before(const struct config_listener *listener)
{
	return listener->transport.proxy.require_tls;
}

#define NO_CERTIFICATE                                                                             \
	"means TLS, and there is no certificate; right would be certfile and keyfile, too"
#define NO_TLS "means TLS, and there is none; right would be certfile and keyfile, or psk_hint"

static const struct {
	const char *key;
	bool (*wanted)(const struct config_listener *listener); /* NULL: when it is written */
	unsigned one_of; /* of these the listener has to have one */
	const char *sentence;
} needs[] = {
    {"certfile", NULL, HAS_CERTIFICATE, "stands there without keyfile; right would be both"},
    {"keyfile", NULL, HAS_CERTIFICATE, "stands there without certfile; right would be both"},
    {"cafile", NULL, HAS_CERTIFICATE, NO_CERTIFICATE},
    {"capath", NULL, HAS_CERTIFICATE, NO_CERTIFICATE},
    {"crlfile", NULL, HAS_CERTIFICATE, NO_CERTIFICATE},
    {"ciphers", NULL, HAS_CERTIFICATE | HAS_PSK, NO_TLS},
    {"require_certificate", wants_certificate, HAS_CERTIFICATE | HAS_TLS_BEFORE, NO_CERTIFICATE},
    {"require_certificate", wants_certificate, HAS_AUTHORITY | HAS_TLS_BEFORE,
     "can verify nothing; right would be cafile or capath, too"},
    {"use_identity_as_username", wants_identity, HAS_VERIFICATION | HAS_PSK,
     "has nothing to take it from; right would be `require_certificate true`, or psk_hint"},
    {"use_subject_as_username", wants_subject, HAS_VERIFICATION | HAS_TLS_BEFORE,
     "has nothing to take it from; right would be `require_certificate true`"},
    {"use_subject_as_username", wants_subject, HAS_NO_PSK,
     "and psk_hint: who has a key shows no certificate, and would come in without a name; right "
     "would be a listener for each"},
    {"use_subject_as_username", wants_subject, HAS_NO_TLS_BEFORE,
     "and `enable_proxy_protocol 2`: the load balancer's header tells no more than the Common "
     "Name; right would be use_identity_as_username"},
    {"unix_uid_identity", wants_uid, HAS_NO_PROXY,
     "and enable_proxy_protocol: the user who connects is that of the load balancer; right would "
     "be one of the two"},
    {"unix_uid_identity", wants_uid, HAS_PATH,
     "is for Unix sockets; right would be `listener 0 PATH`"},
    {"unix_uid_identity", wants_uid, HAS_NO_TLS,
     "and TLS are two ways to know a client; right would be one of the two"},
    {"proxy_protocol_from", NULL, HAS_PORT,
     "is not for Unix sockets: who may write to the socket's file is the load balancer; right "
     "would be to leave the line out"},
    {"proxy_protocol_from", NULL, HAS_PROXY,
     "changes nothing alone; right would be enable_proxy_protocol, too"},
    {"proxy_protocol_v2_require_tls", wants_tls_before, HAS_PROXY_2,
     "needs version 2; right would be `enable_proxy_protocol 2`"},
    {"websockets_origin", NULL, HAS_WEBSOCKET,
     "changes nothing without `protocol websockets`; right would be both"},
    {"bind_interface", NULL, HAS_PORT, "is not for Unix sockets; right would be a port"},
    {"socket_domain", NULL, HAS_PORT, "is not for Unix sockets; right would be a port"},
};

static void check_needs(struct config_reader *reader, const struct config_draft *draft)
{
	const unsigned has = what_it_has(&draft->value);
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		const bool wanted = needs[i].wanted ? needs[i].wanted(&draft->value)
						    : is_written(draft, needs[i].key);
		if (wanted && !(has & needs[i].one_of))
			complain(reader, draft, needs[i].key, needs[i].sentence);
	}
}

static void check_psk(struct config_reader *reader, struct config_draft *draft)
{
	struct tls_settings *tls = &draft->value.transport.tls;
	if (draft->value.psk_hint && !tls->psk_file)
		complain(reader, draft, "psk_hint",
			 "stands there without psk_file; right would be both");
	if (!draft->value.psk_hint)
		tls->psk_file = NULL;
}

static size_t lines_in(const char *list)
{
	size_t count = list ? 1 : 0;
	for (; list && (list = strchr(list, '\n')); list++)
		count++;
	return count;
}

/* That the keys are of the certificates is seen when they are read. */
static void check_pairs(struct config_reader *reader, const struct config_draft *draft)
{
	const struct tls_settings *tls = &draft->value.transport.tls;
	if (tls->certfile && tls->keyfile && lines_in(tls->certfile) != lines_in(tls->keyfile))
		complain(reader, draft, "keyfile",
			 "is not there for each certfile; right would be as many of both, in the "
			 "same order");
}

static void check_networks(struct config_reader *reader, const struct config_draft *draft)
{
	const char *from = draft->value.transport.proxy.from;
	struct networks networks;
	struct failure failure;
	if (from && !networks_read(&networks, from, &failure))
		complain(reader, draft, "proxy_protocol_from", failure.text);
}

static void settle_proxy(struct config_reader *reader, struct config_draft *draft)
{
	struct config_listener *listener = &draft->value;
	struct proxy_settings *proxy = &listener->transport.proxy;
	const bool before = has_tls_before(listener);
	proxy->require_certificate = before && listener->transport.tls.require_certificate;
	proxy->common_name = before && listener->use_identity;
	if (proxy->version == 0 || proxy->from || listener->path ||
	    (listener->address && config_is_loopback(listener->address)))
		return;
	config_notice(reader, draft->set[config_find_key("enable_proxy_protocol") - config_keys],
		      "enable_proxy_protocol takes load balancers of this machine only and closes "
		      "every other connection; if they are elsewhere write proxy_protocol_from, "
		      "with their addresses");
}

void config_finish_transport(struct config_reader *reader, struct config_draft *draft)
{
	struct config_listener *listener = &draft->value;
	struct tls_settings *tls = &listener->transport.tls;
	check_needs(reader, draft);
	check_pairs(reader, draft);
	check_psk(reader, draft);
	check_networks(reader, draft);
	if (listener->use_identity && listener->use_subject)
		complain(reader, draft, "use_subject_as_username",
			 "and use_identity_as_username are two names for one client; right would "
			 "be one of the two");
	if (tls->crlfile && !tls->require_certificate)
		config_notice(reader, draft->set[config_find_key("crlfile") - config_keys],
			      "crlfile changes nothing without `require_certificate true`: no "
			      "client is asked for a certificate");
	settle_proxy(reader, draft);
	tls->http = listener->transport.ws.on;
	tls->identity_of_psk = listener->use_identity;
	tls->name = listener->use_identity  ? TLS_NAME_COMMON
		    : listener->use_subject ? TLS_NAME_SUBJECT
					    : TLS_NAME_NONE;
}

void config_check_transports(struct config_reader *reader)
{
	const struct config *config = reader->config;
	const struct config_place place = reader->set[config_find_key("psk_file") - config_keys];
	bool used = false;
	for (size_t i = 0; i < config->listener_count; i++)
		used = used || config->listeners[i].transport.tls.psk_file;
	if (used || !place.file)
		return;
	reader->at = place;
	config_problem(reader, "psk_file",
		       "is used by no listener; right would be psk_hint below one");
}

bool config_listener_proves(const struct config_listener *listener)
{
	return listener->use_identity || listener->use_subject || listener->transport.uid_identity;
}
