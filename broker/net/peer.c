/* peer.c - see peer.h. */
#include "broker/net/peer.h"
#include "broker/net/half_open.h"
#include "broker/net/listener.h"
#include "broker/net/loop.h"
#include <netinet/in.h>
#include <sys/socket.h>

#define NETWORK_SIZE 8u /* bytes of an IPv6 address that count */

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* Of an IPv6 address its network; all of it in ::/64, where ::1 is, and IPv4 that is mapped. */
static size_t size_that_counts(const struct in6_addr *address)
{
	static const uint8_t none[NETWORK_SIZE];
	return memcmp(address->s6_addr, none, sizeof none) == 0 ? PEER_ADDRESS_SIZE : NETWORK_SIZE;
}

void peer_address(const struct sockaddr *from, uint8_t address[PEER_ADDRESS_SIZE])
{
	memset(address, 0, PEER_ADDRESS_SIZE);
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
		memcpy(address, mapped, sizeof mapped);
		memcpy(address + sizeof mapped, &v4->sin_addr, sizeof v4->sin_addr);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
		memcpy(address, &v6->sin6_addr, size_that_counts(&v6->sin6_addr));
	}
}

static bool is_loopback(const struct sockaddr *from)
{
	uint8_t address[PEER_ADDRESS_SIZE];
	peer_address(from, address);
	if (memcmp(address, mapped, sizeof mapped) == 0)
		return address[sizeof mapped] == 127;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
	return from->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool is_asked_about(const struct listener *listener)
{
	return atomic_load_explicit(&listener->asks, memory_order_relaxed) ||
	       (listener->half_open && atomic_load_explicit(&listener->half_open->max,
							    memory_order_relaxed) != UINT32_MAX);
}

static bool has_address(const uint8_t address[PEER_ADDRESS_SIZE])
{
	static const uint8_t none[PEER_ADDRESS_SIZE];
	return memcmp(address, none, sizeof none) != 0;
}

static bool admit(struct listener *listener, const uint8_t address[PEER_ADDRESS_SIZE],
		  struct peer_count *count)
{
	if (atomic_load_explicit(&listener->asks, memory_order_relaxed) &&
	    !listener->admit(listener->door, address))
		return false;
	count->counted =
	    listener->half_open && half_open_enter(listener->half_open, address, &count->place);
	return !listener->half_open || count->counted;
}

static bool admit_untold(struct listener *listener, const uint8_t address[PEER_ADDRESS_SIZE],
			 struct peer_count *count)
{
	count->counted = listener->half_open &&
			 half_open_enter_untold(listener->half_open, address, &count->place);
	return !listener->half_open || count->counted;
}

static bool turned_away(struct listener *listener)
{
	atomic_fetch_add_explicit(&listener->turned_away, 1, memory_order_relaxed);
	return false;
}

bool peer_admitted(struct listener *listener, int fd, bool of_balancer, struct peer_count *count)
{
	uint8_t address[PEER_ADDRESS_SIZE];
	struct sockaddr_storage storage = {0};
	socklen_t len = sizeof storage;
	count->counted = false;
	if (!is_asked_about(listener) || getpeername(fd, (struct sockaddr *)&storage, &len) != 0)
		return true;
	peer_address((const struct sockaddr *)&storage, address);
	if (!has_address(address))
		return true;
	return (of_balancer ? admit_untold : admit)(listener, address, count) ||
	       turned_away(listener);
}

bool peer_told(struct listener *listener, const uint8_t address[PEER_ADDRESS_SIZE],
	       struct peer_count *count)
{
	if (!is_asked_about(listener) || !has_address(address))
		return true;
	peer_count_out(listener, count);
	return admit(listener, address, count) || turned_away(listener);
}

void peer_count_out(struct listener *listener, struct peer_count *count)
{
	if (count->counted)
		half_open_leave(listener->half_open, count->place);
	count->counted = false;
}

struct peer_of_link peer_of_link(const struct loop *loop, uint32_t number)
{
	struct peer_of_link peer = {0};
	struct sockaddr_storage storage = {0};
	const struct sockaddr *from = (const struct sockaddr *)&storage;
	socklen_t len = sizeof storage;
	const struct link *link = link_table_at(&loop->links, number);
	peer.confidential = link->stream.confidential;
	if (link->stream.proxied) {
		memcpy(peer.address, loop->told[number], sizeof peer.address);
		return peer;
	}
	if (getpeername(link->stream.fd, (struct sockaddr *)&storage, &len) != 0)
		return peer;
	peer_address(from, peer.address);
	peer.confidential = peer.confidential || from->sa_family == AF_UNIX || is_loopback(from);
	return peer;
}
