/* door_bans.c - bans, of those who come and for whoever asks: door.h. */
#include "broker/door_internal.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include <arpa/inet.h>
#include <stdio.h>

/* ---- addresses as text */

#define NETWORK	     "/64"
#define ADDRESS_SIZE 64

static void write_address(const struct throttle_address *address, char text[ADDRESS_SIZE])
{
	struct in6_addr v6;
	memcpy(&v6, address->at, sizeof v6);
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		inet_ntop(AF_INET, address->at + 12, text, ADDRESS_SIZE);
		return;
	}
	char bare[INET6_ADDRSTRLEN];
	inet_ntop(AF_INET6, &v6, bare, sizeof bare);
	snprintf(text, ADDRESS_SIZE, "%s%s", bare, IN6_IS_ADDR_LOOPBACK(&v6) ? "" : NETWORK);
}

static bool read_address(const char *text, struct throttle_address *address)
{
	char bare[ADDRESS_SIZE];
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	size_t len = strcspn(text, "/");
	if (len >= sizeof bare || (text[len] && strcmp(text + len, NETWORK) != 0))
		return false;
	snprintf(bare, sizeof bare, "%.*s", (int)len, text);
	if (inet_pton(AF_INET, bare, &v4.sin_addr) == 1)
		peer_address((const struct sockaddr *)&v4, address->at);
	else if (inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1)
		peer_address((const struct sockaddr *)&v6, address->at);
	else
		return false;
	return true;
}

/* ---- clients that connect again and again */

static const char banned_text[] = "this client is banned for a while: it connected too often";

bool door_bans_client(struct door *door, uint64_t client, struct auth_answer *answer)
{
	if (client == 0 || !atomic_load_explicit(&door->bans_flapping, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&door->lock);
	bool banned = flapping_banned(door->flapping, moment_now().ms, client);
	pthread_mutex_unlock(&door->lock);
	answer->reason = MQTT_BANNED;
	answer->text = banned_text;
	return banned;
}

bool door_client_comes(struct auth *auth, const struct auth_visit *visit,
		       struct auth_answer *answer)
{
	struct door *door = ((struct worker_door *)auth)->door;
	const struct flapping_client client = {visit->client, visit->client_id};
	pthread_mutex_lock(&door->lock);
	enum flapping_verdict verdict =
	    flapping_came(door->flapping, moment_now().ms, &client, visit->too_soon);
	pthread_mutex_unlock(&door->lock);
	answer->reason = verdict == FLAPPING_BANNED ? MQTT_BANNED : MQTT_CONNECTION_RATE_EXCEEDED;
	answer->text = verdict == FLAPPING_BANNED
			   ? banned_text
			   : "this client connects too often: it has to wait, longer each time";
	return verdict == FLAPPING_PASS;
}

/* ---- for whoever asks */

struct teller {
	void *self;
	void (*call)(void *self, const struct door_ban *ban);
};

static void tell_address(void *self, const struct throttle_address *address, uint64_t left_ms)
{
	const struct teller *teller = self;
	char text[ADDRESS_SIZE];
	write_address(address, text);
	teller->call(teller->self, &(struct door_ban){.address = text, .left_ms = left_ms});
}

static void tell_client(void *self, const struct flapping_ban *ban)
{
	const struct teller *teller = self;
	teller->call(
	    teller->self,
	    &(struct door_ban){.client_id = ban->id, .cut = ban->cut, .left_ms = ban->left_ms});
}

void door_each_ban(struct door *door, void *self,
		   void (*call)(void *self, const struct door_ban *ban))
{
	struct teller teller = {self, call};
	uint64_t now_ms = moment_now().ms;
	pthread_mutex_lock(&door->lock);
	throttle_each_ban(door->throttle, now_ms, &teller, tell_address);
	flapping_each_ban(door->flapping, now_ms, &teller, tell_client);
	pthread_mutex_unlock(&door->lock);
}

void door_forget(struct door *door, uint64_t now_ms)
{
	pthread_mutex_lock(&door->lock);
	throttle_forget(door->throttle, now_ms);
	flapping_forget(door->flapping, now_ms);
	pthread_mutex_unlock(&door->lock);
}

bool door_lift_ban(struct door *door, const char *address, struct failure *failure)
{
	struct throttle_address from;
	if (!read_address(address, &from))
		return failure_set(failure, "that is no IP address; right would be one as "
					    "`metrino ban list` shows it: 192.0.2.7, or of IPv6 "
					    "an address or a network like 2001:db8::" NETWORK);
	pthread_mutex_lock(&door->lock);
	bool lifted = throttle_lift(door->throttle, moment_now().ms, &from);
	pthread_mutex_unlock(&door->lock);
	return lifted || failure_set(failure, "no ban of this address");
}

bool door_lift_client_ban(struct door *door, struct slice client_id)
{
	pthread_mutex_lock(&door->lock);
	bool lifted = flapping_lift(door->flapping, moment_now().ms, client_id);
	pthread_mutex_unlock(&door->lock);
	return lifted;
}
