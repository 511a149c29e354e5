/* door_bans.c - bans, of those who come and for whoever asks: door.h. */
#include "broker/door_internal.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

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

/* A ban as it is kept, so that nobody waits at the door while it is written down for people. */
struct kept_ban {
	struct throttle_address address;
	uint64_t left_ms;
	bool of_client;
	bool cut;
	uint8_t id_len;
	uint8_t id[FLAPPING_ID_MAX];
};

struct kept_bans {
	struct kept_ban *at;
	size_t count, room;
};

/* Addresses and client identifiers do not stay in freed memory. */
static void wipe_and_free(const struct kept_bans *bans)
{
	if (bans->at)
		explicit_bzero(bans->at, bans->count * sizeof *bans->at);
	free(bans->at);
}

static void grow(struct kept_bans *bans)
{
	const size_t room = bans->room > 0 ? 2 * bans->room : 64;
	struct kept_ban *at = calloc(room, sizeof *at);
	must(at);
	for (size_t i = 0; i < bans->count; i++)
		at[i] = bans->at[i];
	wipe_and_free(bans);
	bans->at = at;
	bans->room = room;
}

static struct kept_ban *keep(struct kept_bans *bans, uint64_t left_ms)
{
	if (bans->count == bans->room)
		grow(bans);
	struct kept_ban *ban = &bans->at[bans->count++];
	ban->left_ms = left_ms;
	return ban;
}

static void keep_address(void *self, const struct throttle_address *address, uint64_t left_ms)
{
	keep(self, left_ms)->address = *address;
}

static void keep_client(void *self, const struct flapping_ban *ban)
{
	struct kept_ban *kept = keep(self, ban->left_ms);
	kept->of_client = true;
	kept->cut = ban->cut;
	kept->id_len = (uint8_t)ban->id.len;
	if (ban->id.len > 0)
		memcpy(kept->id, ban->id.at, ban->id.len);
}

static void tell(const struct kept_ban *kept, void *self,
		 void (*call)(void *self, const struct door_ban *ban))
{
	char text[ADDRESS_SIZE];
	struct door_ban ban = {.cut = kept->cut, .left_ms = kept->left_ms};
	if (kept->of_client) {
		ban.client_id = slice_of(kept->id, kept->id_len);
	} else {
		write_address(&kept->address, text);
		ban.address = text;
	}
	call(self, &ban);
}

void door_each_ban(struct door *door, void *self,
		   void (*call)(void *self, const struct door_ban *ban))
{
	struct kept_bans bans = {0};
	uint64_t now_ms = moment_now().ms;
	pthread_mutex_lock(&door->lock);
	throttle_each_ban(door->throttle, now_ms, &bans, keep_address);
	flapping_each_ban(door->flapping, now_ms, &bans, keep_client);
	pthread_mutex_unlock(&door->lock);
	for (size_t i = 0; i < bans.count; i++)
		tell(&bans.at[i], self, call);
	wipe_and_free(&bans);
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
