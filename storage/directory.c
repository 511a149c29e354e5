/* directory.c - see directory.h. */
#include "storage/directory.h"
#include "storage/compact.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* lost+found is there when the directory is a file system of its own. */
static const char *const known_names[] = {
    ".",	  "..",	 "data.mdb",	 "lock.mdb",   "unsynced",   "data.mdb.unsynced",
    "keys.slots", "log", "control.sock", "lost+found", "audit.seen", "audit.seen.new",
    COMPACT_NAME,
};

/* Numbers from statfs(2) and linux/magic.h. */
static const struct {
	unsigned long type;
	const char *name;
} unsafe_filesystems[] = {
    {0x6969, "NFS"},	  {0x517b, "SMB"},	  {0xff534d42, "SMB (cifs)"}, {0xfe534d42, "SMB2"},
    {0x01021997, "9p"},	  {0x65735546, "FUSE"},	  {0x00c36400, "Ceph"},	      {0x5346414f, "AFS"},
    {0x73757245, "Coda"}, {0x786f4256, "vboxsf"},
};

const char *directory_unsafe_filesystem(unsigned long type)
{
	/* f_type is signed where the kernel's long is: only the low 32 bits are the number. */
	for (size_t i = 0; i < sizeof(unsafe_filesystems) / sizeof(*unsafe_filesystems); i++) {
		if (unsafe_filesystems[i].type == (type & 0xffffffff))
			return unsafe_filesystems[i].name;
	}
	return NULL;
}

/* `part` is the directory `path`, or one above it. */
static bool cannot_make(const char *path, const char *part, struct failure *failure)
{
	const unsigned user = (unsigned)geteuid();

	if (errno != EACCES)
		return failure_set(failure, "%s: cannot be made: %s", part, strerror(errno));
	return failure_set(failure,
			   "%.120s: cannot be made: %s for user %u, as whom the broker runs; "
			   "`install -d -m 0700 -o %u %.120s` makes it as root, or name another "
			   "directory",
			   part, strerror(errno), user, user, path);
}

/* Makes one directory and its entry durable.  *made stays as it is if there was one. */
static bool make_one(const char *path, const char *part, bool *made, struct failure *failure)
{
	char parent[PATH_MAX + 4];
	int fd;

	if (mkdir(part, 0700) != 0)
		return errno == EEXIST || cannot_make(path, part, failure);
	*made = true;
	snprintf(parent, sizeof(parent), "%s/..", part);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) { /* a parent that we may not read is left to the file system */
		fsync(fd);
		close(fd);
	}
	return true;
}

/* mkdir -p, every part with mode 0700. */
static bool make_all(const char *path, bool *created, struct failure *failure)
{
	char part[PATH_MAX];
	bool parent_made;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return failure_set(failure, "the data directory's path is %s",
				   len == 0 ? "empty" : "too long");
	memcpy(part, path, len + 1);
	while (len > 1 && part[len - 1] == '/')
		part[--len] = '\0';
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (!make_one(path, part, &parent_made, failure))
			return failure_context(failure, "%s", path);
		*slash = '/';
	}
	return make_one(path, part, created, failure);
}

static bool check_owner(const char *path, int fd, uid_t owner, struct failure *failure)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	if (st.st_uid != owner)
		return failure_set(failure,
				   "%s belongs to user %u, but the broker runs as user %u: give it "
				   "to that user (chown) or name another directory",
				   path, (unsigned)st.st_uid, (unsigned)owner);
	if ((st.st_mode & 077) != 0)
		return failure_set(failure,
				   "%s can be entered by other users (mode %04o): chmod 0700 %s",
				   path, (unsigned)(st.st_mode & 07777), path);
	return true;
}

static bool check_filesystem(const char *path, int fd, struct failure *failure)
{
	struct statfs fs;
	const char *unsafe;

	if (fstatfs(fd, &fs) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	unsafe = directory_unsafe_filesystem((unsigned long)fs.f_type);
	if (unsafe != NULL)
		return failure_set(failure,
				   "%s is on %s, where LMDB is unsafe: its memory map and locks "
				   "can lose data there; name a directory on a local disk",
				   path, unsafe);
	/* Asks the kernel rather than the mode: a read-only file system counts too. */
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		return failure_set(failure, "%s cannot be written: %s", path, strerror(errno));
	return true;
}

bool directory_knows(const char *name)
{
	for (size_t i = 0; i < sizeof(known_names) / sizeof(*known_names); i++) {
		if (strcmp(name, known_names[i]) == 0)
			return true;
	}
	return false;
}

static bool check_files(const char *path, int fd, struct failure *failure)
{
	/* A description of its own: closedir() and the position must not touch fd's. */
	int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = listed < 0 ? NULL : fdopendir(listed);
	const struct dirent *entry;
	bool ok = true;

	if (dir == NULL) {
		failure_set(failure, "%s: cannot be listed: %s", path, strerror(errno));
		if (listed >= 0)
			close(listed);
		return false;
	}
	errno = 0;
	while (ok && (entry = readdir(dir)) != NULL) {
		if (!directory_knows(entry->d_name))
			ok = failure_set(failure,
					 "%s holds %s, which is not Metrino's: name an empty or "
					 "new directory",
					 path, entry->d_name);
	}
	if (ok && errno != 0)
		ok = failure_set(failure, "%s: cannot be listed: %s", path, strerror(errno));
	closedir(dir);
	return ok;
}

bool directory_may_be_ours(const char *path, struct failure *failure)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return true;
	const bool ours = check_files(path, fd, failure);

	close(fd);
	return ours;
}

static bool lock(const char *path, int fd, struct failure *failure)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		return failure_set(
		    failure, "another metrinod uses %s: stop it, or name another directory", path);
	return failure_set(failure, "%s: cannot be locked: %s", path, strerror(errno));
}

/* What was just made gets its mode whatever the umask, and its owner. */
static bool hand_over(const char *path, int fd, uid_t owner, gid_t group, struct failure *failure)
{
	if (fchmod(fd, 0700) != 0 || (owner != geteuid() && fchown(fd, owner, group) != 0))
		return failure_set(failure, "%s: cannot be given to user %u: %s", path,
				   (unsigned)owner, strerror(errno));
	return true;
}

bool directory_open_for(const char *path, uid_t owner, gid_t group, bool *created, int *fd,
			struct failure *failure)
{
	int opened;

	*created = false;
	if (!make_all(path, created, failure))
		return false;
	opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0)
		return failure_set(failure, "%s cannot be opened as a directory: %s", path,
				   strerror(errno));
	/* Files first: nobody is to be told to change the mode of a directory that is not ours. */
	if ((!*created || hand_over(path, opened, owner, group, failure)) &&
	    check_files(path, opened, failure) && check_owner(path, opened, owner, failure) &&
	    check_filesystem(path, opened, failure) && lock(path, opened, failure)) {
		*fd = opened;
		return true;
	}
	close(opened);
	return false;
}

bool directory_open(const char *path, bool *created, int *fd, struct failure *failure)
{
	return directory_open_for(path, geteuid(), getegid(), created, fd, failure);
}
