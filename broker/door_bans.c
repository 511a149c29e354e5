/* door_bans.c - bans, for whoever asks: door.h. */
#include "broker/door_internal.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include <arpa/inet.h>
#include <stdio.h>

#define NETWORK "/64"

void door_write_address(const struct throttle_address *address, char text[DOOR_ADDRESS_SIZE])
{
	struct in6_addr v6;
	memcpy(&v6, address->at, sizeof v6);
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		inet_ntop(AF_INET, address->at + 12, text, DOOR_ADDRESS_SIZE);
		return;
	}
	char bare[INET6_ADDRSTRLEN];
	inet_ntop(AF_INET6, &v6, bare, sizeof bare);
	snprintf(text, DOOR_ADDRESS_SIZE, "%s" NETWORK, bare);
}

bool door_read_address(const char *text, struct throttle_address *address)
{
	char bare[DOOR_ADDRESS_SIZE];
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

void door_each_ban(struct door *door, void *self,
		   void (*call)(void *self, const struct throttle_address *address,
				uint64_t left_ms))
{
	pthread_mutex_lock(&door->lock);
	throttle_each_ban(door->throttle, moment_now().ms, self, call);
	pthread_mutex_unlock(&door->lock);
}

void door_forget(struct door *door, uint64_t now_ms)
{
	pthread_mutex_lock(&door->lock);
	throttle_forget(door->throttle, now_ms);
	pthread_mutex_unlock(&door->lock);
}

bool door_lift_ban(struct door *door, const struct throttle_address *address)
{
	pthread_mutex_lock(&door->lock);
	bool lifted = throttle_lift(door->throttle, moment_now().ms, address);
	pthread_mutex_unlock(&door->lock);
	return lifted;
}
