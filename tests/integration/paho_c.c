/*
 * Drives a broker with the Eclipse Paho C client library.
 *
 * usage: paho_c SCENARIO PORT VERSION TOPIC      VERSION: 3 (MQTT 3.1), 4 (3.1.1), 5 (5.0)
 *
 * Each scenario is one function in the table at the end. A check that fails prints its line and
 * exits with 1; every wait has an end. The client identifiers are made from the topic, which is new
 * for each run.
 */
#include <MQTTClient.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000, SILENCE_MS = 300, BIG_LEN = 1024 * 1024, QUEUED_COUNT = 10 };

static const char *port;
static const char *topic;
static int version;

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct link {
	MQTTClient client;
	bool session_present;
};

static void link_open(struct link *link, const char *suffix, bool clean,
		      MQTTClient_willOptions *will)
{
	char uri[64];
	char client_id[128];

	snprintf(uri, sizeof(uri), "tcp://127.0.0.1:%s", port);
	snprintf(client_id, sizeof(client_id), "%s-%s", topic, suffix);
	MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
	create.MQTTVersion = version;
	check(MQTTClient_createWithOptions(&link->client, uri, client_id,
					   MQTTCLIENT_PERSISTENCE_NONE, NULL,
					   &create) == MQTTCLIENT_SUCCESS);

	if (version == MQTTVERSION_5) {
		MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
		MQTTProperties properties = MQTTProperties_initializer;
		MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
				       .value.integer4 = 60};

		options.cleanstart = clean;
		options.will = will;
		if (!clean)
			MQTTProperties_add(&properties, &expiry);
		MQTTResponse response =
		    MQTTClient_connect5(link->client, &options, &properties, NULL);
		check(response.reasonCode == MQTTREASONCODE_SUCCESS);
		MQTTResponse_free(response);
		MQTTProperties_free(&properties);
		link->session_present = options.returned.sessionPresent;
	} else {
		MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;

		options.MQTTVersion = version;
		options.cleansession = clean;
		options.will = will;
		check(MQTTClient_connect(link->client, &options) == MQTTCLIENT_SUCCESS);
		link->session_present = options.returned.sessionPresent;
	}
}

static void link_close(struct link *link)
{
	if (version == MQTTVERSION_5)
		check(MQTTClient_disconnect5(link->client, TIMEOUT_MS, MQTTREASONCODE_SUCCESS,
					     NULL) == MQTTCLIENT_SUCCESS);
	else
		check(MQTTClient_disconnect(link->client, TIMEOUT_MS) == MQTTCLIENT_SUCCESS);
	MQTTClient_destroy(&link->client);
}

static void link_subscribe(struct link *link, const char *filter, int qos)
{
	if (version == MQTTVERSION_5) {
		MQTTResponse response =
		    MQTTClient_subscribe5(link->client, filter, qos, NULL, NULL);
		check((int)response.reasonCode == qos);
		MQTTResponse_free(response);
	} else {
		check(MQTTClient_subscribe(link->client, filter, qos) == MQTTCLIENT_SUCCESS);
	}
}

/* Publishes and waits for the end of the exchange. */
static void link_publish(struct link *link, const char *to, const void *payload, int len, int qos,
			 bool retained, MQTTProperties *properties)
{
	MQTTClient_message message = MQTTClient_message_initializer;
	MQTTClient_deliveryToken token = 0;

	message.payload = (void *)payload;
	message.payloadlen = len;
	message.qos = qos;
	message.retained = retained;
	if (version == MQTTVERSION_5) {
		if (properties)
			message.properties = *properties;
		MQTTResponse response =
		    MQTTClient_publishMessage5(link->client, to, &message, &token);
		check(response.reasonCode == MQTTREASONCODE_SUCCESS);
		MQTTResponse_free(response);
	} else {
		check(MQTTClient_publishMessage(link->client, to, &message, &token) ==
		      MQTTCLIENT_SUCCESS);
	}
	if (qos > 0)
		check(MQTTClient_waitForCompletion(link->client, token, TIMEOUT_MS) ==
		      MQTTCLIENT_SUCCESS);
}

/* Gives the next message, which the caller frees, or NULL after the time-out. */
static MQTTClient_message *link_receive(struct link *link, unsigned long timeout_ms)
{
	char *name = NULL;
	int name_len = 0;
	MQTTClient_message *message = NULL;
	int result = MQTTClient_receive(link->client, &name, &name_len, &message, timeout_ms);

	check(result == MQTTCLIENT_SUCCESS || result == MQTTCLIENT_TOPICNAME_TRUNCATED);
	if (message)
		MQTTClient_free(name);
	return message;
}

static void link_expect(struct link *link, const void *payload, int len, int qos, bool retained)
{
	MQTTClient_message *message = link_receive(link, TIMEOUT_MS);

	check(message);
	check(message->payloadlen == len);
	check(memcmp(message->payload, payload, (size_t)len) == 0);
	check(message->qos == qos);
	check(message->retained == (int)retained);
	MQTTClient_freeMessage(&message);
}

static void every_qos(void)
{
	struct link publisher, subscriber;

	link_open(&publisher, "pub", true, NULL);
	for (int granted = 0; granted <= 2; granted++) {
		link_open(&subscriber, "sub", true, NULL);
		link_subscribe(&subscriber, topic, granted);
		for (int qos = 0; qos <= 2; qos++) {
			link_publish(&publisher, topic, "a\0b", 3, qos, false, NULL);
			link_expect(&subscriber, "a\0b", 3, qos < granted ? qos : granted, false);
		}
		link_close(&subscriber);
	}
	link_close(&publisher);
}

static void big_payload(void)
{
	struct link client;
	unsigned char *payload = malloc(BIG_LEN);

	check(payload);
	for (size_t i = 0; i < BIG_LEN; i++)
		payload[i] = (unsigned char)(i * 31 >> 3);
	link_open(&client, "big", true, NULL);
	link_subscribe(&client, topic, 2);
	for (int qos = 0; qos <= 2; qos++) {
		link_publish(&client, topic, payload, BIG_LEN, qos, false, NULL);
		link_expect(&client, payload, BIG_LEN, qos, false);
	}
	link_close(&client);
	free(payload);
}

static void retained(void)
{
	struct link publisher, subscriber;

	link_open(&publisher, "pub", true, NULL);
	link_publish(&publisher, topic, "kept", 4, 1, true, NULL);
	link_open(&subscriber, "sub", true, NULL);
	link_subscribe(&subscriber, topic, 1);
	link_expect(&subscriber, "kept", 4, 1, true);
	link_publish(&publisher, topic, "", 0, 1, true, NULL);
	link_expect(&subscriber, "", 0, 1, false);
	link_close(&subscriber);
	link_open(&subscriber, "sub", true, NULL);
	link_subscribe(&subscriber, topic, 1);
	check(!link_receive(&subscriber, SILENCE_MS));
	link_close(&subscriber);
	link_close(&publisher);
}

/* Messages queued for an absent session come in order when it returns. */
static void session(void)
{
	struct link publisher, subscriber;
	char text[16];

	link_open(&subscriber, "sub", true, NULL);
	link_close(&subscriber);
	link_open(&subscriber, "sub", false, NULL);
	check(!subscriber.session_present);
	link_subscribe(&subscriber, topic, 2);
	link_close(&subscriber);

	link_open(&publisher, "pub", true, NULL);
	for (int i = 0; i < QUEUED_COUNT; i++) {
		int len = snprintf(text, sizeof(text), "%d", i);
		link_publish(&publisher, topic, text, len, 2, false, NULL);
	}
	link_open(&subscriber, "sub", false, NULL);
	check(version != MQTTVERSION_3_1_1 ||
	      subscriber.session_present); /* the library tells it there only */
	for (int i = 0; i < QUEUED_COUNT; i++) {
		int len = snprintf(text, sizeof(text), "%d", i);
		link_expect(&subscriber, text, len, 2, false);
	}
	link_close(&subscriber);
	link_open(&subscriber, "sub", true, NULL);
	check(!subscriber.session_present);
	link_close(&subscriber);
	link_close(&publisher);
}

/* A process that dies leaves its will. */
static void will(void)
{
	struct link watcher, dying;
	MQTTClient_willOptions options = MQTTClient_willOptions_initializer;
	int status;

	link_open(&watcher, "watch", true, NULL);
	link_subscribe(&watcher, topic, 1);
	fflush(NULL);
	pid_t child = fork();
	check(child >= 0);
	if (child == 0) {
		options.topicName = topic;
		options.message = "gone";
		options.qos = 1;
		link_open(&dying, "dying", true, &options);
		_exit(0);
	}
	check(waitpid(child, &status, 0) == child && status == 0);
	link_expect(&watcher, "gone", 4, 1, false);
	link_close(&watcher);
}

static MQTTProperty string_property(enum MQTTPropertyCodes code, const char *value,
				    const char *second)
{
	MQTTProperty property = {.identifier = code};

	property.value.data.data = (char *)value;
	property.value.data.len = (int)strlen(value);
	if (second) {
		property.value.value.data = (char *)second;
		property.value.value.len = (int)strlen(second);
	}
	return property;
}

static bool property_is(MQTTProperties *properties, enum MQTTPropertyCodes code, int index,
			const char *value, const char *second)
{
	MQTTProperty *found = MQTTProperties_getPropertyAt(properties, code, index);

	return found && found->value.data.len == (int)strlen(value) &&
	       memcmp(found->value.data.data, value, strlen(value)) == 0 &&
	       (!second || (found->value.value.len == (int)strlen(second) &&
			    memcmp(found->value.value.data, second, strlen(second)) == 0));
}

/* User properties in order and with a name twice; the request/response properties as they were. */
static void every_property(void)
{
	struct link client;
	MQTTProperties sent = MQTTProperties_initializer;
	const MQTTProperty list[] = {
	    string_property(MQTTPROPERTY_CODE_USER_PROPERTY, "b", "1"),
	    string_property(MQTTPROPERTY_CODE_USER_PROPERTY, "a", "2"),
	    string_property(MQTTPROPERTY_CODE_USER_PROPERTY, "b", "3"),
	    string_property(MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL),
	    string_property(MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answers/here", NULL),
	    string_property(MQTTPROPERTY_CODE_CORRELATION_DATA, "\x01\xff", NULL),
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		check(MQTTProperties_add(&sent, &list[i]) == 0);
	link_open(&client, "props", true, NULL);
	link_subscribe(&client, topic, 1);
	link_publish(&client, topic, "p", 1, 1, false, &sent);
	MQTTClient_message *message = link_receive(&client, TIMEOUT_MS);
	check(message);
	MQTTProperties *got = &message->properties;
	check(MQTTProperties_propertyCount(got, MQTTPROPERTY_CODE_USER_PROPERTY) == 3);
	check(property_is(got, MQTTPROPERTY_CODE_USER_PROPERTY, 0, "b", "1"));
	check(property_is(got, MQTTPROPERTY_CODE_USER_PROPERTY, 1, "a", "2"));
	check(property_is(got, MQTTPROPERTY_CODE_USER_PROPERTY, 2, "b", "3"));
	check(property_is(got, MQTTPROPERTY_CODE_CONTENT_TYPE, 0, "text/plain", NULL));
	check(property_is(got, MQTTPROPERTY_CODE_RESPONSE_TOPIC, 0, "answers/here", NULL));
	check(property_is(got, MQTTPROPERTY_CODE_CORRELATION_DATA, 0, "\x01\xff", NULL));
	MQTTClient_freeMessage(&message);
	MQTTProperties_free(&sent);
	link_close(&client);
}

/* Two members of a group share the messages: each goes to exactly one. */
static void shared(void)
{
	enum { COUNT = 20 };
	struct link members[2], publisher;
	char filter[160];
	bool seen[COUNT] = {false};
	int total = 0;

	snprintf(filter, sizeof(filter), "$share/group/%s", topic);
	link_open(&members[0], "one", true, NULL);
	link_open(&members[1], "two", true, NULL);
	link_open(&publisher, "pub", true, NULL);
	for (int i = 0; i < 2; i++)
		link_subscribe(&members[i], filter, 1);
	for (unsigned char i = 0; i < COUNT; i++)
		link_publish(&publisher, topic, &i, 1, 1, false, NULL);
	for (int i = 0; i < 2; i++) {
		MQTTClient_message *message;
		int mine = 0;

		while ((message = link_receive(&members[i], SILENCE_MS))) {
			unsigned char number = *(unsigned char *)message->payload;
			check(number < COUNT && !seen[number]);
			seen[number] = true;
			mine++;
			MQTTClient_freeMessage(&message);
		}
		check(mine > 0);
		total += mine;
		link_close(&members[i]);
	}
	check(total == COUNT);
	link_close(&publisher);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
    {"qos", every_qos},	  {"big", big_payload}, {"retained", retained},
    {"session", session}, {"will", will},	{"properties", every_property},
    {"shared", shared},
};

int main(int argc, char **argv)
{
	check(argc == 5);
	port = argv[2];
	version = atoi(argv[3]);
	topic = argv[4];
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(scenarios[i].name, argv[1]) == 0) {
			scenarios[i].run();
			return 0;
		}
	}
	fprintf(stderr, "no scenario %s\n", argv[1]);
	return 1;
}
