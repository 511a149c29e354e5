/*
 * household_transport.c - what listeners put between socket and MQTT, read from files
 * at the start and at each HUP.
 *
 * A transport is in use as long as a worker may still see the settings that hold it.
 * So when settings are swapped, each worker gets a reference of the old transport with
 * the command to look at its links again: once that is done, it sees only the new ones.
 */
#include "broker/household_internal.h"
#include "broker/log.h"

static void warn_about_weak_keys(const struct config_listener *listener)
{
	const struct tls_server *tls = transport_tls(listener->settings.transport);
	size_t weak = tls ? tls_server_weak_keys(tls) : 0;

	if (weak > 0)
		log_write_listener(LOG_LEVEL_WARNING, "tls", listener->settings.number,
				   "%zu keys of psk_file are shorter than 128 bits and can be "
				   "guessed from one recorded handshake",
				   weak);
}

static void make_transport(struct config_listener *listener, struct problems *problems)
{
	struct failure failure;

	if (transport_create(&listener->transport, &listener->settings.transport, &failure))
		warn_about_weak_keys(listener);
	else if (listener->path)
		problems_add(problems, "listener 0 %s: %s", listener->path, failure.text);
	else
		problems_add(problems, "listener %u: %s", (unsigned)listener->port, failure.text);
}

bool household_make_transports(struct config *config, struct problems *problems)
{
	for (size_t i = 0; i < config->listener_count; i++)
		make_transport(&config->listeners[i], problems);
	if (problems->count == 0)
		return true;
	household_drop_transports(config);
	return false;
}

static void drop(struct config_listener *listener)
{
	transport_release(listener->settings.transport);
	listener->settings.transport = NULL;
}

void household_drop_transports(struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		drop(&config->listeners[i]);
}

static void retire(struct household *house, struct transport *transport)
{
	for (uint16_t i = 0; transport && i < house->worker_count; i++) {
		struct command *command = command_create(COMMAND_RECHECK, SLICE_NONE, SLICE_NONE);

		command->transport = transport_keep(transport);
		worker_tell(&house->workers[i], command);
	}
	transport_release(transport);
}

void household_swap_settings(struct household *house, struct listener *listener,
			     const struct listener_settings *next)
{
	const struct listener_settings *before =
	    atomic_exchange_explicit(&listener->settings, next, memory_order_acq_rel);

	retire(house, before->transport);
}

/* Those of the configuration at the start that were swapped since belong to others now. */
void household_release_transports(struct household *house)
{
	for (size_t i = 0; i < house->listener_count; i++) {
		const struct listener_settings *settings =
		    atomic_load_explicit(&house->listeners[i].settings, memory_order_relaxed);

		transport_release(settings->transport);
	}
}
