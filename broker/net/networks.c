/* networks.c - see networks.h. */
#include "broker/net/networks.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* "address" or "address/bits". */
static bool read_network(struct network *network, const char *word)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : strlen(word);
	unsigned bits = 0;

	if (len >= sizeof(address))
		return false;
	memcpy(address, word, len);
	address[len] = '\0';
	bool four = inet_pton(AF_INET, address, network->address + sizeof(mapped)) == 1;

	if (four)
		memcpy(network->address, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, address, network->address) != 1)
		return false;
	unsigned all = four ? 32 : 128;

	if (!slash)
		bits = all;
	for (const char *at = slash ? slash + 1 : ""; *at; at++) {
		if (*at < '0' || *at > '9' || (bits = bits * 10 + (unsigned)(*at - '0')) > all)
			return false;
	}
	network->bits = (uint8_t)(bits + (four ? 96 : 0));
	return !slash || slash[1] != '\0';
}

bool networks_read(struct networks *networks, const char *text, struct failure *failure)
{
	char word[64];

	*networks = (struct networks){0};
	while (*text) {
		size_t len = strcspn(text, " ");

		if (networks->count == NETWORKS_MAX)
			return failure_set(failure,
					   "more than %u networks; right would be larger "
					   "ones",
					   NETWORKS_MAX);
		if (len >= sizeof(word))
			return failure_set(failure, "'%.40s' is not a network", text);
		memcpy(word, text, len);
		word[len] = '\0';
		if (!read_network(&networks->list[networks->count++], word))
			return failure_set(failure,
					   "'%s' is not a network; right would be 192.0.2.7, "
					   "10.0.0.0/8 or 2001:db8::/32",
					   word);
		text += len + (text[len] == ' ');
	}
	return true;
}

static bool is_in(const struct network *network, const uint8_t address[16])
{
	size_t whole = network->bits / 8u;
	unsigned rest = network->bits % 8u;

	if (memcmp(network->address, address, whole) != 0)
		return false;
	return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool networks_hold(const struct networks *networks, const struct sockaddr_storage *address)
{
	uint8_t bytes[16];

	if (address->ss_family == AF_INET6) {
		memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
	} else if (address->ss_family == AF_INET) {
		memcpy(bytes, mapped, sizeof(mapped));
		memcpy(bytes + sizeof(mapped), &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else {
		return false;
	}
	for (size_t i = 0; i < networks->count; i++)
		if (is_in(&networks->list[i], bytes))
			return true;
	return false;
}
