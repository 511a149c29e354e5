/*
 * household_internal.h - the struct that the files of the household share; nobody
 * else includes it.
 *
 * Thread: members are the main thread's, but for the atomic ones and those that do
 * not change between the start of the threads and their end.
 */
#ifndef BROKER_HOUSEHOLD_INTERNAL_H
#define BROKER_HOUSEHOLD_INTERNAL_H

#include "broker/admin.h"
#include "broker/aggregate.h"
#include "broker/audit.h"
#include "broker/auth_log.h"
#include "broker/config.h"
#include "broker/command.h"
#include "broker/control.h"
#include "broker/core/budget.h"
#include "broker/desk.h"
#include "broker/disk_watch.h"
#include "broker/door.h"
#include "broker/jobs.h"
#include "broker/log_server.h"
#include "broker/metrics.h"
#include "broker/net/half_open.h"
#include "broker/net/listener.h"
#include "broker/options.h"
#include "broker/payload_memory.h"
#include "broker/route_thread.h"
#include "broker/sandbox.h"
#include "broker/store_thread.h"
#include "broker/subject.h"
#include "broker/sys_tree.h"
#include "broker/worker.h"
#include "storage/keys/keyring.h"

/* How far it has come. */
enum household_state {
	HOUSEHOLD_STARTING,
	HOUSEHOLD_SERVING,
	HOUSEHOLD_STOPPING,
};

struct household_expiry {
	struct certificate_end of;
	unsigned warned; /* how many of the warnings before its end were given */
};

/*
 * How a folder of ours is reached as the user we become: by the configuration's path, or by link,
 * which leads there also where a folder above it is closed to that user.
 */
struct household_way {
	const char *path; /* NULL: none yet */
	char link[32];
};

/* Found while we may still be root. */
struct household_keys {
	int directory; /* keys_location; -1: the data directory */
	struct household_way way;
	bool wraps;
	uint8_t wrapping[SEAL_KEY_LEN];
};

struct household {
	const struct options *options;
	/* All that were in force, the last one now: links carry settings of older ones. */
	struct config **configs; /* the main thread's */
	size_t config_count;
	struct config *_Atomic config; /* any thread's, to read */

	_Atomic int state; /* enum household_state */
	uint64_t started_s;
	uint64_t started_ms;
	int signals; /* signalfd */
	int bell;    /* eventfd: a worker ended, or the store must not be used any more */

	const char *user; /* whom we become; NULL: we stay who we are */
	/* The folders that we keep, and what came of it that there are no others. */
	struct sandbox_folders folders;
	bool files_restricted, calls_restricted;

	int directory; /* the data directory, locked; -1 for none */
	struct household_way data_way;
	struct household_keys keys_prepared;
	struct keyring *keys;	     /* NULL for no data directory */
	enum erase_level keys_level; /* as it was told */
	struct vault *vault;	     /* NULL likewise; store and accounts are rows of it */
	struct store *store;	     /* NULL: nothing is durable */
	struct store_thread *store_thread;
	_Atomic bool store_lost;	 /* lmdb_store_poisoned() */
	_Atomic uint64_t store_failures; /* batches not committed */
	struct failure store_failure;	 /* why the last was not; the storage thread's */
	uint64_t store_told_ms;		 /* when that was said last; likewise */

	bool pid_file_written;

	struct connection_limit all;	     /* global_max_connections */
	struct half_open *half_open;	     /* owned; max_half_open */
	struct address_rates *address_rates; /* owned */
	struct census *renewing;    /* owned: household_renew_rights() came last; NULL: never */
	struct listener *listeners; /* by number in the configuration at the start */
	size_t listener_count;

	struct accounts *accounts; /* NULL: there is no data directory */
	struct door *door;
	const char *mailer;		    /* recovery_mailer, as at the start */
	struct subject_source subject;	    /* where there are accounts */
	struct desk *desk;		    /* likewise */
	struct memory_powers memory_powers; /* as found at the start */
	struct payload_memory payload_memory;
	struct budget budget;
	struct worker *workers;
	uint16_t worker_count;

	struct log_server *log_server; /* NULL for none */
	struct admin *admin;	       /* NULL for none */
	struct control *control;       /* NULL for none */
	struct audit *audit;	       /* NULL for none */
	bool closed;		       /* nobody is let in, for want of an audit log */
	enum audit_word cause;	       /* why it ends: AUDIT_WORD_CAUSE_ */
	struct jobs *jobs;
	struct aggregate *aggregate; /* NULL for no data directory */
	struct auth_log *auth_log;
	struct household_routes *routes; /* NULL: deliveries are not recorded */

	struct disk_watch disk;
	uint64_t disk_due_ms;
	_Atomic bool disk_full;

	struct sys_tree sys_tree;
	uint64_t sys_due_ms;
	uint64_t watchdog_due_ms;
	uint64_t door_due_ms;
	uint64_t report_due_ms;
	uint64_t exhaustion_due_ms; /* not to be said again before */
	struct metrics reported;    /* what the log has told */
	/* by listener */
	uint64_t *refused_reported, *no_descriptor_reported, *not_opened_reported;
	uint64_t *turned_away_reported;
	uint64_t all_refused_reported;
	struct refusals *refusals; /* household_refusals.c; NULL before the first look */
	uint64_t refusals_due_ms;
	_Atomic uint64_t clients_maximum;

	pthread_mutex_t expiry_lock; /* of the list: the HTTP thread reads it */
	struct household_expiry *expiries;
	size_t expiry_count;
	uint64_t expiry_due_ms; /* when to look at the list again */
};

/* The longest that one turn of a worker may take. */
#define HOUSEHOLD_STUCK_MS 10000u

/* household_open.c: everything that may fail for reasons outside of us, before there are threads.
 */
bool household_open(struct household *house, struct failure *failure);
void household_close(struct household *house);

/* Says why there is no start: in the log, and on stderr, where the person who started us looks. */
void household_tell_failure(const struct failure *failure);

/* household_restore.c: at the start.  All problems are said, the last one by who is told of the
 * failure; frees them.  Returns false. */
bool household_refuse(struct problems *problems, struct failure *failure);

/*
 * For keys_location as for the data directory: opens a folder, making it, locks it and gives it to
 * the user we become; then, as that user, finds the way to it.
 */
bool household_open_folder(const struct household *house, const char *path, bool *created, int *fd,
			   struct failure *failure);
bool household_find_way(const struct household *house, const char *path, int fd,
			struct household_way *way, struct failure *failure);

/* household_keys.c: finds keys_location and key_file, before the user switch. */
bool household_prepare_keys(struct household *house, struct failure *failure);
bool household_find_way_to_keys(struct household *house, struct failure *failure);
/* Opens keys.slots, and says what destroying a key is worth here. */
bool household_open_keys(struct household *house, struct failure *failure);
/* From now on the audit log has what comes and goes; what it lacks of before, it gets. */
bool household_watch_keys(struct household *house, struct failure *failure);
/* When all that was kept could be opened: what is damaged in it is of no use to anybody. */
bool household_settle_keys(struct household *house, struct failure *failure);
/* False, and said: erase_level_required does not hold any more. */
bool household_keys_erase(struct household *house);
/* Thread: any. */
void household_count_keys(const struct household *house, struct metrics *metrics);
void household_close_keys(struct household *house);

/* household_sandbox.c: gives up what is not needed any more, before there are threads. */
bool household_restrict(struct household *house, struct failure *failure);
/* Does a configuration name only what lies in the folders that were known at the start? */
bool household_may_reach(const struct household *house, const struct config *config,
			 struct failure *failure);

/* household_transport.c: the transports of a configuration's listeners; all, or none and why: a
 * problem for each listener that has one. */
bool household_make_transports(struct config *config, struct problems *problems);
/* Of a configuration that did not come into force, or of a listener that is not open. */
void household_drop_transports(struct config *config);
/* The listener's connections to come have these settings. */
void household_swap_settings(struct household *house, struct listener *listener,
			     const struct listener_settings *next);
/* Of the open listeners, at the end. */
void household_release_transports(struct household *house);

/* household_expiry.c: the certificates in force have changed. */
void household_note_expiries(struct household *house);
/* The first ones to end.  Thread: any. */
size_t household_expiries(struct household *house, struct certificate_end *out, size_t room);
/* Says what is near its end, if it is time to. */
void household_warn_of_expiries(struct household *house, struct moment now);

/* household_restore.c */
bool household_make_workers(struct household *house, struct failure *failure);
bool household_restore(struct household *house, struct failure *failure);

/* household_watch.c: until a signal ends it; gives the exit code. */
int household_watch(struct household *house);
/* Waits until the workers have ended.  False when it took too long. */
bool household_await_workers(struct household *house);
void household_update_sys_tree(struct household *house, uint64_t now_ms);

/* household_count.c */
void household_gather(struct household *house, struct metrics *metrics);
struct admin_source household_admin_source(struct household *house);
struct control_source household_control_source(struct household *house);
/* household_ledger.c; `self` is the household.  Thread: any. */
void household_fill_ledger(void *self, struct ledger *ledger);
/* Is payload out of reach of swap and dumps now?  False: why not. */
bool household_memory_protected(const struct household *house, struct failure *failure);
/* Why the broker does not serve; NULL when it does. */
const char *household_trouble(const struct household *house);

/* household_jobs.c: the jobs that there are; they run from household_watch() on. */
void household_begin_jobs(struct household *house);
/* Thread: any. */
void household_count_jobs(const struct household *house, struct metrics *metrics);

/* household_records.c */
bool household_open_records(struct household *house, struct failure *failure);
void household_keep_last_logins(struct household *house);
void household_close_records(struct household *house);
/* The configuration's: how long what is on the disk is kept. */
void household_set_lifetimes(struct household *house, const struct config *config);
uint64_t household_known_time_s(const struct household *house);
/* Its lines in the table of household_jobs.c: `due` and `run` (jobs.h). */
uint64_t household_release_due(const void *self, uint64_t last_s);
enum job_result household_release_run(void *self, uint64_t now_s, struct failure *failure);
uint64_t household_release_end_due(const void *self, uint64_t last_s);
enum job_result household_release_end_run(void *self, uint64_t now_s, struct failure *failure);
uint64_t household_logins_due(const void *self, uint64_t last_s);
enum job_result household_logins_run(void *self, uint64_t now_s, struct failure *failure);
uint64_t household_logins_end_due(const void *self, uint64_t last_s);
enum job_result household_logins_end_run(void *self, uint64_t now_s, struct failure *failure);

/* household_routes.c: rows of what became of deliveries (route_thread.h). */
bool household_open_routes(struct household *house, struct failure *failure);
bool household_start_routes(struct household *house, struct failure *failure);
void household_close_routes(struct household *house);
/* NULL for both: deliveries are not recorded. */
struct pseudonyms *household_pseudonyms(struct household *house);
struct route_thread *household_route_thread(const struct household *house);
/* Other settings are in force. */
void household_settle_routes(struct household *house);
/* Of the job that destroys keys: jobs.h. */
uint64_t household_routes_due(const void *self, uint64_t last_s);
enum job_result household_routes_run(void *self, uint64_t now_s, struct failure *failure);
/* Thread: any. */
void household_count_routes(const struct household *house, struct metrics *metrics);
/* For the ledger; where deliveries are not recorded there is nothing.  Thread: any. */
void household_tell_routes(const struct household *house, struct ledger_row *row);
/* Thread: the control socket's. */
bool household_traffic(void *self, const struct control_traffic *asked, struct failure *failure);
/* For subject.h.  Thread: the control socket's, and the desk's. */
bool household_deliveries(void *self, const struct subject_deliveries *asked,
			  struct subject_rows *rows, struct failure *failure);

/* household_disk.c: is there room on the disk of the data directory? */
void household_look_at_disk(struct household *house, uint64_t now_ms);

/* household_reload.c */
void household_reload(struct household *house);
/* Tells the workers the core's settings in force, `closed` among them. */
void household_settle_core(struct household *house);
/* Takes a configuration into the list and into force. */
void household_adopt_config(struct household *house, struct config *config);

/* household_accounts.c: the accounts of the data directory, if there is one. */
bool household_open_accounts(struct household *house, struct failure *failure);
/* Asks all workers with a command for this owner (0: none); to be waited for and released. */
struct census *household_ask_all(struct household *house, enum command_type type, uint64_t owner);
/* Workers look anew at who may be here and do what. */
void household_renew_rights(struct household *house);
/* Waits until they have, so that whoever went is gone before the next reload brings it back. */
void household_await_rights(const struct household *house);
/* household_subject.c: the desk that answers persons, if there are accounts. */
bool household_start_desk(struct household *house, struct failure *failure);

/* What the control socket needs of accounts. */
void household_add_accounts(struct household *house, struct control_source *source);

/* household_refusals.c: says which clients were turned away, if it is time to. */
void household_report_refusals(struct household *house, uint64_t now_ms);

#endif
