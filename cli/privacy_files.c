/* privacy_files.c - who may read what the broker keeps, what lies beside it, and keys that live too
 * long. */
#include "cli/privacy.h"
#include "storage/directory.h"
#include "storage/keys/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_NAME "keys.slots"
#define HOUR_S	   UINT64_C(3600)
#define DAY_S	   (24 * HOUR_S)

/* While the root turns there are two; that takes as long as some writes take. */
#define TURN_MS	  200u
#define TURNS_MAX 15u

/* What is for others to read, too. */
static bool is_public(const char *name)
{
	return strcmp(name, "log") == 0 || strcmp(name, "lost+found") == 0;
}

/* Root may read everything anyway. */
static void judge_owner(const struct privacy *privacy, const char *name, uid_t owner, char why[512])
{
	if (owner != privacy->user && owner != 0)
		snprintf(why, 512, "%.200s: belongs to user %u, and the broker is user %u", name,
			 (unsigned)owner, (unsigned)privacy->user);
}

static void judge(const struct privacy *privacy, int directory, const char *name, char why[512])
{
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	judge_owner(privacy, name, st.st_uid, why);
	if (!directory_knows(name))
		snprintf(why, 512, "%.200s: is not the broker's", name);
	else if (!is_public(name) && (st.st_mode & 077) != 0)
		snprintf(why, 512, "%.200s: others may read it (mode %04o)", name,
			 (unsigned)(st.st_mode & 07777));
}

static void look_at_modes(struct privacy *privacy)
{
	const int fd = openat(privacy->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char why[512] = "";
	struct stat st;

	must(list && fstat(fd, &st) == 0);
	while ((entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			judge(privacy, fd, entry->d_name, why);
	judge_owner(privacy, "the data directory", st.st_uid, why);
	if ((st.st_mode & 077) != 0)
		snprintf(why, sizeof(why), "the data directory: others may enter it (mode %04o)",
			 (unsigned)(st.st_mode & 07777));
	closedir(list);
	privacy_tell(privacy, "only the broker reads its data directory",
		     "modes, owners and names of its files", why[0] ? why : NULL);
}

/* ---- keys */

/*
 * The longest that a key of a class may live, from the start of its epoch, with an hour more for a
 * job that is under way.  What is configured to be shorter is judged from the audit log.
 */
static const struct {
	enum key_class class;
	uint64_t life_s;
} lives[] = {
    {KEY_ENVELOPE, HOUR_S},
    {KEY_AUTH_DAY, 30 * DAY_S},
    {KEY_AGGREGATE_DAY, DAY_S + 90 * DAY_S},
};

/* Keys of minutes are there only where logins are kept for less than two days. */
static uint64_t end_of(size_t i, uint64_t epoch)
{
	const bool of_minutes = lives[i].class == KEY_AUTH_DAY && epoch >= KEY_EPOCH_MINUTES;

	return key_epoch_start_s(lives[i].class, epoch) +
	       (of_minutes ? 2 * DAY_S : lives[i].life_s) + HOUR_S;
}

static void judge_slot(const struct slot *slot, unsigned number, uint64_t now_s, char why[512])
{
	if (slot->form == SLOT_DAMAGED || slot->form == SLOT_FOREIGN)
		snprintf(why, 512, "slot %u of %s is damaged, or another broker's", number,
			 SLOTS_NAME);
	if (slot->form != SLOT_CLEAR && slot->form != SLOT_WRAPPED)
		return;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++)
		if (slot->class == lives[i].class && end_of(i, slot->epoch) < now_s)
			snprintf(why, 512,
				 "slot %u of %s: the %s key of epoch %" PRIu64
				 " should have been destroyed %" PRIu64 " hours ago",
				 number, SLOTS_NAME, key_class_word(slot->class), slot->epoch,
				 (now_s - end_of(i, slot->epoch)) / HOUR_S);
}

/* Where the broker has it open: keys_location may be another place. */
static int open_slots(const struct privacy *privacy)
{
	const int fd = openat(privacy->process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char target[4200];
	int slots = -1;

	while (list && slots < 0 && (entry = readdir(list))) {
		const ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		const char *name = strrchr(target, '/');

		if (name && strcmp(name + 1, SLOTS_NAME) == 0)
			slots = openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC);
	}
	if (list)
		closedir(list);
	return slots;
}

/* Gives how many root keys there are. */
static unsigned judge_slots(int fd, char why[512])
{
	uint8_t *block = malloc(SLOT_SIZE);
	const uint64_t now_s = (uint64_t)time(NULL);
	unsigned roots = 0;

	must(block);
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		if (pread(fd, block, SLOT_SIZE, (off_t)i * SLOT_SIZE) != (ssize_t)SLOT_SIZE) {
			snprintf(why, 512, "slot %u of %s cannot be read", i, SLOTS_NAME);
			break;
		}
		const struct slot slot = slot_read(i, block);

		judge_slot(&slot, i, now_s, why);
		roots += (slot.form == SLOT_CLEAR || slot.form == SLOT_WRAPPED) &&
			 slot.class == KEY_ROOT;
	}
	explicit_bzero(block, SLOT_SIZE);
	free(block);
	return roots;
}

/* A root key's slot does not tell its hour: how long it lived is judged from the audit log.  But an
 * old one is destroyed as soon as there is a new one. */
static void judge_keys(int fd, char why[512])
{
	unsigned roots = judge_slots(fd, why);

	for (unsigned i = 0; roots > 1 && i < TURNS_MAX; i++) {
		usleep(TURN_MS * 1000);
		roots = judge_slots(fd, why);
	}
	if (roots > 1)
		snprintf(why, 512, "%s has %u root keys: an old one was not destroyed", SLOTS_NAME,
			 roots);
}

static void look_at_keys(struct privacy *privacy)
{
	const int fd = open_slots(privacy);
	char why[512] = "";
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		snprintf(why, sizeof(why), "%s: the broker does not have it open", SLOTS_NAME);
	else if ((st.st_mode & 077) != 0)
		snprintf(why, sizeof(why), "%s: others may read it (mode %04o)", SLOTS_NAME,
			 (unsigned)(st.st_mode & 07777));
	else
		judge_owner(privacy, SLOTS_NAME, st.st_uid, why);
	if (fd >= 0) {
		judge_keys(fd, why);
		close(fd);
	}
	privacy_tell(privacy, "no key lives longer than its class allows",
		     "class and epoch of every slot of keys.slots", why[0] ? why : NULL);
}

void privacy_look_at_files(struct privacy *privacy)
{
	look_at_modes(privacy);
	look_at_keys(privacy);
}
