/* vault_on_disk.h - a scratch directory with a vault in it, for tests of that. */
#ifndef TESTS_LIB_VAULT_ON_DISK_H
#define TESTS_LIB_VAULT_ON_DISK_H

#include "storage/vault.h"
#include "tests/lib/scratch.h"

#include <check.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct scratch base;
static struct failure failure;
static struct keyring *keyring;
static struct vault *vault;

static inline void setup(void)
{
	base = scratch_make();
}

static inline void close_vault(void)
{
	if (vault != NULL)
		vault_close(vault);
	vault = NULL;
}

/* It stays open between vaults, because it costs many syncs. */
static inline void close_keyring(void)
{
	must(vault == NULL);
	if (keyring != NULL)
		keyring_close(keyring);
	keyring = NULL;
}

static inline void teardown(void)
{
	close_keyring();
	scratch_remove(&base);
}

static inline bool open_keyring(void)
{
	struct keyring_options options = {.directory = open(base.path, O_DIRECTORY | O_CLOEXEC)};

	must(options.directory >= 0);
	keyring = keyring_open(&options, &failure);
	close(options.directory);
	return keyring != NULL;
}

/* `vault` is NULL, with a failure, when it is refused. */
static inline void open_vault_as(enum store_durability durability, bool *put_aside)
{
	must(vault == NULL);
	if (keyring != NULL || open_keyring())
		vault = vault_open(
		    &(struct vault_options){base.path, durability, keyring, (uint64_t)time(NULL)},
		    put_aside, &failure);
}

static inline void open_vault(void)
{
	bool put_aside;

	open_vault_as(DURABILITY_POWER, &put_aside);
	ck_assert_msg(vault != NULL, "%s", failure.text);
}

static inline void says(const char *what)
{
	ck_assert_msg(strstr(failure.text, what) != NULL, "\"%s\" does not say \"%s\"",
		      failure.text, what);
}

static inline const char *path_in(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", base.path, name);
	return path;
}

static inline const char *data_path(void)
{
	return path_in("data.mdb");
}

/* Behind so many bytes this process can write no file any more; SIGXFSZ is to be ignored. */
static inline void limit_files(rlim_t len)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = len < limit.rlim_max ? len : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
