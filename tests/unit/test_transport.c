/* Transports as values: lists of networks; what settings make; a stream with the user of its peer.
 */
#include "broker/core/arena.h"
#include "broker/net/listener.h"
#include "broker/net/networks.h"
#include "broker/net/tcp.h"
#include "broker/net/transport.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

Suite *transport_suite(void);

static struct failure failure;
static struct listener listener;

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *four = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

	if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
		address.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
		address.ss_family = AF_INET6;
	return address;
}

static const struct {
	const char *networks, *address;
	bool inside;
} members[] = {
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"192.0.2.7", "::ffff:192.0.2.7", true},
    {"::ffff:192.0.2.7", "192.0.2.7", true},
    {"10.0.0.0/8 2001:db8::/33", "10.255.0.1", true},
    {"10.0.0.0/8 2001:db8::/33", "11.0.0.1", false},
    {"10.0.0.0/8 2001:db8::/33", "2001:db8:7fff::1", true},
    {"10.0.0.0/8 2001:db8::/33", "2001:db8:8000::1", false},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"0.0.0.0/0", "255.255.255.255", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "192.0.2.1", true},
    {"::1", "a Unix socket", false},
    {"", "192.0.2.1", false},
};

START_TEST(networks_hold_addresses)
{
	struct sockaddr_storage address = address_of(members[_i].address);
	struct networks networks;

	ck_assert_msg(networks_read(&networks, members[_i].networks, &failure), "%s", failure.text);
	ck_assert_msg(networks_hold(&networks, &address) == members[_i].inside, "%s in %s",
		      members[_i].address, members[_i].networks);
}
END_TEST

static const char *const no_networks[] = {
    "192.0.2",	    "192.0.2.0/33",
    "192.0.2.0/",   "::/129",
    "192.0.2.0/-1", "192.0.2.0/8x",
    "host.example", "2001:db8::/999999999999",
    "192.0.2.7 :",  "0123456789012345678901234567890123456789012345678901234567890123456789",
};

START_TEST(networks_that_are_none)
{
	struct networks networks;

	ck_assert(!networks_read(&networks, no_networks[_i], &failure));
	ck_assert_msg(strstr(failure.text, "is not a network"), "%s", failure.text);
}
END_TEST

START_TEST(more_networks_than_there_is_room)
{
	char text[NETWORKS_MAX * 12 + 16] = "";
	struct networks networks;

	for (unsigned i = 0; i < NETWORKS_MAX; i++)
		strcat(text, "192.0.2.1 ");
	ck_assert(networks_read(&networks, text, &failure));
	strcat(text, "192.0.2.1");
	ck_assert(!networks_read(&networks, text, &failure));
}
END_TEST

START_TEST(plain_tcp_needs_no_transport)
{
	struct transport_settings settings = {.ws = {.headers_size = 4096}};
	struct transport *transport = (struct transport *)&settings;

	ck_assert(transport_create(&settings, &transport, &failure));
	ck_assert_ptr_null(transport);
	transport_release(NULL);
}
END_TEST

START_TEST(transports_live_as_long_as_somebody_needs_them)
{
	struct transport_settings settings = {
	    .ws = {.on = true, .headers_size = 4096, .origins = "https://a.example"}};
	struct transport *transport = NULL;
	struct stream stream;
	struct arena arena;
	int pair[2];

	arena_init(&arena);
	ck_assert(transport_create(&settings, &transport, &failure));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert(transport_open(transport, &listener, pair[0], &stream));
	ck_assert(stream.opening);
	stream_adopt(&stream, arena_shelf(&arena));
	ck_assert_ptr_null(transport_tls(transport));
	transport_release(transport);
	static uint8_t room[STREAM_READ_MIN];

	ck_assert_int_eq(write(pair[1], "POST / HTTP/1.1\r\n\r\n", 19), 19);
	ck_assert_int_eq(stream.class->read(&stream, room, sizeof(room)), STREAM_DONE);
	stream.class->finish(&stream);
	stream.class->close(&stream);
	ck_assert_int_gt(read(pair[1], room, sizeof(room)), 0);
	ck_assert_int_eq(memcmp(room, "HTTP/1.1 405", 12), 0);
	ck_assert_uint_eq(arena_finish(&arena), 0);
	close(pair[1]);
}
END_TEST

START_TEST(the_user_of_a_unix_socket)
{
	struct transport_settings settings = {.uid_identity = true};
	struct transport *transport = NULL;
	struct stream stream;
	char uid[16];
	int pair[2];

	snprintf(uid, sizeof(uid), "%u", getuid());
	ck_assert(transport_create(&settings, &transport, &failure));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert(transport_open(transport, &listener, pair[0], &stream));
	const struct identity *identity = stream.class->identity(&stream);

	ck_assert_int_eq(identity->kind, IDENTITY_UID);
	ck_assert(slice_equal(identity->name, slice_text(uid)));
	stream.class->close(&stream);
	close(pair[1]);
	int tcp = socket(AF_INET, SOCK_STREAM, 0); /* the kernel knows no user there */

	ck_assert(!transport_open(transport, &listener, tcp, &stream));
	close(tcp);
	transport_release(transport);
}
END_TEST

/* A UDP socket tells of a peer that nothing was sent to.  -1: no way there is known here. */
static int connected_to(const char *text)
{
	struct sockaddr_storage address = address_of(text);
	struct sockaddr_in *four = (struct sockaddr_in *)&address;
	socklen_t len = sizeof(struct sockaddr_in6);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	four->sin_port = htons(9); /* at the same place in both */
	if (address.ss_family == AF_INET)
		len = sizeof(struct sockaddr_in);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, len) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool opens_for(struct transport *transport, int fd)
{
	struct stream stream;

	if (!transport_open(transport, &listener, fd, &stream)) {
		close(fd);
		return false;
	}
	ck_assert(stream.opening);
	stream.class->close(&stream);
	return true;
}

static const struct {
	const char *from, *address;
	bool taken;
} balancers[] = {
    {NULL, "127.0.0.1", true},
    {NULL, "127.255.0.7", true},
    {NULL, "::1", true},
    {NULL, "::ffff:127.0.0.1", true},
    {NULL, "192.0.2.1", false},
    {NULL, "2001:db8::1", false},
    {"192.0.2.0/24", "192.0.2.1", true},
    {"192.0.2.0/24", "127.0.0.1", false},
};

/* Without a list they are on this machine. */
START_TEST(where_balancers_are)
{
	struct transport_settings settings = {.proxy = {.version = 2, .from = balancers[_i].from}};
	struct transport *transport = NULL;
	int pair[2];
	int fd = connected_to(balancers[_i].address);

	ck_assert(transport_create(&settings, &transport, &failure));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert(opens_for(transport, pair[0]));
	close(pair[1]);
	if (fd >= 0)
		ck_assert_msg(opens_for(transport, fd) == balancers[_i].taken, "%s",
			      balancers[_i].address);
	transport_release(transport);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *transport_suite(void)
{
	Suite *suite = suite_create("transport");
	TCase *networks = tcase_create("networks");
	TCase *transport = tcase_create("transport");

	tcase_add_loop_test(networks, networks_hold_addresses, 0, ROWS(members));
	tcase_add_loop_test(networks, networks_that_are_none, 0, ROWS(no_networks));
	tcase_add_test(networks, more_networks_than_there_is_room);
	tcase_add_test(transport, plain_tcp_needs_no_transport);
	tcase_add_test(transport, transports_live_as_long_as_somebody_needs_them);
	tcase_add_test(transport, the_user_of_a_unix_socket);
	tcase_add_loop_test(transport, where_balancers_are, 0, ROWS(balancers));
	suite_add_tcase(suite, networks);
	suite_add_tcase(suite, transport);
	return suite;
}
