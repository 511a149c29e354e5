/*
 * keys_tool.c - makes and destroys keys of a keys.slots by storage/keys, and dies or fails where it
 * is told to; for tests/integration/test_erase.py and test_key_steps.py.
 *
 *	keys_tool [-w KEY_FILE] [-k N | -f N] DIRECTORY COMMAND...
 *
 *	open                   nothing but opening it; says the erase level and why
 *	make CLASS EPOCH       prints the key
 *	destroy CLASS EPOCH    says the erase level after it
 *	rename CLASS EPOCH     a destruction as it must not be: a new file is renamed into the place
 *	settle                 overwrites damaged slots; prints class, epoch and key of all others
 *	churn CLASS FIRST N    makes N keys, each time destroying the one before, and says so
 *
 * CLASS is a word of key_class.def.  With -k N the process kills itself at the N-th call that
 * changes a file, which is done by half (-h) or not at all; with -f N that call and all after it
 * fail as on a disk that is broken.  The last line says "calls N": how many there were.
 */
#include "storage/keys/keyring.h"
#include "storage/keys/slot_file.h"
#include "storage/keys/wrapping.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long calls, kill_at, fail_at;
static bool halves, watching;

/* ---- what changes a file comes here instead of into the C library */

static bool refused(void)
{
	if (!watching)
		return false;
	calls++;
	if (calls == kill_at)
		kill(getpid(), SIGKILL);
	if (fail_at > 0 && calls >= fail_at) {
		errno = EIO;
		return true;
	}
	return false;
}

/* What is written before the process dies: of a slot, all that means something, and less. */
static size_t part(size_t len)
{
	return watching && halves && calls + 1 == kill_at ? len / 2 : 0;
}

/* The next ones are the C library's, or those of tests/power. */
static ssize_t (*next_pwrite)(int fd, const void *at, size_t len, off_t offset);
static int (*next_fsync)(int fd);
static int (*next_fdatasync)(int fd);
static int (*next_ftruncate)(int fd, off_t len);

static void find_next(void)
{
	*(void **)&next_pwrite = dlsym(RTLD_NEXT, "pwrite");
	*(void **)&next_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&next_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&next_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
	must(next_pwrite && next_fsync && next_fdatasync && next_ftruncate);
}

ssize_t pwrite(int fd, const void *at, size_t len, off_t offset)
{
	const size_t some = part(len);

	if (some > 0)
		must(next_pwrite(fd, at, some, offset) == (ssize_t)some);
	return refused() ? -1 : next_pwrite(fd, at, len, offset);
}

int fsync(int fd)
{
	return refused() ? -1 : next_fsync(fd);
}

int fdatasync(int fd)
{
	return refused() ? -1 : next_fdatasync(fd);
}

int ftruncate(int fd, off_t len)
{
	return refused() ? -1 : next_ftruncate(fd, len);
}

/* ---- the work */

static struct keyring *keyring;
static struct failure failure;
static int directory;

static enum key_class class_of(const char *word)
{
	for (enum key_class class = KEY_NONE; class < KEY_CLASSES; class ++)
		if (key_class_kind(class) != KEY_KIND_NONE &&
		    strcmp(key_class_word(class), word) == 0)
			return class;
	fprintf(stderr, "no class %s\n", word);
	exit(2);
}

static void print_key(enum key_class class, uint64_t epoch)
{
	uint8_t key[SEAL_KEY_LEN];

	if (!keyring_get(keyring, class, epoch, key))
		return;
	printf("key %s %" PRIu64 " ", key_class_word(class), epoch);
	for (size_t i = 0; i < sizeof(key); i++)
		printf("%02x", key[i]);
	printf("\n");
	fflush(stdout);
}

static void print_level(void)
{
	const struct erase_finding found = keyring_erase_level(keyring);

	if (found.level == ERASE_CLEAR)
		printf("level clear\n");
	else
		printf("level none: %s\n", found.why.text);
	fflush(stdout);
}

static bool run_open(char **words)
{
	(void)words;
	print_level();
	return true;
}

static bool run_make(char **words)
{
	const enum key_class class = class_of(words[0]);
	const uint64_t epoch = strtoull(words[1], NULL, 10);

	if (!keyring_make(keyring, class, epoch, &failure))
		return false;
	print_key(class, epoch);
	return true;
}

static bool run_destroy(char **words)
{
	if (!keyring_destroy(keyring, class_of(words[0]), strtoull(words[1], NULL, 10), &failure))
		return false;
	printf("destroyed\n");
	print_level();
	return true;
}

/* As one would do it who does not know file systems; it believes itself. */
static bool run_rename(char **words)
{
	const enum key_class class = class_of(words[0]);
	const uint64_t epoch = strtoull(words[1], NULL, 10);
	uint8_t block[SLOT_SIZE];
	int from = openat(directory, SLOT_FILE_NAME, O_RDONLY);
	int to = openat(directory, "new", O_WRONLY | O_CREAT | O_EXCL, 0600);

	must(from >= 0 && to >= 0);
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		must(read(from, block, sizeof(block)) == (ssize_t)sizeof(block));
		const struct slot slot = slot_read(i, block);

		if (slot.class == class && slot.epoch == epoch)
			slot_write_free(i, block);
		must(write(to, block, sizeof(block)) == (ssize_t)sizeof(block));
	}
	must(fsync(to) == 0 && renameat(directory, "new", directory, SLOT_FILE_NAME) == 0);
	must(fsync(directory) == 0);
	close(from);
	close(to);
	print_level();
	return true;
}

static bool run_settle(char **words)
{
	uint64_t epochs[SLOT_COUNT];
	unsigned damaged;

	(void)words;
	if (!keyring_clear_damaged(keyring, &damaged, &failure))
		return false;
	for (enum key_class class = KEY_NONE; class < KEY_CLASSES; class ++) {
		if (key_class_kind(class) == KEY_KIND_NONE)
			continue;
		const size_t count = keyring_epochs(keyring, class, epochs);

		for (size_t i = 0; i < count; i++)
			print_key(class, epochs[i]);
	}
	return true;
}

static bool run_churn(char **words)
{
	const enum key_class class = class_of(words[0]);
	const uint64_t first = strtoull(words[1], NULL, 10);
	const uint64_t count = strtoull(words[2], NULL, 10);

	for (uint64_t epoch = first; epoch < first + count; epoch++) {
		if (!keyring_make(keyring, class, epoch, &failure))
			return false;
		print_key(class, epoch);
		if (epoch == first)
			continue;
		if (!keyring_destroy(keyring, class, epoch - 1, &failure))
			return false;
		printf("gone %s %" PRIu64 "\n", key_class_word(class), epoch - 1);
		fflush(stdout);
	}
	print_level();
	return true;
}

static const struct {
	const char *name;
	int words;
	bool (*run)(char **words);
} commands[] = {
    {"open", 0, run_open},     {"make", 2, run_make},	  {"destroy", 2, run_destroy},
    {"rename", 2, run_rename}, {"settle", 0, run_settle}, {"churn", 3, run_churn},
};

static bool run(int count, char **words)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, words[0]) == 0 && count == commands[i].words + 1)
			return commands[i].run(words + 1);
	fprintf(stderr, "no command %s with %d words\n", words[0], count - 1);
	exit(2);
}

int main(int argc, char **argv)
{
	uint8_t wrapping[SEAL_KEY_LEN];
	struct keyring_options options = {0};
	int option;

	find_next();
	while ((option = getopt(argc, argv, "+w:k:f:h")) != -1) {
		if (option == 'w' && !wrapping_read(optarg, wrapping, &failure))
			goto failed;
		if (option == 'w')
			options.wrapping = wrapping;
		else if (option == 'k')
			kill_at = atol(optarg);
		else if (option == 'f')
			fail_at = atol(optarg);
		else if (option == 'h')
			halves = true;
		else
			return 2;
	}
	if (argc - optind < 2)
		return 2;
	directory = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(directory >= 0);
	options.directory = directory;
	watching = true;
	keyring = keyring_open(&options, &failure);
	if (!keyring || !run(argc - optind - 1, argv + optind + 1))
		goto failed;
	watching = false;
	keyring_close(keyring);
	printf("calls %ld\n", calls);
	return 0;
failed:
	fprintf(stderr, "%s\n", failure.text);
	printf("calls %ld\n", calls);
	keyring_close(keyring);
	return 1;
}
