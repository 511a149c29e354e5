/*
 * The Eclipse Paho C library, with its file persistence, as a client of the chaos test; README.md
 * has the protocol.
 *
 * usage: client_paho_c pub|sub PORT CLIENT_ID SEED VERSION FOLDER
 *
 * The library calls back on a thread of its own, holding its lock, so callbacks write lines or
 * leave notes, and the loop of main() does the rest.
 */
#include <MQTTClient.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	LONGEST_DELAY_MS = 300,
	TICK_MS = 10,
	IDENTIFIERS = 65536,
	LINE_LEN = 1024,
	WAITING = 64,
	CONNECT_TIMEOUT_S = 3,
	CHAOS_FAIL = 1
};

struct order {
	char line[LINE_LEN];
};

static MQTTClient client;
static bool is_sub;
static bool connected;
static bool wanted = true;
static long long next_try_ms;
static unsigned seed;

/* Written by callbacks. */
static atomic_bool link_lost;
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static int done[IDENTIFIERS];
static size_t done_count;

/* The number of the message that a packet identifier stands for. */
static long number_of[IDENTIFIERS];

/* Orders to publish that have not been handed to the library: a ring. */
static struct order waiting[WAITING];
static size_t waiting_first, waiting_count;

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void try_later(void)
{
	next_try_ms = now_ms() + rand_r(&seed) % LONGEST_DELAY_MS;
}

static void on_lost(void *unused, char *cause)
{
	(void)unused;
	(void)cause;
	atomic_store(&link_lost, true);
}

static int on_message(void *unused, char *topic, int topic_len, MQTTClient_message *message)
{
	(void)unused;
	(void)topic_len;
	printf("R %d %s %.*s\n", message->retained, topic, message->payloadlen,
	       (const char *)message->payload);
	MQTTClient_freeMessage(&message);
	MQTTClient_free(topic);
	return 1;
}

static void on_delivered(void *unused, MQTTClient_deliveryToken identifier)
{
	(void)unused;
	pthread_mutex_lock(&done_lock);
	if (done_count < IDENTIFIERS)
		done[done_count++] = identifier;
	pthread_mutex_unlock(&done_lock);
}

static void tell_done(void)
{
	pthread_mutex_lock(&done_lock);
	for (size_t i = 0; i < done_count; i++)
		printf("A %ld\n", number_of[done[i]]);
	done_count = 0;
	pthread_mutex_unlock(&done_lock);
}

static void disconnected(void)
{
	if (connected)
		puts("D");
	connected = false;
	try_later();
}

static void try_connect(void)
{
	MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;

	options.MQTTVersion = MQTTVERSION_3_1_1;
	options.cleansession = 0;
	options.reliable = 0;
	options.keepAliveInterval = 30;
	options.connectTimeout = CONNECT_TIMEOUT_S;
	options.maxInflightMessages = WAITING;
	atomic_store(&link_lost, false);
	if (MQTTClient_connect(client, &options) != MQTTCLIENT_SUCCESS) {
		try_later();
		return;
	}
	if (is_sub && !options.returned.sessionPresent &&
	    MQTTClient_subscribe(client, "chaos/#", 2) != MQTTCLIENT_SUCCESS) {
		MQTTClient_disconnect(client, 0);
		try_later();
		return;
	}
	connected = true;
	printf("C %d\n", options.returned.sessionPresent);
}

/* `P NUMBER TOPIC QOS RETAIN PAYLOAD`; false when the library cannot take it now. */
static bool publish(const char *line)
{
	static char topic[LINE_LEN], payload[LINE_LEN];
	MQTTClient_message message = MQTTClient_message_initializer;
	MQTTClient_deliveryToken identifier;
	long number;

	if (sscanf(line, "P %ld %1023s %d %d %1023s", &number, topic, &message.qos,
		   &message.retained, payload) != 5) {
		printf("E cannot read the order\n");
		exit(CHAOS_FAIL);
	}
	message.payload = payload;
	message.payloadlen = (int)strlen(payload);
	if (MQTTClient_publishMessage(client, topic, &message, &identifier) != MQTTCLIENT_SUCCESS)
		return false;
	number_of[identifier] = number;
	return true;
}

static void publish_waiting(void)
{
	while (connected && waiting_count > 0 && publish(waiting[waiting_first].line)) {
		waiting_first = (waiting_first + 1) % WAITING;
		waiting_count--;
	}
}

static void obey(const char *line)
{
	if (line[0] == 'P') {
		if (waiting_count == WAITING) {
			printf("E more orders than fit\n");
			exit(CHAOS_FAIL);
		}
		struct order *last = &waiting[(waiting_first + waiting_count++) % WAITING];
		snprintf(last->line, sizeof(last->line), "%s", line);
	} else if (strcmp(line, "away") == 0) {
		wanted = false;
		if (connected)
			MQTTClient_disconnect(client, 1000);
		disconnected();
	} else if (strcmp(line, "back") == 0) {
		wanted = true;
		next_try_ms = 0;
	}
}

/* Takes what there is of orders; false at their end. */
static bool read_orders(void)
{
	static char buffer[64 * LINE_LEN];
	static size_t len;
	ssize_t got = read(STDIN_FILENO, buffer + len, sizeof(buffer) - len);
	char *end, *begin = buffer;

	if (got <= 0)
		return false;
	len += (size_t)got;
	while ((end = memchr(begin, '\n', len - (size_t)(begin - buffer)))) {
		*end = '\0';
		obey(begin);
		begin = end + 1;
	}
	len -= (size_t)(begin - buffer);
	memmove(buffer, begin, len);
	return true;
}

int main(int argc, char **argv)
{
	char uri[64];

	if (argc != 7)
		return CHAOS_FAIL;
	is_sub = strcmp(argv[1], "sub") == 0;
	seed = (unsigned)strtoul(argv[4], NULL, 10);
	snprintf(uri, sizeof(uri), "tcp://127.0.0.1:%s", argv[2]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (MQTTClient_create(&client, uri, argv[3], MQTTCLIENT_PERSISTENCE_DEFAULT, argv[6]) !=
		MQTTCLIENT_SUCCESS ||
	    MQTTClient_setCallbacks(client, NULL, on_lost, on_message, on_delivered) !=
		MQTTCLIENT_SUCCESS)
		return CHAOS_FAIL;

	for (;;) {
		struct pollfd orders = {.fd = STDIN_FILENO, .events = POLLIN};

		if (connected && atomic_load(&link_lost))
			disconnected();
		if (wanted && !connected && now_ms() >= next_try_ms)
			try_connect();
		publish_waiting();
		tell_done();
		if (poll(&orders, 1, TICK_MS) > 0 && !read_orders())
			return 0;
	}
}
