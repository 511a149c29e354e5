/* proxy_header.c - see proxy_header.h. */
#include "broker/net/proxy_header.h"
#include <arpa/inet.h>
#include <netinet/in.h>

/* ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.2 50000 1883\r\n" */

static bool next_word(struct slice *rest, struct slice *word)
{
	const uint8_t *end = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;

	*word = slice_of(rest->at, end ? (size_t)(end - rest->at) : rest->len);
	*rest = end ? slice_after(*rest, word->len + 1) : SLICE_NONE;
	return word->len > 0;
}

static bool read_port(struct slice word, uint16_t *port)
{
	uint32_t number = 0;

	if (word.len > 5 || (word.len > 1 && word.at[0] == '0'))
		return false;
	for (size_t i = 0; i < word.len; i++) {
		if (word.at[i] < '0' || word.at[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(word.at[i] - '0');
	}
	*port = htons((uint16_t)number);
	return number <= UINT16_MAX;
}

static bool read_address(struct slice word, int family, void *address)
{
	char text[INET6_ADDRSTRLEN];

	if (word.len >= sizeof(text) || memchr(word.at, 0, word.len))
		return false;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool read_pair(struct slice rest, int family, struct proxy_header *header)
{
	struct slice source;
	struct slice destination;
	struct slice source_port;
	struct slice destination_port;
	struct in6_addr address = {0};
	struct in6_addr ignored_address;
	uint16_t port = 0;
	uint16_t ignored_port;

	if (!next_word(&rest, &source) || !next_word(&rest, &destination) ||
	    !next_word(&rest, &source_port) || !next_word(&rest, &destination_port) || rest.at ||
	    !read_address(source, family, &address) ||
	    !read_address(destination, family, &ignored_address) ||
	    !read_port(source_port, &port) || !read_port(destination_port, &ignored_port))
		return false;
	header->has_peer = true;
	if (family == AF_INET6) {
		struct sockaddr_in6 peer = {
		    .sin6_family = AF_INET6, .sin6_addr = address, .sin6_port = port};

		memcpy(&header->peer, &peer, sizeof(peer));
	} else {
		struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = port};

		memcpy(&peer.sin_addr, &address, sizeof(peer.sin_addr));
		memcpy(&header->peer, &peer, sizeof(peer));
	}
	return true;
}

static enum proxy_step read_v1(struct slice bytes, struct proxy_header *header)
{
	static const char start[] = "PROXY ";
	size_t known = bytes.len < sizeof(start) - 1 ? bytes.len : sizeof(start) - 1;
	const uint8_t *end = bytes.len > 0 ? memchr(bytes.at, '\n', bytes.len) : NULL;
	size_t len = end ? (size_t)(end - bytes.at) + 1 : bytes.len;
	struct slice protocol;

	if (memcmp(bytes.at, start, known) != 0 || len > PROXY_V1_MAX)
		return PROXY_BAD;
	if (!end)
		return len == PROXY_V1_MAX ? PROXY_BAD : PROXY_MORE;
	if (len < sizeof(start) + 1 || bytes.at[len - 2] != '\r')
		return PROXY_BAD;
	struct slice rest = slice_of(bytes.at + sizeof(start) - 1, len - 2 - (sizeof(start) - 1));

	header->len = len;
	if (!next_word(&rest, &protocol))
		return PROXY_BAD;
	if (slice_equal(protocol, SLICE_LITERAL("UNKNOWN")))
		return PROXY_DONE;
	bool four = slice_equal(protocol, SLICE_LITERAL("TCP4"));

	if (!four && !slice_equal(protocol, SLICE_LITERAL("TCP6")))
		return PROXY_BAD;
	return read_pair(rest, four ? AF_INET : AF_INET6, header) ? PROXY_DONE : PROXY_BAD;
}

/* ---- version 2 */

#define V2_HEAD		 16u
#define TLV_HEAD	 3u
#define TLV_SSL		 0x20u
#define SSL_HEAD	 5u /* a byte of bits, four of the verification's result: 0 is right */
#define SSL_BY_TLS	 0x01u
#define SSL_CERT_CONN	 0x02u /* a certificate was shown on this connection */
#define SSL_CERT_SESSION 0x04u /* or on one that the session was begun with */
#define TLV_COMMON_NAME	 0x22u
#define COMMAND_LOCAL	 0x20u
#define COMMAND_PROXY	 0x21u

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* By the byte of family and transport: how long a pair of addresses is. */
static const struct {
	uint8_t byte;
	uint8_t len;
	int family;
} pairs[] = {
    {0x00, 0, AF_UNSPEC},  {0x11, 12, AF_INET},	  {0x21, 36, AF_INET6},	  {0x31, 216, AF_UNIX},
    {0x12, 12, AF_UNSPEC}, {0x22, 36, AF_UNSPEC}, {0x32, 216, AF_UNSPEC},
};

static size_t length_at(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

struct tlv {
	uint8_t type;
	struct slice value;
};

static bool next_tlv(struct slice *rest, struct tlv *tlv)
{
	if (rest->len < TLV_HEAD || length_at(rest->at + 1) > rest->len - TLV_HEAD)
		return false;
	tlv->type = rest->at[0];
	tlv->value = slice_of(rest->at + TLV_HEAD, length_at(rest->at + 1));
	*rest = slice_after(*rest, TLV_HEAD + tlv->value.len);
	return true;
}

static bool read_ssl(struct slice value, struct proxy_header *header)
{
	static const uint8_t right[SSL_HEAD - 1];
	bool named = false;
	struct tlv tlv;

	if (value.len < SSL_HEAD)
		return false;
	header->over_tls = value.at[0] & SSL_BY_TLS;
	header->verified = header->over_tls && (value.at[0] & (SSL_CERT_CONN | SSL_CERT_SESSION)) &&
			   memcmp(value.at + 1, right, sizeof(right)) == 0;
	for (struct slice rest = slice_after(value, SSL_HEAD); rest.len > 0;) {
		if (!next_tlv(&rest, &tlv) || (tlv.type == TLV_COMMON_NAME && named))
			return false;
		if (tlv.type != TLV_COMMON_NAME)
			continue;
		named = true;
		header->common_name = header->verified ? tlv.value : SLICE_NONE;
	}
	return true;
}

static bool read_tlvs(struct slice rest, struct proxy_header *header)
{
	bool seen = false;
	struct tlv tlv;

	while (rest.len > 0) {
		if (!next_tlv(&rest, &tlv) || (tlv.type == TLV_SSL && seen))
			return false;
		if (tlv.type != TLV_SSL)
			continue;
		seen = true;
		if (!read_ssl(tlv.value, header))
			return false;
	}
	return true;
}

/* Addresses and ports are in the order of the network, as in a sockaddr. */
static void take_peer(struct proxy_header *header, const uint8_t *at, int family)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	header->has_peer = family == AF_INET || family == AF_INET6;
	if (family == AF_INET) {
		memcpy(&four.sin_addr, at, 4);
		memcpy(&four.sin_port, at + 8, 2);
		memcpy(&header->peer, &four, sizeof(four));
	} else if (family == AF_INET6) {
		memcpy(&six.sin6_addr, at, 16);
		memcpy(&six.sin6_port, at + 32, 2);
		memcpy(&header->peer, &six, sizeof(six));
	}
}

static bool read_body(struct slice body, uint8_t pair, struct proxy_header *header)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (pairs[i].byte != pair)
			continue;
		struct proxy_header told = {.len = header->len};

		if (body.len < pairs[i].len || !read_tlvs(slice_after(body, pairs[i].len), &told))
			return false;
		take_peer(&told, body.at, pairs[i].family);
		*header = told;
		return true;
	}
	return false;
}

static enum proxy_step read_v2(struct slice bytes, struct proxy_header *header)
{
	size_t known = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);

	if (memcmp(bytes.at, signature, known) != 0)
		return PROXY_BAD;
	if (bytes.len < V2_HEAD)
		return PROXY_MORE;
	uint8_t command = bytes.at[12];
	size_t len = V2_HEAD + length_at(bytes.at + 14);

	if ((command != COMMAND_LOCAL && command != COMMAND_PROXY) || len > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (bytes.len < len)
		return PROXY_MORE;
	header->len = len;
	/* Of a connection of its own the balancer says nothing about a client, whatever stands
	 * there. */
	if (command == COMMAND_LOCAL)
		return PROXY_DONE;
	struct slice body = slice_of(bytes.at + V2_HEAD, len - V2_HEAD);

	return read_body(body, bytes.at[13], header) ? PROXY_DONE : PROXY_BAD;
}

enum proxy_step proxy_header_read(struct slice bytes, unsigned version, struct proxy_header *header)
{
	*header = (struct proxy_header){0};
	if (bytes.len == 0)
		return PROXY_MORE;
	return version == 1 ? read_v1(bytes, header) : read_v2(bytes, header);
}
