/* The small parts of the network shell: numbers of links, deadlines, listeners, streams. */
#include "broker/net/half_open.h"
#include "broker/net/link.h"
#include "broker/net/listener.h"
#include "broker/net/patience.h"
#include "broker/net/peer.h"
#include "broker/net/tcp.h"
#include "tests/unit/packets.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

Suite *net_suite(void);

static struct failure failure;

/* ---- link */

START_TEST(link_numbers_are_dense)
{
	struct link_table table;
	uint32_t number;

	link_table_init(&table);
	for (uint32_t i = 0; i < 2 * LINK_PAGE + 1; i++) {
		link_table_take(&table, &number);
		ck_assert_uint_eq(number, i);
	}
	const struct link *kept = link_table_at(&table, 7);

	link_table_free(&table, 300);
	link_table_free(&table, 5);
	link_table_take(&table, &number);
	ck_assert_uint_eq(number, 5);
	link_table_take(&table, &number);
	ck_assert_uint_eq(number, 300);
	ck_assert_ptr_eq(link_table_at(&table, 7), kept);
	ck_assert_uint_eq(link_table_end(&table), 3 * LINK_PAGE);
	for (uint32_t i = 0; i < 2 * LINK_PAGE + 1; i++)
		link_table_free(&table, i);
	link_table_finish(&table);
}
END_TEST

/* A deadline of an earlier use of the number must be recognisable. */
START_TEST(link_serial_changes)
{
	struct link_table table;
	uint32_t number;

	link_table_init(&table);
	uint32_t serial = link_table_take(&table, &number)->serial;

	link_table_free(&table, number);
	ck_assert_uint_ne(link_table_take(&table, &number)->serial, serial);
	ck_assert_uint_eq(number, 0);
	link_table_free(&table, number);
	link_table_finish(&table);
}
END_TEST

/* ---- patience */

START_TEST(patience_in_order)
{
	struct patience patience = {0};
	struct patience_entry entry;
	uint32_t next = 0;
	uint32_t added = 0;

	ck_assert_uint_eq(patience_next(&patience), UINT64_MAX);
	/* Adds three and takes two, so that the ring wraps around and grows while it does. */
	for (uint64_t now_ms = 0; now_ms < 1000; now_ms++) {
		for (int i = 0; i < 3; i++)
			patience_add(&patience, (struct patience_entry){now_ms, added++, 0});
		for (int i = 0; i < 2; i++) {
			ck_assert(patience_due(&patience, now_ms, &entry));
			ck_assert_uint_eq(entry.link, next++);
		}
	}
	while (patience_due(&patience, UINT64_MAX, &entry))
		ck_assert_uint_eq(entry.link, next++);
	ck_assert_uint_eq(next, added);
	patience_finish(&patience);
}
END_TEST

START_TEST(patience_waits)
{
	struct patience patience = {0};
	struct patience_entry entry;

	patience_add(&patience, (struct patience_entry){100, 1, 0});
	patience_add(&patience, (struct patience_entry){200, 2, 0});
	ck_assert(!patience_due(&patience, 99, &entry));
	ck_assert(patience_due(&patience, 100, &entry));
	ck_assert_uint_eq(entry.link, 1);
	ck_assert(!patience_due(&patience, 199, &entry));
	ck_assert_uint_eq(patience_next(&patience), 200);
	patience_finish(&patience);
}
END_TEST

/* ---- addresses */

static const struct {
	const char *from, *counts_as;
} froms[] = {
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
    {"::ffff:192.0.2.7", "::ffff:192.0.2.7"},
    {"::1", "::1"}, /* not as none: this machine's clients are limited as those of 127.0.0.1 */
    {"::", "::"},
};

START_TEST(addresses_count_as)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6};
	struct in6_addr expected;
	uint8_t address[PEER_ADDRESS_SIZE];

	ck_assert_int_eq(inet_pton(AF_INET6, froms[_i].from, &from.sin6_addr), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, froms[_i].counts_as, &expected), 1);
	peer_address((const struct sockaddr *)&from, address);
	ck_assert_mem_eq(address, &expected, sizeof(address));
}
END_TEST

/* ---- half open */

START_TEST(half_open_by_address)
{
	static struct half_open half_open;
	const uint8_t key[HASH_KEY_SIZE] = {1};
	const uint8_t here[PEER_ADDRESS_SIZE] = {1}, there[PEER_ADDRESS_SIZE] = {2};
	uint16_t place = 0, other = 0;

	half_open_init(&half_open, key, 2);
	ck_assert(half_open_enter(&half_open, here, &place));
	ck_assert(half_open_enter(&half_open, here, &place));
	ck_assert(!half_open_enter(&half_open, here, &place));
	ck_assert(half_open_enter(&half_open, there, &other));
	ck_assert_uint_ne(place, other);
	half_open_leave(&half_open, place);
	ck_assert(half_open_enter(&half_open, here, &place));
	atomic_store(&half_open.max, 1);
	half_open_leave(&half_open, place);
	ck_assert(!half_open_enter(&half_open, here, &place));
}
END_TEST

/* A balancer's connections without a header have a limit of their own, and do not count as its. */
START_TEST(half_open_of_a_balancer)
{
	static struct half_open half_open;
	const uint8_t key[HASH_KEY_SIZE] = {1}, here[PEER_ADDRESS_SIZE] = {1};
	uint16_t place = 0, own = 0;

	half_open_init(&half_open, key, 2);
	for (unsigned i = 0; i < HALF_OPEN_UNTOLD; i++)
		ck_assert(half_open_enter_untold(&half_open, here, &place));
	ck_assert(!half_open_enter_untold(&half_open, here, &place));
	ck_assert(half_open_enter(&half_open, here, &own));
	ck_assert_uint_ne(place, own);
	atomic_store(&half_open.max, HALF_OPEN_UNTOLD + 1);
	ck_assert(half_open_enter_untold(&half_open, here, &place));
	ck_assert(!half_open_enter_untold(&half_open, here, &place));
}
END_TEST

/* From when the balancer has told on, a connection counts where it comes from, and only there. */
START_TEST(half_open_moves_when_it_is_told)
{
	static struct half_open half_open;
	const uint8_t key[HASH_KEY_SIZE] = {1}, here[PEER_ADDRESS_SIZE] = {1};
	const uint8_t there[PEER_ADDRESS_SIZE] = {2}, unknown[PEER_ADDRESS_SIZE] = {0};
	struct listener listener = {.half_open = &half_open};
	struct peer_count counts[3] = {0};

	half_open_init(&half_open, key, 2);
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		counts[i].counted = half_open_enter_untold(&half_open, here, &counts[i].place);
		ck_assert(counts[i].counted);
	}
	const uint16_t untold = counts[0].place;

	ck_assert(peer_told(&listener, unknown, &counts[0])); /* the balancer's own */
	ck_assert_uint_eq(half_open.counts[untold], 3);
	ck_assert(peer_told(&listener, there, &counts[0]));
	ck_assert(peer_told(&listener, there, &counts[1]));
	ck_assert(!peer_told(&listener, there, &counts[2]));
	ck_assert_uint_eq(half_open.counts[untold], 0);
	ck_assert_uint_eq(half_open.counts[counts[0].place], 2);
	ck_assert(!counts[2].counted);
	ck_assert_uint_eq(listener.turned_away, 1);
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		peer_count_out(&listener, &counts[i]);
	ck_assert_uint_eq(half_open.counts[counts[0].place], 0);
}
END_TEST

/* ---- listener */

static struct connection_limit all;

static struct listener new_listener(void)
{
	struct listener listener = {.all = &all};

	atomic_init(&listener.limit.max, UINT32_MAX);
	return listener;
}

static int dial(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

START_TEST(listener_of_several_workers)
{
	struct listener listener = new_listener();
	struct listener_place place = {.address = "127.0.0.1"};

	ck_assert_msg(listener_open(&listener, &place, 3, &failure), "%s", failure.text);
	ck_assert_uint_ne(listener.port, 0);
	ck_assert_uint_eq(listener.address_count, 1);
	ck_assert(listener.loopback);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_ge(listener_socket(&listener, 0, i), 0);
	close(dial(listener.port));
	listener_close(&listener);
}
END_TEST

/* Without an address: 0.0.0.0 and, where there is IPv6, [::]; on the same port. */
START_TEST(listener_dual_stack)
{
	struct listener listener = new_listener();
	struct listener_place place = {.socket_domain = AF_UNSPEC};

	ck_assert_msg(listener_open(&listener, &place, 1, &failure), "%s", failure.text);
	ck_assert(!listener.loopback);
	ck_assert_uint_ge(listener.address_count, 1);
	close(dial(listener.port));
	listener_close(&listener);
}
END_TEST

/* A second broker of the same user is refused, though both would set SO_REUSEPORT. */
START_TEST(listener_port_in_use)
{
	struct listener first = new_listener();
	struct listener second = new_listener();
	struct listener_place place = {.address = "127.0.0.1"};

	ck_assert(listener_open(&first, &place, 2, &failure));
	place.port = first.port;
	ck_assert(!listener_open(&second, &place, 2, &failure));
	ck_assert_msg(strstr(failure.text, "in use"), "%s", failure.text);
	ck_assert(!second.absent);
	listener_close(&first);
	ck_assert_msg(listener_open(&second, &place, 2, &failure), "%s", failure.text);
	listener_close(&second);
}
END_TEST

START_TEST(listener_elsewhere)
{
	struct listener listener = new_listener();
	struct listener_place place = {.port = 18999, .address = "192.0.2.1"};

	ck_assert(!listener_open(&listener, &place, 1, &failure));
	ck_assert_msg(strstr(failure.text, "not on this machine"), "%s", failure.text);
	ck_assert(listener.absent);
	place.bind_interface = "no-such-if";
	ck_assert(!listener_open(&listener, &place, 1, &failure));
	ck_assert_msg(strstr(failure.text, "no-such-if"), "%s", failure.text);
}
END_TEST

/* A socket from outside is used when port and address fit, by all workers, and no other is opened.
 */
START_TEST(listener_takes_inherited)
{
	struct listener outside = new_listener();
	struct listener listener = new_listener();
	struct listener_place place = {.address = "127.0.0.1"};
	char name[LISTENER_NAME_SIZE];

	ck_assert(listener_open(&outside, &place, 1, &failure));
	int fds[] = {-1, dup(listener_socket(&outside, 0, 0))};

	listener_name_socket(fds[1], name);
	ck_assert_str_eq(name, outside.names[0]);
	place.inherited = fds;
	place.inherited_count = 2;
	place.address = "127.0.0.2";
	place.port = outside.port;
	ck_assert_msg(listener_open(&listener, &place, 1, &failure), "%s", failure.text);
	ck_assert(!listener.inherited);
	listener_close(&listener);
	listener = new_listener();
	place.address = "127.0.0.1";
	ck_assert_msg(listener_open(&listener, &place, 2, &failure), "%s", failure.text);
	ck_assert(listener.inherited);
	ck_assert_int_eq(fds[1], -1);
	ck_assert_uint_eq(listener.address_count, 1);
	int client = dial(outside.port);

	ck_assert_int_ge(accept(listener_socket(&listener, 0, 1), NULL, NULL), 0);
	close(client);
	listener_close(&listener);
	listener_close(&outside);
}
END_TEST

START_TEST(limit_counts_and_refuses)
{
	struct connection_limit limit = {0};

	atomic_init(&limit.max, 2);
	ck_assert(connection_limit_enter(&limit));
	ck_assert(connection_limit_enter(&limit));
	ck_assert(!connection_limit_enter(&limit));
	ck_assert_uint_eq(atomic_load(&limit.refused), 1);
	ck_assert_uint_eq(atomic_load(&limit.open), 2);
	connection_limit_leave(&limit);
	ck_assert(connection_limit_enter(&limit));
}
END_TEST

/* ---- tcp */

static void make_pair(struct stream *one, struct stream *two)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*one = tcp_stream_of(fds[0]);
	*two = tcp_stream_of(fds[1]);
}

START_TEST(tcp_both_ways)
{
	struct stream one;
	struct stream two;
	uint8_t buffer[16];
	struct slice slices[] = {SLICE_LITERAL("ab"), SLICE_LITERAL("cde")};

	make_pair(&one, &two);
	ck_assert_int_eq(two.class->read(&two, buffer, sizeof(buffer)), STREAM_AGAIN);
	ck_assert_int_eq(one.class->write(&one, slices, 2), 5);
	ck_assert_int_eq(two.class->read(&two, buffer, sizeof(buffer)), 5);
	ck_assert_mem_eq(buffer, "abcde", 5);
	/* After finish() the peer sees the end, and can still send. */
	one.class->finish(&one);
	ck_assert_int_eq(two.class->read(&two, buffer, sizeof(buffer)), STREAM_END);
	ck_assert_int_eq(two.class->write(&two, slices, 1), 2);
	ck_assert_int_eq(one.class->read(&one, buffer, sizeof(buffer)), 2);
	two.class->close(&two);
	ck_assert_int_eq(one.class->read(&one, buffer, sizeof(buffer)), STREAM_END);
	one.class->close(&one);
}
END_TEST

/* No SIGPIPE: the write says that the peer is gone.  A full socket says so, too. */
START_TEST(tcp_gone_and_full)
{
	struct stream one;
	struct stream two;
	static uint8_t much[1 << 16];
	struct slice slice = slice_of(much, sizeof(much));
	ssize_t n;

	make_pair(&one, &two);
	while ((n = one.class->write(&one, &slice, 1)) > 0)
		;
	ck_assert_int_eq(n, STREAM_AGAIN);
	two.class->close(&two);
	ck_assert_int_eq(one.class->write(&one, &slice, 1), STREAM_GONE);
	one.class->close(&one);
}
END_TEST

Suite *net_suite(void)
{
	Suite *suite = suite_create("net");
	TCase *tests = tcase_create("net");

	tcase_add_test(tests, link_numbers_are_dense);
	tcase_add_test(tests, link_serial_changes);
	tcase_add_test(tests, patience_in_order);
	tcase_add_test(tests, patience_waits);
	tcase_add_loop_test(tests, addresses_count_as, 0, sizeof(froms) / sizeof(froms[0]));
	tcase_add_test(tests, half_open_by_address);
	tcase_add_test(tests, half_open_of_a_balancer);
	tcase_add_test(tests, half_open_moves_when_it_is_told);
	tcase_add_test(tests, listener_of_several_workers);
	tcase_add_test(tests, listener_dual_stack);
	tcase_add_test(tests, listener_port_in_use);
	tcase_add_test(tests, listener_elsewhere);
	tcase_add_test(tests, listener_takes_inherited);
	tcase_add_test(tests, limit_counts_and_refuses);
	tcase_add_test(tests, tcp_both_ways);
	tcase_add_test(tests, tcp_gone_and_full);
	suite_add_tcase(suite, tests);
	return suite;
}
