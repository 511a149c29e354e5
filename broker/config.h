/*
 * config.h - the broker's configuration, read from a file in mosquitto's grammar
 * (metrino.conf(5); keys in config.def, one line each).
 *
 * Ownership: config_create() and config_read() allocate everything that the
 * struct points to; config_destroy() frees it.  Immutable once read: a reload
 * makes a new one, and the old one lives until the last link that carries its
 * listener settings is gone (the household keeps old ones; they are small).
 * Thread: made and freed by the main thread, read by all.
 */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include <stdio.h>

#include "broker/core/settings.h"
#include "broker/memory_protection.h"
#include "storage/keys/keyring.h"
#include "broker/net/transport.h"
#include "broker/residency.h"
#include "storage/durability.h"

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum ip_logging { IP_LOGGING_NONE, IP_LOGGING_TRUNCATE, IP_LOGGING_FULL };

/* A place where clients connect. */
struct config_listener {
	const char *path; /* of a Unix socket; NULL: a port */
	uint16_t port;
	const char *address;	    /* NULL: every address */
	const char *bind_interface; /* NULL: any */
	int socket_domain;	    /* AF_UNSPEC, AF_INET or AF_INET6 */
	uint32_t max_connections;   /* UINT32_MAX: unlimited */
	struct transport_settings transport;
	const char *psk_hint; /* NULL: no pre-shared keys here */
	bool use_identity, use_subject;
	struct listener_settings settings;
};

/* True when clients of the listener prove who they are before MQTT begins. */
bool config_listener_proves(const struct config_listener *listener);

/* Who does something so many times together is banned. */
struct config_ban {
	uint32_t after; /* UINT32_MAX: never */
	uint64_t ms;
};

struct config {
	const char *file;      /* NULL: the embedded default */
	bool embedded_default; /* no configuration file: loopback only, anonymous */
	size_t listener_count;
	struct config_listener *listeners;
	struct core_settings core;
	struct core_settings closed_core; /* the same, and nobody is let in */
	uint32_t workers;		  /* 1 or more */
	uint32_t global_max_connections;
	bool set_tcp_nodelay;
	bool persistence;
	bool audit_log;
	enum store_durability durability;
	uint32_t route_expiry_s;
	uint64_t route_max_bytes;
	enum memory_protection memory_protection;
	struct residency residency;
	uint32_t aggregate_expiry_s; /* releases of days are kept so long after the day */
	uint32_t auth_expiry_s;	     /* rows of logins */
	uint64_t auth_max_bytes;
	const char *privacy_contact;	  /* NULL: none is named */
	const char *persistence_location; /* absolute or as written; never NULL when persistence */
	const char *keys_location;	  /* NULL: persistence_location */
	const char *key_file;		  /* NULL: none */
	enum erase_level erase_level_required;
	uint32_t sys_interval_s;   /* 0: no $SYS */
	const char *include_dir;   /* NULL: none */
	const char *user;	   /* to become when started as root; NULL: not said */
	const char *pid_file;	   /* NULL: none */
	const char *admin_address; /* NULL: no admin listener */
	uint16_t admin_port;
	const char *admin_token_file; /* NULL: none */
	const char *log_address;      /* NULL: no log listener */
	uint16_t log_port;
	char region[3];		   /* two capital letters */
	uint32_t policy_version;   /* 0: none */
	const char *password_file; /* NULL: none; likewise */
	const char *acl_file;
	bool allow_cleartext_password;
	uint32_t auth_threads;	    /* 1 or more */
	uint32_t argon2_memory_kib; /* for each of them */
	uint32_t argon2_passes;
	const char *recovery_mailer; /* NULL for none */
	uint32_t rate_connect;	     /* connections of one address a second; UINT32_MAX: no limit */
	uint32_t max_half_open;	     /* UINT32_MAX: no limit */
	struct config_ban auth_fail_ban; /* of an address, after failed logins */
	struct config_ban reconnect_ban; /* of a client, after refusals by rate_reconnect */
	/* log */
	bool log_stderr, log_stdout, log_syslog; /* log_dest; log_file apart */
	int log_facility;			 /* syslog's LOG_DAEMON or LOG_LOCAL0 to 7 */
	const char *log_file;
	uint32_t log_types; /* bits of enum log_level: log.h */
	enum log_format log_format;
	bool log_timestamp;
	const char *log_timestamp_format; /* NULL: ISO 8601 UTC */
	enum ip_logging ip_logging;
	/* sentences to log at start: keys with another meaning or no effect */
	size_t notice_count;
	char **notices;
	struct config_memory *memory; /* what the pointers above point to */
};

/* Of -p, as often as it is written; none: 1883. */
#define CONFIG_PORTS_MAX 10u
struct config_ports {
	size_t count;
	uint16_t at[CONFIG_PORTS_MAX]; /* each once */
};

/* The embedded default: the ports on loopback, anonymous, data in the state directory. */
struct config *config_create_default(const struct config_ports *ports, struct failure *failure);

/*
 * Reads a file and what it includes.  NULL when anything is wrong: then
 * *problems is a text of one line per problem ("file:line: key: what is wrong;
 * what would be right"), all of them, to be freed by the caller.
 * The ports (of -p) are those of the default listener, where the file opens none.
 */
struct config *config_read(const char *file, const struct config_ports *ports, char **problems);

void config_destroy(struct config *config);

/* True for 127.0.0.0/8, ::1 and localhost. */
bool config_is_loopback(const char *address);

/* Writes what the broker would do: listeners, data directory, limits; for --test-config. */
void config_describe(const struct config *config, FILE *out);

/* Writes metrino.conf.example, from the same table: every key, its default, its meaning. */
void config_write_example(int fd);

/* Writes the list of keys of metrino.conf(5), from the same table, as man page source. */
void config_write_manual(int fd);

#endif
