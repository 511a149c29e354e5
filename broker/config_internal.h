/*
 * config_internal.h - what the files config*.c share: the table of keys, and
 * the reader that turns files into a struct config.
 *
 * A reader is given every line; what is wrong is noted and reading goes on, so
 * that all problems are found at once.  What a key means is in its type: one
 * function that checks a value and stores it.
 *
 * Thread: the main thread.
 */
#ifndef BROKER_CONFIG_INTERNAL_H
#define BROKER_CONFIG_INTERNAL_H

#include <sys/types.h>

#include "broker/config.h"

enum config_scope {
	SCOPE_GLOBAL,	/* one for the broker, kept in struct config */
	SCOPE_SHARED,	/* one for the broker, kept in each listener */
	SCOPE_LISTENER, /* for the listener above it */
};

enum config_status {
	STATUS_WORKS,
	STATUS_NO_EFFECT,
	STATUS_REFUSED,
	STATUS_NOT_YET,
};

enum config_type_number {
	TYPE_NONE,
	TYPE_BOOL,
	TYPE_COUNT,
	TYPE_COUNT_OR_UNLIMITED,
	TYPE_BYTES,
	TYPE_BYTES_OR_UNLIMITED,
	TYPE_SECONDS,
	TYPE_SECONDS_AS_MS,
	TYPE_KEEP_ALIVE,
	TYPE_PERIOD,
	TYPE_PART_OF_DAY,
	TYPE_TEXT,
	TYPE_SLICE,
	TYPE_WORD,
	TYPE_PATHS,
	TYPE_SOCKET_DOMAIN,
	TYPE_QUEUE_POLICY,
	TYPE_LOG_FACILITY,
	TYPE_LOG_FORMAT,
	TYPE_IP_LOGGING,
	TYPE_PROTOCOL,
	TYPE_TLS_VERSION,
	TYPE_PROXY_VERSION,
	TYPE_ACK_WHEN,
	TYPE_DURABILITY,
	TYPE_MEMORY_PROTECTION,
	TYPE_ERASE_LEVEL,
	TYPE_VERSIONS,
	TYPE_LISTENER,
	TYPE_PORT,
	TYPE_BIND_ADDRESS,
	TYPE_ADMIN_LISTENER,
	TYPE_LOG_LISTENER,
	TYPE_REGION,
	TYPE_INCLUDE_DIR,
	TYPE_LOG_DEST,
	TYPE_LOG_TYPE,
	TYPE_CLIENT_EXPIRATION,
	TYPE_BAN,
	TYPE_LIFETIME,
	TYPE_TRANSFER,
};

struct config_key {
	const char *name;
	enum config_scope scope;
	enum config_status status;
	enum config_type_number type;
	size_t offset, size;  /* of the field; size 0: the type knows */
	const char *fallback; /* the default as it is written, or "<in words>" */
	uint64_t min, max;    /* in the unit that is written */
	const char *meaning;  /* what it does; or the sentence for a key that does not work */
	const char *said;     /* said at start when written, or NULL */
	const char *harmless; /* the value that a key that does not work may have, or NULL */
	const char *section;  /* not NULL: this line is the title of a section, not a key */
};

extern const struct config_key config_keys[];
extern const size_t config_line_count; /* lines of config.def: keys and titles */

#define CONFIG_LINES_MAX 256

/* A port can have as many clients as all of them. */
#define CONFIG_LISTENERS_MAX 1000

/* One word that may be written, and what it stands for. */
struct config_choice {
	const char *word;
	uint64_t value;
	const char *refusal; /* NULL: it works; else why it does not */
};

struct config_reader;

struct config_type {
	/* Checks a value and stores it in the field (or where the type knows). */
	bool (*set)(struct config_reader *reader, const struct config_key *key, char *value,
		    void *field);
	const char *form; /* how a value is written; NULL: a number in the key's range */
	const char *unit; /* of a number */
	uint64_t factor;  /* what is written times this is stored; 0: as it is */
	bool unlimited;	  /* the word may be written; stored as the field's largest number */
	bool once;	  /* written twice is a mistake, as in mosquitto */
	const struct config_choice *choices;
};

const struct config_type *config_type_of(const struct config_key *key);

struct config_place {
	const char *file; /* NULL: nowhere */
	unsigned line;
};

/* A listener as far as it is read.  The first one is the default listener. */
struct config_draft {
	struct config_listener value;
	struct config_place at;
	struct config_place set[CONFIG_LINES_MAX];
};

/* Text that grows. */
struct config_text {
	char *at;
	size_t len, size;
};

struct config_reader {
	struct config *config;
	struct config_place at;
	bool included; /* this is not the main file */
	dev_t main_device;
	ino_t main_inode;
	struct config_listener shared; /* keys of SCOPE_SHARED, as written */
	struct config_place set[CONFIG_LINES_MAX];
	struct config_draft *drafts; /* the default, CONFIG_LISTENERS_MAX, and one of too many */
	size_t draft_count;
	uint16_t port;		      /* of the default listener; 0: not written */
	const char *bind_address;     /* NULL: not written */
	uint32_t client_expiration_s; /* UINT32_MAX: not written */
	struct config_text problems;
	size_t problem_count;
};

/* config_parse.c */
bool config_read_file(struct config_reader *reader, const char *path);
const struct config_key *config_find_key(const char *name);
/* The known key that looks most like this one, or NULL. */
const char *config_nearest_key(const char *name);
/* Puts the defaults into a struct config (global), or into a struct config_listener. */
void config_apply_defaults(struct config_reader *reader, void *house, bool global);

/* config.c: what is wrong here, and always false; what is worth knowing. */
bool config_problem(struct config_reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_notice(struct config_reader *reader, struct config_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A copy that lives as long as the configuration. */
char *config_keep(struct config *config, const char *text);
struct config_draft *config_add_draft(struct config_reader *reader);
void *config_allocate(size_t size);
void config_text_add(struct config_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* config_finish.c: what only the whole file can tell; notes problems and notices. */
void config_finish(struct config_reader *reader, const struct config_ports *asked);

/* What the core is told, of settings that are all known; with a file and without one. */
void config_settle_core(struct config *config);
/*
 * The two listeners for each port of an embedded default, or of a file that opens none; says in
 * words which ports, to be kept as long as the configuration.
 */
const char *config_open_loopback(struct config_reader *reader, const struct config_ports *ports);

/* config_values.c */
bool config_read_period(const char *value, uint64_t *seconds);

/* config_privacy.c: setters */
bool config_set_lifetime(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field);
bool config_set_transfer(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field);

/* config_transport.c: do the keys of a listener about TLS and the like fit each other? */
void config_finish_transport(struct config_reader *reader, struct config_draft *draft);
/* After all listeners. */
void config_check_transports(struct config_reader *reader);

/* config_values.c: the problem that a value is not of its form, which is said; false. */
bool config_wrong(struct config_reader *reader, const struct config_key *key, const char *value);
/* Digits and nothing else. */
bool config_read_number(const char *text, uint64_t *number);

/* config_places.c */
typedef bool config_setter(struct config_reader *reader, const struct config_key *key, char *value,
			   void *field);
/* Would they listen at one port of one address?  Of names only localhost is known, as 127.0.0.1. */
bool config_places_meet(const struct config_listener *a, const struct config_listener *b);
config_setter config_set_listener, config_set_port, config_set_bind_address,
    config_set_admin_listener, config_set_log_listener;

/* config_machine.c: what the machine and the environment tell. */
uint32_t config_processor_count(void);
/* Half of the memory that this process may use. */
uint64_t config_memory_limit(void);
/* Where data goes if no key says so; NULL: nowhere is known. */
const char *config_state_directory(struct config *config);

/* How a value of the key is written, as text. */
const char *config_form(const struct config_key *key, char *text, size_t size);

#endif
