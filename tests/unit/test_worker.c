/*
 * Workers with real sockets: links find their home, messages cross, the census counts
 * each client once, and a stop tells everybody and ends.
 */
#include "broker/worker.h"
#include "auth/auth.h"
#include "broker/census.h"
#include "broker/core/budget.h"
#include "broker/net/listener.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

Suite *worker_suite(void);

#define WORKERS 3
#define CLIENTS 24

static const struct core_settings core_settings = {.connect_timeout_ms = 5000,
						   .connect_bytes_max = 65536,
						   .session_expiry_max_s = 1000,
						   .sessions_max = 1000,
						   .max_inflight_messages = 100,
						   .max_inflight_bytes = 1 << 20,
						   .max_queued_messages = 1000,
						   .max_queued_bytes = 1 << 20,
						   .receive_maximum = 100,
						   .retain_available = true,
						   .max_retained_messages = 1000,
						   .max_retained_bytes = 1 << 20,
						   .max_packet_size = 1 << 20,
						   .rate_publish_messages = UINT32_MAX,
						   .rate_publish_bytes = UINT32_MAX,
						   .rate_address_messages = UINT32_MAX,
						   .rate_address_bytes = UINT32_MAX,
						   .rate_reconnect = UINT32_MAX,
						   .message_size_limit = 1 << 20,
						   .max_subscriptions = 1000,
						   .memory_limit = 1 << 28};

static const struct listener_settings listener_settings = {.accept_3_1_1 = true,
							   .accept_5_0 = true,
							   .max_qos = 2,
							   .allow_anonymous = true,
							   .allow_zero_length_client_id = true};

/* All that a small broker needs. */
struct house {
	struct budget budget;
	struct connection_limit all;
	struct listener listener;
	struct worker workers[WORKERS];
	int bell;
};

static enum auth_verdict let_in(struct auth *auth, const struct auth_request *request,
				struct auth_answer *answer)
{
	(void)auth;
	(void)request;
	(void)answer;
	return AUTH_ALLOW;
}

static void open_house(struct house *house)
{
	static struct auth auth = {.check = let_in};
	struct failure failure;
	struct listener_place place = {.address = "127.0.0.1"};
	struct shard_setup setup = {.parties = WORKERS,
				    .hash_key = {1, 2, 3},
				    .settings = &core_settings,
				    .auth = &auth,
				    .budget = &house->budget};

	*house = (struct house){.bell = eventfd(0, 0)};
	budget_init(&house->budget, core_settings.memory_limit);
	atomic_init(&house->all.max, UINT32_MAX);
	house->listener.all = &house->all;
	atomic_init(&house->listener.limit.max, UINT32_MAX);
	atomic_init(&house->listener.settings, &listener_settings);
	ck_assert_msg(listener_open(&house->listener, &place, WORKERS, &failure), "%s",
		      failure.text);
	for (setup.party = 0; setup.party < WORKERS; setup.party++) {
		setup.seed[0] = (uint8_t)setup.party;
		ck_assert_msg(worker_init(house->workers, &setup, &failure), "%s", failure.text);
		worker_add_listener(&house->workers[setup.party], &house->listener);
	}
	for (size_t i = 0; i < WORKERS; i++)
		ck_assert(worker_start(&house->workers[i],
				       &(struct worker_needs){.end_bell = house->bell}, &failure));
}

static void tell_all(struct house *house, enum command_type type, struct census *census)
{
	for (size_t i = 0; i < WORKERS; i++) {
		struct command *command = command_create(type, SLICE_NONE, SLICE_NONE);

		command->census = census;
		worker_tell(&house->workers[i], command);
	}
}

/* After COMMAND_STOP. */
static void close_house(struct house *house)
{
	eventfd_t rings;
	size_t ended = 0;

	while (ended < WORKERS) {
		ck_assert_int_eq(eventfd_read(house->bell, &rings), 0);
		ended += rings;
	}
	for (size_t i = 0; i < WORKERS; i++) {
		ck_assert(worker_ended(&house->workers[i]));
		worker_join(&house->workers[i]);
	}
	for (size_t i = 0; i < WORKERS; i++)
		worker_finish(&house->workers[i]);
	ck_assert(budget_finish(&house->budget));
	ck_assert_uint_eq(atomic_load(&house->all.open), 0);
	listener_close(&house->listener);
	close(house->bell);
}

/* ---- a client of few words */

static void send_bytes(int fd, const void *at, size_t len)
{
	ck_assert_int_eq(send(fd, at, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void expect_bytes(int fd, const void *at, size_t len)
{
	uint8_t got[64];

	ck_assert_uint_le(len, sizeof(got));
	ck_assert_int_eq(recv(fd, got, len, MSG_WAITALL), (ssize_t)len);
	ck_assert_mem_eq(got, at, len);
}

/* CONNECT of MQTT 3.1.1 with a client identifier of 3 bytes; clean session. */
static int connect_client(const struct house *house, unsigned number)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(house->listener.port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t packet[] = {0x10, 15, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 3, 'c', '0', '0'};
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	packet[15] = (uint8_t)('0' + number / 10);
	packet[16] = (uint8_t)('0' + number % 10);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	send_bytes(fd, packet, sizeof(packet));
	expect_bytes(fd, "\x20\x02\x00\x00", 4);
	return fd;
}

static size_t count_census(struct house *house)
{
	struct census *census = census_create(WORKERS);
	size_t count;

	tell_all(house, COMMAND_CENSUS, census);
	ck_assert(census_wait(census, 10000));
	census_clients(census, &count);
	census_release(census);
	return count;
}

START_TEST(everybody_hears_everybody)
{
	static struct house house;
	int clients[CLIENTS];

	open_house(&house);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = connect_client(&house, i);
		send_bytes(clients[i], "\x82\x06\x00\x01\x00\x01t\x00", 8);
		expect_bytes(clients[i], "\x90\x03\x00\x01\x00", 5);
	}
	ck_assert_uint_eq(count_census(&house), CLIENTS);
	/* In turns, so that the order is known. */
	for (unsigned i = 0; i < CLIENTS; i++) {
		send_bytes(clients[i], "\x30\x04\x00\x01t!", 6);
		for (unsigned j = 0; j < CLIENTS; j++)
			expect_bytes(clients[j], "\x30\x04\x00\x01t!", 6);
	}
	/* The broker's own messages. */
	worker_tell(&house.workers[0],
		    command_create(COMMAND_PUBLISH, SLICE_LITERAL("t"), SLICE_LITERAL("$")));
	for (unsigned j = 0; j < CLIENTS; j++)
		expect_bytes(clients[j], "\x30\x04\x00\x01t$", 6);
	tell_all(&house, COMMAND_STOP, NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		uint8_t byte;

		/* MQTT 3.1.1 has no DISCONNECT of the server's: an orderly end of the stream. */
		ck_assert_int_eq(recv(clients[i], &byte, 1, 0), 0);
		close(clients[i]);
	}
	close_house(&house);
}
END_TEST

/* Connections in every state do not keep the workers from ending. */
START_TEST(stop_in_the_middle)
{
	static struct house house;
	int clients[CLIENTS];

	open_house(&house);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = connect_client(&house, i);
		/* Half of a packet. */
		send_bytes(clients[i], "\x30\x7f\x00", 3);
	}
	tell_all(&house, COMMAND_STOP, NULL);
	close_house(&house);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i]);
}
END_TEST

Suite *worker_suite(void)
{
	Suite *suite = suite_create("worker");
	TCase *tests = tcase_create("worker");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, everybody_hears_everybody);
	tcase_add_test(tests, stop_in_the_middle);
	suite_add_tcase(suite, tests);
	return suite;
}
