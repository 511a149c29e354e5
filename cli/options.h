/*
 * options.h - the flags of `metrino pub`, `metrino sub` and `metrino rr`, those of
 * mosquitto_pub(1), mosquitto_sub(1) and mosquitto_rr(1) 2.0.11, and of `metrino bench`: from the
 * command line, from their options file and, for name and password, from the
 * environment (METRINO_USERNAME, METRINO_PASSWORD).  The command line wins over the file,
 * the file over the environment.
 *
 * Flags that need a part which does not exist yet (proxies, engines) are refused,
 * never ignored.
 *
 * Ownership: options_finish() frees everything; texts given as arguments are
 * borrowed and must live as long.  A password is copied and its argument
 * overwritten, so that it does not stay in the list of processes.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "broker/net/tls_client.h"
#include "cli/bench_options.h"
#include "cli/buffer.h"
#include "cli/ws_client.h"
#include "proto/packet.h"

enum option_program {
	OPTION_PUB = 1,
	OPTION_SUB = 2,
	OPTION_BENCH = 4,
	OPTION_RR = 8,
};

/* What `metrino pub` and `metrino rr` send. */
enum payload_source {
	PAYLOAD_NONE,  /* not said yet */
	PAYLOAD_TEXT,  /* -m */
	PAYLOAD_FILE,  /* -f */
	PAYLOAD_EMPTY, /* -n */
	PAYLOAD_LINES, /* -l */
	PAYLOAD_STDIN, /* -s */
};

struct text_list {
	const char **at;
	size_t count;
};

/* Properties by packet type; the will's stand at 0, which is no packet type. */
#define PACKET_TYPES 16u
#define PACKET_WILL  0u

struct options {
	enum option_program program;
	bool help;
	/* the connection */
	const char *host;
	const char *bind_address; /* NULL: any */
	const char *unix_path;	  /* NULL: none */
	uint16_t port;		  /* 0: not said yet */
	struct tls_client_settings tls;
	bool os_certificates; /* of the system's authorities */
	bool websocket;
	struct ws_client_settings ws; /* likewise */
	bool nodelay;
	enum mqtt_version version;
	uint16_t keep_alive_s;
	const char *client_id; /* NULL: none given */
	const char *client_id_prefix;
	const char *user_name;
	const char *password;
	bool keep_session; /* -c */
	bool has_session_expiry;
	uint32_t session_expiry_s;
	uint16_t inflight_max;
	const char *will_topic;
	const char *will_payload;
	uint8_t will_qos;
	bool will_retain;
	struct mqtt_properties properties[PACKET_TYPES];
	struct buffer user_properties[PACKET_TYPES];
	/* all programs */
	bool debug;
	bool quiet;
	uint8_t qos;
	struct text_list topics;
	/* pub, and of it the payload rr */
	enum payload_source source;
	const char *payload; /* the text of -m, the name of -f */
	bool retain;
	uint32_t repeat;
	uint32_t repeat_delay_ms;
	/* rr */
	const char *response_topic;
	/* sub, and of it rr what shows messages */
	struct text_list filter_out;
	struct text_list unsubscribe;
	uint32_t count;	    /* 0: no end */
	uint32_t timeout_s; /* 0: none */
	const char *format; /* NULL: none */
	double chance;	    /* of printing a message, in percent */
	bool verbose, no_newline, pretty;
	bool no_retained, retained_only, remove_retained, retain_as_published;
	bool exit_after_subscribing;
	struct bench_options bench;
	/* copies that the options own */
	struct text_list copies;
};

/* Defaults only. */
void options_init(struct options *o, enum option_program program);
void options_finish(struct options *o);

/*
 * Reads arguments after the sub-command's name.  The failure says what was wrong
 * and, for an unknown flag, the nearest known one.
 */
bool options_read(struct options *o, int argc, char **argv, struct failure *failure);

/* Reads an options file; one that is not there is none. */
bool options_read_file(struct options *o, const char *path, struct failure *failure);

/*
 * All of it in order: environment, options file, arguments, and then whether they
 * fit together.  With `help` set nothing was checked.
 */
bool options_gather(struct options *o, int argc, char **argv, struct failure *failure);

/* Is the connection to be over TLS? */
bool options_want_tls(const struct options *o);

/*
 * Do the flags for TLS and for WebSocket fit together?  Also finds the port, if none was said, and
 * completes the settings of both.
 */
bool options_finish_transport(struct options *o, struct failure *failure);

/* Every flag of a program with what it does, for --help. */
void options_print_help(enum option_program program);

/* "pub", "sub", "rr" or "bench". */
const char *options_program_name(enum option_program program);

/* A copy that options_finish() frees. */
const char *options_keep(struct options *o, struct slice text);

void text_list_add(struct text_list *list, const char *text);

/* ---- properties.c: -D COMMAND PROPERTY VALUE [VALUE] ---- */

/*
 * Takes the words after -D: three, or four for a user property.  *used says how
 * many were taken.
 */
bool options_read_property(struct options *o, char *const *words, int count, int *used,
			   struct failure *failure);

/* The properties of a packet, ready to be encoded; borrows from the options. */
struct mqtt_properties options_properties(const struct options *o, uint8_t packet);

/* Reads a whole number from minimum to maximum and nothing after it. */
bool options_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *number);

/* Likewise, with a fraction. */
bool options_real(const char *text, double minimum, double maximum, double *number);

#endif
