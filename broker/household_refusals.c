/*
 * household_refusals.c - what the log says of clients that were turned away: how many,
 * by listener and reason, at once for the first and then once a minute; never who.
 */
#include "broker/household_internal.h"
#include "broker/core/happened.h"
#include "broker/log.h"
#include "proto/reason.h"
#include <stdlib.h>

#define REPORT_MS 60000u

/* Reasons that an operator can do something about, in words that say what. */
static const struct {
	enum mqtt_reason reason;
	const char *words;
} hints[] = {
    {MQTT_UNSUPPORTED_PROTOCOL_VERSION,
     "Unsupported Protocol Version (accept_protocol_versions says which are taken)"},
    {MQTT_NOT_AUTHORIZED, "Not authorized (allow_anonymous, clientid_prefixes)"},
    {MQTT_CLIENT_IDENTIFIER_NOT_VALID,
     "Client Identifier not valid (an empty one needs a clean session before 5.0, and "
     "allow_zero_length_clientid)"},
    {MQTT_QUOTA_EXCEEDED,
     "Quota exceeded (failed logins, memory_limit, global_max_clients, or the disk)"},
    {MQTT_PACKET_TOO_LARGE, "Packet too large (max_packet_size)"},
    {MQTT_BAD_AUTHENTICATION_METHOD,
     "Bad authentication method (SCRAM-SHA-256, for device keys, is the only one)"},
};

struct refusals {
	uint32_t told[HAPPENED_LISTENERS][HAPPENED_REASONS];
};

static const char *words_for(uint8_t reason)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (hints[i].reason == reason)
			return hints[i].words;
	return mqtt_reason_text(reason);
}

static uint32_t count(const struct household *house, uint32_t listener, uint32_t column)
{
	uint32_t sum = 0;

	for (uint16_t i = 0; i < house->worker_count; i++) {
		const struct happened *happened = shard_happened(house->workers[i].shard);

		sum += atomic_load_explicit(&happened->refused[listener][column],
					    memory_order_relaxed);
	}
	return sum;
}

static bool report_listener(struct household *house, uint32_t listener)
{
	uint32_t *told = house->refusals->told[listener];
	bool any = false;

	for (uint32_t column = 0; column < HAPPENED_REASONS; column++) {
		uint32_t sum = count(house, listener, column);

		log_count(LOG_LEVEL_NOTICE, "clients", listener,
			  words_for((uint8_t)(HAPPENED_REASON_FIRST + column)), sum - told[column],
			  REPORT_MS / 1000);
		any = any || sum != told[column];
		told[column] = sum;
	}
	return any;
}

void household_report_refusals(struct household *house, uint64_t now_ms)
{
	bool any = false;

	if (now_ms < house->refusals_due_ms)
		return;
	if (house->refusals == NULL) {
		house->refusals = calloc(1, sizeof(*house->refusals));
		must(house->refusals != NULL);
	}
	for (uint32_t listener = 0; listener < HAPPENED_LISTENERS; listener++)
		any = report_listener(house, listener) || any;
	if (any)
		house->refusals_due_ms = now_ms + REPORT_MS;
}
