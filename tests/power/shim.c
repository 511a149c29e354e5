/*
 * shim.c - for LD_PRELOAD: keeps a journal of what a process does to the files of one
 * folder, and of what it made durable.  image.py makes of it what a disk may hold when
 * the power goes away.  Everything is also done, so the process itself sees no loss.
 *
 * Environment:
 *   METRINO_POWER_DIR   the folder (flat: folders in it are not followed)
 *   METRINO_POWER_LOG   the journal, appended to
 *   METRINO_POWER_CUT   n: SIGILL at the n-th thing that would go into the journal
 *   METRINO_POWER_LIE   set: syncing makes nothing durable, as on a disk that lies
 *   METRINO_BOOT_ID     a file to be read in place of /proc/sys/kernel/random/boot_id
 *
 * A write is noted before it is done and again after it, so the journal never lacks what
 * is in the file.  What a sync covers is what was noted when it began.  Writing through a
 * shared map cannot be seen: that is noted as a fault, except for LMDB's lock file, which
 * no start relies on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum note {
	NOTE_WRITE = 'w',   /* inode, offset, the bytes: about to be written */
	NOTE_WRITTEN = 'x', /* `of` the write's number; length, or -1; flag: durable */
	NOTE_SIZE = 't',    /* inode, offset: the new size */
	NOTE_SYNCED = 's',  /* inode; `of`: everything before that number is durable */
	NOTE_CREATE = 'c',  /* inode, name */
	NOTE_RENAME = 'r',  /* the old name, 0, the new one */
	NOTE_REMOVE = 'u',  /* name */
	NOTE_NAMES = 'd',   /* the folder was synced; `of` as for NOTE_SYNCED */
	NOTE_FAULT = '!',   /* words: done in a way that the journal cannot keep */
};

struct head {
	uint8_t note;
	uint8_t durable;
	uint8_t zero[6];
	uint64_t inode;
	int64_t offset;
	int64_t of;
	uint64_t len; /* bytes that follow */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_len; /* 0: nothing is watched */
static struct stat folder_is;
static int journal = -1;
static int64_t noted; /* how many notes there are */
static long cut;
static bool lies;
static const char *boot_id;

__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv("METRINO_POWER_DIR");
	const char *log = getenv("METRINO_POWER_LOG");
	const char *at = getenv("METRINO_POWER_CUT");

	boot_id = getenv("METRINO_BOOT_ID");
	lies = getenv("METRINO_POWER_LIE") != NULL;
	cut = at ? strtol(at, NULL, 10) : 0;
	if (dir == NULL || log == NULL)
		return;
	journal = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			       0666);
	if (journal < 0 || realpath(dir, folder) == NULL || stat(folder, &folder_is) != 0)
		abort();
	folder_len = strlen(folder);
}

/* Gives the note's number. */
static int64_t add(struct head head, const void *bytes, size_t len)
{
	struct iovec parts[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)bytes, len}};
	int error = errno;

	head.len = len;
	pthread_mutex_lock(&mutex);
	int64_t number = noted++;

	if (syscall(SYS_writev, journal, parts, len > 0 ? 2 : 1) != (long)(sizeof(head) + len))
		abort();
	/* After it: names and sizes are noted when they have changed already. */
	if (cut != 0 && noted == cut)
		__builtin_trap(); /* SIGILL: the broker has no call left by which it could kill */
	pthread_mutex_unlock(&mutex);
	errno = error;
	return number;
}

static int64_t number_now(void)
{
	pthread_mutex_lock(&mutex);
	int64_t number = noted;

	pthread_mutex_unlock(&mutex);
	return number;
}

static void fault(const char *words)
{
	add((struct head){.note = NOTE_FAULT}, words, strlen(words));
}

/* The path of an open file or folder, from the kernel. */
static bool path_of(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return true;
}

/* A path in the folder?  Gives the name in it. */
static const char *name_in(const char *path)
{
	if (folder_len == 0 || strncmp(path, folder, folder_len) != 0 || path[folder_len] != '/' ||
	    strchr(path + folder_len + 1, '/') != NULL)
		return NULL;
	return path + folder_len + 1;
}

/* A regular file of the folder?  Sockets come by here often, so they are asked for first. */
static bool watched(int fd, uint64_t *inode)
{
	char path[PATH_MAX];
	struct stat st;
	int error = errno;
	bool is = folder_len > 0 && fd != journal && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		  path_of(fd, path) && name_in(path) != NULL;

	if (is)
		*inode = st.st_ino;
	errno = error;
	return is;
}

static bool is_folder(int fd)
{
	char path[PATH_MAX];
	int error = errno;
	bool is = folder_len > 0 && path_of(fd, path) && strcmp(path, folder) == 0;

	errno = error;
	return is;
}

/* ---- names */

/*
 * The name in the folder that `path`, seen from the folder `at`, means.  By what the folder is and
 * not by its path: who we became may not enter the folders above it.
 */
static bool resolve(int at, const char *path, char name[NAME_MAX + 1])
{
	char parent[PATH_MAX] = ".";
	struct stat st;
	int error = errno;
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;

	if (folder_len == 0 || strlen(path) >= PATH_MAX || strlen(last) > NAME_MAX)
		return false;
	if (slash != NULL) /* "/" itself stays */
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
	bool is = fstatat(at, parent, &st, 0) == 0 && st.st_dev == folder_is.st_dev &&
		  st.st_ino == folder_is.st_ino;

	if (is)
		memcpy(name, last, strlen(last) + 1);
	errno = error;
	return is;
}

static int do_open(int at, const char *path, int flags, mode_t mode)
{
	static const char real_boot_id[] = "/proc/sys/kernel/random/boot_id";
	char name[NAME_MAX + 1];
	struct stat st;
	bool made;

	if (boot_id && strcmp(path, real_boot_id) == 0)
		path = boot_id;
	made = (flags & O_CREAT) != 0 && resolve(at, path, name) &&
	       fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
	int fd = (int)syscall(SYS_openat, at, path, flags, mode);

	if (fd < 0 || fstat(fd, &st) != 0)
		return fd;
	if (made)
		add((struct head){.note = NOTE_CREATE, .inode = st.st_ino}, name, strlen(name));
	if ((flags & O_TRUNC) != 0 && !made && watched(fd, &(uint64_t){0}))
		add((struct head){.note = NOTE_SIZE, .inode = st.st_ino}, NULL, 0);
	return fd;
}

#define MODE(flags)                                                                                \
	mode_t mode = 0;                                                                           \
	va_list list;                                                                              \
	va_start(list, flags);                                                                     \
	if (((flags) & (O_CREAT | __O_TMPFILE)) != 0)                                              \
		mode = va_arg(list, mode_t);                                                       \
	va_end(list)

int open(const char *path, int flags, ...)
{
	MODE(flags);
	return do_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE(flags);
	return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	MODE(flags);
	return do_open(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	MODE(flags);
	return do_open(at, path, flags, mode);
}

/* What _FORTIFY_SOURCE makes of the above. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int at, const char *path, int flags)
{
	return do_open(at, path, flags, 0);
}

int __openat64_2(int at, const char *path, int flags)
{
	return do_open(at, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* A stream's writes happen inside the C library, where nothing can be seen of them. */
static FILE *do_fopen(const char *path, const char *mode)
{
	char name[NAME_MAX + 1];
	bool writes = strpbrk(mode, "wa+") != NULL;
	int flags = mode[0] == 'r' ? (writes ? O_RDWR : O_RDONLY)
				   : O_CREAT | (writes ? O_RDWR : O_WRONLY) |
					 (mode[0] == 'w' ? O_TRUNC : O_APPEND);

	if (writes && resolve(AT_FDCWD, path, name))
		fault("a stream writes to a file of the folder");
	int fd = do_open(AT_FDCWD, path, flags, 0666);

	return fd < 0 ? NULL : fdopen(fd, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	return do_fopen(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return do_fopen(path, mode);
}

static int do_rename(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	char names[2 * NAME_MAX + 2];
	char new_name[NAME_MAX + 1];
	bool from_here = resolve(from_at, from, names);
	bool to_here = resolve(to_at, to, new_name);
	int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);

	if (result != 0 || (!from_here && !to_here))
		return result;
	if (!from_here || !to_here || flags != 0) {
		fault("a rename into the folder, out of it, or of a special kind");
		return result;
	}
	size_t old_len = strlen(names) + 1;

	memcpy(names + old_len, new_name, strlen(new_name));
	add((struct head){.note = NOTE_RENAME}, names, old_len + strlen(new_name));
	return result;
}

int rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	return do_rename(from_at, from, to_at, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	return do_rename(from_at, from, to_at, to, flags);
}

int unlinkat(int at, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	bool here = resolve(at, path, name);
	int result = (int)syscall(SYS_unlinkat, at, path, flags);

	if (result == 0 && here)
		add((struct head){.note = NOTE_REMOVE}, name, strlen(name));
	return result;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
	char name[NAME_MAX + 1];

	if (resolve(to_at, to, name))
		fault("a second name for a file");
	return (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- bytes */

static ssize_t note_written(int64_t number, uint64_t inode, ssize_t n, bool durable)
{
	add((struct head){.note = NOTE_WRITTEN,
			  .durable = durable && !lies,
			  .inode = inode,
			  .offset = n,
			  .of = number},
	    NULL, 0);
	return n;
}

static bool writes_through(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_DSYNC) != 0;
}

/* offset -1: where the file stands. */
static ssize_t do_write(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	uint64_t inode;
	size_t len = 0;
	bool here = offset < 0;

	if (!watched(fd, &inode))
		return offset < 0 && flags == 0
			   ? syscall(SYS_writev, fd, parts, count)
			   : syscall(SYS_pwritev2, fd, parts, count, offset, 0L, flags);
	if (here) {
		struct stat st;
		bool append = (fcntl(fd, F_GETFL) & O_APPEND) != 0;

		if (fstat(fd, &st) != 0)
			return -1;
		offset = append ? st.st_size : lseek(fd, 0, SEEK_CUR);
	}
	for (int i = 0; i < count; i++)
		len += parts[i].iov_len;
	uint8_t *bytes = malloc(len + 1);
	size_t at = 0;

	if (bytes == NULL)
		abort();
	for (int i = 0; i < count; at += parts[i++].iov_len)
		memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
	int64_t number =
	    add((struct head){.note = NOTE_WRITE, .inode = inode, .offset = offset}, bytes, len);

	free(bytes);
	ssize_t n = syscall(SYS_pwritev2, fd, parts, count, here ? -1L : offset, 0L, flags);

	return note_written(number, inode, n, writes_through(fd) || (flags & RWF_DSYNC) != 0);
}

static ssize_t write_one(int fd, const void *bytes, size_t len, off_t offset)
{
	struct iovec part = {(void *)(uintptr_t)bytes, len};

	return do_write(fd, &part, 1, offset, 0);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	return write_one(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	return write_one(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
	return write_one(fd, bytes, len, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return do_write(fd, parts, count, -1, 0);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return do_write(fd, parts, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return do_write(fd, parts, count, offset, 0);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return do_write(fd, parts, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags);

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return do_write(fd, parts, count, offset, flags);
}

static int do_truncate(int fd, off_t size)
{
	uint64_t inode;
	bool here = watched(fd, &inode);
	int result = (int)syscall(SYS_ftruncate, fd, size);

	if (here && result == 0)
		add((struct head){.note = NOTE_SIZE, .inode = inode, .offset = size}, NULL, 0);
	return result;
}

int ftruncate(int fd, off_t size)
{
	return do_truncate(fd, size);
}

int ftruncate64(int fd, off_t size)
{
	return do_truncate(fd, size);
}

/* Only the form that makes a file longer, as posix_fallocate() does. */
static int do_allocate(int fd, int mode, off_t offset, off_t len)
{
	uint64_t inode;
	struct stat st;
	int result = (int)syscall(SYS_fallocate, fd, mode, offset, len);

	if (result != 0 || !watched(fd, &inode))
		return result;
	if (mode != 0)
		fault("fallocate with a mode");
	else if (fstat(fd, &st) == 0)
		add((struct head){.note = NOTE_SIZE, .inode = inode, .offset = st.st_size}, NULL,
		    0);
	return result;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return do_allocate(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off_t offset, off_t len)
{
	return do_allocate(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
	return do_allocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off_t offset, off_t len)
{
	return do_allocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

/* ---- syncing */

static int do_sync(int fd, long call)
{
	int64_t before = number_now();
	int result = (int)syscall(call, fd);
	uint64_t inode = 0;

	if (result != 0 || lies)
		return result;
	if (watched(fd, &inode))
		add((struct head){.note = NOTE_SYNCED, .inode = inode, .of = before}, NULL, 0);
	else if (is_folder(fd))
		add((struct head){.note = NOTE_NAMES, .of = before}, NULL, 0);
	return result;
}

int fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

/* ---- maps */

static void *do_map(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	char path[PATH_MAX];
	uint64_t inode;
	long result = syscall(SYS_mmap, at, len, protection, flags, fd, offset);

	if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 &&
	    watched(fd, &inode) && path_of(fd, path) && strcmp(name_in(path), "lock.mdb") != 0)
		fault("a file is written through a map");
	return (void *)result;
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	return do_map(at, len, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	return do_map(at, len, protection, flags, fd, offset);
}
