/*
 * household_sandbox.c - what the broker needs of the machine, by its configuration, and that it
 * keeps nothing else: sandbox.h.  Before any thread, and before a byte of the data directory is
 * read.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include <stdlib.h>
#include <time.h>

#define SANDBOX_ALL (SANDBOX_READ | SANDBOX_WRITE | SANDBOX_REMOVE | SANDBOX_MAKE)

/* What the machine tells about itself and about us; a descriptor that is kept in reserve. */
static const struct {
	const char *path;
	unsigned access;
} machine[] = {
    {"/proc", SANDBOX_READ},
    {"/sys/fs/cgroup", SANDBOX_READ},
    {"/dev/null", SANDBOX_READ | SANDBOX_WRITE},
};

/* Of a list with line ends between; NULL: none. */
static void add_files(struct sandbox_folders *folders, const char *key, const char *list)
{
	char *paths = list ? strdup(list) : NULL;
	char *rest = paths;

	must(!list || paths);
	for (char *path; (path = strsep(&rest, "\n"));)
		sandbox_add_file(folders, key, path, SANDBOX_READ);
	free(paths);
}

static void add_transport(struct sandbox_folders *folders, const struct tls_settings *tls)
{
	add_files(folders, "certfile", tls->certfile);
	add_files(folders, "keyfile", tls->keyfile);
	sandbox_add_file(folders, "cafile", tls->cafile, SANDBOX_READ);
	sandbox_add_file(folders, "crlfile", tls->crlfile, SANDBOX_READ);
	sandbox_add_file(folders, "psk_file", tls->psk_file, SANDBOX_READ);
	if (tls->capath)
		sandbox_add(folders, "capath", tls->capath, SANDBOX_READ);
}

/* What may be other files after a HUP. */
static void add_changeable(struct sandbox_folders *folders, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		add_transport(folders, &config->listeners[i].transport.tls);
	sandbox_add_file(folders, "log_dest", config->log_file, SANDBOX_WRITE | SANDBOX_MAKE);
	if (config->include_dir)
		sandbox_add(folders, "include_dir", config->include_dir, SANDBOX_READ);
}

/* What stays what it was at the start, whatever a HUP brings. */
static void add_fixed(struct sandbox_folders *folders, const struct config *config)
{
	for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++)
		sandbox_add(folders, "machine", machine[i].path, machine[i].access);
	sandbox_add_file(folders, "config file", config->file, SANDBOX_READ);
	/* A password that is hashed anew is put beside the file, and then into its place. */
	sandbox_add_file(folders, "password_file", config->password_file, SANDBOX_ALL);
	sandbox_add_file(folders, "acl_file", config->acl_file, SANDBOX_READ);
	/* They go when we do. */
	sandbox_add_file(folders, "pid_file", config->pid_file, SANDBOX_REMOVE);
	for (size_t i = 0; i < config->listener_count; i++)
		sandbox_add_file(folders, "listener", config->listeners[i].path, SANDBOX_REMOVE);
}

bool household_may_reach(const struct household *house, const struct config *config,
			 struct failure *failure)
{
	struct sandbox_folders wanted = {0};

	add_changeable(&wanted, config);
	bool may = sandbox_covers(&house->folders, &wanted, failure);

	sandbox_folders_finish(&wanted);
	return may;
}

/* What the kernel does not know is said, and no reason not to serve; what it refuses is one. */
static bool judge(enum sandbox_result result, bool *on, const struct failure *failure)
{
	*on = result == SANDBOX_ON;
	if (result == SANDBOX_UNKNOWN)
		log_write(LOG_LEVEL_WARNING, "sandbox", "%s", failure->text);
	return result != SANDBOX_FAILED;
}

bool household_restrict(struct household *house, struct failure *failure)
{
	enum sandbox_result result;

	tzset(); /* reads its file, which is in none of the folders */
	add_fixed(&house->folders, house->config);
	add_changeable(&house->folders, house->config);
	if (house->data_way.path)
		sandbox_add(&house->folders, "persistence_location", house->data_way.path,
			    SANDBOX_ALL);
	if (house->keys_prepared.way.path)
		sandbox_add(&house->folders, "keys_location", house->keys_prepared.way.path,
			    SANDBOX_ALL);
	result = sandbox_restrict_files(&house->folders, failure);
	if (!judge(result, &house->files_restricted, failure))
		return failure_context(failure, "sandbox");
	result = sandbox_restrict_calls(failure);
	if (!judge(result, &house->calls_restricted, failure))
		return failure_context(failure, "sandbox");
	return true;
}
