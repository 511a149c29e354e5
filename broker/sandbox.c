/*
 * sandbox.c - folders, and the Landlock rule set made of them: sandbox.h.  Source: landlock(7) and
 * the kernel's userspace-api/landlock.rst.
 */
#include "broker/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- folders ---- */

static char *copy_of(const char *text)
{
	char *copy = strdup(text);

	must(copy);
	return copy;
}

void sandbox_add(struct sandbox_folders *folders, const char *key, const char *folder,
		 unsigned access)
{
	char *real = realpath(folder, NULL);
	struct sandbox_folder *list =
	    realloc(folders->list, (folders->count + 1) * sizeof(*folders->list));
	char why[PATH_MAX + 64];

	must(list);
	snprintf(why, sizeof(why), "%s: %s", key, folder);
	list[folders->count++] = (struct sandbox_folder){
	    .path = real ? real : copy_of(folder), .access = access, .why = copy_of(why)};
	folders->list = list;
}

static void add_folder_of(struct sandbox_folders *folders, const char *key, const char *file,
			  unsigned access)
{
	char *path = copy_of(file);

	sandbox_add(folders, key, dirname(path), access);
	free(path);
}

void sandbox_add_file(struct sandbox_folders *folders, const char *key, const char *file,
		      unsigned access)
{
	char *real = file ? realpath(file, NULL) : NULL;

	if (file)
		add_folder_of(folders, key, file, access);
	if (real)
		add_folder_of(folders, key, real, access);
	free(real);
}

void sandbox_folders_finish(struct sandbox_folders *folders)
{
	for (size_t i = 0; i < folders->count; i++) {
		free(folders->list[i].path);
		free(folders->list[i].why);
	}
	free(folders->list);
	*folders = (struct sandbox_folders){0};
}

static bool lies_beneath(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (strncmp(path, folder, len) != 0)
		return false;
	return path[len] == '\0' || path[len] == '/' || (len > 0 && folder[len - 1] == '/');
}

/* Rights add up: one rule may let a file be read and another be written. */
static bool covers(const struct sandbox_folders *known, const struct sandbox_folder *wanted)
{
	unsigned access = 0;

	for (size_t i = 0; i < known->count; i++)
		if (lies_beneath(wanted->path, known->list[i].path))
			access |= known->list[i].access;
	return (wanted->access & ~access) == 0;
}

bool sandbox_covers(const struct sandbox_folders *known, const struct sandbox_folders *wanted,
		    struct failure *failure)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (!covers(known, &wanted->list[i]))
			return failure_set(failure,
					   "%.600s lies outside of the folders that were known at "
					   "the start: restart needed",
					   wanted->list[i].why);
	return true;
}

/* ---- the rule set ---- */

/* As the kernel has it since ABI 6; an older one takes the beginning of it. */
struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

/* Later than the headers of Debian 12. */
#define TRUNCATE       (UINT64_C(1) << 14) /* LANDLOCK_ACCESS_FS_TRUNCATE, ABI 3 */
#define NET_BOTH       UINT64_C(3) /* LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP, ABI 4 */
#define SCOPE_SIGNALS  UINT64_C(2) /* LANDLOCK_SCOPE_SIGNAL, ABI 6 */
#define FILES_OF_ABI_2 ((UINT64_C(1) << 14) - 1)

/* Before ABI 2 nothing may be renamed into another folder, as the audit log does. */
#define ABI_LEAST 2

static const struct {
	unsigned access;
	uint64_t of_files, of_folders; /* of the second, what makes sense of a folder only */
} rights[] = {
    {SANDBOX_READ, LANDLOCK_ACCESS_FS_READ_FILE, LANDLOCK_ACCESS_FS_READ_DIR},
    {SANDBOX_WRITE, LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE, 0},
    {SANDBOX_REMOVE, 0, LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR},
    {SANDBOX_MAKE, 0,
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
	 LANDLOCK_ACCESS_FS_REFER},
};

static uint64_t rights_for(unsigned access, bool folder)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++)
		if (access & rights[i].access)
			sum |= rights[i].of_files | (folder ? rights[i].of_folders : 0);
	return sum;
}

/* What is not there, or not ours to enter, needs no rule: without one it stays closed. */
static bool add_rule(int ruleset, uint64_t handled, const char *path, unsigned access,
		     struct failure *failure)
{
	struct stat status;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return true;
	if (fstat(fd, &status) != 0) {
		close(fd);
		return true;
	}
	struct landlock_path_beneath_attr rule = {
	    .allowed_access = rights_for(access, S_ISDIR(status.st_mode)) & handled,
	    .parent_fd = fd,
	};
	bool done = rule.allowed_access == 0 || syscall(SYS_landlock_add_rule, ruleset,
							LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;

	if (!done)
		failure_set(failure, "Landlock: no rule for %.300s: %s", path, strerror(errno));
	close(fd);
	return done;
}

static bool add_rules(int ruleset, uint64_t handled, const struct sandbox_folders *folders,
		      struct failure *failure)
{
	for (size_t i = 0; i < folders->count; i++)
		if (!add_rule(ruleset, handled, folders->list[i].path, folders->list[i].access,
			      failure))
			return false;
	return !SANDBOX_SANITIZED || add_rule(ruleset, handled, "/", SANDBOX_READ, failure);
}

static int make_ruleset(long abi, struct ruleset *wanted)
{
	size_t size = sizeof(*wanted);

	*wanted =
	    (struct ruleset){.files = FILES_OF_ABI_2, .net = NET_BOTH, .scoped = SCOPE_SIGNALS};
	if (abi >= 3)
		wanted->files |= TRUNCATE;
	if (abi < 6)
		size = offsetof(struct ruleset, scoped);
	if (abi < 4)
		size = offsetof(struct ruleset, net);
	return (int)syscall(SYS_landlock_create_ruleset, wanted, size, 0);
}

static bool enforce(int ruleset, struct failure *failure)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    syscall(SYS_landlock_restrict_self, ruleset, 0) == 0)
		return true;
	return failure_set(failure, "Landlock cannot be enforced: %s", strerror(errno));
}

enum sandbox_result sandbox_restrict_files(const struct sandbox_folders *folders,
					   struct failure *failure)
{
	struct ruleset wanted;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < ABI_LEAST) {
		failure_set(failure,
			    "this kernel offers no Landlock of version %d (Linux 5.19): the "
			    "files that the broker may open are limited by their modes only",
			    ABI_LEAST);
		return SANDBOX_UNKNOWN;
	}
	int ruleset = make_ruleset(abi, &wanted);

	if (ruleset < 0) {
		failure_set(failure, "Landlock: no rule set: %s", strerror(errno));
		return SANDBOX_FAILED;
	}
	bool done = add_rules(ruleset, wanted.files, folders, failure) && enforce(ruleset, failure);

	close(ruleset);
	return done ? SANDBOX_ON : SANDBOX_FAILED;
}
